"""The data centre (数据中心): what connects the platform with other systems."""

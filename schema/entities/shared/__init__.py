"""Entities used by all five systems (共享基础数据)."""

"""Construction safety supervision (建筑施工安全监管)."""

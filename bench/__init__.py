"""Measurements: `python -m bench` compares, `python -m bench.fanout` measures fan-out to many sources."""

"""Measurements; ``python -m benchmarks`` makes all tables."""

"""How fast jopt is, against what people write by hand: ``python -m benchmarks``."""

"""The parts of ``python -m benchmarks decide``: problems, their true curves, rivals, replays, and the figures."""

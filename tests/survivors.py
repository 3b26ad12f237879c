"""Mutations that survive, as ``tests/mutations.py`` prints them (without the line), and why they change no number."""

SURVIVORS: dict[str, str] = {
    "jopt/optimizers/ademamix.py, _memory: 0.5 -> 0.25": "stands for 0, of which no logarithm is taken",
    "jopt/optimizers/adam.py, scale_by_adam: 0.0 -> 1.0 (2)": "a weight of g that nothing reads without nesterov",
    "jopt/optimizers/lion.py, table: jnp.abs(c) < 1.0 -> jnp.abs(c) <= 1.0": "where |c| is 1, its sign is c itself",
}

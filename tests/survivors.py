"""Mutations that survive, as ``tests/mutations.py`` prints them (without the line), and why they change no number."""

SURVIVORS: dict[str, str] = {
    "jopt/optimizers/adam.py, scale_by_adam: 0.0 -> 1.0 (2)": "a weight of g that nothing reads without nesterov",
    "jopt/optimizers/lion.py, table: jnp.abs(c) < 1.0 -> jnp.abs(c) <= 1.0": "where |c| is 1, its sign is c itself",
    "jopt/optimizers/ademamix.py, _one_minus_between: memory > 0 -> memory >= 0 (2)": "a memory of 0 is not looked at here",
    "jopt/optimizers/ademamix.py, _one_minus_between: 1.0 -> 2.0 (3)": "stands for 0, which is not looked at here",
    "jopt/optimizers/ademamix.py, _memory: b > 0 -> b >= 0": "the logarithm of 0 is not looked at",
    "jopt/optimizers/ademamix.py, _memory: 0.5 -> 0.25": "stands for 0, whose logarithm is not looked at",
    "jopt/optimizers/prodigy.py, prodigy: norm > 0 -> norm >= 0": "where the norm is 0, so is what is divided by it, or by 1",
    "jopt/optimizers/prodigy.py, prodigy: nonzero(norm) -> norm": "a quotient by 0 is not looked at, but by derivatives",
    "jopt/optimizers/prodigy.py, _sums: beta3 * s + of_g * g -> beta3 * s - of_g * g": "its norm alone counts",
}

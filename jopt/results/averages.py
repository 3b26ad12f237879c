"""Whether what is evaluated is an average of the parameters that stands in for a rate that falls."""

from __future__ import annotations

from typing import Any

import jax

from jopt.values.binding import is_value

# Of these the average takes in the more parameters the longer a run is; that of parameter_ema does not.
GROWING = ("schedule_free", "schedule_free_adamw", "schedule_free_sgd", "tail_average")


def grows(optimizer: Any) -> bool:
    """Whether an optimizer, or one inside it, keeps an average over a share of the run."""
    bounds = [part.bound for part in jax.tree.leaves(optimizer, is_leaf=is_value) if is_value(part)]
    return any(bound.spec.factory.name in GROWING or grows(bound.arguments()) for bound in bounds)

"""How learning rates go over a run, and what stands in for a rate that falls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jax
import numpy as np

from jopt.rates import names_a_rate, parts_of
from jopt.values.binding import Bound, is_value
from jopt.values.pairs import evaluate, is_transformation

PLATEAU = ("reduce_on_plateau",)
# Their averages are over a share of the run, so that they grow with it; that of parameter_ema does not.
AVERAGES = ("schedule_free", "schedule_free_adamw", "schedule_free_sgd", "tail_average")


def decays(optimizer: Any, steps: int) -> bool:
    """Whether every learning rate ends a run of so many steps at half of its highest or less, or a plateau may lower it.

    Where no rate can be seen, nothing speaks against it.
    """
    found = [rate for value in _values(optimizer) for rate in _courses(value.bound, steps)]
    return all(rate[-1] <= 0.5 * rate.max() for rate in found) or _holds(optimizer, PLATEAU)


def averages(optimizer: Any) -> bool:
    """Whether what is evaluated is an average of the parameters that takes in the more of them the longer a run is."""
    return _holds(optimizer, AVERAGES)


def _values(optimizer: Any) -> list[Any]:
    return [part for part in jax.tree.leaves(optimizer, is_leaf=is_value) if is_value(part)]


def _courses(bound: Bound, steps: int) -> list[np.ndarray]:
    """How the learning rates in a value go over a run."""
    arguments = bound.arguments()
    when = np.unique(np.linspace(0, steps - 1, 65).round().astype(np.int32))
    own = [value for name, value in arguments.items() if names_a_rate(name) and not is_transformation(value)]
    courses = [np.array([[float(x) for x in jax.tree.leaves(evaluate(value, t))] for t in when]) for value in own]
    inner = [part.value.bound for part in parts_of(arguments).values() if is_value(part.value)]
    return [course.max(axis=1) for course in courses if course.size] + [x for each in inner for x in _courses(each, steps)]


def _holds(optimizer: Any, names: Collection[str]) -> bool:
    """Whether one of some rules is in an optimizer."""
    bounds = [value.bound for value in _values(optimizer)]
    inner = [part.value for bound in bounds for part in parts_of(bound.arguments()).values()]
    return any(bound.spec.factory.name in names for bound in bounds) or any(_holds(part, names) for part in inner)

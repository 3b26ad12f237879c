"""How the learning rates of an optimizer go over a run, as far as its schedules say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.rates import names_a_rate, parts_of
from jopt.values.binding import Bound, is_value
from jopt.values.pairs import evaluate, holds_schedule, is_transformation

_COUNTING = {"accumulate"}  # rules whose parts see fewer updates than there are


def decays(optimizer: Any, steps: int) -> bool:
    """Whether every learning rate ends a run of so many steps at half of its highest or less, or a plateau may lower it.

    Where no rate can be seen, nothing speaks against it.
    """
    values = [part for part in jax.tree.leaves(optimizer, is_leaf=is_value) if is_value(part)]
    when = np.unique(np.linspace(0, steps - 1, 65).round().astype(np.int32))
    found = [_course(rate, when) for value in values for rate in _rates(value.bound)]
    plateau = any(_any_rule(value.bound, lambda bound: bound.spec.factory.name == "reduce_on_plateau") for value in values)
    return plateau or all(course[-1] <= 0.5 * course.max() for course in found)


def rests_from(optimizer: Any, first: int, steps: int) -> int | None:
    """The step behind which a run from ``first`` to ``steps`` has no learning rate but 0, since its schedules have ended.

    ``None`` where a tenth of the steps has less to lose by it, and where it can't be seen: there are others' rules in it, or
    some that count updates in another way.
    """
    if not is_value(optimizer) or _any_rule(optimizer.bound, _may_count_otherwise):
        return None
    rates = [*_rates(optimizer.bound)]
    tail = np.array([steps - max((steps - first) // 10, 2), steps - 1])
    if not any(map(holds_schedule, rates)) or tail[0] < first or _are_on(rates, tail).any():
        return None
    on, off = first - 1, int(tail[0])  # steps in which a rate is not 0, or before the first one, and in which all are
    while off - on > 1:
        middle = (on + off) // 2
        on, off = (middle, off) if _are_on(rates, [middle])[0] else (on, middle)
    return off


def _are_on(rates: Sequence[Any], when: Any) -> np.ndarray:
    """Whether there is a rate that is not 0, at each of some steps."""
    courses = [_course(rate, when) != 0.0 for rate in rates]
    return np.asarray(np.any(courses, axis=0))


def _course(rate: Any, when: Any) -> np.ndarray:
    """The highest number of a rate, or of a tree of them, at each of some steps."""
    return np.array([max(float(x) for x in jax.tree.leaves(evaluate(rate, jnp.int32(t)))) for t in when])


def _rates(bound: Bound) -> Iterator[Any]:
    """The learning rates of a rule and of its parts: numbers, schedules, trees of them."""
    arguments = bound.arguments()
    for name, value in arguments.items():
        if names_a_rate(name) and not is_transformation(value) and jax.tree.leaves(value, is_leaf=is_value):
            yield value
    for part in parts_of(arguments).values():
        if is_value(part.value):
            yield from _rates(part.value.bound)


def _any_rule(bound: Bound, wanted: Any) -> bool:
    """Whether a rule, or one among its parts, is wanted."""
    parts = [part.value for part in parts_of(bound.arguments()).values()]
    return wanted(bound) or any(_any_rule(part.bound, wanted) for part in parts if is_value(part))


def _may_count_otherwise(bound: Bound) -> bool:
    others = [part.value for part in parts_of(bound.arguments()).values() if not is_value(part.value)]
    return bool(others) or bound.spec.factory.lifted or bound.spec.factory.name in _COUNTING

"""A bound factory as the pair that it stands for, with the schedules among its numbers evaluated."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt._schedule import Schedule
from jopt._values import Bound


class ScheduledState(NamedTuple):
    """State of a transformation one of whose numbers is a schedule: the step count and the rule's own state."""

    count: Any  # int32, the number of updates so far
    inner: Any


def pair_of(bound: Bound) -> optax.GradientTransformationExtraArgs:
    """The pair that the factory makes of the arguments as they are now."""
    values = bound.spec.fill(bound.leaves)
    if not any(_varying(bound, values)):
        return as_pair(bound.call(values))

    def at(count: Any) -> optax.GradientTransformationExtraArgs:
        return as_pair(bound.call(at_count(bound, values, count)))

    def init(params: Any) -> ScheduledState:
        count = jnp.zeros([], jnp.int32)
        return ScheduledState(count, at(count).init(params))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        updates, inner = at(state.count).update(updates, state.inner, params, **extra_args)
        return updates, ScheduledState(optax.safe_increment(state.count), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _varying(bound: Bound, values: list[Any]) -> list[bool]:
    """For each argument, whether it holds a schedule where the factory expects a number."""
    own = bound.spec.factory.takes_schedules
    slots = zip(bound.spec.slots, values, strict=True)
    return [name not in own and not is_transformation(v) and _schedules_in(v) for name, v in slots]


def at_count(bound: Bound, values: list[Any], count: Any) -> list[Any]:
    """The arguments with every such schedule's value after ``count`` updates."""
    varying = _varying(bound, values)
    return [_evaluate(v, count) if varies else v for v, varies in zip(values, varying, strict=True)]


def is_transformation(x: Any) -> bool:
    """Whether ``x`` is an ``(init, update)`` pair of Optax's type."""
    return isinstance(x, optax.GradientTransformation)


def _is_schedule(x: Any) -> bool:
    return isinstance(x, Schedule)


def _schedules_in(value: Any) -> bool:
    return any(
        map(
            _is_schedule,
            jax.tree.leaves(value, is_leaf=lambda x: _is_schedule(x) or is_transformation(x)),
        )
    )


def _evaluate(value: Any, count: Any) -> Any:
    return jax.tree.map(lambda x: x(count) if _is_schedule(x) else x, value, is_leaf=_is_schedule)


def as_pair(made: Any) -> optax.GradientTransformationExtraArgs:
    """What a factory returned, as a pair whose ``update`` takes extra arguments."""
    init, update = (made.init, made.update) if hasattr(made, "init") else made
    if isinstance(made, optax.GradientTransformation):
        return optax.with_extra_args_support(made)
    parameters = inspect.signature(update).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return optax.GradientTransformationExtraArgs(init, update)

    def update_with_known(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        known = {name: value for name, value in extra_args.items() if name in parameters}
        return update(updates, state, params, **known)

    return optax.GradientTransformationExtraArgs(init, update_with_known)

"""A bound factory as the pair that it stands for, with the schedules among its numbers evaluated."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jopt.values.axed import without_axes
from jopt.values.binding import Bound, is_value
from jopt.values.schedule import Schedule
from jopt.values.trees import is_function


class ScheduledState(NamedTuple):
    """State of a transformation one of whose numbers is a schedule: the step count and the rule's own state."""

    count: Any  # int32, the number of updates so far
    inner: Any


def pair_of(bound: Bound) -> optax.GradientTransformationExtraArgs:
    """The pair that the factory makes of the arguments as they are now."""
    values = bound.spec.fill(bound.leaves)
    if not varies(bound, values):
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


def varies(bound: Bound, values: list[Any]) -> bool:
    """Whether a number is a schedule that the factory does not evaluate itself, so that the state is a ``ScheduledState``."""
    return any(_varying(bound, values))


def made_by(bound: Bound) -> Any:
    """What the factory makes of its first values: those of its axes, and of its schedules before the first update."""
    return bound.call(at_count(bound, without_axes(bound), np.int32(0)))


def at_count(bound: Bound, values: list[Any], count: Any) -> list[Any]:
    """The arguments with the value after ``count`` updates of every schedule that the factory does not evaluate itself."""
    varying = _varying(bound, values)
    named = zip(bound.spec.slots, values, varying, strict=True)
    factory = bound.spec.factory
    return [evaluate(v, count, plain=name in factory.schedules) if varies else v for name, v, varies in named]


def _varying(bound: Bound, values: list[Any]) -> list[bool]:
    """For each argument, whether it holds a schedule where the factory expects a number."""
    factory = bound.spec.factory
    named = zip(bound.spec.slots, values, strict=True)
    return [not factory.hands_on(name) and holds_schedule(v, plain=name in factory.schedules) for name, v in named]


def holds_schedule(value: Any, *, plain: bool = True) -> bool:
    """Whether a number, or one of a tree of them, is a schedule: one of jopt's or, with ``plain``, any function."""
    is_schedule = _is_schedule if plain else _is_own_schedule
    leaves = jax.tree.leaves(value, is_leaf=lambda x: is_schedule(x) or is_transformation(x))
    return any(map(is_schedule, leaves))


def evaluate(value: Any, count: Any, *, plain: bool = True) -> Any:
    """A number, or a tree of them, with the value of each schedule at ``count``."""
    is_schedule = _is_schedule if plain else _is_own_schedule
    return jax.tree.map(
        lambda x: x(count) if is_schedule(x) else x, value, is_leaf=lambda x: is_schedule(x) or is_transformation(x)
    )


def _is_own_schedule(x: Any) -> bool:
    return isinstance(x, Schedule)


def _is_schedule(x: Any) -> bool:
    return isinstance(x, Schedule) or is_function(x)


def is_transformation(x: Any) -> bool:
    """Whether ``x`` is an ``(init, update)`` pair of Optax's type."""
    return isinstance(x, optax.GradientTransformation)


def by_name(optimizer: Any) -> str:
    """An optimizer by the names of its rules, without their numbers: "chain(clip(...), adam(...))"."""
    if not is_value(optimizer):
        made_in = getattr(getattr(optimizer, "init", None), "__qualname__", "") or type(optimizer).__name__
        return f"{made_in.split('.')[0]}(...)"
    bound = optimizer.bound
    leaves = [x for value in bound.arguments().values() for x in jax.tree.leaves(value, is_leaf=is_transformation)]
    return f"{bound.spec.factory.name}({', '.join(by_name(x) for x in leaves if is_transformation(x)) or '...'})"


def is_own(bound: Bound) -> bool:
    """Whether a rule is jopt's kind all through: no factory of Optax's made it, a part of it, or what it hands back."""
    if bound.spec.factory.lifted:
        return False
    made = made_by(bound)
    parts = [x for x in jax.tree.leaves(bound.arguments(), is_leaf=is_transformation) if is_transformation(x)]
    parts += [made] if is_transformation(made) else []
    return all(is_value(part) and is_own(part.bound) for part in parts)


def as_pair(made: Any) -> optax.GradientTransformationExtraArgs:
    """What a factory returned, as a pair whose ``update`` takes extra arguments."""
    init, update = (made.init, made.update) if hasattr(made, "init") else made
    takes_extra = isinstance(made, optax.GradientTransformationExtraArgs)  # so it says: optax.contrib.sam takes one alone
    if is_value(made) or (is_transformation(made) and not takes_extra):
        return optax.with_extra_args_support(made)
    parameters = inspect.signature(update).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return optax.GradientTransformationExtraArgs(init, update)

    def update_with_known(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        known = {name: value for name, value in extra_args.items() if name in parameters}
        return update(updates, state, params, **known)

    return optax.GradientTransformationExtraArgs(init, update_with_known)

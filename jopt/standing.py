"""Where axes stand in a tree of values, and the tree with something else in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from jopt.lifting import lift
from jopt.transformation import GradientTransformation, from_bound
from jopt.values.binding import bind, is_value
from jopt.values.names import key_name
from jopt.values.numbers import Axis
from jopt.values.schedule import Schedule


class Place(NamedTuple):
    """One place where an axis stands.

    Attributes:
      axis: The axis.
      path: The way to it: keys, fields, arguments.
      structure: Whether the argument is structure, whatever the values are.
    """

    axis: Any
    path: tuple[str, ...]
    structure: bool


def places(tree: Any, path: tuple[str, ...] = (), structure: bool = False) -> Iterator[Place]:
    """Every axis of a tree, at whatever depth, in the order of the arguments."""
    for keys, x in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_value)[0]:
        here = (*path, *map(key_name, keys))
        if isinstance(x, Axis):
            yield Place(x, here, structure)
        elif is_value(x):
            switches = x.bound.spec.factory.switches
            for name, value in x.bound.arguments().items():
                yield from places(value, (*here, name), name in switches)


def put(tree: Any, axis: Axis, new: Any) -> Any:
    """The tree with ``new`` wherever an axis stands; values around it are built again, as if it had stood there."""

    def at(x: Any) -> Any:
        if x is axis:
            return new
        if is_value(x) and any(place.axis is axis for place in places(x)):
            return _built_again(x, [put(value, axis, new) for value in x.bound.arguments().values()])
        return x

    return jax.tree.map(at, tree, is_leaf=is_value)


def _built_again(value: Any, arguments: Sequence[Any]) -> GradientTransformation | Schedule:
    """A value of the same factory with other arguments."""
    spec = value.bound.spec
    args = arguments[: spec.positional]
    words = dict(zip(spec.slots[spec.positional :], arguments[spec.positional :], strict=True))
    if spec.factory.lifted:  # what this factory needs in Python may depend on its arguments
        made: GradientTransformation | Schedule = lift(spec.factory.function, static=spec.factory.static)(*args, **words)
        return made
    bound = bind(spec.factory, args, words)
    return Schedule(bound) if isinstance(value, Schedule) else from_bound(bound)

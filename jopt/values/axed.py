"""Values with axes among their arguments: where the axes stand, and what is built of their first values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from jopt.values.binding import Bound, is_value, rebuild
from jopt.values.numbers import Axis


def axes_of(bound: Bound) -> Iterator[tuple[str, Axis]]:
    """The axes among the arguments, with their paths; of those in nested values the ones that stand for numbers."""
    yield from ((path, x) for path, x in zip(bound.spec.paths, bound.leaves, strict=True) if isinstance(x, Axis))
    for slot, statics in zip(bound.spec.slots, bound.spec.statics, strict=True):
        yield from ((slot, x.value) for x in statics if x is not None and isinstance(x.value, Axis))


def computable(bound: Bound) -> None:
    """Checks that there are numbers to compute with, and not descriptions of some."""
    for path, x in zip(bound.spec.paths, bound.leaves, strict=True):
        if isinstance(x, jax.ShapeDtypeStruct):
            raise TypeError(f"{bound.spec.factory.name}: {path} must be a number, but is the description of one, {x!r}.")


def without_axes(bound: Bound) -> list[Any]:
    """The bound arguments with the first value of each axis in its place."""
    return [first_values(value) for value in bound.spec.fill(bound.leaves)]


def first_values(tree: Any) -> Any:
    """A tree with the first value of each axis in its place, in the values of the tree too."""

    def first(x: Any) -> Any:
        if isinstance(x, Axis):
            return x.values[0]
        if is_value(x) and _holds_axes(x.bound):
            spec = x.bound.spec
            make, _ = x.__reduce__()  # how its kind is made of a bound factory
            return make(rebuild(spec.factory, without_axes(x.bound), spec.slots, spec.positional))
        return x

    return jax.tree.map(first, tree, is_leaf=is_value)


def _holds_axes(bound: Bound) -> bool:
    inner = (x for x in jax.tree.leaves(bound.arguments(), is_leaf=is_value) if is_value(x))
    return any(axes_of(bound)) or any(_holds_axes(x.bound) for x in inner)

"""Many small leaves trained as one array: each operation of a step then costs one call for all of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt._numbers import Axis, is_number
from jopt._trees import flatten
from jopt._values import Bound, is_value

LEAVES, ELEMENTS = 48, 4096  # so many leaves, of so few elements on average, are packed


@dataclasses.dataclass(frozen=True)
class Packing:
    """How a tree of arrays of one type lies in one array: leaf after leaf, each in C order."""

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> list[int]:
        return [math.prod(shape) for shape in self.shapes]

    def pack(self, tree: Any) -> jax.Array:
        """The tree as one array."""
        return jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(tree)])

    def unpack(self, flat: jax.Array) -> Any:
        """The tree; its gradient is one concatenation."""
        parts = jax.lax.split(flat, self.sizes)
        return self.treedef.unflatten([x.reshape(shape) for x, shape in zip(parts, self.shapes, strict=True)])

    def unpack_lanes(self, flat: Any) -> Any:
        """The tree on the host, where ``flat`` has leading axes of lanes."""
        array = np.asarray(flat)
        parts = np.split(array, np.cumsum(self.sizes)[:-1], axis=-1)
        return self.treedef.unflatten(
            [x.reshape(*array.shape[:-1], *shape) for x, shape in zip(parts, self.shapes, strict=True)]
        )


def packing_of(params: Any, optimizer: Any) -> Packing | None:
    """How to pack parameters (or their shapes); ``None`` where it brings nothing, or the optimizer may tell leaves apart."""
    leaves, treedef = flatten(params)
    kinds = {jnp.result_type(x) for x in leaves}
    small = len(leaves) >= LEAVES and sum(math.prod(jnp.shape(x)) for x in leaves) <= ELEMENTS * len(leaves)
    if not small or len(kinds) > 1 or not _packable(optimizer) or kinds.pop() not in (jnp.float32, jnp.float64):
        return None
    return Packing(treedef, tuple(jnp.shape(x) for x in leaves))


def _packable(value: Any) -> bool:
    if not is_value(value):
        return False
    bound: Bound = value.bound
    factory = bound.spec.factory
    return factory.packable and all(_uniform(part, name in factory.takes_schedules) for name, part in bound.arguments().items())


def _uniform(argument: Any, may_be_schedule: bool) -> bool:
    """Whether an argument says the same to every leaf: a number, a switch, a schedule, a packable part."""
    if argument is None or isinstance(argument, (bool, str, type, np.dtype, Axis)):
        return True
    if is_value(argument):
        return may_be_schedule or _packable(argument)
    return callable(argument) and may_be_schedule if not is_number(argument) else jnp.ndim(argument) == 0

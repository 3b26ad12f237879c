"""Parameters that differ in structure or shape from setting to setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from numpy.typing import NDArray


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Ragged:
    """Trees of lanes that can't be one tree of arrays, since an axis of structure changes their shapes.

    Attributes:
      stacks: A tree for each program, leaves [settings, seed, ...].
      where: [*dims, 2], the stack of each setting, and its place there.
    """

    stacks: Sequence[Any]
    where: NDArray[Any]

    def at(self, index: tuple[int, ...]) -> Any:
        """The tree of one setting, leaves [seed, ...]."""
        stack, place = self.where[index]
        return jax.tree.map(lambda leaf: leaf[int(place)], self.stacks[int(stack)])

"""The settings of a sweep: what differs between them, and what is compiled for them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jopt.hyper import Hyper
from jopt.values.numbers import Axis, as_float, settings_of
from jopt.values.trees import flatten


class Setting(NamedTuple):
    """What the functions of one lane are given: the optimizer, and the user's own numbers."""

    optimizer: Any
    hyper: Hyper | None = None


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One dimension of a sweep: the axes that are walked along it, with their names and values."""

    name: str
    members: tuple[tuple[str, Axis, tuple[Any, ...]], ...]  # name, axis, values

    def __len__(self) -> int:
        return len(self.members[0][2])


@dataclasses.dataclass(frozen=True)
class Space:
    """Settings that one program computes: they differ in numbers only.

    Attributes:
      value: their common structure, with an axis at each leaf that differs.
      values: for each such leaf its number in every setting.
      batch_size: as it is given to the data.
      places: of these settings among all of the sweep.
      dimensions: of the whole sweep.
    """

    value: Setting
    values: Mapping[int, np.ndarray]
    batch_size: Any
    places: np.ndarray
    dimensions: tuple[Dimension, ...]

    @property
    def size(self) -> int:
        """How many settings there are."""
        return len(self.places)

    def leaf_values(self) -> dict[int, np.ndarray]:
        """For each leaf that has an axis, its value in every setting, in the type in which it would stand alone."""
        return {i: _typed(values) for i, values in self.values.items()}

    def at(self, setting: int) -> Setting:
        """One setting, with Python numbers for its axes, as if it had been built with them."""
        chosen = {i: _alone(values, setting) for i, values in self.values.items()}
        leaves, treedef = flatten(self.value)
        made: Setting = treedef.unflatten([chosen.get(i, x) for i, x in enumerate(leaves)])
        return made

    def columns(self) -> dict[int, list[Any]]:
        """For each leaf that has an axis, its value in every setting as ``at`` has it."""
        return {i: _all_alone(values) for i, values in self.values.items()}

    def stacked(self) -> tuple[Any, Any]:
        """The optimizers of all settings as one value with a leading axis, and its ``in_axes``."""
        varying = self.leaf_values()
        leaves, treedef = flatten(self.value)
        stacks = treedef.unflatten([_stack(varying[i]) if i in varying else x for i, x in enumerate(leaves)])
        in_axes = treedef.unflatten([0 if i in varying else None for i in range(len(leaves))])
        return stacks.optimizer, in_axes.optimizer


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings of a sweep; number k counts through the product of the dimensions, the last one fastest.

    Attributes:
      optimizer: as the user gave it, with its axes.
      dimensions: of the sweep.
      spaces: the settings by what is compiled for them, one program each.
      batch_axis: what ``batch_size`` is, if it is an axis.
    """

    optimizer: Any
    dimensions: tuple[Dimension, ...]
    spaces: tuple[Space, ...]
    batch_axis: Axis | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        return tuple(len(d) for d in self.dimensions)

    @property
    def size(self) -> int:
        """How many settings there are."""
        return math.prod(self.shape)

    def at(self, setting: int) -> Any:
        """The optimizer of one setting, without axes, as if it had been built with its values."""
        return self._at(setting).optimizer

    def hyper_at(self, setting: int) -> Any:
        """The user's own numbers of one setting."""
        hyper = self._at(setting).hyper
        return None if hyper is None else hyper.tree

    def _at(self, setting: int) -> Setting:
        space = next(space for space in self.spaces if setting in space.places)
        return space.at(int(np.searchsorted(space.places, setting)))


def _typed(values: np.ndarray) -> np.ndarray:
    counts = np.issubdtype(values.dtype, np.integer)
    return values.astype(jnp.result_type(int)) if counts else settings_of(values)


def _alone(values: np.ndarray, setting: int) -> Any:
    if np.issubdtype(values.dtype, np.integer):
        return int(values[setting])
    counts = np.issubdtype(settings_of(values).dtype, np.integer)
    return as_float(int(values[setting]) if counts else float(values[setting]))


def _all_alone(values: np.ndarray) -> list[Any]:
    if np.issubdtype(values.dtype, np.integer):
        return [int(x) for x in values]
    counts = np.issubdtype(settings_of(values).dtype, np.integer)
    return [as_float(int(x) if counts else float(x)) for x in values]


def _stack(values: np.ndarray) -> jax.Array:
    # Weakly typed, as a Python number is, so that a lane computes in the types of its solo run. An array made of one
    # Python number is weakly typed, and stays so when its elements are replaced.
    return jnp.full(values.shape, values.dtype.type(0).item()).at[:].set(values)


def one_after_another(parts: Sequence[Settings]) -> Settings:
    """The settings of several rounds of one search, which lie along one dimension, as those of the whole."""
    members = zip(*(part.dimensions[0].members for part in parts), strict=True)
    each = tuple((of[0][0], of[0][1], tuple(x for _, _, values in of for x in values)) for of in members)
    dimensions = (Dimension(parts[0].dimensions[0].name, each),)
    begins = np.cumsum([0, *(part.size for part in parts)])[:-1]
    spaces = [
        dataclasses.replace(space, places=space.places + begin, dimensions=dimensions)
        for part, begin in zip(parts, begins, strict=True)
        for space in part.spaces
    ]
    return dataclasses.replace(parts[0], dimensions=dimensions, spaces=tuple(spaces))

"""What lanes recorded, in pieces, and the arrays that pieces make together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Numbers = np.ndarray[Any, Any]
_ALL = slice(None)


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Values of some lanes.

    Attributes:
      lanes: [n], their numbers.
      values: [steps, n] by name; of ``outcomes`` [n].
      steps: [steps], the last step that each value is of; of ``outcomes`` None.
    """

    lanes: Numbers
    values: Mapping[str, Numbers]
    steps: Numbers | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """A tree of some lanes, leaves [n, ...], after a step."""

    lanes: Numbers
    step: int
    tree: Any


class Lanes(NamedTuple):
    """Lanes by number: the setting, the seed and the name of each."""

    settings: Numbers
    seeds: Numbers
    names: list[str]


def over_time(pieces: Iterable[Piece], lanes: Numbers, steps: Numbers) -> dict[str, Numbers]:
    """The values of lanes at steps: arrays [*lanes, steps] by name, NaN where no piece has them; the last piece counts."""
    found: dict[str, Numbers] = {}
    for piece in pieces:
        own, there = _places(lanes, piece.lanes)
        if piece.steps is None:
            raise ValueError("it has records without their steps")
        rows = np.searchsorted(steps, piece.steps)
        known = np.isin(piece.steps, steps)
        for name, values in piece.values.items():
            _check_shape(name, values, (len(piece.steps), len(piece.lanes)))
            kept = _room(found, name, (len(steps), lanes.size), values.dtype)
            if own is _ALL:
                kept[rows[known]] = values if known.all() else values[known]
            else:
                kept[np.ix_(rows[known], there)] = values[np.ix_(known, own)]
    return {name: np.moveaxis(x.reshape(len(steps), *lanes.shape), 0, -1) for name, x in found.items()}


@np.errstate(invalid="ignore")  # of a file that says nonsense
def of_lanes(pieces: Iterable[Piece], lanes: Numbers, first: int) -> dict[str, Numbers]:
    """How far lanes have come, ``first`` at least, where they diverged, were pruned or left behind, and what they were doing.

    Arrays of the shape of ``lanes``; ``state`` is a number of ``table.State``, 0 where nothing says it.
    """
    found = {"steps_done": np.full(lanes.size, first, np.int64)}
    found |= {name: np.full(lanes.size, np.nan) for name in ("diverged_at", "pruned_at", "left_at")}
    found["state"] = np.zeros(lanes.size, np.int8)
    for piece in pieces:
        own, there = _places(lanes, piece.lanes)
        for name, kept in found.items():
            if name in ("state", "left_at") and name not in piece.values:
                continue
            _check_shape(name, piece.values[name], piece.lanes.shape)
            kept[there] = piece.values[name][own]
    return {name: x.reshape(lanes.shape) for name, x in found.items()}


def _places(lanes: Numbers, own: Numbers) -> tuple[Any, Any]:
    """Which of a piece's lanes are asked for, and where these stand among those asked for."""
    asked = lanes.ravel()
    if np.array_equal(asked, own):
        return _ALL, _ALL
    place = np.full(int(max(asked.max(initial=-1), own.max(initial=-1))) + 1, -1)
    place[asked] = np.arange(len(asked))
    there = place[own]
    return np.flatnonzero(there >= 0), there[there >= 0]


def _room(found: dict[str, Numbers], name: str, shape: tuple[int, ...], dtype: Any) -> Numbers:
    """The array that takes the pieces of a name, in a type that holds all of them, and NaN where there is none yet."""
    wanted = dtype if jnp.issubdtype(dtype, jnp.inexact) else np.dtype(np.float64)
    if name not in found:
        found[name] = np.full(shape, np.nan, wanted)
    elif found[name].dtype != wanted:
        found[name] = found[name].astype(jnp.promote_types(found[name].dtype, wanted))
    return found[name]


def _check_shape(name: str, values: Numbers, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"the values of {name!r} have shape {values.shape}, but their lanes and steps say {shape}")

"""The axes of parallel coordinates: where each setting lies on them, and their ticks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results.plots import style
from jopt.results.plots.scales import Scale, scale_of_axis
from jopt.results.record import SweepRecord

MARGIN = 0.04  # of the height, under the lowest value and over the highest
APART = 0.055  # of the height: so far apart are two ticks at least
EACH = 8  # values up to which each has a tick
SPREAD = 0.3  # of the distance of two values: over so much are the lines through one of a few spread
MANY = 12  # lines through one value that take all of it


class Column(NamedTuple):
    """One axis.

    Attributes:
      name: Of the number.
      places: [setting], between 0 and 1.
      ticks: Label -> place.
      kind: "linear", "log" or "zero" (see ``Scale``), or "named" for values that are no numbers.
    """

    name: str
    places: NDArray[np.float64]
    ticks: dict[str, float]
    kind: str


def columns_of(record: SweepRecord, rank: NDArray[Any]) -> tuple[Column, ...]:
    """An axis for each number with several values; for each at all where none has.

    Args:
      record: Of the settings.
      rank: [setting], their order by score, by which lines through one of a few values are spread.
    """
    names = [name for dim in record.dims for name in record.names_along(dim)]
    several = [name for name in names if len(record.coords[name][1]) > 1]
    where = np.indices(record.shape).reshape(len(record.dims), -1)
    return tuple(_column(record, name, where, rank) for name in several or names)


def _column(record: SweepRecord, name: str, where: NDArray[Any], rank: NDArray[Any]) -> Column:
    axis, values = record.coordinate(name)
    mine = where[axis]
    if values.dtype.kind not in "iuf":
        return _named(name, [style.value(found) for found in values], mine, rank)
    scale = scale_of_axis(values, record.kinds.get(name))
    places = _stretched(scale.forward(values), scale.forward(values))
    found, level = np.unique(values, return_inverse=True)
    if len(found) > EACH:
        return Column(name, places[mine], _some(values, scale), scale.kind)
    width = min([2 * MARGIN, *(SPREAD * np.diff(np.unique(places)))])
    return Column(name, _spread(places[mine], level[mine], rank, width), _each(values, places), scale.kind)


def _named(name: str, labels: list[str], mine: NDArray[Any], rank: NDArray[Any]) -> Column:
    """Values evenly apart, in the order of the axis."""
    levels = list(dict.fromkeys(labels))
    side = SPREAD / 2 / max(len(levels) - 1, 1)
    at = np.arange(len(levels), dtype=float)
    heights = _stretched(at, at, margin=(side + MARGIN / 2) / (1 + 2 * side))  # what is spread stays inside
    level = np.array([levels.index(label) for label in labels])[mine]
    width = SPREAD * (heights[1] - heights[0] if len(levels) > 1 else 1.0)
    return Column(name, _spread(heights[level], level, rank, width), dict(zip(levels, heights.tolist(), strict=True)), "named")


def _spread(places: NDArray[np.float64], level: NDArray[Any], rank: NDArray[Any], width: float) -> NDArray[np.float64]:
    """The lines through one value side by side, in the order of their scores, so that one can follow them."""
    spread = places.copy()
    for each in np.unique(level):
        members = np.flatnonzero(level == each)
        members = members[np.argsort(rank[members], kind="stable")]
        spread[members] += np.linspace(-0.5, 0.5, len(members)) * width * min(1.0, len(members) / MANY)
    return spread


def _stretched(places: NDArray[Any], ends: NDArray[Any], margin: float = MARGIN) -> NDArray[np.float64]:
    """Places on the scale of an axis as shares of the height."""
    low, high = float(np.min(ends)), float(np.max(ends))
    if low == high:
        return np.full(np.shape(places), 0.5)
    return np.asarray(margin + (1 - 2 * margin) * (np.asarray(places) - low) / (high - low))


def _each(values: NDArray[Any], places: NDArray[np.float64]) -> dict[str, float]:
    return _apart(sorted(zip(places.tolist(), map(style.value, values), strict=True)))


def _some(values: NDArray[Any], scale: Scale) -> dict[str, float]:
    """Ticks at both ends, and at round numbers between."""
    from matplotlib.ticker import MaxNLocator

    low, high = float(np.min(values)), float(np.max(values))
    if scale.kind == "linear":
        between: Any = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    else:
        least = np.min(values[values > 0])
        between = 10.0 ** np.arange(np.ceil(np.log10(least)), np.floor(np.log10(high)) + 1)
    ends = scale.forward([low, high])
    found = [low, high, *(x for x in between if low < x < high)]
    return _apart([(float(_stretched(scale.forward(x), ends)), style.value(x)) for x in found])


def _apart(ticks: list[tuple[float, str]]) -> dict[str, float]:
    """The ticks that have room, those named first before the others."""
    kept: dict[str, float] = {}
    for place, label in ticks:
        if label not in kept and all(abs(place - other) >= APART for other in kept.values()):
            kept[label] = place
    return kept

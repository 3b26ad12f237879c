"""Where things lie in the charts of the page: the places of an axis's values, and the part of a score that is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import text
from jopt.results.page.listing import is_number
from jopt.results.plots import scales

ABSENT = object()  # in the place of a number that a group did not sweep
MARKS = 7  # on an axis of the parallel coordinates


class _Places(NamedTuple):
    """The values of an axis as places along it."""

    kind: str
    at: NDArray[np.float64]
    along: NDArray[np.float64]
    ends: list[str]
    marks: list[tuple[float, str]]


def axis(name: str, values: Sequence[Any], order: Sequence[Any] = (), how: str | None = None) -> dict[str, Any]:
    """One axis, made ``how`` a record says, with a value of each setting; what is no number stands in some ``order``.

    Returns:
      kind: "linear", "log" or "listed", where values have places of their own.
      at: The value of each setting, or its place; None where there is none.
      ends: The first and the last value, as text.
      ticks: Of a listed axis its places and their labels.
      place: Where each setting is between the ends, 0 to 1.
      marks: Some places between the ends, with labels.
    """
    present = [value for value in values if value is not ABSENT]
    found = _numbers(present, how) if all(map(is_number, present)) else _names(present, order)
    low, high = float(np.min(found.along)), float(np.max(found.along))

    def share(place: float) -> float:
        return (place - low) / (high - low) if high > low else 0.5

    at, places = iter(found.at.tolist()), iter(map(share, found.along.tolist()))
    return {
        "name": name,
        "kind": found.kind,
        "at": [None if value is ABSENT else rounded(next(at)) for value in values],
        "ends": found.ends,
        "ticks": found.marks if found.kind == "listed" else None,
        "place": [None if value is ABSENT else rounded(next(places)) for value in values],
        "marks": [(rounded(share(place)), label) for place, label in found.marks],
    }


def at(number: float, values: Sequence[Any], how: str | None = None) -> float:
    """Where a number stands along the axis of some values, made ``how`` a record says, in the terms of its ``at``."""
    scale = scales.scale_of_axis(np.asarray([x for x in values if x is not ABSENT], np.float64), how)
    return float(scale.forward(number)) if scale.kind == "zero" else number


def _names(present: Sequence[Any], order: Sequence[Any]) -> _Places:
    shown = [str(value) for value in present]
    known = [each for each in dict.fromkeys(map(str, [*order, *shown])) if each in shown]
    at = np.asarray([known.index(each) for each in shown], np.float64)
    return _Places("listed", at, at, [known[0], known[-1]], [(float(i), each) for i, each in enumerate(known)])


def _numbers(present: Sequence[Any], how: str | None) -> _Places:
    numbers = np.asarray(present, np.float64)
    scale, order = scales.scale_of_axis(numbers, how), np.unique(numbers)
    kind = "listed" if scale.kind == "zero" else scale.kind
    along = scale.forward(numbers)
    marks = [(float(scale.forward(x)), text.number(float(x))) for x in _marked(order, kind)]
    ends = [text.number(float(x)) for x in (order[0], order[-1])]
    return _Places(kind, along if kind == "listed" else numbers, along, ends, marks)


def _marked(order: NDArray[Any], kind: str) -> Iterable[float]:
    """The numbers of an axis that are written on it."""
    if kind == "listed" or len(order) <= MARKS:
        return [float(x) for x in order]
    if kind == "linear":
        return [float(x) for x in np.linspace(order[0], order[-1], 5)]
    first, last = math.ceil(math.log10(order[0]) - 1e-9), math.floor(math.log10(order[-1]) + 1e-9)
    if last - first < 1:  # one whole power, or none
        return [float(x) for x in np.geomspace(order[0], order[-1], 5)]
    step = max(1, -(-(last - first) // MARKS))
    return [10.0**power for power in range(first, last + 1, step)]


def view(values: Any, mode: str, keep: Iterable[float] = ()) -> dict[str, Any]:
    """The part of some scores that is shown: far outliers on the bad side are cut off.

    Returns:
      log: Whether they are shown by magnitude.
      floor: Where zero is drawn then; None: there is none.
      range: From where to where, the logarithms where they are shown so.
    """
    seen = scales.view(np.asarray(values, np.float64).ravel(), mode, keep)
    if seen.scale.kind == "linear":
        return {"log": False, "floor": None, "range": [seen.low, seen.high]}
    floor = seen.scale.least if seen.scale.kind == "zero" else None
    low = seen.low if floor is None else floor / 2
    return {"log": True, "floor": floor, "range": [math.log10(low), math.log10(seen.high)]}


def rounded(x: Any) -> float | None:
    """A number in six digits, so that it takes little room; None where it is not finite."""
    return float(f"{x:.6g}") if math.isfinite(x) else None

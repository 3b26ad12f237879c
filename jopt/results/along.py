"""The scores along one number of the best setting: the curve that a suggestion is read off."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.record import SweepRecord
from jopt.results.suggesting import Curve, Floats, Minimum, Shape, minimum, shape


class Turned(NamedTuple):
    """Scores as something to minimize, ``shift + sign · score``; the same once more turns them back."""

    shift: float
    sign: float

    def __call__(self, values: Any) -> Any:
        """Scores turned, or turned back."""
        return self.shift + self.sign * values

    def name(self, metric: str) -> str:
        """What is minimized, in words: of an accuracy its complement."""
        return f"{self.shift:g} - {metric}" if self.shift else metric


class Fit(NamedTuple):
    """A curve along one number, and where it is lowest.

    Attributes:
      name: Of the number.
      values: [points], of the number, ascending.
      curve: The scores there, turned so that lower is better.
      found: Its minimum.
      about: What it is like there.
      turned: How scores were turned.
      pruned: [values], of the number, ascending, that were pruned and are no points.
    """

    name: str
    values: Floats
    curve: Curve
    found: Minimum
    about: Shape
    turned: Turned
    pruned: Floats

    @property
    def edge(self) -> int:
        """-1 or 1 where the lowest point is the first or the last value of its axis, else 0."""
        return 0 if self.beside_pruned else self.found.edge

    @property
    def beside_pruned(self) -> bool:
        """Whether the lowest point is the first or the last only because what lies beyond was pruned."""
        beyond = self.pruned < self.values[0] if self.found.edge < 0 else self.pruned > self.values[-1]
        return bool(self.found.edge and beyond.any())

    def number(self, x: Any) -> Any:
        """Values of the number, of places on the curve's own scale."""
        return np.exp(x) if self.curve.log_x else x

    def score(self, heights: Any) -> Any:
        """Scores as they were recorded, of heights of the curve."""
        return self.turned(np.exp(heights) if self.curve.by_ratio else heights)


def ordered(record: SweepRecord) -> list[str]:
    """The numbers that can be suggested: several different ones, each along a dimension of its own."""
    return [name for name, (dim, values) in record.coords.items() if _is_ordered(record, dim, values)]


def _is_ordered(record: SweepRecord, dim: str, values: NDArray[Any]) -> bool:
    if not np.issubdtype(np.asarray(values).dtype, np.number):  # structure, ``None`` beside numbers
        return False
    return len(record.names_along(dim)) == 1 and len(np.unique(values)) == len(values) > 1


def fitted(record: SweepRecord, ranked: scores.Ranking, index: tuple[int, ...], name: str) -> Fit:
    """The curve through one setting along one of its numbers, and the minimum."""
    values, curve, turned = curve_of(record, ranked, index, name)
    found = minimum(curve) if len(values) > 2 else _of_few(curve)
    pruned = np.setdiff1d(np.asarray(record.coordinate(name)[1], np.float64), values)
    return Fit(name, values, curve, found, shape(curve, found.place), turned, pruned)


def curve_of(record: SweepRecord, ranked: scores.Ranking, index: tuple[int, ...], name: str) -> tuple[Floats, Curve, Turned]:
    """The numbers of an axis, ascending, the scores through one setting along it, and how these were turned."""
    along, values = record.coordinate(name)
    at = tuple(slice(None) if axis == along else i for axis, i in enumerate(index))
    per_seed = np.where(record.diverged[at], np.nan, scores.score(record, ranked).per_seed[at])
    order = np.argsort(values)
    order = order[~np.asarray((record.pruned | record.left)[at].any(axis=-1))[order]]  # they have no score of a whole run
    values, per_seed = np.asarray(values, np.float64)[order], per_seed[order]
    turned = _turned(per_seed, ranked.mode)
    per_seed = np.where(np.isfinite(per_seed), turned(per_seed), np.inf)
    before = _before(record, ranked.metric)
    before = float(turned(before)) if math.isfinite(before) else math.inf
    log_x = bool(values[0] > 0)
    by_ratio = bool((per_seed >= 0).all())
    return values, Curve(np.log(values) if log_x else values, per_seed, before, by_ratio, log_x), turned


def _turned(per_seed: Floats, mode: str) -> Turned:
    if mode == "min":
        return Turned(0.0, 1.0)
    finite = per_seed[np.isfinite(per_seed)]
    share = bool(((finite >= 0) & (finite <= 1)).all())  # an accuracy: its complement is an error, which has ratios
    return Turned(1.0 if share else 0.0, -1.0)


def _before(record: SweepRecord, metric: str, share: float = 0.5) -> float:
    """The score before the first step, that of a ``share`` of the lanes or lower; infinite where nobody looked."""
    _, steps, values = record.series(metric)
    known = metric in record.losses or steps[0] == 0
    first = np.asarray(values[..., 0], np.float64)
    first = first[np.isfinite(first)]
    return float(np.quantile(first, share)) if known and len(first) else math.inf


def capped(values: NDArray[Any], records: Iterable[SweepRecord], ranked: scores.Ranking) -> NDArray[Any]:
    """Scores, of which those worse than before the first step are as that: how much worse is not worth a picture's room."""
    low = ranked.mode == "min"
    # A training loss is first recorded after some steps already, when bad lanes are beyond where good ones began.
    starts = [_before(record, ranked.metric, 0.75 if low else 0.25) for record in records]
    start = max(starts) if low else min(starts)
    if not math.isfinite(start) or not (values < start if low else values > start).any():
        return values
    return np.asarray(np.minimum(values, start) if low else np.maximum(values, start))


def _of_few(curve: Curve) -> Minimum:
    place = int(np.argmin(curve.heights()))
    edge = 0 if len(curve.x) < 2 else 2 * place - 1
    return Minimum(float(curve.x[place]), float(curve.x[0]), float(curve.x[-1]), place, edge, "the best of too few points")

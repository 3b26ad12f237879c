"""The scores along one number of the best setting: the curve that a suggestion is read off."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.record import SweepRecord
from jopt.results.spacing import is_log
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


class Points(NamedTuple):
    """The scores along one number.

    Attributes:
      values: [points], of the number, ascending, as far as they were not pruned.
      scores: [points, seeds], turned so that lower is better; infinite where a run was not finite.
      before: The score before the first step, turned too; infinite where it is not known.
      zero: Whether the first value is 0 and has no place on the scale of the others, which is logarithmic.
      log: Whether that is their scale.
      pruned: [values], of the number, ascending, that were pruned and are no points.
    """

    values: Floats
    scores: Floats
    before: float
    zero: bool
    log: bool
    pruned: Floats

    def curve(self) -> Curve:
        """What a minimum is looked for on: without the 0 of a logarithmic scale."""
        first = int(self.zero)
        x, by_ratio = self.values[first:], bool((self.scores >= 0).all())
        return Curve(np.log(x) if self.log else x, self.scores[first:], self.before, by_ratio, self.log)


class Fit(NamedTuple):
    """A curve along one number, and where it is lowest.

    Attributes:
      name: Of the number.
      points: All scores.
      curve: Those of them that it goes through.
      found: Its minimum.
      about: What scores are like around the best.
      turned: How scores were turned.
      place: The best of the points.
    """

    name: str
    points: Points
    curve: Curve
    found: Minimum
    about: Shape
    turned: Turned
    place: int

    @property
    def at_zero(self) -> bool:
        """Whether the best is the 0 that the curve does not have."""
        return self.points.zero and self.place == 0

    @property
    def values(self) -> Floats:
        """[points of the curve], of the number."""
        return self.points.values[int(self.points.zero) :]

    @property
    def value(self) -> float:
        """What is suggested: where the curve is lowest, or the 0 beside it where no point of the curve is better.

        It is a value that ran, or one in the digits in which it is read, so that words, code and pictures say the same.
        """
        if self.at_zero:
            return 0.0
        value = float(self.number(self.found.x))
        return value if self.found.x in self.curve.x else float(text.number(value, text.apart((value, *self.interval))))

    @property
    def interval(self) -> tuple[float, float]:
        """In which the best lies; it begins at the 0 beside the curve where nothing else lies below the best."""
        low, high = (float(self.number(x)) for x in (self.found.low, self.found.high))
        if self.at_zero:
            return 0.0, float(self.values[0])
        below = self.points.zero and self.found.edge < 0 and not self.beside_pruned
        return 0.0 if below else low, high

    @property
    def rule(self) -> str:
        """How the value was found, in words."""
        return (
            "the best point, 0, which has no place on the logarithmic scale of the others" if self.at_zero else self.found.rule
        )

    @property
    def lost(self) -> bool:
        """Whether even the best was not finite, or ended no better than before its first step."""
        if self.at_zero:
            return bool(self.points.scores[0].mean() >= self.points.before)
        return bool(self.curve.lost()[self.found.place])

    @property
    def edge(self) -> int:
        """-1 or 1 where the best is the first or last value of its axis, or the first above 0 on a logarithmic one; else 0."""
        if self.at_zero:
            return -1 if len(self.values) > 1 else 0
        return 0 if self.beside_pruned else self.found.edge

    @property
    def beside_pruned(self) -> bool:
        """Whether the best is the first or the last only because what lies beyond was pruned."""
        pruned = self.points.pruned
        beyond = pruned < self.values[0] if self.found.edge < 0 else pruned > self.values[-1]
        return bool(self.found.edge and not self.at_zero and beyond.any())

    def number(self, x: Any) -> Any:
        """Values of the number, of places on the curve's own scale."""
        return np.exp(x) if self.curve.log_x else x

    def score(self, heights: Any) -> Any:
        """Scores as they were recorded, of heights of the curve."""
        return self.turned(np.exp(heights) if self.curve.by_ratio else heights)


def ordered(record: SweepRecord) -> list[str]:
    """The numbers with a curve: several different ones, each along a dimension of its own."""
    return [name for name in record.coords if is_curve(record, name)]


def is_curve(record: SweepRecord, name: str) -> bool:
    """Whether scores along a number are a curve."""
    dim, values = record.coords[name]
    if not np.issubdtype(np.asarray(values).dtype, np.number):  # structure, ``None`` beside numbers
        return False
    return len(record.names_along(dim)) == 1 and len(np.unique(values)) == len(values) > 1


def fitted(record: SweepRecord, ranked: scores.Ranking, index: tuple[int, ...], name: str) -> Fit:
    """The curve through one setting along one of its numbers, and the minimum."""
    points, turned = points_of(record, ranked, index, name)
    curve = points.curve()
    found = minimum(curve) if len(curve.x) > 2 else _of_few(curve)
    place = found.place + points.zero
    if points.zero and points.scores[0].mean() <= points.scores[place].mean():
        place = 0
    return Fit(name, points, curve, found, shape(points.values, points.scores, points.before, place), turned, place)


def points_of(record: SweepRecord, ranked: scores.Ranking, index: tuple[int, ...], name: str) -> tuple[Points, Turned]:
    """The scores through one setting along one of its numbers, and how they were turned."""
    along, every = record.coordinate(name)
    at = tuple(slice(None) if axis == along else i for axis, i in enumerate(index))
    per_seed = np.where(record.diverged[at], np.nan, scores.score(record, ranked).per_seed[at])
    order = np.argsort(every)
    order = order[~np.asarray((record.pruned | record.left)[at].any(axis=-1))[order]]  # they have no score of a whole run
    values, per_seed = np.asarray(every, np.float64)[order], per_seed[order]
    turned = _turned(per_seed, ranked.mode)
    before = _before(record, ranked.metric)
    log = is_log(every, record.kinds.get(name)) and bool(values[-1] > 0)
    points = Points(
        values=values,
        scores=np.where(np.isfinite(per_seed), turned(per_seed), np.inf),
        before=float(turned(before)) if math.isfinite(before) else math.inf,
        zero=log and bool(values[0] == 0),
        log=log,
        pruned=np.setdiff1d(np.asarray(every, np.float64), values),
    )
    return points, turned


def _turned(per_seed: Floats, mode: str) -> Turned:
    if mode == "min":
        return Turned(0.0, 1.0)
    finite = per_seed[np.isfinite(per_seed)]
    share = bool(((finite >= 0) & (finite <= 1)).all())  # an accuracy: its complement is an error, which has ratios
    return Turned(1.0 if share else 0.0, -1.0)


def _before(record: SweepRecord, metric: str, share: float = 0.5) -> float:
    """The score before the first step, that of a ``share`` of the settings or lower; infinite where nobody looked.

    It is a mean over seeds, as the scores are that it is compared with: parameters of one seed may begin far above others.
    """
    _, steps, values = record.series(metric)
    known = metric in record.losses or steps[0] == 0
    first = np.asarray(values[..., 0], np.float64).reshape(-1, len(record.seeds))
    first = np.where(np.isfinite(first), first, np.nan)
    first = first[:, np.isfinite(first).any(axis=0)]
    return float(np.nanquantile(first, share, axis=0).mean()) if known and first.size else math.inf


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
    place = curve.lowest()
    edge = 0 if len(curve.x) < 2 else 2 * place - 1
    return Minimum(float(curve.x[place]), float(curve.x[0]), float(curve.x[-1]), place, edge, "the best of too few points")

"""Which number to use: the minimum of a curve between the points of a grid, how sure that is, and why."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FINE = 3.5  # grids of steps up to this factor: a parabola through three points is as good as a curve through all
RESAMPLED = 200  # times that the seeds are drawn again


class Curve(NamedTuple):
    """Scores against one number, all else fixed.

    Attributes:
      x: [points], the number, or its logarithm, ascending.
      scores: [points, seeds], lower is better; not finite where a run was not.
      before: The score before the first step, which nothing worth a look is above; infinite where it is not known.
      by_ratio: Whether scores are compared by their ratio; else by their difference.
      log_x: Whether x is a logarithm.
    """

    x: Floats
    scores: Floats
    before: float
    by_ratio: bool = True
    log_x: bool = True

    def lost(self) -> NDArray[np.bool_]:
        """[points], whether a run was not finite, or ended no better than before its first step."""
        broken = ~np.isfinite(self.scores).all(axis=1)
        return np.asarray(broken | (self.heights() >= self._height(self.before)))

    def heights(self, seeds: NDArray[np.int64] | None = None) -> Floats:
        """[points], the mean over some seeds, as what is compared: finite, and no more than before the first step."""
        chosen = self.scores if seeds is None else self.scores[:, seeds]
        with np.errstate(invalid="ignore", over="ignore"):
            mean = chosen.mean(axis=1)
        finite = mean[np.isfinite(mean)]
        highest = self.before if math.isfinite(self.before) else float(np.max(finite, initial=0.0))
        mean = np.minimum(np.where(np.isfinite(mean), mean, highest), highest)
        return np.asarray(self._height(mean))

    def lowest(self) -> int:
        """The best of the points; of several that are no better than before the first step the best of these."""
        with np.errstate(invalid="ignore", over="ignore"):
            mean = self.scores.mean(axis=1)
        return int(np.lexsort((np.where(np.isfinite(mean), mean, np.inf), self.heights()))[0])

    def _height(self, score: Any) -> Any:
        return np.log(np.maximum(score, np.finfo(np.float64).tiny)) if self.by_ratio else score


class Minimum(NamedTuple):
    """Where a curve is lowest.

    Attributes:
      x: The value, on the curve's own scale.
      low: The lower end of the interval.
      high: The upper end of it.
      place: The lowest point of the grid.
      edge: -1 or 1 where that is the first or the last one, else 0.
      rule: How the value was found.
    """

    x: float
    low: float
    high: float
    place: int
    edge: int
    rule: str


def minimum(curve: Curve) -> Minimum:
    """The minimum of a curve of three points at least, and an interval for where the best number lies.

    *Value*: the mean of the vertex of the parabola through the lowest point and its neighbours and of the minimum of Akima's
    curve through all points; of grids coarser than a factor of 3.5 the latter only.

    *Interval*: from the lowest to the highest of these, of the intersections of the secants on both sides that fall between the
    neighbours, and of half a grid step around the value; a quarter of a step more on either side; up to the next point where
    one of the next two was lost (not finite, or no better than before its first step); and over what the value does when the
    seeds are drawn again (5 to 95 %, widened for few seeds). Never beyond the neighbours of the lowest point.
    """
    x, heights, place = curve.x, curve.heights(), curve.lowest()
    if place in (0, len(x) - 1):
        inner = 1 if place == 0 else len(x) - 2
        low, high = sorted((float(x[place]), float(x[inner])))
        return Minimum(float(x[place]), low, high, place, -1 if place == 0 else 1, "the best point, at the edge")
    value, rule, others = _value(curve, heights, place)
    step = (x[place + 1] - x[place - 1]) / 2
    found = [*others, *_secants(x, heights, place)]
    low, high = min(found) - step / 4, max(found) + step / 4
    if curve.lost()[place + 1 : place + 3].any():  # the wall stands somewhere before it
        high = max(high, x[place + 1])
    low, high = min(low, value - step / 2), max(high, value + step / 2)
    if curve.scores.shape[1] > 1:
        below, above = _resampled(curve, value)
        low, high = min(low, below), max(high, above)
    return Minimum(value, max(low, float(x[place - 1])), min(high, float(x[place + 1])), place, 0, rule)


def _value(curve: Curve, heights: Floats, place: int) -> tuple[float, str, list[float]]:
    """The value, how it was found, and all candidates."""
    x = curve.x
    akima = _akima(x, heights, place)
    vertex = _vertex(x[place - 1 : place + 2], heights[place - 1 : place + 2])
    widest = max(x[place + 1] - x[place], x[place] - x[place - 1])
    if curve.log_x and widest > math.log(FINE):
        return akima, "the minimum of Akima's curve", [akima, vertex]
    return (akima + vertex) / 2, "the mean of a parabola's minimum and that of Akima's curve", [akima, vertex]


def _vertex(x: Floats, heights: Floats) -> float:
    """Where the parabola through three points, of which the middle one is lowest, has its minimum."""
    (a, b, c), (fa, fb, fc) = x, heights
    left, right = (b - a) * (fb - fc), (b - c) * (fb - fa)
    if left == right:  # three equal heights
        return float(b)
    return float(b - ((b - a) * left - (b - c) * right) / (left - right) / 2)


def _akima(x: Floats, heights: Floats, place: int) -> float:
    """Where Akima's curve is lowest between the neighbours of the lowest point."""
    from scipy.interpolate import Akima1DInterpolator

    between = np.linspace(x[place - 1], x[place + 1], 401)
    return float(between[np.argmin(Akima1DInterpolator(x, heights)(between))])


def _secants(x: Floats, heights: Floats, place: int) -> list[float]:
    """Where lines through two points on either side of the minimum meet: a valley with straight sides has its floor there."""
    pairs = (((place - 1, place), (place + 1, place + 2)), ((place - 2, place - 1), (place, place + 1)))
    met = []
    for (a, b), (c, d) in pairs:
        if a < 0 or d >= len(x):
            continue
        falls = (heights[b] - heights[a]) / (x[b] - x[a])
        climbs = (heights[d] - heights[c]) / (x[d] - x[c])
        if falls == climbs:
            continue
        at = (heights[c] - heights[a] + falls * x[a] - climbs * x[c]) / (falls - climbs)
        if x[place - 1] <= at <= x[place + 1]:
            met.append(float(at))
    return met


def _resampled(curve: Curve, value: float) -> tuple[float, float]:
    """Between where the value lies in nine of ten cases when the seeds are drawn again."""
    from scipy import stats

    seeds = curve.scores.shape[1]
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLED, seeds))
    values = []
    for drawn in draws:
        heights = curve.heights(drawn)
        place = int(np.argmin(heights))
        inside = 0 < place < len(curve.x) - 1
        values.append(_value(curve, heights, place)[0] if inside else float(curve.x[place]))
    # Draws with replacement vary too little, the more so the fewer seeds there are.
    wider = math.sqrt(seeds / (seeds - 1)) * stats.t.ppf(0.95, seeds - 1) / stats.norm.ppf(0.95)
    below, above = np.quantile(values, [0.05, 0.95]) - value
    return value + wider * min(below, 0.0), value + wider * max(above, 0.0)


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a curve is like around its minimum.

    Attributes:
      basin: The lowest and the highest value around the best whose scores are within 5 % of its.
      sensitivity: The mean over the values of how much worse than the best a number is, at most as much as before the first
        step (Wortsman et al. 2023, arXiv:2309.14322), in units of the score.
      wall: The first value above the best where a run was not finite; None: there is none.
    """

    basin: tuple[float, float]
    sensitivity: float
    wall: float | None


def shape(values: Floats, scores: Floats, before: float, place: int) -> Shape:
    """What scores [values, seeds] are like around the best; ``before`` is that before the first step."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = scores.mean(axis=1)
    best = mean[place]
    good = np.isfinite(mean) & (mean <= best + 0.05 * abs(best))
    first = last = place
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(mean) - 1 and good[last + 1]:
        last += 1
    capped = np.minimum(np.where(np.isfinite(mean), mean, before), before)
    sensitivity = float(np.mean(capped - best)) if math.isfinite(before) else float("nan")
    beyond = [float(values[i]) for i in range(place + 1, len(mean)) if not np.isfinite(scores[i]).all()]
    return Shape((float(values[first]), float(values[last])), sensitivity, beyond[0] if beyond else None)

"""What a response shows of a suggestion: the value, its interval, how it was found, and where runs diverge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jopt.results import scores, text
from jopt.results.along import Fit, fitted, ordered
from jopt.results.plots import style
from jopt.results.record import SweepRecord
from jopt.results.suggesting import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOR = "#009e73"  # of all that belongs to the suggestion
BASIN = "#e69f00"
POINTS = 101  # of each curve that is drawn between the grid's


def fit_of(record: SweepRecord, ranked: scores.Ranking, name: str) -> Fit | None:
    """The fit along a number through the best setting; None where there is none: no order, no score, or under three points."""
    index = scores.score(record, ranked).best_index()
    if index is None or name not in ordered(record):
        return None
    fit = fitted(record, ranked, index, name)
    return fit if len(fit.points.values) > 2 else None


def draw_suggestion(ax: Axes, fit: Fit, record: SweepRecord, ranked: scores.Ranking, shown: Floats) -> list[style.Entry]:
    """Draws all of it behind the data, of which ``shown`` are the scores at the fit's values; returns what a legend says."""
    right = float(ax.get_xlim()[1])  # as the data have it: what is drawn here changes nothing
    left = float(ax.get_xlim()[0])
    through = _through(record, ranked, fit.name)
    entries = [_value(ax, fit, through), _interval(ax, fit)]
    entries += _curves(ax, fit, shown)
    entries += [_basin(ax, fit, ranked)]
    entries += _wall(ax, fit, record, right, ", the other numbers as suggested" if through else "")
    ax.set_xlim(left, right)
    return entries


def _through(record: SweepRecord, ranked: scores.Ranking, name: str) -> str:
    """The values of the other numbers of the best setting, where several were swept."""
    index = scores.score(record, ranked).best_index()
    assert index is not None
    setting = record.setting(index)
    several = [each for each, (_, values) in record.coords.items() if len(values) > 1 and each != name]
    return f" (with {', '.join(f'{each}={style.value(setting[each])}' for each in several)})" if several else ""


def _value(ax: Axes, fit: Fit, through: str) -> style.Entry:
    line = ax.axvline(fit.value, color=COLOR, lw=1.6, zorder=1.1)
    beyond = f"between 0 and {text.number(fit.values[0])}" if fit.points.zero and fit.edge < 0 else "beyond"
    edge = f", the edge of its axis: the best may lie {beyond}" if fit.edge else ""
    edge = ", at the edge of what was not pruned" if fit.beside_pruned else edge
    return style.Entry(line, f"suggested: {fit.name}={text.number(fit.value)}{through}{edge}")


def _interval(ax: Axes, fit: Fit) -> style.Entry:
    low, high = fit.interval
    band = ax.axvspan(low, high, color=COLOR, alpha=0.14, lw=0, zorder=0.6)
    return style.Entry(band, f"interval: {text.number(low)} to {text.number(high)}")


def _curves(ax: Axes, fit: Fit, shown: Floats) -> list[style.Entry]:
    """The parabola and Akima's curve around the lowest point; there are none where the best is the first or the last."""
    if fit.found.edge or fit.at_zero:
        return []
    near = slice(fit.found.place - 1, fit.found.place + 2)
    x, heights = fit.curve.x, fit.curve.heights()
    at = np.linspace(x[near][0], x[near][-1], POINTS)
    entries = []
    for heights_at, dashes, label in (
        (_parabola(x[near], heights[near], at), "--", "parabola through three points"),
        (_akima(x, heights, at), ":", "Akima's curve through all points"),
    ):
        (line,) = ax.plot(fit.number(at), fit.score(heights_at), dashes, color=COLOR, lw=1.8, zorder=1.8)
        entries.append(style.Entry(line, label))
    return entries + _points(ax, fit, shown)


def _parabola(x: Floats, heights: Floats, at: Floats) -> Floats:
    return np.asarray(np.polynomial.Polynomial.fit(x, heights, 2)(at))


def _akima(x: Floats, heights: Floats, at: Floats) -> Floats:
    from scipy.interpolate import Akima1DInterpolator

    return np.asarray(Akima1DInterpolator(x, heights)(at))


def _points(ax: Axes, fit: Fit, shown: Floats) -> list[style.Entry]:
    """Rings around the points of the fit, where the data drawn are others: the best over the other axes."""
    place = fit.found.place
    mean = fit.turned(np.where(np.isfinite(fit.curve.scores).all(1), fit.curve.scores.mean(1), np.nan))
    near = np.arange(place - 1, place + 2)
    other = near[np.isfinite(mean[near]) & ~np.isclose(mean[near], shown[near], rtol=1e-9, atol=0.0)]
    if not len(other):
        return []
    (rings,) = ax.plot(fit.values[other], mean[other], "o", mfc="none", mec=COLOR, ms=6, zorder=1.9)
    return [style.Entry(rings, "fitted, where the line has other values of the other axes")]


def _basin(ax: Axes, fit: Fit, ranked: scores.Ranking) -> style.Entry:
    """A bar on the good edge of the axes, where no data are."""
    low, high = fit.about.basin
    height = 0.0 if ranked.mode == "min" else 1.0
    look: dict[str, Any] = {"color": BASIN, "lw": 4, "ms": 9, "mew": 2, "solid_capstyle": "butt", "clip_on": False}
    (bar,) = ax.plot([low, high], [height] * 2, "-|", transform=ax.get_xaxis_transform(), zorder=2.6, **look)
    where = f"{text.number(low)} to {text.number(high)}" if low < high else f"{text.number(low)} alone"
    complement = f" {fit.turned.name(ranked.metric)}" if fit.turned.shift else ""
    return style.Entry(bar, f"within 5 % of the best{complement}: {where}")


def _wall(ax: Axes, fit: Fit, record: SweepRecord, right: float, others: str) -> list[style.Entry]:
    """The part of the axes above the minimum in which runs diverge, or end no better than they began, shaded."""
    lost = np.flatnonzero(fit.curve.lost())
    lost = lost[lost + fit.points.zero > fit.place]
    if not len(lost):
        return []
    begin = float(fit.values[lost[0]])
    wall: Any = ax.axvspan(begin, max(right, begin), fc="0.94", ec="0.8", hatch="//", lw=0, zorder=0.5)
    far = fit.about.wall
    what = "diverges" if record.diverged.any() else "not finite"
    told = [] if far is not None and np.isclose(far, begin) else [f"ends no better than it began: from {text.number(begin)}"]
    told += [] if far is None else [f"{what}: from {text.number(far)}"]
    return [style.Entry(wall, "; ".join(told) + others)]

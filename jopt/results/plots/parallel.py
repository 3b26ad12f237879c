"""Parallel coordinates: a vertical axis for each swept number, a line for each setting, coloured by its score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.along import capped
from jopt.results.plots import style
from jopt.results.plots.columns import Column, columns_of
from jopt.results.plots.panels import Panels, panels_for
from jopt.results.plots.scales import View, view
from jopt.results.record import SweepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 1.75  # inches from one axis to the next
BAR = 0.1  # inches, the width of the colour bar
ROOM = 0.7  # inches beside the axes that it and its numbers need
PRUNED = "0.72"


class Paths(NamedTuple):
    """The lines of one record.

    Attributes:
      columns: One for each number.
      mean: [setting], the scores; NaN where a setting is out.
      diverged: [setting], whether it diverged.
      pruned: [setting], whether it was pruned, and did not diverge.
      best: The best setting; None where all are out.
      record: The record.
      ranked: What scores are of.
    """

    columns: tuple[Column, ...]
    mean: NDArray[np.float64]
    diverged: NDArray[np.bool_]
    pruned: NDArray[np.bool_]
    best: int | None
    record: SweepRecord
    ranked: scores.Ranking


def _paths(record: SweepRecord, ranked: scores.Ranking) -> Paths:
    if not record.dims:
        raise ValueError("parallel: one setting has no axes to show; sweep an axis, or use plot.curves().")
    scored = scores.score(record, ranked)
    mean, diverged = scored.mean.ravel(), record.diverged.any(-1).ravel()
    order = np.argsort(np.where(np.isnan(mean), np.inf, mean if ranked.mode == "min" else -mean), kind="stable")
    best = None if np.isnan(mean).all() else int(order[0])
    pruned = record.pruned.any(-1).ravel() & ~diverged
    return Paths(columns_of(record, np.argsort(order)), mean, diverged, pruned, best, record, ranked)


def draw_parallel(record: SweepRecord, ranked: scores.Ranking, ax: Axes | None) -> Axes:
    """One record in one axes."""
    paths = _paths(record, ranked)
    ax = style.axes(ax, _width(paths), 4.4)
    _draw(ax, paths, view(capped(paths.mean, [record], ranked), ranked.mode))
    return ax


def parallel_panels(records: Mapping[str, SweepRecord], ranked: scores.Ranking, panels: Panels) -> NDArray[Any]:
    """A panel for each group below each other, all with the same colours."""
    if single := [name for name, record in records.items() if not record.dims]:
        raise ValueError(
            f"parallel: the group {single[0]!r} is one setting and has no axes to show; draw the others, "
            f"result[name].plot.parallel(), or use plot.compare()."
        )
    every = {name: _paths(record, ranked) for name, record in records.items()}
    shown = panels_for("parallel", len(every), panels, max(map(_width, every.values())), columns=1, height=4.2)
    means = np.concatenate([paths.mean for paths in every.values()])
    seen = view(capped(means, records.values(), ranked), ranked.mode)
    for ax, (name, paths) in zip(shown, every.items(), strict=True):
        ax.set_title(name, parse_math=False)
        _draw(ax, paths, seen)
    return shown


def _width(paths: Paths) -> float:
    return max(7.0, 1.2 + WIDTH * len(paths.columns))


def _draw(ax: Axes, paths: Paths, seen: View) -> None:
    _leave_room(ax)
    _lay_out(ax, paths)
    _tick(ax, paths.columns)
    norm = seen.scale.norm(seen.low, seen.high)
    entries = [*_draw_out(ax, paths), *_far(paths, seen)]
    best = _draw_scored(ax, paths, norm, seen)
    if not np.isnan(paths.mean).all():
        _add_bar(ax, paths, seen)
    style.legend(ax, [*best, *entries], under=True)


def _leave_room(ax: Axes) -> None:
    """Makes axes narrower where the figure has no layout that would make room for the colour bar's numbers."""
    if ax.figure.get_layout_engine() is None:
        box = ax.get_position()
        ax.set_position((box.x0, box.y0, box.width - ROOM * ax.figure.dpi / ax.figure.bbox.width, box.height))


def _lay_out(ax: Axes, paths: Paths) -> None:
    """An axis for each number, the first at the left edge; the right edge is that of the scores."""
    count = len(paths.columns)
    ax.set(xlim=(0, count), ylim=(0, 1))
    for side in ("top", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=0)
    names = [style.wrapped_tick(style.words(column.name)) for column in paths.columns]
    ax.set_xticks(range(count), names, parse_math=False)
    first = paths.columns[0]
    ax.set_yticks(list(first.ticks.values()), [style.wrapped_tick(label) for label in first.ticks], parse_math=False)
    for place in range(1, count):
        ax.axvline(place, color="black", lw=0.8, zorder=2.8)


def _tick(ax: Axes, columns: tuple[Column, ...]) -> None:
    """The labels of all axes but the first, which has ticks of its own: left of each, in white over the lines."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import ScaledTranslation

    left = ax.transData + ScaledTranslation(-5 / 72, 0, ax.figure.dpi_scale_trans)
    look: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": "small", "parse_math": False, "zorder": 2.7}
    for place, column in enumerate(columns[1:], 1):
        for label, height in column.ticks.items():
            ax.plot(place, height, marker="_", ms=6, mew=0.8, color="black", clip_on=False, zorder=2.9)
            shown = ax.text(place, height, style.wrapped_tick(label), transform=left, **look)
            shown.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _line(paths: Paths, flat: int, end: float) -> NDArray[np.float64]:
    """[points, 2], a setting's way from axis to axis and to ``end`` at the right edge."""
    heights = [column.places[flat] for column in paths.columns]
    return np.array([*enumerate(heights), (len(heights), end)])


def _draw_scored(ax: Axes, paths: Paths, norm: Any, seen: View) -> list[style.Entry]:
    """The settings that have a score, the better the higher on top, the best in red; returns what a legend says of that."""
    from matplotlib.collections import LineCollection

    if paths.best is None:
        return []
    known = np.flatnonzero(~np.isnan(paths.mean))
    cost = paths.mean if paths.ranked.mode == "min" else -paths.mean
    order = known[np.argsort(cost[known], kind="stable")][::-1]
    ends = np.ma.getdata(norm(seen.clip(paths.mean[order])))
    lines = [_line(paths, int(flat), float(end)) for flat, end in zip(order, ends, strict=True)]
    few = len(order) <= 60
    drawn = LineCollection(lines, colors=_colors(paths.ranked.mode)(ends), lw=1.5 if few else 0.9, alpha=0.9 if few else 0.65)
    drawn.set(zorder=2, clip_on=False)
    ax.add_collection(drawn, autolim=False)
    (best,) = ax.plot(*lines[-1].T, color=style.BEST, lw=2.4, zorder=2.5, clip_on=False)
    style.star(ax, len(paths.columns), float(ends[-1]), style.BEST).set_zorder(6)  # over the colour bar
    score = f"{paths.ranked.metric} {text.number(float(paths.mean[paths.best]))}"
    return [style.Entry(best, f"best: {style.setting(paths.record, paths.best)}; {score}")]


def _colors(mode: str) -> Any:
    """Good is dark in both modes, as it has to stand out on white."""
    return style.colormap() if mode == "min" else style.colormap().reversed()


def _draw_out(ax: Axes, paths: Paths) -> list[style.Entry]:
    """The settings without a score, which end at the last number's axis."""
    left = paths.record.left.any(-1).ravel() & ~paths.diverged & ~paths.pruned
    lost = np.isnan(paths.mean) & ~paths.diverged & ~paths.pruned & ~left
    kinds: tuple[tuple[str, NDArray[np.bool_], dict[str, Any]], ...] = (
        ("diverged", paths.diverged, {"color": style.OUT, "ls": "--", "marker": "x", "ms": 5, "mew": 1.3, "lw": 0.8}),
        ("pruned", paths.pruned, {"color": PRUNED, "marker": "o", "ms": 3.5, "lw": 0.8}),
        ("left behind", left, {"color": PRUNED, "marker": "o", "ms": 3.5, "lw": 0.8}),
        ("not finite", lost, {"color": style.OUT, "ls": ":", "marker": "x", "ms": 5, "lw": 0.8}),
    )
    entries = []
    for name, which, look in kinds:
        for flat in np.flatnonzero(which):
            line = _line(paths, int(flat), np.nan)[:-1]
            (drawn,) = ax.plot(*line.T, markevery=[len(line) - 1], zorder=1.5, clip_on=False, **look)
        if which.any():
            entries.append(style.Entry(drawn, f"{name} ({text.count(int(which.sum()), 'setting')})"))
    return entries


def _far(paths: Paths, seen: View) -> list[style.Entry]:
    """What the legend says of scores that lie far out on the bad side and are drawn at the edge."""
    from matplotlib.lines import Line2D

    over, under = int((paths.mean > seen.high).sum()), int((paths.mean < seen.low).sum())
    if not over + under:
        return []
    where = f"above {text.number(seen.high)}" if over else f"below {text.number(seen.low)}"
    color = _colors(paths.ranked.mode)(1.0 if over else 0.0)
    return [style.Entry(Line2D([], [], color=color), f"{text.count(over + under, 'score')} {where}, drawn at the edge")]


def _add_bar(ax: Axes, paths: Paths, seen: View) -> None:
    """The colour bar, at the right edge, where it is the axis of the scores too."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import NullFormatter

    width = BAR * ax.figure.dpi / ax.get_window_extent().width
    beside = ax.inset_axes((1.0, 0.0, width, 1.0))
    shown = ScalarMappable(seen.scale.norm(seen.low, seen.high), _colors(paths.ranked.mode))
    bar = ax.figure.colorbar(shown, cax=beside, **seen.scale.tick([seen.low, seen.high]))
    beside.yaxis.set_minor_formatter(NullFormatter())
    label = f"{style.words(paths.ranked.metric)} ({scores.moment(paths.record, paths.ranked)})"
    bar.set_label(label, parse_math=False)

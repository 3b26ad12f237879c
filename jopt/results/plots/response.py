"""Response: the score against one swept number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import style
from jopt.results.record import SweepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Profile(NamedTuple):
    """Scores along one hyperparameter, in its order, the others at their best.

    Attributes:
      name: The hyperparameter.
      x: [n], its values.
      mean: [n], over seeds; NaN where nothing survived.
      low: [n], lowest seed.
      high: [n], highest seed.
      best: Position of the best, or None.
    """

    name: str
    x: NDArray[Any]
    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    best: int | None


def profile(record: SweepRecord, ranked: scores.Ranking, x: str | None) -> Profile:
    """The scores of a record along one hyperparameter (None: the first with several values)."""
    name = _first_swept(record) if x is None else x
    axis, values = record.coordinate(name)
    order = np.argsort(values, kind="stable")
    scored = scores.score(record, ranked).at_best([axis])
    mean, per_seed = scored.mean[order], scored.per_seed[order]
    out = np.isnan(mean)
    low, high = np.where(out, np.nan, per_seed.min(-1)), np.where(out, np.nan, per_seed.max(-1))
    index = scores.Scores(mean, per_seed, ranked.mode).best_index()
    return Profile(name, values[order], mean, low, high, None if index is None else index[0])


def _first_swept(record: SweepRecord) -> str:
    if not record.dims:
        raise ValueError("One setting has no response to show; sweep an axis, or use plot.curves().")
    several = [dim for dim, size in zip(record.dims, record.shape, strict=True) if size > 1]
    return record.names_along((several or list(record.dims))[0])[0]


def draw_response(record: SweepRecord, ranked: scores.Ranking, x: str | None, ax: Axes | None) -> Axes:
    """One record: line, band over seeds, the best, what diverged."""
    line = profile(record, ranked, x)
    ax = style.axes(ax)
    _set_scales(ax, [line], ranked, scores.moment(record, ranked), rows=1)
    _draw_line(ax, line, style.GROUPS[0], None, banded=len(record.seeds) > 1)
    _draw_diverged(ax, line, style.OUT, _row_height(1) / 2, ranked.mode, "diverged")
    if line.best is not None:
        where, score = line.x[line.best].item(), float(line.mean[line.best])
        label = f"best: {line.name}={text.number(where)}, {ranked.metric} {text.number(score)}"
        style.star(ax, where, score, style.BEST, label)
    ax.legend(fontsize="small", framealpha=0.85)
    return ax


def draw_compare(
    records: dict[str, SweepRecord],
    ranked: scores.Ranking,
    x: str | None,
    ax: Axes | None,
) -> Axes:
    """The response of each group in one axes; a group of one setting is a level line."""
    lines = {name: profile(r, ranked, x) for name, r in records.items() if r.dims}
    ax = style.axes(ax)
    single = {n: scores.score(r, ranked) for n, r in records.items() if not r.dims}
    levels = np.array([float(scored.mean) for scored in single.values()])
    when = scores.moment(next(iter(records.values())), ranked)
    _set_scales(ax, list(lines.values()), ranked, when, rows=len(records), more=levels)
    for row, name in enumerate(records):
        color = style.GROUPS[row % len(style.GROUPS)]
        height = _row_height(len(records)) * (row + 0.5)
        if name in lines:
            _draw_group(ax, name, lines[name], color, height, ranked.mode, len(records[name].seeds) > 1)
        else:
            _draw_level(ax, name, float(single[name].mean), color)
    _compare_legend(ax, any(np.isnan(line.mean).any() for line in lines.values()))
    return ax


def _draw_group(ax: Axes, name: str, line: Profile, color: str, height: float, mode: str, banded: bool) -> None:
    label = f"{name}: all diverged"
    if line.best is not None:
        where, score = line.x[line.best].item(), float(line.mean[line.best])
        label = f"{name}: {text.number(score)} at {text.number(where)}"
        style.star(ax, where, score, color, None)
    _draw_line(ax, line, color, label, banded)
    _draw_diverged(ax, line, color, height, mode, None)


def _draw_level(ax: Axes, name: str, score: float, color: str) -> None:
    if np.isfinite(score):
        ax.axhline(score, color=color, ls=":", label=f"{name}: {text.number(score)}")
    else:
        ax.plot([], [], "x", color=color, label=f"{name}: diverged")


def _compare_legend(ax: Axes, diverged: bool) -> None:
    from matplotlib.lines import Line2D

    handles = list(ax.get_legend_handles_labels()[0])
    if diverged:
        handles.append(Line2D([], [], color=style.OUT, ls="", marker="x", label="diverged"))
    ax.legend(handles=handles, fontsize="small", framealpha=0.85)


def _set_scales(
    ax: Axes,
    lines: list[Profile],
    ranked: scores.Ranking,
    when: str,
    rows: int,
    more: NDArray[Any] | None = None,
) -> None:
    values = [np.concatenate([line.low, line.high]) for line in lines]
    view = style.view(np.concatenate([*values, *([] if more is None else [more])]), ranked.mode)
    _with_room(view, ranked.mode, rows).apply(ax)
    if lines and style.is_log(np.concatenate([line.x for line in lines])):
        ax.set_xscale("log")
    names = sorted({line.name for line in lines})
    ax.set(xlabel=" / ".join(map(style.words, names)), ylabel=f"{style.words(ranked.metric)} ({when})")


def _row_height(rows: int) -> float:
    """Height of a row of crosses, as a share of the axes; all rows take a third at most."""
    return min(0.045, 1 / (3 * max(rows, 1)))


def _with_room(view: style.View, mode: str, rows: int) -> style.View:
    """The view with rows for crosses at its bad edge, where no line runs."""
    used = _row_height(rows) * rows
    share = used / (1 - used)
    low, high = (np.log10(view.low), np.log10(view.high)) if view.log else (view.low, view.high)
    extra = share * (high - low)
    low, high = (low, high + extra) if mode == "min" else (low - extra, high)
    return style.View(True, 10**low, 10**high) if view.log else style.View(False, low, high)


def _draw_line(ax: Axes, line: Profile, color: str, label: str | None, banded: bool) -> None:
    ax.plot(line.x, line.mean, "o-", color=color, ms=3.5, lw=1.5, label=label)
    if banded:
        ax.fill_between(line.x, line.low, line.high, color=color, alpha=0.18, lw=0)


def _draw_diverged(ax: Axes, line: Profile, color: str, height: float, mode: str, label: str | None) -> None:
    out = line.x[np.isnan(line.mean)]
    heights = np.full(len(out), 1 - height if mode == "min" else height)
    if len(out):
        place = ax.get_xaxis_transform()  # x in data, y as a share of the axes
        ax.plot(out, heights, "x", color=color, ms=6, mew=1.6, transform=place, label=label)

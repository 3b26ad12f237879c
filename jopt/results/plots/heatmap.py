"""Heat map: the score over two swept numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import style
from jopt.results.plots.panels import Panels, panels_for
from jopt.results.plots.scales import view
from jopt.results.record import SweepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 16  # labels that fit beside an axis
CHARACTERS = 44  # of labels that fit under it, gaps included


def draw_heatmap(
    record: SweepRecord,
    x: str | None,
    y: str | None,
    ranked: scores.Ranking,
    ax: Axes | None,
) -> Axes:
    """Scores as colours over two hyperparameters, the others at their best."""
    x, y = _names(record, x, y)
    (column, xs), (row, ys) = record.coordinate(x), record.coordinate(y)
    if column == row:
        _raise_one_dimension(record, x, y, record.dims[column])
    scored = scores.score(record, ranked)
    right, up = _order(xs), _order(ys)
    mean = scored.at_best([row, column]).mean[np.ix_(up, right)]
    ax = style.axes(ax, 6.6, 5.0)
    entries = _draw_cells(ax, mean, ranked, _about(record, ranked, column, row), style.why_out(record, np.isnan(scored.mean)))
    across, upwards = [style.wrapped_tick(label) for label in _labels(xs[right])], _labels(ys[up])
    _ticks(ax.xaxis, across, CHARACTERS // (2 + max(len(line) for label in across for line in label.split("\n"))))
    _ticks(ax.yaxis, upwards, ROWS)
    style.label_axes(ax, style.words(x), style.words(y))
    best = _mark_best(ax, scores.Scores(mean, mean[..., None], ranked.mode).best_index(), mean, ranked.metric)
    style.legend(ax, [*best, *entries], under=True)
    return ax


def heatmap_panels(
    records: Mapping[str, SweepRecord], x: str | None, y: str | None, ranked: scores.Ranking, panels: Panels
) -> NDArray[Any]:
    """A heat map for each group, each with colours of its own: groups need not have the same axes."""
    names = {name: _names_of_group(name, record, x, y) for name, record in records.items()}
    shown = panels_for("heatmap", len(records), panels, 6.6, height=5.0)
    for ax, (name, record) in zip(shown, records.items(), strict=True):
        draw_heatmap(record, *names[name], ranked, ax)
        ax.set_title(name, parse_math=False)
    return shown


def _names_of_group(name: str, record: SweepRecord, x: str | None, y: str | None) -> tuple[str, str]:
    if len(record.dims) < 2:
        raise ValueError(
            f"heatmap: the group {name!r} has fewer than two axes; draw the others, result[name].plot.heatmap(), or use "
            f"plot.response()."
        )
    return _names(record, x, y)


def _names(record: SweepRecord, x: str | None, y: str | None) -> tuple[str, str]:
    if len(record.dims) < 2:
        raise ValueError("A heat map needs two swept axes; use plot.response() for one, or for axes that were drawn.")
    free = [record.names_along(dim)[0] for dim in record.dims]
    taken = {record.coordinate(name)[0] for name in (x, y) if name is not None}
    rest = [name for axis, name in enumerate(free) if axis not in taken]
    x = rest.pop(0) if x is None else record.named(x)
    y = rest.pop(0) if y is None else record.named(y)
    return x, y


def _raise_one_dimension(record: SweepRecord, x: str, y: str, dim: str) -> None:
    how = "walked" if dim in record.coords else "drawn"
    hint = "" if dim in record.coords else f"; plot.response(x={x!r}, color={y!r}) shows them"
    raise ValueError(f"heatmap: {x!r} and {y!r} were {how} together, but a heat map needs two dimensions{hint}.")


def _order(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers ascending; values that are no numbers as they are."""
    return np.argsort(values, kind="stable") if values.dtype.kind in "iuf" else np.arange(len(values))


def _about(record: SweepRecord, ranked: scores.Ranking, *shown: int) -> str:
    """What the colours are, in words: when scores are from, how many seeds they are means of, and what is at its best."""
    several = [dim for axis, dim in enumerate(record.dims) if axis not in shown and record.shape[axis] > 1]
    seeds = [f"mean of {len(record.seeds)} seeds"] if len(record.seeds) > 1 else []
    best = [f"{', '.join(several)} at best"] if several else []
    return f"{style.words(ranked.metric)} ({'; '.join([scores.moment(record, ranked), *seeds, *best])})"


def _draw_cells(ax: Axes, mean: NDArray[Any], ranked: scores.Ranking, about: str, why: str) -> list[style.Entry]:
    ax.set_facecolor("0.85")
    ax.set(xlim=(0, mean.shape[1]), ylim=(0, mean.shape[0]))
    if not np.isnan(mean).all():
        seen = view(mean, ranked.mode)
        low, high = max(seen.low, np.nanmin(mean)), min(seen.high, np.nanmax(mean))
        mesh = ax.pcolormesh(np.ma.masked_invalid(mean), cmap=_cmap(ranked.mode), norm=seen.scale.norm(low, high))
        extend = "max" if high < np.nanmax(mean) else "min" if low > np.nanmin(mean) else "neither"
        bar = style.colorbar(mesh, ax, ranked.metric, extend=extend, **seen.scale.tick([low, high]))
        bar.set_label(about, parse_math=False)
    return _hatch(ax, np.isnan(mean), why)


def _cmap(mode: str) -> Any:
    import matplotlib

    # Good is bright in both modes.
    return matplotlib.colormaps["viridis_r" if mode == "min" else "viridis"]


def _hatch(ax: Axes, out: NDArray[np.bool_], why: str) -> list[style.Entry]:
    from matplotlib.patches import Rectangle

    cells = [Rectangle((column, row), 1, 1, fc="0.85", ec="0.6", hatch="xx", lw=0) for row, column in np.argwhere(out)]
    for cell in cells:
        ax.add_patch(cell)
    return [style.Entry(cell, why) for cell in cells[:1]]


def _labels(values: NDArray[Any]) -> list[str]:
    return [style.value(found) for found in values]


def _ticks(axis: Any, labels: list[str], room: int) -> None:
    """Labels at the middle of the cells, evenly thinned to what is readable."""
    every = -(-len(labels) // max(room, 1))
    shown = range(0, len(labels), every)
    axis.set_ticks([i + 0.5 for i in shown], [labels[i] for i in shown], parse_math=False)


def _mark_best(ax: Axes, index: tuple[int, ...] | None, mean: NDArray[Any], metric: str) -> list[style.Entry]:
    if index is None:
        return []
    row, column = index
    label = f"best: {metric} {text.number(float(mean[index]))}"
    return [style.Entry(style.star(ax, column + 0.5, row + 0.5, style.BEST), label)]

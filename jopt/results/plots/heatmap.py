"""Heat map: the score over two swept numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import style
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
        raise ValueError(f"heatmap: {x!r} and {y!r} were walked together, but a heat map needs two dimensions.")
    scored = scores.score(record, ranked).at_best([row, column])
    right, up = np.argsort(xs, kind="stable"), np.argsort(ys, kind="stable")
    mean = scored.mean[np.ix_(up, right)]
    ax = style.axes(ax, 6.6, 5.0)
    _draw_cells(ax, mean, ranked.metric, ranked.mode)
    across, upwards = _labels(xs[right]), _labels(ys[up])
    _ticks(ax.xaxis, across, CHARACTERS // (2 + max(map(len, across))))
    _ticks(ax.yaxis, upwards, ROWS)
    ax.set(xlabel=style.words(x), ylabel=style.words(y))
    _mark_best(ax, scores.Scores(mean, mean[..., None], ranked.mode).best_index(), mean, ranked.metric)
    return ax


def _names(record: SweepRecord, x: str | None, y: str | None) -> tuple[str, str]:
    if len(record.dims) < 2:
        raise ValueError("A heat map needs two swept axes; use plot.response() for one.")
    free = [record.names_along(dim)[0] for dim in record.dims]
    taken = {record.coordinate(name)[0] for name in (x, y) if name is not None}
    rest = [name for axis, name in enumerate(free) if axis not in taken]
    x = rest.pop(0) if x is None else x
    y = rest.pop(0) if y is None else y
    return x, y


def _draw_cells(ax: Axes, mean: NDArray[Any], metric: str, mode: str) -> None:
    ax.set_facecolor("0.85")
    if not np.isnan(mean).all():
        view = style.view(mean, mode)
        low, high = max(view.low, np.nanmin(mean)), min(view.high, np.nanmax(mean))
        norm = _norm(view.log, low, high)
        mesh = ax.pcolormesh(np.ma.masked_invalid(mean), cmap=_cmap(mode), norm=norm)
        extend = "max" if high < np.nanmax(mean) else "min" if low > np.nanmin(mean) else "neither"
        ax.figure.colorbar(mesh, ax=ax, label=style.words(metric), extend=extend)
    out = np.isnan(mean)
    if out.any():
        _hatch(ax, out)


def _cmap(mode: str) -> Any:
    import matplotlib

    # Good is bright in both modes.
    return matplotlib.colormaps["viridis_r" if mode == "min" else "viridis"]


def _norm(log: bool, low: float, high: float) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    return LogNorm(low, high) if log else Normalize(low, high)


def _hatch(ax: Axes, out: NDArray[np.bool_]) -> None:
    from matplotlib.patches import Rectangle

    for row, column in np.argwhere(out):
        cell = Rectangle((column, row), 1, 1, fc="0.85", ec="0.6", hatch="xx", lw=0)
        cell.set_label("" if ax.get_legend_handles_labels()[0] else "diverged")
        ax.add_patch(cell)


def _labels(values: NDArray[Any]) -> list[str]:
    return [text.number(value.item()) for value in values]


def _ticks(axis: Any, labels: list[str], room: int) -> None:
    """Labels at the middle of the cells, evenly thinned to what is readable."""
    every = -(-len(labels) // max(room, 1))
    shown = range(0, len(labels), every)
    axis.set_ticks([i + 0.5 for i in shown], [labels[i] for i in shown])


def _mark_best(ax: Axes, index: tuple[int, ...] | None, mean: NDArray[Any], metric: str) -> None:
    if index is not None:
        row, column = index
        label = f"best: {metric} {text.number(float(mean[index]))}"
        style.star(ax, column + 0.5, row + 0.5, style.BEST, label)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize="small", frameon=False)

"""Marks at the edge of a picture, where a line or a point goes on beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results.plots import style
from jopt.results.plots.scales import Scale, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABOVE, BELOW = "^", "v"


def mark_exits(
    ax: Axes, x: NDArray[Any], y: NDArray[Any], seen: View, color: Any, *, across: Scale | None = None, size: float = 5.0
) -> bool:
    """Marks where a line leaves the view, over an x axis of some scale (None: linear); whether it does."""
    along = across or Scale()
    return _mark(ax, [_crossings(x, y, edge, sign, seen.scale, along) for edge, sign in _edges(seen)], seen, color, size)


def mark_points(ax: Axes, x: NDArray[Any], y: NDArray[Any], seen: View, color: Any) -> bool:
    """Marks the points that lie outside of the view; whether any does."""
    return _mark(ax, [x[sign * (y - edge) > 0] for edge, sign in _edges(seen)], seen, color, 5.0)


def entry(gone: bool) -> list[style.Entry]:
    """What the legend says of the marks, where there are any."""
    from matplotlib.lines import Line2D

    return [style.Entry(Line2D([], [], color="0.4", ls="", marker=ABOVE, ms=5), "goes on beyond the frame")] if gone else []


def _edges(seen: View) -> tuple[tuple[float, int], tuple[float, int]]:
    return (seen.high, 1), (seen.low, -1)


def _crossings(x: NDArray[Any], y: NDArray[Any], edge: float, sign: int, up: Scale, across: Scale) -> NDArray[Any]:
    """Where a line that was inside, or begins outside, crosses an edge."""
    with np.errstate(invalid="ignore"):
        outside = sign * (y - edge) > 0
    left = np.flatnonzero(outside & ~np.append(False, outside[:-1]))
    before = np.maximum(left - 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        heights, at = up.forward(y), up.forward(edge)
        share = (at - heights[before]) / (heights[left] - heights[before])
    share = np.where(np.isfinite(share), np.clip(share, 0.0, 1.0), 1.0)
    places = across.forward(x)
    return across.inverse(places[before] + share * (places[left] - places[before]))


def _mark(ax: Axes, found: list[NDArray[Any]], seen: View, color: Any, size: float) -> bool:
    for places, height, marker in zip(found, (seen.high, seen.low), (ABOVE, BELOW), strict=True):
        if len(places):
            ax.plot(places, np.full(len(places), height), marker, color=color, ms=size, clip_on=False, zorder=4.5)
    return any(map(len, found))

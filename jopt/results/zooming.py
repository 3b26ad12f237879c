"""``result.zoom()``: the same axes, narrower, around the best setting."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jopt.axes import choice, geomspace, linspace, loguniform, uniform
from jopt.kinds import Drawn, Grid
from jopt.results.spacing import DECADE, is_log
from jopt.results.trial import Trial
from jopt.values import require
from jopt.values.trees import flatten

WIDE = 3.0  # the ends of a logarithmic axis are so far apart, at least, where one may go beyond them


def zoomed(value: Any, trial: Trial, factor: float) -> Any:
    """A value with axes, each cut to a ``factor``-th of its span around the number of a trial; see ``SweepResult.zoom``.

    Axes of structure, which have no span, stay as they are; whole numbers stay whole, and as many.
    """
    factor = require.between("zoom: factor", factor, 1.0, math.inf)
    leaves, treedef = flatten(value)
    best = dict(_with_paths(trial.optimizer))
    made: dict[int, Any] = {}  # an object used twice is one axis, and stays one
    for path, axis in _with_paths(value):
        if isinstance(axis, (Grid, Drawn)) and id(axis) not in made:
            made[id(axis)] = _narrower(axis, float(best[path]), factor)
    return treedef.unflatten([made.get(id(x), x) for x in leaves])


def _with_paths(value: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]]


def _narrower(axis: Any, best: float, factor: float) -> Any:
    if isinstance(axis, Grid) and axis.group is not axis:
        raise ValueError("zoom: axes that are walked together (jopt.zipped) have no span of their own; sweep them by hand.")
    if len(axis.values) < 2:
        return axis
    log = is_log(axis.values, axis.kind)
    inside = [x for x in axis.values if x > 0] if log else axis.values  # the 0 of a logarithmic axis has no place on it
    low, high = min(inside), max(inside)
    if log and best <= 0:
        return _towards_zero(axis, low, min((low / high) ** (1 / factor), 1 / DECADE))
    ends = _around(best, low, high, factor, log)
    if axis.whole if isinstance(axis, Drawn) else all(isinstance(x, int) for x in axis.values):
        return _whole(axis, best, (low, high), ends, log)
    if isinstance(axis, Drawn):
        return (loguniform if log else uniform)(*ends, name=axis.name)
    return (geomspace if log else linspace)(*ends, len(axis.values), name=axis.name)


def _around(best: float, low: float, high: float, factor: float, log: bool) -> tuple[float, float]:
    """The ends of a part of an axis; moved, not cut, at those of the axis, unless its scale is logarithmic and wide."""
    at, first, last = (math.log(x) if log else x for x in (best, low, high))
    width = (last - first) / factor
    begin = at - width / 2
    if not log or high / low < WIDE:  # beyond the ends a number may not be allowed
        begin = min(max(begin, first), last - width)
    return (math.exp(begin), math.exp(begin + width)) if log else (begin, begin + width)


def _towards_zero(axis: Any, least: float, share: float) -> Any:
    """0, and beside it as many values as before, up to the least of those, over a decade at least: so it stays logarithmic."""
    if all(isinstance(x, int) for x in axis.values):
        return linspace(0, max(least, len(axis.values) - 1), len(axis.values), name=axis.name, dtype=int)
    return choice(0.0, *geomspace(least * share, least, len(axis.values) - 1).values, name=axis.name)


def _whole(axis: Any, best: float, inside: tuple[int, int], ends: tuple[float, float], log: bool) -> Any:
    """An axis of whole numbers between two ends, wider where there are fewer of them than the axis has values."""
    (first, last), count = inside, len(axis.values)
    low, high = (max(1, round(end)) if log else round(end) for end in ends)
    if high - low < count - 1:
        low = min(max(round(best) - count // 2, first), last - count + 1)
        high = low + count - 1
    if isinstance(axis, Drawn):
        return (loguniform if log else uniform)(low, high, name=axis.name, dtype=int)
    repeats = log and len(set(np.rint(np.geomspace(low, high, count)).tolist())) < count
    return (geomspace if log and not repeats else linspace)(low, high, count, name=axis.name, dtype=int)

"""``result.zoom()``: the same axes, narrower, around the best setting."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jopt.axes import geomspace, linspace, loguniform, uniform
from jopt.kinds import Drawn, Grid
from jopt.results.trial import Trial
from jopt.values import require
from jopt.values.trees import flatten


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
    low, high = min(axis.values), max(axis.values)
    log = axis.log if isinstance(axis, Drawn) else low > 0 and high / low >= 3
    if log:
        half = math.log(high / low) / factor / 2
        ends = best * math.exp(-half), best * math.exp(half)
    else:  # moved, not cut, at the ends of the axis: beyond them a number may not be allowed
        width = (high - low) / factor
        begin = min(max(best - width / 2, low), high - width)
        ends = begin, begin + width
    if axis.whole if isinstance(axis, Drawn) else all(isinstance(x, int) for x in axis.values):
        return _whole(axis, best, ends, log)
    if isinstance(axis, Drawn):
        return (loguniform if log else uniform)(*ends, name=axis.name)
    return (geomspace if log else linspace)(*ends, len(axis.values), name=axis.name)


def _whole(axis: Any, best: float, ends: tuple[float, float], log: bool) -> Any:
    """An axis of whole numbers between two ends, wider where there are fewer of them than the axis has values."""
    first, last, count = min(axis.values), max(axis.values), len(axis.values)
    low, high = (max(1, round(end)) if log else round(end) for end in ends)
    if high - low < count - 1:
        low = min(max(round(best) - count // 2, first), last - count + 1)
        high = low + count - 1
    if isinstance(axis, Drawn):
        return (loguniform if log else uniform)(low, high, name=axis.name, dtype=int)
    repeats = log and len(set(np.rint(np.geomspace(low, high, count)).tolist())) < count
    return (geomspace if log and not repeats else linspace)(low, high, count, name=axis.name, dtype=int)

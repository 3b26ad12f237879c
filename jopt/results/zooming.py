"""``result.zoom()``: the same axes, narrower, around the best setting."""

from __future__ import annotations

import math
from typing import Any

from jopt.axes import Drawn, Grid, geomspace, linspace, loguniform, uniform
from jopt.results.trial import Trial
from jopt.values.numbers import Axis
from jopt.values.trees import flatten


def zoomed(value: Any, trial: Trial, factor: float) -> Any:
    """A value with axes, each cut to a ``factor``-th of its span around the number of a trial; see ``SweepResult.zoom``."""
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 < factor < math.inf:
        raise ValueError(f"zoom: factor must be a number above 1, but is {factor!r}.")
    leaves, treedef = flatten(value)
    best = flatten(trial.optimizer)[0]
    made: dict[int, Any] = {}  # an object used twice is one axis, and stays one
    for axis, number in zip(leaves, best, strict=True):
        if isinstance(axis, Axis) and id(axis) not in made:
            made[id(axis)] = _narrower(axis, float(number), factor)
    return treedef.unflatten([made.get(id(x), x) for x in leaves])


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
    if isinstance(axis, Drawn):
        return (loguniform if log else uniform)(*ends, name=axis.name)
    return (geomspace if log else linspace)(*ends, len(axis.values), name=axis.name)

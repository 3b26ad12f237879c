"""``suggestion.extend``: the axis to run next, beyond the end of the one that was swept and inside what the number may be."""

from __future__ import annotations

from typing import Any

from jopt import axes
from jopt.kinds import Grid
from jopt.results.along import Fit
from jopt.results.suggesting import Floats

BEYOND = 4  # points of the axis to run next


def extended(optimizer: Any, fit: Fit, whole: bool) -> Any:
    """The points beyond the end where the best value is; None where it is at none, or nothing lies beyond it.

    Steps are those of the grid. Where a number of the optimizer ends before the first of them, as a decay rate does at 1, the
    points are a half, a quarter, an eighth and a sixteenth of a step away. ``whole``: only whole numbers were swept.
    """
    if not fit.edge:
        return None
    ends = (fit.values[1], fit.values[0]) if fit.edge < 0 else (fit.values[-2], fit.values[-1])
    inner, last = (float(v) for v in ends)
    axis = _steps(inner, last, fit.curve.log_x)
    for values in (axis.values, [last + (last - inner) / 2**k for k in range(1, BEYOND + 1)]):
        points = dict.fromkeys(round(x) for x in values) if whole else values
        kept = sorted(x for x in points if x not in fit.values and fits(optimizer, fit.name, fit.values, x))
        if kept:
            return axis if kept == list(axis.values) else Grid(kept)
    return None


def _steps(inner: float, last: float, log: bool) -> Grid:
    if log:
        ratio = last / inner
        low, high = sorted((last * ratio, last * ratio**BEYOND))
        return axes.geomspace(low, high, BEYOND)
    low, high = sorted((2 * last - inner, last + BEYOND * (last - inner)))
    return axes.linspace(low, high, BEYOND)


def fits(optimizer: Any, name: str, values: Floats, value: float) -> bool:
    """Whether a number that had some values may have another one: as the optimizer says; one of the user's keeps its sign."""
    if _takes(optimizer, name, float(values[0])):
        return _takes(optimizer, name, value)
    return not min(values) >= 0 > value


def _takes(optimizer: Any, name: str, value: float) -> bool:
    """Whether an optimizer has a number of a name, which may have a value."""
    try:
        optimizer.replace(**{name: value})
    except (AttributeError, TypeError, ValueError):  # a tree of optimizers, or a number that is not the optimizer's
        return False
    return True

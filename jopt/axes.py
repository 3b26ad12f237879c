"""Axes stand where numbers stand: the values that they take, and a value with axes expanded into lanes."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jopt.values.numbers import Axis, is_number, whole


class Grid(Axis):
    """An axis with given values, in order. Used twice, one object is one axis."""

    def __init__(self, values: Iterable[Any], name: str | None = None, group: object | None = None) -> None:
        self.values = tuple(_number(x) for x in values)
        self.name = _name(name)
        self.group = self if group is None else group
        if not self.values:
            raise ValueError("An axis needs at least one value, but got none.")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"The values of an axis must differ, but got {list(self.values)}.")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        shown = [f"{x:.3g}" for x in self.values]
        inside = ", ".join(shown if len(shown) <= 6 else [*shown[:2], "...", shown[-1]])
        return f"axis({inside}; {len(self)} values)"


class Drawn(Axis):
    """An axis whose values ``jopt.sweep(..., samples=)`` draws between two ends."""

    def __init__(self, low: float, high: float, *, log: bool, name: str | None = None) -> None:
        self.values = (_number(low), _number(high))
        self.log = log
        self.name = _name(name)
        if not self.values[0] < self.values[1]:
            raise ValueError(f"A drawn axis needs low < high, but got low={low} and high={high}.")

    def at(self, u: np.ndarray) -> tuple[float, ...]:
        """The values for points of the unit interval."""
        low, high = self.values
        ends = (np.log(low), np.log(high)) if self.log else (low, high)
        drawn = ends[0] * (1.0 - u) + ends[1] * u  # high - low and high / low may be more than a float holds
        return tuple(np.clip(np.exp(drawn) if self.log else drawn, low, high).tolist())

    def __repr__(self) -> str:
        return f"{'loguniform' if self.log else 'uniform'}({self.values[0]:.3g}, {self.values[1]:.3g})"


def geomspace(start: float, stop: float, num: int, *, name: str | None = None) -> Grid:
    """An axis of values evenly spaced on a logarithmic scale, both ends included.

    Args:
      start: The first value, above 0.
      stop: The last value, above 0.
      num: How many values, at least 1.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: For an end that is not above 0 or not finite, or ``num`` under 1.

    Example:
      >>> jopt.geomspace(1e-4, 1e-2, 3).values
      (0.0001, 0.001, 0.01)
    """
    _positive("geomspace", start=start, stop=stop)
    return Grid(_between(start, stop, np.geomspace(start, stop, _count("geomspace: num", num))), name)


def linspace(start: float, stop: float, num: int, *, name: str | None = None) -> Grid:
    """An axis of evenly spaced values, both ends included.

    Args:
      start: The first value.
      stop: The last value.
      num: How many values, at least 1.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: For an end that is not finite, or ``num`` under 1.

    Example:
      >>> jopt.linspace(0.0, 1.0, 3).values
      (0.0, 0.5, 1.0)
    """
    start, stop = _number(start), _number(stop)
    u = np.linspace(0.0, 1.0, _count("linspace: num", num))
    return Grid(_between(start, stop, start * (1.0 - u) + stop * u), name)  # stop - start may be more than a float holds


def decades(start: float, stop: float, *, name: str | None = None) -> Grid:
    """An axis of every order of magnitude from one value to another.

    Args:
      start: The first value, above 0.
      stop: The last value, above 0, a whole number of powers of ten away from ``start``.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: For ends that are not above 0, or not whole powers of ten apart.

    Example:
      >>> jopt.decades(1e-5, 1e-2).values
      (1e-05, 0.0001, 0.001, 0.01)
    """
    _positive("decades", start=start, stop=stop)
    powers = math.log10(stop) - math.log10(start)
    if abs(powers - round(powers)) > 1e-9:
        raise ValueError(
            f"decades steps by powers of ten, but {stop} is not a whole number of them away from {start}; use geomspace."
        )
    down = 1 if powers >= 0 else -1
    first = decimal.Decimal(repr(float(start)))
    inner = [float(first.scaleb(down * k)) for k in range(1, abs(round(powers)))]
    return Grid([start, *inner, stop] if round(powers) else [start], name)


def choice(*values: float, name: str | None = None) -> Grid:
    """An axis of given values.

    Args:
      *values: Finite numbers that differ.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: For no values, equal values or NaN.
      TypeError: For something that is no number: what is structure is swept as a dict of optimizers.

    Example:
      >>> jopt.choice(0.9, 0.95, 0.99).values
      (0.9, 0.95, 0.99)
    """
    if len(values) == 1 and isinstance(values[0], (list, tuple, np.ndarray, jax.Array)):
        raise TypeError(f"choice takes the values one by one: choice(*{values[0]!r}).")
    return Grid(values, name)


def zipped(*axes: Grid | Sequence[float]) -> tuple[Grid, ...]:
    """Axes that are walked together: setting k takes the k-th value of each.

    Args:
      *axes: Grids, or sequences of numbers, of one length.

    Returns:
      One axis for each argument, to be put where the numbers stand. They share one dimension.

    Raises:
      ValueError: For no axes, or axes of different lengths.
      TypeError: For something that is neither a grid nor a sequence of numbers.

    Example:
      >>> rate, decay = jopt.zipped(jopt.choice(0.1, 0.01), jopt.choice(1e-4, 1e-3))
      >>> decay.values
      (0.0001, 0.001)
    """
    for axis in axes:
        if not isinstance(axis, (Grid, list, tuple, np.ndarray, jax.Array)):
            raise TypeError(f"zipped takes grids, or sequences of numbers, but got {axis!r}.")
    lengths = [len(axis) for axis in axes]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"zipped takes at least one axis, all of one length of at least 1, but got lengths {lengths}.")
    group = object()
    return tuple(_Walked(axis, group) for axis in axes)


class _Walked(Grid):
    """A member of ``zipped``; it may repeat values, since the others tell its settings apart."""

    def __init__(self, axis: Grid | Sequence[float], group: object) -> None:
        self.values = axis.values if isinstance(axis, Grid) else tuple(_number(x) for x in axis)
        self.name = axis.name if isinstance(axis, Grid) else None
        self.group = group


def loguniform(low: float, high: float, *, name: str | None = None) -> Drawn:
    """An axis drawn evenly on a logarithmic scale, with ``jopt.sweep(..., samples=)``.

    The draws are quasi-random (scrambled Sobol points, one dimension per drawn axis), the same for the same ``seed=``.

    Args:
      low: The lower end, above 0.
      high: The upper end.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: Unless 0 < low < high.

    Example:
      >>> jopt.loguniform(1e-5, 1e-1)
      loguniform(1e-05, 0.1)
    """
    _positive("loguniform", low=low, high=high)
    return Drawn(low, high, log=True, name=name)


def uniform(low: float, high: float, *, name: str | None = None) -> Drawn:
    """An axis drawn evenly between two ends, with ``jopt.sweep(..., samples=)``.

    The draws are quasi-random (scrambled Sobol points, one dimension per drawn axis), the same for the same ``seed=``.

    Args:
      low: The lower end.
      high: The upper end.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: Unless low < high.

    Example:
      >>> jopt.uniform(0.8, 0.99)
      uniform(0.8, 0.99)
    """
    return Drawn(low, high, log=False, name=name)


def _number(x: Any) -> float:
    if not is_number(x) or isinstance(x, Axis) or np.ndim(x) > 0 or np.iscomplexobj(x):
        raise TypeError(
            f"An axis takes numbers, but got {x!r}; what is structure (a function, a bool, a rule) is swept as a dict of "
            f"optimizers."
        )
    if not math.isfinite(x):
        raise ValueError(f"The values of an axis must be finite, but got {x!r}.")
    return float(x)


def _name(name: str | None) -> str | None:
    if name is not None and not (isinstance(name, str) and name):
        raise TypeError(f"The name= of an axis must be a non-empty string, but got {name!r}.")
    return name


def _positive(name: str, **ends: float) -> None:
    for argument, x in ends.items():
        if not _number(x) > 0:
            raise ValueError(f"{name}: {argument} must be above 0 on a logarithmic scale, but got {x!r}.")


def _count(name: str, num: Any) -> int:
    if not is_number(num):
        raise TypeError(f"{name} must be a number, a whole one of at least 1, but got {num!r}.")
    return whole(name, num)


def _between(start: float, stop: float, spaced: np.ndarray) -> list[float]:
    """The ends as they were given, and what lies between them without the last digits' noise, so that 1e-3 reads 0.001.

    A value is rounded to twelve digits of its distance from the nearest, so that narrow spacing stays as it is.
    """
    gaps = np.abs(np.diff(spaced))
    nearest = np.minimum(gaps[:-1], gaps[1:])
    inner = [_rounded(x, gap) for x, gap in zip(spaced[1:-1].tolist(), nearest.tolist(), strict=True)]
    return [float(start), *inner, float(stop)][: len(spaced)]


def _rounded(x: float, gap: float) -> float:
    return x if gap == 0 else round(x, 12 - math.floor(math.log10(gap)))

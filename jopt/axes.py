"""Axes stand where numbers stand: the values that they take, and a value with axes expanded into lanes."""

from __future__ import annotations

import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jopt.kinds import Choice, Drawn, Grid, given, number, whole_number
from jopt.values.numbers import Axis, is_number, whole
from jopt.values.pairs import is_transformation
from jopt.values.require import shown

MOST = 24  # bits of the number of values: an axis of more has no sense, and would not fit into memory


def geomspace(start: float, stop: float, num: int, *, name: str | None = None, dtype: type = float) -> Grid:
    """An axis of values evenly spaced on a logarithmic scale, both ends included.

    Args:
      start: The first value, above 0.
      stop: The last value, above 0.
      num: How many values, at least 1.
      name: The name of its dimension; by default that of the argument where it stands.
      dtype: ``int`` for whole numbers, the nearest to those values.

    Returns:
      The axis.

    Raises:
      ValueError: For an end that is not above 0 or not finite, or ``num`` under 1; with ``dtype=int`` for an end that is no
        whole number, and for fewer whole numbers than ``num``.

    Example:
      >>> jopt.geomspace(1e-4, 1e-2, 3).values
      (0.0001, 0.001, 0.01)
      >>> jopt.geomspace(10, 1000, 5, dtype=int).values
      (10, 32, 100, 316, 1000)
    """
    _positive("geomspace", start=start, stop=stop)
    start, stop = number(start), number(stop)
    return _grid("geomspace", start, stop, np.geomspace(start, stop, _count("geomspace: num", num)), name, dtype)


def linspace(start: float, stop: float, num: int, *, name: str | None = None, dtype: type = float) -> Grid:
    """An axis of evenly spaced values, both ends included.

    Args:
      start: The first value.
      stop: The last value.
      num: How many values, at least 1.
      name: The name of its dimension; by default that of the argument where it stands.
      dtype: ``int`` for whole numbers, the nearest to those values.

    Returns:
      The axis.

    Raises:
      ValueError: For an end that is not finite, or ``num`` under 1; with ``dtype=int`` as ``geomspace``.

    Example:
      >>> jopt.linspace(0.0, 1.0, 3).values
      (0.0, 0.5, 1.0)
    """
    start, stop = number(start, "start"), number(stop, "stop")
    u = np.linspace(0.0, 1.0, _count("linspace: num", num))
    spaced = start * (1.0 - u) + stop * u  # stop - start may be more than a float holds
    return _grid("linspace", start, stop, spaced, name, dtype)


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
    return Grid([start, *inner, stop] if round(powers) else [start], name, kind="geomspace")


def choice(*values: Any, name: str | None = None) -> Any:  # it stands for whatever its values are: a bool, say
    """An axis of given values: numbers, or what an argument holds as structure.

    Numbers are swept in one compiled program. Structure is what a program is made of: bools, ``None``, strings, functions,
    schedules, whole transformations, tuples, and whole numbers where an argument needs them in Python (a memory size,
    ``batch_size=``). Each such value is a program of its own, in one result with that dimension; numbers beside ``None`` share
    one, so ``choice(None, 0.9, 0.95)`` makes two. Along the dimension of the result stand numbers, bools, strings and ``None``
    as they are (``None`` beside others in an array of objects), and the names of all else.

    Args:
      *values: Values that differ; numbers must be finite.
      name: The name of its dimension; by default that of the argument where it stands.

    Returns:
      The axis.

    Raises:
      ValueError: For no values, equal values or NaN.
      TypeError: For an array, a list, a dict, a set, a complex number or another axis, and for values that are given in one
        container (``choice(range(3))``) where they are to be given one by one.

    Example:
      >>> jopt.choice(0.9, 0.95, 0.99).values
      (0.9, 0.95, 0.99)
      >>> jopt.sgd(0.1, momentum=jopt.choice(None, 0.9, 0.95), nesterov=jopt.choice(False, True))
      sgd(learning_rate=0.1, momentum=axis(None, 0.9, 0.95; 3 values), nesterov=axis(False, True; 2 values))
    """
    if len(values) == 1 and _holds_others(values[0]):
        literal = isinstance(values[0], (list, tuple, range, set, frozenset, np.ndarray, jax.Array))
        given_as = f"choice(*{shown(values[0])})" if literal else f"choice(*values), but got {shown(values[0])}"
        raise TypeError(f"choice takes the values one by one: {given_as}.")
    return given(values, name)


def _holds_others(x: Any) -> bool:
    """Whether something is a container of values and no value itself, which text, a function, a dict or an optimizer is."""
    is_value = isinstance(x, (str, bytes, Mapping, Axis)) or callable(x) or is_transformation(x)
    return not is_value and hasattr(x, "__iter__") and getattr(x, "ndim", 1) != 0


def zipped(*axes: Grid | Choice | Sequence[Any]) -> tuple[Any, ...]:
    """Axes that are walked together: setting k takes the k-th value of each.

    Args:
      *axes: Grids, choices, or sequences of values (lists, tuples, ranges, arrays), of one length.

    Returns:
      One axis for each argument, to be put where the values stand. They share one dimension.

    Raises:
      ValueError: For no axes, or axes of different lengths.
      TypeError: For something that is neither a grid, a choice nor a sequence.

    Example:
      >>> rate, decay = jopt.zipped(jopt.choice(0.1, 0.01), jopt.choice(1e-4, 1e-3))
      >>> decay.values
      (0.0001, 0.001)
    """
    for axis in axes:
        if not isinstance(axis, (Grid, Choice, list, tuple, range, np.ndarray, jax.Array)) or (
            hasattr(axis, "ndim") and not axis.ndim
        ):
            raise TypeError(f"zipped takes grids, or sequences of values, but got {shown(axis)}.")
    lengths = [len(axis) for axis in axes]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"zipped takes at least one axis, all of one length of at least 1, but got lengths {lengths}.")
    group = object()
    return tuple(
        given(axis.values, axis.name, group, axis.kind) if isinstance(axis, (Grid, Choice)) else given(axis, None, group)
        for axis in axes
    )


def loguniform(low: float, high: float, *, name: str | None = None, dtype: type = float) -> Drawn:
    """An axis drawn evenly on a logarithmic scale, with ``jopt.sweep(..., samples=)``.

    The draws are quasi-random (scrambled Sobol points, one dimension per drawn axis), the same for the same ``seed=``.

    Args:
      low: The lower end, above 0.
      high: The upper end.
      name: The name of its dimension; by default that of the argument where it stands.
      dtype: ``int`` for whole numbers, both ends among them.

    Returns:
      The axis.

    Raises:
      ValueError: Unless 0 < low < high; with ``dtype=int`` for an end that is no whole number.

    Example:
      >>> jopt.loguniform(1e-5, 1e-1)
      loguniform(1e-05, 0.1)
    """
    _positive("loguniform", low=low, high=high)
    return Drawn(low, high, log=True, whole=_is_whole("loguniform", dtype), name=name)


def uniform(low: float, high: float, *, name: str | None = None, dtype: type = float) -> Drawn:
    """An axis drawn evenly between two ends, with ``jopt.sweep(..., samples=)``.

    The draws are quasi-random (scrambled Sobol points, one dimension per drawn axis), the same for the same ``seed=``.

    Args:
      low: The lower end.
      high: The upper end.
      name: The name of its dimension; by default that of the argument where it stands.
      dtype: ``int`` for whole numbers, both ends among them.

    Returns:
      The axis.

    Raises:
      ValueError: Unless low < high; with ``dtype=int`` for an end that is no whole number.

    Example:
      >>> jopt.uniform(0.8, 0.99)
      uniform(0.8, 0.99)
      >>> jopt.uniform(1, 8, dtype=int)
      uniform(1, 8, dtype=int)
    """
    return Drawn(low, high, log=False, whole=_is_whole("uniform", dtype), name=name)


def _positive(name: str, **ends: float) -> None:
    for argument, x in ends.items():
        if not number(x, argument) > 0:
            raise ValueError(f"{name}: {argument} must be above 0 on a logarithmic scale, but got {shown(x)}.")


def _count(name: str, num: Any) -> int:
    if not is_number(num):
        raise TypeError(f"{name} must be a number, a whole one of at least 1, but got {shown(num)}.")
    return whole(name, num, bits=MOST)


def _is_whole(name: str, dtype: Any) -> bool:
    if dtype is not float and dtype is not int:
        raise TypeError(f"{name}: dtype must be float or int, but got {shown(dtype)}.")
    return dtype is int


def _grid(owner: str, start: float, stop: float, spaced: np.ndarray, name: str | None, dtype: Any) -> Grid:
    if not _is_whole(owner, dtype):
        return Grid(_between(start, stop, spaced), name, kind=owner)
    ends = whole_number(start, "start"), whole_number(stop, "stop")
    values = [int(x) for x in np.rint(np.clip(spaced, min(ends), max(ends)))]
    if len(set(values)) < len(values):
        raise ValueError(f"{owner}: {len(values)} whole numbers from {ends[0]} to {ends[1]} would repeat some; lower num.")
    return Grid(values, name, kind=owner)


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

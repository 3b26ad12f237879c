"""The kinds of axes: given numbers, given structure, and numbers that are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, MappingView, Sequence
from typing import Any

import jax
import numpy as np

from jopt.values.names import labels
from jopt.values.numbers import Axis, is_number
from jopt.values.require import real, shown, tree

BY_MAGNITUDE = ("geomspace", "loguniform")  # kinds of axes whose values lie on a logarithmic scale


class Grid(Axis):
    """An axis with given numbers, in order: whole ones where all are whole. Used twice, one object is one axis."""

    def __init__(
        self, values: Iterable[Any], name: str | None = None, group: object | None = None, kind: str | None = None
    ) -> None:
        self.values = _numbers(values)
        self.name = _name(name)
        self.kind = kind
        self.group = self if group is None else group
        if not self.values:
            raise ValueError("An axis needs at least one value, but got none.")
        if group is None and len(set(self.values)) < len(self.values):
            raise ValueError(f"The values of an axis must differ, but got {shown(list(self.values))}.")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"axis({_shortened([f'{x:.3g}' for x in self.values])}; {len(self)} values)"


class Choice(Axis):
    """An axis of what is structure, with numbers beside it or not: each value is a program of its own, numbers share one."""

    numeric = False

    def __init__(self, values: Iterable[Any], name: str | None = None, group: object | None = None) -> None:
        listed = [_structure(x) for x in values]
        numbers = iter(_numbers(x for x in listed if is_number(x)))
        self.values = tuple(next(numbers) if is_number(x) else x for x in listed)
        self.name = _name(name)
        self.group = self if group is None else group
        if group is None and not differ(self.values):
            raise ValueError(f"The values of an axis must differ, but got {shown(list(self.values))}.")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"axis({_shortened([str(label) for label in labels(self.values)])}; {len(self)} values)"


class Drawn(Axis):
    """An axis whose values ``jopt.sweep(..., samples=)`` draws between two ends."""

    def __init__(self, low: float, high: float, *, log: bool, whole: bool = False, name: str | None = None) -> None:
        self.values = (number(low, "low"), number(high, "high"))
        if whole:
            self.values = (whole_number(low, "low"), whole_number(high, "high"))
        self.log = log
        self.kind = "loguniform" if log else "uniform"
        self.whole = whole  # whether only whole numbers are drawn, both ends among them
        self.name = _name(name)
        if not self.values[0] < self.values[1]:
            raise ValueError(f"A drawn axis needs low < high, but got low={low} and high={high}.")

    def at(self, u: np.ndarray) -> tuple[float, ...]:
        """The values for points of the unit interval."""
        low, high = self.values
        half = 0.5 if self.whole else 0.0  # so that the ends come as often as what lies between them
        ends = low - half, high + half
        if self.log:
            ends = np.log(ends[0]), np.log(ends[1])
        drawn = ends[0] * (1.0 - u) + ends[1] * u  # high - low and high / low may be more than a float holds
        drawn = np.clip(np.exp(drawn) if self.log else drawn, low, high)
        return tuple((np.rint(drawn).astype(np.int64) if self.whole else drawn).tolist())

    def __repr__(self) -> str:
        ends = ", ".join(f"{x}" if self.whole else f"{x:.3g}" for x in self.values)
        return f"{self.kind}({ends}{', dtype=int' if self.whole else ''})"


def given(
    values: Iterable[Any], name: str | None = None, group: object | None = None, kind: str | None = None
) -> Grid | Choice:
    """The axis of some values: a grid where all are numbers, or are meant to be."""
    values = tuple(values)
    if all(is_number(x) or _is_refused(x) for x in values):
        return Grid(values, name, group, kind)
    return Choice(values, name, group)


def merged(x: Grid | Choice, y: Grid | Choice, order: Sequence[int], group: object | None) -> Grid | Choice:
    """An axis of the values of two of one type, in an order of those of ``x`` and then those of ``y``."""
    values = [*x.values, *y.values]
    made = type(x)([values[i] for i in order], x.name, group)
    made.kind = kind_of_all([x.kind, y.kind])
    return made


def kind_of_all(kinds: Iterable[str | None]) -> str | None:
    """What is known of several axes as one: their kind, or whether they lie by magnitude; None where they differ."""
    found = set(kinds)
    if len(found) == 1 or None in found:
        return None if None in found else found.pop()
    by_magnitude = {kind in BY_MAGNITUDE for kind in found}
    return None if len(by_magnitude) != 1 else "geomspace" if by_magnitude.pop() else "linspace"


def number(x: Any, name: str = "a value of an axis") -> float:
    """A value of an axis of numbers; an error where it is none, or not finite."""
    found = real(x)
    if found is None:
        raise TypeError(
            f"An axis takes numbers, but {name} is {shown(x)}; choice also takes what is structure, each value a program of "
            f"its own: bools, None, strings, functions, tuples."
        )
    if not math.isfinite(found):
        raise ValueError(f"The values of an axis must be finite, but {name} is {shown(x)}.")
    return found


def whole_number(x: Any, name: str = "an end") -> int:
    """A value of an axis of whole numbers; an error where it is none."""
    if not number(x, name).is_integer():
        raise ValueError(f"With dtype=int the ends of an axis must be whole numbers, but {name} is {shown(x)}.")
    return int(x)


def _numbers(values: Iterable[Any]) -> tuple[Any, ...]:
    """Numbers as Python's, whole ones where all are whole."""
    listed = [(number(x), x) for x in values]
    whole = all(isinstance(x, int) or np.issubdtype(getattr(x, "dtype", float), np.integer) for _, x in listed)
    return tuple(int(x) if whole else as_float for as_float, x in listed)


def _structure(x: Any) -> Any:
    """A value of a choice, checked."""
    if is_number(x) or _is_refused(x):
        number(x)
        return x
    tree("choice: a value", x)
    if any(isinstance(leaf, Axis) for leaf in jax.tree.leaves(x)):
        raise TypeError(f"A value of a choice can't hold an axis itself, but {shown(x)} does; give a dict of optimizers.")
    return bool(x) if isinstance(x, np.bool_) else x


def _is_refused(x: Any) -> bool:
    return isinstance(x, (Axis, list, dict, set, MappingView, np.ndarray, jax.Array))


def same(x: Any, y: Any) -> bool:
    """Whether two values of an axis are one: True is not 1."""
    return x is y or (isinstance(x, bool) == isinstance(y, bool) and _equal(x, y))


def _equal(x: Any, y: Any) -> bool:
    try:
        return bool(x == y)
    except Exception:  # objects that compare as arrays do have no truth value
        return False


def differ(values: Sequence[Any]) -> bool:
    """Whether no two values of an axis are one; those that hash are not compared with each other one by one."""
    found: dict[Any, None] = {}
    others: list[Any] = []
    for x in values:
        try:
            found[isinstance(x, bool), x] = None
        except Exception:  # it has no hash, or compares as arrays do
            others.append(x)
    if len(found) + len(others) < len(values):
        return False
    return not any(same(x, y) for i, x in enumerate(others) for y in (*others[:i], *(y for _, y in found)))


def _name(name: str | None) -> str | None:
    if name is not None and not (isinstance(name, str) and name):
        raise TypeError(f"The name= of an axis must be a non-empty string, but got {shown(name)}.")
    return name


def _shortened(shown: list[str]) -> str:
    return ", ".join(shown if len(shown) <= 6 else [*shown[:2], "...", shown[-1]])

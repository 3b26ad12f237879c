"""The scale of an axis, for suggestions, zooms and pictures: as it was made, else as its numbers are spaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jopt.kinds import BY_MAGNITUDE, kind_of_all

DRAWN = ("uniform", "loguniform")  # kinds of axes
DECADE = 9.99  # a factor of ten, less what rounding may take from it
TWOFOLD = 1.99  # one of two


def is_log(values: Any, kind: str | None = None) -> bool:
    """Whether the numbers of an axis lie on a logarithmic scale, on which the 0 among them has a place of its own.

    An axis that was made evenly (``linspace``, ``uniform``) or by magnitude (``geomspace``, ``decades``, ``loguniform``) says
    so. Of other values the logarithms must be spaced more evenly than the numbers themselves; two must be twofold apart; and
    beside 0 the positive ones must span a decade. So 0, 0.001, 0.01 are logarithmic, 0 and 0.9 or 0, 0.5 and 0.9 are not.

    Args:
      values: Of the axis.
      kind: How it was made; None: of given values, or nobody knows.
    """
    found = np.unique(np.asarray(values, np.float64))
    found = found[np.isfinite(found)]
    positive = found[found > 0]
    if len(positive) < 2 or found[0] < 0:
        return False
    if kind is not None:
        return kind in BY_MAGNITUDE
    if positive[-1] < (DECADE if found[0] == 0 else TWOFOLD if len(found) == 2 else 1.0) * positive[0]:
        return False
    return len(positive) == 2 or _unevenness(np.log(positive)) < _unevenness(found)


def _unevenness(places: NDArray[np.float64]) -> float:
    gaps = np.diff(places)
    return float(gaps.std() / gaps.mean())


def joined_kinds(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The kinds of the axes of two records that are joined, by name."""
    both = {name: kind_of_all([one[name], other[name]]) for name in one if name in other}
    return {name: kind for name, kind in both.items() if kind is not None}

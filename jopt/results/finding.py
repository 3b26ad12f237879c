"""Which number, and which setting, of a result is meant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jopt.results.naming import paths_of
from jopt.results.record import is_part
from jopt.results.trial import Swept
from jopt.values import require
from jopt.values.showing import shown

DIGITS = 1e-6  # numbers that are equal to this share are the same one: people copy them from a table


def meant(result: Swept, name: str) -> str:
    """The number that was swept and that a name means: as ``SweepRecord.named``, or by the whole path in the optimizer.

    Raises:
      ValueError: For a name that was not swept, or that is a part of several paths.
    """
    try:
        return result.record.named(name)
    except ValueError:
        found = [own for own in result.record.coords if any(is_part(name, ".".join(path)) for path in paths_of(result, own))]
        if len(found) != 1:
            raise
        return found[0]


def find(what: str, result: Swept, setting: Any) -> tuple[int, ...]:
    """The place of the one setting in which the numbers are the given ones; of a sequence of whole numbers, that place.

    Raises:
      TypeError: For what is neither.
      ValueError: For numbers that no setting has, or several.
    """
    record = result.record
    if require.real(setting) is not None and not isinstance(setting, (int, np.integer)):
        names = ", ".join(f"{name!r}: ..." for name in record.coords)
        raise TypeError(f"{what}: setting must be a dict of what was swept, {{{names}}}, or a place, but got {setting!r}.")
    if not isinstance(setting, Mapping):
        return record.place(setting)
    fits = np.ones(record.shape, bool)
    given = {name: meant(result, name) for name in setting}
    for name, wanted in setting.items():
        axis, values = record.coordinate(given[name])
        same = np.array([_same(x, wanted) for x in values.tolist()], bool)
        if not same.any():
            raise ValueError(f"{what}: {name} was not {shown(wanted)} in any setting; it was {', '.join(map(str, values))}.")
        fits &= same.reshape([-1 if i == axis else 1 for i in range(fits.ndim)])
    if (count := int(fits.sum())) != 1:
        more = [dim for dim in record.dims if not {*given.values()} & {*record.names_along(dim)}]
        asked = f"say {' and '.join(more)}, too" if count and more else "result.to_pandas() lists them"
        raise ValueError(f"{what}: {count or 'no'} settings are {shown(dict(setting))}; {asked}.")
    return tuple(int(i) for i in np.argwhere(fits)[0])


def _same(x: Any, wanted: Any) -> bool:
    wanted = wanted.item() if isinstance(wanted, np.generic) else wanted
    if (
        isinstance(x, bool)
        or isinstance(wanted, bool)
        or not (require.real(x) is not None and require.real(wanted) is not None)
    ):
        return type(x) is type(wanted) and bool(x == wanted)
    return math.isclose(x, wanted, rel_tol=DIGITS)

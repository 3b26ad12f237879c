"""Axes that are swept though nothing hangs on them: most often a key of ``hyper`` that is called otherwise where it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jopt.engine.compiled.analysis import Analysis
from jopt.engine.compiled.tracing import Traced
from jopt.expanding import source_of
from jopt.spaces import Settings, Space
from jopt.standing import places
from jopt.sweeps.deciding import warn
from jopt.sweeps.jobs import of_group
from jopt.values.numbers import Axis


def tell_of_unread(hyper: Any, settings: Mapping[str, Settings], found: Mapping[str, Analysis]) -> None:
    """Warns of each axis of ``hyper`` on which nothing hangs in any group.

    ``settings`` are those of each group, ``found`` is what was traced of each of their programs.
    """
    named = {axis: name for each in settings.values() for d in each.dimensions for name, axis, _ in d.members}
    for axis in dict.fromkeys(place.axis for place in places(hyper)):
        if all(_is_dead(axis, each, [found[key] for key in of_group(found, group)]) for group, each in settings.items()):
            warn(
                f"hyper: no function reads {named[axis]!r}, so all values of {axis!r} train alike, each in lanes of its own. "
                f"A function finds it in hyper as it is called there; mend the name, or leave it out."
            )


def _is_dead(axis: Axis, settings: Settings, found: Sequence[Analysis]) -> bool:
    """Whether nothing hangs on an axis in one group, nor on those that it is zipped with."""
    group = getattr(axis, "group", axis)
    mine = [a for d in settings.dimensions if len(d) > 1 for _, a, _ in d.members if getattr(a, "group", a) is group]
    return bool(mine) and not any(_is_read(a, settings, found) or not _is_one(a, mine, settings, found) for a in mine)


def _is_read(axis: Axis, settings: Settings, found: Sequence[Analysis]) -> bool:
    """Whether a program reads a number of an axis."""
    each = [
        (i, trace) for space, one in zip(settings.spaces, found, strict=True) for i in _at(axis, space) for trace in _of(one)
    ]
    return any(trace.used[i] for i, trace in each)


def _is_one(axis: Axis, mine: Sequence[Axis], settings: Settings, found: Sequence[Analysis]) -> bool:
    """Whether an axis stands for numbers everywhere, or the programs of all its values, beside whatever others, are one."""
    if all(_at(axis, space) for space in settings.spaces):
        return True
    beside: dict[Any, tuple[set[int], list[Analysis]]] = {}
    for space, each in zip(settings.spaces, found, strict=True):
        chosen = _chosen(space)
        values, programs = beside.setdefault(tuple(v for a, v in chosen.items() if a not in mine), (set(), []))
        values |= chosen[axis]
        programs.append(each)
    length = next(len(d) for d in settings.dimensions if any(a is axis for _, a, _ in d.members))
    return all(len(values) == length and _are_alike(programs) for values, programs in beside.values())


def _at(axis: Axis, space: Space) -> list[int]:
    """Among the leaves of a setting, those where an axis stands."""
    return [i for i, x in enumerate(jax.tree.leaves(space.value)) if isinstance(x, Axis) and source_of(x) is axis]


def _chosen(space: Space) -> dict[Axis, frozenset[int]]:
    """Of each axis, which of its values are among the settings of a program."""
    places = np.unravel_index(space.places, tuple(map(len, space.dimensions)))
    along = zip(space.dimensions, places, strict=True)
    return {axis: frozenset(indices.tolist()) for dimension, indices in along for _, axis, _ in dimension.members}


def _of(found: Analysis) -> Iterator[Traced]:
    yield from (each for each in (found.start, found.step.batch, found.step.traced, found.evaluate) if each is not None)


def _are_alike(found: Sequence[Analysis]) -> bool:
    """Whether programs compute the same, under the same names."""
    first, *others = found
    names = [(each.names, each.treedef, each.step.metrics) for each in found]
    return all(each == names[0] for each in names) and all(_are_same([*_of(first)], [*_of(other)]) for other in others)


def _are_same(first: Sequence[Traced], second: Sequence[Traced]) -> bool:
    return len(first) == len(second) and all(x.is_same(y) for x, y in zip(first, second, strict=True))

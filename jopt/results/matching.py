"""Whether two results are of the same settings but for one axis, and the optimizer that has the values of both."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jopt.kinds import Choice, Grid, merged
from jopt.results.record import SweepRecord
from jopt.results.trial import Swept
from jopt.values.trees import flatten


def check_others(one: Swept, other: Swept, dim: str) -> None:
    """Raises where two results differ in more than the numbers along ``dim``."""
    a, b, start = one.record, other.record, (0,) * len(one.record.dims)
    swept = {name: (a.setting(start)[name], b.setting(start)[name]) for name in a.names_along(dim)}
    axes = [[*x.values] for x in jax.tree.leaves(one.optimizer) if isinstance(x, (Grid, Choice))]
    in_hyper = [pair for name, pair in swept.items() if a.coords[name][1].tolist() not in axes]
    alike = {
        "optimizers differ": same(one.optimizer_at(start), other.optimizer_at(start), swept.values()),
        "numbers in hyper= differ": same(one.hyper_at(start), other.hyper_at(start), in_hyper),
    }
    if differ := [what for what, found in alike.items() if not found]:
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for pair in swept.values() for x in pair)
        hint = "" if numbers else ", as along an axis of structure; sweep all its values in one call"
        raise ValueError(
            f"Results are joined along the one axis in which they differ, here {dim!r}, but their {differ[0]} in more{hint}."
        )


def same(one: Any, other: Any, swept: Collection[Any] = ()) -> bool:
    """Whether two trees are equal, but for numbers that are one of some pairs."""
    (ours, form), (theirs, others) = flatten(one), flatten(other)
    return bool(form == others) and all(
        x is y or np.array_equal(x, y) or (np.ndim(x) == 0 and (x, y) in swept) for x, y in zip(ours, theirs, strict=True)
    )


def with_all(one: Any, other: Any, order: NDArray[np.intp]) -> Any:
    """An optimizer whose axis has the values of both."""
    (ours, form), theirs = flatten(one), jax.tree.leaves(other)
    made: dict[int, Grid | Choice] = {}
    groups: dict[int, object] = {}

    def both(x: Any, y: Any) -> Any:
        if not isinstance(x, (Grid, Choice)) or x.values == y.values:
            return x
        if id(x) not in made:
            group = None if x.group is x else groups.setdefault(id(x.group), object())
            made[id(x)] = merged(x, y, order.tolist(), group)
        return made[id(x)]

    return form.unflatten([both(x, y) for x, y in zip(ours, theirs, strict=True)])


def same_values(a: SweepRecord, b: SweepRecord, dim: str) -> bool:
    """Whether two results have the same values along a dimension."""
    names = a.names_along(dim)
    return names == b.names_along(dim) and all(np.array_equal(a.coords[n][1], b.coords[n][1]) for n in names)

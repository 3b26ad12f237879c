"""Two results of one problem as one: what ``result.concat(other)`` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jopt.results.matching import check_others, same, same_values, with_all
from jopt.results.ran import differing, either
from jopt.results.record import SweepRecord, Timings
from jopt.results.spacing import joined_kinds
from jopt.results.trial import Swept
from jopt.values.trees import structure

Join = Callable[[Any, Any], Any]  # of two arrays that hold the same of one result and of the other
PER_LANE = ("diverged_at", "steps_done", "pruned_at", "left_at")
MORE = ("none", "params", "carry")  # what may be kept, in the order of how much that is


def joined(one: Swept, other: Swept) -> dict[str, Any]:
    """The arguments of the ``SweepResult`` that has the lanes, or the steps, of both.

    Raises:
      ValueError: Where the two are not of one problem, or do not fit together.
    """
    _check(one, other)
    if other.record.first == one.record.last:
        made = _along_steps(one, other)
    elif one.record.first == other.record.last:
        made = _along_steps(other, one)
    else:
        made = _along_lanes(one, other)
    if differs := differing(one, other):
        raise ValueError(f"Results that are joined must be of one problem, but {differs}.")
    timings = Timings(**{f.name: sum(getattr(r.timings, f.name) for r in (one, other)) for f in dataclasses.fields(Timings)})
    plan = one.plan if str(one.plan) == str(other.plan) else f"{one.plan}; and {other.plan}"
    both = {"plan": plan, "timings": timings, "environment": either(one.environment, other.environment)}
    return {**made, **both, "by_step": one.by_step, "key_kinds": one.key_kinds or other.key_kinds}


def _check(one: Swept, other: Swept) -> None:
    """What two results must have in common, whatever they are joined along."""
    a, b = one.record, other.record
    same = {
        "record the same": (a.metric_names, b.metric_names),
        "rank by metrics that were declared alike": (set(a.maximize), set(b.maximize)),
        "have the same seed= of the sweep, without which equal seeds see other batches": (a.sweep_seed, b.sweep_seed),
        "be both of jopt.sweep or both of jopt.sweep_steps": (one.by_step, other.by_step),
    }
    for what, (ours, theirs) in same.items():
        if ours != theirs:
            raise ValueError(f"Results that are joined must {what}, but one has {ours} and the other {theirs}.")
    if one.ragged or other.ragged:
        raise ValueError(
            "Results that are joined must have parameters and states of one shape in all settings, but an axis of structure "
            "changes those of one; sweep all its values in one call."
        )


def _along_lanes(one: Swept, other: Swept) -> dict[str, Any]:
    """Other values of one axis, or other seeds, trained for the same steps."""
    a, b = one.record, other.record
    for what, ours, theirs in (("steps", a.step, b.step), ("evaluations", a.eval_step, b.eval_step)):
        if a.first != b.first or not np.array_equal(ours, theirs):
            raise ValueError(
                f"Results of the same steps are joined along an axis or the seeds, and one that goes on from the other along "
                f"the steps, but the {what} of one are after {_shown(ours)} and of the other after {_shown(theirs)}."
            )
    if a.keep != b.keep:
        raise ValueError(f"Results that are joined must keep the same, but one has keep={a.keep!r}, the other keep={b.keep!r}.")
    if a.dims != b.dims:
        raise ValueError(
            f"Results that are joined must have the same axes, but one has {list(a.dims)} and the other {list(b.dims)}; an "
            f"axis of one value is jopt.choice(value)."
        )
    differing = [dim for dim in a.dims if not same_values(a, b, dim)]
    differing += [] if np.array_equal(a.seeds, b.seeds) else ["seed"]
    if len(differing) != 1:
        how = f"in {' and in '.join(map(repr, differing))}" if differing else "in no axis, nor in their seeds"
        raise ValueError(f"Results are joined along the one axis in which they differ, or their seeds, but these differ {how}.")
    (dim,) = differing
    check_others(one, other, dim)
    return _along(one, other, dim)


def _along(one: Swept, other: Swept, dim: str) -> dict[str, Any]:
    a, b = one.record, other.record
    axis = (*a.dims, "seed").index(dim)
    both = {n: (d, np.concatenate([v, b.coords[n][1]]) if d == dim else v) for n, (d, v) in a.coords.items()}
    along = {n: v for n, (d, v) in both.items() if d == dim} or {"seed": np.concatenate([a.seeds, b.seeds])}
    order = _order(dim, along, len(next(iter(along.values()))) - b.diverged_at.shape[axis])

    def join(x: Any, y: Any) -> Any:
        return np.take(np.concatenate([x, y], axis), order, axis)

    record = dataclasses.replace(
        a,
        coords={n: (d, v[order] if d == dim else v) for n, (d, v) in both.items()},
        kinds=joined_kinds(a.kinds, b.kinds),
        seeds=along["seed"][order] if dim == "seed" else a.seeds,
        losses=_each(join, a.losses, b.losses),
        metrics=_each(join, a.metrics, b.metrics),
        examples=_examples(a, b, dim, order),
        **_each(join, _per_lane(a), _per_lane(b)),
    )
    made = {"record": record, **_kept(join, one, other)}
    if dim == "seed":
        return {**made, "optimizer": one.optimizer, "optimizer_at": one.optimizer_at, "hyper_at": one.hyper_at}
    count = a.diverged_at.shape[axis]

    def source(index: tuple[int, ...]) -> tuple[Swept, tuple[int, ...]]:
        place = int(order[index[axis]])
        of, own = (one, place) if place < count else (other, place - count)
        return of, (*index[:axis], own, *index[axis + 1 :])

    def optimizer_at(index: tuple[int, ...]) -> Any:
        of, own = source(index)
        return of.optimizer_at(own)

    def hyper_at(index: tuple[int, ...]) -> Any:
        of, own = source(index)
        return of.hyper_at(own)

    optimizer = with_all(one.optimizer, other.optimizer, order)
    return {**made, "optimizer": optimizer, "optimizer_at": optimizer_at, "hyper_at": hyper_at}


def _examples(a: SweepRecord, b: SweepRecord, dim: str, order: NDArray[np.intp]) -> tuple[str, NDArray[Any]] | None:
    """The dimension of the batch sizes, and the examples of a step along it."""
    if a.examples is None or b.examples is None or a.examples[0] != b.examples[0]:
        if a.examples is b.examples:
            return None
        raise ValueError("Results that are joined must have the same axis of batch sizes, but only one has it, or another one.")
    if a.examples[0] == dim:
        return dim, np.concatenate([a.examples[1], b.examples[1]])[order]
    if not np.array_equal(a.examples[1], b.examples[1]):
        raise ValueError("Results that are joined must be of as many examples of data, but their steps of all of it differ.")
    return a.examples


def _order(dim: str, along: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.intp]:
    """Where each place of the joined axis comes from: ascending, where both were, else one after the other."""
    first = along.get(dim, next(iter(along.values())))
    places = list(zip(*(values.tolist() for values in along.values()), strict=True))
    if twice := [place for place in places[count:] if place in places[:count]]:
        raise ValueError(f"Results that are joined must have no lane in common, but both have {dim} {twice[0][0]!r}.")
    ascending = dim != "seed" and first.dtype.kind in "iuf" and all((np.diff(x) > 0).all() for x in np.split(first, [count]))
    return np.argsort(first, kind="stable") if ascending else np.arange(len(first))


def _along_steps(one: Swept, other: Swept) -> dict[str, Any]:
    """A result, and what goes on from it: from each of its lanes, or from one setting of its."""
    a, b = one.record, other.record
    if "best" in (a.keep, b.keep):
        raise ValueError(
            'With keep="best" a result knows the best of its own steps only, so it is not joined to others along the steps; '
            'give keep="params" or keep="carry".'
        )
    if not np.array_equal(a.seeds, b.seeds):
        raise ValueError(f"What goes on has the same seeds, but one has {a.seeds.tolist()} and the other {b.seeds.tolist()}.")
    index = _where(one, other)
    later = b.eval_step > a.last
    everywhere = index == (...,)
    keep = b.keep if everywhere else min(a.keep, b.keep, key=MORE.index)

    def join(x: Any, y: Any) -> Any:
        whole = np.full((*x.shape[:-1], y.shape[-1]), np.nan, y.dtype)
        whole[index] = y
        return np.concatenate([x, whole], -1)

    def replaced(x: Any, y: Any) -> Any:
        whole = np.array(x)
        whole[index] = y
        return whole

    # What does not go on was taken out here, unless it had died before.
    behind = np.isnan(a.left_at) & ~a.pruned & ~a.diverged & (not everywhere)
    record = dataclasses.replace(
        a,
        step=np.append(a.step, b.step),
        eval_step=np.append(a.eval_step, b.eval_step[later]),
        losses=_each(join, a.losses, b.losses),
        metrics=_each(join, a.metrics, {name: x[..., later] for name, x in b.metrics.items()}),
        diverged_at=replaced(a.diverged_at, np.fmin(a.diverged_at[index], b.diverged_at)),
        steps_done=replaced(a.steps_done, b.steps_done),
        pruned_at=replaced(a.pruned_at, np.fmin(a.pruned_at[index], b.pruned_at)),
        left_at=replaced(np.where(behind, a.steps_done, a.left_at), np.fmin(a.left_at[index], b.left_at)),
        keep=keep,
    )
    params, state = _params(other, keep), None
    params = params if everywhere else _tree(replaced, _params(one, keep), params)
    if keep == "carry" and not one.by_step:
        state = other.state if everywhere else _tree(replaced, one.state, other.state)
    made = {"optimizer": one.optimizer, "optimizer_at": one.optimizer_at, "hyper_at": one.hyper_at}
    return {"record": record, **made, "params": params, "state": state}


def _where(one: Swept, other: Swept) -> tuple[Any, ...]:
    """Where the settings of a result that goes on stand in the grid of the first one; ``(...,)``: they are the same."""
    a, b = one.record, other.record
    if a.dims == b.dims and all(same_values(a, b, dim) for dim in a.dims):
        places: list[tuple[Any, ...]] = [(...,)]
    else:
        places = list(np.ndindex(a.shape)) if not b.dims else []
    start = (0,) * len(b.dims)
    for place in places:
        at = start if place == (...,) else place
        if one.optimizer_at(at) == other.optimizer_at(start) and same(one.hyper_at(at), other.hyper_at(start)):
            return place
    raise ValueError(
        "What goes on is joined to the settings that it goes on from, but it has others: other axes, or an optimizer or hyper "
        "that is none of the first result's."
    )


def _each(join: Join, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: join(x, theirs[name]) for name, x in ours.items()}


def _per_lane(record: SweepRecord) -> dict[str, NDArray[Any]]:
    return {name: getattr(record, name) for name in PER_LANE}


def _kept(join: Join, one: Swept, other: Swept) -> dict[str, Any]:
    params = (_params(result, result.record.keep) for result in (one, other))
    return {"params": _tree(join, *params), "state": _tree(join, _state(one), _state(other))}


def _tree(join: Join, ours: Any, theirs: Any) -> Any:
    if structure(ours) != structure(theirs):
        raise ValueError(
            f"Results that are joined must be of one model and one kind of optimizer, but one has the structure "
            f"{structure(ours)} and the other {structure(theirs)}."
        )
    return jax.tree.map(join, ours, theirs)


def _params(result: Swept, keep: str) -> Any:
    """What a result that keeps so much holds as its parameters: beside states what was trained, else what is judged."""
    return None if keep == "none" else result.raw_params if keep == "carry" else result.params


def _state(result: Swept) -> Any:
    return result.state if result.record.keep == "carry" else None


def _shown(steps: NDArray[Any]) -> str:
    return f"{steps[0]}, ..., {steps[-1]} ({len(steps)})" if len(steps) else "no step"

"""From what the engine recorded to a result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.job import Job
from jopt.engine.lanes.records import Records
from jopt.engine.planning.plan import Plan
from jopt.engine.running.underway import Outcome
from jopt.results import SweepRecord, SweepResult, Timings
from jopt.results.ragged import Ragged
from jopt.results.ran import environment
from jopt.spaces import Settings
from jopt.values.names import labels
from jopt.values.trees import structure


def result_of(settings: Settings, jobs: Sequence[Job], outcomes: Sequence[Outcome], by_step: bool) -> SweepResult:
    """The result of one group, of a job for each of its programs; ``by_step`` says that it is of ``sweep_steps``."""
    records, whole = [outcome.records for outcome in outcomes], _Whole(settings, len(jobs[0].seeds))
    first = jobs[0]
    record = SweepRecord(
        dims=tuple(d.name for d in settings.dimensions),
        coords={name: (d.name, labels(values)) for d in settings.dimensions for name, _, values in d.members},
        seeds=np.asarray(first.seeds),
        step=records[0].record_steps,
        eval_step=records[0].eval_steps if records[0].metrics else np.zeros(0, np.int64),
        losses=whole.by_name([r.losses for r in records]),
        metrics=whole.by_name([r.metrics for r in records]),
        diverged_at=whole.of([r.diverged_at for r in records]),
        steps_done=whole.of([r.steps_done for r in records]),
        pruned_at=whole.of([r.pruned_at for r in records]),
        maximize=first.maximize,
        examples=_examples(settings, jobs),
        first=first.first,
        keep=first.keep,
        sweep_seed=first.seed,
    )
    kept = [jax.tree.unflatten(r.kept_structure, r.kept) for r in records]
    carries = [(job.program, tree) for job, tree in zip(jobs, kept, strict=True)] if first.keep == "carry" else []
    params = _together(whole, [program.kept(carry) for program, carry in carries] or kept)
    return SweepResult(
        record,
        optimizer=settings.optimizer,
        optimizer_at=_by_index(settings, settings.at),
        hyper_at=_by_index(settings, settings.hyper_at),
        params=params,
        state=_together(whole, [program.state(carry) for program, carry in carries]) if carries else None,
        by_step=by_step,
        key_kinds=_key_kinds(params, records) if by_step else (),
        plan=_plan([outcome.plan for outcome in outcomes]),
        timings=_timings(outcomes),
        environment=environment(),
    )


class _Whole:
    """Arrays of the settings of several programs, put together over all settings."""

    def __init__(self, settings: Settings, seeds: int) -> None:
        self.settings = settings
        self.lanes = (*settings.shape, seeds)

    def of(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Of arrays ``[settings of a program, seeds, ...]`` the one of all: ``[*dims, seeds, ...]``."""
        made = arrays[0]
        if len(arrays) > 1:
            dtype = functools.reduce(jnp.promote_types, [x.dtype for x in arrays])
            made = np.empty((self.settings.size, *made.shape[1:]), dtype)
            for space, array in zip(self.settings.spaces, arrays, strict=True):
                made[space.places] = array
        return made.reshape(*self.lanes, *made.shape[2:])

    def by_name(self, each: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Of what several programs recorded; NaN where one of them did not record it."""
        names = dict.fromkeys(name for arrays in each for name in arrays)
        return {name: self.of(self._filled(name, each)) for name in names}

    def _filled(self, name: str, each: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray]:
        known = next(arrays[name] for arrays in each if name in arrays)
        spaces = zip(self.settings.spaces, each, strict=True)
        nothing = np.asarray(np.nan, known.dtype)
        return [
            arrays[name] if name in arrays else np.broadcast_to(nothing, (space.size, *known.shape[1:]))
            for space, arrays in spaces
        ]


def _together(whole: _Whole, trees: Sequence[Any]) -> Any:
    """Trees of several programs, leaves ``[settings of a program, seeds, ...]``, as one, or side by side where they differ."""
    leaves, structures = [jax.tree.leaves(tree) for tree in trees], [structure(tree) for tree in trees]
    kinds = [(s, [(x.shape[1:], x.dtype) for x in each]) for s, each in zip(structures, leaves, strict=True)]
    if all(kind == kinds[0] for kind in kinds):
        return structures[0].unflatten([whole.of(arrays) for arrays in zip(*leaves, strict=True)])
    which, place = (np.empty(whole.settings.size, np.int64) for _ in range(2))
    for i, space in enumerate(whole.settings.spaces):
        which[space.places], place[space.places] = i, np.arange(space.size)
    return Ragged(list(trees), np.stack([which, place], -1).reshape(*whole.settings.shape, 2))


def _key_kinds(params: Any, records: Sequence[Records]) -> list[Any]:
    """For each leaf of the parameters, of which kind of random keys it is; where shapes differ, program after program."""
    return [kind for each in (records if isinstance(params, Ragged) else records[:1]) for kind in each.key_kinds]


def _by_index(settings: Settings, of: Callable[[int], Any]) -> Callable[[tuple[int, ...]], Any]:
    return lambda index: of(int(np.ravel_multi_index(index, settings.shape)) if index else 0)


def _examples(settings: Settings, jobs: Sequence[Job]) -> tuple[str, np.ndarray] | None:
    """The dimension along which batch sizes are swept, and the examples of a step along it."""
    for dimension in settings.dimensions:
        for _, axis, values in dimension.members:
            if axis is settings.batch_axis:
                everything = [len(leaf) for job in jobs for leaf in jax.tree.leaves(job.feed.data)[:1]]
                return dimension.name, np.asarray([everything[0] if x is None else x for x in values], np.int64)
    return None


def _plan(plans: Sequence[Plan]) -> Any:
    return plans[0] if len(plans) == 1 else Plans(plans)


class Plans(tuple[Plan, ...]):
    """How each program of a sweep ran, where structure was swept."""

    def __str__(self) -> str:
        """The plans in a sentence."""
        different = dict.fromkeys(map(str, self))
        return f"{len(self)} programs: " + "; ".join(different)


def _timings(outcomes: Sequence[Outcome]) -> Timings:
    compile_s, total_s = (sum(x) for x in zip(*((o.compile_s, o.total_s) for o in outcomes), strict=True))
    return Timings(
        compile_s=compile_s,
        run_s=max(0.0, total_s - compile_s),
        total_s=total_s,
        lane_steps=sum(o.records.lane_steps for o in outcomes),
    )

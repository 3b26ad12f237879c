"""From what the engine recorded to a result."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.job import Job
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.table import State
from jopt.engine.planning.plan import Plan
from jopt.engine.running.reached import Outcome, Reached
from jopt.results import SweepRecord, SweepResult, Timings
from jopt.results.ragged import Ragged
from jopt.results.ran import environment, problem
from jopt.spaces import Settings, one_after_another
from jopt.values.names import labels
from jopt.values.trees import structure

_NAMED = {
    State.DEAD: "dead",
    State.DONE: "done",
    State.PRUNED: "pruned",
    State.AWAY: "elsewhere",
    State.LOST: "lost",
}
WORDS = np.array([_NAMED.get(state, "running") for state in State])


class Finished(NamedTuple):
    """What ran of one group: its settings, and a job for each of its programs with what came of it; in rounds, if searched."""

    settings: Settings
    jobs: Sequence[Job]
    outcomes: Sequence[Outcome]
    rounds: int = 1


def joined(parts: Sequence[Finished]) -> Finished:
    """The rounds of a search, in the order in which they ran."""
    if len(parts) == 1:
        return parts[0]
    settings = one_after_another([part.settings for part in parts])
    jobs, outcomes = ([x for each in lists for x in each] for lists in zip(*(part[1:3] for part in parts), strict=True))
    return Finished(settings, jobs, outcomes, len(parts))


def so_far(settings: Settings, jobs: Sequence[Job], reached: Sequence[Reached], until: int) -> Finished:
    """What there would be of one group if all had ended at a step."""
    return Finished(settings, jobs, [each.outcome(until) for each in reached])


def result_of(finished: Finished, by_step: bool) -> SweepResult:
    """The result of one group; ``by_step`` says that it is of ``sweep_steps``."""
    settings, jobs, outcomes, _ = finished
    records, whole = [outcome.records for outcome in outcomes], _Whole(settings, len(jobs[0].seeds))
    if any(r.kept_structure is None for r in records):  # no lane of a program has come to its end here
        return result_so_far(finished, by_step)
    kept = [jax.tree.unflatten(r.kept_structure, r.kept) for r in records]
    carries = zip(*kept, strict=True) if jobs[0].keep == "carry" else (kept, [None] * len(kept))
    params, state = (_together(whole, trees) for trees in carries)
    kinds = _key_kinds(params, records) if by_step else ()
    record = record_of(finished, complete=not any(outcome.lost for outcome in outcomes))
    result = _result(finished, record, params=params, state=state, by_step=by_step, key_kinds=kinds)
    carry = outcomes[0].shardings
    if carry is not None:
        result._shardings = (carry, None) if by_step else carry
    return result


def result_so_far(finished: Finished, by_step: bool) -> SweepResult:
    """The result of one group of which not all has run, without parameters; NaN where nothing ran."""
    return _result(finished, record_of(finished, complete=False), params=None, by_step=by_step)


def _result(finished: Finished, record: SweepRecord, **kept: Any) -> SweepResult:
    settings = finished.settings
    return SweepResult(
        record,
        optimizer=settings.optimizer,
        optimizer_at=_by_index(settings, settings.at),
        hyper_at=_by_index(settings, settings.hyper_at),
        plan=_plan([outcome.plan for outcome in finished.outcomes], finished.rounds),
        timings=_timings(finished.outcomes),
        environment=environment() | problem([job.feed for job in finished.jobs], [each.program for each in finished.outcomes]),
        **kept,
    )


def record_of(finished: Finished, complete: bool = True) -> SweepRecord:
    """The arrays of one group and their names."""
    records = [outcome.records for outcome in finished.outcomes]
    return recorded(finished.settings, finished.jobs, records, complete and all(each.complete for each in finished.outcomes))


def recorded(settings: Settings, jobs: Sequence[Job], records: Sequence[Records], complete: bool) -> SweepRecord:
    """What jobs of one group have recorded, under its names."""
    whole, first = _Whole(settings, len(jobs[0].seeds)), jobs[0]
    return SweepRecord(
        dims=tuple(d.name for d in settings.dimensions),
        coords={name: (d.name, labels(values)) for d in settings.dimensions for name, _, values in d.members},
        kinds={name: axis.kind for d in settings.dimensions for name, axis, _ in d.members if axis.kind},
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
        complete=complete,
    )


def states_of(settings: Settings, jobs: Sequence[Job], reached: Sequence[Reached], until: int) -> np.ndarray:
    """What each lane of a group is doing at a step, in a word, ``[*dims, seeds]``; some may be further."""
    further = [
        np.where((each.records.steps_done > until) & (each.states != State.AWAY), State.RUNNING, each.states)
        for each in reached
    ]
    return np.asarray(WORDS[_Whole(settings, len(jobs[0].seeds)).of(further)])


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


def _plan(plans: Sequence[Plan], rounds: int) -> Any:
    if len(plans) == 1:
        return plans[0]
    made = Plans(plans)
    made.rounds = rounds
    return made


class Plans(tuple[Plan, ...]):
    """How each program of a sweep ran, where structure was swept, or each round of a search."""

    rounds = 1

    def __str__(self) -> str:
        """The plans in a sentence."""
        if self.rounds == 1:
            return f"{len(self)} programs: " + "; ".join(dict.fromkeys(map(str, self)))
        without_reasons = (str(dataclasses.replace(plan, reason="")) for plan in self)
        return f"{self.rounds} rounds of a search: " + "; ".join(dict.fromkeys(without_reasons))


def _timings(outcomes: Sequence[Outcome]) -> Timings:
    compile_s, total_s = (sum(x) for x in zip(*((o.compile_s, o.total_s) for o in outcomes), strict=True))
    return Timings(
        compile_s=compile_s,
        run_s=max(0.0, total_s - compile_s),
        total_s=total_s,
        lane_steps=sum(o.records.lane_steps for o in outcomes),
    )

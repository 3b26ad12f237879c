"""From what the engine recorded to a result."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np

from jopt.engine.job import Job
from jopt.engine.running.carry_out import Outcome
from jopt.results import SweepRecord, SweepResult, Timings


def result_of(job: Job, outcome: Outcome, by_step: bool) -> SweepResult:
    """The result of one group; ``by_step`` says that it is of ``sweep_steps``."""
    space, records = job.space, outcome.records
    lanes = (*space.shape, len(job.seeds))

    def shaped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array.reshape(*lanes, *array.shape[2:]) for name, array in arrays.items()}

    record = SweepRecord(
        dims=tuple(d.name for d in space.dimensions),
        coords={name: (d.name, np.asarray(values)) for d in space.dimensions for name, _, values in d.members},
        seeds=np.asarray(job.seeds),
        step=records.record_steps,
        eval_step=records.eval_steps if records.metrics else np.zeros(0, np.int64),
        losses=shaped(records.losses),
        metrics=shaped(records.metrics),
        diverged_at=records.diverged_at.reshape(lanes),
        steps_done=records.steps_done.reshape(lanes),
        maximize=job.maximize,
        first=job.first,
        keep=job.keep,
        sweep_seed=job.seed,
    )
    arrays = [array.reshape(*lanes, *array.shape[2:]) for array in records.kept]
    kept = jax.tree.unflatten(records.kept_structure, arrays)
    whole = job.keep == "carry"
    return SweepResult(
        record,
        optimizer=space.optimizer,
        optimizer_at=lambda index: space.at(int(np.ravel_multi_index(index, space.shape)) if index else 0),
        params=job.program.kept(kept) if whole else kept,
        state=job.program.state(kept) if whole else None,
        by_step=by_step,
        key_kinds=records.key_kinds if by_step else (),
        plan=outcome.plan,
        timings=_timings(job, outcome),
    )


def _timings(job: Job, outcome: Outcome) -> Timings:
    return Timings(
        compile_s=outcome.compile_s,
        run_s=max(0.0, outcome.total_s - outcome.compile_s),
        total_s=outcome.total_s,
        lane_steps=outcome.records.lane_steps,
    )

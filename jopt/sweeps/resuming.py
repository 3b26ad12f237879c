"""A job that goes on from a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jopt.engine.lanes.saved import Resumed
from jopt.engine.lanes.store.pieces import Kept
from jopt.engine.lanes.store.store import Store
from jopt.engine.lanes.table import State
from jopt.engine.planning.plan import Plan
from jopt.engine.running.underway import Run
from jopt.engine.running.writing import Place
from jopt.results.storage import Refused


def resume(store: Store, carries: Sequence[Kept], place: Place, run: Run) -> np.ndarray:
    """Puts the lanes of a job where they were; returns the step at which each is kept, ``[settings, seeds]``, -1 where none is.

    ``carries`` are those of the problem, the latest last. Lanes that were pruned or stopped early wait where they were, for the
    decision to be made again, or not to be made.

    Raises:
      Refused: Where they have done more steps than the job has.
    """
    lanes, job = place.lanes, run.job
    where = np.full((int(lanes.max(initial=-1)) + 1, 2), -1)
    where[lanes.ravel()] = np.argwhere(np.ones(lanes.shape, bool))
    steps = np.full(lanes.shape, -1)
    trees = []
    for kept in carries:
        known = kept.lanes < len(where)
        rows = np.where(known[:, None], where[np.where(known, kept.lanes, 0)], -1)
        mine = rows[:, 0] >= 0
        if mine.any():
            trees.append((rows, int(kept.step), kept.tree))
            steps[rows[mine, 0], rows[mine, 1]] = kept.step
    if not trees:
        return steps
    if steps.max() > job.steps:
        raise Refused(
            f"checkpoint: lanes have done {steps.max()} steps there, more than the {job.steps} that are asked for, and no lane "
            f"goes back; give at least as many steps, or look at what there is by jopt.load_result."
        )
    ends = store.outcomes(place.problem, lanes, job.first)
    records = run.records
    losses = store.recorded(place.problem, "records", lanes, records.record_steps)
    metrics = store.recorded(place.problem, "evaluations", lanes, records.eval_steps)
    dead = (ends["state"] == State.DEAD) & (steps >= 0)
    width, chunk, loop, workers = trees[-1][2]["plan"]
    plan = Plan(width, chunk, loop, workers, "as the checkpoint has it")
    run.resume(Resumed(trees, dead, ends["diverged_at"], losses, metrics), plan)
    return steps

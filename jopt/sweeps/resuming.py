"""A job that goes on from files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jopt.engine.lanes.saved import Resumed
from jopt.engine.lanes.store.pieces import Kept, Numbers
from jopt.engine.lanes.store.together import Together
from jopt.engine.lanes.table import State
from jopt.engine.planning.plan import Plan
from jopt.engine.running import elsewhere
from jopt.engine.running.elsewhere import Heard
from jopt.engine.running.underway import Run
from jopt.engine.running.writing import CARRY, Place
from jopt.results.storage import Refused


def resume(together: Together, place: Place, run: Run, taken: Numbers | None = None) -> Numbers:
    """Puts the lanes of a job where they were; returns the step at which each is kept, ``[settings, seeds]``, -1 where none is.

    Lanes that were pruned or stopped early wait where they were, for the decision to be made again, or not to be made.

    Args:
      together: Files with what was trained.
      place: Where the lanes stand there.
      run: The job.
      taken: ``[settings, seeds]``, the lanes that this process runs; None: all. Of the others nothing but records is taken.

    Raises:
      Refused: Where they have done more steps than the job has.
    """
    lanes, job = place.lanes, run.job
    asked = lanes.ravel() if taken is None else lanes[taken]
    heard = _heard(together, place, run, together.kept(place.problem, CARRY, among=asked))
    steps = np.full(lanes.shape, -1)
    for where, step, _ in heard.resumed.trees:
        mine = where[:, 0] >= 0
        steps[where[mine, 0], where[mine, 1]] = step
    most = max(int(steps.max(initial=-1)), int(heard.ends["steps_done"].max(initial=-1)))
    if most > job.steps:
        raise Refused(
            f"checkpoint: lanes have done {most} steps there, more than the {job.steps} that are asked for, and no lane "
            f"goes back; give at least as many steps, or look at what there is by jopt.load_result."
        )
    if heard.resumed.trees:
        width, chunk, loop, workers = heard.resumed.trees[-1][2]["plan"]
        run.resume(heard.resumed, Plan(width, chunk, loop, workers, "as the checkpoint has it"))
    if taken is not None:
        elsewhere.leave(run, ~taken)
        elsewhere.look(run, heard)
    return steps


def look(together: Together, place: Place, run: Run) -> None:
    """Takes what was recorded by now of lanes that other processes run."""
    elsewhere.look(run, _heard(together, place, run, ()))


def hear(together: Together, place: Place, run: Run, pruned: bool, stopped: bool) -> None:
    """Takes what has become of lanes that other processes run, and of those that have ended all that they ended with.

    ``pruned`` says whether lanes that are pruned have ended, ``stopped`` whether those that are done before the last step.
    """
    away = run.lanes.in_state(State.AWAY)
    ends = together.outcomes(place.problem, place.lanes, run.job.first)
    ended = away & have_ended(ends, run.job.steps, pruned, stopped)
    kept = together.kept(place.problem, CARRY, among=place.lanes[ended]) if ended.any() else ()
    elsewhere.hear(run, _heard(together, place, run, kept, ended), ended)


def have_ended(ends: dict[str, Numbers], steps: int, pruned: bool, stopped: bool) -> Numbers:
    """Which lanes have come to their end, by what is known of them."""
    found = (ends["state"] == State.DEAD) | (ends["steps_done"] >= steps)
    for counts, state in ((pruned, State.PRUNED), (stopped, State.DONE)):
        found |= counts & (ends["state"] == state)
    return np.asarray(found)


def _heard(together: Together, place: Place, run: Run, kept: Sequence[Kept], among: Numbers | None = None) -> Heard:
    """What files hold of the lanes of a job, with the carries that are ``kept``, of lanes ``among`` these."""
    lanes, records = place.lanes, run.records
    where = np.full((int(lanes.max(initial=-1)) + 1, 2), -1)
    asked = np.ones(lanes.shape, bool) if among is None else among
    where[lanes[asked]] = np.argwhere(asked)
    trees = []
    for each in kept:
        known = each.lanes < len(where)
        rows = np.where(known[:, None], where[np.where(known, each.lanes, 0)], -1)
        if (rows[:, 0] >= 0).any():
            trees.append((rows, int(each.step), each.tree))
    ends = together.outcomes(place.problem, lanes, run.job.first)
    losses = together.recorded(place.problem, "records", lanes, records.record_steps)
    metrics = together.recorded(place.problem, "evaluations", lanes, records.eval_steps)
    there = np.zeros(lanes.shape, bool)
    for rows, _, _ in trees:
        there[rows[rows[:, 0] >= 0, 0], rows[rows[:, 0] >= 0, 1]] = True
    dead = (ends["state"] == State.DEAD) & there
    return Heard(Resumed(trees, dead, ends["diverged_at"], losses, metrics), ends)

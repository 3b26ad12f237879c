"""Steps that change nothing, because the schedules of the learning rates have come to their ends."""

from __future__ import annotations

from collections.abc import Iterable

from jopt.courses import rests_from
from jopt.engine.job import Job
from jopt.sweeps.deciding import warn

_WAYS = (
    "Give the schedule more steps, optimizer.replace(decay_steps=...), or put another one in its place, "
    "optimizer.replace(learning_rate=jopt.join_schedules([old, new], [step]))."
)


def tell_of_rests(jobs: Iterable[Job]) -> None:
    """Warns, once, of steps in which the first and the last setting of a job have no learning rate but 0."""
    for job in jobs:
        ends = [rests_from(job.space.at(i).optimizer, job.first, job.steps) for i in (0, len(job.space.places) - 1)]
        rests = [end for end in ends if end is not None]
        if len(rests) < len(ends):
            continue
        since, whole = min(rests), job.steps - job.first
        idle = job.steps - since
        which = "each" if idle == whole else f"the last {idle}"
        begun = f", which begin at step {job.first}, where the earlier sweep ended" if job.first else ""
        warn(
            f"The learning rate is 0 in {which} of the {whole} steps{begun}: its schedule has come to its end before them, and "
            f"no gradient counts in them. {_WAYS}"
        )
        return

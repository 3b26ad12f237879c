"""Lanes whose workers failed again and again: named in a warning, or in the error where there are no others."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from jopt.engine.job import Job
from jopt.engine.running.reached import Outcome
from jopt.spaces import Space

SHOWN = 5  # lanes that are named; of the others their number is said


def tell_of_lost(jobs: Mapping[str, Job], outcomes: Mapping[str, Outcome]) -> None:
    """Warns of lanes that did not come to their end.

    Raises:
      Exception: What the last of them met, where that is all lanes.
    """
    errors = [error for outcome in outcomes.values() for error in outcome.lost.values()]
    if not errors:
        return
    lanes = sum(job.lanes for job in jobs.values())
    if len(errors) == lanes:
        errors[-1].add_note("jopt: no lane has come to its end; each of them failed again and again, the last one with this.")
        raise errors[-1]
    named = [
        f"{_name(key, jobs[key], lane)} at step {outcome.records.steps_done[lane]} ({_words(error)})"
        for key, outcome in outcomes.items()
        for lane, error in outcome.lost.items()
    ]
    warnings.warn(
        f"{len(named)} of {lanes} lanes did not come to their end, since what ran them failed again and again: "
        f"{_listed(named)}. The others did. What these have not done is NaN, and result.complete is False; with checkpoint=, "
        f"the same call runs them again, and no others.",
        RuntimeWarning,
        stacklevel=2,
    )


def _name(key: str, job: Job, lane: tuple[int, int]) -> str:
    group = key.split("/")[0]
    setting = _setting(job.space, lane[0])
    return ", ".join([*([group] if group else []), *(f"{k}={v}" for k, v in setting), f"seed {job.seeds[lane[1]]}"])


def _setting(space: Space, setting: int) -> list[tuple[str, object]]:
    index = np.unravel_index(int(space.places[setting]), tuple(len(d) for d in space.dimensions)) if space.dimensions else ()
    along = zip(index, space.dimensions, strict=True)
    return [(name, values[int(i)]) for i, dimension in along for name, _, values in dimension.members]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _listed(named: Sequence[str]) -> str:
    more = len(named) - SHOWN
    return "; ".join([*named[:SHOWN], *([f"and {more} more"] if more > 0 else [])])

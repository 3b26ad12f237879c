"""Lanes of a job that another process runs: here they are away, and what is read of them stands in the records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from jopt.engine.lanes.saved import Numbers, Resumed, resume
from jopt.engine.lanes.table import State
from jopt.engine.running.underway import Run

ENDS = (State.DEAD, State.PRUNED, State.DONE)


@dataclasses.dataclass(frozen=True, eq=False)
class Heard:
    """What is known of all lanes of a job.

    Attributes:
      resumed: what they recorded, and the carries of those that are asked for.
      ends: arrays ``[settings, seeds]`` by name: ``steps_done``, ``pruned_at`` and ``state``, what they were doing.
    """

    resumed: Resumed
    ends: Mapping[str, Numbers]


def leave(run: Run, which: Numbers) -> None:
    """Some lanes, ``[settings, seeds]``, are another process's; called before anything has run."""
    run.lanes.leave(which)
    run.records.partial |= bool(which.any())


def look(run: Run, heard: Heard) -> None:
    """Takes what was recorded by now of the lanes that are away; nothing else changes."""
    away, ends, resumed = run.lanes.in_state(State.AWAY), heard.ends, heard.resumed
    run.lanes.steps[away] = ends["steps_done"][away]
    run.records.pruned_at[away] = ends["pruned_at"][away]
    run.records.resume(ends["steps_done"], resumed.losses, resumed.metrics, resumed.diverged_at, away)


def hear(run: Run, heard: Heard, ended: Numbers) -> None:
    """Takes what has become of the lanes that are away, and of those that have ``ended`` all that they ended with.

    Those have carries in ``heard``, and no others.
    """
    look(run, heard)
    which = run.lanes.in_state(State.AWAY)
    resume(heard.resumed, run.lanes, run.records, which)
    state = np.where(np.isin(heard.ends["state"], ENDS), heard.ends["state"], State.DONE)
    for end in ENDS:
        mine = which & ended & (state == end) & run.lanes.in_state(State.PAUSED)
        for block in run.lanes.form(run.shape(), mine) if mine.any() else ():
            run.lanes.take(block)
            run.end(block, block.real, end)


def share(run: Run) -> None:
    """Hands on to be saved, between two stops, where all lanes are."""
    for block in run.blocks:
        if block.carry is not None:
            run.save(block.copied(), State.RUNNING)
    for block in run.lanes.form(run.shape(), run.lanes.in_state(State.PAUSED)):
        run.lanes.take(block)
        run.save(block.copied(), State.RUNNING)
        run.lanes.pause(block)

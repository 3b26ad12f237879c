"""How far a job is, what came of it, and what is decided about its lanes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jopt.engine.lanes.records import Records
from jopt.engine.lanes.table import State
from jopt.engine.planning.plan import Plan


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one group was run, what it left, and how long that took, in seconds.

    Attributes:
      complete: Whether other processes have left no lane unfinished.
      lost: The setting and the seed of lanes whose workers failed again and again, and the last error of each.
      program: A name for what a step computes, whatever the numbers are; empty where nothing was compiled.
      shardings: of the leaves of a carry that was spread over devices, a tree like it; None: each lane ran on one.
    """

    plan: Plan
    records: Records
    compile_s: float
    total_s: float
    complete: bool = True
    lost: Mapping[tuple[int, int], Exception] = dataclasses.field(default_factory=dict)
    shardings: Any = None
    program: str = ""


@dataclasses.dataclass(frozen=True)
class Reached:
    """How far a job is.

    Attributes:
      plan: how it runs.
      records: so far; they go on being written.
      states: ``[settings, seeds]``, of each lane its ``State``.
      steps: ``[settings, seeds]``, where each lane stands, or has ended.
      compile_s: for how many seconds something was compiled.
      total_s: the seconds that the job has run.
      compiling_s: for how many seconds something has been compiled now.
      pace: lane-steps per second, without compiling, since lanes were stopped last where that is a while; 0: nobody knows.
    """

    plan: Plan
    records: Records
    states: np.ndarray
    steps: np.ndarray
    compile_s: float
    total_s: float
    compiling_s: float = 0.0
    pace: float = 0.0

    @property
    def running(self) -> np.ndarray:
        """``[settings, seeds]``, the lanes that have not come to an end."""
        return np.isin(self.states, (State.WAITING, State.RUNNING, State.PAUSED))

    def running_at(self, step: int) -> np.ndarray:
        """``[settings, seeds]``, the lanes that had not come to an end at a step; some may be further by now."""
        later = np.isin(self.states, (State.DEAD, State.DONE)) & (self.steps > step)
        return np.asarray(self.running | later | self._away_at(step))

    def _away_at(self, step: int) -> np.ndarray:
        """The lanes of other processes that had come to a step, and were not out before."""
        records = self.records
        gone = (records.diverged_at <= step) | (records.pruned_at < step)
        return np.asarray((self.states == State.AWAY) & (self.steps >= step) & ~gone)

    def outcome(self, until: int) -> Outcome:
        """What there would be if all had ended here; of lanes that are further, what there was at a step."""
        part = self.records.part(self.states == State.DEAD, until)
        return Outcome(self.plan, part, self.compile_s, self.total_s)


class Decision(NamedTuple):
    """Which lanes of a job stop, ``[settings, seeds]``, and whether they have come to their end or are out."""

    stops: np.ndarray
    ends: bool

"""One group's sweep as a description: everything that its lanes share, and nothing that runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jopt.engine.data.sources import Feed
from jopt.engine.program import Program
from jopt.spaces import Space


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What has to be computed. It pickles if the user's functions and data do, so another process may run it.

    Attributes:
      space: the settings that differ in numbers only, which one program computes.
      program: start, step and evaluation of one lane.
      feed: the batches.
      seeds: of the lanes; a lane is one setting with one of them.
      steps: of each lane.
      given: the initial parameters, or None where the program makes them.
      seed: of the sweep: the root of every key.
      eval_steps: after how many steps every lane is evaluated, ascending; 0 is before the first one.
      record_every: steps between two records of the loss.
      stops: steps at which every lane waits for a decision whether it goes on, ascending.
    """

    space: Space
    program: Program
    feed: Feed
    seeds: tuple[int, ...]
    steps: int
    given: Any
    seed: int
    eval_steps: tuple[int, ...] = ()
    record_every: int = 1
    stops: tuple[int, ...] = ()

    @property
    def lanes(self) -> int:
        return self.space.size * len(self.seeds)

    def next_evaluation(self, step: int) -> int:
        """The first evaluation after ``step``; the end where there is none."""
        return self._next(self.eval_steps, step)

    def next_stop(self, step: int) -> int:
        """The first stop after ``step``; the end where there is none."""
        return self._next(self.stops, step)

    def _next(self, listed: tuple[int, ...], step: int) -> int:
        place = int(np.searchsorted(listed, step, side="right"))
        return int(listed[place]) if place < len(listed) else self.steps

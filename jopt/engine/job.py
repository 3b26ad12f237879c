"""One group's sweep as a description: everything that its lanes share, and nothing that runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jopt.engine.data.sources import Feed
from jopt.engine.program import Program
from jopt.expanding import Space


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What has to be computed. It pickles if the user's functions and data do, so another process may run it.

    Attributes:
      space: the optimizer with its axes, taken apart into settings.
      program: start, step and evaluation of one lane.
      feed: the batches.
      seeds: of the lanes; a lane is one setting with one of them.
      steps: of each lane.
      given: the initial parameters, or None where the program makes them.
      seed: of the sweep: the root of every key.
      eval_steps: after how many steps every lane is evaluated, ascending; 0 is before the first one.
      record_every: steps between two records of the loss.
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

    @property
    def lanes(self) -> int:
        return self.space.size * len(self.seeds)

    def next_evaluation(self, step: int) -> int:
        """The first evaluation after ``step``; the end where there is none."""
        place = int(np.searchsorted(self.eval_steps, step, side="right"))
        return int(self.eval_steps[place]) if place < len(self.eval_steps) else self.steps

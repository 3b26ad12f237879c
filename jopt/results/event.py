"""What a callback is told."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.result import SweepResult
from jopt.results.trial import Trial, best_trial

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Event:
    """What a callback is told, when every lane that still runs has done ``step`` steps.

    In a sweep of several optimizers an event is about one of them, and in a search about the settings of one round, of
    which the steps begin anew. An event is of its moment, and may be kept.

    Attributes:
      step: The steps that each lane has done that runs; at the last event of a group it is ``steps``.
      steps: The last step of each lane.
      group: The name of the optimizer in a sweep of several, else None.
      states: [*axes, seed], strings: what ``lanes`` has.
      so_far: All that was recorded until now (in a search, of the round), a result without parameters.
      since: The step of the event before this one, of the same group and round; -1: this is the first.
      round: Of a search, from 0; 0 also where nothing is searched.

    Example:
      >>> def show(event):
      ...     print(event.step, event.lanes.sizes["learning_rate"], len(event.new.step), event.best.setting)
      >>> options = {"steps": 4, "evaluate": lambda x: {"norm": (x**2).sum()}, "eval_every": 2, "progress": False}
      >>> optimizer = jopt.sgd(jopt.choice(0.1, 0.2))
      >>> result = jopt.sweep(lambda x, _: (x**2).sum(), jnp.ones(2), optimizer, callbacks=show, **options)
      2 2 2 {'learning_rate': 0.2}
      4 2 2 {'learning_rate': 0.2}
    """

    step: int
    steps: int
    group: str | None
    states: NDArray[np.str_]
    so_far: SweepResult
    since: int
    round: int = 0

    @cached_property
    def lanes(self) -> xr.DataArray:
        """What each lane is doing, [*axes, seed]: "running", "done", "pruned", "dead" (a parameter is not finite), "lost".

        In a sweep with ``workers=jopt.Slice(...)`` the lanes of other processes are "elsewhere".
        """
        made: xr.DataArray = self.so_far.dataset.steps_done.copy(data=self.states)
        return made.assign_attrs(long_name="state of the lane", units="1").rename("lanes")

    @cached_property
    def new(self) -> xr.Dataset:
        """What was recorded since the last event, as in ``result.dataset``; the first has the evaluation before step 1, too."""
        dataset, since = self.so_far.dataset, self.since
        return dataset.isel(step=dataset.step.values > since, eval_step=dataset.eval_step.values > since)

    @cached_property
    def best(self) -> Trial | None:
        """The best setting so far, as ``result.best()`` ranks, of ``group`` and ``round`` where there are several, or None."""
        try:
            return best_trial(self.so_far, scores.ranking([self.so_far.record], None, None, None), self.group)
        except ValueError:  # nothing is recorded yet, or nobody said which values are good
            return None

    def __repr__(self) -> str:
        """Step, lanes and the best setting on one line."""
        kinds, counts = np.unique(self.states, return_counts=True)
        lanes = ", ".join(f"{count} {kind}" for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True))
        group = f"{self.group}: " if self.group is not None else ""
        round_ = f"round {self.round}, " if self.round else ""
        best = (
            "" if self.best is None else f", best {text.setting(self.best.setting)}: {self.best.metric} {self.best.score:.4g}"
        )
        return text.printable(f"Event({group}{round_}step {self.step} of {self.steps}, {lanes}{best})")

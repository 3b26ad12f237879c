"""What a pruner is: an object that says where it wants to look, and which settings go on from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, eq=False)
class Rung:
    """What a pruner sees of the settings of one group, in the order of the grid, between two steps.

    Attributes:
      step: The steps that every running lane has done in this sweep.
      steps: The steps of the whole sweep.
      scores: [settings, seeds], lower is better: the metric's evaluation at this step (negated where larger is better), or
        the mean of the training loss over the last tenth of the steps so far. Of a lane that has stopped its last one;
        infinite where it is not finite.
      running: [settings], whether any lane of a setting still runs. What is decided about the others counts for nothing.
      settings: Of each setting the numbers that are swept, by name.
      history: [rungs, settings, seeds], the scores at every rung up to this one, the latest last.
    """

    step: int
    steps: int
    scores: NDArray[np.float64]
    running: NDArray[np.bool_]
    settings: Sequence[Mapping[str, Any]]
    history: NDArray[np.float64]

    @property
    def mean_scores(self) -> NDArray[np.float64]:
        """[settings], the means of ``scores`` over seeds; infinite where a seed's is."""
        return np.asarray(self.scores.mean(axis=1))


@runtime_checkable
class Pruner(Protocol):
    """Decides at *rungs* which settings of a sweep go on; the others stop there and cost nothing more.

    A pruner keeps nothing between calls: what it saw before is in ``Rung.history``. So one serves several groups and sweeps.
    What it stops is out, and never best; unless it has an attribute ``ends`` that is true: then it has come to its end.

    Attributes:
      metric: What is scored; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Example:
      >>> class WorstOut:
      ...     metric = mode = None
      ...
      ...     def rungs(self, steps):
      ...         return range(10, steps, 10)
      ...
      ...     def keep(self, rung):
      ...         return rung.mean_scores < rung.mean_scores[rung.running].max()
      >>> rates = jopt.cosine_decay_schedule(jopt.geomspace(0.01, 0.4, 4), 30)
      >>> options = {"steps": 30, "prune": WorstOut(), "progress": False}
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), **options)
      >>> result.dataset.pruned_at.values.ravel()
      array([10., 20., nan, nan])
    """

    @property
    def metric(self) -> str | None:
        """What is scored; None: what ranks in ``best()``."""

    @property
    def mode(self) -> Literal["min", "max"] | None:
        """Which scores are good; None: the metric's own direction."""

    def rungs(self, steps: int) -> Sequence[int] | None:
        """When it wants to decide.

        Args:
          steps: Of the whole run.

        Returns:
          The steps after which; None: at every evaluation.
        """

    def keep(self, rung: Rung) -> NDArray[np.bool_]:
        """Decides.

        Args:
          rung: What there is to see.

        Returns:
          Which settings go on, [settings], or which lanes, [settings, seeds].
        """

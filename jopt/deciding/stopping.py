"""Rules that look again and again: the median of all settings, and a lane's own best."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jopt.deciding.protocol import Rung
from jopt.deciding.rules import Mode, Rule, inside, share
from jopt.values import require
from jopt.values.numbers import whole


class MedianStop(Rule):
    """At every ``after``-th part of the steps a setting stops whose score is worse than the median of all.

    The median is over the scores of all settings so far, those that have stopped with their last one. So fewer stop the longer
    a run is.

    Args:
      after: When it looks first, and how often then: a share of the steps, in (0, 1).
      metric: What is scored; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ValueError: For a share outside (0, 1).

    Reference:
      Golovin, Solnik, Moitra, Kochanski, Karro, Sculley (2017), "Google Vizier: a service for black-box optimization".

    Example:
      >>> jopt.MedianStop(after=1 / 4).rungs(900)
      [225, 450, 675]
    """

    def __init__(self, after: float = 1 / 9, metric: str | None = None, mode: Mode | None = None) -> None:
        super().__init__(metric, mode, after=after)
        self.after = share("after", after)

    def rungs(self, steps: int) -> list[int]:
        """Equal parts of the run.

        Args:
          steps: Of the whole run.

        Returns:
          The steps, ascending.
        """
        return inside([steps * self.after * k for k in range(1, math.ceil(1 / self.after))], steps)

    def keep(self, rung: Rung) -> NDArray[np.bool_]:
        """What is no worse than the median, [settings].

        Args:
          rung: What there is to see.

        Returns:
          A bool for each setting.
        """
        scores = rung.mean_scores
        return rung.running & (scores <= np.median(scores))


class EarlyStop(Rule):
    """A lane stops when its own score has not got better for ``patience`` evaluations.

    Of a sweep without ``evaluate`` there are twenty looks at the training loss. A lane that stops so has ended: it keeps its
    parameters and its score, and may be the best.

    Args:
      patience: Evaluations in a row without a better one that a lane may have; it stops at the next, at least 0.
      min_delta: By how much a score must be better than the best so far to count, at least 0, in units of the metric.
      metric: What is scored; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Keras ``EarlyStopping`` stops when as many evaluations as ``patience`` brought nothing, this one after one more, as
      PyTorch's ``ReduceLROnPlateau`` counts, and as jopt's ``reduce_on_plateau`` does.

    Example:
      >>> jopt.EarlyStop(patience=3, min_delta=0.01)
      EarlyStop(patience=3, min_delta=0.01)
    """

    ends = True  # what it stops has come to its end, and is not out

    def __init__(self, patience: int, min_delta: float = 0.0, metric: str | None = None, mode: Mode | None = None) -> None:
        super().__init__(metric, mode, patience=patience, min_delta=min_delta)
        self.patience = whole("patience", patience, at_least=0)
        if not (isinstance(min_delta, (int, float)) and 0 <= min_delta < math.inf):
            raise ValueError(f"min_delta must be a finite number of at least 0, but is {require.shown(min_delta)}.")
        self.min_delta = min_delta

    def rungs(self, steps: int) -> Sequence[int] | None:
        """Every evaluation.

        Args:
          steps: Of the whole run.

        Returns:
          None, which stands for that.
        """
        return None

    def keep(self, rung: Rung) -> NDArray[np.bool_]:
        """The lanes that have got better lately, [settings, seeds].

        Args:
          rung: What there is to see.

        Returns:
          A bool for each lane.
        """
        best, since = np.full(rung.scores.shape, np.inf), np.zeros(rung.scores.shape, int)
        for scores in rung.history:
            better = scores < best - self.min_delta
            best, since = np.where(better, scores, best), np.where(better, 0, since + 1)
        return since <= self.patience

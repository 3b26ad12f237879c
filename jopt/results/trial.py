"""One setting of a finished sweep."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray

from jopt.values.binding import hyperparams

from . import scores, text

if TYPE_CHECKING:
    from .result import SweepResult


@dataclass(frozen=True, eq=False, repr=False)
class Trial:
    """One setting of a sweep, with its score: what `SweepResult.best` returns.

    Attributes:
      setting: the swept hyperparameters only, name -> number.
      score: mean of `scores`.
      scores: [seed], the score of each seed.
      metric: name of the metric that was scored.
      mode: "min" or "max": which scores are good.
      group: name of the optimizer in a sweep of several, else None.
      index: position of the setting in the grid, one integer per dimension.
      result: the result that the setting belongs to.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
      >>> best = result.best()
      >>> best.index, best.params.shape
      ((1,), (2,))
    """

    setting: dict[str, Any]
    score: float
    scores: NDArray[np.float64]
    metric: str
    mode: str
    index: tuple[int, ...]
    result: "SweepResult" = field(repr=False)
    group: str | None = None

    @property
    def optimizer(self) -> Any:
        """The optimizer value of this setting, without axes."""
        return self.result.optimizer_at(self.index)

    @property
    def hyperparams(self) -> Any:
        """All hyperparameters of `optimizer`, swept or not, nested as `optimizer.hyperparams`.

        Of a tree of optimizers a dict of theirs, by the keys of dicts, by field, and by the names of the rules in sequences.
        """
        return hyperparams(self.optimizer)

    @property
    def params(self) -> Any:
        """The trained parameters of the seed that scored best: the tree of one run."""
        best = np.argmin(self.scores) if self.mode == "min" else np.argmax(self.scores)
        return jax.tree.map(lambda leaf: np.asarray(leaf[int(best)]), self.params_by_seed)

    @property
    def params_by_seed(self) -> Any:
        """The trained parameters of every seed: leaves [seed, ...], views of the result's."""
        return jax.tree.map(lambda leaf: leaf[self.index], self.result.params)

    @property
    def spread(self) -> float:
        """Standard deviation of `scores` over seeds (n - 1 in the denominator); 0 for one seed."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else 0.0

    def __repr__(self) -> str:
        """The setting and its score on one line."""
        group = f"{self.group}: " if self.group is not None else ""
        seeds = len(self.scores)
        over = f" over {seeds} seeds" if seeds > 1 else ""
        score = text.spread(self.score, self.spread, seeds)
        return text.printable(f"Trial({group}{text.setting(self.setting)} -> {self.metric} {score}{over})")


def best_trial(result: "SweepResult", ranked: scores.Ranking) -> Trial | None:
    """The best setting of a result; None if no setting is fit to be."""
    scored = scores.score(result.record, ranked)
    index = scored.best_index()
    if index is None:
        return None
    return Trial(
        setting=result.record.setting(index),
        score=float(scored.mean[index]),
        scores=scored.per_seed[index],
        metric=ranked.metric,
        mode=ranked.mode,
        index=index,
        result=result,
    )

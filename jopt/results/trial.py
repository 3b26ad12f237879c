"""One setting of a finished sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import Plots
from jopt.results.record import Saved, SweepRecord, Timings
from jopt.results.scores import At
from jopt.results.storage import Stored
from jopt.values.binding import hyperparams

if TYPE_CHECKING:
    import xarray as xr


class Swept(Protocol):
    """The result of one optimizer, as its trials and its groups see it; a ``SweepResult`` is one."""

    @property
    def record(self) -> SweepRecord:
        """The arrays and their names."""

    @property
    def optimizer(self) -> Any:
        """The value that was swept, with its axes."""

    @property
    def dataset(self) -> xr.Dataset:
        """Everything recorded, labelled."""

    @property
    def params(self) -> Any:
        """Trained parameters of all lanes."""

    @property
    def raw_params(self) -> Any:
        """The parameters of all lanes at which gradients are taken."""

    @property
    def state(self) -> Any:
        """The optimizers' states of all lanes."""

    @property
    def by_step(self) -> bool:
        """Whether it is of ``jopt.sweep_steps``."""

    @property
    def ragged(self) -> bool:
        """Whether what is kept differs in shape from setting to setting."""

    @property
    def key_kinds(self) -> tuple[Any, ...]:
        """Which leaves of its carries are random keys, and of which kind."""

    def key_kinds_at(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        """Which leaves of the carries of one setting are."""

    @property
    def saved(self) -> Saved:
        """What pruning saved."""

    @property
    def version(self) -> str:
        """The version of jopt that ran the sweep."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Where and when it ran."""

    @property
    def plan(self) -> Any:
        """How the sweep ran and why."""

    @property
    def timings(self) -> Timings:
        """Where the time went."""

    @property
    def plot(self) -> Plots:
        """Pictures."""

    def optimizer_at(self, index: tuple[int, ...]) -> Any:
        """The optimizer of one setting, without axes."""

    def hyper_at(self, index: tuple[int, ...]) -> Any:
        """The user's own numbers of one setting."""

    def params_at(self, index: tuple[int, ...]) -> Any:
        """The trained parameters of one setting, leaves [seed, ...]."""

    def raw_params_at(self, index: tuple[int, ...]) -> Any:
        """The parameters of one setting at which gradients are taken, leaves [seed, ...]."""

    def state_at(self, index: tuple[int, ...]) -> Any:
        """The optimizer's state of one setting, leaves [seed, ...]."""

    def placed(self, tree: Any, state: bool = False) -> Any:
        """One lane's parameters, or its state, over the devices over which its sweep had spread them."""

    def _stored(self) -> Stored:
        """What a file holds of it."""


@dataclass(frozen=True, eq=False, repr=False)
class Trial:
    """One setting of a sweep, with its score: what ``SweepResult.best`` returns.

    Attributes:
      setting: What was swept only, by the names of its dimensions: numbers, bools, strings, ``None``, names of functions.
      score: Mean of ``scores``.
      scores: [seed], the score of each seed.
      metric: Name of the metric that was scored.
      mode: "min" or "max": which scores are good.
      group: Name of the optimizer in a sweep of several, else None.
      index: Position of the setting in the grid, one integer per dimension.
      result: The result that the setting belongs to.
      at: "last" or "best": when the scores were taken.

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
    result: Swept = field(repr=False)
    group: str | None = None
    at: At = "last"

    @property
    def optimizer(self) -> Any:
        """The optimizer value of this setting, without axes."""
        return self.result.optimizer_at(self.index)

    @property
    def hyper(self) -> Any:
        """What the functions that name ``hyper`` were given in this setting; None where nothing was."""
        return self.result.hyper_at(self.index)

    @property
    def hyperparams(self) -> Any:
        """All hyperparameters of ``optimizer``, swept or not, nested as ``optimizer.hyperparams``.

        Of a tree of optimizers a dict of theirs, by the keys of dicts, by field, and by the names of the rules in sequences.
        """
        return hyperparams(self.optimizer)

    @property
    def params(self) -> Any:
        """The trained parameters of the seed that scored best: the tree of one run.

        NumPy's arrays; where the sweep's were spread over several devices, JAX's, spread so again.
        Of an optimizer that averages parameters they are the average, as in ``jopt.evaluation_params``. A sweep that goes on
        from the trial goes on from ``raw_params``.

        Raises:
          ValueError: Where the sweep kept none, or with ``keep="best"`` those of another moment than that of the scores.
        """
        return self.result.placed(self._of_best_seed(self.params_by_seed))

    @property
    def params_by_seed(self) -> Any:
        """The trained parameters of every seed: leaves [seed, ...], views of the result's."""
        record = self.result.record
        if record.keep == "best":
            kept = scores.ranking([record], None, None, "best")
            if (self.metric, self.mode, self.at) != kept:
                raise ValueError(
                    f'With keep="best" the sweep kept the parameters of each seed when its {kept.metric!r} was best '
                    f"({kept.mode}), but this trial is ranked by {self.metric!r} ({self.mode}, at={self.at!r}); ask for "
                    f'result.best(), or sweep with keep="params" for the last parameters.'
                )
        return self.result.params_at(self.index)

    @property
    def raw_params(self) -> Any:
        """The parameters after the last step at which gradients are taken, of the seed that scored best.

        Raises:
          ValueError: Where the sweep did not keep them, with ``keep="carry"``.
        """
        return self._of_best_seed(self.raw_params_by_seed)

    @property
    def raw_params_by_seed(self) -> Any:
        """The parameters of every seed at which gradients are taken: leaves [seed, ...], views of the result's."""
        return self.result.raw_params_at(self.index)

    @property
    def state(self) -> Any:
        """The optimizer's state after the last step, of the seed that scored best.

        Raises:
          ValueError: Where the sweep did not keep it, with ``keep="carry"``.
        """
        return self.result.placed(self._of_best_seed(self.state_by_seed), state=True)

    @property
    def state_by_seed(self) -> Any:
        """The optimizer's state of every seed: leaves [seed, ...], views of the result's."""
        return self.result.state_at(self.index)

    def _of_best_seed(self, tree: Any) -> Any:
        worst = np.inf if self.mode == "min" else -np.inf
        known = np.where(np.isfinite(self.scores), self.scores, worst)
        best = np.argmin(known) if self.mode == "min" else np.argmax(known)
        return jax.tree.map(lambda leaf: np.asarray(leaf[int(best)]), tree)

    @property
    def spread(self) -> float:
        """Standard deviation of ``scores`` over seeds (n - 1 in the denominator); 0 for one seed."""
        return scores.spread(self.scores)

    def __repr__(self) -> str:
        """The setting and its score on one line."""
        group = f"{self.group}: " if self.group is not None else ""
        seeds = len(self.scores)
        over = f" over {seeds} seeds" if seeds > 1 else ""
        score = text.spread(self.score, self.spread, seeds)
        return text.printable(f"Trial({group}{text.setting(self.setting)} -> {self.metric} {score}{over})")


def best_trial(result: Swept, ranked: scores.Ranking, group: str | None = None) -> Trial | None:
    """The best setting of a result; ``None`` where no setting is fit to be."""
    return next(iter(top_trials(result, ranked, 1, group)), None)


def top_trials(result: Swept, ranked: scores.Ranking, most: int, group: str | None = None) -> list[Trial]:
    """The best settings of a result, the best first; those that are out are not among them."""
    scored = scores.score(result.record, ranked)
    return [_trial(result, ranked, scored, index, group) for index in scored.best_first(most)]


def trial_at(result: Swept, ranked: scores.Ranking, index: tuple[int, ...], group: str | None = None) -> Trial:
    """Any setting of a result, also one that is out."""
    return _trial(result, ranked, scores.score(result.record, ranked), index, group)


def _trial(result: Swept, ranked: scores.Ranking, scored: scores.Scores, index: tuple[int, ...], group: str | None) -> Trial:
    score = scored.mean[index]
    if np.isnan(score):  # it is out
        with np.errstate(invalid="ignore"):
            score = scored.per_seed[index].mean()
    return Trial(
        setting=result.record.setting(index),
        score=float(score),
        scores=scored.per_seed[index],
        metric=ranked.metric,
        mode=ranked.mode,
        index=index,
        result=result,
        group=group,
        at=ranked.at,
    )

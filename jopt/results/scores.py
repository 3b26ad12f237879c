"""One number per setting: what ranks settings, how a recorded curve becomes a score, and which setting is best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.engine import evaluation
from jopt.results.record import SweepRecord
from jopt.values import require

Mode = evaluation.Mode
At = Literal["last", "best"]

SHARES = 10  # of a run: a training loss is a mean over one of them


class Ranking(NamedTuple):
    """What settings are ranked by.

    Attributes:
      metric: Its name.
      mode: "min" or "max": which values are good.
      at: "last" or "best": when.
    """

    metric: str
    mode: Mode
    at: At


def ranking(records: Iterable[SweepRecord], metric: str | None, mode: Mode | None, at: At | None) -> Ranking:
    """The arguments of ``SweepResult.best`` with what they leave open filled in, the same for all of some records.

    Raises:
      ValueError: For an argument that is none of its choices, and a metric that there is not or whose direction nobody said.
    """
    require.one_of("mode", mode, ("min", "max", None), ", or None for the metric's own")
    require.one_of("at", at, ("last", "best", None), ", or None for what the sweep kept")
    if metric is not None:
        require.text("metric", metric, ", the name of what was recorded")
    found = dict.fromkeys(_ranking(record, metric, mode, at) for record in records)
    if len(found) > 1:
        ways = " and ".join(f"{each.metric!r} ({each.mode})" for each in found)
        raise ValueError(f"The groups are ranked by {ways}; give metric= and mode=, so that they can be compared.")
    return next(iter(found))


def _ranking(record: SweepRecord, metric: str | None, mode: Mode | None, at: At | None) -> Ranking:
    at = record.at if at is None else at
    metric = default_metric(record) if metric is None else metric
    if metric is None:
        raise ValueError("Nothing was recorded that could rank the settings; return a metric from the step or from evaluate.")
    record.series(metric)  # raises where there is no such metric
    return Ranking(metric, directed(record.maximize, metric, mode), at)


def directed(maximize: Iterable[str], metric: str, mode: Mode | None) -> Mode:
    """``mode``, or the metric's own direction.

    Raises:
      ValueError: Where nobody said which values are good.
    """
    mode = direction(maximize, metric) if mode is None else mode
    if mode is None:
        raise ValueError(
            f"Nobody said whether {metric!r} is better high or low; give mode='max' or mode='min', "
            f"or declare it where it is made, evaluate=jopt.metrics(..., maximize={metric!r})."
        )
    return mode


def default_metric(record: SweepRecord) -> str | None:
    """What ranks where nothing is said: the first metric of evaluate, else the training loss; None if nothing is recorded."""
    if record.metrics and len(record.eval_step):
        return next(iter(record.metrics))
    return training_loss(record)


def training_loss(record: SweepRecord) -> str | None:
    """The recorded value that is called "loss", else the first; None if nothing is recorded."""
    return "loss" if "loss" in record.losses else next(iter(record.losses), None)


def direction(maximize: Iterable[str], metric: str) -> Mode | None:
    """Which values of a metric are good; None where the name leaves it open and it was not declared to be maximized."""
    return evaluation.direction(maximize, metric)


def moment(record: SweepRecord, ranked: Ranking) -> str:
    """What of a curve is the score, in words."""
    return f"{ranked.at} {'tenth of the run' if ranked.metric in record.losses else 'evaluation'}"


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a grid of settings.

    Attributes:
      mean: [*dims], mean over seeds; NaN where the setting is out: a seed diverged, was pruned or left behind, or scored
        no finite number.
      per_seed: [*dims, seed].
      mode: "min" or "max".
    """

    mean: NDArray[np.float64]
    per_seed: NDArray[np.float64]
    mode: str

    def best_index(self) -> tuple[int, ...] | None:
        """Where the best mean stands (the first of equals in grid order); None if all are out."""
        return next(iter(self.best_first(1)), None)

    def best_first(self, most: int) -> list[tuple[int, ...]]:
        """Where the best means stand, at most so many, equals in grid order; without those that are out."""
        order = np.argsort(_ranked(self.mean, self.mode), axis=None, kind="stable")
        fit = order[: min(most, int((~np.isnan(self.mean)).sum()))]
        return [tuple(int(i) for i in np.unravel_index(flat, self.mean.shape)) for flat in fit]

    def at_best(self, kept: Sequence[int]) -> Scores:
        """The scores over some axes of the grid, in that order, the others at their best value."""
        others = [axis for axis in range(self.mean.ndim) if axis not in kept]
        shape = tuple(self.mean.shape[axis] for axis in kept)
        mean = self.mean.transpose(*kept, *others).reshape(*shape, -1)
        per_seed = self.per_seed.transpose(*kept, *others, -1).reshape(*mean.shape, -1)
        pick = np.argmin(_ranked(mean, self.mode), axis=-1)[..., None]
        return Scores(
            np.take_along_axis(mean, pick, -1)[..., 0],
            np.take_along_axis(per_seed, pick[..., None], -2)[..., 0, :],
            self.mode,
        )


def score(record: SweepRecord, ranked: Ranking) -> Scores:
    """Scores each setting of a record, each lane by what it had recorded when it ended, or until now."""
    _, steps, values = record.series(ranked.metric)
    per_seed = np.full(record.steps_done.shape, np.nan)
    for end in np.unique(record.steps_done):
        count = int(np.searchsorted(steps, end, side="right"))
        if count:
            here = record.steps_done == end
            lanes = ... if here.all() else here  # most often all, and nothing is copied then
            per_seed[lanes] = _over_time(record, ranked, steps[:count], values[..., :count], lanes)
    out = (record.diverged | record.pruned | record.left).any(-1) | ~np.isfinite(per_seed).all(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(out, np.nan, per_seed.mean(-1))
    return Scores(np.where(np.isfinite(mean), mean, np.nan), per_seed, ranked.mode)


def _over_time(
    record: SweepRecord, ranked: Ranking, steps: NDArray[Any], values: NDArray[Any], lanes: NDArray[np.bool_] | EllipsisType
) -> NDArray[np.float64]:
    """One number for each of some lanes, of what they recorded at some steps."""
    last = ranked.at == "last"
    if ranked.metric in record.losses:
        values = tenths(steps - record.first, values, 1 if last else SHARES, lanes)
    else:  # what was before the first step is nobody's merit
        values = (values[..., -1:] if last else values[..., steps > 0])[lanes]
    return _last(values) if last else _best_over_time(values, ranked.mode)


def spread(per_seed: NDArray[Any]) -> float:
    """Standard deviation over seeds (n - 1 in the denominator); 0 for one seed."""
    return float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else 0.0


def tenths(
    steps: NDArray[Any], values: NDArray[Any], count: int, lanes: NDArray[np.bool_] | EllipsisType = ...
) -> NDArray[np.float64]:
    """Means over the last ``count`` tenths of a run, of some lanes, [..., count]: one minibatch's loss says little."""
    lengths = np.diff(steps, prepend=0)
    with np.errstate(invalid="ignore", over="ignore"):
        means = [
            np.average(np.asarray(values[..., part][lanes], np.float64), axis=-1, weights=lengths[part])
            for part in _parts(steps)[-count:]
        ]
    return np.stack(means, axis=-1)


def _parts(steps: NDArray[Any]) -> list[slice]:
    """The records cut into consecutive parts of a tenth of the run or a little more; what is left over joins the first.

    Cut from the end, so that the last is one of them. A run of ten steps or fewer has parts of one step.
    """
    least = -(-int(steps[-1]) // SHARES)
    begins = np.append(0, steps[:-1])
    parts: list[slice] = []
    stop = len(steps)
    while stop and steps[stop - 1] >= least:
        start = int(np.searchsorted(begins, steps[stop - 1] - least, side="right")) - 1
        parts.insert(0, slice(start, stop))
        stop = start
    return [slice(0, parts[0].stop), *parts[1:]]


def _last(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.array(values[..., -1], np.float64)


def _best_over_time(values: NDArray[Any], mode: str) -> NDArray[np.float64]:
    # fmin and fmax pass over NaN, which stands where a metric was not defined.
    best: np.ufunc = np.fmin if mode == "min" else np.fmax
    return np.asarray(best.reduce(np.asarray(values, np.float64), axis=-1, initial=np.nan))


def _ranked(mean: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    """The mean as something to minimize, infinite where the setting is out."""
    return np.where(np.isnan(mean), np.inf, mean if mode == "min" else -mean)

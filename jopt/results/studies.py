"""Settings as trials of Optuna: what ``result.to_optuna()`` returns, and what a search tells its study."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.expanding import axes_of
from jopt.kinds import Choice, Drawn, Grid
from jopt.results import scores
from jopt.results.record import SweepRecord
from jopt.results.spacing import is_log
from jopt.results.trial import Swept
from jopt.values.names import SAMPLE, labels

GROUP = "group"  # the parameter that says whose setting it is, where several optimizers were swept
LOOKS = 20  # at a curve of training losses


def library() -> ModuleType:
    """Optuna, or a sentence that says how to get it."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError('This needs Optuna: python -m pip install "jopt[optuna]".') from error
    return optuna


@contextlib.contextmanager
def quiet() -> Iterator[ModuleType]:
    """Optuna without a log line for each study that is made, and without warnings of what it calls experimental."""
    optuna = library()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)


class Told(NamedTuple):
    """What there is to say of one setting.

    Attributes:
      place: Its index in the grid.
      state: "lost" where a seed diverged, there is no finite score, or the sweep was stopped before it had come to its end;
        "pruned" also where it was left behind by another one that went on.
      score: Of a setting that is complete, the mean over seeds.
      curve: The mean over seeds by step, where it is finite.
      attributes: What else is known: ``scores`` (of each seed), ``spread``, ``diverged_at``, ``pruned_at``, ``left_at``,
        ``stopped_at``.
    """

    place: tuple[int, ...]
    state: Literal["complete", "pruned", "lost"]
    score: float
    curve: dict[int, float]
    attributes: dict[str, Any]


def told(record: SweepRecord, ranked: scores.Ranking) -> Iterator[Told]:
    """What there is to say of each setting, in the order of the grid."""
    scored, (steps, curves) = scores.score(record, ranked), _curves(record, ranked)
    stopped = record.steps_done < (record.last if not record.complete and len(record.step) else 0)
    stopped &= ~(record.diverged | record.pruned)
    lost = np.asarray((record.diverged | stopped).any(-1))
    pruned = np.asarray((record.pruned | record.left).any(-1))
    for index in np.ndindex(record.shape):
        per_seed = scored.per_seed[index]
        # JSON, as which storages keep this, knows no infinity.
        attributes: dict[str, Any] = {"scores": [float(x) if np.isfinite(x) else None for x in per_seed]}
        if np.isfinite(per_seed).all():
            attributes["spread"] = scores.spread(per_seed)
        times = {name: getattr(record, name) for name in ("diverged_at", "pruned_at", "left_at")}
        for name, when_of in {**times, "stopped_at": np.where(stopped, record.steps_done, np.nan)}.items():
            when = when_of[index]
            if not np.isnan(when).all():
                attributes[name] = int(np.nanmin(when))
        out = lost[index] or not (pruned[index] or np.isfinite(scored.mean[index]))
        yield Told(
            place=index,
            state="lost" if out else "pruned" if pruned[index] else "complete",
            score=float(scored.mean[index]),
            curve={int(s): float(x) for s, x in zip(steps, curves[index], strict=True) if np.isfinite(x)},
            attributes=attributes,
        )


def _curves(record: SweepRecord, ranked: scores.Ranking) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Steps [n] and the means over seeds [*dims, n] of every evaluation, or of training losses over parts of the run."""
    _, steps, values = record.series(ranked.metric)
    with np.errstate(invalid="ignore", over="ignore"):  # of a lane that diverged
        mean = np.asarray(np.asarray(values, np.float64).mean(-2))
        if ranked.metric in record.metrics:
            return steps, mean
        looks = np.linspace(record.first, record.last, LOOKS + 1)[1:]
        ended = record.pruned_at[record.pruned], record.left_at[record.left]
        looks = np.concatenate([looks, *ended])  # so that what was pruned has its last look there
        stops = np.unique(np.searchsorted(steps, np.ceil(looks), side="right"))
        stops = stops[stops > 0]
        lengths = np.diff(steps, prepend=record.first)
        parts = [slice(begin, end) for begin, end in itertools.pairwise([0, *stops.tolist()])]
        means = [np.average(mean[..., part], axis=-1, weights=lengths[part]) for part in parts]
    return steps[stops - 1], np.stack(means, axis=-1)


class Range(NamedTuple):
    """The numbers that a parameter takes."""

    low: float
    high: float
    whole: bool
    log: bool

    def distribution(self) -> Any:
        """As Optuna has it."""
        kind = library().distributions
        if self.whole:
            return kind.IntDistribution(int(self.low), int(self.high), log=self.log)
        return kind.FloatDistribution(float(self.low), float(self.high), log=self.log)


def categories(choices: Iterable[Any]) -> Any:
    """The distribution of a parameter that takes one of some values."""
    return library().distributions.CategoricalDistribution(tuple(choices))


def to_study(parts: Mapping[str, Swept], metric: str | None, mode: scores.Mode | None, at: scores.At | None) -> Any:
    """See ``Result.to_optuna``."""
    ranked = scores.ranking([part.record for part in parts.values()], metric, mode, at)
    grouped = list(parts) != [""]
    with quiet() as optuna:
        study = optuna.create_study(direction="minimize" if ranked.mode == "min" else "maximize")
        study.set_metric_names([ranked.metric])
        distributions = _distributions(list(parts.values()))
        for group, part in parts.items():
            here = {name: distributions[name] for name in part.record.coords}
            whose = {GROUP: group} if grouped else {}
            if grouped:
                here[GROUP] = categories(parts)
            study.add_trials([_trial(part.record, each, here, whose) for each in told(part.record, ranked)])
    return study


def _trial(record: SweepRecord, found: Told, distributions: Mapping[str, Any], whose: Mapping[str, str]) -> Any:
    optuna = library()
    states = optuna.trial.TrialState
    setting = {**record.setting(found.place), **whose}
    value = {"complete": found.score, "pruned": next(reversed(found.curve.values()), None), "lost": None}[found.state]
    return optuna.trial.create_trial(
        state={"complete": states.COMPLETE, "pruned": states.PRUNED, "lost": states.FAIL}[found.state],
        value=value,
        params={name: _as(distribution, setting[name]) for name, distribution in distributions.items()},
        distributions=dict(distributions),
        intermediate_values=found.curve,
        user_attrs={**whose, "index": list(found.place), **found.attributes},
    )


def _as(distribution: Any, value: Any) -> Any:
    kind = library().distributions
    if isinstance(distribution, kind.IntDistribution):
        return int(value)
    return float(value) if isinstance(distribution, kind.FloatDistribution) else value


def _distributions(parts: Sequence[Swept]) -> dict[str, Any]:
    """For each number that was swept its distribution, the same in all groups: else nothing could be said of it over all."""
    found: dict[str, list[Range | tuple[Any, ...]]] = {}
    categorical: dict[str, list[Any]] = {}
    for part in parts:
        axes = _axes(part)
        for name, (dim, values) in part.record.coords.items():
            found.setdefault(name, []).append(_domain(values, axes.get(name), dim))
            categorical.setdefault(name, []).extend(values.tolist())
    return {name: _together(domains, categorical[name]) for name, domains in found.items()}


def _axes(part: Swept) -> dict[str, Any]:
    """The axes of the optimizer by their names, as far as it can be read; those of ``hyper`` are not kept by a result."""
    with contextlib.suppress(Exception):  # the optimizer of a loaded result that has no pickle
        return {name: axis for axis, name in axes_of(part.optimizer)}
    return {}


def _domain(values: NDArray[Any], axis: Any, dim: str) -> Range | tuple[Any, ...]:
    """What a number may be, or the choices that there were; a grid that a search drew from is a choice, as it was there."""
    if isinstance(axis, Choice) or (isinstance(axis, Grid) and dim == SAMPLE):
        return tuple(labels(axis.values).tolist())
    if values.dtype.kind not in "iuf":
        return ()
    low, high = values.min().item(), values.max().item()
    if isinstance(axis, Drawn):
        return Range(min(low, axis.values[0]), max(high, axis.values[1]), axis.whole, axis.log)
    return Range(low, high, values.dtype.kind in "iu", bool(low > 0) and is_log(values, getattr(axis, "kind", None)))


def _together(domains: Sequence[Range | tuple[Any, ...]], values: Sequence[Any]) -> Any:
    ranges = [domain for domain in domains if isinstance(domain, Range)]
    if len(ranges) < len(domains):
        choices = [x for domain in domains if not isinstance(domain, Range) for x in domain]
        return categories(dict.fromkeys([*choices, *values]))
    low, high = min(each.low for each in ranges), max(each.high for each in ranges)
    return Range(low, high, all(each.whole for each in ranges), all(each.log for each in ranges)).distribution()

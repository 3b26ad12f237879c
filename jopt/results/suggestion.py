"""``result.suggest()``: the number to use, an interval, and what speaks for and against it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from jopt.rates import decays
from jopt.results import averages, report, scores, text
from jopt.results.along import Fit, fitted, ordered
from jopt.results.extending import extended
from jopt.results.record import SweepRecord
from jopt.results.scores import At, Mode
from jopt.results.trial import Swept, Trial, best_trial
from jopt.values.names import key_name

RATE = "learning_rate"
_WITHOUT = "best() is the best setting, and plot.response() shows each number"


@dataclasses.dataclass(frozen=True, eq=False)
class Suggestion:
    """A number to use, as ``result.suggest()`` found it. ``str()`` is one sentence.

    Attributes:
      name: Of the number.
      value: What to use.
      low: The lower end of the interval in which the best value lies in about nine cases of ten.
      high: The upper end.
      rule: How the value was found, in words.
      reasons: What the curve is like, sentences: the values within 5 % of the best (of an accuracy, of its complement), how
        much the number matters, how far it is to divergence.
      warnings: What speaks against trusting it, sentences; empty: nothing.
      optimizer: The best setting's optimizer with this value in it, where the number is the optimizer's.
      extend: The axis to run next, where the best value is the first or the last of its axis, and the number may go
        beyond it; between 0 and the values above it, where it is 0 or next to it on a logarithmic axis; else None.
      trial: The best setting, from whose numbers the others are.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 7)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
      >>> suggestion = result.suggest()
      >>> suggestion.low <= 0.46 <= suggestion.high
      True
    """

    name: str
    value: float
    low: float
    high: float
    rule: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    optimizer: Any = dataclasses.field(repr=False)
    extend: Any
    trial: Trial = dataclasses.field(repr=False)

    def __str__(self) -> str:
        """One sentence."""
        what = "" if self.name == RATE else f"{self.name} "
        whose = "" if self.trial.group is None else f"{self.trial.group}: "
        told = "; ".join(each.rstrip(".") for each in (*self.reasons, *(f"but {each}" for each in self.warnings)))
        value, low, high = map(text.number, (self.value, self.low, self.high))
        return f"{whose}use {what}{value} ({low} to {high}): {told}."


def suggest(
    result: Swept,
    name: str | None,
    metric: str | None,
    group: str | None = None,
    mode: Mode | None = None,
    at: At | None = None,
) -> Suggestion:
    """See ``SweepResult.suggest``."""
    record = result.record
    ranked = scores.ranking([record], metric, mode, at)
    trial = best_trial(result, ranked, group)
    if trial is None:
        raise ValueError(report.no_best({"": record}, ranked.metric))
    name = which(result, name)
    fit = fitted(record, ranked, trial.index, name)
    further = extended(trial.optimizer, fit, record.coordinate(name)[1].dtype.kind in "iu")
    return Suggestion(
        name,
        fit.value,
        *fit.interval,
        fit.rule,
        tuple(_reasons(fit, trial.metric)),
        tuple(_warnings(fit, trial, name in _rates(result, trial.index), further is not None)),
        _with(trial.optimizer, name, fit.value),
        further,
        trial,
    )


def which(result: Swept, name: str | None) -> str:
    """The number to suggest: the one asked for; else the rate, the only one in the rate's schedule, or the only ordered one."""
    record = result.record
    known = ordered(record)
    if name is not None:
        record.coordinate(name)  # raises where there is none
        if name not in known:
            raise ValueError(f"suggest: {name!r} {_unfit(record, name)}; {f'it is one of {known}' if known else _WITHOUT}.")
        return name
    inside = [each for each in known if each in _rates(result, (0,) * len(record.dims))]
    for candidates in ([each for each in known if each == RATE], inside, known):
        if len(candidates) == 1:
            return candidates[0]
    if known:
        raise ValueError(f"suggest: name= is needed, one of {known}.")
    together = [each for each in record.coords if _along_others(record, each)]
    if together:
        raise ValueError(
            f"suggest: {', '.join(together)} changed together, so that there is no curve along one of them alone; {_WITHOUT}."
        )
    raise ValueError("suggest: no number with an order was swept.")


def _along_others(record: SweepRecord, name: str) -> bool:
    """Whether a number was drawn, searched or zipped together with others."""
    return len(record.names_along(record.coords[name][0])) > 1


def _unfit(record: SweepRecord, name: str) -> str:
    """Why there is no curve along a number."""
    together = "changed together with others, so that there is no curve along it alone"
    return together if _along_others(record, name) else "has no order, or one value"


def _rates(result: Swept, index: tuple[int, ...]) -> set[str]:
    """The swept names that are a learning rate, or a number of its schedule: ends of paths with a rate in them."""
    paths = jax.tree_util.tree_flatten_with_path(result.optimizer_at(index))[0]
    parts = [".".join(map(key_name, path)).split(".") for path, _ in paths]
    ends = {".".join(each[i:]) for each in parts if RATE in each for i in range(len(each))}
    return ends & set(result.record.coords)


def _reasons(fit: Fit, metric: str) -> list[str]:
    about, points = fit.about, fit.points
    low, high = map(text.number, about.basin)
    basin = f"{low} to {high} are" if low != high else f"only {low} is"
    told = [fit.rule, f"{basin} within 5 % of the best {fit.turned.name(metric)}"]
    if points.zero and not fit.at_zero:
        told.append("0 is worse, and no point of the curve, which is one of logarithms")
    if math.isfinite(about.sensitivity) and len(points.values) > 1:
        others = "the other values that were not pruned" if len(points.pruned) else "other values of the axis"
        told.append(f"{others} cost {text.number(about.sensitivity)} of {metric} on average")
    if about.wall is not None and fit.curve.log_x and not fit.at_zero:
        told.append(f"{about.wall / fit.value:.2g} times as much diverges")
    return told


def _warnings(fit: Fit, trial: Trial, of_rate: bool, further: bool) -> list[str]:
    points = fit.points.scores
    finite = np.asarray(np.isfinite(points).all(axis=1))
    told = [] if trial.result.record.complete else ["the sweep was stopped before it had come to its end"]
    if fit.lost:
        told.append("even the best is no better than before the first step")
    if fit.beside_pruned:
        told.append(f"what lies {'below' if fit.found.edge < 0 else 'above'} was pruned, so that its end is not known")
    if fit.edge:
        told.append(f"{_edge(fit)}{' (run .extend)' if further else ''}")
    if fit.place + 1 < len(finite) and not finite[fit.place + 1]:
        told.append("the next value above diverges")
    if finite.sum() < 5:
        few = f"only {finite.sum()} values of the axis have" if finite.sum() > 1 else "only one value of the axis has"
        told.append(f"{few} a score")
    if np.ptp(np.argmin(points, axis=0)) > 1:
        told.append("seeds disagree by more than a step of the grid")
    if of_rate and not (averages.grows(trial.optimizer) or decays(trial.optimizer, trial.result.record.last)):
        told.append("the rate does not decay, and the best such rate gets smaller the longer a run is")
    return told


def _edge(fit: Fit) -> str:
    """Why the best may be none of the values."""
    if fit.at_zero:
        return (
            f"0 is as good as any of the others or better, so that the best may lie between it and {text.number(fit.values[0])}"
        )
    if fit.edge < 0 and fit.points.zero:
        return "the best value is the first above 0, so that the best may lie between the two"
    return f"the best value is the {'first' if fit.edge < 0 else 'last'} of its axis, so that the best may lie beyond"


def _with(optimizer: Any, name: str, value: float) -> Any:
    replace = getattr(optimizer, "replace", None)
    if replace is None:
        return optimizer
    try:
        return replace(**{name: value})
    except (TypeError, ValueError):  # a number that is not the optimizer's
        return optimizer

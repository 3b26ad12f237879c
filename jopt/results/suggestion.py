"""``result.suggest()``: the number to use, an interval, and what speaks for and against it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jopt.courses import decays
from jopt.results import averages, finding, report, scores, text
from jopt.results.along import Fit, fitted, ordered
from jopt.results.extending import extended
from jopt.results.naming import in_full
from jopt.results.scattered import Scatter, scatter, scattered, together_with
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
      rule: How the value was found, in words. Of numbers that changed together (drawn, searched, ``zipped``) it is the best
        setting's, and the interval is where the best settings lie.
      reasons: What the curve is like, sentences: the values within 5 % of the best (of an accuracy, of its complement), how
        much the number matters, how far it is to divergence.
      warnings: What speaks against trusting it, sentences; empty: nothing.
      optimizer: The best setting's optimizer with this value in it, where the number is the optimizer's.
      extend: The axis to run next, where the best value is the first or the last of its axis, and the number may go
        beyond it; between 0 and the values above it, where it is 0 or next to it on a logarithmic axis; else None.
      trial: The best setting, from whose numbers the others are.
      beside: Where no number was asked for, those that changed together with this one: name -> (value, low, high).

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
    beside: Mapping[str, tuple[float, float, float]] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """One sentence."""
        whose = "" if self.trial.group is None else f"{self.trial.group}: "
        told = "; ".join(each.rstrip(".") for each in (*self.reasons, *(f"but {each}" for each in self.warnings)))
        numbers = {self.name: (self.value, self.low, self.high), **self.beside}
        names = [in_full(self.trial.result, name) for name in numbers]
        names = [""] if names == [RATE] else [f"{name} " for name in names]
        shown = [name + _shown(*each) for name, each in zip(names, numbers.values(), strict=True)]
        return f"{whose}use {text.listed(shown)}: {told}."


def _shown(value: float, low: float, high: float) -> str:
    digits = text.apart((value, low, high))
    value_, low_, high_ = (text.number(x, digits) for x in (value, low, high))
    return f"{value_} ({low_} to {high_})"


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
    number = which(result, name)
    of_rate = number in _rates(result, trial.index)
    if number in ordered(record):
        return _of_curve(fitted(record, ranked, trial.index, number), trial, of_rate)
    found = scatter(trial.optimizer, record, ranked, trial.index, number)
    beside = [each for each in found.together if each != number and name is None]
    others = [scatter(trial.optimizer, record, ranked, trial.index, each) for each in beside]
    return _of_scatter(found, others, trial, of_rate)


def _of_curve(fit: Fit, trial: Trial, of_rate: bool) -> Suggestion:
    further = extended(trial.optimizer, fit, trial.result.record.coordinate(fit.name)[1].dtype.kind in "iu")
    return Suggestion(
        fit.name,
        fit.value,
        *fit.interval,
        fit.rule,
        tuple(_reasons(fit, trial.metric)),
        tuple(_warnings(fit, trial, of_rate, further is not None)),
        _with(trial.optimizer, fit.name, fit.value),
        further,
        trial,
    )


def _of_scatter(found: Scatter, others: Sequence[Scatter], trial: Trial, of_rate: bool) -> Suggestion:
    told = [*_of_run(trial), *found.warnings(), *(each.at_edge for each in others if each.edge), *_of_horizon(trial, of_rate)]
    return Suggestion(
        found.name,
        found.value,
        *found.interval,
        found.rule,
        tuple(found.reasons(trial.metric, bool(others))),
        tuple(told),
        trial.optimizer,
        None,
        trial,
        {each.name: (each.value, *each.interval) for each in others},
    )


def which(result: Swept, name: str | None) -> str:
    """The number to suggest: the one asked for; else the rate, the only one in the rate's schedule, or the only one there is.

    Of several that changed together, and alone would do, it is the first: they are suggested together.
    """
    record = result.record
    known = [*ordered(record), *scattered(record)]
    if name is not None:
        name = finding.meant(result, name)
        if name not in known:
            raise ValueError(f"suggest: {name!r} has no order, or one value; {f'it is one of {known}' if known else _WITHOUT}.")
        return name
    rates = _rates(result, (0,) * len(record.dims))
    for candidates in ([each for each in known if each == RATE], [each for each in known if each in rates], known):
        if candidates and set(candidates) <= {candidates[0], *together_with(record, candidates[0])}:
            return candidates[0]
    if known:
        raise ValueError(f"suggest: name= is needed, one of {known}.")
    raise ValueError("suggest: no number with an order was swept.")


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
    told = _of_run(trial)
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
    return told + _of_horizon(trial, of_rate)


def _of_run(trial: Trial) -> list[str]:
    return [] if trial.result.record.complete else ["the sweep was stopped before it had come to its end"]


def _of_horizon(trial: Trial, of_rate: bool) -> list[str]:
    if not of_rate or averages.grows(trial.optimizer) or decays(trial.optimizer, trial.result.record.last):
        return []
    return ["the rate does not decay, and the best such rate gets smaller the longer a run is"]


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

"""``result.suggest()``: the number to use, an interval, and what speaks for and against it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from jopt.rates import decays
from jopt.results import report, scores, text
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
        beyond it; else None.
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
        return f"{whose}use {what}{text.short(self.value)} ({text.short(self.low)} to {text.short(self.high)}): {told}."


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
    found, whole = fit.found, record.coordinate(name)[1].dtype.kind in "iu"
    further = extended(trial.optimizer, fit, whole)
    value, low, high = (float(fit.number(v)) for v in (found.x, found.low, found.high))
    return Suggestion(
        name,
        value,
        low,
        high,
        found.rule,
        tuple(_reasons(fit, trial.metric)),
        tuple(_warnings(fit, trial, name in _rates(result, trial.index), further is not None)),
        _with(trial.optimizer, name, value),
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
    found, about = fit.found, fit.about
    low, high = (float(fit.number(x)) for x in about.basin)
    basin = f"{text.short(low)} to {text.short(high)} are" if low < high else f"only {text.short(low)} is"
    told = [f"{found.rule}", f"{basin} within 5 % of the best {fit.turned.name(metric)}"]
    if math.isfinite(about.sensitivity) and len(fit.values) > 1:
        others = "the other values that were not pruned" if len(fit.pruned) else "other values of the axis"
        told.append(f"{others} cost {about.sensitivity:.3g} of {metric} on average")
    if about.wall is not None and fit.curve.log_x:
        told.append(f"{math.exp(about.wall - found.x):.2g} times as much diverges")
    return told


def _warnings(fit: Fit, trial: Trial, of_rate: bool, further: bool) -> list[str]:
    found, curve = fit.found, fit.curve
    finite = np.asarray(np.isfinite(curve.scores).all(axis=1))
    told = [] if trial.result.record.complete else ["the sweep was stopped before it had come to its end"]
    if curve.lost()[found.place]:
        told.append("even the best is no better than before the first step")
    if fit.beside_pruned:
        told.append(f"what lies {'below' if found.edge < 0 else 'above'} was pruned, so that its end is not known")
    if fit.edge:
        which = "first" if fit.edge < 0 else "last"
        told.append(
            f"the best value is the {which} of its axis, so that the best may lie beyond{' (run .extend)' if further else ''}"
        )
    if found.place + 1 < len(finite) and not finite[found.place + 1]:
        told.append("the next value above diverges")
    if finite.sum() < 5:
        few = f"only {finite.sum()} values of the axis have" if finite.sum() > 1 else "only one value of the axis has"
        told.append(f"{few} a score")
    lowest = np.argmin(np.where(np.isfinite(curve.scores), curve.scores, np.inf), axis=0)
    if np.ptp(lowest) > 1:
        told.append("seeds disagree by more than a step of the grid")
    if of_rate and not decays(trial.optimizer, int(trial.result.record.step[-1])):
        told.append("the rate does not decay, and the best such rate gets smaller the longer a run is")
    return told


def _with(optimizer: Any, name: str, value: float) -> Any:
    replace = getattr(optimizer, "replace", None)
    if replace is None:
        return optimizer
    try:
        return replace(**{name: value})
    except (TypeError, ValueError):  # a number that is not the optimizer's
        return optimizer

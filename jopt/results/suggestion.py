"""``result.suggest()``: the number to use, an interval, and what speaks for and against it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jopt import axes
from jopt.rates import decays
from jopt.results import report, scores, text
from jopt.results.record import SweepRecord
from jopt.results.scores import At, Mode
from jopt.results.suggesting import Curve, Minimum, Shape, minimum, shape
from jopt.results.trial import Swept, Trial, best_trial
from jopt.values.binding import key_name

BEYOND = 4  # points of the axis to run next
RATE = "learning_rate"


@dataclasses.dataclass(frozen=True, eq=False)
class Suggestion:
    """A number to use, as ``result.suggest()`` found it. ``str()`` is one sentence.

    Attributes:
      name: Of the number.
      value: What to use.
      low: The lower end of the interval in which the best value lies in about nine cases of ten.
      high: The upper end.
      rule: How the value was found, in words.
      reasons: What the curve is like, sentences: the values within 5 % of the best, how much the number matters, how far
        it is to divergence.
      warnings: What speaks against trusting it, sentences; empty: nothing.
      optimizer: The best setting's optimizer with this value in it, where the number is the optimizer's.
      extend: The axis to run next, where the best value is the first or the last of its axis; else None.
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
        return f"{whose}use {what}{_short(self.value)} ({_short(self.low)} to {_short(self.high)}): {told}."


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
    values, curve = curve_of(record, ranked, trial, name)
    found = minimum(curve) if len(values) > 2 else _of_few(curve)
    about = shape(curve, found.place)
    value, low, high = (float(np.exp(v)) if curve.log_x else float(v) for v in (found.x, found.low, found.high))
    return Suggestion(
        name,
        value,
        low,
        high,
        found.rule,
        tuple(_reasons(curve, found, about, trial)),
        tuple(_warnings(curve, found, trial, name in _rates(result, trial.index))),
        _with(trial.optimizer, name, value),
        _extended(values, found.edge, curve.log_x),
        trial,
    )


def which(result: Swept, name: str | None) -> str:
    """The number to suggest: the one asked for; else the rate, the only one in the rate's schedule, or the only ordered one."""
    record = result.record
    ordered = [each for each, (dim, values) in record.coords.items() if _is_ordered(record, dim, values)]
    if name is not None:
        record.coordinate(name)  # raises where there is none
        if name not in ordered:
            raise ValueError(f"suggest: {name!r} has no order, or was drawn together with others; it is one of {ordered}.")
        return name
    inside = [each for each in ordered if each in _rates(result, (0,) * len(record.dims))]
    for candidates in ([each for each in ordered if each == RATE], inside, ordered):
        if len(candidates) == 1:
            return candidates[0]
    raise ValueError(
        f"suggest: name= is needed, one of {ordered}." if ordered else "suggest: no number with an order was swept."
    )


def _rates(result: Swept, index: tuple[int, ...]) -> set[str]:
    """The swept names that are a learning rate, or a number of its schedule: ends of paths with a rate in them."""
    paths = jax.tree_util.tree_flatten_with_path(result.optimizer_at(index))[0]
    parts = [".".join(map(key_name, path)).split(".") for path, _ in paths]
    ends = {".".join(each[i:]) for each in parts if RATE in each for i in range(len(each))}
    return ends & set(result.record.coords)


def _is_ordered(record: SweepRecord, dim: str, values: NDArray[Any]) -> bool:
    if not np.issubdtype(np.asarray(values).dtype, np.number):  # structure, ``None`` beside numbers
        return False
    return len(record.names_along(dim)) == 1 and len(np.unique(values)) == len(values) > 1


def curve_of(record: SweepRecord, ranked: scores.Ranking, trial: Trial, name: str) -> tuple[NDArray[Any], Curve]:
    """The numbers of an axis, ascending, and the scores through the best setting along it."""
    along, values = record.coordinate(name)
    at = tuple(slice(None) if axis == along else i for axis, i in enumerate(trial.index))
    per_seed = np.where(record.diverged[at], np.inf, scores.score(record, ranked).per_seed[at])
    order = np.argsort(values)
    order = order[~np.asarray(record.pruned[at].any(axis=-1))[order]]  # what was pruned has no score of a whole run
    values, per_seed = np.asarray(values, np.float64)[order], _lower_is_better(per_seed[order], ranked.mode)
    before = _lower_is_better(np.asarray(_before(record, ranked.metric)), ranked.mode)
    log_x = bool(values[0] > 0)
    finite = per_seed[np.isfinite(per_seed)]
    by_ratio = bool((finite >= 0).all())
    return values, Curve(np.log(values) if log_x else values, per_seed, float(before), by_ratio, log_x)


def _lower_is_better(values: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    if mode == "min":
        return values
    finite = values[np.isfinite(values)]
    share = bool(((finite >= 0) & (finite <= 1)).all())  # an accuracy: its complement is an error, which has ratios
    return np.where(np.isfinite(values), 1 - values if share else -values, np.inf)


def _before(record: SweepRecord, metric: str) -> float:
    """The score before the first step; infinite where nobody looked."""
    _, steps, values = record.series(metric)
    known = metric in record.losses or steps[0] == 0
    first = np.asarray(values[..., 0], np.float64)
    first = first[np.isfinite(first)]
    return float(np.median(first)) if known and len(first) else math.inf


def _of_few(curve: Curve) -> Minimum:
    place = int(np.argmin(curve.heights()))
    return Minimum(float(curve.x[place]), float(curve.x[0]), float(curve.x[-1]), place, 0, "the lowest of too few points")


def _reasons(curve: Curve, found: Minimum, about: Shape, trial: Trial) -> list[str]:
    def shown(x: float) -> str:
        return _short(math.exp(x) if curve.log_x else x)

    low, high = about.basin
    basin = f"{shown(low)} to {shown(high)} are" if low < high else f"only {shown(low)} is"
    told = [f"{found.rule}", f"{basin} within 5 % of the best {trial.metric}"]
    if math.isfinite(about.sensitivity):
        told.append(f"other values of the axis cost {about.sensitivity:.3g} of {trial.metric} on average")
    if about.wall is not None and curve.log_x:
        told.append(f"{math.exp(about.wall - found.x):.2g} times as much diverges")
    return told


def _warnings(curve: Curve, found: Minimum, trial: Trial, of_rate: bool) -> list[str]:
    finite = np.asarray(np.isfinite(curve.scores).all(axis=1))
    told = []
    if found.edge:
        which = "first" if found.edge < 0 else "last"
        told.append(f"the best value is the {which} of its axis, so that the best may lie beyond (run .extend)")
    if found.place + 1 < len(finite) and not finite[found.place + 1]:
        told.append("the next value above diverges")
    if finite.sum() < 5:
        told.append(f"only {finite.sum()} values of the axis have a score")
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


def _extended(values: NDArray[Any], edge: int, log_x: bool) -> Any:
    if not edge:
        return None
    ends = (values[1], values[0]) if edge < 0 else (values[-2], values[-1])
    inner, last = (float(v) for v in ends)
    if log_x:
        ratio = last / inner
        low, high = sorted((last * ratio, last * ratio**BEYOND))
        return axes.geomspace(low, high, BEYOND)
    low, high = sorted((2 * last - inner, last + BEYOND * (last - inner)))
    return axes.linspace(low, high, BEYOND)


def _short(x: float) -> str:
    """Two digits, "3.2e-3"; of what is near one as results show it."""
    if x == 0 or 0.1 <= abs(x) < 1e4:
        return text.number(float(x))
    mantissa, exponent = f"{x:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"

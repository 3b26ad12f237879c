"""How far a comparison of optimizers is to be trusted: edges of axes, settings chosen by the seeds compared, unequal time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jopt.results import scores, text
from jopt.results.along import Fit, fitted, ordered
from jopt.results.extending import extended
from jopt.results.scattered import scatter, scattered
from jopt.results.trial import Trial

TIMED_S = 0.5  # seconds of running below which it is chance: runs of 0.2 and 0.4 s of one optimizer were 1.6 times apart


def edges(trials: Mapping[str, Trial], ranked: scores.Ranking) -> tuple[str, ...]:
    """A sentence for each number whose best value in its group is at an end of its axis, beyond which it may go."""
    found = [(group, each) for group, trial in trials.items() for each in _edges(trial, ranked)]
    return tuple(f"{group} {told} before you compare" for group, told in found)


def _edges(trial: Trial, ranked: scores.Ranking) -> Iterator[str]:
    record, optimizer = trial.result.record, _optimizer(trial)
    for name in ordered(record):
        fit = fitted(record, ranked, trial.index, name)
        if extended(optimizer, fit, record.coordinate(name)[1].dtype.kind in "iu") is not None:
            yield _of_curve(fit)
    for name in scattered(record):
        found = scatter(optimizer, record, ranked, trial.index, name)
        if found.edge:
            yield _at(found.edge, name, found.value)


def _optimizer(trial: Trial) -> Any:
    try:
        return trial.optimizer
    except ValueError:  # of a file that could not hold it
        return None


def _of_curve(fit: Fit) -> str:
    at = fit.points.values[fit.place]
    if fit.at_zero or (fit.edge < 0 and fit.points.zero):
        return f"is at {fit.name}={text.number(at)}: try values between 0 and {text.number(fit.values[0])}"
    return _at(fit.edge, fit.name, at)


def _at(edge: int, name: str, value: float) -> str:
    side, way = ("lower", "lower") if edge < 0 else ("upper", "higher")
    return f"is at the {side} edge of {name} ({text.number(value)}): try {way}"


def chosen(trials: Mapping[str, Trial]) -> str:
    """Which groups are flattered, since their best setting was chosen by the seeds that are compared; "" where none is."""
    several = [group for group, trial in trials.items() if trial.result.record.diverged[..., 0].size > 1]
    sure = "train the best settings with other seeds to be sure."
    if len(several) == len(trials):
        return (
            "Each group is at its own best setting, chosen by these very seeds, which flatters all, most of all those with "
            f"many\nsettings or noisy scores; {sure}"
        )
    single = [group for group in trials if group not in several]
    if not several:
        return ""
    are, were = ("is", "was") if len(several) == 1 else ("are", "were")
    each = "its own best setting" if len(several) == 1 else "their own best settings"
    has = "has" if len(single) == 1 else "have"
    return (
        f"{text.listed(several)} {are} at {each}, which {were} chosen by these very seeds; that flatters "
        f"{text.listed(several)} beside\n{text.listed(single)}, which {has} one setting only; {sure}"
    )


def pace(trials: Mapping[str, Trial], against: str) -> str:
    """Whether equal steps were equal time, as far as that is known; "" where not all did the same steps."""
    records = [trial.result.record for trial in trials.values()]
    if len({(record.first, record.last) for record in records}) > 1 or len(trials) < 2:
        return ""
    own = _lane_step_s(trials[against])
    each = {group: _lane_step_s(trial) for group, trial in trials.items() if _alike(trial, trials[against])}
    longer = {group: f"{x / own:.2g}" for group, x in each.items() if group != against and x / own > 0}
    told = "Groups are compared at equal steps, not at equal time"
    if not longer:
        return f"{told}."
    measured = ", ".join(f"of {group}{'' if i else ' took'} {times}" for i, (group, times) in enumerate(longer.items()))
    return f"{told}: a step {measured} times as long as one of {against} (measured in this sweep, evaluations included)."


def _alike(one: Trial, other: Trial) -> bool:
    """Whether as many lanes ran side by side: they share what a step costs."""
    return one.result.record.diverged.size == other.result.record.diverged.size


def _lane_step_s(trial: Trial) -> float:
    """Seconds of a step of a lane; NaN where that is not known, or lanes ended on the way, so that the others had more room."""
    record, timings = trial.result.record, trial.result.timings
    ended = np.asarray(record.pruned | record.left | record.diverged).any() or not record.complete
    return math.nan if ended or timings.run_s < TIMED_S or not timings.lane_steps else timings.run_s / timings.lane_steps

"""``prune=``: a pruner asked at its rungs which lanes of a group go on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jopt.deciding import Pruner, Rung, TopFraction
from jopt.engine.job import Job
from jopt.engine.lanes.records import Records
from jopt.engine.running.reached import Decision
from jopt.rates import decays
from jopt.results import scores
from jopt.spaces import Dimension
from jopt.values import require


def pruner_of(prune: Any) -> Pruner | None:
    """The argument ``prune`` as a pruner; ``TypeError`` where it is none."""
    if prune is None:
        return None
    if isinstance(prune, str) and prune == "auto":
        return TopFraction()
    if not isinstance(prune, Pruner) or isinstance(prune, type):
        raise TypeError(
            f'prune must be None, "auto" or a pruner, such as jopt.TopFraction() or an object with metric, mode, rungs(steps) '
            f"and keep(rung), but is {require.shown(prune)}."
        )
    return prune


def rungs_of(pruner: Pruner | None, first: int, steps: int, evaluations: np.ndarray, record_every: int) -> tuple[int, ...]:
    """The steps at which a pruner decides, ascending, before the last: evaluations, or ends of the windows that are recorded.

    Without evaluations, twenty looks stand for "at every evaluation". A pruner counts from ``first``, where the lanes begin.
    """
    if pruner is None:
        return ()
    asked: Any = pruner.rungs(steps - first)
    if asked is None and len(evaluations):
        return tuple(int(step) for step in evaluations if first < step < steps)
    if asked is None:
        asked = np.linspace(0, steps - first, 21)[1:].round().astype(int)
    wanted = {-(-(first + _rung(pruner, step)) // record_every) * record_every for step in asked}
    return tuple(sorted(step for step in wanted if first < step < steps))


def _rung(pruner: Pruner, step: Any) -> int:
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)):
        raise TypeError(f"{pruner!r}.rungs must return whole numbers of steps, or None, but returned {step!r} among them.")
    return int(step)


def metric_of(
    what: str,
    metric: str | None,
    mode: scores.Mode | None,
    recorded: tuple[Sequence[str], Sequence[str]],
    maximize: Iterable[str],
) -> tuple[str, scores.Mode]:
    """What a pruner or a search scores, and in which direction.

    ``recorded`` are the names of a step's values, and of evaluations.
    """
    losses, evaluated = recorded
    metric = metric or next(iter(evaluated), None) or ("loss" if "loss" in losses else next(iter(losses)))
    if metric not in (*losses, *evaluated):
        raise ValueError(f"{what}: there is no metric {metric!r}; recorded are {', '.join((*losses, *evaluated))}.")
    if mode is None and scores.direction(maximize, metric) is None:
        example = "prune=jopt.TopFraction(mode='max')" if what == "prune" else "search=jopt.OptunaSearch(mode='max')"
        raise ValueError(
            f"Nobody said whether {metric!r} is better high or low; declare it where it is made, "
            f"evaluate=jopt.metrics(..., maximize={metric!r}), or say it as in {example}."
        )
    return metric, scores.directed(maximize, metric, mode)


def warn(message: str) -> None:
    """Warns of the line outside of jopt that called it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "jopt":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


class Decider:
    """Asks a pruner about the lanes of each group; what ``engine.running.carry_out`` calls at rungs.

    Args:
      pruner: Who decides.
      jobs: By name.
      groups: The names of the jobs whose settings are compared.
      maximize: The metrics that are better the higher they are.
      recorded: Of each job what is recorded: names of a step's values, and of evaluations.
      again: Whether other settings were pruned before in the same call, which warned of what there is to warn of.
    """

    def __init__(
        self,
        pruner: Pruner,
        jobs: Mapping[str, Job],
        groups: Sequence[Sequence[str]],
        maximize: Iterable[str],
        recorded: Callable[[str], tuple[Sequence[str], Sequence[str]]],
        again: bool = False,
    ) -> None:
        self.pruner, self.jobs, self.groups = pruner, jobs, groups
        self.ends = bool(getattr(pruner, "ends", False))
        self.history: dict[str, list[np.ndarray]] = {}
        self.windows: dict[str, int] = {}  # of losses that have been looked at
        self.metric: dict[str, tuple[str, str]] = {}
        self.recorded, self.maximize = recorded, tuple(maximize)
        self._find_metrics(name for name in jobs if any(recorded(name)))
        if not self.ends and not again:
            self._warn_of_constant_rates()

    def _find_metrics(self, names: Iterable[str]) -> None:
        """What is looked at; of a job that compiles nothing it is not known before it runs."""
        for name in names:
            if name not in self.metric:
                found = self.recorded(name)
                self.metric[name] = metric_of("prune", self.pruner.metric, self.pruner.mode, found, self.maximize)

    def _warn_of_constant_rates(self) -> None:
        """Once: early looks at constant rates mislead."""
        for job in self.jobs.values():
            if not decays(job.space.at(0).optimizer, job.steps):
                warn(
                    "prune: the learning rate does not decay, and early looks at such rates prefer those that are too high: "
                    "where gradients are noisy, large steps look best until it is time to settle. With one that decays, such "
                    "as jopt.cosine_decay_schedule(jopt.geomspace(...), steps), early looks mislead little."
                )
                return

    def __call__(self, step: int, found: Mapping[str, tuple[Records, np.ndarray]]) -> dict[str, Decision]:
        """Which lanes of the jobs of a group stop."""
        self._find_metrics(found)
        if not self._is_new(step, found):
            return {}
        spaces = [self.jobs[name].space for name in found]
        order = np.argsort(np.concatenate([space.places for space in spaces]))  # programs side by side, as the grid has them

        def in_order(arrays: list[np.ndarray]) -> np.ndarray:
            return np.concatenate(arrays)[order]

        now = in_order([scores_at(records, *self.metric[name], step) for name, (records, _) in found.items()])
        running = in_order([lanes for _, lanes in found.values()])
        past = self.history.setdefault(next(iter(found)), [])
        diverged = in_order([records.diverged_at <= step for records, _ in found.values()])
        past.append(np.where(running, now, np.where(diverged, np.inf, past[-1] if past else np.inf)))
        settings = _settings(spaces[0].dimensions, len(order))
        job = self.jobs[next(iter(found))]
        rung = Rung(
            step - job.first, job.steps - job.first, past[-1], np.asarray(running.any(axis=1)), settings, np.stack(past)
        )
        stops = np.empty_like(running)
        stops[order] = running & ~self._kept(rung, running.shape)
        ends = np.cumsum([space.size for space in spaces])[:-1]
        return {name: Decision(mine, self.ends) for name, mine in zip(found, np.split(stops, ends), strict=True)}

    def _is_new(self, step: int, found: Mapping[str, tuple[Records, np.ndarray]]) -> bool:
        """Whether there is something that has not been looked at: an evaluation, or a further window of losses."""
        name, (records, _) = next(iter(found.items()))
        if self.metric[name][0] in records.metrics:
            return True
        windows = int(np.searchsorted(records.record_steps, step, side="right"))
        before, self.windows[name] = self.windows.get(name, 0), windows
        return windows > before

    def _kept(self, rung: Rung, lanes: tuple[int, int]) -> np.ndarray:
        kept = np.asarray(self.pruner.keep(rung))
        if kept.dtype != bool or kept.shape not in (lanes, lanes[:1]):
            raise ValueError(
                f"{self.pruner!r}.keep must return a bool for each of the {lanes[0]} settings, or for each lane {list(lanes)}, "
                f"but returned {kept.dtype} of shape {list(kept.shape)}."
            )
        kept = np.broadcast_to(kept.reshape(len(kept), -1), lanes)
        if not self.ends and not (kept & rung.running[:, None]).any() and rung.running.any():
            best = int(np.argmin(np.where(rung.running, rung.mean_scores, np.inf)))  # a sweep is not lost for a rule
            warn(f"prune: {self.pruner!r} kept no setting at step {rung.step}, so the best one goes on.")
            return np.broadcast_to(np.arange(lanes[0])[:, None] == best, lanes)
        return kept


def scores_at(records: Records, metric: str, mode: str, step: int) -> np.ndarray:
    """[settings, seeds], lower is better: an evaluation, or the mean of the losses over the last tenth of the steps so far."""
    if metric in records.metrics:
        found = records.metrics[metric][..., int(np.searchsorted(records.eval_steps, step))]
    else:
        count = int(np.searchsorted(records.record_steps, step, side="right"))
        found = scores.tenths(records.record_steps[:count] - records.first, records.losses[metric][..., :count], 1)[..., 0]
    found = np.asarray(found, np.float64)
    return np.where(np.isfinite(found), -found if mode == "max" else found, np.inf)


def _settings(dimensions: Sequence[Dimension], count: int) -> list[dict[str, Any]]:
    """What was swept, by name, of each of ``count`` settings in the order of the grid."""
    shape = [len(d) for d in dimensions]
    places = np.indices(shape).reshape(len(shape), count)
    members = [(name, along, values) for along, d in enumerate(dimensions) for name, _, values in d.members]
    return [{name: values[int(places[along, k])] for name, along, values in members} for k in range(count)]

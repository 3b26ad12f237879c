"""Pruners and suggestions played again on the true curves, without timing: draws of their seeds, parts of their grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.deciding.problems import EVERY, LOOKS, PER_DECADE, RATES, SWEPT_SEEDS
from benchmarks.deciding.rivals import PRUNERS
from benchmarks.deciding.truth import POINTS, Truth, tenth
from jopt.deciding import Pruner, Rung, TopFraction
from jopt.results import suggesting

SPACINGS = {"2.15": PER_DECADE // 3, "3.16": PER_DECADE // 2, "4.64": 2 * PER_DECADE // 3}  # a grid's factor: fine steps
DRAWS = 12  # of seeds, for suggestions: each draws its own seeds 200 times again


class Played(NamedTuple):
    """What a pruned sweep came to.

    Attributes:
      scores: [settings, seeds]; infinite where it was pruned or diverged.
      kept: [settings], those that were not pruned.
      ends: [settings, seeds], the share of the run that a lane was trained for, the dead until somebody stopped them.
    """

    scores: np.ndarray
    kept: np.ndarray
    ends: np.ndarray


def play(truth: Truth, pruner: Pruner | None, settings: Sequence[int], seeds: Sequence[int]) -> Played:
    """Asks a pruner at its rungs, as a sweep of these settings and seeds would."""
    losses = truth.losses[np.ix_(settings, seeds)]
    died = np.nan_to_num(truth.diverged[np.ix_(settings, seeds)], nan=np.inf)
    ends, running = np.full(losses.shape[:2], POINTS), np.ones(losses.shape[:2], bool)
    past: list[np.ndarray] = []
    for point in _rungs(pruner, truth.steps):
        dead = died <= point / POINTS
        running = running & ~dead
        before = past[-1] if past else np.inf
        past.append(np.where(running, tenth(losses, point), np.where(dead, np.inf, before)))
        step = point * truth.steps // POINTS
        rung = Rung(step, truth.steps, past[-1], running.any(axis=1), [{}] * len(settings), np.stack(past))
        kept = np.asarray(pruner.keep(rung))  # type: ignore[union-attr]
        stops = ~np.broadcast_to(kept.reshape(len(kept), -1), running.shape)
        ends = np.where(stops & (ends == POINTS), point, ends)
        running = running & ~stops
    scores = tenth(losses, POINTS)
    for end in np.unique(ends):
        scores[ends == end] = tenth(losses[ends == end], end)
    out = np.zeros(len(ends), bool) if getattr(pruner, "ends", False) else (ends < POINTS).any(axis=1)
    return Played(np.where((died <= ends / POINTS) | out[:, None], np.inf, scores), ~out, ends / POINTS)


def _rungs(pruner: Pruner | None, steps: int) -> list[int]:
    """The points of a curve at which a pruner looks."""
    if pruner is None:
        return []
    asked = pruner.rungs(steps)
    if asked is None:
        asked = [round(steps * k / LOOKS) for k in range(1, LOOKS)]
    return sorted({-(-step * POINTS // steps) for step in asked})


def grids() -> list[list[int]]:
    """The settings of a sweep as places on the fine grid, from each place to begin with."""
    return [list(range(first, RATES, EVERY)) for first in range(EVERY)]


def draws(seeds: int, size: int = SWEPT_SEEDS) -> list[tuple[int, ...]]:
    """All choices of so many seeds."""
    return list(itertools.combinations(range(seeds), size))


def some(chosen: list[tuple[int, ...]], count: int = DRAWS) -> list[tuple[int, ...]]:
    """So many of them, spread over all."""
    return [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, count).round().astype(int))]


def curve(truth: Truth, played: Played, settings: Sequence[int]) -> suggesting.Curve:
    """The curve that ``.suggest()`` sees of a sweep."""
    return suggesting.Curve(np.log(truth.rates[settings])[played.kept], played.scores[played.kept], truth.before)


def suggested(seen: suggesting.Curve) -> suggesting.Minimum:
    """What ``.suggest()`` finds on a curve."""
    if len(seen.x) > 2:
        return suggesting.minimum(seen)
    place = int(np.argmin(seen.heights()))
    return suggesting.Minimum(float(seen.x[place]), float(seen.x[0]), float(seen.x[-1]), place, 0, "the lowest")


def of_pruner(truth: Truth, pruner: Pruner | None) -> dict[str, list[float]]:
    """For each draw of seeds: the share of the steps, whether the pick is the full sweep's, the regret, the excess."""
    found: dict[str, list[float]] = {"steps": [], "of_full": [], "same": [], "regret": [], "excess": []}
    mean = truth.scores.mean(axis=1)
    chosen = draws(truth.scores.shape[1])
    asked = set(some(chosen))
    for settings, seeds in itertools.product(grids(), chosen):
        full, pruned = play(truth, None, settings, seeds), play(truth, pruner, settings, seeds)
        by_full, by_pruned = (settings[int(np.argmin(each.scores.mean(axis=1)))] for each in (full, pruned))
        alive = np.nan_to_num(truth.diverged[np.ix_(settings, seeds)], nan=1.0)  # a dead lane stops in every sweep
        found["steps"].append(float(pruned.ends.mean()))
        found["of_full"].append(float(np.minimum(pruned.ends, alive).sum() / alive.sum()))
        found["same"].append(float(by_full == by_pruned))
        found["regret"].append(0.0 if by_full == by_pruned else float((mean[by_pruned] - mean[by_full]) / truth.best.deviation))
        if seeds in asked:
            found["excess"].append(truth.excess(float(np.exp(suggested(curve(truth, pruned, settings)).x))))
    return found


def of_suggestions(truth: Truth, spacing: int, size: int) -> Iterator[dict[str, float]]:
    """For each place where a coarse grid may begin, and draws of seeds: whether the best is inside, the width, the excesses."""
    for first, seeds in itertools.product(range(spacing), some(draws(truth.scores.shape[1], size))):
        settings = list(range(first, len(truth.rates), spacing))
        seen = curve(truth, play(truth, None, settings, seeds), settings)
        found = suggested(seen)
        step = float(np.log(truth.rates[spacing] / truth.rates[0]))
        yield {
            "inside": float(found.low <= np.log(truth.best.rate) <= found.high),
            "width": (found.high - found.low) / step,
            "excess": truth.excess(float(np.exp(found.x))),
            "argmin": truth.excess(float(np.exp(seen.x[int(np.argmin(seen.heights()))]))),
        }


def pruners(truths: Mapping[str, Truth]) -> list[dict[str, Any]]:
    """A row for each rule and problem."""
    rules = {name: TopFraction() if prune == "auto" else prune for name, prune in PRUNERS.items()}
    rows = []
    for (rule, pruner), (problem, truth) in itertools.product(rules.items(), truths.items()):
        found = {name: np.array(values) for name, values in of_pruner(truth, pruner).items()}
        rows.append(
            {
                "rule": rule,
                "problem": problem,
                **{name: float(found[name].mean()) for name in ("steps", "of_full", "same", "regret", "excess")},
                "regret_95": float(np.quantile(found["regret"], 0.95)),
            }
        )
    return rows


def suggestions(truths: Mapping[str, Truth]) -> list[dict[str, Any]]:
    """A row for each number of seeds, factor of the grid and problem."""
    rows = []
    for size, (factor, spacing), (problem, truth) in itertools.product((SWEPT_SEEDS, 1), SPACINGS.items(), truths.items()):
        found = list(of_suggestions(truth, spacing, size))
        means = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        rows.append({"seeds": size, "factor": factor, "problem": problem, **means})
    return rows


def curves(truths: Mapping[str, Truth]) -> dict[str, dict[str, Any]]:
    """The true curves, to be drawn."""
    return {
        name: {
            "rates": _rounded(truth.rates),
            "means": _rounded(np.minimum(truth.scores.mean(axis=1), truth.before)),
            "smoothed": _rounded(np.exp(truth.heights)),
            "best": truth.best.rate,
        }
        for name, truth in truths.items()
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.4g}") for value in values]

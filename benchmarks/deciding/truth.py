"""The fine grid with many seeds, which everything is judged by: trained once, thinned, kept as one small file a problem."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jopt
from benchmarks.deciding.problems import Problem

POINTS = 90  # of a run's curve that are kept: a ninth of the run, where rules look first, is ten of them
BITS = 12  # of a loss that are kept, of 23: better than a thousandth
ALIKE = 0.25  # difference of logarithms up to which neighbours on the fine grid are smoothed together


class Best(NamedTuple):
    """Where the smoothed curve is lowest: the rate, its loss, and the deviation of that over seeds."""

    rate: float
    loss: float
    deviation: float


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """What a problem's fine grid came to.

    Attributes:
      rates: [rates].
      losses: [rates, seeds, points], means of the training loss over equal parts of the run.
      diverged: [rates, seeds], the share of the run that was done when a lane diverged; NaN: it did not.
      before: The loss before the first step.
      steps: Of a run.
    """

    rates: np.ndarray
    losses: np.ndarray
    diverged: np.ndarray
    before: float
    steps: int

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """[rates, seeds], the mean loss over the last tenth of a run; infinite where it diverged."""
        return np.where(np.isnan(self.diverged), tenth(self.losses, self.losses.shape[-1]), np.inf)

    @functools.cached_property
    def heights(self) -> np.ndarray:
        """[rates], the logarithm of the mean score over seeds, at most that before the first step, smoothed.

        A point is averaged with its neighbours (1, 2, 1), without those that differ much: a wall stays where it is.
        """
        raw = np.log(np.minimum(self.scores.mean(axis=1), self.before))
        around = np.stack([np.append(raw[0], raw[:-1]), raw, np.append(raw[1:], raw[-1])])
        weights = np.array([[1.0], [2.0], [1.0]]) * (np.abs(around - raw) < ALIKE)
        return (weights * around).sum(axis=0) / weights.sum(axis=0)

    @functools.cached_property
    def best(self) -> Best:
        """The lowest place of the smoothed curve: of the parabola through the lowest point and its neighbours."""
        i = int(np.argmin(self.heights))
        around = slice(max(0, i - 1), i + 2)
        x = np.log(self.rates)
        deviation = float(self.scores[i].std(ddof=1))
        if i in (0, len(x) - 1):
            return Best(float(self.rates[i]), float(np.exp(self.heights[i])), deviation)
        a, b, _ = np.polyfit(x[around] - x[i], self.heights[around], 2)
        return Best(float(np.exp(x[i] - b / (2 * a))), float(np.exp(self.heights[i])), deviation)

    def excess(self, rate: float) -> float:
        """By what share of the least loss that at a rate is above it, on the smoothed curve."""
        height = np.interp(math.log(rate), np.log(self.rates), self.heights)
        return float(np.expm1(height - self.heights.min()))


def tenth(losses: np.ndarray, point: int) -> np.ndarray:
    """The mean over the last tenth of a curve up to a point."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = losses[..., point - -(-point // 10) : point].mean(axis=-1)
    return np.where(np.isfinite(mean), mean, np.inf)


def measure(problem: Problem) -> Truth:
    """Trains the fine grid."""
    result = jopt.sweep(
        problem.loss,
        problem.init,
        problem.optimizer(jopt.choice(*problem.rates.tolist())),
        problem.data(),
        steps=problem.steps,
        batch_size=problem.batch_size,
        seeds=problem.seeds,
        keep="none",
        progress=False,
    )
    losses = np.asarray(result.record.losses["loss"], np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        parts = losses.reshape(*losses.shape[:2], POINTS, -1).mean(axis=-1)
    first = losses[..., 0]
    before = float(np.median(first[np.isfinite(first)]))
    return Truth(problem.rates, parts, np.asarray(result.record.diverged_at) / problem.steps, before, problem.steps)


def path_of(problem: Problem, out: Path) -> Path:
    """Where a problem's truth is kept."""
    return out / "decide" / f"{problem.slug}.npz"


def save(truth: Truth, path: Path) -> None:
    """Keeps it, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with np.errstate(over="ignore"):
        losses = truth.losses.astype(np.float32)
    whole = losses.view(np.uint32)
    cut = (whole & np.uint32(0xFFFFFFFF << (23 - BITS) & 0xFFFFFFFF)).view(np.float32)
    made = path.with_suffix(".part.npz")
    fields = {**dataclasses.asdict(truth), "losses": np.where(np.isnan(losses), np.float32(np.nan), cut)}
    np.savez_compressed(made, **fields)
    made.replace(path)  # whole, or not at all


def load(path: Path) -> Truth:
    """What ``save`` kept."""
    with np.load(path) as saved:
        return Truth(saved["rates"], saved["losses"], saved["diverged"], float(saved["before"]), int(saved["steps"]))


def known(problem: Problem, out: Path) -> Truth | None:
    """The truth of this very problem, where it is there; one of other rates, steps or seeds is not it."""
    path = path_of(problem, out)
    if not path.exists():
        return None
    truth = load(path)
    same = truth.steps == problem.steps and truth.losses.shape[1] == problem.seeds
    return truth if same and np.allclose(truth.rates, problem.rates) else None


def find(problems: Iterable[Problem], out: Path, fresh: bool = False) -> dict[str, Truth]:
    """The truth of each problem, by name: those that are not there yet are trained, and kept one by one."""
    found = {}
    for problem in problems:
        truth = None if fresh else known(problem, out)
        if truth is None:
            begin = time.perf_counter()
            save(measure(problem), path_of(problem, out))
            truth = load(path_of(problem, out))
            told = f"{problem.name}: {truth.best.loss:.3g} at {truth.best.rate:.2g}, in {time.perf_counter() - begin:.0f} s"
            print(told, file=sys.stderr, flush=True)
        found[problem.name] = truth
    return found

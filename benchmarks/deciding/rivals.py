"""Who looks for the best rate: each rival returns its recommendations over time, as (seconds, rate).

All search the same rates of the same problem with the same optimizer, and compile within their time; imports are not counted.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jopt
from benchmarks.deciding import by_hand
from benchmarks.deciding.problems import LOOKS, SWEPT_SEEDS, Problem

Trace = list[tuple[float, float]]
Rival = Callable[[Problem, int, float], Trace]  # (problem, which repetition, seconds that it has)

PRUNERS: dict[str, Any] = {
    "full sweep": None,
    "auto": "auto",
    "SuccessiveHalving": jopt.SuccessiveHalving(),
    "Hyperband": jopt.Hyperband(),
    "MedianStop": jopt.MedianStop(),
    "EarlyStop": jopt.EarlyStop(patience=2),
}


def swept(problem: Problem, prune: Any, repeat: int = 0) -> jopt.SweepResult:
    """The sweep of a problem, three seeds of each rate."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="prune: the learning rate does not decay")
        return jopt.sweep(
            problem.loss,
            problem.init,
            problem.optimizer(jopt.choice(*problem.swept.tolist())),
            problem.data(),
            steps=problem.steps,
            batch_size=problem.batch_size,
            seeds=range(SWEPT_SEEDS * repeat, SWEPT_SEEDS * (repeat + 1)),
            prune=prune,
            progress=False,
        )


def by_sweep(prune: Any) -> Rival:
    """``jopt.sweep(...).suggest()``: one recommendation, at the end."""

    def run(problem: Problem, repeat: int, budget: float) -> Trace:
        begin = time.perf_counter()
        rate = swept(problem, prune, repeat).suggest().value
        return [(time.perf_counter() - begin, rate)]

    return run


def range_test(problem: Problem, repeat: int, budget: float) -> Trace:
    """``jopt.lr_range_test``: the rate that fastai takes, after a hundred steps."""
    begin = time.perf_counter()
    found = jopt.lr_range_test(
        problem.loss,
        problem.init,
        problem.rule(1e-3),
        problem.data(),
        low=problem.low,
        high=problem.high,
        batch_size=problem.batch_size,
        seed=repeat,
    )
    return [(time.perf_counter() - begin, found.valley)]


def by_optuna(pruner: str) -> Rival:
    """Optuna's TPE, one trial after the other, each a new seed; its recommendation is the best finished trial's."""

    def run(problem: Problem, repeat: int, budget: float) -> Trace:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        begin = time.perf_counter()
        rules = {
            "median": lambda: optuna.pruners.MedianPruner(n_warmup_steps=LOOKS // 10),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=LOOKS, reduction_factor=3),
        }
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=repeat), pruner=rules[pruner]())
        step, trace = by_hand.jitted(problem), []
        while time.perf_counter() - begin < budget:
            trial = study.ask()
            rate = trial.suggest_float("learning_rate", problem.low, problem.high, log=True)
            looked = _attempt(trial, by_hand.train(problem, rate, 1000 * repeat + trial.number, step), begin + budget)
            if looked is None:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            elif looked < math.inf:
                study.tell(trial, looked)
                trace.append((time.perf_counter() - begin, study.best_params["learning_rate"]))
        return trace

    return run


def _attempt(trial: Any, losses: Iterator[float], until: float) -> float | None:
    """The last loss of a trial; None where it was pruned or diverged; infinite where there was no time left."""
    loss = math.inf
    for look, loss in enumerate(losses, 1):
        if not math.isfinite(loss):
            return None
        trial.report(loss, look)
        if trial.should_prune():
            return None
        if time.perf_counter() > until:
            return math.inf
    return loss


def by_ray(problem: Problem, repeat: int, budget: float) -> Trace:
    """Ray Tune's ASHA over random rates, as many trials at once as there are cores; starting Ray is not counted."""
    from benchmarks.deciding.ray_tune import asha

    return asha(problem, repeat, budget)


RIVALS: dict[str, Rival] = {
    **{name: by_sweep(prune) for name, prune in PRUNERS.items()},
    "lr_range_test": range_test,
    "Optuna, median": by_optuna("median"),
    "Optuna, Hyperband": by_optuna("hyperband"),
    "Ray, ASHA": by_ray,
}


NEEDED = {"Optuna, median": "optuna", "Optuna, Hyperband": "optuna", "Ray, ASHA": "ray"}


def import_all() -> None:
    """Imports what rivals import, before anybody's time begins."""
    for library in ("scipy.interpolate", "scipy.stats", "optuna", "ray"):
        with contextlib.suppress(ImportError):
            importlib.import_module(library)

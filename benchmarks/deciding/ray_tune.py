"""Ray Tune's ASHA over the same jitted step, in a local Ray."""

from __future__ import annotations

import functools
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.deciding import by_hand
from benchmarks.deciding.problems import LOOKS, Problem

ROOT = Path(__file__).parents[2]
TOO_HIGH = 1e9  # stands for a loss that is not finite, which no scheduler can rank


@functools.cache
def _step_of(problem: Problem) -> Any:
    """The jitted step of a worker process, which trains many trials."""
    return by_hand.jitted(problem)


def _trial(config: dict[str, Any], problem: Problem, repeat: int) -> None:
    from ray import tune

    for loss in by_hand.train(problem, config["learning_rate"], 1000 * repeat + config["seed"], _step_of(problem)):
        tune.report({"loss": loss if math.isfinite(loss) else TOO_HIGH})


def asha(problem: Problem, repeat: int, budget: float) -> list[tuple[float, float]]:
    """Its recommendation is the best trial's that came to its end."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": environment})
    finished: list[tuple[float, float, float]] = []
    begin = time.perf_counter()

    class Watch(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            last = trial.last_result
            if last.get("training_iteration") == LOOKS:
                finished.append((time.perf_counter() - begin, last["loss"], trial.config["learning_rate"]))

    try:
        with tempfile.TemporaryDirectory() as folder:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(_trial, problem=problem, repeat=repeat), {"cpu": 1}),
                param_space={
                    "learning_rate": tune.loguniform(problem.low, problem.high),
                    "seed": tune.randint(0, 1000),
                },
                tune_config=tune.TuneConfig(
                    metric="loss",
                    mode="min",
                    scheduler=ASHAScheduler(max_t=LOOKS, grace_period=LOOKS // 10, reduction_factor=3),
                    num_samples=-1,
                    time_budget_s=budget,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Watch()]),
            ).fit()
    finally:
        ray.shutdown()
    return [(seconds, min(finished[: i + 1], key=lambda each: each[1])[2]) for i, (seconds, _, _) in enumerate(finished)]

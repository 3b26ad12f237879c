"""The sweep against its rivals: every model, 16, 128 and 1,024 lanes, cold and warm."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common, rivals
from benchmarks.models import Model, all_models
from benchmarks.rivals import Run, Task

LANES = (16, 128, 1024)
# Lanes that one-after-another rivals really train; their time is proportional to the lanes.
SAMPLED = {"python_loop": 4, "rebuilt": 2, "pytorch": 2}
RIVALS: dict[str, Callable[[Task], Run]] = {
    "jopt": rivals.sweep_by_jopt,
    "python_loop": rivals.loop_over_step,
    "rebuilt": rivals.rebuilt_per_rate,
    "vmapped_scan": rivals.vmapped_scan,
    "hyperoptax": rivals.hyperoptax_grid,
    "pytorch": rivals.pytorch,
}


def task_of(model: Model, lanes: int, quick: bool) -> Task:
    """The sweep of a model over learning rates from 1e-4 to 1e-1."""
    return Task(model, np.geomspace(1e-4, 1e-1, lanes), max(2, model.steps // 10) if quick else model.steps)


def part_of(task: Task, name: str) -> tuple[Task, float]:
    """What a rival is measured on, and by what its time is multiplied."""
    lanes = min(len(task.rates), SAMPLED.get(name, len(task.rates)))
    return dataclasses.replace(task, rates=task.rates[:lanes]), len(task.rates) / lanes


def available() -> dict[str, Callable[[Task], Run]]:
    """The rivals whose libraries are installed."""
    missing = {name for name in ("hyperoptax", "pytorch") if common.version(name.replace("pytorch", "torch")) is None}
    return {name: make for name, make in RIVALS.items() if name not in missing}


def measure(task: Task, times: int, cold_times: int) -> dict[str, Any]:
    """One row: seconds of each rival, cold and warm, for all lanes of the task."""
    warm, cold, last = {}, {}, {}
    runs: dict[str, Run] = {}
    scales: dict[str, float] = {}
    for name, make in available().items():
        part, scales[name] = part_of(task, name)
        runs[name] = make(part)
    with common.no_plans():
        for name in ("jopt", "vmapped_scan"):
            cold[name] = [_cold(RIVALS[name], task) for _ in range(cold_times)]
        for name, run in runs.items():
            last[name] = [float(x) for x in np.asarray(run()).ravel()]
        for name, taken in common.interleave(runs, times).items():
            warm[name] = [t * scales[name] for t in taken]
    gains = {name: common.ratio(taken, warm["jopt"]) for name, taken in warm.items() if name != "jopt"}
    return {
        "model": task.model.name,
        "lanes": len(task.rates),
        "steps": task.steps,
        "warm_s": {name: statistics.median(t) for name, t in warm.items()},
        "best_s": {name: min(t) for name, t in warm.items()},
        "cold_s": {name: statistics.median(t) for name, t in cold.items()},
        "gain": gains,
        "cold_ratio": statistics.median(cold["jopt"]) / statistics.median(cold["vmapped_scan"]),
        "lane_step_us": 1e6 * statistics.median(warm["jopt"]) / (len(task.rates) * task.steps),
        "first_lane_loss": {name: losses[0] for name, losses in last.items()},
    }


def _cold(make: Callable[[Task], Run], task: Task) -> float:
    with common.no_plans():
        return common.seconds(make(task.fresh()))


def lane_efficiency(model: Model, quick: bool, times: int) -> dict[str, Any]:
    """``K t(1) / t(K)`` for growing K: how much side by side gains over one after another."""
    steps = task_of(model, 1, quick).steps
    widths = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k * steps <= model.lane_steps]
    runs = {str(k): rivals.sweep_by_jopt(task_of(model, k, quick)) for k in widths}
    for run in runs.values():
        run()
    taken = common.interleave(runs, times)
    one = statistics.median(taken["1"])
    return {"model": model.name, "lanes": widths, "efficiency": [k * one / statistics.median(taken[str(k)]) for k in widths]}


def main(quick: bool, out: Path, times: int) -> Path:
    """Measures the table and the curves."""
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for model in all_models():
        for lanes in model.lanes(LANES[:1] if quick else LANES, model.steps):
            rows.append(measure(task_of(model, lanes, quick), times, 1 if quick else 3))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
            common.save("sweep", rows, out, efficiency=curves)
        curves.append(lane_efficiency(model, quick, min(times, 3)))
    return common.save("sweep", rows, out, efficiency=curves)


def _line(row: dict[str, Any]) -> str:
    gains = ", ".join(f"{name} {gain:.2f}" for name, gain in row["gain"].items())
    return f"{row['model']} x {row['lanes']}: {row['warm_s']['jopt']:.3f} s warm; faster than {gains}"

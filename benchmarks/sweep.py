"""The sweep against its rivals: every model, 16, 128 and 1,024 lanes, cold and warm."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common, rivals
from benchmarks.models import Model, Task, all_models
from benchmarks.rivals import Run

# Lanes and steps that one-after-another rivals really train: their time is proportional to the lanes, and to the steps where
# they do not compile anew for each lane.
SAMPLED: dict[str, tuple[int, int]] = {"python_loop": (4, 2_000), "rebuilt": (1, 10**9), "pytorch": (2, 2_000)}
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
    steps = model.steps.get(lanes, model.steps[16])
    return Task(model, np.geomspace(1e-4, 1e-1, lanes), max(2, steps // 10) if quick else steps)


def tasks(quick: bool, most_lanes: int = 1024) -> list[Task]:
    """Every row of the table, the lightest model first; quickly, those of 16 lanes."""
    return [task_of(m, k, quick) for m in all_models() for k in m.steps if k <= (16 if quick else most_lanes)]


def part_of(task: Task, name: str) -> tuple[Task, float]:
    """What a rival is measured on, and by what its time is multiplied."""
    lanes, steps = (min(pair) for pair in zip(SAMPLED.get(name, (10**9, 10**9)), (len(task.rates), task.steps), strict=True))
    part = dataclasses.replace(task, rates=task.rates[:lanes], steps=steps)
    return part, len(task.rates) * task.steps / (lanes * steps)


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
            last[name] = [float(x) for x in np.asarray(run()).ravel()[:1]]
        times = common.repeats(times, max(map(common.seconds, runs.values())))
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
        "first_lane_loss": {
            name: losses[0] for name, losses in last.items() if SAMPLED.get(name, (0, task.steps))[1] >= task.steps
        },
    }


def _cold(make: Callable[[Task], Run], task: Task) -> float:
    common.forget_compiled()
    with common.no_plans():
        return common.seconds(make(task.fresh()))


def lane_efficiency(model: Model, quick: bool, times: int) -> dict[str, Any]:
    """``K t(1) / t(K)`` for growing K: how much side by side gains over one after another."""
    widths = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= max(model.steps)]
    steps = max(2, task_of(model, 16, quick).steps // 4)
    runs = {str(k): rivals.sweep_by_jopt(dataclasses.replace(task_of(model, k, quick), steps=steps)) for k in widths}
    for run in runs.values():
        run()
    taken = common.interleave(runs, times)
    one = statistics.median(taken["1"])
    return {"model": model.name, "lanes": widths, "efficiency": [k * one / statistics.median(taken[str(k)]) for k in widths]}


def main(quick: bool, out: Path, times: int, only: Sequence[str] = ()) -> Path:
    """Measures the table and the curves; or the rows named, and leaves all else as it is."""
    path = common.result_path("sweep", out)
    kept = common.load(path) if only and path.exists() else {"rows": [], "efficiency": []}
    rows, curves = {common.label(row): row for row in kept["rows"]}, kept["efficiency"]
    todo = {task.label: task for task in tasks(quick)}

    def save() -> Path:
        return common.save("sweep", [rows[name] for name in todo if name in rows], out, efficiency=curves)

    for name in [name for name in todo if name in only or not only]:
        rows[name] = measure(todo[name], times, 1 if quick else 3)
        print(_line(rows[name]), file=sys.stderr, flush=True)
        save()
    if not only:
        curves = [lane_efficiency(model, quick, min(times, 3)) for model in all_models()]
    return save()


def _line(row: dict[str, Any]) -> str:
    gains = ", ".join(f"{name} {gain:.2f}" for name, gain in row["gain"].items())
    return f"{common.label(row)}: {row['warm_s']['jopt']:.3f} s warm; faster than {gains}"

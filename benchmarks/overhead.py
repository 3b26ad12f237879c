"""What jopt adds: the sweep against its own plan written by hand, import, compilation, the first result."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import jopt
from benchmarks import common, rivals
from benchmarks.models import Model, Task, all_models
from benchmarks.search import ByHand, by_hand
from benchmarks.sweep import task_of

LASTING_S = 1.5  # how long a sweep is that its bookkeeping is measured on
KEPT_BYTES = 100 * 2**20  # of losses at most

FIRST_RESULT = """
import json, time
begin = time.perf_counter()
import jax, jax.numpy as jnp, optax
jax_s = time.perf_counter() - begin
import jopt
import_s = time.perf_counter() - begin
rates = jopt.geomspace(1e-3, 1.0, 16)
result = jopt.sweep(lambda w, _: jnp.sum(w**2), jnp.ones(2), jopt.adam(rates), steps=100, progress=False)
result.best()
print(json.dumps({"jax_and_optax_s": jax_s, "jopt_s": import_s - jax_s, "first_result_s": time.perf_counter() - begin}))
"""


def bookkeeping(model: Model, quick: bool, times: int) -> dict[str, Any]:
    """The sweep against the plan that it chose, written by hand with Optax."""
    task = task_of(model, 16, quick)
    result = _planned(task)
    if not quick:
        task = _lasting(task)
    plan = result.plan
    chosen = jopt.Plan(plan.width, plan.chunk, plan.loop, plan.workers)
    hand = ByHand(plan.width or 1, plan.loop or "scan", plan.workers or 1)
    runs = {"jopt": rivals.sweep_by_jopt(task, chosen), "by_hand": by_hand(task, hand)}
    for run in runs.values():
        for _ in range(2):
            run()
    taken = common.interleave(runs, times)
    return {
        "model": model.name,
        "lanes": len(task.rates),
        "steps": task.steps,
        "plan": str(hand),
        "jopt_s": statistics.median(taken["jopt"]),
        "by_hand_s": statistics.median(taken["by_hand"]),
        "ratio": common.ratio(taken["by_hand"], taken["jopt"]),
        "compile_s": result.timings.compile_s,
        "call_ms": 1e3 * call_s(task, chosen, times),
    }


def call_s(task: Task, plan: jopt.Plan, times: int) -> float:
    """Seconds of a warm call with two steps: tracing, finding what was compiled, starting blocks, making the result."""
    run = rivals.sweep_by_jopt(dataclasses.replace(task, steps=2), plan)
    for _ in range(2):
        run()
    return statistics.median(common.seconds(run) for _ in range(max(times, 7)))


def _lasting(task: Task) -> Task:
    """The same with so many steps that it takes ``LASTING_S``, or keeps ``KEPT_BYTES`` of losses."""
    run = rivals.sweep_by_jopt(task)
    run()
    times = math.ceil(LASTING_S / min(common.seconds(run) for _ in range(2)))
    return dataclasses.replace(task, steps=min(times * task.steps, KEPT_BYTES // (4 * len(task.rates))))


def _planned(task: Task) -> Any:
    """The sweep as it plans itself, with nothing remembered."""
    model = task.model
    optimizer = jopt.adam(jopt.choice(*task.rates.tolist()))
    options = {"steps": task.steps, "batch_size": model.batch_size, "progress": False}
    with common.no_plans():
        return jopt.sweep(model.loss, task.params, optimizer, model.data, **options)


def first_result(times: int) -> dict[str, float]:
    """Seconds of importing and of a first small sweep, in processes of their own; medians."""
    outputs = []
    for _ in range(times):
        done = subprocess.run([sys.executable, "-c", FIRST_RESULT], capture_output=True, text=True, check=True)
        outputs.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(o[name] for o in outputs) for name in outputs[0]}


def main(quick: bool, out: Path, times: int) -> Path:
    """Measures every model at 16 lanes, and the way to a first result."""
    rows = []
    for model in all_models():
        rows.append(bookkeeping(model, quick, times))
        print(f"{model.name}: {rows[-1]['ratio']:.2f} of {rows[-1]['plan']} by hand", file=sys.stderr, flush=True)
    return common.save("overhead", rows, out, first_result=first_result(1 if quick else times))

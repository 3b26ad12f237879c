"""What ``checkpoint=`` costs: the same sweep with it and without, saved thirty times as often as by default."""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jopt
from benchmarks import common

EVERY_S = 2.0  # a wave costs the same at the default of 60 s, of which there are as many fewer
DEFAULT_S = 60.0
LASTING_S = 10.0  # of a run
LANES = 8
HIDDEN = {1: 82, 10: 820, 100: 8192}  # by the MB of all states: two matrices with 64 at one side, Adam's moments beside them

X = np.random.default_rng(0).normal(size=(512, 64)).astype(np.float32)


def loss(w: Any, x: Any) -> Any:
    """An autoencoder without a bend: its steps are cheap for the size of its state, so that saving weighs most."""
    return jnp.mean((x - x @ w["in"] @ w["out"]) ** 2)


def init(hidden: int) -> Callable[[Any], Any]:
    """Parameters of a width."""
    return lambda key: {
        "in": jax.random.normal(key, (64, hidden)) / 8,
        "out": jax.random.normal(key, (hidden, 64)) / math.sqrt(hidden),
    }


def sweep(hidden: int, steps: int, kept: bool) -> tuple[float, float]:
    """Seconds of a sweep, and seconds of all its threads."""
    optimizer = jopt.adam(jopt.geomspace(1e-4, 1e-3, LANES))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = jopt.Checkpoint(folder, every=EVERY_S) if kept else None
        begin, used = time.perf_counter(), time.process_time()
        options = {"steps": steps, "batch_size": 32, "record_every": 10, "progress": False, "checkpoint": checkpoint}
        jopt.sweep(loss, init(hidden), optimizer, X, plan=jopt.Plan(width=4, workers=2), **options)
        return time.perf_counter() - begin, time.process_time() - used


def measured(megabytes: int, quick: bool, times: int) -> dict[str, Any]:
    """A row: what is taken in turn, with and without."""
    hidden, steps = HIDDEN[megabytes], 100
    while (taken := min(sweep(hidden, steps, False)[0] for _ in range(2))) < LASTING_S / (20 if quick else 4):
        steps *= 2
    steps = int(steps * LASTING_S / taken) if not quick else steps
    runs: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for i in range(times):
        for kept in (True, False) if i % 2 else (False, True):
            runs[kept].append(sweep(hidden, steps, kept))
    walls, cpus = ({kept: [each[k] for each in runs[kept]] for kept in runs} for k in (0, 1))
    ratio, best = common.ratio(walls[True], walls[False]), min(walls[True]) / min(walls[False])
    waves = max(1.0, statistics.median(walls[False]) / EVERY_S) + 1  # and the one at the end

    def share(more: float) -> float:
        """Of a run by the default interval, in percent."""
        return 100 * more * statistics.median(walls[False]) / waves / DEFAULT_S

    return {
        "model": f"{megabytes} MB of states",
        "lanes": LANES,
        "steps": steps,
        "plain_s": statistics.median(walls[False]),
        "kept_s": statistics.median(walls[True]),
        "ratio": ratio,
        "best_ratio": best,
        "cpu_ratio": common.ratio(cpus[True], cpus[False]),
        "default_percent": share(ratio - 1),
        "default_best_percent": share(best - 1),
    }


def main(quick: bool, out: Path, times: int) -> Path:
    """Measures states of three sizes."""
    rows = []
    for megabytes in HIDDEN:
        rows.append(measured(megabytes, quick, times))
        print(f"{rows[-1]['model']}: {rows[-1]['default_percent']:.2f} % at the default", file=sys.stderr, flush=True)
    return common.save("checkpoint", rows, out, every_s=EVERY_S)

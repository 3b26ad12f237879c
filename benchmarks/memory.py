"""The memory of a sweep: its peak against what its live lanes need, and ten thousand lanes of which a hundred fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import common

SIZES = (784, 1024, 1024, 10)  # 1.9 million parameters: 7.4 MB, 22 MB with Adam's moments
EXAMPLES, BATCH = 4096, 64


def child(lanes: int, width: int, fits: int | None, quick: bool) -> dict[str, Any]:
    """One sweep in this process, twice: the first compiles, of the second the peak is measured.

    ``fits``: how many lanes the device is made to believe that it holds; ``None``: what it has.
    """
    import jopt
    from benchmarks.models import mlp, mlp_init
    from jopt.engine import machine
    from jopt.engine.planning import fitting

    sizes = (64, 10) if fits else SIZES
    params = mlp_init(sizes, jax.random.key(0))
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(EXAMPLES, sizes[0])).astype(np.float32), rng.integers(0, 10, EXAMPLES).astype(np.int32))
    lane = 3 * sum(x.nbytes for x in jax.tree.leaves(params))  # parameters and two moments
    if fits:
        fitting.UNDOUBTED = 0.0
        machine.budget = lambda device: 2.0 * 4 * lane * fits  # as the widest block of one worker, of two, takes it
    plan = jopt.Plan(width=None if fits else width, workers=2)
    optimizer = jopt.adam(jopt.geomspace(1e-5, 1e-2, lanes))

    def run(steps: int) -> Any:
        return jopt.sweep(mlp, params, optimizer, data, steps=steps, batch_size=BATCH, plan=plan, record_every=steps)

    with common.no_plans():
        result = run(2 if quick else 10)
        chosen, results = result.plan.width, sum(x.nbytes for x in jax.tree.leaves(result.params))
        finite = bool(np.isfinite(result.record.losses["loss"]).all())
        del result
        before = reset_peak()
        run(2 if quick else 10)
        peak = status("VmHWM") - before
    live = min(lanes, 2 * chosen)
    step = lane + lane // 3 + 4 * BATCH * sum(sizes[1:])  # and gradients, and what the layers put out
    needed = live * step + sum(x.nbytes for x in data) + results
    return {
        "parameters": lane // 12,
        "lanes": lanes,
        "width": chosen,
        "peak_mb": peak / 2**20,
        "needed_mb": needed / 2**20,
        "of_it_result_mb": results / 2**20,
        "ratio": peak / needed,
        "finite": finite,
    }


def reset_peak() -> int:
    """Sets the process's high-water mark to what it uses now, and returns that."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(name: str) -> int:
    """One of the sizes that the system knows of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def main(quick: bool, out: Path, times: int) -> Path:
    """Measures each case in a process of its own (Linux only: other systems do not let a process reset its peak)."""
    cases: list[tuple[int, int, int | None]] = [
        (16, 1, None),
        (16, 4, None),
        (16, 8, None),
        (1_000 if quick else 10_000, 0, 100),
    ]
    rows = []
    for case in cases:
        code = f"import json; from benchmarks import memory; print(json.dumps(memory.child(*{case!r}, {quick})))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    return common.save("memory", rows, out)

"""Time and memory of a sweep against lanes, steps and processes, and how many blocks per second its driver hands out.

Beside the clock's seconds stand those that processors worked for it, which a busy machine changes less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import common
from benchmarks.memory import reset_peak, status

LANES, STEPS, SHARED = (100, 1_000, 10_000, 100_000), (100, 1_000, 10_000), 100_000
DRIVER = ((2, 1, 2_000), (2, 100, 1_000), (64, 1, 2_000), (64, 100, 1_000))  # workers, lanes of a block, blocks


def valley(params: Any, batch: Any) -> Any:
    """Rosenbrock's function of two numbers: the smallest model there is."""
    x, y = params
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def tiny(lanes: int, steps: int, **words: Any) -> Any:
    """A sweep of so many tiny lanes."""
    import jopt

    optimizer = jopt.adam(jopt.geomspace(1e-5, 1e-1, lanes))
    start = jnp.float32(-1.0), jnp.float32(1.0)
    return jopt.sweep(valley, start, optimizer, steps=steps, progress=False, **words)


def child(lanes: int, steps: int) -> dict[str, Any]:
    """One sweep in this process, twice: the first compiles and measures plans, of the second the peak is measured."""
    tiny(2, 2).to_pandas()
    with common.no_plans():
        first = common.seconds(lambda: tiny(lanes, steps))
        before = reset_peak()
        begin, worked = time.perf_counter(), time.process_time()
        result = tiny(lanes, steps)
        again, worked = time.perf_counter() - begin, time.process_time() - worked
        peak = status("VmHWM") - before
    begin = time.process_time()
    result.best(), result.to_pandas()
    read = time.process_time() - begin
    return {
        "lanes": lanes,
        "steps": steps,
        "first_s": first,
        "again_s": again,
        "again_cpu_s": worked,
        "lane_steps_per_cpu_s": lanes * steps / worked,
        "read_cpu_s": read,
        "peak_mb": peak / 2**20,
        "losses_mb": result.record.losses["loss"].nbytes / 2**20,
        "plan": str(result.plan),
    }


def share(index: int, count: int, steps: int) -> dict[str, Any]:
    """The part of one of several processes that start together: how long it takes from its first line to its last."""
    lanes = len(np.array_split(np.arange(SHARED), count)[index])
    begin, worked = time.perf_counter(), time.process_time()
    tiny(lanes, steps)
    return {"seconds": time.perf_counter() - begin, "cpu_s": time.process_time() - worked}


class Simulated:
    """A worker that has done a block as soon as it is asked: what is left is the driver."""

    def __init__(self, runtime: Any, slot: Any) -> None:
        self.kinds = jax.tree.leaves(runtime.analysis.carry)
        self.names = [name for name, _ in runtime.analysis.step.metrics]
        self.common = runtime.analysis.common

    def __call__(self, block: Any, until: int, plan: Any) -> Any:
        """See ``jopt.engine.running.worker.Worker``."""
        from jopt.engine.lanes.records import BlockOutcome

        count, first = until - block.step, block.step
        each = zip(self.kinds, self.common, strict=True)
        block.carry = [np.zeros((*(() if same else block.lead), *x.shape), x.dtype) for x, same in each]
        block.step = until
        found = {name: np.zeros((count, *block.lead), np.float32) for name in self.names}
        return BlockOutcome(block, [(first, count, found)], [])

    def close(self) -> None:
        """Nothing to end."""


def driver(workers: int, width: int, blocks: int) -> dict[str, Any]:
    """Blocks per second that the caller's thread forms, hands out, hears of and records, with workers that cost nothing."""
    import jopt
    from jopt.engine.running.carry_out import Sweep

    Sweep.make_worker = Simulated
    plan = jopt.Plan(width=width, chunk=10, loop="scan", workers=workers)
    tiny(width * workers, 10, plan=plan)
    begin, worked = time.perf_counter(), time.process_time()
    result = tiny(width * blocks, 10, plan=plan)
    seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    assert int(result.record.steps_done.sum()) == 10 * width * blocks
    made = {"workers": workers, "width": width, "blocks": blocks, "seconds": seconds, "cpu_s": worked}
    return {**made, "blocks_per_cpu_s": blocks / worked}


def _started(call: str) -> subprocess.Popen[str]:
    code = f"import json; from benchmarks import scale; print(json.dumps(scale.{call}))"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"A child ended with {process.returncode}.")
    return dict(json.loads(text.splitlines()[-1]))


def _measured(case: str, call: str) -> dict[str, Any]:
    row = {"case": case, **_read(_started(call)), "load": round(os.getloadavg()[0], 1)}
    print(row, file=sys.stderr, flush=True)
    return row


def _side_by_side(count: int, steps: int) -> dict[str, Any]:
    """Several processes, each with its part of the lanes; they share nothing, as slices of a job array."""
    begin = time.perf_counter()
    started = [_started(f"share({i}, {count}, {steps})") for i in range(count)]
    found = [_read(each) for each in started]
    wall = time.perf_counter() - begin
    longest, worked = max(each["seconds"] for each in found), sum(each["cpu_s"] for each in found)
    row = {"case": "processes", "processes": count, "lanes": SHARED, "steps": steps, "wall_s": wall}
    row |= {"longest_s": longest, "cpu_s": worked}
    print(row, file=sys.stderr, flush=True)
    return {**row, "load": round(os.getloadavg()[0], 1)}


def main(quick: bool, out: Path, times: int) -> Path:
    """Measures each case in a process of its own (Linux only: other systems do not let a process reset its peak)."""
    lanes, steps = (LANES[:2], STEPS[:2]) if quick else (LANES, STEPS)
    rows = [_measured("lanes", f"child({n}, 100)") for n in lanes]
    rows += [_measured("steps", f"child(1_000, {n})") for n in steps]
    rows += [_side_by_side(n, 100) for n in ((1, 2) if quick else (1, 2, 4))]
    rows += [_measured("driver", f"driver({w}, {width}, {n // 10 if quick else n})") for w, width, n in DRIVER]
    return common.save("scale", rows, out)

"""Chooses a plan: a rule of thumb proposes, chunks of the real run measure.

What is measured is the throughput of all workers together, in lane-steps per second, on chunks that count: the lanes
keep what they have learned, and go on in other blocks. Compiling is the price of a candidate, so a sweep that would be
over by then does not try it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from jopt.engine.compiled.analysis import Analysis
from jopt.engine.compiled.blocks import Block
from jopt.engine.lanes.cutting import cut
from jopt.engine.lanes.store import Store
from jopt.engine.planning import limits, memory
from jopt.engine.planning.plan import Plan
from jopt.engine.running import pool
from jopt.engine.running.runner import Job

CACHE_BYTES = 2**20  # what a block's carries may take of a core's cache
LIGHT_FLOPS = 32e6  # what the lanes of a block may compute in a step before width brings nothing more
MANY_ARRAYS, SMALL_ARRAY = 100, 4096  # of a carry, and the bytes of each: XLA's threads share their many small operations
# Of all lanes in a step: less is not worth a second worker. Rosenbrock's function with 1,024 lanes (71 kflop, 28 kB) and
# logistic regression with 16 (81 kflop, 6 kB) were quicker in one block than in two side by side.
TINY_FLOPS, TINY_BYTES = 1e5, 32 * 1024
WORTH = 12.0  # a candidate is tried while the rest of the run takes this many times what compiling it does
LONGER = 2.0  # a run so many times longer than the one that chose a plan looks further
BLOCK_S = 0.003  # what it takes to start a block and to bring it home, one after another whatever the workers
ARRAY_S = 2e-5  # the same for each array of its carry, where that is more
BLOCK_SHARE = 16.0  # so many times as long a block should run
CORE_FLOPS, CORE_BYTES = 5e10, 1e10  # per second of one core, about
TRIAL_S = 0.03  # how long a candidate is measured about


def explore(job: Job, asked: Plan, devices: Sequence[Any], store: Store) -> Plan:
    """The plan for a job: what was asked for, completed by memory, rule of thumb and measurement."""
    base = dataclasses.replace(asked, workers=len(devices))
    candidates = propose(job, base, devices)
    best = dataclasses.replace(candidates[0], reason=candidates[0].reason or "as asked for")
    if len(candidates) == 1:
        return best
    key = memory.key(job, base, devices)
    known = memory.recall(key)
    if known is not None:
        found = _again(job, base, known, devices)
        if known.explored or job.lanes * job.steps <= LONGER * known.lane_steps:
            return found  # the same sweep once more measures nothing
        candidates = [found, *(c for c in candidates if (c.width, c.loop) != (found.width, found.loop))]
    return _measure(job, candidates, devices, store, key)


def _again(job: Job, base: Plan, known: memory.Known, devices: Sequence[Any]) -> Plan:
    """A plan that was measured before, within what was asked for and the memory that is free now."""
    loop = base.loop or known.loop
    width = min(known.width, base.width or job.lanes)
    if base.width is None:
        width = limits.widest(job, width, loop, devices)
    return dataclasses.replace(base, width=width, loop=loop, reason="measured before")


def _measure(job: Job, candidates: Sequence[Plan], devices: Sequence[Any], store: Store, key: str) -> Plan:
    tried: list[tuple[float, Plan]] = []
    waiting = list(candidates)
    while waiting:
        candidate, compiled_before = waiting.pop(0), job.compile_s
        try:
            throughput = trial(job, candidate, devices, store)
        except Exception as error:
            if not limits.is_out_of_memory(error) or candidate.width == 1:
                raise
            job.stop.clear()
            waiting.insert(0, dataclasses.replace(candidate, width=(candidate.width or 2) // 2))
            continue
        tried.append((throughput, candidate))
        tried.sort(key=lambda pair: -pair[0])
        compile_s = max(job.compile_s - compiled_before, 0.05)
        explored = not waiting
        fastest = tried[0][1]
        lane_steps = job.lanes * job.steps
        memory.remember(key, memory.Known(fastest.width or 1, fastest.loop, tried[0][0], compile_s, explored, lane_steps))
        if not _worth(job, tried[0][0], compile_s):
            break
    best = tried[0][1]
    if len(tried) == 1:
        reason = f"{best.reason}; the rest of the run is too short to try others"
    else:
        others = ", ".join(f"{t:,.0f} with width {c.width} ({c.loop})" for t, c in tried[1:])
        reason = f"measured {tried[0][0]:,.0f} lane-steps per second against {others}"
    return dataclasses.replace(best, reason=reason)


def _worth(job: Job, throughput: float, compile_s: float) -> bool:
    done = int(job.records.steps_done.sum())
    return (job.lanes * job.steps - done) / throughput > WORTH * compile_s


def propose(job: Job, base: Plan, devices: Sequence[Any]) -> list[Plan]:
    """Plans by the kind of model and device, the most promising first; what was asked for stays."""
    rule = _on_cpu if devices[0].platform == "cpu" else _on_accelerator
    pairs = rule(job.analysis, job.space.size, len(job.seeds), job.steps, len(devices))
    pairs = [(base.width or width, base.loop or loop, why) for width, loop, why in pairs]
    if base.width is not None and base.loop is not None:
        return [dataclasses.replace(base, reason="as asked for")]
    unique: dict[tuple[int, str], Plan] = {}
    for asked_width, loop, why in pairs:
        width = asked_width if base.width is not None else limits.widest(job, asked_width, loop, devices)
        whole = _whole_width(job, width, len(devices))
        unique.setdefault((whole, loop), dataclasses.replace(base, width=width, loop=loop, reason=why))  # type: ignore[arg-type]
    return list(unique.values())


def _whole_width(job: Job, width: int, workers: int) -> int:
    settings, seeds = cut(job.space.size, len(job.seeds), width, workers)[0]
    return len(settings) * len(seeds)


def _on_cpu(analysis: Analysis, settings: int, seeds: int, steps: int, workers: int) -> list[tuple[int, str, str]]:
    if analysis.convolutions:
        return [(1, "host", "convolutions in a compiled loop lose their fast path on CPUs")]
    share = max(1, -(-settings * seeds // workers))
    every = settings * seeds
    if every * analysis.flops < TINY_FLOPS and every * analysis.carry_bytes < TINY_BYTES:
        return [
            (every, "scan", "all lanes together are little work for one core"),
            (share, "scan", "an equal share each"),
        ]
    arrays = len(analysis.common)
    if arrays > MANY_ARRAYS and analysis.carry_bytes < SMALL_ARRAY * arrays:
        return [(every, "scan", f"XLA's own threads share the operations on {arrays} small arrays"), (share, "scan", "")]
    fitting = min(CACHE_BYTES / max(1, analysis.carry_bytes), LIGHT_FLOPS / max(1.0, analysis.flops))
    lane_s = steps * (analysis.flops / CORE_FLOPS + analysis.carry_bytes / CORE_BYTES)
    lasting = BLOCK_SHARE * _block_s(analysis) / max(lane_s, 1e-9)
    width = min(share, 2 ** int(np.log2(max(1.0, fitting, lasting))))
    if width == share:
        return [
            (share, "scan", "light lanes, an equal share for each worker"),
            (every, "scan", "all lanes at once"),
        ]
    why = f"{width} lanes of {analysis.carry_bytes / 1024:,.0f} kB and {analysis.flops / 1e6:,.1f} Mflop fill a core"
    if lasting > max(1.0, fitting):
        why = f"with {steps} steps a lane, narrower blocks would cost more to start"
    return [(w, "scan", why) for w in (width, min(share, 2 * width), max(1, width // 2))]


def _block_s(analysis: Analysis) -> float:
    return max(BLOCK_S, ARRAY_S * len(analysis.common))


def _on_accelerator(analysis: Analysis, settings: int, seeds: int, steps: int, workers: int) -> list[tuple[int, str, str]]:
    lanes = max(1, -(-settings * seeds // workers))
    why = "an accelerator runs all lanes in one call until it is full"
    loops = ["host", "scan"] if analysis.convolutions else ["scan"]
    return [(lanes, loop, why) for loop in loops] + [(max(1, lanes // 4), loops[0], why)]


def trial(job: Job, plan: Plan, devices: Sequence[Any], store: Store) -> float:
    """The lane-steps per second of a whole run by a plan, judged by the pace of the lanes that have done least."""
    blocks = cut(job.space.size, len(job.seeds), plan.width or 1, len(devices))
    behind = sorted(blocks, key=lambda lanes: _steps(store, lanes)[1])[: len(devices)]
    barrier, paces = threading.Barrier(len(behind)), []
    whole = max(len(settings) for settings, _ in blocks)

    def measure(settings: np.ndarray, seeds: np.ndarray, device: Any) -> None:
        block = store.level(settings, seeds, whole, plan, device)
        try:
            alone = _pace(job, block, plan, device)
            _wait(barrier)
            paces.append(_pace(job, block, plan, device, *alone)[0])
        except BaseException:
            barrier.abort()
            store.drop(settings, seeds)  # their carries are lost: these lanes begin again
            job.records.forget(settings, seeds)
            raise
        store.take(block)

    pool.run_all([functools.partial(measure, *lanes) for lanes in behind], devices, job.stop, job.caller)
    rounds = -(-len(blocks) // len(devices))
    whole_s = job.steps * float(np.mean(paces)) * rounds + _block_s(job.analysis) * len(blocks)
    return job.lanes * job.steps / whole_s


def _pace(job: Job, block: Block, plan: Plan, device: Any, pace: float = 1.0, length: int = 2) -> tuple[float, int]:
    """Seconds per step of the quickest chunk, and how long the last was: they grow from ``length`` steps to about ``TRIAL_S``.

    The first may have to be compiled. ``pace`` is kept where no step is left.
    """
    for attempt in itertools.count():
        quiet = max(1, job.next_evaluation(block.step) - 1 - block.step)
        done = min(length, quiet, plan.chunk or length, job.length, job.steps - block.step)
        if done < 1:
            return pace, length
        took = job.run(block, block.step + done, plan.loop or "scan", done, device)
        pace = min(pace, max(took, 1e-9) / done)
        if attempt > 1 and (done < length or took > TRIAL_S / 2):
            return pace, done
        length = max(2, int(done * min(4.0, TRIAL_S / took)))
    raise AssertionError


def _wait(barrier: threading.Barrier) -> None:
    try:
        barrier.wait(timeout=60)
    except threading.BrokenBarrierError:
        time.sleep(0)  # another worker failed, and its error is the one to report


def _steps(store: Store, lanes: tuple[np.ndarray, np.ndarray]) -> tuple[int, int]:
    steps = [store.step(int(k), int(s)) for k in lanes[0] for s in lanes[1]]
    return min(steps), max(steps)

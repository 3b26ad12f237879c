"""Chooses a plan: a rule of thumb proposes, chunks of the real run measure.

What is measured is the throughput of all workers together, in lane-steps per second, on chunks that count: the lanes
keep what they have learned, and go on in other blocks. Compiling is the price of a candidate, so a sweep that would be
over by then does not try it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jopt.engine import machine
from jopt.engine.compiled.analysis import Analysis
from jopt.engine.job import block_shape
from jopt.engine.planning import fitting, remembered
from jopt.engine.planning.plan import Plan

# What the lanes of a block may carry, and compute in a step, before width brings nothing more. On a CPU with 1 MB of
# second-level cache for each core, such blocks were the quickest or within 4 % of that: 64 of softmax regression and of the
# MLP 64-32-10, 4 of the MLP 64-256-256-10 (one lane at a time took 1.05 to 1.23 of it, all at once 1.2 to 1.6), 8 of the
# transformer.
CACHE_BYTES, LIGHT_FLOPS = 2**22, 128e6
WORTH = 12.0  # a candidate is tried while the rest of the run takes this many times what compiling it does: it may gain 8 %
LONGER = 2.0  # a run so many times longer than the one that chose a plan looks further
# What it takes to start a block and to bring it home, one after another whatever the workers: measured with 4 to 769 arrays.
BLOCK_S, ARRAY_S = 5e-4, 1.2e-5
BLOCK_SHARE = 16.0  # so many times as long a block should run: starting blocks may take 6 %
CORE_FLOPS, CORE_BYTES = 5e10, 1e10  # per second of one core, about; they only tell short runs from others
LEAST_COMPILE_S = 0.05  # what compiling counts at least, where it was done before


class Measure(Protocol):
    """Measures plans on chunks of the real run."""

    def __call__(self, plan: Plan) -> float:
        """The lane-steps per second of a whole run by a plan; raises where it does not fit."""
        ...

    @property
    def compile_s(self) -> float:
        """The seconds of compiling so far."""
        ...

    @property
    def left(self) -> int:
        """The lane-steps that are left."""
        ...

    def block_bytes(self, width: int, loop: str) -> float:
        """What a block takes while it runs."""
        ...


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is planned: what a lane is like, how many there are, and who runs them."""

    analysis: Analysis
    settings: int
    seeds: int
    steps: int
    devices: Sequence[Any]

    @property
    def lanes(self) -> int:
        return self.settings * self.seeds


def explore(problem: Problem, asked: Plan, measure: Measure) -> Plan:
    """The plan for a job: what was asked for, completed by memory, rule of thumb and measurement."""
    base = dataclasses.replace(asked, workers=len(problem.devices))
    candidates = propose(problem, base, measure)
    best = dataclasses.replace(candidates[0], reason=candidates[0].reason or "as asked for")
    if len(candidates) == 1:
        return best
    key = remembered.key(problem.analysis.fingerprint, problem.settings, problem.seeds, base, problem.devices)
    known = remembered.recall(key)
    if known is not None:
        found = _again(problem, base, known, measure)
        if known.explored or problem.lanes * problem.steps <= LONGER * known.lane_steps:
            return found  # the same sweep once more measures nothing
        candidates = [found, *(c for c in candidates if (c.width, c.loop) != (found.width, found.loop))]
    return _measured(problem, candidates, measure, key)


def _again(problem: Problem, base: Plan, known: remembered.Known, measure: Measure) -> Plan:
    """A plan that was measured before, within what was asked for and the memory that is free now."""
    loop = base.loop or known.loop
    width = min(known.width, base.width or problem.lanes)
    if base.width is None:
        width = _widest(problem, width, loop, measure)
    return dataclasses.replace(base, width=width, loop=loop, reason="measured before")


def _widest(problem: Problem, width: int, loop: str, measure: Measure) -> int:
    def of(width: int) -> float:
        return measure.block_bytes(width, loop)

    return fitting.widest(width, problem.analysis.carry_bytes, problem.devices, of)


def _measured(problem: Problem, candidates: Sequence[Plan], measure: Measure, key: str) -> Plan:
    tried: list[tuple[float, Plan]] = []
    waiting = list(candidates)
    while waiting:
        candidate, compiled_before = waiting.pop(0), measure.compile_s
        try:
            throughput = measure(candidate)
        except Exception as error:
            if not machine.is_out_of_memory(error) or candidate.width == 1:
                raise
            waiting.insert(0, dataclasses.replace(candidate, width=(candidate.width or 2) // 2))
            continue
        tried.append((throughput, candidate))
        tried.sort(key=lambda pair: -pair[0])
        compile_s = max(measure.compile_s - compiled_before, LEAST_COMPILE_S)
        fastest, lane_steps = tried[0][1], problem.lanes * problem.steps
        remembered.remember(
            key, remembered.Known(fastest.width or 1, fastest.loop, tried[0][0], compile_s, not waiting, lane_steps)
        )
        if not _worth(measure.left, tried[0][0], compile_s):
            break
    best = tried[0][1]
    if len(tried) == 1:
        reason = f"{best.reason}; the rest of the run is too short to try others"
    else:
        others = ", ".join(f"{t:,.0f} with width {c.width} ({c.loop})" for t, c in tried[1:])
        reason = f"measured {tried[0][0]:,.0f} lane-steps per second against {others}"
    return dataclasses.replace(best, reason=reason)


def _worth(left: int, throughput: float, compile_s: float) -> bool:
    return left / throughput > WORTH * compile_s


def propose(problem: Problem, base: Plan, measure: Measure) -> list[Plan]:
    """Plans by the kind of model and device, the most promising first; what was asked for stays."""
    rule = _on_cpu if problem.devices[0].platform == "cpu" else _on_accelerator
    pairs = rule(problem.analysis, problem.settings, problem.seeds, problem.steps, len(problem.devices))
    pairs = [(base.width or width, base.loop or loop, why) for width, loop, why in pairs]
    if base.width is not None and base.loop is not None:
        return [dataclasses.replace(base, reason="as asked for")]
    unique: dict[tuple[int, str], Plan] = {}
    for asked_width, loop, why in pairs:
        width = asked_width if base.width is not None else _widest(problem, asked_width, loop, measure)
        whole = math.prod(block_shape(width, problem.settings, problem.seeds, len(problem.devices)))
        unique.setdefault((whole, loop), dataclasses.replace(base, width=width, loop=loop, reason=why))  # type: ignore[arg-type]
    return list(unique.values())


def _on_cpu(analysis: Analysis, settings: int, seeds: int, steps: int, workers: int) -> list[tuple[int, str, str]]:
    if analysis.convolutions:  # the CNN 8x8 takes 5 times as long in a compiled loop, the CNN 28x28 12 times (JAX 0.12)
        return [(1, "host", "convolutions in a compiled loop lose their fast path on CPUs")]
    share = max(1, -(-settings * seeds // workers))
    fitting = min(CACHE_BYTES / max(1, analysis.carry_bytes), LIGHT_FLOPS / max(1.0, analysis.flops))
    lane_s = steps * (analysis.flops / CORE_FLOPS + analysis.carry_bytes / CORE_BYTES)
    lasting = BLOCK_SHARE * block_s(analysis) / max(lane_s, 1e-9)
    width = min(share, 2 ** int(np.log2(max(1.0, fitting, lasting))))
    if width == share:
        return [
            (share, "scan", "light lanes, an equal share for each worker"),
            (settings * seeds, "scan", "all lanes at once"),
        ]
    why = f"{width} lanes of {analysis.carry_bytes / 1024:,.0f} kB and {analysis.flops / 1e6:,.1f} Mflop fill a core"
    if lasting > max(1.0, fitting):
        why = f"with {steps} steps a lane, narrower blocks would cost more to start"
    return [(w, "scan", why) for w in (width, min(share, 2 * width), max(1, width // 2))]


def block_s(analysis: Analysis) -> float:
    """The seconds that it takes to start a block and to bring it home."""
    return BLOCK_S + ARRAY_S * len(analysis.common)


def _on_accelerator(analysis: Analysis, settings: int, seeds: int, steps: int, workers: int) -> list[tuple[int, str, str]]:
    # A CNN 8x8 x 128 on an H200: 733 µs a step looped by the host, 335 to 373 in a compiled loop (JAX 0.11).
    lanes = max(1, -(-settings * seeds // workers))
    why = "an accelerator runs all lanes in one call until it is full"
    return [(width, "scan", why) for width in (lanes, max(1, lanes // 4))]

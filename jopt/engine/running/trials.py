"""Plans measured on chunks of the real run: what a trial computes is progress, not waste."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.records import BlockOutcome
from jopt.engine.lanes.table import Lanes
from jopt.engine.planning import fitting
from jopt.engine.planning.plan import Plan
from jopt.engine.planning.planner import block_s
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Task
from jopt.engine.running.worker import Worker

TRIAL_S = 0.03  # how long a candidate is measured about: ten times the clock's and the scheduler's grain


class Trials:
    """Measures plans for one job; see ``planner.Measure``.

    Args:
      runtime: the job in this process.
      lanes: the lanes, of which those that have done least are taken.
      devices: one of each worker.
      take: hears of the outcomes.
      forget: hears of lanes that have to begin again.
    """

    def __init__(
        self,
        runtime: Runtime,
        lanes: Lanes,
        devices: Sequence[Any],
        take: Callable[[BlockOutcome], None],
        forget: Callable[[list[tuple[int, int]]], None],
    ) -> None:
        self.runtime, self.lanes, self.devices, self.take, self.forget = runtime, lanes, devices, take, forget

    @property
    def compile_s(self) -> float:
        return self.runtime.compile_s

    @property
    def left(self) -> int:
        return self.runtime.job.lanes * self.runtime.job.steps - int(self.lanes.steps.sum())

    def block_bytes(self, width: int, loop: str) -> float:
        """What one block takes while it runs."""
        runtime, device = self.runtime, self.devices[0]
        ids = np.arange(width)[None] % runtime.job.space.size
        block = runtime.placed(Block(ids, np.zeros(1, np.int64), np.ones_like(ids, bool)), device)
        compiled = runtime.executable(block, loop, device).compiled
        beside = width * runtime.analysis.carry_bytes if runtime.mode is not None else 0  # the best ones yet, at most
        return fitting.bytes_of(compiled, 4.0 * width * runtime.analysis.carry_bytes) + beside

    def __call__(self, plan: Plan) -> float:
        """The lane-steps per second of a whole run by a plan, judged by the pace of the lanes that have done least."""
        job = self.runtime.job
        blocks = self.lanes.form(plan.width or 1, len(self.devices))
        chosen = sorted(blocks, key=lambda block: block.step)[: len(self.devices)]
        barrier, paces = threading.Barrier(len(chosen)), []
        failed: list[Exception] = []
        for block in chosen:
            self.lanes.take(block)

        def measure(block: Block, device: Any) -> Iterator[BlockOutcome]:
            pace = _Pace(Worker(self.runtime, plan, device), block)
            yield from pace.measured()
            if pace.failed:
                barrier.abort()
                return
            _wait(barrier)  # alone a worker is quicker: what counts is the pace beside the others
            yield from pace.measured()
            paces.append(pace.seconds)

        def hear(outcome: BlockOutcome) -> None:
            self.take(outcome)
            if outcome.error is not None:
                failed.append(outcome.error)

        tasks: deque[Task] = deque(functools.partial(measure, block) for block in chosen)
        self.runtime.caller.run_all(tasks, self.devices, hear)
        if failed:
            lost = [lane for block in chosen for lane in block.lanes]
            self.lanes.restart(lost)
            self.forget(lost)
            raise failed[0]
        for block in chosen:
            self.lanes.pause(block)
        rounds = -(-len(blocks) // len(self.devices))
        whole_s = (job.steps - job.first) * float(np.mean(paces)) * rounds + block_s(self.runtime.analysis) * len(blocks)
        return job.lane_steps / whole_s


class _Pace:
    """Seconds per step of a block's quickest chunk; chunks grow from two steps to about ``TRIAL_S``."""

    def __init__(self, worker: Worker, block: Block) -> None:
        self.worker, self.block = worker, block
        self.seconds, self.length = 1.0, 2
        self.failed = False

    def measured(self) -> Iterator[BlockOutcome]:
        """Runs chunks, of which the first may have to be compiled, until one was long enough or no quiet step is left."""
        worker, block, job = self.worker, self.block, self.worker.runtime.job
        most = worker.chunk or worker.runtime.length
        for attempt in itertools.count():
            quiet = max(1, job.next_evaluation(block.step) - 1 - block.step)
            count = min(self.length, quiet, most, worker.runtime.length, job.steps - block.step)
            if count < 1:
                return
            begin = time.perf_counter()
            worker.chunk = count
            outcome = worker(block, block.step + count)
            took = max(time.perf_counter() - begin, 1e-9)
            worker.chunk = most
            yield outcome
            if outcome.error is not None:
                self.failed = True
                return
            self.seconds = min(self.seconds, took / count)
            if attempt > 1 and (count < self.length or took > TRIAL_S / 2):
                return
            self.length = max(2, int(count * min(4.0, TRIAL_S / took)))


def _wait(barrier: threading.Barrier) -> None:
    try:
        barrier.wait(timeout=60)
    except threading.BrokenBarrierError:
        time.sleep(0)  # another worker failed, and its error is the one to report

"""Plans measured on chunks of the real run: what a trial computes is progress, not waste."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jopt.engine.job import Job, block_shape
from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.lanes.table import Lanes, State
from jopt.engine.planning import fitting
from jopt.engine.planning.plan import Plan
from jopt.engine.planning.planner import block_s
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Slot, Task
from jopt.engine.running.worker import Worker

TRIAL_S = 0.03  # how long a candidate is measured about: ten times the clock's and the scheduler's grain


class Trials:
    """Measures plans for one job; see ``planner.Measure``.

    Args:
      runtime: the job in this process.
      lanes: the lanes, of which those that have done least are taken.
      slots: of the workers.
      worker: of a slot.
      take: hears of the outcomes.
      bury: hears of a block's last outcome, and ends the lanes that are dead.
      forget: hears of lanes that have to begin again.
    """

    def __init__(
        self,
        runtime: Runtime,
        lanes: Lanes,
        slots: Sequence[Slot],
        worker: Callable[[Slot], Worker],
        take: Callable[[BlockOutcome], None],
        bury: Callable[[BlockOutcome], None],
        forget: Callable[[list[tuple[int, int]]], None],
    ) -> None:
        self.runtime, self.lanes, self.slots, self.worker = runtime, lanes, slots, worker
        self.take, self.bury, self.forget = take, bury, forget

    @property
    def compile_s(self) -> float:
        return self.runtime.compiler.seconds

    @property
    def left(self) -> int:
        return int((self.runtime.job.steps - self.lanes.steps)[self.lanes.in_state(State.WAITING, State.PAUSED)].sum())

    def block_bytes(self, width: int, loop: str) -> float:
        """What one block takes while it runs."""
        runtime, device = self.runtime, self.slots[0].device
        ids = np.arange(width)[None] % runtime.job.space.size
        block = Block(ids, np.zeros(1, np.int64), np.ones_like(ids, bool), runtime.job.first)
        compiled = runtime.compiler.get(runtime.step(block, loop, device, runtime.stride)).compiled
        beside = width * runtime.analysis.carry_bytes if runtime.mode is not None else 0  # the best ones yet, at most
        return fitting.bytes_of(compiled, 4.0 * width * runtime.analysis.carry_bytes) + beside

    def __call__(self, plan: Plan) -> float:
        """The lane-steps per second of a whole run by a plan, judged by the pace of the lanes that have done least."""
        job = self.runtime.job
        blocks = self.lanes.form(block_shape(plan.width or 1, job.space.size, len(job.seeds), len(self.slots)))
        chosen = sorted(blocks, key=lambda block: block.step)[: len(self.slots)]
        barrier = threading.Barrier(len(chosen))
        stride = self.runtime.stride if plan.loop == "scan" else 1
        paces = [_Pace(block, job, plan, self.runtime.length, stride) for block in chosen]
        failed: list[Exception] = []
        for block in chosen:
            self.lanes.take(block)

        def measure(pace: _Pace, slot: Slot) -> Iterator[BlockOutcome]:
            worker = self.worker(slot)
            yield from pace.measured(worker)
            if pace.failed:
                barrier.abort()
                return
            _wait(barrier)  # alone a worker is quicker: what counts is the pace beside the others
            yield from pace.measured(worker)

        def hear(outcome: BlockOutcome) -> None:
            self.take(outcome)
            if outcome.error is not None:
                failed.append(outcome.error)

        tasks: deque[Task] = deque(functools.partial(measure, pace) for pace in paces)
        self.runtime.caller.run_all(tasks, self.slots, hear, self.take)
        if failed:
            lost = [lane for block in chosen for lane in block.lanes]
            self.lanes.restart(lost)
            self.forget(lost)
            raise failed[0]
        for pace in paces:
            if pace.outcome is not None:
                self.bury(pace.outcome)
            if pace.block.real.any():
                self.lanes.pause(pace.block)
        rounds = -(-len(blocks) // len(self.slots))
        steps_s = (job.steps - job.first) * float(np.mean([pace.seconds for pace in paces]))
        return job.lane_steps / (steps_s * rounds + block_s(self.runtime.analysis) * len(blocks))


class _Pace:
    """Seconds per step of a block's quickest chunk; chunks grow from two steps to about ``TRIAL_S``."""

    def __init__(self, block: Block, job: Job, plan: Plan, longest: int, stride: int) -> None:
        self.block, self.job, self.plan, self.stride = block, job, plan, stride
        self.longest = min(plan.chunk or longest, longest)
        self.end = job.next_stop(job.first)  # nobody passes a decision
        self.seconds, self.length = 1.0, 2
        self.failed = False
        self.outcome: BlockOutcome | None = None

    def measured(self, worker: Worker) -> Iterator[BlockOutcome]:
        """Runs chunks, of which the first may have to be compiled, until one was long enough or no quiet step is left."""
        job = self.job
        for attempt in itertools.count():
            step = self.block.step
            quiet = max(1, job.next_evaluation(step) - 1 - step)
            count = min(self.length, quiet, self.longest, self.end - step)
            count = min(-(-count // self.stride) * self.stride, self.end - step)
            if count < 1:
                return
            begin = time.perf_counter()
            outcome = worker(self.block, step + count, dataclasses.replace(self.plan, chunk=count))
            took = max(time.perf_counter() - begin, 1e-9)
            self.block, self.outcome = outcome.block, outcome
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

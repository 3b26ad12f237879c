"""A worker: takes a block towards a step, and returns what it found. It writes to nothing that others read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from jopt.engine.compiled.executables import Executable
from jopt.engine.lanes.best import chosen
from jopt.engine.lanes.blocks import Block, to_numpy
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.planning.plan import Plan
from jopt.engine.running.runtime import FIRST_CHUNK, Runtime
from jopt.engine.running.threads import Slot, Stopped

CHUNK_S = 0.25  # how long a chunk may take about, so that a worker hears soon that it is to stop
TURN_S = 0.5  # after which a worker reports what it has


class Worker(Protocol):
    """Runs blocks of one job in one slot: in this process, in another one, on another machine."""

    def __call__(self, block: Block, until: int, plan: Plan) -> BlockOutcome:
        """Takes a block some way towards ``until``, for about half a second, and says how far, with the block as it is now.

        ``plan`` says how steps are looped, and the most steps of a chunk. Raises ``Stopped`` where the sweep was stopped; any
        other error is part of the outcome.
        """
        ...

    def close(self) -> None:
        """Hears that the job needs it no more."""
        ...


class LocalWorker:
    """A ``Worker`` on a device of this process.

    Args:
      runtime: the job in this process.
      slot: where.
    """

    def __init__(self, runtime: Runtime, slot: Slot) -> None:
        self.runtime = runtime
        self.device = slot.device
        self.loop: str = "scan"  # as the plan says that it was called with last
        self.chunk: int | None = None
        self.turn_s = TURN_S
        self._looks = True  # whether a number that is not finite ends a turn

    def close(self) -> None:
        """Nothing outlives the job."""

    def __call__(self, block: Block, until: int, plan: Plan) -> BlockOutcome:
        """See ``Worker``."""
        self.loop, self.chunk = plan.loop or "scan", plan.chunk
        begin = time.perf_counter()
        outcome = BlockOutcome(block, [], [])
        waiting: deque[tuple[int, Callable[[], None]]] = deque()
        try:
            stride = self._stride(block, until)
            executable = self.runtime.executable(block, self.loop, self.device, stride) if block.step < until else None
            self.runtime.placed(block, self.device)
            brought = time.perf_counter()
            if executable is not None and block.step == 0 and 0 in self.runtime.job.eval_steps:
                waiting.append((0, self.evaluate(block, outcome)))
            while executable is not None and block.step < until and not self.runtime.caller.stop.is_set():
                waiting.append(self._dispatch(block, until, stride, executable, outcome))
                if len(waiting) > 1:  # each chunk's records are fetched while the next one runs
                    brought = _bring(waiting, executable, brought)
                if time.perf_counter() - begin > self.turn_s or (self._looks and self._worrying(outcome, 1)):
                    break
            while waiting and executable is not None:
                brought = _bring(waiting, executable, brought)
            dead = self._dead(block) if self._worrying(outcome, len(outcome.records)) else None
            self._looks = dead is None or bool((dead & block.real).any())  # not again soon, if it was in vain
        except Stopped:
            raise
        except Exception as error:
            return BlockOutcome(block, outcome.records, outcome.evaluations, None, error, time.perf_counter() - begin)
        return BlockOutcome(block, outcome.records, outcome.evaluations, dead, None, time.perf_counter() - begin)

    def _stride(self, block: Block, until: int) -> int:
        """How many steps of a scan an inner loop makes."""
        stride = self.runtime.stride if self.loop == "scan" else 1
        return stride if (until - block.step) % stride == 0 and (self.chunk or stride) % stride == 0 else 1

    def _dispatch(
        self, block: Block, until: int, stride: int, executable: Executable, out: BlockOutcome
    ) -> tuple[int, Callable[[], None]]:
        """Sends off one chunk, and the evaluation behind it; what it returns brings their numbers home."""
        job = self.runtime.job
        due = job.next_evaluation(block.step)
        # A dead lane is seen behind a chunk, when the next one is under way. Most lanes that die do so early, so chunks do no
        # more than double what is done.
        longest = min(self.chunk or executable.quick, self.runtime.length, max(FIRST_CHUNK, block.step - job.first))
        count = min(longest // stride * stride, until - block.step, due - block.step)
        bring = [self.advance(block, count, executable, out)]
        if job.program.evaluation is not None and block.step == due:
            bring.append(self.evaluate(block, out))

        def bring_home() -> None:
            for each in bring:
                each()

        return count, bring_home

    def advance(self, block: Block, count: int, executable: Executable, out: BlockOutcome) -> Callable[[], None]:
        """Sends off ``count`` further steps; what it returns brings their records home."""
        first = block.step
        args = self.runtime.arguments(block, self.loop, self.device, first, count)
        if self.loop == "scan":
            block.carry, made = executable(*args)
        else:
            made = []
            for i in range(count):
                args[1], args[4] = block.carry, np.int32(i)
                block.carry, metrics = executable(*args)
                made.append(metrics)
        block.step = first + count
        block.fresh = np.zeros(block.lead, bool) if self.runtime.job.program.feedback else None
        names = [name for name, _ in self.runtime.analysis.step.metrics]

        def bring_home() -> None:
            found = _to_host(made, count, self.loop == "host")
            out.records.append((first, count, dict(zip(names, found, strict=True))))

        return bring_home

    def evaluate(self, block: Block, out: BlockOutcome) -> Callable[[], None]:
        """Sends off the evaluation of a block; what it returns brings the metrics home."""
        runtime = self.runtime
        metrics = runtime.evaluate(block, self.device)
        step, names = block.step, runtime.analysis.evaluated_names
        if runtime.mode is not None and step > 0:  # what nobody has trained is not the best
            block.best = chosen(block, metrics[0], runtime.places, runtime.analysis.common, runtime.mode)
        if runtime.job.program.feedback:
            # A plateau is not told of what was before the first step.
            block.feedback, block.fresh = metrics, np.full(block.lead, step > 0)
        return lambda: out.evaluations.append((step, dict(zip(names, map(np.asarray, metrics), strict=True))))

    def _worrying(self, outcome: BlockOutcome, latest: int) -> bool:
        """Whether one of the latest records of a lane that may die is not finite."""
        if not self.runtime.job.program.dies:
            return False
        block = outcome.block
        found = [x for _, _, each in outcome.records[len(outcome.records) - latest :] for x in each.values()]
        with np.errstate(invalid="ignore", over="ignore"):
            suspect = [x for x in found if not np.isfinite(x.sum())]  # one pass says that all is well, which it mostly is
        return any(not np.isfinite(x.reshape(len(x), *block.shape)[:, block.real]).all() for x in suspect)

    def _dead(self, block: Block) -> np.ndarray:
        """The lanes of a block that have a parameter that is not finite, where parameters are what a loss trains."""
        dead = np.zeros(block.shape, bool)
        if block.carry is None:
            return dead
        for i in jax.tree.leaves(self.runtime.places):
            x = to_numpy(block.carry[i])
            if np.issubdtype(x.dtype, np.inexact) or x.dtype.kind == "V":
                same = self.runtime.analysis.common[i]
                flat = x.reshape(1 if same else block.settings.size, -1)
                with np.errstate(invalid="ignore", over="ignore"):
                    dead |= np.broadcast_to(~np.isfinite(flat).all(-1), block.settings.size).reshape(block.shape)
        return dead


def _bring(waiting: deque[tuple[int, Callable[[], None]]], executable: Executable, before: float) -> float:
    """Brings the oldest chunk home; chunks grow while they turn out to be quick."""
    count, bring_home = waiting.popleft()
    bring_home()
    now = time.perf_counter()
    if count >= executable.quick and now - before < CHUNK_S / 4:
        executable.quick = 4 * count
    return now


def _to_host(metrics: Sequence[Any], count: int, by_step: bool) -> list[np.ndarray]:
    """The records of a chunk: of each step in turn, or with a leading axis of the executable's steps."""
    if by_step:
        return [np.stack(list(map(np.asarray, each))) for each in zip(*metrics, strict=True)]
    return [np.asarray(x)[:count] for x in metrics]

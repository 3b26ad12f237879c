"""Carries a sweep out: plans each group, forms blocks of its lanes, lets workers run them, and writes down what they found.

All decisions about lanes are made here, on outcomes, in the caller's thread: what is recorded, which lanes are dead, and
whether blocks are formed anew.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jopt.engine import machine
from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block, key_kinds
from jopt.engine.lanes.records import BlockOutcome, Records
from jopt.engine.lanes.starts import begun
from jopt.engine.lanes.table import Lanes, State
from jopt.engine.planning.plan import Plan
from jopt.engine.planning.planner import Problem, explore
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Caller, Task
from jopt.engine.running.trials import Trials
from jopt.engine.running.worker import Worker


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one group was run, what it left, and how long that took, in seconds."""

    plan: Plan
    records: Records
    compile_s: float
    total_s: float


class Sweep:
    """The jobs of one call, traced and ready to be carried out.

    Args:
      jobs: by name.
      workers: how many; None: one per core or accelerator.
    """

    def __init__(self, jobs: Mapping[str, Job], workers: int | None) -> None:
        self.devices = machine.devices_for(workers)
        self.caller = Caller([job.feed.close for job in jobs.values()])
        self.runtimes = {name: Runtime(job, self.caller, len(self.devices)) for name, job in jobs.items()}

    def carry_out(self, asked: Plan, bar: Any) -> dict[str, Outcome]:
        """Runs every job to its last step; ``bar.advance(lane_steps, best=)`` hears of the progress."""
        self.caller.on_wait = lambda: bar.compiling(max(r.compiling_for() for r in self.runtimes.values()))
        runs = {name: _Run(runtime, asked, self.devices, bar) for name, runtime in self.runtimes.items()}
        together = [run for run in runs.values() if run.job.feed.lockstep]
        for run in together:
            run.prepare()
        for until in _stops(together):
            for run in together:
                run.advance(until)
            together[0].job.feed.forget(until)
        for run in runs.values():
            run.prepare()
            run.advance(run.job.steps)
        return {name: run.outcome() for name, run in runs.items()}

    def close(self) -> None:
        """Lets go of what lies on devices, and of whoever is shown the progress."""
        self.caller.on_wait = bool
        for runtime in self.runtimes.values():
            runtime.close()


def _stops(together: list[_Run]) -> range:
    """Where blocks wait for each other, because batches come once."""
    if not together:
        return range(0)
    length, job = min(run.runtime.length for run in together), together[0].job
    return range(job.first + length, job.steps, length)


class _Run:
    """One job under way: its plan, its lanes, its records."""

    def __init__(self, runtime: Runtime, asked: Plan, devices: list[Any], bar: Any) -> None:
        self.runtime, self.job, self.devices, self.bar = runtime, runtime.job, devices, bar
        self.plan = asked
        self.records = Records(self.job)
        self.records.key_kinds = key_kinds(runtime.analysis.carry)
        evaluate = runtime.analysis.evaluate
        self.lanes = Lanes(self.job, runtime.analysis.common, begun(self.job, evaluate.result if evaluate else {}))
        self.seconds = 0.0
        self.began = time.perf_counter()
        self.prepared = False
        self.blocks: list[Block] = []  # that are between two stops
        self.forms_anew = False  # whether running blocks are to end their turn, since fewer lanes are left

    def prepare(self) -> None:
        """Chooses the plan, once."""
        if self.prepared:
            return
        begin = time.perf_counter()
        job, analysis = self.job, self.runtime.analysis
        problem = Problem(analysis, job.space.size, len(job.seeds), job.steps - job.first, self.devices)
        trials = Trials(self.runtime, self.lanes, self.devices, self._write_down, self.records.forget)
        self.plan = explore(problem, self.plan, trials)
        self.prepared = True
        self.seconds += time.perf_counter() - begin

    def advance(self, until: int) -> None:
        """Runs every lane to a step."""
        begin = time.perf_counter()
        while True:
            # Those that nobody has begun to fill are formed again, beside lanes that were paused in the meantime.
            self.blocks = [block for block in self.blocks if block.carry is not None] + self._formed()
            behind = [block for block in self.blocks if block.step < until]
            if not behind:
                break
            self.forms_anew = False
            running: deque[Task] = deque(functools.partial(self._turns, block, until) for block in behind)
            self.blocks = [block for block in self.blocks if block.step >= until]
            take = functools.partial(self._take, until=until, running=running)
            self.runtime.caller.run_all(running, self.devices, take)
        self.seconds += time.perf_counter() - begin

    def _formed(self) -> list[Block]:
        """Blocks of all lanes that are in none; those that trials have brought to the end are finished."""
        blocks = self.lanes.form(self._width(), len(self.devices))
        for block in blocks:
            if block.step == self.job.steps:
                self.lanes.take(block)
                self._finish(block)
        return [block for block in blocks if block.step < self.job.steps]

    def _width(self) -> int:
        """That of the plan, or an equal share of what lanes are left, where lanes have died."""
        width = self.plan.width or 1
        if not self.lanes.in_state(State.DEAD).any():
            return width
        left = int(self.lanes.in_state(State.WAITING, State.PAUSED).sum())
        return max(1, min(width, -(-left // len(self.devices))))

    def _turns(self, block: Block, until: int, device: Any) -> Iterator[BlockOutcome]:
        """A block's way to a step, in a worker: turn after turn, until it is there or told to stop."""
        if block.carry is None:
            self.runtime.caller.do(functools.partial(self.lanes.take, block))
        worker = Worker(self.runtime, self.plan, device)
        while block.step < until:
            outcome = worker(block, until)
            over = outcome.error is not None or block.step == until or self.forms_anew or bool(_newly_dead(outcome).any())
            yield dataclasses.replace(outcome, over=over)
            if over:
                return

    def _write_down(self, outcome: BlockOutcome) -> None:
        """Records what was found, and tells of the progress."""
        self.records.take(outcome)
        done = sum(count for _, count, _ in outcome.records) * int(outcome.block.real.sum())
        best = self.records.best_loss
        self.bar.advance(done, best=best if np.isfinite(best) else None)

    def _take(self, outcome: BlockOutcome, until: int, running: deque[Any]) -> None:
        block = outcome.block
        if outcome.error is not None:
            self._fail(outcome, until, running)
            return
        self._write_down(outcome)
        if not outcome.over:
            return  # the worker goes on with the block: nothing of it may be touched
        self._bury(block, _newly_dead(outcome))
        if block.step == self.job.steps or not block.real.any():
            self._finish(block)
        elif self.forms_anew:
            self.lanes.pause(block)
        elif block.step == until:
            self.blocks.append(block)
        else:
            running.append(functools.partial(self._turns, block, until))

    def _fail(self, outcome: BlockOutcome, until: int, running: deque[Any]) -> None:
        """Where lanes do not fit, they run in halves from the beginning."""
        error, block = outcome.error, outcome.block
        assert error is not None
        if not machine.is_out_of_memory(error) or len(block.lanes) == 1:
            raise error
        if self.job.feed.lockstep:  # narrower blocks would need the batches from the first one on
            error.add_note(f"jopt: give plan=jopt.Plan(width={max(1, block.shape[1] // 2)}), or data as arrays or a function.")
            raise error
        lanes = block.lanes
        self.records.forget(lanes)
        self.lanes.restart(lanes)
        running.extend(functools.partial(self._turns, half, until) for half in block.halves(self.job.first))

    def _bury(self, block: Block, dead: np.ndarray) -> None:
        """Dead lanes are kept as they are, and count no more; where that pays, blocks are formed anew of the others."""
        if not dead.any():
            return
        real = block.real
        block.real = real & dead
        self._keep(block, State.DEAD)
        block.real = real & ~dead
        self.bar.advance(int((self.job.steps - block.step) * (real & dead).sum()))  # that nobody will run
        alive = self.lanes.in_state(State.WAITING, State.RUNNING, State.PAUSED)
        to_do = int((self.job.steps - self.records.steps_done[alive]).sum())
        pace = (time.perf_counter() - self.began) / max(1, self.records.lane_steps)
        gone = 1 - alive.sum() / self.lanes.states.size
        # Narrower blocks are a program of their own, which takes about as long to compile as what was compiled so far.
        self.forms_anew |= bool(gone * to_do * pace > self.runtime.compile_s)

    def _finish(self, block: Block) -> None:
        if block.real.any():
            self._keep(block, State.DONE)
        large = block.settings.size * self.runtime.analysis.carry_bytes > machine.LARGE_BYTES
        block.carry = block.feedback = block.best = None
        if large and self.devices[0].platform == "cpu":
            machine.give_back()

    def _keep(self, block: Block, state: State) -> None:
        """Brings home what the result keeps of a block's real lanes, which have come to their end."""
        began = functools.partial(self.runtime.start_of, device=self.devices[0])
        self.records.ended(block, block.carry or [], self.runtime.analysis.common, began)
        self.lanes.end(block, state)
        self.records.finished(block, self.runtime.kept(block))

    def outcome(self) -> Outcome:
        """What there is at the end."""
        self.records.close(self.lanes.in_state(State.DEAD))
        return Outcome(self.plan, self.records, self.runtime.compile_s, self.seconds)


def _newly_dead(outcome: BlockOutcome) -> np.ndarray:
    nothing = np.zeros(outcome.block.shape, bool)
    return nothing if outcome.dead is None else outcome.dead & outcome.block.real

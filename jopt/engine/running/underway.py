"""One job under way: its plan, its lanes, its records, and all decisions about them, on outcomes and in the caller's thread."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jopt.engine import machine
from jopt.engine.job import block_shape
from jopt.engine.lanes.blocks import Block, key_kinds
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.saved import Resumed, resume
from jopt.engine.lanes.starts import begun
from jopt.engine.lanes.table import Lanes, State
from jopt.engine.planning.plan import Plan
from jopt.engine.planning.planner import Problem, explore
from jopt.engine.running.reached import Decision, Outcome, Reached
from jopt.engine.running.retrying import Retries
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.saving import Saver
from jopt.engine.running.threads import Slot, Task
from jopt.engine.running.trials import Trials
from jopt.engine.running.worker import Worker

PACE_S = 2.0  # seconds after which the pace of the lanes that are left is known: four turns of a worker


class Run:
    """One job under way: its plan, its lanes, its records."""

    def __init__(
        self, job_name: str, runtime: Runtime, slots: list[Slot], worker: Callable[[Slot], Worker], retries: int
    ) -> None:
        self.job_name = job_name
        self.runtime, self.job, self.slots, self.worker = runtime, runtime.job, slots, worker
        self.plan = Plan()
        analysis, self.records = runtime.analysis, Records(self.job)
        evaluated = analysis.evaluate.result if analysis.evaluate else {}
        self.records.key_kinds = key_kinds(analysis.carry)
        self.records.expect(dict(analysis.step.metrics), {name: x.dtype for name, x in evaluated.items()})
        self.lanes = Lanes(self.job, analysis.common, begun(self.job, evaluated))
        self.seconds = 0.0
        self.began = time.perf_counter()
        self.since: float | None = None  # when the lanes were sent on their way that are on it now
        self.mark = 0, 0.0  # lane-steps, and seconds without compiling, when lanes were stopped last
        self.blocks: list[Block] = []  # that are between two stops
        self.saver: Saver | None = None  # is handed what is to be kept
        self.given = Plan()  # by which an earlier call ran
        self.retries = Retries(self.job, self.lanes, self.records, retries)
        self.forms_anew = False  # whether running blocks are to end their turn, since fewer lanes are left

    def prepare(self, asked: Plan) -> None:
        """Chooses the plan."""
        self.began = time.perf_counter()
        with self._timed():
            job, analysis = self.job, self.runtime.analysis
            devices = [slot.device for slot in self.slots]
            problem = Problem(analysis, *self.lanes.here(), job.steps - job.first, devices)
            heard = self._write_down, self._bury_found, self.records.forget
            trials = Trials(self.runtime, self.lanes, self.slots, self.worker, *heard)
            before = self.given
            asked = Plan(asked.width or before.width, asked.chunk or before.chunk, asked.loop or before.loop, asked.workers)
            self.plan = self.retries.tried(lambda: explore(problem, asked, trials))
            self.plan = dataclasses.replace(self.plan, reason=before.reason or self.plan.reason)

    def resume(self, resumed: Resumed, plan: Plan) -> None:
        """Goes on from what an earlier call has left, by its plan."""
        resume(resumed, self.lanes, self.records)
        self.given = self.plan = plan
        dead = resumed.dead & self.lanes.in_state(State.PAUSED)
        for block in self.lanes.form(self.shape(), dead) if dead.any() else ():
            self.lanes.take(block)
            self.end(block, block.real, State.DEAD)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        begin = self.since = time.perf_counter()
        try:
            yield
        finally:
            self.seconds, self.since = self.seconds + time.perf_counter() - begin, None

    def reached(self) -> Reached:
        """How far it is; called in the caller's thread, at any time."""
        total_s = self.seconds + (0.0 if self.since is None else time.perf_counter() - self.since)
        compile_s, compiling_s = self.runtime.compiler.seconds, self.runtime.compiler.compiling_for()
        lane_steps, ran_s = self.records.lane_steps, total_s - compile_s - compiling_s
        if ran_s - self.mark[1] > PACE_S:
            lane_steps, ran_s = lane_steps - self.mark[0], ran_s - self.mark[1]
        pace = lane_steps / ran_s if lane_steps and ran_s > 0 else 0.0
        return Reached(self.plan, self.records, self.lanes.states, self.lanes.steps, compile_s, total_s, compiling_s, pace)

    def advance(self, until: int) -> None:
        """Runs every lane to a step."""
        with self._timed():
            while True:
                if self.saver is not None:
                    self.saver.check()
                # Those that nobody has begun to fill are formed again, beside lanes that were paused in the meantime.
                self.blocks = [block for block in self.blocks if block.carry is not None] + self._formed()
                behind = [block for block in self.blocks if block.step < until]
                if not behind:
                    break
                self.forms_anew = False
                running: deque[Task] = deque(functools.partial(self._turns, block, until) for block in behind)
                self.blocks = [block for block in self.blocks if block.step >= until]
                take = functools.partial(self._take, until=until, running=running)
                self.runtime.caller.run_all(running, self.slots, take, self.records.take)

    def hand_over(self) -> None:
        """Hands on, where a sweep ends early, what waits between two stops."""
        waiting = [block for block in self.blocks if block.carry is not None]
        for block in self.lanes.form(self.shape(), self.lanes.in_state(State.PAUSED)):
            self.lanes.take(block)
            waiting.append(block)
        for block in waiting:
            self.save(block.copied(), State.RUNNING)

    def save(self, block: Block | None, state: State) -> None:
        if self.saver is not None and block is not None:
            self.saver.take(self, block, state)

    def running(self) -> np.ndarray:
        """Which lanes have not come to an end, ``[settings, seeds]``."""
        return self.lanes.in_state(State.WAITING, State.RUNNING, State.PAUSED)

    def stop(self, decision: Decision) -> None:
        """Ends some lanes where they are, between two ``advance``s; blocks are formed anew of the others."""
        stops = decision.stops & self.running()
        if not stops.any():
            return
        blocks = [block for block in self.blocks if block.carry is not None]
        for block in self.lanes.form(self.shape()):  # of those that are paused
            self.lanes.take(block)
            blocks.append(block)
        for block in blocks:
            self.end(block, stops[block.settings, block.seeds[:, None]], State.DONE if decision.ends else State.PRUNED)
            if block.real.any():
                self.lanes.pause(block)
        self.blocks = []
        self.mark = self.records.lane_steps, max(0.0, self.seconds - self.runtime.compiler.seconds)

    def _formed(self) -> list[Block]:
        """Blocks of all lanes that are in none; those that trials have brought to the end are finished."""
        blocks = self.lanes.form(self.shape())
        for block in blocks:
            if block.step == self.job.steps:
                self.lanes.take(block)
                self._finish(block)
        return [block for block in blocks if block.step < self.job.steps]

    def shape(self) -> tuple[int, int]:
        """The plan's, or that of an equal share of what lanes are left, where lanes have ended early and that pays."""
        job, width, workers = self.job, self.plan.width or 1, len(self.slots)
        planned = block_shape(width, job.space.size, len(job.seeds), workers)
        left = self.lanes.in_state(State.WAITING, State.PAUSED)
        narrower = max(1, min(width, -(-int(left.sum()) // workers)))
        ended_early = ~self.running() & (self.lanes.steps < job.steps) & ~self.lanes.in_state(State.AWAY)
        if narrower == width or not left.any() or not ended_early.any():
            return planned
        shape = block_shape(narrower, int(left.sum(0).max()), int(left.any(0).sum()), workers)
        return shape if self._pays(1 - math.prod(shape) / math.prod(planned)) else planned

    def _pays(self, saved: float) -> bool:
        """Whether to save a share of what is to be done is worth a program, which takes as long to compile as the others."""
        to_do = int((self.job.steps - self.records.steps_done[self.running()]).sum())
        ran_s = max(0.0, time.perf_counter() - self.began - self.runtime.compiler.seconds)
        return bool(saved * to_do * ran_s / max(1, self.records.lane_steps) > self.runtime.compiler.seconds)

    def _turns(self, block: Block, until: int, slot: Slot) -> Iterator[BlockOutcome]:
        """A block's way to a step, in a slot: turn after turn, until it is there or told to stop."""
        if block.carry is None:
            self.runtime.caller.do(functools.partial(self._take_up, block))
        worker = self.worker(slot)
        saver = self.saver
        while block.step < until and not (saver and saver.ends):
            outcome = worker(block, until, self.plan)
            block, failed = outcome.block, outcome.error is not None
            over = failed or block.step == until or self.forms_anew or bool(_newly_dead(outcome).any())
            over |= saver is not None and saver.ends
            copy = None if saver is None or failed else saver.copy(block, over)
            yield dataclasses.replace(outcome, over=over, copy=copy)
            if over:
                return

    def _take_up(self, block: Block) -> None:
        self.lanes.take(block)
        if self.saver is not None:
            self.retries.keep(block)

    def _write_down(self, outcome: BlockOutcome) -> None:
        """Records what was found, and says that there is news."""
        self.records.take(outcome)
        self.runtime.caller.on_wait()

    def _take(self, outcome: BlockOutcome, until: int, running: deque[Any]) -> None:
        block = outcome.block
        if outcome.error is not None:
            self.records.take(outcome)  # what it found before it failed
            self._fail(outcome, until, running)
            return
        self._write_down(outcome)
        self.retries.went_well(block)
        if outcome.copy is not None:
            self.retries.keep(outcome.copy)
            self.save(outcome.copy, State.RUNNING)
        if not outcome.over:
            return  # the worker goes on with the block: nothing of it may be touched
        self._bury_found(outcome)
        if block.step == self.job.steps or not block.real.any():
            self._finish(block)
        elif self.forms_anew or (block.step == until and self._crowded()):
            self.lanes.pause(block)
        elif block.step == until:
            self.blocks.append(block)
        else:
            running.append(functools.partial(self._turns, block, until))

    def _crowded(self) -> bool:
        """Whether blocks between two stops would leave those that run too little of the devices' memory."""
        held = sum(block.settings.size for block in self.blocks) * self.runtime.analysis.carry_bytes
        devices = {slot.device for slot in self.slots}
        return bool(held > sum(map(machine.budget, devices)) / 4)

    def _fail(self, outcome: BlockOutcome, until: int, running: deque[Any]) -> None:
        running.extend(functools.partial(self._turns, block, until) for block in self.retries.instead(outcome, self.shape))

    def _bury_found(self, outcome: BlockOutcome) -> None:
        """Ends the lanes that a worker found dead."""
        # A loss that is finite all the way says more than a parameter that it does not depend on: such a lane goes on.
        block = outcome.block
        settings, seeds = block.settings, np.broadcast_to(block.seeds[:, None], block.shape)
        self._bury(block, _newly_dead(outcome) & ~np.isnan(self.records.diverged_at[settings, seeds]))

    def _bury(self, block: Block, dead: np.ndarray) -> None:
        """Dead lanes are kept as they are, and count no more; where that pays, blocks are formed anew of the others."""
        if dead.any():
            self.end(block, dead, State.DEAD)
            self.forms_anew |= self._pays(1 - self.running().mean())

    def end(self, block: Block, which: np.ndarray, state: State) -> None:
        """Some lanes of a block, ``[seeds, width]``, have come to their end; the others are what it consists of from now on."""
        real = block.real
        block.real = real & which
        if block.real.any():
            self._keep(block, state)
        block.real = real & ~which

    def _finish(self, block: Block) -> None:
        if block.real.any():
            self._keep(block, State.DONE)
            self.retries.drop(block)
        large = block.settings.size * self.runtime.analysis.carry_bytes > machine.LARGE_BYTES
        block.carry = block.feedback = block.best = None
        if large and self.slots[0].device.platform == "cpu":
            machine.give_back()

    def _keep(self, block: Block, state: State) -> None:
        """Brings home what the result keeps of a block's real lanes, which have come to their end."""
        began = functools.partial(self.runtime.start_of, device=self.slots[0].device)
        self.records.ended(block, block.carry or [], self.runtime.analysis.common, began)
        self.lanes.end(block, state)
        if state is State.PRUNED:
            settings, seeds = (list(x) for x in zip(*block.lanes, strict=True))
            self.records.pruned_at[settings, seeds] = block.step
        self.records.finished(block, self.runtime.kept(block))
        if self.saver is not None:
            self.save(block.copied(), state)

    def outcome(self) -> Outcome:
        """What there is at the end."""
        self.records.close(self.lanes.in_state(State.DEAD))
        lost, complete = self.retries.lost, not self.lanes.in_state(State.AWAY).any()
        if lost:
            self.records.lose([*lost])
        program = self.runtime.analysis.fingerprint
        return Outcome(self.plan, self.records, self.runtime.compiler.seconds, self.seconds, complete, lost, program=program)


def _newly_dead(outcome: BlockOutcome) -> np.ndarray:
    nothing = np.zeros(outcome.block.shape, bool)
    return nothing if outcome.dead is None else outcome.dead & outcome.block.real

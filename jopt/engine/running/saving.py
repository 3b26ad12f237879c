"""Whoever is handed what is to be kept of lanes while they run: when they are copied, and what is handed on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.saved import Saved, saved_of
from jopt.engine.lanes.table import State


class Sink(Protocol):
    """Writes down what it is handed, in a thread of its own."""

    @property
    def busy(self) -> bool:
        """Whether something waits to be written."""
        ...

    def put(self, job: str, saved: Saved) -> None:
        """Takes what is to be kept of some lanes of a job."""
        ...

    def look(self) -> None:
        """Called in the caller's thread now and then: warns of what went wrong, or raises it."""
        ...


class Stop(Protocol):
    """Says when a sweep is to end early."""

    @property
    def asked(self) -> bool: ...

    def leave(self) -> None:
        """Raises what ends the sweep."""
        ...


class Saver:
    """Counts waves: in each, every block is copied once, at the end of a turn. Its worker copies, nobody waits.

    Args:
      every_s: seconds between two waves.
      sink: who writes.
      stop: who says when all is to end.

    Attributes:
      wave: the number of the latest.
    """

    def __init__(self, every_s: float, sink: Sink, stop: Stop) -> None:
        self.every_s, self.sink, self.stop = every_s, sink, stop
        self.wave = 0
        self._due = time.monotonic() + every_s
        self._at: dict[str, Any] = {}  # of each job the step at which each lane was saved last, [settings, seeds]; -1: never

    @property
    def ends(self) -> bool:
        """Whether every block is to end its turn."""
        return self.stop.asked

    def beside(self, tick: Callable[[], None], runtimes: Iterable[Any]) -> Callable[[], None]:
        """``tick``, and what is to be done here now and then."""
        runtimes = list(runtimes)

        def both() -> None:
            tick()
            self.sink.look()
            if time.monotonic() >= self._due and not self.sink.busy:
                self.wave, self._due = self.wave + 1, time.monotonic() + self.every_s
            if self.ends and any(runtime.compiler.compiling_for() for runtime in runtimes):
                self.stop.leave()  # nothing is lost, and compiling may take long

        return both

    def check(self) -> None:
        """Between turns: ends the sweep where that was asked for."""
        if self.ends:
            self.stop.leave()

    def knows(self, job: str, steps: np.ndarray) -> None:
        """Hears at which step each lane of a job is kept already, ``[settings, seeds]``; -1: nowhere."""
        self._at[job] = steps

    def copy(self, block: Block, over: bool) -> Block | None:
        """A copy of a block, in its worker's thread, where it is time for one."""
        if block.carry is None or not (self.wave > block.wave or (over and self.ends)):
            return None
        block.wave = self.wave
        return block.copied()

    def take(self, run: Any, block: Block, state: State) -> None:
        """Takes a block on the host, of which the records are written down."""
        if block.carry is None or not block.real.any():
            return
        settings, seeds = (list(x) for x in zip(*block.lanes, strict=True))
        at = self._at[run.job_name]
        before = at[settings, seeds]
        since = None if ((before < 0) | (before > block.step)).any() else int(before.min())  # lanes may have begun anew
        if since == block.step and state is State.RUNNING:
            return  # it is kept as it is
        plan = [run.plan.width, run.plan.chunk, run.plan.loop, run.plan.workers]
        self.sink.put(run.job_name, saved_of(block, state, run.records, run.runtime.analysis.common, since, plan))
        at[settings, seeds] = block.step

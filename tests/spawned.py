"""A worker in another process, in sixty lines: what the seam of the engine promises.

It takes a frozen job, which pickles, and then blocks and steps; it returns outcomes. Whoever carries a sweep out can not
tell it from a thread.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from typing import Any, ClassVar

from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.machine import devices_for
from jopt.engine.planning.plan import Plan
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Caller, Slot
from jopt.engine.running.worker import LocalWorker


def serve(connection: Any, job: Job, workers: int) -> None:
    """The other process: runs blocks until it is told nothing more."""
    worker = LocalWorker(Runtime(job, Caller(), workers), Slot(0, devices_for(1)[0]))
    while (asked := connection.recv()) is not None:
        outcome = worker(*asked)
        connection.send(dataclasses.replace(outcome, block=outcome.block.on_host()))


class SpawnedWorker:
    """A ``Worker`` with a process of its own."""

    started: ClassVar[int] = 0

    def __init__(self, runtime: Runtime, slot: Slot) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, runtime.job, runtime.workers), daemon=True)
        self.process.start()
        type(self).started += 1

    def __call__(self, block: Block, until: int, plan: Plan) -> BlockOutcome:
        """See ``Worker``."""
        self.connection.send((block.on_host(), until, plan))
        if not self.connection.poll(300):
            raise TimeoutError("The other process does not answer.")
        return self.connection.recv()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the process."""
        self.connection.send(None)
        self.process.join(30)

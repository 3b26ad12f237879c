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
from jopt.engine.lanes.records import BlockOutcome
from jopt.engine.machine import devices_for
from jopt.engine.planning.plan import Plan
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Caller
from jopt.engine.running.worker import Worker


def serve(connection: Any, job: Job, plan: Plan, workers: int) -> None:
    """The other process: runs blocks until it is told nothing more."""
    worker = Worker(Runtime(job, Caller(), workers), plan, devices_for(1)[0])
    while (asked := connection.recv()) is not None:
        outcome = worker(*asked)
        connection.send(dataclasses.replace(outcome, block=outcome.block.on_host()))


class SpawnedWorker:
    """``(block, until) -> BlockOutcome`` by a process of its own."""

    started: ClassVar[list[SpawnedWorker]] = []

    def __init__(self, runtime: Runtime, plan: Plan, device: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        args = theirs, runtime.job, plan, runtime.workers
        self.process = context.Process(target=serve, args=args, daemon=True)
        self.process.start()
        self.started.append(self)

    def __call__(self, block: Block, until: int) -> BlockOutcome:
        self.connection.send((block.on_host(), until))
        if not self.connection.poll(300):
            raise TimeoutError("The other process does not answer.")
        outcome = self.connection.recv()
        for field in dataclasses.fields(Block):  # the block is the caller's: it goes on from where the other one got
            setattr(block, field.name, getattr(outcome.block, field.name))
        return dataclasses.replace(outcome, block=block)

    @classmethod
    def end(cls) -> None:
        """Ends every process that was started."""
        for worker in cls.started:
            worker.connection.send(None)
            worker.process.join(30)
        cls.started.clear()

"""Carries a sweep out: job after job, or jobs side by side where their lanes wait for each other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from jopt.engine import machine
from jopt.engine.job import Job
from jopt.engine.lanes.records import Records
from jopt.engine.planning.plan import Plan
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Caller, Slot
from jopt.engine.running.underway import Decision, Outcome, Run
from jopt.engine.running.worker import LocalWorker, Worker


class Decide(Protocol):
    """Decides at the stops of jobs which lanes go on.

    Attributes:
      groups: names of jobs whose lanes are compared, and so stop together.
    """

    @property
    def groups(self) -> Sequence[Sequence[str]]: ...

    def __call__(self, step: int, found: Mapping[str, tuple[Records, np.ndarray]]) -> Mapping[str, Decision]:
        """Of the jobs of one group what they recorded up to ``step``, and which lanes still run, ``[settings, seeds]``."""
        ...


class Sweep:
    """The jobs of one call, traced and ready to be carried out.

    Args:
      jobs: by name.
      workers: how many; None: one per core or accelerator.

    Attributes:
      make_worker: of a job's runtime and a slot; one worker is made for each slot, and stays to the end.
    """

    make_worker: ClassVar[Callable[[Runtime, Slot], Worker]] = LocalWorker

    def __init__(self, jobs: Mapping[str, Job], workers: int | None) -> None:
        self.slots = [Slot(i, device) for i, device in enumerate(machine.devices_for(workers))]
        self.caller = Caller([job.feed.close for job in jobs.values()])
        self.runtimes = {name: Runtime(job, self.caller, len(self.slots)) for name, job in jobs.items()}
        self.workers: dict[tuple[str, Slot], Worker] = {}

    def recorded(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a job records: the names of a step's values, and of its evaluations."""
        analysis = self.runtimes[name].analysis
        return tuple(each for each, _ in analysis.step.metrics), tuple(analysis.evaluated_names)

    def carry_out(self, asked: Plan, bar: Any, decide: Decide | None = None) -> dict[str, Outcome]:
        """Runs every job to its last step, but for lanes that ``decide`` stops.

        ``bar.advance(lane_steps, best=)`` hears of the progress.
        """
        self.caller.on_wait = lambda: bar.compiling(max(r.compiler.compiling_for() for r in self.runtimes.values()))
        runs = {
            name: Run(runtime, asked, self.slots, functools.partial(self._worker, name), bar)
            for name, runtime in self.runtimes.items()
        }
        compared = [list(names) for names in (decide.groups if decide else [[name] for name in runs])]
        lockstep = any(run.job.feed.lockstep for run in runs.values())  # batches come once, to all
        for names in [[*runs]] if lockstep else compared:
            together = {name: runs[name] for name in names}
            for run in together.values():
                run.prepare()
            for until in _stops(list(together.values())):
                for run in together.values():
                    run.advance(until)
                if lockstep:
                    runs[names[0]].job.feed.forget(until)
                for group in compared:
                    if decide and set(group) <= set(together) and until in runs[group[0]].job.stops:
                        _decide(decide, until, {name: runs[name] for name in group})
        return {name: run.outcome() for name, run in runs.items()}

    def _worker(self, name: str, slot: Slot) -> Worker:
        if (name, slot) not in self.workers:  # each slot has a thread of its own
            self.workers[name, slot] = type(self).make_worker(self.runtimes[name], slot)
        return self.workers[name, slot]

    def close(self) -> None:
        """Lets go of workers, of what lies on devices, and of whoever is shown the progress."""
        self.caller.on_wait = bool
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()
        for runtime in self.runtimes.values():
            runtime.close()


def _stops(together: list[Run]) -> list[int]:
    """Where blocks wait for each other, the last step included: for a decision, or because batches come once."""
    job = together[0].job
    length = min(run.runtime.length for run in together)
    waits = range(job.first + length, job.steps, length) if job.feed.lockstep else ()
    return sorted({*waits, *(stop for run in together for stop in run.job.stops), job.steps})


def _decide(decide: Decide, step: int, runs: Mapping[str, Run]) -> None:
    for name, decision in decide(step, {name: (run.records, run.running()) for name, run in runs.items()}).items():
        runs[name].stop(decision)

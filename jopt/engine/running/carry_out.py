"""Carries a sweep out: job after job, or jobs side by side where their lanes wait for each other."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

from jopt.engine import machine
from jopt.engine.job import Job
from jopt.engine.planning.plan import Plan
from jopt.engine.running.reached import Decision, Outcome, Reached
from jopt.engine.running.retrying import RETRIES
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.saving import Saver
from jopt.engine.running.threads import Caller, Slot
from jopt.engine.running.underway import Run
from jopt.engine.running.worker import LocalWorker, Worker


class Between(Protocol):
    """Acts where the lanes of some jobs wait for each other, between two steps.

    Attributes:
      groups: names of jobs whose lanes wait for each other.
    """

    @property
    def groups(self) -> Sequence[Sequence[str]]: ...

    def decide(self, step: int, found: Mapping[str, Reached]) -> Mapping[str, Decision]:
        """Called at the ``stops`` of the jobs of a group: which of their lanes stop."""
        ...

    def tell(self, step: int, found: Mapping[str, Reached]) -> None:
        """Called at the ``looks`` of the jobs of a group, after decisions, and after the last step."""
        ...


class Crew(Protocol):
    """Works somewhere else than in this process.

    Attributes:
      slots: one for each that may work at the same time, with a device of this process for what is done at home.
      retries: how often in a row a block runs again.
    """

    @property
    def slots(self) -> list[Slot]: ...

    @property
    def retries(self) -> int: ...

    def make_worker(self, runtime: Runtime, slot: Slot) -> Worker:
        """As ``Sweep.make_worker``."""
        ...


class Sweep:
    """The jobs of one call, traced and ready to be carried out.

    Args:
      jobs: by name.
      workers: how many; None: one per core or accelerator.
      crew: who works elsewhere; None: threads of this process work.

    Attributes:
      make_worker: of a job's runtime and a slot; one worker is made for each slot, and stays to the end.
    """

    make_worker: ClassVar[Callable[[Runtime, Slot], Worker]] = LocalWorker

    def __init__(self, jobs: Mapping[str, Job], workers: int | None, crew: Crew | None = None) -> None:
        self.slots = [Slot(i, device) for i, device in enumerate(machine.devices_for(workers))] if crew is None else crew.slots
        self.caller = Caller([job.feed.close for job in jobs.values()])
        self.runtimes = {name: Runtime(job, self.caller, len(self.slots)) for name, job in jobs.items()}
        self.here = crew is None
        self.workers = _Workers(type(self).make_worker if crew is None else crew.make_worker)
        retries = RETRIES if crew is None else crew.retries
        self.runs = {
            name: Run(name, runtime, self.slots, functools.partial(self.workers.of, name, runtime), retries)
            for name, runtime in self.runtimes.items()
        }

    def recorded(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a job records: the names of a step's values, and of its evaluations."""
        analysis = self.runtimes[name].analysis
        return tuple(each for each, _ in analysis.step.metrics), tuple(analysis.evaluated_names)

    def reached(self) -> dict[str, Reached]:
        """How far each job is, or was when the sweep ended."""
        return {name: run.reached() for name, run in self.runs.items()}

    def carry_out(
        self, asked: Plan, tick: Callable[[], None], between: Between | None = None, saver: Saver | None = None
    ) -> None:
        """Runs every job to its last step, but for lanes that ``between`` stops; ``saver`` is handed what is to be kept.

        ``tick`` is called in this thread whenever something was heard of the workers, and now and then while nothing is.
        """
        with self._lapack():
            self._carry_out(asked, tick, between, saver)

    def _lapack(self) -> contextlib.AbstractContextManager[None]:
        factorizing = any(runtime.analysis.factorizations for runtime in self.runtimes.values())
        if not factorizing or not self.here or self.slots[0].device.platform != "cpu":
            return contextlib.nullcontext()
        lanes = sum(len(run.job.space.places) * len(run.job.seeds) for run in self.runs.values())
        return machine.sharing_lapack(min(len(self.slots), lanes))

    def _carry_out(self, asked: Plan, tick: Callable[[], None], between: Between | None, saver: Saver | None) -> None:
        self.caller.on_wait = tick if saver is None else saver.beside(tick, self.runtimes.values())
        for run in self.runs.values():
            run.saver = saver
        runs = self.runs
        groups = [list(names) for names in (between.groups if between else [[name] for name in runs])]
        lockstep = any(run.job.feed.lockstep for run in runs.values())  # batches come once, to all
        for names in [[*runs]] if lockstep else groups:
            together = {name: runs[name] for name in names}
            for run in together.values():
                run.prepare(asked)
            for until in _stops(list(together.values())):
                for run in together.values():
                    run.advance(until)
                if lockstep:
                    runs[names[0]].job.feed.forget(until)
                for group in groups:
                    if between and set(group) <= set(together):
                        _between(between, until, {name: runs[name] for name in group})

    def outcomes(self) -> dict[str, Outcome]:
        """What came of each job; called once."""
        return {name: run.outcome() for name, run in self.runs.items()}

    def close(self) -> None:
        """Lets go of workers, of what lies on devices, and of whoever is shown the progress."""
        self.caller.on_wait = bool
        self.workers.close()
        for run in self.runs.values():
            run.blocks = []
        for runtime in self.runtimes.values():
            runtime.close()


class _Workers:
    """One worker for each job in each slot. It does not know the sweep: what a sweep holds is to go when the call ends."""

    def __init__(self, make: Callable[[Runtime, Slot], Worker]) -> None:
        self.make = make
        self.made: dict[tuple[str, Slot], Worker] = {}

    def of(self, name: str, runtime: Runtime, slot: Slot) -> Worker:
        if (name, slot) not in self.made:  # each slot has a thread of its own
            self.made[name, slot] = self.make(runtime, slot)
        return self.made[name, slot]

    def close(self) -> None:
        for worker in self.made.values():
            worker.close()
        self.made.clear()


def _stops(together: list[Run]) -> list[int]:
    """Where blocks wait for each other, the last step included: for somebody to act, or because batches come once."""
    job = together[0].job
    length = min(run.runtime.length for run in together)
    waits = range(job.first + length, job.steps, length) if job.feed.lockstep else ()
    return sorted({*waits, *(stop for run in together for stop in (*run.job.stops, *run.job.looks)), job.steps})


def _between(between: Between, step: int, runs: Mapping[str, Run]) -> None:
    job = next(iter(runs.values())).job
    if step in job.stops:
        for name, decision in between.decide(step, {name: run.reached() for name, run in runs.items()}).items():
            runs[name].stop(decision)
    if step in job.looks or step == job.steps:
        between.tell(step, {name: run.reached() for name, run in runs.items()})

"""Carries a sweep out: plans each group, cuts its lanes into blocks, and lets the workers run them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from jopt.engine.compiled.blocks import Block
from jopt.engine.lanes.cutting import cut
from jopt.engine.lanes.store import Store
from jopt.engine.planning import limits
from jopt.engine.planning.plan import Plan
from jopt.engine.planning.planner import explore
from jopt.engine.running import pool
from jopt.engine.running.runner import Job


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one group was run, and how long that took, in seconds."""

    plan: Plan
    total_s: float


def carry_out(jobs: Mapping[str, Job], asked: Plan, bar: Any) -> dict[str, Outcome]:
    """Runs every job to its last step; ``bar.advance(lane_steps, best=)`` hears of the progress."""
    devices = pool.devices_for(asked.workers)
    runs = {name: _Run(job, asked, devices) for name, job in jobs.items()}
    for job in jobs.values():
        job.workers = len(devices)
        job.on_progress = lambda done, best: bar.advance(done, best=best)
    together = list(runs.values()) if any(job.feed.lockstep for job in jobs.values()) else []
    for run in together:
        run.prepare()
    for until in together[0].stops if together else range(0):
        for run in together:
            run.advance(until)
        together[0].job.feed.forget(until)
    for run in runs.values():
        run.prepare()
        run.advance(run.job.steps)
    return {name: Outcome(run.plan, run.seconds) for name, run in runs.items()}


class _Run:
    """One job under way: its plan, its lanes, the seconds it took."""

    def __init__(self, job: Job, asked: Plan, devices: list[Any]) -> None:
        self.job = job
        self.plan = asked
        self.devices = devices
        self.store = Store(job)
        self.seconds = 0.0
        self.lanes: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def stops(self) -> range:
        """Where blocks wait for each other, because batches come once."""
        return range(self.job.length, self.job.steps, self.job.length)

    def prepare(self) -> None:
        """Chooses the plan, once."""
        if self.lanes:
            return
        begin = time.perf_counter()
        self.plan = explore(self.job, self.plan, self.devices, self.store)
        self.lanes = cut(self.job.space.size, len(self.job.seeds), self.plan.width or 1, len(self.devices))
        self.seconds += time.perf_counter() - begin

    def advance(self, until: int) -> None:
        """Runs every lane to a step."""
        begin = time.perf_counter()
        width = max(len(settings) for settings, _ in self.lanes)
        tasks = [functools.partial(_run, self.job, self.store, self.plan, *part, width, until) for part in self.lanes]
        pool.run_all(tasks, self.devices, self.job.stop, self.job.caller)
        self.seconds += time.perf_counter() - begin


def _run(
    job: Job, store: Store, plan: Plan, settings: np.ndarray, seeds: np.ndarray, width: int, until: int, device: Any
) -> None:
    """Runs some lanes to a step; where they do not fit, in halves from the beginning."""
    try:
        block = store.level(settings, seeds, width, plan, device)
        job.run(block, max(until, block.step), plan.loop or "scan", plan.chunk, device)
        if not job.stop.is_set():
            _leave(job, store, block, device)
    except Exception as error:
        if not limits.is_out_of_memory(error) or len(settings) * len(seeds) == 1:
            raise
        if job.feed.lockstep:  # narrower blocks would need the batches from the first one on
            error.add_note(f"jopt: give plan=jopt.Plan(width={max(1, len(settings) // 2)}), or data as arrays or a function.")
            raise
        job.records.forget(settings, seeds)
        store.drop(settings, seeds)
        for half in _halves(settings, seeds):
            _run(job, store, plan, *half, len(half[0]), until, device)


def _leave(job: Job, store: Store, block: Block, device: Any) -> None:
    if block.step == job.steps:
        job.finish(block, device)
        if device.platform == "cpu" and block.real.size * job.analysis.carry_bytes > limits.LARGE_BYTES:
            limits.give_back()
    else:
        store.take(block)


def _halves(settings: np.ndarray, seeds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if len(seeds) > 1:
        return [(settings, half) for half in np.array_split(seeds, 2)]
    return [(half, seeds) for half in np.array_split(settings, 2)]

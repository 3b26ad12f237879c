"""Carries a sweep out: plans each group, cuts its lanes into blocks, and lets the workers run them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from jopt.engine import limits, pool
from jopt.engine.blocks import Block
from jopt.engine.cutting import cut
from jopt.engine.plan import Plan
from jopt.engine.planner import explore
from jopt.engine.runner import Job
from jopt.engine.store import Store


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one group was run, and how long that took, in seconds."""

    plan: Plan
    total_s: float


def carry_out(jobs: Mapping[str, Job], asked: Plan, bar: Any) -> dict[str, Outcome]:
    """Runs every job to its last step; ``bar.advance(lane_steps, best=)`` hears of the progress."""
    outcomes = {}
    for name, job in jobs.items():
        job.on_progress = lambda done, best: bar.advance(done, best=best)
        begin = time.perf_counter()
        plan = run_job(job, asked)
        outcomes[name] = Outcome(plan, time.perf_counter() - begin)
    return outcomes


def run_job(job: Job, asked: Plan) -> Plan:
    """Plans and runs one job."""
    devices = pool.devices_for(asked.workers)
    store = Store(job)
    plan = explore(job, asked, devices, store)
    lanes = cut(job.space.size, len(job.seeds), plan.width or 1, len(devices))
    width = max(len(settings) for settings, _ in lanes)
    stops = range(job.length, job.steps, job.length) if job.feed.lockstep else ()
    for until in (*stops, job.steps):
        tasks = [functools.partial(_run, job, store, plan, *part, width, until) for part in lanes]
        pool.run_all(tasks, devices, job.stop)
        job.feed.forget(until)
    return plan


def _run(
    job: Job, store: Store, plan: Plan, settings: np.ndarray, seeds: np.ndarray, width: int, until: int, device: Any
) -> None:
    """Runs some lanes to a step; where they do not fit, in halves from the beginning."""
    try:
        block = store.level(settings, seeds, width, plan, device)
        job.run(block, max(until, block.step), plan.loop or "scan", plan.chunk, device)
        if not job.stop.is_set():
            _leave(job, store, block)
    except Exception as error:
        if not limits.is_out_of_memory(error) or len(settings) * len(seeds) == 1 or job.feed.lockstep:
            raise
        job.records.forget(settings, seeds)
        store.drop(settings, seeds)
        for half in _halves(settings, seeds):
            _run(job, store, plan, *half, -(-width // 2), until, device)


def _leave(job: Job, store: Store, block: Block) -> None:
    if block.step == job.steps:
        job.finish(block)
    else:
        store.take(block)


def _halves(settings: np.ndarray, seeds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if len(seeds) > 1:
        return [(settings, half) for half in np.array_split(seeds, 2)]
    return [(half, seeds) for half in np.array_split(settings, 2)]

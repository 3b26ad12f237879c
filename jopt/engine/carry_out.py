"""Carries a sweep out: plans each group, cuts its lanes into blocks, and lets the workers run them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from jopt.engine import pool
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
    blocks = cut(job.space.size, len(job.seeds), plan.width or 1, len(devices))
    width = max(len(settings) for settings, _ in blocks)

    def run(settings: np.ndarray, seeds: np.ndarray, device: Any) -> None:
        block = store.level(settings, seeds, width, plan, device)
        job.run(block, job.steps, plan.loop or "scan", plan.chunk, device)
        if not job.stop.is_set():
            job.finish(block)

    tasks = [functools.partial(run, settings, seeds) for settings, seeds in blocks]
    pool.run_all(tasks, devices, job.stop)
    return plan

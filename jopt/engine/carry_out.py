"""Carries a sweep out: plans each group, cuts its lanes into blocks, and lets the workers run them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jopt.engine import pool
from jopt.engine.plan import Plan
from jopt.engine.planner import propose
from jopt.engine.runner import Job


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one group was run, and how long that took."""

    plan: Plan
    run_s: float


def carry_out(jobs: Mapping[str, Job], asked: Plan, progress: bool | None) -> dict[str, Outcome]:
    """Runs every job to its last step."""
    from jopt.results.progress import Progress

    devices = pool.devices_for(asked.workers)
    lanes = sum(job.space.size * len(job.seeds) for job in jobs.values())
    lane_steps = sum(job.space.size * len(job.seeds) * job.steps for job in jobs.values())
    outcomes = {}
    with Progress(progress, total_lane_steps=lane_steps, lanes=lanes, description="sweep") as bar:
        for name, job in jobs.items():
            job.on_progress = lambda done, best: bar.advance(done, best=best)
            begin = time.perf_counter()
            plan = run_job(job, asked, devices)
            outcomes[name] = Outcome(plan, time.perf_counter() - begin)
    return outcomes


def run_job(job: Job, asked: Plan, devices: Sequence[Any]) -> Plan:
    """Plans and runs one job."""
    plan = propose(job, asked, devices)
    cuts = cut(job.space.size, len(job.seeds), plan.width or 1)
    loop, chunk = plan.loop or "scan", plan.chunk

    def task(settings: Sequence[int], seeds: Sequence[int]) -> Any:
        def run(device: Any) -> None:
            block = job.new_block(settings, seeds, device)
            job.run(block, job.steps, loop, chunk, device)
            if not job.stop.is_set():
                job.finish(block)

        return run

    pool.run_all([task(*lanes) for lanes in cuts], devices, job.stop)
    return plan


def cut(settings: int, seeds: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Blocks of at most ``width`` lanes: whole seeds together where they fit, else each seed's settings in equal parts."""
    if width >= settings:
        together = max(1, width // settings)
        return [(np.arange(settings), np.arange(s, min(s + together, seeds))) for s in range(0, seeds, together)]
    parts = np.array_split(np.arange(settings), -(-settings // width))
    return [(part, np.array([seed])) for seed in range(seeds) for part in parts]

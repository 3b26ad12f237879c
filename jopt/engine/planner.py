"""Chooses a plan: a rule of thumb proposes, chunks of the real run measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jopt.engine.plan import Plan
from jopt.engine.runner import Job
from jopt.engine.store import Store


def explore(job: Job, asked: Plan, devices: Sequence[Any], store: Store) -> Plan:
    """The plan for a job: what was asked for, completed by measurement."""
    job.analysis  # noqa: B018
    lanes = job.space.size * len(job.seeds)
    width = asked.width or max(1, -(-lanes // len(devices)))
    return dataclasses.replace(asked, width=width, loop=asked.loop or "scan", workers=len(devices))

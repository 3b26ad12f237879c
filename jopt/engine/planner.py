"""Chooses a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jopt.engine.plan import Plan
from jopt.engine.runner import Job


def propose(job: Job, asked: Plan, devices: Sequence[Any]) -> Plan:
    """The plan for a job: what was asked for, completed by a rule of thumb."""
    lanes = job.space.size * len(job.seeds)
    width = asked.width or max(1, -(-lanes // len(devices)))
    return dataclasses.replace(asked, width=width, loop=asked.loop or "scan", workers=len(devices))

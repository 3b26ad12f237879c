"""Plans that were measured, by computation and machine: in the process, and in the user's cache directory."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import jax
import jaxlib.version

from jopt.engine.files import cache_directory, replacing
from jopt.engine.planning.plan import Plan

ENGINE = 8  # raised when blocks come to run in another way: what was measured before counts no more

_plans: dict[str, Known] = {}
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of one computation on one machine."""

    width: int
    loop: Any
    throughput: float  # lane-steps per second
    compile_s: float  # of one candidate
    explored: bool  # whether every candidate was measured
    lane_steps: int  # of the run that decided how many candidates were worth measuring


def key(fingerprint: str, settings: int, seeds: int, asked: Plan, devices: Sequence[Any]) -> str:
    """A name for the computation, its size, what was asked for and the machine, the same in another process."""
    parts = (
        ENGINE,
        fingerprint,
        settings,
        seeds,
        (asked.width, asked.loop, asked.chunk),
        len(devices),
        devices[0].device_kind,
        os.cpu_count(),
        jax.__version__,
        jaxlib.version.__version__,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def recall(name: str) -> Known | None:
    """What is known under a name; whatever can't be read counts as unknown."""
    with _lock:
        if name in _plans:
            return _plans[name]
    # A plan that is not found is only measured again, so nothing that a file or a directory can raise is worth a sweep.
    with contextlib.suppress(Exception):
        known = Known(**json.loads((directory() / f"{name}.json").read_bytes()))
        if _makes_sense(known):
            return known
    return None


def _makes_sense(known: Known) -> bool:
    counts, seconds = (known.width, known.lane_steps), (known.throughput, known.compile_s)
    return (
        all(type(x) is int and 1 <= x < 2**53 for x in counts)
        and all(type(x) in (int, float) and 0 < x < 1e300 for x in seconds)
        and known.loop in ("scan", "host")
        and type(known.explored) is bool
    )


def remember(name: str, known: Known) -> None:
    """Keeps a plan; a cache directory that can't be written is no error."""
    with _lock:
        _plans[name] = known
    with contextlib.suppress(Exception):
        directory().mkdir(parents=True, exist_ok=True)
        with replacing(directory() / f"{name}.json") as file:
            file.write(json.dumps(dataclasses.asdict(known)).encode())


def forget() -> None:
    """Drops what this process remembers; files stay."""
    with _lock:
        _plans.clear()


def directory() -> pathlib.Path:
    """Where plans are kept on disk."""
    return cache_directory("plans")

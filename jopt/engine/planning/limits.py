"""How many lanes fit: bytes = a + b · width, read off compiled code, against what the device has; free memory given back."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jopt.engine.running.runner import Job

SHARE = 0.8  # of the device's memory that a sweep may take
LARGE_BYTES = 16 * 2**20  # of a block's carry: what it leaves behind is worth giving back
UNDOUBTED = 0.05  # a share that needs no look at compiled code


def budget(device: Any) -> float:
    """The bytes that a sweep may take on a device."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return SHARE * float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return SHARE * _free_memory()


def _free_memory() -> float:
    """The bytes of main memory that a process may still take: of the machine, or of the container that it runs in."""
    free = 4.0 * 2**30  # where nothing can be read
    with contextlib.suppress(OSError, ValueError, AttributeError):
        free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError, StopIteration):  # counts what the page cache would give back
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        free = 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        group = pathlib.Path("/sys/fs/cgroup")
        free = min(free, float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return free


def give_back() -> None:
    """Gives free memory back to the system, where the C library has a function for that.

    Workers allocate in regions of their own, and what is free in one of them is of no use to the others.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Any:
    with contextlib.suppress(OSError, TypeError):  # no C library by that name
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None


def widest(job: Job, width: int, loop: str, devices: Sequence[Any]) -> int:
    """The largest width up to ``width`` whose blocks, one per worker, fit on their device."""
    sharing = sum(device == devices[0] for device in devices)
    allowed = budget(devices[0]) / sharing
    if 4 * width * job.analysis.carry_bytes < UNDOUBTED * allowed or width == 1:
        return width
    small, large = (1, min(width, 4)) if width > 1 else (1, 2)
    at_small, at_large = (block_bytes(job, lanes, loop, devices[0]) for lanes in (small, large))
    per_lane = max((at_large - at_small) / (large - small), 1.0)
    fixed = at_small - per_lane * small
    return int(np.clip((allowed - fixed) / per_lane, 1, width))


def block_bytes(job: Job, width: int, loop: str, device: Any) -> float:
    """What one block takes while it runs: arguments, results and temporaries, or an estimate where XLA does not say."""
    settings = min(width, job.space.size)
    block = job.new_block(np.arange(settings), np.arange(1), settings, device)
    stats = job.executable(block, loop, device).compiled.memory_analysis()
    try:
        aliased = stats.alias_size_in_bytes
        return float(stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes - aliased)
    except AttributeError:
        return float(4 * settings * job.analysis.carry_bytes)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    return isinstance(error, (RuntimeError, MemoryError)) and (
        "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower() or isinstance(error, MemoryError)
    )

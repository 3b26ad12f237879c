"""The machine: devices for workers, their memory, running out of it, and free memory given back."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

SHARE = 0.8  # of the device's memory that a sweep may take; the rest is for what it does not know of
LARGE_BYTES = 16 * 2**20  # of a block's carry: what it leaves behind is worth giving back


def devices_for(workers: int | None) -> list[Any]:
    """The device of each worker: every local device, and on CPUs as many workers as there are cores."""
    devices = jax.local_devices()
    default = getattr(jax.config, "jax_default_device", None)
    if default is not None:
        devices = jax.local_devices(backend=default) if isinstance(default, str) else [default]
    count = workers
    if count is None:
        count = max(len(devices), cores()) if devices[0].platform == "cpu" else len(devices)
    return [devices[i % len(devices)] for i in range(count)]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def sharing_lapack(workers: int) -> Iterator[None]:
    """Shares the cores of this machine among the workers that factorize matrices at once.

    XLA calls LAPACK for that, whose threads are the process's own and wait for each other: Shampoo of 64 x 64 matrices took
    nearly twice as long on two workers, 0.53 s where 0.29 s do with a thread for each (8 lanes, 200 steps, 2 cores).
    """
    import scipy.linalg.cython_lapack  # noqa: F401  # whose threads they are
    from threadpoolctl import ThreadpoolController

    with _lapack:
        if not _limits:  # of sweeps in several threads the first one's holds, to the end of the last
            _limits.append(ThreadpoolController().limit(limits=max(1, cores() // workers), user_api="blas"))
        else:
            _limits.append(None)
    try:
        yield
    finally:
        with _lapack:
            limit = _limits[0]
            _limits.pop()
            if not _limits:
                limit.restore_original_limits()


_limits: list[Any] = []
_lapack = threading.Lock()


def mesh_of(*trees: Any) -> Mesh | None:
    """The mesh over which arrays of some trees are spread; None where each array lies on one device."""
    leaves = jax.tree.leaves(trees, is_leaf=lambda x: isinstance(x, Iterator))  # of which JAX warns elsewhere
    spread = [x.sharding for x in leaves if isinstance(x, jax.Array) and len(x.sharding.device_set) > 1]
    if not spread:
        return None
    first = next((s for s in spread if isinstance(s, NamedSharding)), spread[0])
    for other in spread:
        if other.device_set != first.device_set:
            raise ValueError(
                f"Parameters and data must be spread over the same devices, but some lie on {len(first.device_set)} devices "
                f"and some on {len(other.device_set)} others; put all of them on one mesh (jax.device_put)."
            )
    if isinstance(first, NamedSharding):
        return first.mesh  # type: ignore[return-value]
    devices: list[Any] = sorted(first.device_set, key=lambda device: int(device.id))
    return Mesh(np.array(devices), ("devices",))


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


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that a device has no memory left."""
    return isinstance(error, (RuntimeError, MemoryError)) and (
        "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower() or isinstance(error, MemoryError)
    )

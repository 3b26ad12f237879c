"""Timing in turn, the record of the machine, and the results as JSON."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jopt.engine.machine import budget
from jopt.engine.planning import remembered
from jopt.engine.running.runtime import EXECUTABLES

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("jax", "jaxlib", "optax", "numpy", "torch", "hyperoptax")
WARMED = 8 * 2**30  # bytes of main memory, at most, that are written to once before anything is timed
TOUCHED = 2**30  # the same before each run


def _ticks() -> tuple[int, int] | None:
    """How long the processors worked, and how long a virtual machine's host kept them from it; ``None`` if unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, _, _, stolen = map(int, stat.read_text().split()[1:9])
    return user + nice + system, stolen


BEGAN = _ticks()


def seconds(run: Callable[[], Any]) -> float:
    """What one call takes, until its result is there."""
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def interleave(cases: Mapping[str, Callable[[], Any]], times: int) -> dict[str, list[float]]:
    """Runs every case in turn, ``times`` over, so that a busy machine slows all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for i in range(times):
        # The order turns round each time, so that none always runs after the same neighbour.
        for name in list(cases) if i % 2 == 0 else reversed(list(cases)):
            gc.collect()
            warm_memory(TOUCHED)
            taken[name].append(seconds(cases[name]))
    return taken


def repeats(times: int, taken: float) -> int:
    """How often to run what takes so many seconds: short runs scatter more, and cost little."""
    return times if taken > 0.7 else 3 * times


def ratio(slow: list[float], fast: list[float]) -> float:
    """How many times faster: the median of the ratios of runs that stood side by side."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def geometric_mean(ratios: list[float]) -> float:
    """The mean of ratios."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else float("nan")


@contextlib.contextmanager
def no_plans() -> Iterator[None]:
    """No plan that was measured before is remembered inside, so a cold run is cold."""
    before = os.environ.get("JOPT_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JOPT_CACHE_DIR"] = folder
        remembered.forget()
        try:
            yield
        finally:
            os.environ.pop("JOPT_CACHE_DIR")
            if before is not None:
                os.environ["JOPT_CACHE_DIR"] = before


def forget_compiled() -> None:
    """Nothing that was compiled in this process is found again: neither by JAX, nor by what it computes."""
    EXECUTABLES.compiled.clear()
    jax.clear_caches()


def warm_memory(most: int = WARMED) -> None:
    """Writes to a part of main memory once: the host of a virtual machine hands it over page by page, which takes seconds.

    Some hosts take what is free back within seconds, so each run needs it anew, or its time depends on how long the one
    before it took.
    """
    size = int(min(most, budget(jax.local_devices(backend="cpu")[0]) / 2))
    parts = [np.ones(2**26, np.uint8) for _ in range(size // 2**26)]
    del parts


def machine() -> dict[str, Any]:
    """The hardware and the versions that a result belongs to."""
    device = jax.devices()[0]
    return {
        "device": "cpu" if device.platform == "cpu" else device.device_kind,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "load": round(os.getloadavg()[0], 2),
        "stolen": _stolen(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _stolen() -> float | None:
    """The share of the processors' time that the host took, of all that there was work for since this process began."""
    now = _ticks()
    if BEGAN is None or now is None:
        return None
    busy, stolen = (after - before for before, after in zip(BEGAN, now, strict=True))
    return round(stolen / max(1, busy + stolen), 3)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def version(name: str) -> str | None:
    """The installed version of a library, or ``None``."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def save(name: str, rows: list[dict[str, Any]], out: Path, **more: Any) -> Path:
    """Writes the rows of one benchmark, with the machine that they were measured on."""
    out.mkdir(parents=True, exist_ok=True)
    path = result_path(name, out)
    path.write_text(json.dumps({"benchmark": name, "machine": machine(), **more, "rows": rows}, indent=1) + "\n")
    return path


def result_path(name: str, out: Path) -> Path:
    """Where the results of a benchmark on this device are kept."""
    return out / f"{name}-{'cpu' if jax.devices()[0].platform == 'cpu' else 'gpu'}.json"


def label(row: dict[str, Any]) -> str:
    """The name of a row, as ``--rows`` takes it."""
    return f"{row['model']} x {row['lanes']}"


def load(path: Path) -> dict[str, Any]:
    """What ``save`` wrote."""
    return dict(json.loads(path.read_text()))

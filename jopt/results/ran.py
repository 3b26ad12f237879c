"""How, where and when a sweep ran: what a reader of its result, a year later, will want to know."""

from __future__ import annotations

import collections
import datetime
import functools
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from jopt.engine import machine
from jopt.results.record import Timings

LIBRARIES = ("jax", "jaxlib", "optax", "numpy")


class Ran:
    """The part of a ``SweepResult`` that is about its run."""

    _plan: Any
    _timings: Timings
    _version: str
    _environment: Mapping[str, str]

    @property
    def plan(self) -> Any:
        """How the sweep ran and why; print it."""
        return self._plan

    @property
    def timings(self) -> Timings:
        """Seconds of compiling, running and all; lane-steps, and lane-steps per second."""
        return self._timings

    @property
    def version(self) -> str:
        """The version of jopt that ran the sweep."""
        return self._version

    @property
    def environment(self) -> Mapping[str, str]:
        """Date, devices, system and versions of the sweep, texts by name; empty where nobody knows."""
        return self._environment


def environment() -> dict[str, str]:
    """The date, the devices, the system and the versions of this process, texts by name."""
    kinds = collections.Counter(device.device_kind for device in dict.fromkeys(machine.devices_for(None)))
    return {
        "ran": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def either(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Two environments as one; where they differ, both are told."""
    names = dict.fromkeys([*one, *other])
    return {name: "; ".join(dict.fromkeys(each[name] for each in (one, other) if name in each)) for name in names}


@functools.cache
def installed_version() -> str:
    """The version of jopt as it is installed."""
    try:
        return metadata.version("jopt")
    except metadata.PackageNotFoundError:
        return "unknown"

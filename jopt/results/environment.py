"""Where and when a sweep ran: what a reader of its result, a year later, will want to know."""

from __future__ import annotations

import collections
import datetime
import os
import platform
from importlib import metadata

from jopt.engine import machine

LIBRARIES = ("jax", "jaxlib", "optax", "numpy")


def environment() -> dict[str, str]:
    """The date, the devices, the system and the versions of this process, as texts by name."""
    kinds = collections.Counter(device.device_kind for device in dict.fromkeys(machine.devices_for(None)))
    return {
        "ran": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }

"""How, where and when a sweep ran: what a reader of its result, a year later, will want to know."""

from __future__ import annotations

import collections
import datetime
import functools
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

from jopt.engine import machine
from jopt.engine.data.arrays import is_keys
from jopt.engine.data.sources import Feed
from jopt.results.record import Timings
from jopt.results.trial import Swept

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
        """Date, devices, system and versions of the sweep, what it was of, texts by name; empty where nobody knows."""
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


def problem(feeds: Sequence[Feed], programs: Sequence[str]) -> dict[str, str]:
    """What was trained on what, texts by name: enough to tell most other problems by, and quick."""
    sizes = dict.fromkeys(str(getattr(feed, "batch_size", "")) for feed in feeds)
    leaves = [x for x in jax.tree.leaves(getattr(feeds[0], "host", feeds[0].data), is_leaf=is_keys) if not is_keys(x)]
    told = {
        "batch_size": ", ".join(filter(None, sizes)),
        "data": ", ".join(map(_glimpse, leaves[:8])),
        "program": ", ".join(dict.fromkeys(each[:12] for each in programs if each)),
    }
    return {name: text for name, text in told.items() if text}


def _glimpse(x: Any) -> str:
    """The type and the shape of an array, and some of what it holds in a few digits, where that is at hand."""
    shape, dtype = tuple(x.shape), str(x.dtype)
    here = isinstance(x, np.ndarray) or (isinstance(x, jax.Array) and {d.platform for d in x.devices()} == {"cpu"})
    if not here or not isinstance(x.dtype, np.dtype) or 0 in shape:
        return f"{dtype}{list(shape)}"
    found = np.asarray(x)  # maybe of a file that is larger than the memory, so it is not made flat
    some = found.flat[np.linspace(0, found.size - 1, min(256, found.size)).astype(np.int64)]
    return f"{dtype}{list(shape)} {hashlib.blake2b(some.tobytes(), digest_size=4).hexdigest()}"


def differing(first: Swept, second: Swept) -> str:
    """In what two results tell of different problems, in words; empty where they tell of none."""
    one, other, examples = first.environment, second.environment, first.record.examples
    sizes_swept = examples is not None and examples[0] in first.record.dims
    told = ["data"] if sizes_swept else ["data", "batch_size"]
    for name in told:
        if one.get(name, other.get(name)) != other.get(name, one.get(name)):
            return f"one was trained with {name}={one[name]}, the other with {other[name]}"
    alike = all(one.get(name) == other.get(name) for name in ("jax", "jaxlib"))  # other versions may trace otherwise
    programs = [set(each.get("program", "").split(", ")) for each in (one, other)]  # one for each structure
    known = alike and "program" in one and "program" in other
    return "the loss (or step) differs" if known and not sizes_swept and programs[0].isdisjoint(programs[1]) else ""


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

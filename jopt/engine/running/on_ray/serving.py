"""What runs in a process of Ray: jobs are traced and compiled there, and blocks taken some way."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.metadata
import os
import pickle
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.machine import devices_for
from jopt.engine.planning.plan import Plan
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Caller, Slot
from jopt.engine.running.worker import LocalWorker

# Which devices there are is the other process's own matter; the rest decides what is computed, or where compiled code is kept.
_OWN = ("jax_platforms", "jax_platform_name", "jax_default_device", "visible_devices", "jax_distributed", "jax_num_cpu_devices")
_THREADS = "/proc/self/task"
GPU_SHARE = 0.75  # of a GPU's memory that JAX takes for itself, by default


class Beat(NamedTuple):
    """What a worker says of itself.

    Attributes:
      got_to: its turn, and the step that its block is at; something else each time while Ray brings the job.
      cpu_s: the seconds of processor time that it has used.
      wanted_s: of its threads, but for the one that says so, the seconds that each has run or waited for a processor; empty
        where nobody can tell.
      compiling_s: for how many seconds something has been compiled now.
    """

    got_to: tuple[int, int]
    cpu_s: float
    wanted_s: Mapping[str, float]
    compiling_s: float


class _Here(Caller):
    """Nobody waits in another thread: what is to be traced is traced where it is needed."""

    def do(self, function: Callable[[], Any]) -> Any:
        return function()


class BlockWorker:
    """An actor of Ray: one thread runs blocks, another one answers meanwhile."""

    def __init__(self) -> None:
        self._workers: dict[str, LocalWorker] = {}
        self._turns = 0
        self._block: Block | None = None
        self._beats, self._fetching = 0, False

    def hello(self, path: Sequence[str], options: Mapping[str, Any], gpus: float) -> dict[str, str]:
        """Takes over where modules are found and JAX's options, and tells the versions here."""
        sys.path.extend(each for each in path if each not in sys.path)
        if not gpus:
            jax.config.update("jax_platforms", "cpu")
        elif gpus < 1:
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{GPU_SHARE * gpus:.3f}")
        here = jax.config.values
        for name, value in options.items():
            if here.get(name) != value:
                jax.config.update(name, value)
        return versions()

    def run(
        self, key: str, job: Sequence[Any], workers: int, block: Block, until: int, plan: Plan, turn_s: float
    ) -> BlockOutcome:
        """One turn of a block; ``job`` holds where the job lies, ``key`` is its name here."""
        begin = time.perf_counter()
        self._turns, self._block = self._turns + 1, block
        try:
            worker = self._worker(key, job, workers)
            worker.turn_s = turn_s
            outcome = worker(block, until, plan)
        except Exception as error:  # whatever the user's functions raise when they are read or traced here
            outcome = BlockOutcome(block, [], [], error=error)
        compiled = self._workers[key].runtime.compiler.spans(begin) if key in self._workers else ()
        if outcome.error is not None:
            gone = dataclasses.replace(block, carry=None, feedback=None, best=None, optimizer=None)
            return dataclasses.replace(outcome, block=gone, error=_portable(outcome.error), compiled=compiled)
        return dataclasses.replace(outcome, block=outcome.block.on_host(), compiled=compiled)

    def _worker(self, key: str, job: Sequence[Any], workers: int) -> LocalWorker:
        if key not in self._workers:
            import ray

            self._fetching = True
            try:
                there = ray.get(job[0])
            finally:
                self._fetching = False
            runtime = Runtime(there, _Here(), workers)
            self._workers[key] = LocalWorker(runtime, Slot(0, devices_for(1)[0]))
        return self._workers[key]

    def beat(self) -> Beat:
        """How far it is; called while a turn runs."""
        self._beats += 1
        step = -self._beats if self._fetching else self._block.step if self._block is not None else 0
        compiling_s = [worker.runtime.compiler.compiling_for() for worker in list(self._workers.values())]
        return Beat((self._turns, step), time.process_time(), _wanted(), max(compiling_s, default=0.0))

    def forget(self, key: str) -> None:
        """Lets go of a job."""
        worker = self._workers.pop(key, None)
        if worker is not None:
            worker.runtime.close()


def _wanted() -> dict[str, float]:
    """For how many seconds each thread has run or waited for a processor, as Linux counts them."""
    found = {}
    for name in os.listdir(_THREADS) if os.path.isdir(_THREADS) else ():
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"{_THREADS}/{name}/schedstat") as file:
            found[name] = sum(map(int, file.read().split()[:2])) / 1e9
    found.pop(str(threading.get_native_id()), None)
    return found


def versions() -> dict[str, str]:
    """Of what must be the same on both sides."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "JAX": jax.__version__, "jopt": importlib.metadata.version("jopt")}


def options() -> dict[str, Any]:
    """JAX's options as they count in this thread, but for those about devices."""
    plain = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in jax.config.values.items()
        if isinstance(value, plain) and not any(own in name for own in _OWN)
    }


def travelling(job: Job) -> Job:
    """A job with its data in NumPy arrays: Ray keeps those once on each machine, and processes read them where they lie."""
    feed = copy.copy(job.feed)
    feed.data = jax.tree.map(_plain, feed.data)
    return dataclasses.replace(job, feed=feed)


def _plain(x: Any) -> Any:
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return x if is_key or getattr(x, "weak_type", False) else np.asarray(x)


def _portable(error: Exception) -> Exception:
    """An error that reaches the other side, with what was under way here as a note."""
    where = "".join(traceback.format_exception(error)).rstrip()
    try:
        made: Exception = pickle.loads(pickle.dumps(error))
        if type(made) is not type(error):
            raise TypeError
    except Exception:  # of a class that can not be made again from its arguments, or that stands in no module
        made = RuntimeError(f"{type(error).__name__}: {error}")
    made.add_note(f"jopt: on a worker of Ray:\n{where}")
    return made

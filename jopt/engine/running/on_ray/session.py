"""Ray while a sweep runs: started for it, or found; and its workers as a sweep sees them."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jopt.engine import machine
from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.planning.plan import Plan
from jopt.engine.running.on_ray.pool import Pool, Process, needs_of
from jopt.engine.running.on_ray.serving import Beat, travelling
from jopt.engine.running.on_ray.workers import RayWorkers
from jopt.engine.running.retrying import WorkerLost, is_fault
from jopt.engine.running.runtime import Runtime
from jopt.engine.running.threads import Slot
from jopt.engine.running.worker import TURN_S

SHARE = 0.05  # of a turn that the way of a block there and back may take; turns grow until it does not take more
LONGEST_TURN_S = 10.0  # so that a sweep which is told to end and to save does so soon
_TOKEN = {"RAY_AUTH_MODE": "token"}
# Ray for this machine alone: as on macOS and Windows, its servers listen on the loopback address.
_LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class RayCrew:
    """The workers of a call: see ``carry_out.Crew``.

    Args:
      pool: their processes.
      retries: how often in a row a block runs again.
    """

    def __init__(self, pool: Pool, retries: int) -> None:
        self.pool, self.retries = pool, retries
        cpu = pool.asked.num_gpus == 0
        device = jax.local_devices(backend="cpu")[0] if cpu else machine.devices_for(1)[0]
        self.slots = [Slot(i, device) for i in range(pool.count)]
        self._lock = threading.Lock()
        self._sent: dict[Runtime, _Sent] = {}

    def make_worker(self, runtime: Runtime, slot: Slot) -> RayWorker:
        """As ``Sweep.make_worker``."""
        with self._lock:
            if runtime not in self._sent:
                self._sent[runtime] = _Sent(self.pool, runtime)
        return RayWorker(self.pool, runtime, self._sent[runtime], lambda: self._forget(runtime))

    def _forget(self, runtime: Runtime) -> None:
        sent = self._sent.pop(runtime, None)
        if sent is not None:
            self.pool.forget(sent.key)


class _Sent:
    """A job in Ray's store, once for all workers, and its name there."""

    def __init__(self, pool: Pool, runtime: Runtime) -> None:
        self.key = uuid.uuid4().hex
        with pool.asking():
            try:
                self.job = [pool.ray.put(travelling(runtime.job))]  # in a list it is not fetched again for each turn
            except pool.ray.exceptions.RayError as error:
                raise WorkerLost(f"Ray could not store the job: {error}") from error
            except Exception as error:
                reason = error.__cause__ or error  # around it, Ray prints the whole job
                raise TypeError(
                    f"workers=jopt.RayWorkers(): the loss, the optimizer, the data or another function can not travel to "
                    f"another process ({type(reason).__name__}: {reason}). Locks, open files, generators and handles of a "
                    f"device can not; make them inside the function, or leave workers= out."
                ) from error


class RayWorker:
    """A ``Worker`` in processes of Ray, a process at a time: where one is lost, the next turn finds another."""

    def __init__(self, pool: Pool, runtime: Runtime, sent: _Sent, forget: Callable[[], None]) -> None:
        self.pool, self.runtime, self.sent, self.close = pool, runtime, sent, forget
        self._process: Process | None = None
        self._turn_s = TURN_S

    def __call__(self, block: Block, until: int, plan: Plan) -> BlockOutcome:
        """See ``Worker``. The block that is given stays as it is, so that it can run again."""
        begin, caller, compiler = time.perf_counter(), self.runtime.caller, self.runtime.compiler
        try:
            with self.pool.lent(caller, self._process) as process:
                self._process, begin = process, time.perf_counter()
                args = self.sent.key, self.sent.job, self.runtime.workers, block.on_host(), until, plan, self._turn_s
                outcome = self.pool.run(process, caller, self._told, *args)
        except WorkerLost as error:
            return BlockOutcome(block, [], [], error=error, seconds=time.perf_counter() - begin, intact=True)
        finally:
            compiler.elsewhere.pop(self, None)
        compiler.add(outcome.compiled, begin)
        way_s = time.perf_counter() - begin - outcome.seconds - sum(end - since for since, end in outcome.compiled)
        self._turn_s = min(max(TURN_S, way_s / SHARE), LONGEST_TURN_S)
        if outcome.error is not None and is_fault(outcome.error):
            return BlockOutcome(block, [], [], error=outcome.error, seconds=outcome.seconds, intact=True)
        return outcome

    def _told(self, beat: Beat) -> None:
        if beat.compiling_s:
            self.runtime.compiler.elsewhere.setdefault(self, time.perf_counter() - beat.compiling_s)
        else:
            self.runtime.compiler.elsewhere.pop(self, None)


@contextlib.contextmanager
def crew(asked: RayWorkers, workers: int | None) -> Iterator[RayCrew]:
    """Ray's workers while a sweep runs, as many as were asked for or as there is room for.

    Raises:
      ImportError: Where there is no Ray.
      ValueError: Where there is no room for one worker, or Ray runs at another address already.
    """
    with _ray(asked, workers) as ray:
        pool = Pool(ray, asked, workers or _room(ray, asked))
        try:
            yield RayCrew(pool, asked.retries)
        finally:
            pool.close()


@contextlib.contextmanager
def _ray(asked: RayWorkers, workers: int | None) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        local, sigterm = asked.address is None, signal.getsignal(signal.SIGTERM)
        # Ray reads these as it is imported, and would misread them later; whoever imports it before has decided.
        wanted = {**_TOKEN, **(_LOCAL if local else {})} if _first() else {}
        stack.enter_context(_environment(wanted))
        ray = _imported()
        found = ray.is_initialized()
        if found:
            _check_address(ray, asked.address)
        else:
            stack.callback(ray.shutdown)
            cores = max(machine.cores(), math.ceil((workers or 1) * asked.num_cpus))
            own = {"address": "local", "num_cpus": cores, "include_dashboard": False}
            with warnings.catch_warnings():
                # Ray starts its servers by fork and exec, at which JAX warns of forks that go on with Python.
                warnings.filterwarnings("ignore", message=".*os.fork", category=RuntimeWarning)
                ray.init(**(own if local else {"address": asked.address}), logging_level="WARNING")
        stack.enter_context(_sigterm(sigterm, found))
        yield ray


@functools.cache
def _first() -> bool:
    """Whether nobody had imported Ray when this was asked for the first time."""
    return "ray" not in sys.modules


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError('workers=jopt.RayWorkers() needs Ray: python -m pip install "jopt[ray]".') from error
    return ray


@contextlib.contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Variables that are set inside, where nobody has set them."""
    new = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _sigterm(before: Any, found: bool) -> Iterator[None]:
    """SIGTERM without Ray's handler, which ends the process in the midst of a step: that from before, or the system's.

    ``found`` says that Ray was there, and stays, so that its handler does, too.
    """
    rays = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not _is_rays(rays):
        yield
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None or _is_rays(before) else before)
    try:
        yield
    finally:
        if found:
            signal.signal(signal.SIGTERM, rays)


def _is_rays(handler: Any) -> bool:
    return getattr(handler, "__module__", None) is not None and handler.__module__.partition(".")[0] == "ray"


def _check_address(ray: Any, address: str | None) -> None:
    there = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", there):
        raise ValueError(
            f"RayWorkers: address is {address!r}, but Ray is connected to {there!r} in this process already; give "
            f"address=None, or call ray.shutdown() before."
        )


def _room(ray: Any, asked: RayWorkers) -> int:
    there = ray.cluster_resources()
    room = int(min(there.get(name, 0.0) // amount for name, amount in asked.needs.items()))
    if room < 1:
        has = needs_of({name: there.get(name, 0.0) for name in asked.needs})
        raise ValueError(
            f"RayWorkers: each worker needs {needs_of(asked.needs)}, but all of Ray's machines together have {has}. Ask for "
            f"less, or, where machines come when they are needed, say how many workers: plan=jopt.Plan(workers=...)."
        )
    return room

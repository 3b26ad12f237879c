"""Processes of Ray: begun, lent to who has a block, and ended when nothing is heard of them."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.running.on_ray.serving import Beat, BlockWorker, options, versions
from jopt.engine.running.on_ray.workers import RayWorkers
from jopt.engine.running.retrying import WorkerLost
from jopt.engine.running.threads import SLICE_S, Caller, Stopped

BEATS = 5  # asked for in the time of one heartbeat
BEAT_S = 5.0  # between two of them, at most
IDLE = 0.05  # of a processor: a process that uses less does nothing; one of Ray that waited took 0.007
READY = 0.25  # of the time that one thread runs or waits for a processor
START_S = 120.0  # how long a process may take to begin, at least; twice as long for each that took longer
LEAVE_S = 10.0  # how long threads may take to leave what they ask of Ray


@dataclasses.dataclass(eq=False)
class Process:
    """A worker's process: its actor, and what it has said last."""

    actor: Any
    begun: float
    hello: Any  # what it answers first


class Pool:
    """At most so many processes, which slots take in turn.

    Args:
      ray: the module.
      asked: what each takes, and how long it may be silent.
      count: how many there may be.
    """

    def __init__(self, ray: Any, asked: RayWorkers, count: int) -> None:
        self.ray, self.asked, self.count = ray, asked, count
        takes = {"num_cpus": asked.num_cpus, "num_gpus": asked.num_gpus}
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=2, **takes)(BlockWorker)
        self._hello = [*sys.path], options(), asked.num_gpus
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._starting: list[Process] = []
        self._all: set[Process] = set()
        self._inside = 0  # threads that may ask something of Ray
        self._closed = self._warned = False
        self._start_s = max(START_S, asked.heartbeat_s)

    @contextlib.contextmanager
    def lent(self, caller: Caller, before: Process | None) -> Iterator[Process]:
        """A process that is free, the one that the slot had ``before`` if that may be.

        Raises:
          Stopped: When the sweep ends meanwhile.
          WorkerLost: When one died as it began.
        """
        with self.asking():
            process = self._wait_for(caller, before)
            try:
                yield process
            except BaseException:
                self._end(process)
                raise
            with self._lock:
                self._idle.append(process)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, something may be asked of Ray."""
        with self._lock:
            if self._closed:
                raise Stopped
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def _wait_for(self, caller: Caller, before: Process | None) -> Process:
        while True:
            with self._lock:
                if before in self._idle:
                    self._idle.remove(before)
                    return before
                if self._idle:
                    return self._idle.pop()
                if len(self._all) < self.count:
                    self._begin()
                starting = list(self._starting)
            if caller.stop.is_set():
                raise Stopped
            self._look_at(starting, caller)

    def _begin(self) -> None:
        actor = self._actor.remote()
        process = Process(actor, time.monotonic(), actor.hello.remote(*self._hello))
        self._starting.append(process)
        self._all.add(process)

    def _look_at(self, starting: list[Process], caller: Caller) -> None:
        """Waits a moment for those that begin, and replaces one that takes too long: it may have been stopped."""
        if not starting:
            time.sleep(SLICE_S / 4)  # all are lent to others
            return
        done, _ = self.ray.wait([process.hello for process in starting], timeout=SLICE_S)
        for process in starting:
            if process.hello in done:
                self._greet(process)
            elif (waited_s := time.monotonic() - process.begun) > self._start_s and self._end(process):
                self._start_s *= 2
                self._say_that_none_begins(caller, waited_s)

    def _greet(self, process: Process) -> None:
        with self._lock:
            if process not in self._starting:
                return  # another thread did
            self._starting.remove(process)
        try:
            there = self._got(process.hello)
        except BaseException:
            self._end(process)
            raise
        here = versions()
        if there != here:
            self._end(process)
            differ = ", ".join(f"{name} {there[name]} (here {here[name]})" for name in here if there[name] != here[name])
            raise RuntimeError(f"workers=jopt.RayWorkers(): a worker has {differ}; both sides need the same versions.")
        with self._lock:
            self._idle.append(process)

    def _say_that_none_begins(self, caller: Caller, waited_s: float) -> None:
        with self._lock:
            first, self._warned = not self._warned, True
        if first:
            free, needs = self.ray.available_resources(), self.asked.needs
            has = ", ".join(f"{name} {free.get(name, 0.0):g} of the {amount:g} that it needs" for name, amount in needs.items())
            text = f"workers=jopt.RayWorkers(): Ray has not begun a worker for {waited_s:.0f} s; free are {has}. "
            caller.do(lambda: warnings.warn(text + "It is asked for again until it is there.", RuntimeWarning, stacklevel=2))

    def run(self, process: Process, caller: Caller, told: Callable[[Beat], None], *args: Any) -> BlockOutcome:
        """One turn of a block in a process; ``told`` hears of its beats.

        Raises:
          Stopped: When the sweep ends meanwhile.
          WorkerLost: When the process died, or was ended since nothing was heard of it.
        """
        watch, turn = _Watch(self.asked.heartbeat_s), process.actor.run.remote(*args)
        beat = None
        while not self.ray.wait([turn], timeout=min(SLICE_S, watch.every_s))[0]:
            if caller.stop.is_set():
                raise Stopped
            if beat is None and watch.due():
                beat = process.actor.beat.remote()
            if beat is not None and self.ray.wait([beat], timeout=0)[0]:
                said: Beat = self._got(beat)
                beat = None
                watch.hear(said)
                told(said)
            watch.check()
        return self._got(turn)  # type: ignore[no-any-return]

    def _got(self, ref: Any) -> Any:
        try:
            return self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except self.ray.exceptions.RayError as error:
            raise WorkerLost(f"A worker of Ray was lost: {type(error).__name__}: {_first_line(error)}") from error

    def _end(self, process: Process) -> bool:
        """Ends a process, a stopped one too; False where that was done before."""
        with self._lock:
            if process not in self._all:
                return False
            self._all.discard(process)
            for each in (self._idle, self._starting):
                if process in each:
                    each.remove(process)
        with contextlib.suppress(Exception):  # it may be dead already
            self.ray.kill(process.actor, no_restart=True)
        return True

    def forget(self, key: str) -> None:
        """Lets processes go of a job."""
        with contextlib.suppress(Stopped), self.asking():
            for process in list(self._all):
                process.actor.forget.remote(key)

    def close(self) -> None:
        """Ends all processes; nobody asks anything of Ray behind that, which would begin another one."""
        with self._lock:
            self._closed = True
        until = time.monotonic() + LEAVE_S
        while self._inside and time.monotonic() < until:
            time.sleep(SLICE_S / 20)
        for process in list(self._all):
            self._end(process)


class _Watch:
    """How long nothing was heard of a process that runs a block."""

    def __init__(self, heartbeat_s: float) -> None:
        self.heartbeat_s = heartbeat_s
        self.every_s = min(BEAT_S, heartbeat_s / BEATS)
        self._heard = self._asked = time.monotonic()
        self._last: Beat | None = None
        self._at = self._heard

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._asked < self.every_s:
            return False
        self._asked = now
        return True

    def hear(self, beat: Beat) -> None:
        """A process that answers may still be stuck: it has to get on, to use its processor, or to wait for one."""
        now, last = time.monotonic(), self._last
        if last is None or beat.got_to != last.got_to or _busy(beat, last, now - self._at):
            self._heard = now
        self._last, self._at = beat, now

    def check(self) -> None:
        if time.monotonic() - self._heard > self.heartbeat_s:
            how = "did not answer" if time.monotonic() - self._at > self.heartbeat_s else "answered, but did nothing"
            raise WorkerLost(f"A worker of Ray {how} for {self.heartbeat_s:g} s, and was ended.")


def _busy(beat: Beat, last: Beat, seconds: float) -> bool:
    """Whether a process works, or would if others left it a processor: one of its threads waits for nothing else."""
    wanted_s = max((x - last.wanted_s[name] for name, x in beat.wanted_s.items() if name in last.wanted_s), default=0.0)
    return beat.cpu_s - last.cpu_s > IDLE * seconds or wanted_s > READY * seconds


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def needs_of(needs: Mapping[str, float]) -> str:
    """What a worker takes, in words."""
    return ", ".join(f"{name} {amount:g}" for name, amount in needs.items())

"""Workers: threads that run blocks side by side, one per core or accelerator."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import jax


class Caller:
    """The thread that called a sweep. It traces and lowers for the workers, because JAX's contexts are a thread's own."""

    def __init__(self) -> None:
        self.x64 = bool(jax.config.values["jax_enable_x64"])
        self._thread = threading.get_ident()
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._gone = False

    def do(self, function: Callable[[], Any]) -> Any:
        """What ``function()`` returns, called in the caller's thread, which waits in ``serve``."""
        if threading.get_ident() == self._thread:
            return function()
        answer: Future[Any] = Future()
        self._asked.put((function, answer))
        while True:
            try:
                return answer.result(timeout=1.0)
            except TimeoutError:
                if self._gone and not answer.done():
                    raise RuntimeError("The sweep was stopped.") from None

    def serve(self, timeout: float) -> bool:
        """Does what is asked for, or nothing for a while; whether a worker says that it is done."""
        try:
            asked = self._asked.get(timeout=timeout)
        except queue.Empty:
            return False
        if asked is None:
            return True
        function, answer = asked
        try:
            answer.set_result(function())
        except Exception as error:
            answer.set_exception(error)
        except BaseException as error:
            answer.set_exception(RuntimeError("The sweep was stopped."))
            raise error
        return False

    def hear_the_end(self) -> None:
        """Hears that a worker is done."""
        self._asked.put(None)

    def leave(self) -> None:
        """Nobody serves any more."""
        self._gone = True


def devices_for(workers: int | None) -> list[Any]:
    """The device of each worker: every local device, and on CPUs as many workers as there are cores."""
    devices = jax.local_devices()
    default = getattr(jax.config, "jax_default_device", None)
    if default is not None:
        devices = jax.local_devices(backend=default) if isinstance(default, str) else [default]
    count = workers
    if count is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = max(len(devices), cores) if devices[0].platform == "cpu" else len(devices)
    return [devices[i % len(devices)] for i in range(count)]


def run_all(tasks: Sequence[Callable[[Any], Any]], devices: Sequence[Any], stop: threading.Event, caller: Caller) -> None:
    """Runs ``task(device)`` for every task, each worker taking the next one; the first error ends all and is raised."""
    waiting: queue.SimpleQueue[Callable[[Any], Any]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    errors: list[BaseException] = []

    def work(device: Any) -> None:
        # As in the caller's thread: arrays are put on devices here too.
        with jax.enable_x64(caller.x64), jax.transfer_guard("allow"):
            while not stop.is_set():
                try:
                    task = waiting.get_nowait()
                except queue.Empty:
                    break
                try:
                    task(device)
                except BaseException as error:  # handed to the caller's thread
                    errors.append(error)
                    stop.set()

    def work_and_say(device: Any) -> None:
        work(device)
        caller.hear_the_end()

    threads = [threading.Thread(target=work_and_say, args=(d,), name=f"jopt-{i}", daemon=True) for i, d in enumerate(devices)]
    if len(threads) == 1 or len(tasks) == 1:
        work(devices[0])
    else:
        _join(threads, stop, caller)
    if errors:
        raise errors[0]


def _join(threads: Sequence[threading.Thread], stop: threading.Event, caller: Caller) -> None:
    for thread in threads:
        thread.start()
    try:
        working = len(threads)
        while working:
            working -= caller.serve(0.2)  # in slices, so that Ctrl-C reaches the main thread
    except BaseException:
        stop.set()
        caller.leave()
        for thread in threads:
            thread.join()
        raise

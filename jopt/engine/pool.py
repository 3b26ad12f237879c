"""Workers: threads that run blocks side by side, one per core or accelerator."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax


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


def run_all(tasks: Sequence[Callable[[Any], Any]], devices: Sequence[Any], stop: threading.Event) -> None:
    """Runs ``task(device)`` for every task, each worker taking the next one; the first error ends all and is raised."""
    waiting: queue.SimpleQueue[Callable[[Any], Any]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    errors: list[BaseException] = []

    def work(device: Any) -> None:
        while not stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                with jax.transfer_guard("allow"):  # as in the caller's thread
                    task(device)
            except BaseException as error:  # handed to the caller's thread
                errors.append(error)
                stop.set()

    threads = [threading.Thread(target=work, args=(d,), name=f"jopt-{i}", daemon=True) for i, d in enumerate(devices)]
    if len(threads) == 1 or len(tasks) == 1:
        work(devices[0])
    else:
        _join(threads, stop)
    if errors:
        raise errors[0]


def _join(threads: Sequence[threading.Thread], stop: threading.Event) -> None:
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # in slices, so that Ctrl-C reaches the main thread
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join()
        raise

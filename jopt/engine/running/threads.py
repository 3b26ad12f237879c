"""Threads that run tasks side by side, one per core or accelerator, and the caller's thread, which waits for what they find.

The caller never computes: it can hear Ctrl-C at any time. It traces and lowers for the workers, because JAX's contexts are a
thread's own, and it alone writes down what they found.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax

_ALIVE: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
Task = Callable[["Slot"], Iterator[Any]]  # what is found on the way
SLICE_S = 0.2  # how long the caller waits before it looks around
LAST_S = 5.0  # how long a program that ends waits for what compiles
LEAVE_S = 1.5  # how long a thread may take to end when a sweep is stopped; one that compiles ends by itself later


class Slot(NamedTuple):
    """A place where one worker runs: its number, and its device, which several may share."""

    number: int
    device: Any


class Stopped(Exception):
    """Raised in a worker whose sweep has been stopped."""


class Caller:
    """The thread that called a sweep, as the workers see it.

    Args:
      on_stop: called when the sweep is stopped, so that no worker goes on waiting for what will not come.
    """

    def __init__(self, on_stop: Sequence[Callable[[], None]] = ()) -> None:
        self.on_stop = on_stop
        self.on_wait: Callable[[], Any] = bool  # called now and then while nothing is heard; by default it does nothing
        self._options = {name: jax.config.values[f"jax_{name}"] for name in ("enable_x64", "debug_nans", "debug_infs")}
        self.stop = threading.Event()
        self._thread = threading.get_ident()
        self._heard: queue.SimpleQueue[tuple[str, Any, Any]] = queue.SimpleQueue()

    def do(self, function: Callable[[], Any]) -> Any:
        """What ``function()`` returns, called in the caller's thread, which waits in ``run_all``."""
        if threading.get_ident() == self._thread:
            return function()
        answer: Future[Any] = Future()
        self._heard.put(("do", function, answer))
        while True:
            try:
                return answer.result(timeout=SLICE_S)
            except TimeoutError:
                if self.stop.is_set() and not answer.done():
                    raise Stopped from None

    def run_all(
        self, tasks: deque[Task], slots: Sequence[Slot], take: Callable[[Any], None], late: Callable[[Any], None]
    ) -> None:
        """Runs every task, in each slot the next one; ``take`` hears of all that is found, and may append further tasks.

        The first error of a task ends all and is raised; ``late`` hears of what the others had found by then.
        """
        threads: list[threading.Thread] = []
        try:
            self._serve(tasks, list(slots), threads, take, late)
        except BaseException:
            self.stop.set()
            for end in self.on_stop:
                end()
            _join(threads)
            self._hear_out(late)
            raise

    def _begin(self, tasks: deque[Task], slot: Slot) -> threading.Thread:
        def work() -> None:
            with self.as_in_the_caller(), contextlib.suppress(IndexError):
                while not self.stop.is_set():
                    self._run(tasks.popleft()(slot))
            self._heard.put(("end", slot, None))

        return spawn(work, f"jopt-{slot.number}")

    @contextlib.contextmanager
    def as_in_the_caller(self) -> Iterator[None]:
        """JAX's options that count when arrays are put on a device and compiled code is called."""
        with contextlib.ExitStack() as stack:
            for name, value in self._options.items():
                stack.enter_context(getattr(jax, name)(value))
            stack.enter_context(jax.transfer_guard("allow"))  # what a sweep moves it moves on purpose
            yield

    def _run(self, task: Iterator[Any]) -> None:
        try:
            for found in task:
                self._heard.put(("found", found, None))
                if self.stop.is_set():
                    return
        except Stopped:
            return
        except BaseException as error:  # handed to the caller's thread
            self._heard.put(("error", error, None))

    def _serve(
        self,
        tasks: deque[Task],
        free: list[Slot],
        threads: list[threading.Thread],
        take: Callable[[Any], None],
        late: Callable[[Any], None],
    ) -> None:
        """Hears threads until all have ended; ``free`` slots take up tasks that are appended meanwhile."""
        errors: list[BaseException] = []
        working = 0
        while True:
            for _ in range(0 if errors else min(len(tasks), len(free))):
                threads.append(self._begin(tasks, free.pop(0)))
                working += 1
            if not working:
                break
            try:
                kind, what, answer = self._heard.get(timeout=SLICE_S)
            except queue.Empty:
                self.on_wait()
                continue
            if kind == "end":
                working -= 1
                free.append(what)
                threads[:] = filter(threading.Thread.is_alive, threads)
            elif kind == "do":
                _answer(what, answer)
            elif kind == "error":
                errors.append(what)
                self.stop.set()
            else:
                (late if errors else take)(what)
        if errors:
            raise errors[0]

    def _hear_out(self, late: Callable[[Any], None]) -> None:
        with contextlib.suppress(Exception):  # the error that ended all is the one to report; the queue's end is one, too
            while True:
                kind, what, _ = self._heard.get_nowait()
                if kind == "found":
                    late(what)


def _answer(function: Callable[[], Any], answer: Future[Any]) -> None:
    try:
        answer.set_result(function())
    except Exception as error:
        answer.set_exception(error)
    except BaseException:
        answer.set_exception(Stopped())
        raise


def spawn(work: Callable[[], Any], name: str) -> threading.Thread:
    """A thread that holds up nobody who leaves the program: what is compiled can't be stopped."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    _ALIVE.add(thread)
    return thread


@atexit.register
def _last_wait() -> None:
    """A thread that compiles while the program ends, or comes back to Python then, takes the process down by a signal."""
    _join(list(_ALIVE), LAST_S)


def _join(threads: Sequence[threading.Thread], seconds: float = LEAVE_S) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))

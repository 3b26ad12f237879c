"""What a job needs compiled: lowered in the caller's thread, compiled side by side, and for how long that has been going on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from jopt.engine.compiled.executables import Executable, Executables, Wanted
from jopt.engine.running.threads import Caller, spawn


class Compiler:
    """Compiles for one job.

    Args:
      executables: what has been compiled in this process.
      caller: in whose thread programs are lowered, since JAX's options there are those that count.
    """

    def __init__(self, executables: Executables, caller: Caller) -> None:
        self.executables = executables
        self.caller = caller
        self._spans: list[tuple[float, float]] = []  # from when to when something was compiled
        self._begun: dict[tuple[float, int], None] = {}  # what is being compiled: since when, by which thread
        self.elsewhere: dict[Any, float] = {}  # who compiles in another process, and since when

    def get(self, wanted: Wanted) -> Executable:
        """The executable, compiled here if nobody has compiled it."""
        return self._get(wanted, lambda: self.caller.do(wanted.lowered))

    def beside(self, wanted: Wanted, ready: Future[Executable]) -> None:
        """Compiles in a thread of its own, so that something else can be compiled here meanwhile; ``ready`` hears of it."""
        if wanted in self.executables:
            ready.set_result(self.get(wanted))
            return
        begin = time.perf_counter()
        lowered = self.caller.do(wanted.lowered)  # here: the thread must need nobody who might be waiting for it
        self._spans.append((begin, time.perf_counter()))

        def work() -> None:
            with self.caller.as_in_the_caller():
                try:
                    ready.set_result(self._get(wanted, lambda: lowered))
                except BaseException as error:  # for whoever waits
                    ready.set_exception(error)

        spawn(work, "jopt-compile")

    def _get(self, wanted: Wanted, lower: Callable[[], Any]) -> Executable:
        begin = time.perf_counter()
        self._begun[begin, threading.get_ident()] = None
        try:
            executable, seconds = self.executables.get(wanted, lower)
        finally:
            del self._begun[begin, threading.get_ident()]
        if seconds:
            now = time.perf_counter()
            self._spans.append((now - seconds, now))
        return executable

    def spans(self, since: float) -> tuple[tuple[float, float], ...]:
        """From when to when something was compiled, in seconds since a moment."""
        return tuple((max(begin, since) - since, end - since) for begin, end in list(self._spans) if end > since)

    def add(self, spans: Sequence[tuple[float, float]], since: float) -> None:
        """Takes what another process has compiled for this one, in seconds since a moment here."""
        self._spans.extend((since + begin, since + end) for begin, end in spans)

    @property
    def seconds(self) -> float:
        """The seconds in which something was compiled, be it by several threads at once."""
        total, until = 0.0, 0.0
        for begin, end in sorted(self._spans):
            total += max(0.0, end - max(begin, until))
            until = max(until, end)
        return total

    def compiling_for(self) -> float:
        """For how many seconds something has been compiled now; 0 where nothing is."""
        begun = [*(begin for begin, _ in list(self._begun)), *list(self.elsewhere.values())]
        return time.perf_counter() - min(begun) if begun else 0.0

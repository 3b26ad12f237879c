"""Progress on a terminal, and nothing anywhere else: a bar where rich is installed, a line that counts where it is not."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from jopt.results import text

REFRESH_S = 0.1  # ten pictures a second look alive; more only cost time


class Display(Protocol):
    """What shows the progress."""

    def show(self, done: int, facts: str) -> None:
        """Shows how many lane-steps are done, and what else there is to say."""

    def stop(self) -> None:
        """Ends the display, and gives the terminal back."""


class Progress:
    """Shows how far a sweep is: steps, lanes, best so far, speed, time left.

    Threads may call ``advance`` at the same time. Whatever goes wrong with the display ends the
    display, never the sweep. Where nothing is shown nothing is imported.

    Args:
      enabled: True: show; False: stay silent; None: show if standard error is a terminal.
      total_lane_steps: Lane-steps of the whole sweep.
      lanes: Training runs in the sweep.
      description: A word or two before the bar.

    Example:
      >>> from jopt.results import Progress
      >>> with Progress(False, total_lane_steps=100, lanes=2) as bar:
      ...     bar.advance(50, best=0.3)
    """

    def __init__(self, enabled: bool | None, *, total_lane_steps: int, lanes: int, description: str = "sweep") -> None:
        self._lock = threading.Lock()
        self._total = total_lane_steps
        self._lanes = lanes
        self._description = description
        self._enabled = _on_terminal() if enabled is None else enabled
        self._display: Display | None = None
        self._done = 0
        self._compiling = 0.0
        self._best = math.inf
        self._started = self._shown = 0.0

    def __enter__(self) -> Self:
        """Starts the display."""
        self._started = time.monotonic()
        if self._enabled:
            self._safely(self._start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shows the last state and ends the display."""
        with self._lock:
            self._safely(self._show)
            self._end()

    def advance(self, lane_steps: int, best: float | None = None) -> None:
        """Counts finished work.

        Args:
          lane_steps: Lane-steps done since the last call.
          best: The lowest loss among them; None or NaN: unknown.
        """
        with self._lock:
            self._done += lane_steps
            self._compiling = 0.0
            if best is not None and best < self._best:
                self._best = float(best)
            if time.monotonic() - self._shown >= REFRESH_S:
                self._safely(self._show)

    def compiling(self, seconds: float) -> None:
        """Says for how long something has been compiled, where that is long enough to be wondered at.

        Args:
          seconds: Since when; 0: nothing is.
        """
        with self._lock:
            self._compiling = seconds
            self._safely(self._show)

    def _start(self) -> None:
        self._display = _display(self._description, self._total)

    def _show(self) -> None:
        if self._display is not None:
            self._shown = time.monotonic()
            self._display.show(self._done, self._facts())

    def _facts(self) -> str:
        speed = self._done / max(time.monotonic() - self._started, 1e-9)
        best = f", best {text.number(self._best)}" if math.isfinite(self._best) else ""
        now = f"compiling, {self._compiling:.0f} s" if self._compiling >= 1.0 else f"{speed:,.0f} lane-steps/s"
        return f"{self._lanes} lanes{best}, {now}"

    def _safely(self, show: Callable[[], None]) -> None:
        try:
            show()
        except Exception:  # a closed or odd terminal must not end a sweep
            self._end()

    def _end(self) -> None:
        display, self._display = self._display, None
        if display is not None:
            with contextlib.suppress(Exception):
                display.stop()


def _on_terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except Exception:  # none, closed, or replaced by something that only takes text
        return False


def _display(description: str, total: int) -> Display:
    try:
        return _Bar(description, total)
    except ImportError:  # rich is an extra, jopt[progress]
        return _Line(description, total)


class _Bar:
    """A bar drawn by rich."""

    def __init__(self, description: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            auto_refresh=False,  # no thread of rich's own, whose errors would reach nobody
        )
        self._task = self._bar.add_task(description, total=total, facts="")
        self._bar.start()

    def show(self, done: int, facts: str) -> None:
        """Draws the bar anew."""
        self._bar.update(self._task, completed=done, facts=facts, refresh=True)

    def stop(self) -> None:
        """Gives the cursor and the standard streams back."""
        self._bar.stop()


class _Line:
    """One line of text, written over itself on a terminal; elsewhere the last one alone."""

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total = description, total
        self._stream, self._redrawn = sys.stderr, _on_terminal()
        self._line = ""

    def show(self, done: int, facts: str) -> None:
        """Writes the line anew."""
        before, share = len(self._line), done / max(self._total, 1)
        room = shutil.get_terminal_size().columns - 1  # a full line would wrap
        self._line = f"{self._description} {share:4.0%}, {facts}"[:room]
        if self._redrawn:
            self._stream.write(f"\r{self._line.ljust(min(before, room))}")
            self._stream.flush()

    def stop(self) -> None:
        """Leaves the line, and begins a new one."""
        self._stream.write("\n" if self._redrawn else f"{self._line}\n")
        self._stream.flush()

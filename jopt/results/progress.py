"""A progress bar on a terminal, and nothing anywhere else."""

import contextlib
import math
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from . import text

REFRESH_S = 0.1  # ten pictures a second look alive; more only cost time


class Progress:
    """Shows how far a sweep is: steps, lanes, best so far, speed, time left.

    Threads may call `advance` at the same time. Whatever goes wrong with the display ends the
    display, never the sweep. Where nothing is shown nothing is imported.

    Args:
      enabled: True: show; False: stay silent; None: show if standard error is a terminal.
      total_lane_steps: lane-steps of the whole sweep.
      lanes: training runs in the sweep.
      description: a word or two before the bar.

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
        self._bar: Any = None
        self._done = 0
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
          lane_steps: lane-steps done since the last call.
          best: the lowest loss among them; None or NaN: unknown.
        """
        with self._lock:
            self._done += lane_steps
            if best is not None and best < self._best:
                self._best = float(best)
            if time.monotonic() - self._shown >= REFRESH_S:
                self._safely(self._show)

    def _start(self) -> None:
        self._bar = _rich_bar()
        self._task = self._bar.add_task(self._description, total=self._total, facts=self._facts())
        self._bar.start()

    def _show(self) -> None:
        if self._bar is not None:
            self._shown = time.monotonic()
            self._bar.update(self._task, completed=self._done, facts=self._facts(), refresh=True)

    def _facts(self) -> str:
        speed = self._done / max(time.monotonic() - self._started, 1e-9)
        best = f", best {text.number(self._best)}" if math.isfinite(self._best) else ""
        return f"{self._lanes} lanes{best}, {speed:,.0f} lane-steps/s"

    def _safely(self, show: Any) -> None:
        try:
            show()
        except Exception:  # a closed or odd terminal must not end a sweep
            self._end()

    def _end(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            with contextlib.suppress(Exception):
                bar.stop()  # gives the cursor and the standard streams back


def _on_terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except Exception:  # none, closed, or replaced by something that only takes text
        return False


def _rich_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        auto_refresh=False,  # no thread of rich's own, whose errors would reach nobody
    )

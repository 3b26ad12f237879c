"""Progress: one line that is written anew on a terminal and in a notebook, a line now and then in a log, and silence elsewhere.

It is asked for what to say when it is time to say it, so that a sweep which nobody watches computes nothing for it.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from jopt.results import facts
from jopt.results.facts import Facts

SHARE = 0.01  # of the caller's processor time, which is all that the progress may take
NARROWEST = 20  # a terminal that says it is narrower is not believed


class Display(Protocol):
    """Where the line goes."""

    @property
    def every_s(self) -> float:
        """Seconds between two lines."""

    @property
    def width(self) -> int | None:
        """The most columns of a line; None: as many as it has."""

    def show(self, line: str) -> None:
        """Shows a line, in place of the last one where that can be."""

    def hide(self) -> None:
        """Takes the line away, since somebody else is about to write."""

    def stop(self, line: str) -> None:
        """Shows the last line, and leaves it there."""


class Progress:
    """Says how far a sweep is: lanes alive, done, pruned and dead, the best setting so far, speed, and the time left.

    On a terminal and in a notebook it is one line, rewritten; elsewhere a line each 30 s. All is called in one thread. Whatever
    goes wrong with the display ends the display, never the sweep. Where nothing is shown nothing is computed.

    Args:
      enabled: True: show; False: stay silent; None: show on a terminal and in a notebook, elsewhere after 30 s.
      description: A word or two before the line.

    Example:
      >>> from jopt.results import Progress
      >>> from jopt.results.facts import Facts
      >>> with Progress(False) as bar:
      ...     bar.watch(lambda: Facts(alive=2, lane_steps=50, to_do=150))
      ...     bar.tick()
    """

    def __init__(self, enabled: bool | None = None, description: str = "sweep") -> None:
        self._enabled, self._description = enabled, description
        self._look: Callable[[], Facts] = Facts
        self._before = Facts()
        self._to_come = 0, 0
        self._display: Display | None = None
        self._started = 0.0
        self._due = math.inf

    def __enter__(self) -> Self:
        """Starts the display."""
        self._started = time.monotonic()
        if self._enabled is not False:
            self._safely(self._start)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Shows the last state and ends the display."""
        self._safely(self._stop)
        self._display = None

    def watch(self, look: Callable[[], Facts], to_come: tuple[int, int] = (0, 0)) -> None:
        """Says who knows how far things are; what was watched until now has ended, and is counted with it.

        Args:
          look: Returns the facts; called when it is time for a line.
          to_come: Of what will be watched after that, how many lanes and lane-steps it is.
        """
        if self._display is not None:
            self._safely(lambda: setattr(self, "_before", self._look().and_before(self._before)))
        self._look, self._to_come = look, to_come

    def tick(self) -> None:
        """Shows a line if it is time; to be called often."""
        if self._display is not None and time.monotonic() >= self._due:
            self._safely(self._show)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """While somebody else may write, the line is away."""
        if self._display is not None:
            self._safely(self._display.hide)
        try:
            yield
        finally:
            if self._display is not None and self._display.width is not None:
                self._due = 0.0  # it comes back at once

    def _start(self) -> None:
        self._display = _display(self._enabled)
        self._due = self._started + (self._display.every_s if self._display.width is None else 0.0)

    def _show(self) -> None:
        assert self._display is not None
        begin = time.thread_time()
        self._display.show(self._line(over=False))
        took = time.thread_time() - begin  # of this thread: workers that compute beside it do not count
        self._due = time.monotonic() + max(self._display.every_s, took / SHARE)

    def _stop(self) -> None:
        if self._display is not None:
            self._display.stop(self._line(over=True))

    def _line(self, over: bool) -> str:
        assert self._display is not None
        now = self._look().and_before(self._before).and_to_come(*self._to_come)
        width = self._display.width
        line = facts.line(self._description, now, time.monotonic() - self._started, over, width)
        return "".join(c if c.isprintable() else "?" for c in line)  # a name may hold a line break

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # a closed or odd terminal must not end a sweep
            self._display = None


def _display(enabled: bool | None) -> Display:
    if _in_notebook():
        return Cell()
    return Line() if _on_terminal() else Log(quiet=enabled is None)


def _on_terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except Exception:  # none, closed, or replaced by something that only takes text
        return False


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this, of Jupyter, VS Code or Colab."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Line:
    """A line of a terminal that is written over itself, with no more than carriage returns and spaces."""

    every_s = 0.1  # ten pictures a second look alive

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._written = 0  # columns of the line that stands there

    @property
    def width(self) -> int:
        """One column less than the terminal's, which may have changed: a full line would wrap."""
        try:
            wide = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError, AttributeError):
            wide = shutil.get_terminal_size().columns
        return (wide if wide >= NARROWEST else 80) - 1

    def show(self, line: str) -> None:
        """Writes the line over the last one."""
        line = facts.cut(_readable(line, self._stream), self.width)
        wide, room = facts.columns(line), self.width
        self._write(f"\r{line}{' ' * (min(self._written, room) - wide)}")
        self._written = wide

    def hide(self) -> None:
        """Leaves an empty line, with the cursor at its beginning."""
        if self._written:
            self._write(f"\r{' ' * min(self._written, self.width)}\r")
            self._written = 0

    def stop(self, line: str) -> None:
        """Writes the line, and begins a new one."""
        self.show(line)
        self._write("\n")

    def _write(self, shown: str) -> None:
        self._stream.write(shown)
        self._stream.flush()


class Log:
    """Lines below each other, for logs: one each half a minute, and one at the end.

    Args:
      quiet: Whether there is none at the end if there was none before.
    """

    every_s = 30.0
    width = None

    def __init__(self, quiet: bool) -> None:
        self._stream = sys.stderr
        self._quiet = quiet

    def show(self, line: str) -> None:
        """Writes a line."""
        self._quiet = False
        self._stream.write(f"{_readable(line, self._stream)}\n")
        self._stream.flush()

    def hide(self) -> None:
        """Nothing stands in anybody's way."""

    def stop(self, line: str) -> None:
        """Writes the last line."""
        if not self._quiet:
            self.show(line)


class Cell:
    """A line under a notebook's cell, which the kernel is told to replace; it needs no widgets."""

    every_s = 0.5  # each line is a message that the browser has to draw
    width = 100

    def __init__(self) -> None:
        self._display = importlib.import_module("IPython.display")
        self._handle: Any = None

    def show(self, line: str) -> None:
        """Shows the line in place of the last one."""
        shown = {"text/plain": line}
        if self._handle is None:
            self._handle = self._display.display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def hide(self) -> None:
        """What others write stands below it."""

    def stop(self, line: str) -> None:
        """Leaves the line."""
        self.show(line)


def _readable(line: str, stream: Any) -> str:
    """A line in characters that a stream takes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)

"""Ctrl-C and SIGTERM while a sweep is kept: the first one ends it in good order, a second one at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_HANDLED = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Handles the two signals inside ``with``, in the main thread; in others it hears nothing.

    A handler of the user's own is called, too, at once; those of Python and of the system, which would end the process in the
    midst of a step, are done when ``leave`` is called.

    Attributes:
      heard: The number of the first signal that came.
      twice: Whether another one came.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self.twice = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether the sweep is to end."""
        return self.heard is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _HANDLED:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):  # None: one that Python did not install
                    self._before[number] = before
                    signal.signal(number, self._hear)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.twice = self.asked
        self.heard = number if self.heard is None else self.heard
        before = self._before.get(number)
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)
        if self.twice:
            self.leave()

    def leave(self) -> None:
        """Raises what the signal stands for."""
        if self.heard == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

"""Who writes into a directory: one sweep at a time, held by a lock that dies with its process."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import platform
import threading
from typing import Any

NAME = "lock"
# A process that closes a file loses its locks on it, so the file is opened by nobody else here.
_held_here: set[str] = set()
_lock = threading.Lock()


class Held:
    """A directory that this sweep alone writes into, until ``release``.

    Raises:
      BlockingIOError: Where somebody else does; it says who.
      OSError: For a directory that can't be made or written into.
    """

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, exist_ok=True)
        self.path = os.path.join(os.path.realpath(directory), NAME)
        with _lock:
            if self.path in _held_here:
                raise _taken(directory, "another sweep of this process")
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                self._take(directory)
            except BaseException:
                os.close(self._file)
                raise
            _held_here.add(self.path)

    def _take(self, directory: str) -> None:
        try:
            _exclusive(self._file)
        except (BlockingIOError, PermissionError) as error:
            who = os.pread(self._file, 500, 0) if hasattr(os, "pread") else b""
            raise _taken(directory, who.decode(errors="replace").strip() or "another process") from error
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with contextlib.suppress(OSError):  # on a full disk nobody can read who it is
            os.ftruncate(self._file, 0)
            os.write(self._file, f"process {os.getpid()} on {platform.node()}, since {now}\n".encode())

    def release(self) -> None:
        """Lets others write, once."""
        with _lock:
            if self.path in _held_here:
                _held_here.remove(self.path)
                os.close(self._file)


def _taken(directory: str, who: str) -> BlockingIOError:
    what = f"Another sweep writes into this checkpoint: {who}; wait until it has ended, or give another directory"
    return BlockingIOError(errno.EWOULDBLOCK, what, directory)


def _exclusive(file: int) -> None:
    """Locks a file, or raises an ``OSError``: by the process, so that no child keeps the lock."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        locking: Any = vars(msvcrt)["locking"]
        locking(file, vars(msvcrt)["LK_NBLCK"], 1)
        return
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

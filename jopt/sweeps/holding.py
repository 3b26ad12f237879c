"""Who writes into a directory: one sweep at a time, or several slices of one, held by locks that die with their processes."""

from __future__ import annotations

import collections
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
_shared_here: collections.Counter[str] = collections.Counter()
_lock = threading.Lock()


class Held:
    """A directory that this sweep alone writes into, until ``release``; ``shared``: with others that share it.

    Those that share it are safe without a lock, so where files have none it is left out; it keeps a sweep away that would have
    the directory for itself.

    Raises:
      BlockingIOError: Where somebody else does; it says who.
      OSError: For a directory that can't be made or written into.
    """

    def __init__(self, directory: str, shared: bool = False) -> None:
        self.shared, self._released = shared, False
        os.makedirs(directory, exist_ok=True)
        self.path = os.path.join(os.path.realpath(directory), NAME)
        with _lock:
            if self.path in _held_here or (not shared and _shared_here[self.path]):
                raise _taken(directory, "another sweep of this process")
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                self._take(directory)
            except BaseException:
                os.close(self._file)
                raise
            if shared:
                _shared_here[self.path] += 1
            else:
                _held_here.add(self.path)

    def _take(self, directory: str) -> None:
        try:
            _lock_it(self._file, self.shared)
        except (BlockingIOError, PermissionError) as error:
            told = os.pread(self._file, 500, 0) if hasattr(os, "pread") else b""
            raise _taken(directory, told.decode(errors="replace").strip() or "another process") from error
        except OSError:
            if not self.shared:  # who shares it needs no lock, where the file system has none
                raise
        with contextlib.suppress(OSError):  # on a full disk nobody can read who it is
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{who()}\n".encode())

    def release(self) -> None:
        """Lets others write, once."""
        with _lock:
            if self._released:
                return
            self._released = True
            if self.shared:
                _shared_here[self.path] -= 1
            else:
                _held_here.remove(self.path)
            os.close(self._file)


def who() -> str:
    """This process, in words."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return f"process {os.getpid()} on {platform.node()}, since {now}"


def _taken(directory: str, who: str) -> BlockingIOError:
    what = f"Another sweep writes into this checkpoint: {who}; wait until it has ended, or give another directory"
    return BlockingIOError(errno.EWOULDBLOCK, what, directory)


def _lock_it(file: int, shared: bool) -> None:
    """Locks a file, or raises an ``OSError``: by the process, so that no child keeps the lock."""
    try:
        import fcntl
    except ImportError:  # Windows, which has no shared locks of this kind
        import msvcrt

        if shared:
            return

        locking: Any = vars(msvcrt)["locking"]
        locking(file, vars(msvcrt)["LK_NBLCK"], 1)
        return
    fcntl.lockf(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

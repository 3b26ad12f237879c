"""A store for one process, of which others see copies: safe where files are shared, but locks on them do not work.

Where machines share files, a lock on one may be known to none of the others, and a journal beside a file looks like that of a
writer who died. So no file that SQLite writes into lies in a shared directory: it lies in this machine's folder for temporary
files, without a name, and ends with its process. After each transaction a copy of it is written beside the place where others
look, brought to the disk, and renamed. A name is given by one process only, and whoever opens it reads a whole file that nobody
writes into any more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

from jopt.engine.files import replaced
from jopt.engine.lanes.store.database import Database
from jopt.engine.lanes.store.store import Store

BEAT_S = 10.0  # after which a process that lives says so, by the time of its file
SHARE = 20.0  # a copy is made when so many times as long has gone by as the last one took: copying takes at most 5 %
BEGIN, ENDED = "begin", "ended"  # the first and the last thing that a process writes: others are to know at once
BETWEEN = "checkpoint"  # what is written before room is made; only then a copy is worth it


class Published(Store):
    """A store whose copies appear under a name that is given by nobody else.

    Args:
      path: Where copies appear.
      like: A published file with which to begin; None: it begins empty.
    """

    def __init__(self, path: str, like: str | None = None) -> None:
        super().__init__(Database.unnamed(like))
        self.path = path
        self.dirty = False  # whether there is something of which there is no copy
        self._next = 0.0
        self._end = threading.Event()
        self._beat: threading.Thread | None = None

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """As of every store, and a copy appears at the end, or soon."""
        with super().writing(what):
            yield
        self.dirty = True
        if what in (BEGIN, ENDED) or (what != BETWEEN and time.monotonic() >= self._next):
            self.publish()

    def publish(self) -> None:
        """Lets others see what was written, unless they do already."""
        if not self.dirty:
            return
        begin = time.monotonic()
        with replaced(self.path, durable=True) as partial:
            self.database.copy(partial)
        self.dirty = False
        now = time.monotonic()
        self._next = now + SHARE * (now - begin)
        if self._beat is None:
            self._beat = threading.Thread(target=self._live, name="jopt-beat", daemon=True)
            self._beat.start()

    def _live(self) -> None:
        while not self._end.wait(BEAT_S):
            with contextlib.suppress(OSError):  # somebody who goes on in this one's place has taken the file away
                os.utime(self.path)

    def close(self) -> None:
        """Ends it; what others have not seen is lost."""
        self._end.set()
        super().close()

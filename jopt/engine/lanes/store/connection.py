"""SQLite, opened so that a file from anywhere can do no harm, and its errors as those of the system or of the file."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import sqlite3

WAIT_S = 60.0  # for who else is reading or writing
LONGEST = 32 * 2**20  # bytes of a row: SQLite reads no longer one, whatever a file says


_MAGIC = b"SQLite format 3\0"
_KINDS = {b"PK": "a zip archive, as older versions of jopt and NumPy write", b"\x80": "a pickle, which jopt does not read"}

# A process that closes a file loses all locks that it has on it, whoever took them: so a file that SQLite has open here is
# opened by nobody else.
_open_here: collections.Counter[tuple[int, int]] = collections.Counter()
_opening = threading.Lock()


Mode = Literal["ro", "rw", "published"]


class Opened:
    """A connection to an existing file, and what has to be known of it while it is open.

    Mode "published" is for a file that nobody writes into any more: it is read without locks, and nothing is looked for beside
    it.
    """

    def __init__(self, path: str, mode: Mode) -> None:
        with _opening:
            found = os.stat(path)
            self._identity = found.st_dev, found.st_ino
            if not _open_here[self._identity] and (mode != "rw" or found.st_size):  # one that is made now is empty
                _check_header(path)
            self.connection = _connect(path, mode)
            _open_here[self._identity] += 1

    def close(self) -> None:
        """Closes it, once."""
        with _opening:
            self.connection.close()
            _open_here[self._identity] -= 1


class Unnamed:
    """A connection to a file without a name, in the system's folder for such, which is gone when its process ends."""

    def __init__(self) -> None:
        import sqlite3

        with told(""):
            self.connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            _restrict(self.connection)

    def close(self) -> None:
        """Closes it, and the file is gone."""
        self.connection.close()


def copy(connection: sqlite3.Connection, path: str) -> None:
    """Writes what a database holds now into a file that nobody has open; it may not be on the disk at the end."""
    import sqlite3

    with told(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            made.execute(f"PRAGMA {pragma}").fetchall()
        connection.backup(made)


def _check_header(path: str) -> None:
    """Checks what SQLite would not say a clear word about, or would make files beside this one for."""
    with open(path, "rb") as file:
        head = file.read(100)
    if not head.startswith(_MAGIC):
        kind = next((kind for begin, kind in _KINDS.items() if head.startswith(begin)), "no database" if head else "empty")
        raise ValueError(f"it is {kind}")
    if head[18:20] != b"\1\1":
        raise ValueError("its header says that there is a log beside it, which jopt never writes")


def _connect(path: str, mode: Mode) -> sqlite3.Connection:
    """A connection to an existing file, without transactions but those that are begun."""
    import sqlite3

    with told(path):
        uri = f"{pathlib.Path(path).absolute().as_uri()}?mode={'ro&immutable=1' if mode == 'published' else mode}"
        made = sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            _restrict(made)
        except BaseException:
            made.close()
            raise
        return made


def _restrict(made: sqlite3.Connection) -> None:
    """A file may come from anywhere: it may neither run what stands in it nor make SQLite take much memory."""
    import sqlite3

    limits = {
        sqlite3.SQLITE_LIMIT_LENGTH: LONGEST,
        sqlite3.SQLITE_LIMIT_ATTACHED: 0,
        sqlite3.SQLITE_LIMIT_COLUMN: 16,
        sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
        sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    }
    for limit, most in limits.items():
        made.setlimit(limit, most)
    if configure := getattr(made, "setconfig", None):  # from Python 3.12 on
        configure(getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE"), True)  # noqa: B009  # type checkers go by Python 3.11
    # Debian's SQLite overwrites what is deleted, by way of the journal: to let go of a state took longer than to write it.
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "secure_delete=OFF"):
        made.execute(f"PRAGMA {pragma}")


def left_halfway(connection: sqlite3.Connection) -> bool:
    """Whether a writer died in the middle of a transaction, which who reads only can not undo."""
    import sqlite3

    try:
        connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        return True
    return False


@contextlib.contextmanager
def told(path: str) -> Iterator[None]:
    """What SQLite says inside, as errors of the system, or ValueErrors about the file."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise _as_others(error, path) from error


def _as_others(error: sqlite3.Error, path: str) -> Exception:
    """An error of SQLite as what it is about: the disk, whoever else has the file, or what is in it."""
    import sqlite3

    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where in SQLite it was
    if code == sqlite3.SQLITE_BUSY:
        return TimeoutError(errno.EAGAIN, f"Another process has been using this file for {WAIT_S:.0f} s", path)
    kinds = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
    if code == sqlite3.SQLITE_CANTOPEN:  # its header is sound, so it is the journal beside it that can not be made
        kinds[code] = errno.EIO
    # A header that is damaged may ask for a right to write that is not needed.
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) and not os.access(path, os.R_OK):
        kinds[code] = errno.EACCES
    writable = os.access(path, os.W_OK) and os.access(os.path.dirname(path) or ".", os.W_OK)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) and not writable:
        kinds[code] = errno.EACCES
    if code in kinds:
        return OSError(kinds[code], f"{os.strerror(kinds[code])} ({error})", path)
    return ValueError(str(error))

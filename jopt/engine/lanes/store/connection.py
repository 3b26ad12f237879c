"""SQLite, opened so that a file from anywhere can do no harm, and its errors as those of the system or of the file."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import sqlite3

WAIT_S = 60.0  # for who else is reading or writing
LONGEST = 32 * 2**20  # bytes of a row: SQLite reads no longer one, whatever a file says


class Foreign(ValueError):
    """A file that is no database, or none of jopt's."""


def connect(path: str, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    """A connection to an existing file, without transactions but those that are begun."""
    import sqlite3

    with told(path):
        uri = f"{pathlib.Path(path).absolute().as_uri()}?mode={mode}"
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
        configure(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
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
    if code == sqlite3.SQLITE_NOTADB:
        return Foreign(str(error))
    kinds = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
    # A header that is damaged may ask for other files beside this one, or for a right to write that is not needed.
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) and not os.access(path, os.R_OK):
        kinds[code] = errno.EACCES
    if code == sqlite3.SQLITE_READONLY and not (os.access(path, os.W_OK) and os.access(os.path.dirname(path) or ".", os.W_OK)):
        kinds[code] = errno.EACCES
    if code in kinds:
        return OSError(kinds[code], f"{os.strerror(kinds[code])} ({error})", path)
    return ValueError(str(error))

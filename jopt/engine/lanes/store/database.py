"""One SQLite file of checked rows: each carries a digest of all that it holds, and a head knows which rows there are.

A row that has changed does not fit its digest. A row that is gone, or that is read in another table, shows in the head: it
keeps, for each table, how many rows there are and the sum of their digests, which inserting and deleting change by one
term each. Digests are BLAKE2b of 128 bits: a checksum of 32 bits would let one damage in four thousand million pass, and
is not worth its speed beside a disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from jopt.engine.lanes.store.connection import LONGEST, Mode, Opened, Unnamed, copy, left_halfway, told

if TYPE_CHECKING:
    import sqlite3

APPLICATION = 0x6A6F7074  # "jopt", where SQLite's header has a place for whose file it is
VERSION = 1  # of the tables and of what stands in them
TABLES = ("problems", "settings", "lanes", "sweeps", "records", "evaluations", "outcomes", "states", "writes")
PARTS = "parts"  # of arrays: bytes, where the rows of all other tables are JSON
HEAD = "head"
_MODULUS = 2**128
_HEAD_AT_FIRST = {"tables": {name: [0, "0", 1] for name in (*TABLES, PARTS)}}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table, checked; ``parent`` is the row of ``problems`` that it belongs to, or 0."""

    id: int
    parent: int
    content: bytes


@functools.cache
def schema() -> dict[str, str]:
    """The tables, each with the statement that makes it."""
    columns = "(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, digest BLOB NOT NULL, content BLOB NOT NULL)"
    return {name: f"CREATE TABLE {name} {columns}" for name in (*TABLES, PARTS, HEAD)}


def digest_of(table: str, row: Row) -> bytes:
    """What a row must have as its digest: of its table, its number, its parent and its content."""
    where = struct.pack("<qq", row.id, row.parent)
    return hashlib.blake2b(row.content, digest_size=16, person=table.encode(), salt=where).digest()


class Database:
    """An open file. One thread at a time may use it; other processes may read it, and wait while a write is committed.

    Args:
      path: of the file.
      mode: "ro", to read it only, or "rw", or "published", where nobody writes into it any more; None: it has no name.
    """

    def __init__(self, path: str, mode: Mode | None) -> None:
        self.path = path
        self._opened = Unnamed() if mode is None else Opened(path, mode)
        self._db = self._opened.connection
        self._head: dict[str, Any] | None = None  # inside a transaction
        self._cursors: set[sqlite3.Cursor] = set()  # that are not at their end

    @classmethod
    def create(cls, path: str, *, durable: bool = True) -> Self:
        """A new file; not ``durable``: for one that takes its name when it is whole, and so needs no journal on the disk.

        Raises:
          FileExistsError: Where there is one already.
        """
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))  # the system's own error says what is wrong
        made = cls(path, "rw")
        made._fill(durable)
        return made

    @classmethod
    def unnamed(cls, like: str | None = None) -> Self:
        """A new file without a name, which ends with its process; ``like``: with what a published file holds.

        Raises:
          OSError: Where that can't be read.
          ValueError: For a file of another kind, or of another version.
        """
        made = cls(like or "", None)
        if like is None:
            made._fill(durable=False)
            return made
        with told(like), contextlib.closing(cls.open(like, published=True)) as there:
            there._db.backup(made._db)
            made._is_durable(False)
        return made

    def _fill(self, durable: bool) -> None:
        with told(self.path):
            self._is_durable(durable)
            self._db.execute("BEGIN IMMEDIATE")
            for pragma in (f"application_id={APPLICATION}", f"user_version={VERSION}"):
                self._db.execute(f"PRAGMA {pragma}")
            for statement in schema().values():
                self._db.execute(statement)
            self._put(HEAD, Row(1, 0, json.dumps(_HEAD_AT_FIRST).encode()))
            self._db.execute("COMMIT")

    def copy(self, path: str) -> None:
        """Writes a copy, between two transactions, into a file that nobody has open; it may not be on the disk at the end."""
        copy(self._db, path)

    @classmethod
    def open(cls, path: str, *, write: bool = False, published: bool = False) -> Self:
        """An existing file; ``published``: one that nobody writes into any more.

        Raises:
          OSError: Where it can't be read: FileNotFoundError, PermissionError.
          ValueError: For a file of another kind, or of another version.
        """
        made = cls(path, "rw" if write else "published" if published else "ro")
        try:
            with told(path):
                if not published and left_halfway(made._db):  # SQLite undoes what a writer that died has begun, if it may write
                    made.close()
                    made = cls(path, "rw")
                made._is_durable(True)
                made._check_kind()
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        self._opened.close()

    def _is_durable(self, durable: bool) -> None:
        for pragma in ("journal_mode=DELETE", "synchronous=FULL") if durable else ("journal_mode=MEMORY", "synchronous=OFF"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()

    def _check_kind(self) -> None:
        """Checks that the file is of jopt's, of this version, and has its tables and nothing else."""
        kind, version = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if kind != APPLICATION:
            raise ValueError("it is a database, but none that jopt has written")
        if version != VERSION:
            raise ValueError(f"its format is version {version}, but this jopt reads version {VERSION}")
        found = self._db.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100").fetchall()
        if sorted(map(repr, found)) != sorted(repr(("table", name, sql)) for name, sql in schema().items()):
            raise ValueError("its tables are not those that jopt makes")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read inside is of one moment, whoever writes meanwhile."""
        with self._transaction("BEGIN"):
            yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that is written inside is in the file at the end, on the disk, or nothing of it."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield
            self._db.execute(f"DELETE FROM {HEAD}")
            self._put(HEAD, Row(1, 0, json.dumps(self._head).encode()))
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with told(self.path):
            self._db.execute(begin)
            try:
                self._head = self._read_head()
                yield
            finally:
                self._head = None
                while self._cursors:  # an error may keep what reads rows alive, and that would keep the lock
                    self._cursors.pop().close()
                if self._db.in_transaction:  # a full disk ends one by itself
                    self._db.execute("ROLLBACK")

    def insert(self, table: str, parent: int, content: bytes) -> int:
        """Adds a row, and returns its number: numbers ascend, and none is given twice."""
        if len(content) > LONGEST - 1024:
            raise ValueError(f"A row of {table} would have {len(content)} bytes; at most {LONGEST - 1024} are stored.")
        known = self._known(table)
        row = Row(known[2], parent, content)
        digest = self._put(table, row)
        known[:] = [known[0] + 1, f"{(int(known[1], 16) + _number(digest)) % _MODULUS:x}", known[2] + 1]
        return row.id

    def remove(self, table: str, ids: Sequence[int]) -> None:
        """Takes rows away; their pages are free for others afterwards."""
        known = self._known(table)
        for number in ids:
            (digest,) = self._db.execute(f"SELECT digest FROM {table} WHERE id=?", (number,)).fetchone()
            self._db.execute(f"DELETE FROM {table} WHERE id=?", (number,))
            known[:2] = [known[0] - 1, f"{(int(known[1], 16) - _number(digest)) % _MODULUS:x}"]

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table, in the order of their numbers, each one checked, and in the end that none was missing."""
        known = self._known(table)
        count, total, last = 0, 0, 0
        for row, digest in self._selected(table):
            if row.id <= last:
                raise ValueError(f"rows of its table {table} stand twice in it")
            count, total, last = count + 1, (total + _number(digest)) % _MODULUS, row.id
            yield row
        if [count, f"{total:x}"] != known[:2]:
            raise ValueError(f"its table {table} has {count} rows, which are not the {known[0]} that were written")

    def part_lengths(self, first: int, count: int) -> tuple[int, int]:
        """How many of some parts there are, and their bytes together, without reading these."""
        query = f"SELECT count(*), coalesce(sum(length(content)), 0) FROM {PARTS} WHERE id >= ? AND id < ?"
        found, size = self._db.execute(query, (first, first + count)).fetchone()
        return int(found), int(size)

    def part(self, number: int) -> bytes:
        """The bytes of one part of an array, checked."""
        for row, _ in self._selected(PARTS, "WHERE id = ?", (number,)):
            return row.content
        raise ValueError(f"part {number} of an array is missing")

    def check(self) -> list[str]:
        """What is wrong with the file, in sentences; nothing: all that was written is there as it was written."""
        found = [f"SQLite says: {line}" for line in self._pages(20)]
        try:
            with self.reading():
                found += filter(None, map(self._check_table, (*TABLES, PARTS)))
        except Exception as error:  # of a head that makes no sense
            found.append(str(error))
        return found

    def _check_table(self, table: str) -> str:
        try:
            with told(self.path):
                for _ in self.rows(table):
                    pass
        except Exception as error:
            return f"{table}: {error}"
        return ""

    def check_pages(self) -> None:
        """Checks that the pages of the file form trees: then every later search in it ends."""
        if found := self._pages(1):
            raise ValueError(f"its pages are damaged: {found[0]}")

    def _pages(self, most: int) -> list[str]:
        try:
            lines = [str(line) for (line,) in self._db.execute(f"PRAGMA quick_check({most})")]
        except Exception as error:
            return [str(error)]
        return [" ".join(line.split()) for line in lines if line != "ok"]

    def _known(self, table: str) -> list[Any]:
        """What the head knows of a table: how many rows, the sum of their digests, and the next number."""
        assert self._head is not None, "a file is read and written inside `with database.reading():` or `.writing():`"
        known: list[Any] = self._head["tables"][table]
        return known

    def _read_head(self) -> dict[str, Any]:
        rows = list(self._selected(HEAD, "LIMIT 2"))
        if len(rows) != 1:
            raise ValueError("its head is missing")
        head: dict[str, Any] = json.loads(rows[0][0].content)
        return head

    def _put(self, table: str, row: Row) -> bytes:
        digest = digest_of(table, row)
        stored = row.content if table == PARTS else row.content.decode("ascii")  # text, so that others can read it too
        self._db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", (row.id, row.parent, digest, stored))
        return digest

    def _selected(self, table: str, where: str = "ORDER BY id", values: Sequence[Any] = ()) -> Iterator[tuple[Row, bytes]]:
        """Rows as they are stored, each checked against its digest."""
        query = f"SELECT id, parent, digest, content FROM {table} {where}"
        cursor = self._db.execute(query, values)
        self._cursors.add(cursor)
        try:
            for number, parent, digest, content in cursor:
                row = Row(number, parent, content.encode() if isinstance(content, str) else content)
                if not isinstance(row.content, bytes) or digest != digest_of(table, row):
                    raise ValueError(f"row {number} of its table {table} is not as it was written")
                yield row, digest
        finally:
            if cursor in self._cursors:
                self._cursors.remove(cursor)
                cursor.close()


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")

"""A sweep in a file: what is trained, its settings and lanes, and what they recorded, piece by piece as it comes.

Tables, each row a document (``encoding``) that belongs to a row of ``problems``:

- ``problems``: what is trained, by name, and what tells it from another one.
- ``settings``: optimizers and the user's own numbers, in tables of numbers (``listed``); numbered on from row to row.
- ``lanes``: a setting and a seed each, and a name that outlives the grid it stands in; numbered on from row to row.
- ``sweeps``: a grid of lanes: its axes, its steps, and which lane stands where. Of each name the last is
  what a result shows.
- ``records``, ``evaluations``: values of some lanes at some steps; ``outcomes``: how far lanes have come, and how they ended.
  A later piece takes the place of an earlier one.
- ``states``: parameters, states or carries of some lanes after a step. Of each lane the latest counts.
- ``writes``: when something was written, and by which versions of what.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from jopt.engine.lanes.store import arrays
from jopt.engine.lanes.store.database import Database
from jopt.engine.lanes.store.decoding import decode
from jopt.engine.lanes.store.encoding import encode
from jopt.engine.lanes.store.listed import Listed, Template
from jopt.engine.lanes.store.pieces import Kept, Lanes, Numbers, Piece, of_lanes, over_time

Pieces = Literal["records", "evaluations", "outcomes"]
Wanted = Callable[[Numbers, int], bool]
VERSIONS_OF = ("jopt", "jax", "jaxlib", "optax", "numpy")


class _Entry(NamedTuple):
    """A row whose arrays are read when they are asked for."""

    id: int
    parent: int
    body: Any
    stored: Any


class Store:
    """An open file of sweeps; what is read or written stands inside ``with store.reading():`` or ``.writing(what):``.

    Args:
      database: that holds it.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def create(cls, path: str, *, durable: bool = True) -> Self:
        """A new file; see ``Database.create``."""
        return cls(Database.create(path, durable=durable))

    @classmethod
    def open(cls, path: str, *, write: bool = False, published: bool = False) -> Self:
        """An existing file; see ``Database.open``."""
        return cls(Database.open(path, write=write, published=published))

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """All that is read inside is of one moment."""
        return self.database.reading()

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """All that is written inside is on the disk at the end, with a line about it in ``writes``, or nothing of it."""
        with self.database.writing():
            yield
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            self._add("writes", 0, {"what": what, "at": now, "versions": versions()})

    def verify(self) -> list[str]:
        """What is damaged, in sentences; nothing: every row is as it was written."""
        return self.database.check()

    # Writing.

    def add_problem(self, name: str, about: Mapping[str, Any]) -> int:
        """Something to train; ``about`` is what tells it from others."""
        return self._add("problems", 0, {"name": name, "about": dict(about)})

    def add_settings(self, problem: int, listed: Listed) -> None:
        """Settings, numbered after those that are there."""
        templates = [[t.tree, t.leaves, t.columns] for t in listed.templates]
        self._add("settings", problem, {"templates": templates, "where": listed.where})

    def add_lanes(self, problem: int, settings: Numbers, seeds: Numbers, names: Sequence[str]) -> None:
        """Lanes, numbered after those that are there: of each its setting's number, its seed, and its name in hexadecimal."""
        packed = np.frombuffer(bytes.fromhex("".join(names)), np.uint8).reshape(len(names), -1)
        self._add("lanes", problem, {"settings": settings, "seeds": seeds, "names": packed})

    def add_sweep(self, problem: int, about: Mapping[str, Any]) -> None:
        """A grid of lanes, as the result of one call shows it."""
        self._add("sweeps", problem, dict(about))

    def append(self, problem: int, table: Pieces, piece: Piece) -> None:
        """What some lanes recorded, or how far they have come."""
        self._add(table, problem, {"lanes": piece.lanes, "steps": piece.steps, "values": dict(piece.values)})

    def keep(self, problem: int, what: str, kept: Kept) -> None:
        """Parameters, states or carries of some lanes, by a name that says what they are."""
        self._add("states", problem, {"what": what, "lanes": kept.lanes, "step": kept.step, "tree": kept.tree})

    def drop_states(self, problem: int) -> int:
        """Takes away what newer states have made useless, and says how many rows; in a transaction of its own that is quick."""
        newer: dict[str, set[int]] = {}
        old = []
        for entry in reversed(list(self._entries("states", problem))):
            lanes = set(self._field(entry, "lanes").tolist())
            seen = newer.setdefault(self._field(entry, "what"), set())
            if lanes <= seen:
                old.append(entry)
            seen |= lanes
        for entry in old:
            self.database.remove("parts", [first + i for _, _, first, count in entry.stored for i in range(count)])
            self.database.remove("states", [entry.id])
        return len(old)

    # Reading.

    def problems(self) -> dict[int, dict[str, Any]]:
        """What is trained, by the number of its row."""
        return {entry.id: self._tree(entry) for entry in self._entries("problems")}

    def sweeps(self) -> list[tuple[int, dict[str, Any]]]:
        """The grids of all calls in order, each with its problem."""
        return [(entry.parent, self._tree(entry)) for entry in self._entries("sweeps")]

    def writes(self) -> list[dict[str, Any]]:
        """What was written when."""
        return [self._tree(entry) for entry in self._entries("writes")]

    def settings(self, problem: int) -> Listed:
        """All settings of a problem."""
        templates: list[Template] = []
        where: list[Numbers] = [np.zeros((0, 2), np.int64)]
        for entry in self._entries("settings", problem):
            tree = self._tree(entry)
            where.append(tree["where"] + np.array([len(templates), 0]))
            templates += [Template(*each) for each in tree["templates"]]
        return Listed(templates, np.concatenate(where))

    def lanes(self, problem: int) -> Lanes:
        """All lanes of a problem."""
        found = [self._tree(entry) for entry in self._entries("lanes", problem)]
        if not found:
            return Lanes(np.zeros(0, np.int64), np.zeros(0, np.int64), [])
        settings, seeds = (np.concatenate([each[name] for each in found]) for name in ("settings", "seeds"))
        return Lanes(settings, seeds, [row.tobytes().hex() for each in found for row in each["names"]])

    def recorded(self, problem: int, table: Pieces, lanes: Numbers, steps: Numbers) -> dict[str, Numbers]:
        """What lanes recorded: arrays [*lanes, steps] by name, NaN where there is nothing yet."""
        return over_time(self.pieces(problem, table), lanes, steps)

    def outcomes(self, problem: int, lanes: Numbers, first: int) -> dict[str, Numbers]:
        """How far lanes have come, and where they diverged or were pruned: arrays of the shape of ``lanes``."""
        return of_lanes(self.pieces(problem, "outcomes"), lanes, first)

    def kept(self, problem: int, what: str, like: Any = None, wanted: Wanted | None = None) -> list[Kept]:
        """What was kept under a name, the latest last; ``like`` has the user's classes.

        ``wanted`` says of some lanes at a step whether their tree is needed; others are not read.
        """
        found = []
        for entry in self._entries("states", problem):
            if self._field(entry, "what") == what:
                lanes, step = self._field(entry, "lanes"), self._field(entry, "step")
                if wanted is None or wanted(lanes, step):
                    found.append(Kept(lanes, step, self._field(entry, "tree", like)))
        return found

    def steps_kept(self, problem: int, what: str, lanes: Numbers) -> Numbers:
        """After which step something of each lane is kept, of the shape of ``lanes``; -1: nothing is. No tree is read."""
        found = np.full(int(lanes.max(initial=-1)) + 1, -1)

        def hear(which: Numbers, step: int) -> bool:
            found[which[which < len(found)]] = step
            return False

        self.kept(problem, what, wanted=hear)
        return found[lanes]

    def sizes(self, problem: int) -> dict[str, int]:
        """The bytes that are kept under each name."""
        found: dict[str, int] = {}
        for entry in self._entries("states", problem):
            what = self._field(entry, "what")
            found[what] = found.get(what, 0) + sum(arrays.size_of(each) for each in entry.stored[1:])  # after the lanes
        return found

    def pieces(self, problem: int, table: Pieces) -> Iterator[Piece]:
        """What lanes recorded, piece by piece as it was written."""
        for entry in self._entries(table, problem):
            yield Piece(**self._tree(entry))

    def _add(self, table: str, parent: int, tree: Any) -> int:
        document = encode(tree)
        stored = [arrays.write(self.database, array) for array in document.arrays]
        content = json.dumps([document.body, stored], separators=(",", ":")).encode("ascii")
        return self.database.insert(table, parent, content)

    def _entries(self, table: str, problem: int | None = None) -> Iterator[_Entry]:
        """The rows of a table; all of them are read, so that none can be missing without being missed."""
        for row in self.database.rows(table):
            if problem is None or row.parent == problem:
                body, stored = json.loads(row.content)
                yield _Entry(row.id, row.parent, body, stored)

    def _tree(self, entry: _Entry) -> Any:
        return decode(entry.body, lambda place: arrays.read(self.database, entry.stored[place]))

    def _field(self, entry: _Entry, name: str, like: Any = None) -> Any:
        """One entry of a row that is a dict, without reading the arrays of others."""
        _, *items = entry.body
        known = dict(zip(items[::2], items[1::2], strict=True))
        return decode(known[name], lambda place: arrays.read(self.database, entry.stored[place]), like)


def versions() -> dict[str, str]:
    """The versions of what writes."""
    found = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found

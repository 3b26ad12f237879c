"""Several files of one sweep, read as one: each process writes its own, and a lane may stand in several of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jopt.engine.lanes.store.pieces import Kept, Numbers, Piece, of_lanes, over_time
from jopt.engine.lanes.store.store import Pieces, Store
from jopt.engine.lanes.table import State

ENDED = (State.DEAD, State.DONE, State.PRUNED)
_NEVER = -2


@dataclasses.dataclass(frozen=True, eq=False)
class _Source:
    """One file's part of a problem.

    Attributes:
      store: The file.
      problem: The number of the problem in it.
      numbers: [lanes of the file], the number of each in the main file; that of no lane where it is not known there.
    """

    store: Store
    problem: int
    numbers: Numbers

    @contextlib.contextmanager
    def named(self, alone: bool) -> Iterator[None]:
        """Errors about what is in the file name it, where there are several."""
        try:
            yield
        except ValueError as error:
            if alone:
                raise
            raise ValueError(f"{os.path.basename(self.store.database.path)}: {error}") from error


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    """A problem in all files; ``owner`` says of each lane of the main file in which it has come furthest."""

    sources: list[_Source]
    owner: Numbers


class Together:
    """What ``Store`` reads, of a main file and others that know lanes of the same names.

    Lanes and problems have the numbers of the main file; others are left out. Of a lane that several files have, that file
    counts in which it has come furthest; what it recorded before it was taken up there is in the others.

    Args:
      main: Open, and inside ``reading``.
      others: In the same way.
    """

    def __init__(self, main: Store, others: Sequence[Store] = ()) -> None:
        self.main, self.others = main, list(others)
        self._found: dict[int, _Problem] = {}

    def sources(self, problem: int) -> list[_Source]:
        """The files that know lanes of a problem, the main one first."""
        return self._of(problem).sources

    def recorded(self, problem: int, table: Pieces, lanes: Numbers, steps: Numbers) -> dict[str, Numbers]:
        """As ``Store.recorded``."""
        return over_time(self._pieces(problem, table), lanes, steps)

    def outcomes(self, problem: int, lanes: Numbers, first: int) -> dict[str, Numbers]:
        """As ``Store.outcomes``."""
        return of_lanes(self._pieces(problem, "outcomes"), lanes, first)

    def kept(self, problem: int, what: str, like: Any = None, among: Numbers | None = None) -> list[Kept]:
        """As ``Store.kept``, but of each lane the furthest only; lanes that do not count have the number of none.

        ``among``: only what holds some of these lanes.
        """
        if not self.others and among is None:
            return self.main.kept(problem, what, like)
        sources = self._of(problem).sources
        nobody = len(sources[0].numbers)
        asked = np.ones(nobody + 1, bool) if among is None else np.isin(np.arange(nobody + 1), among)
        asked[nobody] = False
        found = [[(each, kept) for kept in self._read(each, what, like, asked)] for each in reversed(sources)]
        best, which, made = np.full(nobody + 1, -1), np.full((nobody + 1, 2), -1), []
        for i, of_source in enumerate(found):
            step, entry = np.full(nobody + 1, -1), np.full(nobody + 1, -1)
            for j, (source, kept) in enumerate(of_source):  # in one file the latest counts
                step[source.numbers[kept.lanes]], entry[source.numbers[kept.lanes]] = kept.step, j
            better = (step >= best) & (entry >= 0)
            best[better], which[better, 0], which[better, 1] = step[better], i, entry[better]
        for i, of_source in enumerate(found):
            for j, (source, kept) in enumerate(of_source):
                lanes = source.numbers[kept.lanes]
                counts = (which[lanes] == (i, j)).all(-1) & asked[lanes]
                if counts.any():
                    made.append(Kept(np.where(counts, lanes, nobody), kept.step, kept.tree))
        return made

    def lanes_kept(self, problem: int, what: str, step: int) -> Numbers:
        """The lanes of which something is kept under a name, after a step or later ones; no tree is read."""
        found: list[Numbers] = [np.zeros(0, np.int64)]
        for source in self._of(problem).sources:

            def hear(lanes: Numbers, after: int, numbers: Numbers = source.numbers) -> bool:
                if after >= step:
                    found.append(numbers[lanes])
                return False

            with source.named(not self.others):
                source.store.kept(source.problem, what, wanted=hear)
        return np.concatenate(found)

    def settings(self, problem: int) -> Any:
        """As ``Store.settings``."""
        return self.main.settings(problem)

    def lanes(self, problem: int) -> Any:
        """As ``Store.lanes``."""
        return self.main.lanes(problem)

    def sizes(self, problem: int) -> dict[str, int]:
        """As ``Store.sizes``, of all files together."""
        found: dict[str, int] = {}
        for source in self._of(problem).sources:
            with source.named(not self.others):
                for what, size in source.store.sizes(source.problem).items():
                    found[what] = found.get(what, 0) + size
        return found

    def _read(self, source: _Source, what: str, like: Any, asked: Numbers) -> list[Kept]:
        with source.named(not self.others):
            return source.store.kept(source.problem, what, like, lambda lanes, _: bool(asked[source.numbers[lanes]].any()))

    def _of(self, problem: int) -> _Problem:
        if problem not in self._found:
            self._found[problem] = self._made(problem)
        return self._found[problem]

    def _made(self, problem: int) -> _Problem:
        name, known = self.main.problems()[problem]["name"], self.main.lanes(problem).names
        sources = [_Source(self.main, problem, np.arange(len(known)))]
        place = {lane: i for i, lane in enumerate(known)} if self.others else {}
        for store in self.others:
            for number, about in store.problems().items():
                if about["name"] == name:
                    numbers = np.array([place.get(lane, len(known)) for lane in store.lanes(number).names], np.int64)
                    if (numbers < len(known)).any():
                        sources.append(_Source(store, number, numbers))
        return _Problem(sources, self._owner(sources))

    def _owner(self, sources: Sequence[_Source]) -> Numbers:
        count = len(sources[0].numbers)
        if len(sources) == 1:
            return np.zeros(count + 1, np.int64)
        far = np.full((len(sources), count + 1), _NEVER)
        for i, source in enumerate(sources):
            with source.named(alone=False):
                ends = source.store.outcomes(source.problem, np.arange(len(source.numbers)), -1)
            far[i, source.numbers] = 2 * ends["steps_done"] + np.isin(ends["state"], ENDED)
        return np.asarray(far.argmax(0))

    def _pieces(self, problem: int, table: Pieces) -> Iterator[Piece]:
        """The pieces of all files, those of lanes that are further elsewhere first, since the last one counts."""
        found = self._of(problem)
        if len(found.sources) == 1:
            yield from self.main.pieces(problem, table)
            return
        nobody = len(found.owner) - 1
        for owned in (False, True):
            for i, source in enumerate(found.sources):
                counts = (source.numbers < nobody) & ((found.owner[source.numbers] == i) == owned)
                if counts.any():
                    yield from self._of_source(source, table, counts)

    def _of_source(self, source: _Source, table: Pieces, counts: Numbers) -> Iterator[Piece]:
        """The pieces of one file, of the lanes of it that count."""
        with source.named(alone=False):
            for piece in source.store.pieces(source.problem, table):
                mine = counts[piece.lanes]
                if mine.any():
                    values = {name: x[..., mine] for name, x in piece.values.items()}
                    yield Piece(source.numbers[piece.lanes[mine]], values, piece.steps)

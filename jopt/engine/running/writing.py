"""Writes what is handed over into a file, in a thread of its own, so that nobody who trains waits for a disk."""

from __future__ import annotations

import dataclasses
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jopt.engine.lanes.saved import Saved
from jopt.engine.lanes.store.pieces import Kept, Piece
from jopt.engine.lanes.store.store import Pieces, Store

CARRY = "carry"  # under which states are kept
LONGEST_S = 1.0  # that something waits for others to be written in the same transaction
AGAIN_S = 10.0  # before it is tried again to write what could not be written
FLUSH_S = 0.01  # between two looks whether all is written


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the lanes of a job stand in a file: the number of the problem, and of each lane, ``[settings, seeds]``."""

    problem: int
    lanes: np.ndarray


class Writer:
    """A thread with a file.

    Args:
      store: the file, open to write; nobody else may use it until the writer is closed.
      places: where each job's lanes stand.
      every_s: seconds after which the same lanes are handed over again, about.
    """

    def __init__(self, store: Store, places: Mapping[str, Place], every_s: float) -> None:
        self.store, self.places = store, places
        self._pause_s = min(every_s, LONGEST_S)
        self._waiting: list[tuple[str, Saved]] = []
        self._news = threading.Condition()
        self._end, self._wake = threading.Event(), threading.Event()
        self._abandoned = False
        self._error: Exception | None = None
        self._warned = ""
        self._thread = threading.Thread(target=self._work, name="jopt-checkpoint", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._waiting)

    def put(self, job: str, saved: Saved) -> None:
        """Takes what is to be written of some lanes of a job."""
        with self._news:
            self._waiting.append((job, saved))
            self._news.notify()

    def look(self) -> None:
        """Warns of what could not be written, once for each reason; called in the caller's thread.

        Raises:
          Exception: What is none of the disk's errors.
        """
        error = self._error
        if error is None:
            return
        if not isinstance(error, OSError):
            raise error
        if str(error) != self._warned:
            self._warned = str(error)
            warnings.warn(
                f"checkpoint: what was trained could not be saved ({error}). Training goes on, what was saved before is "
                f"intact, and it is tried again every {AGAIN_S:.0f} s and at the end.",
                RuntimeWarning,
                stacklevel=2,
            )

    def flush(self) -> bool:
        """Waits until all is written that was put; False: it could not be."""
        self._wake.set()
        while self.busy and self._error is None and self._thread.is_alive():
            time.sleep(FLUSH_S)
        return not self.busy

    def close(self) -> None:
        """Writes what is left; raises or warns as ``look`` does."""
        with self._news:
            self._end.set()
            self._wake.set()
            self._news.notify()
        self._thread.join()
        self.look()

    def abandon(self) -> None:
        """Ends as soon as may be, without what is left: a transaction under way is committed, or nothing of it."""
        self._abandoned = True
        with self._news:
            self._end.set()
            self._wake.set()
            self._news.notify()

    def join(self) -> None:
        """Waits for the thread to end."""
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._end.is_set())
            if self._abandoned or not self._waiting:
                return
            self._wake.wait(self._pause_s if self._error is None else AGAIN_S)
            last = self._end.is_set()
            if not last:
                self._wake.clear()
            items = list(self._waiting)
            try:
                self._write(_latest(items))
                self._error = None
            except Exception as error:
                self._error = error
                if last or not isinstance(error, OSError):
                    return
                continue
            with self._news:
                del self._waiting[: len(items)]

    def _write(self, items: Sequence[tuple[str, Saved]]) -> None:
        with self.store.writing("checkpoint"):
            for job, saved in items:
                place = self.places[job]
                settings, seeds = (list(x) for x in zip(*saved.lanes, strict=True))
                self._put(place.problem, place.lanes[settings, seeds], saved)
        with self.store.writing("made room"):
            for problem in {self.places[job].problem for job, _ in items}:
                self.store.drop_states(problem)

    def _put(self, problem: int, lanes: np.ndarray, saved: Saved) -> None:
        if saved.tree is not None:
            self.store.keep(problem, CARRY, Kept(lanes, saved.step, saved.tree))
        tables: tuple[tuple[Pieces, Any], ...] = (("records", saved.records), ("evaluations", saved.evaluations))
        for table, (steps, values) in tables:
            if len(steps) and values:
                self.store.append(problem, table, Piece(lanes, values, steps))
        state = np.full(len(lanes), saved.state, np.int8)
        self.store.append(problem, "outcomes", Piece(lanes, {**saved.outcomes, "state": state}))


def _latest(items: Sequence[tuple[str, Saved]]) -> list[tuple[str, Saved]]:
    """Without states that later ones of the same lanes make useless."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for job, saved in reversed(items):
        lanes = {(job, *lane) for lane in saved.lanes}
        kept.append((job, dataclasses.replace(saved, tree=None) if saved.tree is not None and lanes <= seen else saved))
        if saved.tree is not None:
            seen |= lanes
    return kept[::-1]

"""Batches that come one after another from an iterable, read ahead by a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jopt.engine.data import arrays
from jopt.engine.data.sources import Feed, Source
from jopt.values.trees import flatten

AHEAD_BYTES = 64 * 2**20  # of batches that are read before somebody asks for them
AHEAD = 64  # batches, at most


class Iterated(Feed):
    """Batches of an iterable, the same for every lane; a new pass over it begins where one ends.

    Each is copied before the next is asked for, because many iterables fill one buffer again and again. A thread reads them
    while the device is busy, never more than the sweep has steps: an iterator is left where the sweep ended. Whoever asks for
    batches waits for that thread, and hears of its errors. A sweep that goes on from step ``first`` takes what the iterable has
    next.
    """

    source = Source("batches")
    lockstep = True

    def __init__(self, iterable: Iterable[Any], steps: int, first: int = 0) -> None:
        self.iterable = iterable
        self.steps = steps
        self._iterator: Iterator[Any] = iter(iterable)
        self._passed = False  # whether a pass has yielded a batch
        self._read_of_pass = 0  # batches
        self._expected: Any = None  # the structure, shapes and types of the first batch
        self._wide = bool(jax.config.values["jax_enable_x64"])  # of the caller's thread
        self._kept: list[Any] = []
        self._first = first  # the step of the first batch that is kept
        self._unwanted = first  # batches before this step are read and dropped
        self._wanted = 0  # up to which step somebody waits
        self._ahead = 1
        self._error: BaseException | None = None
        self._closed = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="jopt-data", daemon=True)

    def rows(self, seed: int, step: int, length: int) -> Any:
        """The batches of ``length`` steps, stacked."""
        with self._news:
            if not self._thread.ident:
                self._thread.start()
            self._wanted = max(self._wanted, step + length)
            self._news.notify_all()
            self._news.wait_for(lambda: self._read_so_far >= step + length or self._error is not None or self._closed)
            if self._read_so_far < step + length:
                raise self._error or RuntimeError("The sweep is over, and its data closed.")
            chosen = self._kept[step - self._first : step - self._first + length]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *chosen)

    def forget(self, step: int) -> None:
        """Drops the batches before ``step``, which no block needs any more, also those that are still to be read."""
        with self._news:
            self._unwanted = max(self._unwanted, step)
            drop = max(0, min(step - self._first, len(self._kept)))
            self._kept = self._kept[drop:]
            self._first += drop
            self._news.notify_all()

    def close(self) -> None:
        """Ends the thread; one that waits inside the iterable for its next batch is left to end with it."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        if self._thread.ident:
            self._thread.join(timeout=0.2)

    @property
    def _read_so_far(self) -> int:
        return self._first + len(self._kept)

    def _read(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._read_so_far < min(self.steps, self._wanted + self._ahead))
                if self._closed:
                    return
            try:
                batch = self._next()
            except BaseException as error:  # handed to whoever asks for this batch
                with self._news:
                    self._error = error
                    self._news.notify_all()
                return
            with self._news:
                if self._first < self._unwanted and not self._kept:
                    self._first += 1
                    continue
                self._kept.append(batch)
                self._ahead = min(AHEAD, AHEAD_BYTES // max(1, sum(x.nbytes for x in jax.tree.leaves(batch))))
                self._news.notify_all()

    def _next(self) -> Any:
        for _ in range(2):
            for batch in self._iterator:
                self._passed = True
                return self._taken(batch)
            self._restart()
        raise ValueError("data is an iterable without a single batch; every pass over it must yield at least one.")

    def _restart(self) -> None:
        again = iter(self.iterable)
        if again is self._iterator and self._passed:
            raise ValueError(
                "data is an iterator that ran out before the last step, and can't be passed over again; give an iterable "
                "that starts anew (a list, a DataLoader, an object with __iter__), or fewer steps."
            )
        self._iterator, self._read_of_pass = again, 0

    def _taken(self, batch: Any) -> Any:
        """A copy of a batch; all must be like the first one."""
        what = f"data: batch {self._read_of_pass} of the iterable (counted from 0)"
        taken = arrays.map_named(self._copied, what, batch)
        if self._expected is None:
            self._expected = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), taken)
        if difference := _difference(self._expected, taken):
            note = " A list is a stream of batches: data that belong together are a tuple or a dict."
            raise ValueError(f"{what}: {difference}.{note if isinstance(self.iterable, list) else ''}")
        self._read_of_pass += 1
        return taken

    def _copied(self, name: str, x: Any) -> Any:
        host = arrays.on_host(arrays.read(name, x))
        if isinstance(host, arrays.Keys):
            return arrays.Keys(np.array(host.data), host.impl)
        return np.array(arrays.fitted(name, host, self._wide))


def _difference(expected: Any, batch: Any) -> str | None:
    """How the structure, a shape or a type of a batch differs from the first one's; ``None`` where nothing does."""
    (old, structure), (new, found) = flatten(expected), flatten(batch)
    if found != structure:
        return f"it has the structure {found}, but the first batch has {structure}; all must be alike"
    for i, (a, b) in enumerate(zip(old, new, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            where = jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(batch)[0][i][0]) or "(root)"
            smaller = a.ndim == b.ndim > 0 and a.shape[1:] == b.shape[1:] and b.shape[0] < a.shape[0]
            hint = "leave out a last batch that is smaller (drop_last=True)" if smaller else "all must be alike"
            return f"the leaf at {where} is {_outline(b)}, but {_outline(a)} in the first batch; {hint}"
    return None


def _outline(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}"

"""Where batches come from: arrays, a function, an iterable, or nothing.

The static half (``Source``) says how a step makes its batch of what it is handed; the other half (``Feed``) hands
each chunk its rows: indices into the arrays on the device, or the batches themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt._numbers import whole
from jopt.training import same_length

GATHER_BYTES = 16 * 2**20  # of batches gathered ahead for one chunk


@dataclasses.dataclass(frozen=True)
class Source:
    """How a step makes its batch: ``kind`` is "whole", "rows", "function", "batches" or "none"."""

    kind: str
    function: Callable[[Any, Any], Any] | None = None

    def batch(self, data: Any, row: Any, key: Any, step: Any) -> Any:
        """The batch of one step, of the data on the device and the step's own row."""
        if self.kind == "whole":
            return data
        if self.kind == "rows":
            return jax.tree.map(lambda x: jnp.take(x, row, axis=0, mode="clip"), data)
        if self.kind == "function":
            assert self.function is not None
            return self.function(key, step)
        return row  # "batches": the row is the batch; "none": it is None

    def gathers_ahead(self, data: Any, rows: Any) -> bool:
        """Whether a chunk's batches are gathered at once: faster than step by step, while they take little memory."""
        if self.kind != "rows":
            return False
        return bool(rows.size * bytes_per_row(data) <= GATHER_BYTES * max(1, rows.ndim - 1))

    def gather(self, data: Any, rows: Any) -> Any:
        """The batches of a chunk, with the leading axes of its rows."""
        return jax.tree.map(lambda x: jnp.take(x, rows, axis=0, mode="clip"), data)

    def gathered(self, data: Any, row: Any, key: Any, step: Any) -> Any:
        """The batch of a step whose row was gathered ahead."""
        return row


def bytes_per_row(data: Any) -> int:
    """What one example takes."""
    return sum(x.size // max(1, x.shape[0]) * x.dtype.itemsize for x in jax.tree.leaves(data))


class Feed:
    """Hands out the rows of any stretch of steps, the same to every block of one seed."""

    source: Source
    data: Any = None  # what lies on the device, shared by all lanes
    lockstep = False  # whether blocks must keep together, because batches come once

    def rows(self, seed: int, step: int, length: int) -> Any:
        """The rows of ``length`` steps from ``step`` (0-based) on, with a leading axis of steps, or ``None``."""
        return None

    def longest_gather(self) -> int:
        """How many steps' batches may be gathered ahead."""
        return 2**31

    def forget(self, step: int) -> None:
        """Hears that no block needs the batches before ``step`` any more."""


class NoData(Feed):
    """Every batch is ``None``."""

    source = Source("none")


class WholeData(Feed):
    """Every batch is the whole data."""

    source = Source("whole")

    def __init__(self, data: Any) -> None:
        self.data = jax.tree.map(jnp.asarray, data)


class FunctionData(Feed):
    """Batches made in the compiled step by ``batch(key, step)``."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.source = Source("function", function)


class Minibatches(Feed):
    """Rows of arrays, reshuffled each epoch without replacement; what does not fill a batch is left out of the epoch."""

    source = Source("rows")

    def __init__(self, data: Any, batch_size: int, seed: int) -> None:
        self.data = jax.tree.map(jnp.asarray, data)
        self.examples = same_length("data", data, "examples")
        self.batch_size = batch_size
        self.per_epoch = self.examples // batch_size
        self.together = max(1, min(64, 2**16 // self.examples))  # epochs that are shuffled in one call
        self.key = jax.random.fold_in(jax.random.key(seed), 1)
        self._lock = threading.Lock()
        self._epochs: dict[tuple[int, int], np.ndarray] = {}

    def longest_gather(self) -> int:
        """How many steps' batches may be gathered ahead."""
        return int(GATHER_BYTES // max(1, self.batch_size * bytes_per_row(self.data)))

    def rows(self, seed: int, step: int, length: int) -> np.ndarray:
        """Indices of shape ``[length, batch_size]``."""
        epochs = range(step // self.per_epoch, (step + length - 1) // self.per_epoch + 1)
        joined = np.concatenate([self._epoch(seed, epoch) for epoch in epochs])
        begin = step - epochs[0] * self.per_epoch
        return joined[begin : begin + length]

    def _epoch(self, seed: int, epoch: int) -> np.ndarray:
        group, place = divmod(epoch, self.together)
        with self._lock:
            if (seed, group) not in self._epochs:
                if len(self._epochs) > 256:
                    self._epochs.clear()
                drawn = _bits(self.key, np.uint32(seed), np.uint32(group), (self.together, self.examples))
                # Sorting on the host takes a fifth of the time that XLA's sort takes on a CPU.
                orders = np.argsort(np.asarray(drawn), axis=-1, kind="stable").astype(np.int32)
                used = orders[:, : self.per_epoch * self.batch_size]
                self._epochs[seed, group] = used.reshape(self.together, self.per_epoch, self.batch_size)
            chosen: np.ndarray = self._epochs[seed, group][place]
            return chosen


@functools.partial(jax.jit, static_argnums=3)
def _bits(key: Any, seed: Any, group: Any, shape: tuple[int, int]) -> Any:
    return jax.random.bits(jax.random.fold_in(jax.random.fold_in(key, seed), group), shape)


class Iterated(Feed):
    """Batches of an iterable, the same for every lane; a new pass over it begins where one ends."""

    source = Source("batches")
    lockstep = True

    def __init__(self, iterable: Iterable[Any]) -> None:
        self.iterable = iterable
        self._iterator: Iterator[Any] = iter(iterable)
        self._lock = threading.Lock()
        self._kept: list[Any] = []
        self._first = 0  # the step of the first batch that is kept
        self._passed = False

    def rows(self, seed: int, step: int, length: int) -> Any:
        """The batches of ``length`` steps, stacked."""
        with self._lock:
            while self._first + len(self._kept) < step + length:
                self._kept.append(self._next())
            chosen = self._kept[step - self._first : step - self._first + length]
        try:
            return jax.tree.map(lambda *leaves: np.stack(leaves), *chosen)
        except ValueError as error:
            shapes = sorted({str(jax.tree.map(np.shape, batch)) for batch in chosen})
            raise ValueError(
                f"data: the batches of an iterable must have one structure and shape, but among them are {shapes[:3]}; "
                f"leave out a last batch that is smaller (drop_last=True)."
            ) from error

    def forget(self, step: int) -> None:
        """Drops the batches before ``step``, which no block needs any more."""
        with self._lock:
            drop = max(0, min(step - self._first, len(self._kept)))
            self._kept = self._kept[drop:]
            self._first += drop

    def _next(self) -> Any:
        for _ in range(2):
            for batch in self._iterator:
                self._passed = True
                return jax.tree.map(_as_numpy, batch)
            self._restart()
        raise ValueError("data is an iterable without a single batch; every pass over it must yield at least one.")

    def _restart(self) -> None:
        again = iter(self.iterable)
        if again is self._iterator and self._passed:
            raise ValueError(
                "data is an iterator that ran out before the last step, and can't be passed over again; give an iterable "
                "that starts anew (a list, a DataLoader, an object with __iter__), or fewer steps."
            )
        self._iterator = again


def _as_numpy(x: Any) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype == object:
        raise TypeError(f"data: a batch holds a {type(x).__name__}, but its leaves must be numeric arrays.")
    return array


def feed_of(data: Any, batch_size: int | None, seed: int) -> Feed:
    """The feed for the ``data=`` and ``batch_size=`` of a sweep."""
    if data is None or callable(data) or _is_stream(data):
        if batch_size is not None:
            raise ValueError("batch_size= is for data given as arrays; a function or an iterable makes its own batches.")
        return NoData() if data is None else FunctionData(data) if callable(data) else Iterated(data)
    _check_arrays(data)
    examples = same_length("data", data, "examples")
    if examples == 0:
        raise ValueError("data has no examples.")
    if batch_size is None:
        return WholeData(data)
    if whole("batch_size", batch_size) > examples:
        raise ValueError(f"batch_size is {batch_size}, but data has only {examples} examples.")
    return Minibatches(data, int(batch_size), seed)


def _is_stream(data: Any) -> bool:
    if isinstance(data, Iterator):
        return True
    leaves = jax.tree.leaves(data)
    whole = len(leaves) == 1 and leaves[0] is data
    return whole and not hasattr(data, "dtype") and hasattr(data, "__iter__") and not isinstance(data, (str, bytes))


def _check_arrays(data: Any) -> None:
    for path, x in jax.tree_util.tree_flatten_with_path(data)[0]:
        if not (hasattr(x, "dtype") and hasattr(x, "shape")) or x.dtype.kind in "OUSV":
            where = jax.tree_util.keystr(path) or "(root)"
            raise TypeError(
                f"data: the leaf at {where} is a {type(x).__name__}; give arrays, a function batch(key, step), "
                f"or an iterable of batches."
            )

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

GATHER_BYTES = 256 * 1024  # of batches gathered ahead at once


@dataclasses.dataclass(frozen=True)
class Source:
    """How a step makes its batch: ``kind`` is "whole", "rows", "function", "batches" or "none"."""

    kind: str
    function: Callable[[Any, Any], Any] | None = None

    @property
    def varies(self) -> bool:
        """Whether batches differ from step to step and from seed to seed."""
        return self.kind not in ("whole", "none")

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

    def ahead(self, data: Any, rows: Any) -> int:
        """How many steps' batches are gathered at once, into a core's cache; 0 where a step makes its own.

        ``rows`` has leading axes ``[seeds, steps]``, or ``[steps]`` for one seed.
        """
        if self.kind != "rows":
            return 0
        seeds, batch = (rows.shape[0] if rows.ndim > 2 else 1), rows.shape[-1]
        steps = GATHER_BYTES // max(1, seeds * batch * bytes_per_row(data))
        return min(steps, rows.shape[-2]) if steps > 1 else 0

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
        self.seed = seed

    def rows(self, seed: int, step: int, length: int) -> np.ndarray:
        """Indices of shape ``[length, batch_size]``."""
        per_group = _together(self.examples) * self.per_epoch
        groups = range(step // per_group, (step + length - 1) // per_group + 1)
        drawn = [_orders(self.seed, seed, group, self.examples, self.batch_size) for group in groups]
        joined = np.concatenate(drawn) if len(drawn) > 1 else drawn[0]
        begin = step - groups[0] * per_group
        return joined[begin : begin + length]


def _together(examples: int) -> int:
    """How many epochs are shuffled at once."""
    return max(1, 2**16 // examples)


@functools.lru_cache(maxsize=32)  # of 256 kB, or of one epoch where that is more
def _orders(seed: int, lane_seed: int, group: int, examples: int, batch_size: int) -> np.ndarray:
    """The rows of a few epochs, int32 ``[steps, batch_size]``.

    Random numbers with the example's index in the low half are sorted: the same order on every machine, whatever its sort.
    """
    epochs, per_epoch = _together(examples), examples // batch_size
    random = np.random.Philox(key=[seed, lane_seed], counter=[0, 0, group, 0]).random_raw(epochs * examples)
    keyed = (random.reshape(epochs, examples) & ~_LOW) | np.arange(examples, dtype=np.uint64)
    keyed.sort(axis=-1)
    rows = (keyed[:, : per_epoch * batch_size] & _LOW).astype(np.int32).reshape(-1, batch_size)
    rows.flags.writeable = False
    return rows


_LOW = np.uint64(2**32 - 1)


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

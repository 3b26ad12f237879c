"""Where batches come from: arrays, a function, or nothing (iterables: see ``streams``).

The static half (``Source``) says how a step makes its batch of what it is handed; the other half (``Feed``) hands
each chunk its rows: indices into the arrays on the device, or the batches themselves.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.data import arrays
from jopt.hyper import call

ORDER_BYTES = 64 * 2**20  # of shuffled rows that are kept


@dataclasses.dataclass(frozen=True)
class Source:
    """How a step makes its batch: ``kind`` is "whole", "rows", "function", "batches" or "none"."""

    kind: str
    function: Callable[..., Any] | None = None

    @property
    def varies(self) -> bool:
        """Whether batches differ from step to step and from seed to seed."""
        return self.kind not in ("whole", "none")

    @property
    def has_rows(self) -> bool:
        """Whether a step is handed its rows, or its batch, from outside."""
        return self.kind in ("rows", "batches")

    def batch(self, data: Any, row: Any, key: Any, step: Any, hyper: Any = None) -> Any:
        """The batch of one step, of the data on the device and the step's own row."""
        if self.kind == "whole":
            return data
        if self.kind == "rows":
            return jax.tree.map(lambda x: jnp.take(x, row, axis=0, mode="clip"), data)
        if self.kind == "function":
            assert self.function is not None
            return call(self.function, (key, step), hyper)
        if self.kind == "batches":
            return jax.tree.map(arrays.as_keys, row, is_leaf=arrays.is_keys)
        return None


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

    def close(self) -> None:
        """Hears that the sweep is over."""


class NoData(Feed):
    """Every batch is ``None``."""

    source = Source("none")


class WholeData(Feed):
    """Every batch is the whole data."""

    source = Source("whole")

    def __init__(self, data: Any) -> None:
        self.data = _copied(data)


class FunctionData(Feed):
    """Batches made in the compiled step by ``batch(key, step)``, which may take ``hyper``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.source = Source("function", function)


class Minibatches(Feed):
    """Rows of arrays, reshuffled each epoch without replacement; what does not fill a batch is left out of the epoch."""

    source = Source("rows")

    def __init__(self, data: Any, batch_size: int, seed: int, examples: int) -> None:
        self.data = _copied(data)
        self.examples = examples
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


class HostMinibatches(Minibatches):
    """The same of arrays that stay on the host, for example because no device holds them: each chunk's batches travel.

    They are not copied, and may be mapped from a file: whole numbers are looked at when their batch's turn comes.
    """

    source = Source("batches")

    def __init__(self, data: Any, batch_size: int, seed: int, examples: int) -> None:
        super().__init__((), batch_size, seed, examples)
        self.host = jax.tree.map(arrays.on_host, data)
        self.wide = bool(jax.config.values["jax_enable_x64"])

    def rows(self, seed: int, step: int, length: int) -> Any:
        """The batches of ``length`` steps, stacked."""
        rows = super().rows(seed, step, length)

        def chosen(name: str, x: Any) -> Any:
            if isinstance(x, arrays.Keys):
                return dataclasses.replace(x, data=x.data[rows])
            return arrays.fitted(name, x[rows], self.wide)

        return arrays.map_named(chosen, "data", self.host, arrays.is_keys)


def _copied(data: Any) -> Any:
    """Arrays on the device that share no memory with the user's, who may change it while the sweep runs; JAX's don't change.

    By NumPy: JAX compiles a program to copy an array of each shape.
    """
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else jax.device_put(np.array(x)), data)


def _together(examples: int) -> int:
    """How many epochs are shuffled at once."""
    return max(1, 2**16 // examples)


def _orders(*which: int) -> np.ndarray:
    """The rows of a few epochs (see ``_draw``); the latest are kept, so that the next sweep of the same data has them."""
    with _lock:
        if which in _kept:
            _kept.move_to_end(which)
            return _kept[which]
    made = _draw(*which)
    with _lock:
        _kept[which] = made
        while len(_kept) > 1 and sum(rows.nbytes for rows in _kept.values()) > ORDER_BYTES:
            _kept.popitem(last=False)
    return made


def _draw(seed: int, lane_seed: int, group: int, examples: int, batch_size: int) -> np.ndarray:
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


_kept: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
_lock = threading.Lock()
_LOW = np.uint64(2**32 - 1)

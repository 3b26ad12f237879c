"""Blocks: lanes at one step that run in one compiled call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass
class Block:
    """Lanes at the same step: for each of some seeds, as many settings.

    Arrays of the carry have leading axes ``[seeds, width]``; an axis of length one is left out, and both are for what is the
    same in every lane, such as a step count. They lie on the host, or on the device of the worker that has them.
    """

    settings: np.ndarray  # [seeds, width], ids of settings
    seeds: np.ndarray  # [seeds], positions in the list of seeds
    real: np.ndarray  # [seeds, width], false for lanes that only fill up the block, and for dead ones
    step: int = 0
    carry: list[Any] | None = None  # the leaves; None before the first step
    feedback: list[Any] | None = None  # the metrics of the latest evaluation, for programs that want them
    fresh: Any = None  # per lane, whether it is newer than the last step
    best: list[Any] | None = None  # where the best is kept: the metric of the best evaluation yet, and the leaves it was of
    wave: int = 0  # the latest one in which it was copied, to be saved
    optimizer: list[Any] | None = None  # the leaves on the worker's device, made from the settings

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.seeds), self.settings.shape[1]

    @property
    def lead(self) -> tuple[int, ...]:
        return tuple(n for n in self.shape if n > 1)

    @property
    def lanes(self) -> list[tuple[int, int]]:
        """The setting and the seed of each real lane, in the order of the carry."""
        seeds = np.broadcast_to(self.seeds[:, None], self.shape)
        return list(zip(self.settings[self.real].tolist(), seeds[self.real].tolist(), strict=True))

    @property
    def places(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Where the real lanes stand among the block's, and among the sweep's; seeds before settings.

        As slices where that is a rectangle of neighbours: those are written at once, without a copy.
        """
        rows, count = len(self.seeds), int(self.real[0].sum())
        first, begin = int(self.settings[0, 0]), int(self.seeds[0])
        straight = self.settings[:, :count] == np.arange(first, first + count)
        if (self.real == (np.arange(self.shape[1]) < count)).all() and straight.all() and self._neighbours():
            return (slice(None), slice(count)), (slice(begin, begin + rows), slice(first, first + count))
        seeds = np.broadcast_to(self.seeds[:, None], self.shape)
        return (self.real,), (seeds[self.real], self.settings[self.real])

    def _neighbours(self) -> bool:
        return bool((np.diff(self.seeds) == 1).all())

    def on_host(self) -> Block:
        """The same block with its arrays on the host, so that it can travel."""

        def brought(leaves: Sequence[Any] | None) -> list[Any] | None:
            return None if leaves is None else [to_numpy(x) for x in leaves]

        fresh = None if self.fresh is None else np.asarray(self.fresh)
        return dataclasses.replace(
            self,
            carry=brought(self.carry),
            feedback=brought(self.feedback),
            fresh=fresh,
            best=brought(self.best),
            optimizer=None,
        )

    def copied(self) -> Block:
        """A copy on the host, which shares no memory with what the worker goes on with."""
        host = self.on_host()
        for name in ("carry", "feedback", "best"):
            if (leaves := getattr(host, name)) is not None:
                setattr(host, name, [np.array(x) for x in leaves])
        host.fresh = None if host.fresh is None else np.array(host.fresh)
        return host

    def halves(self, first: int) -> list[Block]:
        """The same lanes as two narrower blocks before their first step, which comes after step ``first``."""
        axis = 0 if len(self.seeds) > 1 else 1
        each = zip(*(np.array_split(x, 2, axis) for x in (self.settings, self.real)), strict=True)
        seeds = np.array_split(self.seeds, 2) if axis == 0 else [self.seeds, self.seeds]
        made = [Block(settings, own, real, first) for (settings, real), own in zip(each, seeds, strict=True)]
        return [block for block in made if block.real.any()]

    def by_lane(self, x: Any) -> np.ndarray:
        """An array of the block on the host, with one leading axis of lanes."""
        array = to_numpy(x)
        return array.reshape((self.settings.size, *array.shape[len(self.lead) :]))


def to_numpy(x: Any) -> np.ndarray:
    """An array on the host; a random key as its data."""
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def to_device(leaves: Sequence[Any], like: Sequence[Any], device: Any) -> list[Any]:
    """Host arrays on a device, in one transfer; those that are keys in ``like`` are wrapped again."""

    def wrapped(x: Any, kind: Any) -> Any:
        is_key = jnp.issubdtype(kind.dtype, jax.dtypes.prng_key)
        return jax.random.wrap_key_data(x, impl=jax.random.key_impl(kind)) if is_key else x

    return [wrapped(x, kind) for x, kind in zip(jax.device_put(list(leaves), device), like, strict=True)]


def key_kinds(tree: Any) -> tuple[Any, ...]:
    """For each leaf of a tree of arrays, or of their shapes, of which kind of random keys it is; None for others."""

    def of(x: Any) -> Any:
        kinds: list[Any] = [None]
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), x)  # it looks at arrays and tracers only
        return kinds[-1]

    return tuple(map(of, jax.tree.leaves(tree)))

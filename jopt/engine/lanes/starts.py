"""First carries: what the lanes of a block are before their first step."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.compiled import blocks
from jopt.engine.compiled.blocks import Block, Shape, to_numpy
from jopt.values.trees import flatten

if TYPE_CHECKING:
    from jopt.engine.running.runner import Job

KEPT_STARTS = 8  # first carries that are kept for further blocks
SPREAD_BYTES = 16 * 2**20  # of first carries that the host makes; larger ones would stand twice, and are made on the device
MANY_BLOCKS = 8  # of one shape: worth compiling what makes their first carries
MANY_LEAVES = 64  # of a carry: the host hands over one after the other, a compiled call makes all at once


class Starts:
    """Makes the first carries of a job's blocks: on the host, or, where lanes are large or many, on the device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Any, list[Any]] = {}  # the leaves of first carries, by seed and device

    def carry_of(self, job: Job, block: Block, device: Any) -> list[Any]:
        """Lanes of one seed start alike, unless a swept number says otherwise."""
        analysis, shape, lanes = job.analysis, job.shape(block), block.real.size
        alike = not analysis.start_depends
        large, many = analysis.carry_bytes > SPREAD_BYTES, len(analysis.common) > MANY_LEAVES
        on_device = alike and (many or lanes * analysis.carry_bytes > SPREAD_BYTES or job.lanes >= MANY_BLOCKS * lanes)
        if on_device and job.given is not None and (large or many):  # made anew, not kept
            return job.call(blocks.start_lanes, (shape, analysis.start), _arguments(job, 0, 0, device))  # type: ignore[no-any-return]
        starts = [[self._start(job, int(k), int(s), device) for k in ([0] if alike else block.settings)] for s in block.seeds]
        if on_device:
            return _spread(shape, starts)  # type: ignore[no-any-return]
        on_host = [[[to_numpy(x) for x in lane] for lane in seed] for seed in starts]
        return to_device(blocks.spread(shape, on_host, np), starts[0][0], device)  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Lets go of the carries that were kept."""
        self._kept.clear()

    def lane(self, job: Job, setting: int, seed: int, device: Any) -> list[Any]:
        """The leaves of one lane's first carry."""
        return self._start(job, setting if job.analysis.start_depends else 0, seed, device)

    def _start(self, job: Job, setting: int, seed: int, device: Any) -> list[Any]:
        """The leaves of a lane's first carry; the latest few seeds' are kept where all settings start alike."""
        kept = self._kept.get((seed, device))
        if kept is not None:
            return kept
        leaves: list[Any] = job.call(blocks.start, (job.analysis.start,), _arguments(job, setting, seed, device))
        if not job.analysis.start_depends:
            with self._lock:
                if len(self._kept) >= KEPT_STARTS:
                    self._kept.clear()
                self._kept[seed, device] = leaves
        return leaves


def _arguments(job: Job, setting: int, seed: int, device: Any) -> tuple[Any, Any, Any, Any]:
    optimizer = jax.device_put(job.optimizer([setting]), device)
    given = job.place("given", lambda: jax.tree.leaves(job.given), device)
    return optimizer, job.keys([seed], device)[0], given, job.arrays(job.analysis.start, device)


@functools.partial(jax.jit, static_argnums=0)
def _spread(shape: Shape, starts: Any) -> list[Any]:
    """The leaves of a block's first carry; copies, because carries are donated."""
    return [jnp.copy(x) for x in blocks.spread(shape, starts)]


def to_device(tree: Any, like: Any, device: Any) -> Any:
    """Host arrays on the device, in one transfer; those that are keys in ``like`` are wrapped again."""
    leaves, treedef = flatten(tree)

    def wrapped(x: Any, kind: Any) -> Any:
        is_key = jnp.issubdtype(kind.dtype, jax.dtypes.prng_key)
        return jax.random.wrap_key_data(x, impl=jax.random.key_impl(kind)) if is_key else x

    return treedef.unflatten(map(wrapped, jax.device_put(leaves, device), jax.tree.leaves(like)))

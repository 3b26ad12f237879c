"""First carries: what the lanes of a block are before their first step."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.compiled import steps
from jopt.engine.compiled.steps import Shape
from jopt.engine.lanes.blocks import Block, to_device, to_numpy

KEPT_STARTS = 8  # first carries of seeds that are kept for further blocks, as many as a few workers are at
SPREAD_BYTES = 16 * 2**20  # of first carries that the host makes; larger ones would stand twice, and are spread on the device


class Starts:
    """Makes the first carries of a job's blocks.

    Args:
      start: makes the leaves of one lane's first carry, of a setting and a seed, on a device.
      depends: whether a swept number changes it; else lanes of one seed start alike.
      carry_bytes: of one lane.
    """

    def __init__(self, start: Callable[[int, int, Any], list[Any]], depends: bool, carry_bytes: int) -> None:
        self._make, self._depends, self._carry_bytes = start, depends, carry_bytes
        self._lock = threading.Lock()
        self._kept: dict[Any, list[Any]] = {}  # by seed and device

    def carry_of(self, block: Block, shape: Shape, device: Any) -> list[Any]:
        """The leaves of a block's first carry."""
        starts = [
            [self.lane(int(k), int(seed), device) for k in (row if self._depends else row[:1])]
            for row, seed in zip(block.settings, block.seeds, strict=True)
        ]
        if block.settings.size * self._carry_bytes > SPREAD_BYTES:
            return _spread(shape, starts)  # type: ignore[no-any-return]
        on_host = [[[to_numpy(x) for x in lane] for lane in seed] for seed in starts]
        return to_device(steps.spread(shape, on_host, np), starts[0][0], device)

    def lane(self, setting: int, seed: int, device: Any) -> list[Any]:
        """The leaves of one lane's first carry; the latest few seeds' are kept where all settings start alike."""
        kept = self._kept.get((seed, device))
        if kept is not None:
            return kept
        leaves = self._make(setting, seed, device)
        if not self._depends:
            with self._lock:
                if len(self._kept) >= KEPT_STARTS:
                    self._kept.clear()
                self._kept[seed, device] = leaves
        return leaves

    def clear(self) -> None:
        """Lets go of what was kept, and of who makes it."""
        self._kept.clear()
        del self._make


@functools.partial(jax.jit, static_argnums=0)
def _spread(shape: Shape, starts: Sequence[Any]) -> list[Any]:
    """The leaves of a block's first carry; copies, because carries are donated."""
    return [jnp.copy(x) for x in steps.spread(shape, starts)]

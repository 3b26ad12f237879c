"""First carries: what the lanes of a block are before their first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jopt.engine.compiled.steps import Shape
from jopt.engine.lanes.blocks import Block, to_device, to_numpy


def carry_of(block: Block, shape: Shape, start: Callable[[int, int], list[Any]], depends: bool, device: Any) -> list[Any]:
    """The leaves of a block's first carry.

    ``start(setting, seed)`` makes those of one lane, anew for each block, which costs at most 1 % (blocks of two lanes of the
    MLP 64-256-256-10, 16 steps each). ``depends`` says whether a swept number changes them; else lanes of one seed start
    alike, and one start goes to the device as a view of as many: that takes no memory but the carry's own, and no compiling.
    """
    if block.settings.size == 1:
        return start(int(block.settings[0, 0]), int(block.seeds[0]))
    rows = block.settings if depends else block.settings[:, :1]
    lanes = [[start(int(k), int(seed)) for k in row] for row, seed in zip(rows, block.seeds, strict=True)]

    def over_lanes(i: int) -> np.ndarray:
        each = [[to_numpy(lane[i]) for lane in seed] for seed in lanes]
        one = each[0][0]
        stacked = one if len(each) == len(each[0]) == 1 else np.stack([np.stack(seed) for seed in each])
        return np.broadcast_to(stacked, (*block.shape, *one.shape)).reshape((*block.lead, *one.shape))

    leaves = [to_numpy(lanes[0][0][i]) if common else over_lanes(i) for i, common in enumerate(shape.common)]
    return to_device(leaves, lanes[0][0], device)

"""First carries: what lanes are before their first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jopt.engine.compiled.steps import Shape
from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block, to_device, to_numpy
from jopt.engine.lanes.table import Paused


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


def begun(job: Job, evaluated: Mapping[str, Any]) -> list[Paused]:
    """For each seed, where its lanes go on, as if they had been paused there; empty where they begin before the first step.

    ``evaluated`` are the shapes of an evaluation, by name, where steps are told of it.
    """
    begun = job.begun
    if begun is None:
        return []
    seeds = range(len(job.seeds))
    told = [begun.told(seed, evaluated) if job.program.feedback else None for seed in seeds]
    feedback = [None if each is None else list(each.values()) for each in told]
    return [Paused(jax.tree.leaves(begun.of(seed)), feedback[seed], begun.fresh) for seed in seeds]

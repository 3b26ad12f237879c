"""First carries: what lanes are before their first step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jopt.engine.compiled import steps
from jopt.engine.compiled.steps import Shape
from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.table import Paused


def carry_of(block: Block, shape: Shape, start: Callable[[int, int], list[Any]], depends: bool) -> list[Any]:
    """The leaves of a block's first carry, on the device that ``start(setting, seed)`` makes those of one lane on.

    ``depends`` says whether a swept number changes them; else lanes of one seed start alike, and one is made for all. They are
    made anew for each block, which costs at most 1 % (blocks of two lanes of the MLP 64-256-256-10, 16 steps each), and spread
    on the device, which costs 0.7 to 1.0 of what the host needs for it.
    """
    starts = [
        [start(int(k), int(seed)) for k in (row if depends else row[:1])]
        for row, seed in zip(block.settings, block.seeds, strict=True)
    ]
    return _spread(shape, starts)  # type: ignore[no-any-return]


@functools.partial(jax.jit, static_argnums=0)
def _spread(shape: Shape, starts: Sequence[Any]) -> list[Any]:
    """The leaves of a block's first carry; copies, because carries are donated."""
    return [jnp.copy(x) for x in steps.spread(shape, starts)]


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

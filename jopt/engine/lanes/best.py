"""The best evaluation of each lane and what was evaluated, chosen where they lie, so that no worker waits for a number."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jopt.engine.evaluation import Mode, direction
from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block


def mode_of(job: Job, evaluated: Sequence[str]) -> Mode | None:
    """Which values are good of the metric that ranks, the first of ``evaluated``; None where the best is not kept."""
    if job.keep != "best":
        return None
    if not evaluated:
        raise ValueError('keep="best" keeps what the best evaluation was of, but evaluate returns no metric.')
    mode = direction(job.maximize, evaluated[0])
    if mode is None:
        raise ValueError(
            f'keep="best" keeps what the best evaluation was of, but nobody said whether {evaluated[0]!r} is better high '
            f"or low; declare it where it is made, evaluate=jopt.metrics(..., maximize={evaluated[0]!r}), or give it another "
            f"name, if it is better low."
        )
    return mode


def chosen(block: Block, metric: Any, places: Any, common: Sequence[bool], mode: Mode) -> list[Any]:
    """The best evaluation of each lane of a block and what it was of, now that it has been evaluated once more.

    ``places`` is a tree of the positions, in the carry, of what is kept of it, ``common`` says of each leaf of the carry
    whether all lanes have the same.
    """
    assert block.carry is not None
    kept = jax.tree.leaves(places)
    leaves = [block.carry[i] for i in kept]
    return better(block.lead, tuple(common[i] for i in kept), mode, block.best, metric, leaves)  # type: ignore[no-any-return]


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def better(
    lead: tuple[int, ...], common: tuple[bool, ...], mode: Mode, best: list[Any] | None, metric: Any, leaves: Sequence[Any]
) -> list[Any]:
    """The metric ``[*lead]`` of each lane's best evaluation and the leaves ``[*lead, ...]`` that it was of.

    ``best`` is what was best until now, which makes room for the new; None: nothing. An evaluation that is not better, or not
    a number, changes nothing. ``common`` says which of the leaves are without axes of lanes.
    """
    # Copies, because carries are donated.
    now = [
        jnp.copy(jnp.broadcast_to(x, (*lead, *x.shape)) if same else x)
        for x, same in zip([metric, *leaves], (False, *common), strict=True)
    ]
    if best is None:
        return now
    takes = now[0] < best[0] if mode == "min" else now[0] > best[0]
    if jnp.issubdtype(metric.dtype, jnp.inexact):
        takes |= jnp.isnan(best[0])
    return [jnp.where(takes.reshape(lead + (1,) * (x.ndim - len(lead))), x, old) for x, old in zip(now, best, strict=True)]

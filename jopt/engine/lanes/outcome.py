"""What a worker returns."""

from __future__ import annotations

import dataclasses

import numpy as np

from jopt.engine.lanes.blocks import Block


@dataclasses.dataclass(frozen=True)
class BlockOutcome:
    """What a worker did with a block: the seam between those who run lanes and those who decide about them.

    Attributes:
      block: at the step that it has reached, with its carry. Until it is ``over`` the worker goes on with it, and only who its
        lanes are may be read.
      records: of each stretch of steps its first step (from 0), its length, and arrays ``[steps, *lanes]`` by name.
      evaluations: of each evaluation the steps done, and arrays ``[*lanes]`` by name.
      dead: ``[seeds, width]``, the lanes that have a parameter that is not finite; None: not looked at, since all is well.
      error: what went wrong; the carry is lost then, unless the block is ``intact``.
      seconds: how long it took.
      over: whether the block is in nobody's hands any more.
      intact: whether the block is, in spite of an error, as it was before the turn.
      compiled: from when to when something was compiled elsewhere, in seconds from the beginning of the turn.
      copy: of the block, on the host, where it is to be saved.
    """

    block: Block
    records: list[tuple[int, int, dict[str, np.ndarray]]]
    evaluations: list[tuple[int, dict[str, np.ndarray]]]
    dead: np.ndarray | None = None
    error: Exception | None = None
    seconds: float = 0.0
    over: bool = True  # whether the worker has done with the block
    intact: bool = False
    compiled: tuple[tuple[float, float], ...] = ()
    copy: Block | None = None

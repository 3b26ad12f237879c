"""What is saved of lanes, and what it makes of a job that goes on from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.table import Lanes, Paused, State

Numbers = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Saved:
    """Some lanes of a job, all at one step.

    Attributes:
      lanes: the setting and the seed of each.
      step: where they are.
      state: what they are doing, or how they ended.
      tree: their carries, evaluations and sums; None where these are saved already.
      records: the steps of whole windows, and values ``[steps, lanes]`` by name, since they were saved last.
      evaluations: in the same way.
      outcomes: how far they have come, and where they diverged or were pruned.
    """

    lanes: list[tuple[int, int]]
    step: int
    state: State
    tree: dict[str, Any] | None
    records: tuple[Numbers, dict[str, Numbers]]
    evaluations: tuple[Numbers, dict[str, Numbers]]
    outcomes: dict[str, Numbers]


def saved_of(block: Block, state: State, records: Records, common: Sequence[bool], since: int | None, plan: list[Any]) -> Saved:
    """What is to be saved of the real lanes of a block on the host.

    ``common`` says which leaves of the carry all lanes share, ``since`` is the step at which they were saved last; None: never.
    """
    lanes = block.lanes
    windows, evaluations = records.between(lanes, -1 if since is None else since, block.step)
    tree = None if since == block.step else _tree(block, records, common, plan)
    settings, seeds = (list(x) for x in zip(*lanes, strict=True))
    outcomes = {name: getattr(records, name)[settings, seeds] for name in ("steps_done", "diverged_at", "pruned_at")}
    if state is State.DEAD:
        outcomes["steps_done"] = np.fmin(outcomes["diverged_at"], outcomes["steps_done"]).astype(np.int64)
    return Saved(lanes, block.step, state, tree, windows, evaluations, outcomes)


def _tree(block: Block, records: Records, common: Sequence[bool], plan: list[Any]) -> dict[str, Any]:
    real = block.real.ravel()

    def of(leaves: Sequence[Any] | None) -> list[Numbers] | None:
        return None if leaves is None else [rows(x) for x in leaves]

    def rows(x: Any) -> Numbers:
        return block.by_lane(x) if real.all() else block.by_lane(x)[real]  # the block is a copy: large states are in no third

    carry = [
        np.broadcast_to(x, (int(real.sum()), *np.shape(x))) if same else rows(x)
        for x, same in zip(block.carry or [], common, strict=True)
    ]
    steps, sums = records.sums(block.lanes, block.step)
    fresh = None if block.fresh is None else rows(np.asarray(block.fresh))
    beside = {"feedback": of(block.feedback), "fresh": fresh, "best": of(block.best)}
    return {"carry": carry, **beside, "window": steps, "sums": sums, "plan": plan}


@dataclasses.dataclass(frozen=True, eq=False)
class Resumed:
    """What an earlier call has left of the lanes of a job.

    Attributes:
      trees: of some lanes each, the latest last: their settings and seeds, ``[lanes, 2]``, -1 where they are not asked for;
        their step; what ``Saved.tree`` holds.
      dead: ``[settings, seeds]``, which of them are.
      diverged_at: ``[settings, seeds]``, where they diverged.
      losses: ``[settings, seeds, steps]`` by name.
      metrics: ``[settings, seeds, evaluations]`` by name.
    """

    trees: Sequence[tuple[Numbers, int, dict[str, Any]]]
    dead: Numbers
    diverged_at: Numbers
    losses: Mapping[str, Numbers]
    metrics: Mapping[str, Numbers]


def resume(resumed: Resumed, lanes: Lanes, records: Records, among: Numbers | None = None) -> None:
    """Puts lanes where they were, all of them paused; ``among`` says of which lanes all is taken that was recorded."""
    for where, step, tree in resumed.trees:
        for i, (setting, seed) in enumerate(where.tolist()):
            if setting >= 0:
                lanes.resume((setting, seed), step, _paused(tree, i))
    records.resume(lanes.steps, resumed.losses, resumed.metrics, resumed.diverged_at, among)
    for where, step, tree in resumed.trees:
        kept = (where[:, 0] >= 0) & (lanes.steps[where[:, 0], where[:, 1]] == step)
        records.resume_sums(where[kept], step, tree["window"], {name: x[kept] for name, x in tree["sums"].items()})


def _paused(tree: Mapping[str, Any], i: int) -> Paused:
    def row(leaves: Sequence[Numbers] | None) -> list[Numbers] | None:
        return None if leaves is None else [x[i] for x in leaves]

    fresh = tree["fresh"] is not None and bool(tree["fresh"][i])
    return Paused(row(tree["carry"]) or [], row(tree["feedback"]), fresh, row(tree["best"]))

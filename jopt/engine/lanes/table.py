"""The lanes of a job: who they are, what they are doing, and where those wait that are in no block."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Sequence

import numpy as np

from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block, to_numpy


class State(enum.IntEnum):
    """What a lane is doing.

    waiting → running (its first block) → paused (its carry is on the host) → running ... → done; or dead: a parameter is not
    finite, and nothing brings it back; or pruned: somebody decided that it is not worth going on; or lost: its workers failed
    again and again. A lane that is away is another process's: here nobody runs it.
    """

    WAITING = 0
    RUNNING = 1
    PAUSED = 2
    DEAD = 3
    DONE = 4
    PRUNED = 5
    AWAY = 6
    LOST = 7


@dataclasses.dataclass(frozen=True)
class Paused:
    """A lane on the host: the leaves of its carry, of its latest evaluation, and of its best one."""

    carry: list[np.ndarray]
    feedback: list[np.ndarray] | None
    fresh: bool
    best: list[np.ndarray] | None = None


class Lanes:
    """State and step of every lane, ``[settings, seeds]``, and the carries of those that are paused.

    Args:
      job: what is run.
      common: for each leaf of the carry, whether all lanes have the same.
      begun: for each seed, where its lanes go on; empty where they begin before the first step.
    """

    def __init__(self, job: Job, common: Sequence[bool], begun: Sequence[Paused] = ()) -> None:
        self.job = job
        self.common = common
        self.begun = begun
        shape = job.space.size, len(job.seeds)
        self.states = np.full(shape, State.WAITING, np.int8)
        self.steps = np.zeros(shape, np.int64)
        self._paused: dict[tuple[int, int], Paused] = {}
        self.restart(np.ndindex(shape))

    def in_state(self, *states: State) -> np.ndarray:
        """Which lanes are in one of some states."""
        return np.isin(self.states, states)

    def pause(self, block: Block) -> None:
        """Takes the real lanes of a block home; the block is nothing any more."""
        assert block.carry is not None
        rows = [[to_numpy(x)] if common else list(block.by_lane(x)) for x, common in zip(block.carry, self.common, strict=True)]
        told, best = (None if x is None else list(map(block.by_lane, x)) for x in (block.feedback, block.best))
        fresh = None if block.fresh is None else block.by_lane(np.asarray(block.fresh))
        for i, lane in zip(np.flatnonzero(block.real).tolist(), block.lanes, strict=True):
            carry = [np.array(row[i % len(row)]) for row in rows]
            latest, best_yet = (None if x is None else [np.array(leaf[i]) for leaf in x] for x in (told, best))
            self._paused[lane] = Paused(carry, latest, bool(fresh is not None and fresh[i]), best_yet)
            self._set(lane, State.PAUSED, block.step)
        block.carry = block.best = None

    def restart(self, lanes: Iterable[tuple[int, int]]) -> None:
        """Sends lanes back to their beginning: their carries are lost."""
        for lane in lanes:
            self._paused.pop(lane, None)
            if self.begun:
                self._paused[lane] = self.begun[lane[1]]
            self._set(lane, State.PAUSED if self.begun else State.WAITING, self.job.first)

    def end(self, block: Block, state: State) -> None:
        """Hears that the real lanes of a block have come to an end."""
        for lane in block.lanes:
            self._set(lane, state, block.step)

    def _set(self, lane: tuple[int, int], state: State, step: int) -> None:
        self.states[lane] = state
        self.steps[lane] = step

    def resume(self, lane: tuple[int, int], step: int, paused: Paused) -> None:
        """A lane goes on from what was saved of it."""
        self._paused[lane] = paused
        self._set(lane, State.PAUSED, step)

    def leave(self, which: np.ndarray) -> None:
        """Some lanes, ``[settings, seeds]``, are another process's; their steps stay as they are."""
        self.states[which] = State.AWAY
        for lane in [lane for lane in self._paused if which[lane]]:
            del self._paused[lane]

    def here(self) -> tuple[int, int]:
        """How many settings and seeds hold the lanes that are run here: all, where none is away."""
        here = ~self.in_state(State.AWAY)
        return (int(here.sum(0).max()), int(here.any(0).sum())) if here.any() else here.shape

    def form(self, shape: tuple[int, int], among: np.ndarray | None = None) -> list[Block]:
        """Blocks of so many seeds and settings for every lane that waits or is paused; ``among``: of these lanes only.

        Lanes of one block are at one step, and none or all have a carry. Each seed's settings are cut in equal parts, and parts
        stand together; blocks are filled up to the shape by copies of their last lane, so that one executable serves them.
        """
        open_lanes = self.in_state(State.WAITING, State.PAUSED) & (True if among is None else among)
        blocks = []
        for state, step in sorted(set(zip(self.states[open_lanes].tolist(), self.steps[open_lanes].tolist(), strict=True))):
            here = open_lanes & (self.states == state) & (self.steps == step)
            parts = [(seed, part) for seed in range(here.shape[1]) for part in _cut(np.flatnonzero(here[:, seed]), shape[1])]
            blocks += [_block([parts[i] for i in some], shape, int(step)) for some in _cut(np.arange(len(parts)), shape[0])]
        return blocks

    def take(self, block: Block) -> None:
        """Puts the carries of a block's lanes into it, and counts them as running."""
        paused = [self._paused.pop(lane) for lane in block.lanes if lane in self._paused]
        self.end(block, State.RUNNING)
        if not paused:
            return  # all are at step 0, where the worker makes their start
        index = np.zeros(block.settings.size, np.int64)  # lanes that only fill up the block copy the first one
        index[np.flatnonzero(block.real)] = np.arange(len(paused))
        lanes = [paused[i] for i in index]

        def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
            return np.stack(rows).reshape((*block.lead, *np.shape(rows[0])))

        block.carry = [
            paused[0].carry[j] if common else stacked([lane.carry[j] for lane in lanes]) for j, common in enumerate(self.common)
        ]
        if paused[0].feedback is not None:
            block.feedback = [stacked(rows) for rows in zip(*(lane.feedback or [] for lane in lanes), strict=True)]
            block.fresh = stacked([np.asarray(lane.fresh) for lane in lanes])
        if paused[0].best is not None:
            block.best = [stacked(rows) for rows in zip(*(lane.best or [] for lane in lanes), strict=True)]


def _cut(of: np.ndarray, most: int) -> list[np.ndarray]:
    """Equal parts of at most so many."""
    return np.array_split(of, math.ceil(len(of) / most)) if len(of) else []


def _block(parts: Sequence[tuple[int, np.ndarray]], shape: tuple[int, int], step: int) -> Block:
    """A block of some seeds, each with settings of its own."""
    seeds = np.array([seed for seed, _ in parts], np.int64)
    settings = np.stack([np.pad(part, (0, shape[1] - len(part)), mode="edge") for _, part in parts])
    real = np.stack([np.arange(shape[1]) < len(part) for _, part in parts])
    more = (0, shape[0] - len(parts))
    rows = np.pad(settings, (more, (0, 0)), mode="edge").astype(np.int64)
    return Block(rows, np.pad(seeds, more, mode="edge"), np.pad(real, (more, (0, 0))), step)

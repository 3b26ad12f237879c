"""Lanes between two plans: taken home from the blocks that they ran in, and put into others."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jopt.engine.compiled.blocks import Block, to_numpy
from jopt.engine.lanes.starts import to_device
from jopt.engine.planning.plan import Plan
from jopt.engine.running.runner import Job
from jopt.values.trees import flatten


@dataclasses.dataclass
class Lane:
    """One lane on the host: its step, and the leaves of its carry and of its latest evaluation."""

    step: int
    leaves: list[np.ndarray]


class Store:
    """The lanes that have begun; the others are at step 0 and nowhere yet."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lanes: dict[tuple[int, int], Lane] = {}

    def step(self, setting: int, seed: int) -> int:
        lane = self.lanes.get((setting, seed))
        return lane.step if lane else 0

    def take(self, block: Block) -> None:
        """Takes the lanes of a block home."""
        state = [to_numpy(x) for x in jax.tree.leaves(_state(block))]
        rows = [[x] if common else list(self._flat(block, x)) for x, common in zip(state, self._common(state), strict=True)]
        for i, lane in zip(
            np.flatnonzero(block.real).tolist(), zip(*(ids.tolist() for ids in block.lanes), strict=True), strict=True
        ):
            self.lanes[lane] = Lane(block.step, [row[i % len(row)].copy() for row in rows])
        block.carry = None

    def _flat(self, block: Block, x: np.ndarray) -> np.ndarray:
        """An array of a block with one leading axis of lanes."""
        return x.reshape((block.real.size, *x.shape[len(block.lead) :]))

    def _common(self, state: Sequence[Any]) -> list[bool]:
        """For each leaf of a state, whether all lanes have the same; none of those behind the carry is."""
        common = self.job.analysis.common
        return [*common, *[False] * (len(state) - len(common))]

    def drop(self, settings: np.ndarray, seeds: np.ndarray) -> None:
        """Forgets some lanes: they are at step 0 again."""
        for lane in [(int(k), int(s)) for k in settings for s in seeds]:
            self.lanes.pop(lane, None)

    def level(self, settings: np.ndarray, seeds: np.ndarray, width: int, plan: Plan, device: Any) -> Block:
        """A block of these lanes at one step: those that are behind catch up, the others wait."""
        block = self._filled(settings, seeds, width, device)
        steps = self._steps(block)
        levels = np.unique(steps[block.real])
        for here, there in itertools.pairwise(levels):
            block.step, block.real = int(here), block.real & (self._steps(block) == here)
            self.job.run(block, int(there), plan.loop or "scan", plan.chunk, device)
            self.take(block)
            block = self._filled(settings, seeds, width, device)
        block.step = int(levels[-1])
        self.drop(settings, seeds)
        return block

    def _steps(self, block: Block) -> np.ndarray:
        return np.array([[self.step(int(k), int(s)) for k in block.settings] for s in block.seeds])

    def _filled(self, settings: np.ndarray, seeds: np.ndarray, width: int, device: Any) -> Block:
        """A new block with the carries of the lanes that have begun."""
        block = self.job.new_block(settings, seeds, width, device)
        lanes = [(int(k), int(s)) for s in block.seeds for k in block.settings]
        if not any(lane in self.lanes for lane in lanes):
            return block
        state = _state(block)
        leaves, treedef = flatten(state)
        behind = min(lanes, key=lambda lane: self.step(*lane))  # what is common is that of the lanes that run next
        filled = []
        for j, (leaf, common) in enumerate(zip(map(to_numpy, leaves), self._common(leaves), strict=True)):
            if common:
                filled.append(self.lanes[behind].leaves[j] if behind in self.lanes else leaf)
                continue
            flat = self._flat(block, leaf).copy()
            for i, lane in enumerate(lanes):
                flat[i] = self.lanes[lane].leaves[j] if lane in self.lanes else flat[i]
            filled.append(flat.reshape((*block.lead, *flat.shape[1:])))
        block.carry, block.feedback, block.fresh = to_device(treedef.unflatten(filled), state, device)
        return block


def _state(block: Block) -> Any:
    return block.carry, block.feedback, block.fresh

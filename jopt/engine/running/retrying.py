"""Which errors are nobody's mistake, how often a block that meets one runs again, and from where.

A worker that dies or is not heard of, a device that fails: the block runs again from its last state, which is what came home
after its last turn where blocks travel, and what was last copied or resumed where they live on a device; else its beginning.
What the user's own functions raise stops the sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import numpy as np

from jopt.engine import machine
from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.table import Lanes, State

T = TypeVar("T")
RETRIES = 3  # in a row, without getting further in between
_SYSTEM = ("ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNKNOWN")


class WorkerLost(Exception):
    """A worker that died, or that was ended since nothing was heard of it."""


def is_fault(error: BaseException) -> bool:
    """Whether an error is the system's: another try may go well. What the user's functions raise is theirs."""
    if isinstance(error, (WorkerLost, MemoryError)):
        return True
    # What a function raises to which compiled code calls back comes as an INTERNAL error, with its traceback in the text.
    text = str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and text.startswith(_SYSTEM) and "Traceback (most recent" not in text


@dataclasses.dataclass(frozen=True)
class _State:
    """A block on the host, and what the window held in whose midst it is."""

    block: Block
    sums: Mapping[str, np.ndarray]


class Retries:
    """Counts for each lane of a job how often in a row its block has failed, and sends it back to its last state.

    Args:
      job: whose lanes they are.
      lanes: what they are doing.
      records: what they have recorded.
      most: how often a block runs again.

    Attributes:
      lost: the setting and the seed of lanes whose block failed more often than that, and the last error of each.
    """

    def __init__(self, job: Job, lanes: Lanes, records: Records, most: int) -> None:
        self.job, self.lanes, self.records, self.most = job, lanes, records, most
        self.lost: dict[tuple[int, int], Exception] = {}
        self._failures = np.zeros((job.space.size, len(job.seeds)), np.int64)
        self._failed_at = np.full_like(self._failures, -1)  # the furthest step
        self._states: dict[tuple[int, int], _State] = {}

    def tried(self, explore: Callable[[], T]) -> T:
        """What ``explore`` returns, which is called again where a worker failed: the lanes that it tried have begun anew."""
        for _ in range(self.most):
            try:
                return explore()
            except Exception as error:
                if not is_fault(error):
                    raise
        return explore()

    def went_well(self, block: Block) -> None:
        """Hears of a turn without an error, which counts where it went further than what has failed."""
        further = self._failed_at < block.step
        self._failures[_places(block)] *= ~further[_places(block)]

    def keep(self, block: Block) -> None:
        """Takes a block on the host, and in its records no further, as the last state of its lanes."""
        if block.carry is not None and block.real.any():
            state = _State(dataclasses.replace(block), self.records.sums(block.lanes, block.step)[1])
            self._states.update(dict.fromkeys(block.lanes, state))

    def drop(self, block: Block) -> None:
        """Hears that the lanes of a block have come to their end."""
        for lane in block.lanes:
            self._states.pop(lane, None)

    def instead(self, outcome: BlockOutcome, shape: Callable[[], tuple[int, int]]) -> list[Block]:
        """What runs in place of a block that has failed; nothing, where it is given up, and what it has recorded stays.

        Where lanes do not fit, they run in halves from the beginning. ``shape`` says how blocks are formed anew.

        Raises:
          Exception: What the block met, where it is no fault of the system, or where batches come only once.
        """
        error, block = outcome.error, outcome.block
        assert error is not None
        narrower = machine.is_out_of_memory(error) and len(block.lanes) > 1
        if not (narrower or is_fault(error)):
            raise error
        if self.job.feed.lockstep:  # the batches from the first one on would be needed
            if narrower:
                half = max(1, block.shape[1] // 2)
                error.add_note(f"jopt: give plan=jopt.Plan(width={half}), or data as arrays or a function.")
            raise error
        if narrower:
            self._begin_anew(block)
            return block.halves(self.job.first)
        return self._again(outcome, shape) if self._may_run_again(block) else self._give_up(block, error)

    def _may_run_again(self, block: Block) -> bool:
        places = _places(block)
        self._failures[places] += 1
        self._failed_at[places] = np.maximum(self._failed_at[places], block.step)
        return bool(np.max(self._failures[places]) <= self.most)

    def _give_up(self, block: Block, error: Exception) -> list[Block]:
        self.lanes.end(block, State.LOST)
        self.lost.update(dict.fromkeys(block.lanes, error))
        self.drop(block)
        return []

    def _again(self, outcome: BlockOutcome, shape: Callable[[], tuple[int, int]]) -> list[Block]:
        state = outcome.block if outcome.intact else self._last_state(outcome.block)
        if state is None or state.carry is None:
            self._begin_anew(outcome.block)
        else:
            self.lanes.pause(dataclasses.replace(state))
        among = np.zeros_like(self._failures, bool)
        among[_places(outcome.block)] = True
        return self.lanes.form(shape(), among)

    def _begin_anew(self, block: Block) -> None:
        self.records.forget(block.lanes)
        self.lanes.restart(block.lanes)

    def _last_state(self, block: Block) -> Block | None:
        """The lanes of a block as they were last, with records that end there; None: nobody has kept all of them together."""
        found = [self._states.get(lane) for lane in block.lanes]
        state = found[0]
        if state is None or any(each is not state for each in found):
            return None
        lanes = state.block.lanes
        places = [lanes.index(lane) for lane in block.lanes]
        self.records.rewind(block.lanes, state.block.step, {name: x[places] for name, x in state.sums.items()})
        among = np.zeros_like(state.block.real)
        among[tuple(x[places] for x in np.nonzero(state.block.real))] = True
        return dataclasses.replace(state.block, real=among)


def _places(block: Block) -> tuple[list[int], list[int]]:
    return [setting for setting, _ in block.lanes], [seed for _, seed in block.lanes]

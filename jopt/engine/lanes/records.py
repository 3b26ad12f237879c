"""What a worker returns, and what a sweep keeps of it: records, evaluations, divergence, final parameters."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jopt.engine.job import Job
from jopt.engine.lanes.blocks import Block, to_numpy
from jopt.values.trees import flatten


@dataclasses.dataclass(frozen=True)
class BlockOutcome:
    """What a worker did with a block: the seam between those who run lanes and those who decide about them.

    Attributes:
      block: at the step that it has reached, with its carry. Until it is ``over`` the worker goes on with it, and only who its
        lanes are may be read.
      records: of each stretch of steps its first step (from 0), its length, and arrays ``[steps, *lanes]`` by name.
      evaluations: of each evaluation the steps done, and arrays ``[*lanes]`` by name.
      dead: ``[seeds, width]``, the lanes that have a parameter that is not finite; None: not looked at, since all is well.
      error: what went wrong; the carry is lost then.
      seconds: how long it took.
      over: whether the block is in nobody's hands any more.
      copy: of the block, on the host, where it is to be saved.
    """

    block: Block
    records: list[tuple[int, int, dict[str, np.ndarray]]]
    evaluations: list[tuple[int, dict[str, np.ndarray]]]
    dead: np.ndarray | None = None
    error: Exception | None = None
    seconds: float = 0.0
    over: bool = True  # whether the worker has done with the block
    copy: Block | None = None


class Records:
    """NumPy arrays, written by whoever carries a sweep out as outcomes come back.

    Floats are kept in their own type, integers and bools as float64, in which NaN can stand where nothing ran.

    All arrays lie as they come out of a block, so that a block writes rows of neighbours: time first, then ``[seeds,
    settings]``, then an array's own axes. They are handed out as views whose lanes are ``[settings, seeds]``, and time last.
    """

    def __init__(self, job: Job) -> None:
        self._lanes = (len(job.seeds), job.space.size)
        self.first, self.steps = job.first, job.steps
        self.until = job.steps  # the last step of which there are records; of a part an earlier one
        self.record_every = job.record_every
        # Windows end at multiples of record_every, also where a sweep goes on from another.
        self._first_window = job.first // job.record_every
        ends = np.arange((self._first_window + 1) * job.record_every, job.steps, job.record_every)
        self.record_steps = np.append(ends, job.steps)
        self.eval_steps = np.asarray(job.eval_steps, np.int64)
        self._diverged_at = np.full(self._lanes, np.nan)
        self._pruned_at = np.full(self._lanes, np.nan)
        self._steps_done = np.full(self._lanes, job.first, np.int64)
        self._done_before = self._steps_done.copy()  # by an earlier sweep or call
        self._kept: list[np.ndarray] = []
        self.kept_structure: Any = None
        self.key_kinds: tuple[Any, ...] = ()  # for each leaf of a carry, of which kind of random keys it is, or None
        self._losses: dict[str, np.ndarray] = {}
        self._metrics: dict[str, np.ndarray] = {}
        self._types: dict[str, Any] = {}  # in which these are handed out

    @property
    def lane_steps(self) -> int:
        """The steps that were done here, of all lanes together."""
        return int(np.maximum(0, self._steps_done - self._done_before).sum())

    @property
    def diverged_at(self) -> np.ndarray:
        """The step at which each lane was seen to diverge, ``[settings, seeds]``; NaN: it was not."""
        return self._diverged_at.T

    @property
    def pruned_at(self) -> np.ndarray:
        """The step at which each lane was pruned, ``[settings, seeds]``; NaN: it was not."""
        return self._pruned_at.T

    @property
    def steps_done(self) -> np.ndarray:
        """The steps that each lane has done, ``[settings, seeds]``."""
        return self._steps_done.T

    @property
    def kept(self) -> list[np.ndarray]:
        """What the result keeps of the lanes, the leaves of a tree, ``[settings, seeds, ...]``."""
        return [x.swapaxes(0, 1) for x in self._kept]

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """What the evaluations were, ``[settings, seeds, evaluations]``."""
        return {name: array.T for name, array in self._metrics.items()}

    @property
    def losses(self) -> dict[str, np.ndarray]:
        """What was recorded at each step or over each window, ``[settings, seeds, steps]``."""
        return {name: array.T.astype(self._types[name], copy=False) for name, array in self._losses.items()}

    def take(self, outcome: BlockOutcome) -> None:
        """Takes what a worker found."""
        for first, steps, found in outcome.records:
            self.steps_recorded(outcome.block, first, steps, found)
        for step, metrics in outcome.evaluations:
            self.evaluated(outcome.block, step, metrics)

    def steps_recorded(self, block: Block, first: int, steps: int, metrics: dict[str, np.ndarray]) -> None:
        """Takes the metrics of ``steps`` steps after the ``first``, arrays ``[steps, *lanes of the block]``."""
        chosen, lanes = block.places
        watched = "loss" if "loss" in metrics else next(iter(metrics), None)
        for name, values in metrics.items():
            found = values.reshape(len(values), *block.shape)[(slice(None), *chosen)]
            self._add_to_windows(self._recorded(name, values.dtype), lanes, found, first)
            if name == watched:
                self._watch(lanes, found, first)
        self._steps_done[lanes] = first + steps

    def _add_to_windows(self, kept: np.ndarray, lanes: Any, found: np.ndarray, first: int) -> None:
        if self.record_every == 1:
            begin = first - self.first
            kept[(slice(begin, begin + len(found)), *lanes)] = found
            return
        windows = np.arange(first, first + len(found)) // self.record_every
        starts = np.flatnonzero(np.r_[True, np.diff(windows) > 0])
        lengths = self._length(windows[starts])
        with np.errstate(invalid="ignore", over="ignore"):  # of a lane that diverged
            sums = np.add.reduceat(found, starts, axis=0, dtype=np.float64)
            parts = sums / lengths.reshape(-1, *[1] * (sums.ndim - 1))
            for window, part in zip(windows[starts], parts, strict=True):
                kept[(window - self._first_window, *lanes)] += part

    def _length(self, window: Any) -> Any:
        """How many steps a window has; those at the two ends may have fewer than the others."""
        begin = window * self.record_every
        return np.minimum(begin + self.record_every, self.steps) - np.maximum(begin, self.first)

    def _watch(self, lanes: Any, found: np.ndarray, first: int) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            total = found.sum()  # one pass says that all is well, which it mostly is
        if not np.isfinite(total):
            bad = ~np.isfinite(found)
            when = np.where(bad.any(axis=0), first + 1.0 + bad.argmax(axis=0), np.nan)
            self._diverged_at[lanes] = np.fmin(self._diverged_at[lanes], when)

    def evaluated(self, block: Block, step: int, metrics: dict[str, np.ndarray]) -> None:
        """Takes the evaluation of a block after ``step`` steps, scalars ``[*lanes of the block]``."""
        when = int(np.searchsorted(self.eval_steps, step))
        chosen, lanes = block.places
        for name, values in metrics.items():
            if name in self._losses:
                raise ValueError(f"evaluate: {name!r} is already the name of a training record; rename it.")
            kept = self._evaluations(name, values.dtype)
            kept[(when, *lanes)] = values.reshape(block.shape)[chosen]

    def forget(self, lanes: Sequence[tuple[int, int]]) -> None:
        """Clears what some lanes have recorded, before they start anew."""
        settings, seeds = (list(x) for x in zip(*lanes, strict=True))
        for kept in self._losses.values():
            kept[:, seeds, settings] = 0.0
        self._diverged_at[seeds, settings] = np.nan
        self._steps_done[seeds, settings] = self._done_before[seeds, settings] = self.first

    def between(self, lanes: Sequence[tuple[int, int]], begin: int, end: int) -> Any:
        """The windows and the evaluations of some lanes that ended behind a step, up to another: steps, and values by name."""
        settings, seeds = (list(x) for x in zip(*lanes, strict=True))
        found = []
        for steps, kept in ((self.record_steps, self.losses), (self.eval_steps, self.metrics)):
            first, last = (int(np.searchsorted(steps, step, side="right")) for step in (begin, end))
            found.append((steps[first:last], {name: x[settings, seeds, first:last].T for name, x in kept.items()}))
        return found

    def sums(self, lanes: Sequence[tuple[int, int]], step: int) -> tuple[int, dict[str, np.ndarray]]:
        """How many steps the window has in whose midst some lanes are, and what it holds by then; elsewhere nothing."""
        if step % self.record_every == 0:
            return 0, {}
        place = step // self.record_every - self._first_window
        settings, seeds = (list(x) for x in zip(*lanes, strict=True))
        length = int(self._length(place + self._first_window))
        return length, {name: kept[place, seeds, settings] for name, kept in self._losses.items()}

    def resume(self, steps: np.ndarray, losses: Mapping[str, Any], metrics: Mapping[str, Any], diverged_at: np.ndarray) -> None:
        """Takes what an earlier call has recorded up to some steps, ``[settings, seeds]``."""
        self._steps_done[:], self._done_before[:], self._diverged_at[:] = steps.T, steps.T, diverged_at.T
        for ends, kept, found in ((self.record_steps, self._losses, losses), (self.eval_steps, self._metrics, metrics)):
            nothing = 0.0 if kept is self._losses else np.nan
            ran = ends[:, None, None] <= np.where(steps > self.first, steps, -1).T
            for name in kept.keys() & found.keys():
                kept[name][:] = np.where(ran, found[name].T, nothing)

    def resume_sums(self, lanes: np.ndarray, step: int, length: int, values: Mapping[str, np.ndarray]) -> None:
        """Takes what windows held in the midst of which some lanes, ``[lanes, 2]``, stopped at a step."""
        if length:
            place = step // self.record_every - self._first_window
            share = length / self._length(place + self._first_window)
            for name, kept in values.items():
                self._losses[name][place, lanes[:, 1], lanes[:, 0]] = kept * share

    def close(self, dead: np.ndarray) -> None:
        """Puts NaN where nothing ran; ``dead`` lanes, ``[settings, seeds]``, ended where they diverged, whoever ran them."""
        self.steps_done[dead] = np.fmin(self.diverged_at[dead], self.steps_done[dead])
        for setting, seed in np.argwhere(self.steps_done < self.until):
            done = int(self.steps_done[setting, seed])
            window = done // self.record_every
            place, rest = window - self._first_window, done - max(window * self.record_every, self.first)
            for kept in self._losses.values():
                if rest and 0 <= place < len(kept):  # the mean over the steps that ran
                    kept[place, seed, setting] *= self._length(window) / rest
                kept[max(0, place + bool(rest)) :, seed, setting] = np.nan
            for metric in self._metrics.values():
                metric[self.eval_steps > done, seed, setting] = np.nan

    def part(self, dead: np.ndarray, until: int) -> Records:
        """A closed copy of what was recorded up to a step, made while lanes still run, or after they were stopped.

        Some lanes may be further. What every lane keeps at its end is not in it.
        """
        made = copy.copy(self)
        made.until, made._steps_done = until, np.minimum(self._steps_done, until)
        made._diverged_at, made._pruned_at = (np.where(x <= until, x, np.nan) for x in (self._diverged_at, self._pruned_at))
        windows, evaluations = (int(np.searchsorted(x, until, side="right")) for x in (self.record_steps, self.eval_steps))
        made.record_steps, made.eval_steps = self.record_steps[:windows], self.eval_steps[:evaluations]
        made._losses = {name: kept[:windows].copy() for name, kept in self._losses.items()}
        made._metrics = {name: kept[:evaluations].copy() for name, kept in self._metrics.items()}
        made._kept, made.kept_structure = [], None
        made.close(dead & (self.steps_done <= until))
        return made

    def expect(self, steps: Mapping[str, Any], evaluations: Mapping[str, Any]) -> None:
        """Makes room for what will be recorded, names and types, so that it is known before the first step."""
        for name, dtype in steps.items():
            self._recorded(name, dtype)
        for name, dtype in evaluations.items():
            self._evaluations(name, dtype)

    def _recorded(self, name: str, dtype: Any) -> np.ndarray:
        if name not in self._losses:
            # Every step writes its own record; windows are summed up, in float32 at least.
            kept = self._types[name] = _recorded_as(dtype)
            make, held = (np.empty, kept) if self.record_every == 1 else (np.zeros, jnp.promote_types(kept, np.float32))
            self._losses[name] = make((len(self.record_steps), *self._lanes), held)
        return self._losses[name]

    def _evaluations(self, name: str, dtype: Any) -> np.ndarray:
        if name not in self._metrics:
            self._metrics[name] = np.full((len(self.eval_steps), *self._lanes), np.nan, _recorded_as(dtype))
        return self._metrics[name]

    def ended(
        self, block: Block, leaves: Sequence[Any], common: Sequence[bool], began: Callable[[int, int], list[Any]]
    ) -> None:
        """Marks the lanes of a block that end with a leaf that is not finite, but was finite when they began.

        ``leaves`` are those of the last carry, ``common`` says which are the same in every lane, and ``began(setting, seed)``
        makes those of a lane's first carry: some rightly begin infinite, such as the best value that a plateau has seen.
        """
        lost = {i: where for i, x in enumerate(leaves) if (where := _lost(x, common[i], block.shape)) is not None}
        for place in zip(*np.nonzero(block.real & sum(lost.values(), np.zeros(block.shape, bool))), strict=True):
            setting, seed = int(block.settings[place]), int(block.seeds[place[0]])
            if np.isnan(self.diverged_at[setting, seed]):
                first = began(setting, seed)
                if any(where[place] and np.isfinite(np.asarray(first[i])).all() for i, where in lost.items()):
                    self.diverged_at[setting, seed] = block.step

    def finished(self, block: Block, kept: Any) -> None:
        """Takes what the result keeps of a block's lanes, a tree of arrays ``[*lanes of the block, ...]``."""
        leaves, structure = flatten(kept)
        leaves = [to_numpy(x) for x in leaves]
        shapes = [np.shape(x)[len(block.lead) :] for x in leaves]
        if self.kept_structure is None:
            self.kept_structure = structure
            self._kept = [np.empty((*self._lanes, *s), x.dtype) for x, s in zip(leaves, shapes, strict=True)]
        chosen, lanes = block.places
        for array, leaf, shape in zip(self._kept, leaves, shapes, strict=True):
            array[lanes] = leaf.reshape(*block.shape, *shape)[chosen]


def _recorded_as(dtype: Any) -> np.dtype[Any]:
    return np.dtype(dtype if jnp.issubdtype(dtype, jnp.floating) else np.float64)


def _lost(leaf: Any, same: bool, shape: tuple[int, int]) -> np.ndarray | None:
    """Where among a block's lanes a leaf is not finite, ``[seeds, settings]``; None: nowhere."""
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return None
    lanes = np.asarray(leaf).reshape(1 if same else math.prod(shape), -1)
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(lanes.sum(-1)).all():  # half the time of looking at each number, and no memory
            return None
    finite = np.isfinite(lanes).all(-1)
    return None if finite.all() else np.broadcast_to(~finite if same else ~finite.reshape(shape), shape)

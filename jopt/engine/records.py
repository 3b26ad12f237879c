"""What a sweep keeps, filled in by its workers: records, evaluations, divergence, final parameters."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from jopt._trees import flatten
from jopt.engine.blocks import Block, to_numpy


class Records:
    """NumPy arrays with leading axes ``[settings, seeds]``, written block by block as chunks come back."""

    def __init__(self, settings: int, seeds: int, steps: int, record_every: int, eval_steps: np.ndarray) -> None:
        self.lanes = (settings, seeds)
        self.steps = steps
        self.record_every = record_every
        self.record_steps = np.append(np.arange(record_every, steps, record_every), steps)
        self.eval_steps = eval_steps
        self.losses: dict[str, np.ndarray] = {}
        self.metrics: dict[str, np.ndarray] = {}
        self.diverged_at = np.full(self.lanes, np.nan)
        self.steps_done = np.zeros(self.lanes, np.int64)
        self.kept: list[np.ndarray] = []
        self.kept_structure: Any = None
        self.best_loss = np.inf
        self._lock = threading.Lock()

    def steps_recorded(self, block: Block, first: int, metrics: dict[str, np.ndarray]) -> None:
        """Takes the metrics of a stretch of steps, arrays ``[steps, *lanes of the block]``."""
        lanes = block.lanes
        for name, values in metrics.items():
            found = values.reshape(len(values), *block.shape)[:, block.real].T  # [lanes, steps]
            kept = self._array(self.losses, name, len(self.record_steps), values.dtype)
            self._add_to_windows(kept, lanes, found, first)
            if name == "loss" or ("loss" not in metrics and name == next(iter(metrics))):
                self._watch(lanes, found, first)

    def _add_to_windows(self, kept: np.ndarray, lanes: Any, found: np.ndarray, first: int) -> None:
        steps = np.arange(first, first + found.shape[-1])
        if self.record_every == 1:
            kept[(*lanes, slice(first, first + len(steps)))] = found
            return
        windows = steps // self.record_every
        lengths = np.minimum(self.record_every, self.steps - windows * self.record_every)
        starts = np.flatnonzero(np.r_[True, np.diff(windows) > 0])
        with np.errstate(invalid="ignore", over="ignore"):  # of a lane that diverged
            parts = np.add.reduceat(found / lengths, starts, axis=-1).T
            for window, part in zip(windows[starts], parts, strict=True):
                kept[(*lanes, window)] += part

    def _watch(self, lanes: Any, found: np.ndarray, first: int) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            total = found.sum(dtype=np.float64)  # one pass says that all is well, which it mostly is
        if not np.isfinite(total):
            bad = ~np.isfinite(found)
            when = np.where(bad.any(axis=-1), first + 1.0 + bad.argmax(axis=-1), np.nan)
            self.diverged_at[lanes] = np.fmin(self.diverged_at[lanes], when)
        self.steps_done[lanes] = first + found.shape[-1]
        last = found[:, -1][np.isfinite(found[:, -1])]
        if len(last):
            self.best_loss = min(self.best_loss, float(last.min()))

    def evaluated(self, block: Block, step: int, metrics: dict[str, np.ndarray]) -> None:
        """Takes the evaluation of a block after ``step`` steps, scalars ``[*lanes of the block]``."""
        when = int(np.searchsorted(self.eval_steps, step))
        for name, values in metrics.items():
            if name in self.losses:
                raise ValueError(f"evaluate: {name!r} is already the name of a training record; rename it.")
            kept = self._array(self.metrics, name, len(self.eval_steps), values.dtype)
            kept[(*block.lanes, when)] = values.reshape(block.shape)[block.real]

    def forget(self, settings: np.ndarray, seeds: np.ndarray) -> None:
        """Clears what some lanes have recorded, before they start anew."""
        lanes = np.ix_(settings, seeds)
        for kept in self.losses.values():
            kept[lanes] = 0.0 if self.record_every > 1 else np.nan
        self.diverged_at[lanes] = np.nan
        self.steps_done[lanes] = 0

    def _array(self, table: dict[str, np.ndarray], name: str, length: int, dtype: Any) -> np.ndarray:
        with self._lock:
            if name not in table:
                wide = np.float64 if dtype == np.float64 else np.float32
                fill = 0.0 if table is self.losses and self.record_every > 1 else np.nan
                table[name] = np.full((*self.lanes, length), fill, wide)
            return table[name]

    def finished(self, block: Block, kept: Any) -> None:
        """Takes what the result keeps of a block's lanes, a tree of arrays ``[*lanes of the block, ...]``."""
        leaves, structure = flatten(kept)
        leaves = [to_numpy(x) for x in leaves]
        shapes = [np.shape(x)[len(block.lead) :] for x in leaves]
        with self._lock:
            if self.kept_structure is None:
                self.kept_structure = structure
                self.kept = [np.empty((*self.lanes, *s), x.dtype) for x, s in zip(leaves, shapes, strict=True)]
        for array, leaf, shape in zip(self.kept, leaves, shapes, strict=True):
            array[block.lanes] = leaf.reshape(*block.shape, *shape)[block.real]

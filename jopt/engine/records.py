"""What a sweep keeps, filled in by its workers: records, evaluations, divergence, final parameters."""

from __future__ import annotations

import threading
from typing import Any

import jax
import numpy as np

from jopt.engine.blocks import Block


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
        at = np.ix_(block.settings, block.seeds)
        for name, values in metrics.items():
            lanes = self._by_lane(values, block)
            self._add_to_windows(self._array(self.losses, name, len(self.record_steps), values.dtype), at, lanes, first)
        watched = self._by_lane(metrics["loss"] if "loss" in metrics else next(iter(metrics.values())), block)
        self._watch(at, watched, first)

    def _by_lane(self, values: np.ndarray, block: Block) -> np.ndarray:
        return values.reshape(len(values), *block.shape).transpose(2, 1, 0)  # [settings, seeds, steps]

    def _add_to_windows(self, kept: np.ndarray, at: Any, lanes: np.ndarray, first: int) -> None:
        steps = np.arange(first, first + lanes.shape[-1])
        if self.record_every == 1:
            kept[(*at, slice(first, first + len(steps)))] = lanes
            return
        windows = steps // self.record_every
        lengths = np.minimum(self.record_every, self.steps - windows * self.record_every)
        starts = np.flatnonzero(np.r_[True, np.diff(windows) > 0])
        sums = np.add.reduceat(lanes / lengths, starts, axis=-1)
        self._keep(kept, at, windows[starts], sums)

    def _keep(self, kept: np.ndarray, at: Any, windows: np.ndarray, sums: np.ndarray) -> None:
        for k, window in enumerate(windows):
            kept[(*at, window)] += sums[..., k]

    def _watch(self, at: Any, lanes: np.ndarray, first: int) -> None:
        bad = ~np.isfinite(lanes)
        when = np.where(bad.any(axis=-1), first + 1.0 + bad.argmax(axis=-1), np.nan)
        self.diverged_at[at] = np.fmin(self.diverged_at[at], when)
        self.steps_done[at] = first + lanes.shape[-1]
        last = lanes[..., -1]
        if np.isfinite(last).any():
            self.best_loss = min(self.best_loss, float(np.min(last[np.isfinite(last)])))

    def evaluated(self, block: Block, step: int, metrics: dict[str, np.ndarray]) -> None:
        """Takes the evaluation of a block after ``step`` steps, scalars ``[*lanes of the block]``."""
        when = int(np.searchsorted(self.eval_steps, step))
        at = np.ix_(block.settings, block.seeds)
        for name, values in metrics.items():
            if name in self.losses:
                raise ValueError(f"evaluate: {name!r} is already the name of a training record; rename it.")
            kept = self._array(self.metrics, name, len(self.eval_steps), values.dtype)
            kept[(*at, when)] = values.reshape(block.shape).T

    def _array(self, table: dict[str, np.ndarray], name: str, length: int, dtype: Any) -> np.ndarray:
        with self._lock:
            if name not in table:
                wide = np.float64 if dtype == np.float64 else np.float32
                fill = 0.0 if table is self.losses and self.record_every > 1 else np.nan
                table[name] = np.full((*self.lanes, length), fill, wide)
            return table[name]

    def finished(self, block: Block, kept: Any) -> None:
        """Takes what the result keeps of a block's lanes, a tree of arrays ``[*lanes of the block, ...]``."""
        leaves, structure = jax.tree.flatten(kept)
        at = np.ix_(block.settings, block.seeds)
        shapes = [np.shape(x)[sum(n > 1 for n in block.shape) :] for x in leaves]
        with self._lock:
            if self.kept_structure is None:
                self.kept_structure = structure
                self.kept = [np.empty((*self.lanes, *s), x.dtype) for x, s in zip(leaves, shapes, strict=True)]
        for array, leaf, shape in zip(self.kept, leaves, shapes, strict=True):
            array[at] = np.asarray(leaf).reshape(*block.shape, *shape).swapaxes(0, 1)

"""Advances the blocks of one sweep: starts them, runs their chunks, evaluates them, brings home what they found."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.axes import Space
from jopt.engine import blocks
from jopt.engine.blocks import Block, Executables, Shape
from jopt.engine.program import Program
from jopt.engine.records import Records
from jopt.engine.sources import Feed

EXECUTABLES = Executables()
LONGEST_CHUNK = 512  # steps; bounds the records and rows that one call holds


@dataclasses.dataclass
class Job:
    """One group's sweep: everything that its blocks share."""

    space: Space
    program: Program
    feed: Feed
    seeds: Sequence[int]
    steps: int
    records: Records
    given: Any  # the initial parameters, or None where the program makes them
    seed: int  # of the sweep: the root of every key
    compile_s: float = 0.0
    on_progress: Callable[[int, float | None], None] = lambda lane_steps, best: None
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._placed: dict[Any, Any] = {}
        self.length = min(self.steps, LONGEST_CHUNK)

    def new_block(self, settings: Sequence[int], seeds: Sequence[int], device: Any) -> Block:
        """A block before its first step, on ``device``."""
        stacked, in_axes = self.space.stacked(settings)
        if len(settings) == 1:
            stacked = jax.tree.map(lambda x, axis: x if axis is None else x[0], stacked, in_axes, is_leaf=_is_none)
        stacked = jax.device_put(jax.tree.map(jnp.asarray, stacked), device)
        block = Block(np.asarray(settings), np.asarray(seeds), stacked, None)
        init_keys = self.keys(block, 0, device)
        args = (stacked, init_keys, self.place("given", self.given, device))
        block.carry = self.call(blocks.start, (self.shape(block),), args)
        return block

    def shape(self, block: Block) -> Shape:
        """The static part of a block's executables."""
        varying = self.space.leaf_values()
        axes = tuple(0 if i in varying else None for i in range(len(jax.tree.leaves(block.optimizer))))
        seeds, settings = block.shape
        return Shape(self.program, axes, seeds, settings)

    def keys(self, block: Block, purpose: int, device: Any) -> Any:
        """One key for each seed of the block; 0 starts, 2 is the loss's, 3 the batches'."""

        def make() -> Any:
            root = jax.random.fold_in(jax.random.key(self.seed), purpose)
            made = [jax.random.fold_in(root, np.uint32(self.seeds[s])) for s in block.seeds]
            return jnp.stack(made) if len(made) > 1 else made[0]

        return self.place(("key", purpose, tuple(block.seeds)), make, device)

    def place(self, name: Any, value: Any, device: Any) -> Any:
        """``value`` on ``device``, put there once."""
        with self._lock:
            if (name, device) not in self._placed:
                made = value() if callable(value) else value
                self._placed[name, device] = jax.device_put(made, device)
            return self._placed[name, device]

    def call(
        self, function: Callable[..., Any], static: tuple[Any, ...], args: tuple[Any, ...], donate: int | None = None
    ) -> Any:
        """Runs a block function by its executable."""
        executable, seconds = EXECUTABLES.get(function, static, args, donate)
        self.compile_s += seconds
        return executable(*args)

    def advance(self, block: Block, steps: int, loop: str, device: Any) -> Callable[[], None]:
        """Dispatches ``steps`` further steps; what it returns brings their records home."""
        shape, first = self.shape(block), block.step
        rows = self.rows(block, first, steps, device)
        fixed = (self.place("data", self.feed.data, device), rows)
        keys = (self.keys(block, 2, device), self.keys(block, 3, device))
        feedback = (block.feedback, np.bool_(block.fresh)) if self.program.feedback else None
        if loop == "scan":
            args = (block.optimizer, block.carry, *fixed, np.int32(steps), np.int32(first), keys, feedback)
            block.carry, metrics = self.call(blocks.scan_steps, (shape, self.length), args, donate=1)
        else:
            metrics = []
            for i in range(steps):
                args = (block.optimizer, block.carry, *fixed, np.int32(i), np.int32(first), keys, feedback)
                block.carry, made = self.call(blocks.one_step, (shape,), args, donate=1)
                metrics.append(made)
        block.step, block.fresh = first + steps, False

        def bring_home() -> None:
            self.records.steps_recorded(block, first, _to_host(metrics, steps))
            best = self.records.best_loss
            self.on_progress(steps * block.lanes, best if np.isfinite(best) else None)

        return bring_home

    def rows(self, block: Block, first: int, steps: int, device: Any) -> Any:
        """The rows of a chunk, padded to the executables' length, with a leading axis of seeds where there are several."""
        each = [self.feed.rows(int(self.seeds[s]), first, steps) for s in block.seeds]
        if each[0] is None:
            return None
        padded = [jax.tree.map(lambda r: _pad(r, self.length), rows) for rows in each]
        return jax.device_put(padded[0] if len(each) == 1 else jax.tree.map(lambda *r: np.stack(r), *padded), device)

    def evaluate(self, block: Block) -> Callable[[], None]:
        """Dispatches the evaluation of a block; what it returns brings the metrics home."""
        metrics = self.call(blocks.evaluate, (self.shape(block),), (block.optimizer, block.carry))
        step = block.step
        if self.program.feedback:
            block.feedback, block.fresh = metrics, True

        def bring_home() -> None:
            self.records.evaluated(block, step, {name: np.asarray(x) for name, x in metrics.items()})

        return bring_home

    def run(self, block: Block, until: int, loop: str, chunk: int | None, device: Any) -> float:
        """Runs a block to step ``until``: chunks between evaluations, each chunk's records fetched while the next runs."""
        begin, waiting = time.perf_counter(), []
        if self.program.feedback and block.feedback is None:
            block.feedback = self.unevaluated(block, device)
        while block.step < until and not self.stop.is_set():
            due = self.next_evaluation(block.step)
            steps = min(chunk or self.length, self.length, until - block.step, due - block.step)
            previous, waiting = waiting, [self.advance(block, steps, loop, device)]
            if self.program.evaluate is not None and block.step == due:
                waiting.append(self.evaluate(block))
            for bring_home in previous:
                bring_home()
        for bring_home in waiting:
            bring_home()
        return time.perf_counter() - begin

    def next_evaluation(self, step: int) -> int:
        """The first evaluation after ``step``; the end where there is none."""
        later = self.records.eval_steps[self.records.eval_steps > step]
        return int(later[0]) if len(later) else self.steps

    def unevaluated(self, block: Block, device: Any) -> Any:
        """The evaluation before there is one: NaN."""
        assert self.program.evaluate is not None
        lead = self.shape(block).lead
        one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[len(lead) :], x.dtype), block.carry)
        made = jax.eval_shape(self.program.evaluate, one)
        return jax.tree.map(lambda x: jax.device_put(jnp.full(lead, jnp.nan, x.dtype), device), made)

    def finish(self, block: Block) -> None:
        """Brings home what the result keeps of a block."""
        self.records.finished(block, jax.tree.map(np.asarray, self.program.kept(block.carry)))
        block.carry = None


def _to_host(metrics: Any, steps: int) -> dict[str, np.ndarray]:
    if isinstance(metrics, list):
        return {name: np.stack([np.asarray(m[name]) for m in metrics]) for name in metrics[0]}
    return {name: np.asarray(x)[:steps] for name, x in metrics.items()}


def _pad(rows: Any, length: int) -> np.ndarray:
    rows = np.asarray(rows)
    if len(rows) == length:
        return rows
    return np.concatenate([rows, np.zeros((length - len(rows), *rows.shape[1:]), rows.dtype)])


def _is_none(x: object) -> bool:
    return x is None

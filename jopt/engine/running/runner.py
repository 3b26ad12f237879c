"""Advances the blocks of one sweep: starts them, runs their chunks, evaluates them, brings home what they found."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.compiled import blocks
from jopt.engine.compiled.analysis import Analysis, analyse
from jopt.engine.compiled.blocks import Block, Shape, to_numpy
from jopt.engine.compiled.executables import FIRST_CHUNK, Executable, Executables, Wanted, weakly_typed
from jopt.engine.compiled.tracing import Traced, context
from jopt.engine.data.sources import Feed
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.starts import Starts
from jopt.engine.program import KEYS, Program
from jopt.engine.running import pool
from jopt.expanding import Space
from jopt.values.numbers import settings_of
from jopt.values.trees import structure

EXECUTABLES = Executables()
RECORD_BYTES = 2**20  # that one call makes: what stays in a cache until it is brought home
ROW_BYTES = 2**21  # that one call takes; twice as many are kept for the other blocks of the same seeds
ALIGNED = 64  # bytes
CHUNK_S = 0.25  # how long a chunk may take about, so that progress is seen and Ctrl-C heard


@dataclasses.dataclass
class Job:
    """One group's sweep: everything that its blocks share."""

    space: Space
    program: Program
    feed: Feed
    seeds: Sequence[int] | np.ndarray
    steps: int
    records: Records
    given: Any  # the initial parameters, or None where the program makes them
    seed: int  # of the sweep: the root of every key
    workers: int = 1
    on_progress: Callable[[int, float | None], None] = lambda lane_steps, best: None

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._placed: dict[Any, Any] = {}
        self._rows: OrderedDict[Any, Future[Any]] = OrderedDict()
        self._starts = Starts()
        self._ready: dict[Any, Executable] = {}  # by shape of the block, loop and device
        self._compiling: list[tuple[float, float]] = []  # from when to when
        self.caller = pool.Caller()
        self._context = context()

    def close(self) -> None:
        """Lets go of what lies on devices: whoever holds the job, be it a cycle, does not hold that."""
        for kept in (self._placed, self._rows, self._ready):
            kept.clear()
        self._starts.clear()
        vars(self).pop("analysis", None)

    @functools.cached_property
    def length(self) -> int:
        """The most steps of a chunk, for which its executable is made: to the next evaluation, within some memory."""
        gaps = np.diff(self.records.eval_steps, prepend=0)
        fitting = min(RECORD_BYTES // (4 * self.lanes), ROW_BYTES // max(1, self.row_bytes))
        return int(min(self.steps, max(FIRST_CHUNK, fitting), gaps.max() if len(gaps) else self.steps))

    @functools.cached_property
    def row_bytes(self) -> int:
        """Of one step and one seed."""
        return sum(x.nbytes for x in jax.tree.leaves(self.feed.rows(int(self.seeds[0]), 0, 1)))

    @property
    def lanes(self) -> int:
        return self.space.size * len(self.seeds)

    @functools.cached_property
    def varying(self) -> dict[int, np.ndarray]:
        """For each leaf of the optimizer that has an axis, its value in every setting."""
        return self.space.leaf_values()

    @functools.cached_property
    def axes(self) -> tuple[int | None, ...]:
        """For each leaf of the optimizer, 0 if it has an axis."""
        leaves = len(jax.tree.leaves(self.space.optimizer))
        return tuple(0 if i in self.varying else None for i in range(leaves))

    @functools.cached_property
    def weak(self) -> tuple[bool, ...]:
        """For each leaf of the optimizer, whether it is a Python number: then it takes the type of what it meets."""
        leaves = jax.tree.leaves(self.space.optimizer)
        return tuple(i in self.varying or isinstance(x, (int, float, complex)) for i, x in enumerate(leaves))

    @functools.cached_property
    def analysis(self) -> Analysis:
        """What one step of one lane costs; raises where the user's functions are wrong."""
        row = self.feed.rows(int(self.seeds[0]), 0, 1)
        one = structure(self.space.optimizer).unflatten(weakly_typed(self.optimizer([0]), self.weak))
        on_cpu = pool.devices_for(None)[0].platform == "cpu"
        return analyse(self.program, one, self.axes, self.given, self.feed.data, row, on_cpu)

    def optimizer(self, settings: Sequence[int] | np.ndarray) -> list[Any]:
        """The leaves of the optimizers of some settings: swept numbers stacked, or single for a single setting."""
        chosen = settings if len(settings) > 1 else settings[0]
        swept = {i: np.asarray(settings_of(values)[chosen]) for i, values in self.varying.items()}
        return [swept[i] if i in swept else _array(x) for i, x in enumerate(jax.tree.leaves(self.space.optimizer))]

    def shape(self, block: Block) -> Shape:
        """Which leaves differ between the lanes of a block."""
        return Shape(self.analysis.in_axes, self.analysis.common, self.program.source.varies, *block.shape)

    def arrays(self, traced: Traced, device: Any) -> list[Any]:
        """What a traced function closes over, on ``device``."""
        return [self.place(("array", id(x)), lambda x=x: x, device) for x in traced.arrays]  # type: ignore[misc]

    def new_block(
        self, settings: Sequence[int] | np.ndarray, seeds: Sequence[int] | np.ndarray, width: int, device: Any
    ) -> Block:
        """A block before its first step on ``device``, filled up to ``width`` settings with copies of its last lane."""
        filled = np.concatenate([settings, np.repeat(settings[-1:], width - len(settings))]).astype(int)
        real = np.broadcast_to(np.arange(width) < len(settings), (len(seeds), width))
        block = Block(filled, np.asarray(seeds), None, None, real)
        block.optimizer = jax.device_put(self.optimizer(filled), device)
        block.carry = self._starts.carry_of(self, block, device)
        if self.program.feedback:
            made = jax.tree.leaves(self.analysis.evaluate.result)  # type: ignore[union-attr]
            none_yet = [np.zeros(block.lead, x.dtype) for x in made]  # not NaN, for which debug_nans looks
            block.feedback, block.fresh = jax.device_put(none_yet, device), np.zeros(block.lead, bool)
        return block

    def keys(self, seeds: Sequence[int] | np.ndarray, device: Any) -> tuple[Any, Any, Any]:
        """The keys of the start, of the loss and of the batches, stacked where there are several seeds."""
        chosen = np.asarray([self.seeds[s] for s in seeds], np.uint32)
        own = chosen if len(chosen) > 1 else chosen[0]
        return self.place(("keys", *chosen), lambda: _keys(np.uint32(self.seed), own), device)  # type: ignore[no-any-return]

    def place(self, name: Any, make: Callable[[], Any], device: Any) -> Any:
        """What ``make`` returns, on ``device``, made and put there once."""
        if (name, device) not in self._placed:
            made = jax.device_put(make(), device)
            with self._lock:
                self._placed.setdefault((name, device), made)
        return self._placed[name, device]

    @property
    def compile_s(self) -> float:
        """The seconds in which something was compiled, be it by several threads at once."""
        total, until = 0.0, 0.0
        for begin, end in sorted(self._compiling):
            total += max(0.0, end - max(begin, until))
            until = max(until, end)
        return total

    def _compiled(
        self, function: Callable[..., Any], static: tuple[Any, ...], args: tuple[Any, ...], donate: int | None, one_thread: bool
    ) -> Executable:
        wanted = Wanted(function, static, args, donate, self.weak, one_thread, self._context)
        executable, seconds = EXECUTABLES.get(wanted, self.caller.do)
        if seconds:
            now = time.perf_counter()
            self._compiling.append((now - seconds, now))
        return executable

    def call(
        self, function: Callable[..., Any], static: tuple[Any, ...], args: tuple[Any, ...], one_thread: bool = False
    ) -> Any:
        """Runs a block function by its executable."""
        return self._compiled(function, static, args, None, one_thread)(*args)

    def executable(self, block: Block, loop: str, device: Any) -> Executable:
        """What advances a block (see ``blocks.scan_steps`` and ``one_step``)."""
        kind = block.shape, loop, device
        if kind not in self._ready:
            args = tuple(self.arguments(block, loop, device, 0, 1))
            static: tuple[Any, ...] = self.shape(block), self.analysis.step
            function, more = (blocks.scan_steps, (self.length,)) if loop == "scan" else (blocks.one_step, ())
            self._ready[kind] = self._compiled(function, static + more, args, 1, self._one_thread(block, device))
        return self._ready[kind]

    def _one_thread(self, block: Block, device: Any) -> bool:
        """Whether other blocks are likely to run on the other cores; one that holds all lanes may use them itself."""
        return device.platform == "cpu" and self.workers > 1 and block.real.size < self.lanes

    def arguments(self, block: Block, loop: str, device: Any, first: int, steps: int) -> list[Any]:
        """What the executable of a block takes; after a host loop's first step, the carry and the number of the step change."""
        data = self.place("data", lambda: jax.tree.leaves(self.feed.data), device)
        step = self.analysis.step
        arrays = self.arrays(step.traced, device), self.arrays(step.batch, device) if step.batch else []
        rows = self.rows(block, first, steps, device)
        feedback = (block.feedback, block.fresh) if self.program.feedback else None
        count = np.int32(steps if loop == "scan" else 0)  # steps to do, or the step to do
        keys = self.keys(block.seeds, device)[1:]
        return [block.optimizer, block.carry, data, rows, count, np.int32(first), keys, feedback, arrays]

    def advance(self, block: Block, steps: int, loop: str, device: Any) -> Callable[[], None]:
        """Dispatches ``steps`` further steps; what it returns brings their records home."""
        first, executable = block.step, self.executable(block, loop, device)
        args = self.arguments(block, loop, device, first, steps)
        if loop == "scan":
            block.carry, metrics = executable(*args)
        else:
            metrics = []
            for i in range(steps):
                args[1], args[4] = block.carry, np.int32(i)
                block.carry, made = executable(*args)
                metrics.append(made)
        block.step = first + steps
        block.fresh = np.zeros(block.lead, bool) if self.program.feedback else None

        def bring_home() -> None:
            names = [name for name, _ in self.analysis.step.metrics]
            self.records.steps_recorded(
                block, first, steps, dict(zip(names, _to_host(metrics, steps, loop == "host"), strict=True))
            )
            best = self.records.best_loss
            self.on_progress(steps * int(block.real.sum()), best if np.isfinite(best) else None)

        return bring_home

    def rows(self, block: Block, first: int, steps: int, device: Any) -> Any:
        """The rows of a chunk, padded to the executables' length, with a leading axis of seeds where there are several.

        Made once for the blocks that come for them soon, be it at the same moment.
        """
        if not self.program.source.has_rows:
            return None
        name = (*block.seeds, first, steps, device)
        chunk_bytes = max(1, self.row_bytes * self.length * len(block.seeds))
        with self._lock:
            mine, made = name not in self._rows, self._rows.setdefault(name, Future())
            while len(self._rows) > max(1, 2 * ROW_BYTES // chunk_bytes):
                self._rows.popitem(last=False)
        if mine:
            try:
                each = [self.feed.rows(int(self.seeds[s]), first, steps) for s in block.seeds]
                leaves = [_padded(rows, self.length) for rows in zip(*map(jax.tree.leaves, each), strict=True)]
                made.set_result(jax.device_put(leaves, device))
            except BaseException as error:
                with self._lock:
                    self._rows.pop(name, None)  # narrower blocks may ask again
                made.set_exception(error)
        return made.result()

    def evaluate(self, block: Block, device: Any) -> Callable[[], None]:
        """Dispatches the evaluation of a block; what it returns brings the metrics home."""
        traced = self.analysis.evaluate
        assert traced is not None
        args = block.optimizer, block.carry, self.arrays(traced, device)
        metrics = self.call(blocks.evaluate, (self.shape(block), traced), args, self._one_thread(block, device))
        step, names = block.step, self.analysis.evaluated_names
        if self.program.feedback:
            block.feedback, block.fresh = metrics, np.ones(block.lead, bool)

        def bring_home() -> None:
            self.records.evaluated(block, step, dict(zip(names, map(np.asarray, metrics), strict=True)))

        return bring_home

    def run(self, block: Block, until: int, loop: str, chunk: int | None, device: Any) -> float:
        """Runs a block to step ``until``: chunks between evaluations, each chunk's records fetched while the next runs."""
        begin = time.perf_counter()
        waiting: list[Callable[[], None]] = []
        executable = self.executable(block, loop, device) if block.step < until else None
        while executable is not None and block.step < until and not self.stop.is_set():
            due = self.next_evaluation(block.step)
            longest = min(chunk or executable.quick, self.length)
            steps, started = min(longest, until - block.step, due - block.step), time.perf_counter()
            previous, waiting = waiting, [self.advance(block, steps, loop, device)]
            if self.program.evaluate is not None and block.step == due:
                waiting.append(self.evaluate(block, device))
            for bring_home in previous:
                bring_home()
            if steps == longest and time.perf_counter() - started < CHUNK_S / 4:
                executable.quick = max(executable.quick, 4 * longest)
        for bring_home in waiting:
            bring_home()
        return time.perf_counter() - begin

    def next_evaluation(self, step: int) -> int:
        """The first evaluation after ``step``; the end where there is none."""
        later = self.records.eval_steps[self.records.eval_steps > step]
        return int(later[0]) if len(later) else self.steps

    def finish(self, block: Block, device: Any) -> None:
        """Brings home what the result keeps of a block."""
        began = functools.partial(self._starts.lane, self, device=device)
        self.records.ended(block, block.carry, self.analysis.common, began)
        whole = [
            np.broadcast_to(to_numpy(x), (*block.lead, *to_numpy(x).shape)) if common else x
            for x, common in zip(block.carry, self.analysis.common, strict=True)
        ]
        self.records.finished(block, self.program.kept(self.analysis.treedef.unflatten(whole)))
        block.carry = None


@jax.jit
def _keys(root: Any, seeds: Any) -> tuple[Any, Any, Any]:
    """The keys of some seeds: for the start, the loss and the batches."""

    def of(seed: Any) -> Any:
        purposes = [jax.random.fold_in(jax.random.key(root, impl=KEYS), purpose) for purpose in (0, 2, 3)]
        return tuple(jax.random.fold_in(key, seed) for key in purposes)

    return (jax.vmap(of) if seeds.ndim else of)(seeds)  # type: ignore[no-any-return]


def _array(x: Any) -> Any:
    return x if hasattr(x, "dtype") else np.asarray(x, jnp.result_type(x))


def _to_host(metrics: Sequence[Any], steps: int, by_step: bool) -> list[np.ndarray]:
    """The records of a chunk: of each step in turn, or with a leading axis of the executable's steps."""
    if by_step:
        return [np.stack(list(map(np.asarray, each))) for each in zip(*metrics, strict=True)]
    return [np.asarray(x)[:steps] for x in metrics]


def _padded(each: Sequence[Any], length: int) -> np.ndarray:
    """The rows of some seeds in one array that begins where XLA wants arrays to begin, so that CPUs take it without a copy."""
    shape, dtype = (len(each), length, *np.shape(each[0])[1:]), np.asarray(each[0]).dtype
    raw = np.empty(math.prod(shape) * dtype.itemsize + ALIGNED, np.uint8)
    begin = -raw.ctypes.data % ALIGNED
    array = raw[begin : len(raw) - ALIGNED + begin].view(dtype).reshape(shape)
    for padded, rows in zip(array, each, strict=True):
        padded[: len(rows)] = rows
        padded[len(rows) :] = 0
    return array if len(each) > 1 else array[0]

"""One job in this process: its traces, what lies on devices, its compiled code."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from jopt.engine import machine
from jopt.engine.compiled import steps
from jopt.engine.compiled.analysis import analyse
from jopt.engine.compiled.executables import Executable, Executables, Wanted, weakly_typed
from jopt.engine.compiled.steps import Shape
from jopt.engine.compiled.tracing import Traced, context
from jopt.engine.job import Job
from jopt.engine.lanes.best import mode_of
from jopt.engine.lanes.blocks import Block, to_device, to_numpy
from jopt.engine.lanes.starts import carry_of
from jopt.engine.program import keys_of
from jopt.engine.running.compiling import Compiler
from jopt.engine.running.threads import Caller
from jopt.values.trees import structure

EXECUTABLES = Executables()
RECORD_BYTES = 2**20  # that one call makes: what stays in a cache until it is brought home
ROW_BYTES = 2**21  # that one call takes; twice as many are kept for the other blocks of the same seeds
FIRST_CHUNK = 32  # steps that a chunk may have in any case


class Runtime:
    """Made in the caller's thread, which traces the user's functions here; used by workers, which change nothing but caches."""

    def __init__(self, job: Job, caller: Caller, workers: int = 1) -> None:
        self.job = job
        self.caller = caller
        self.workers = workers
        self.varying = job.space.leaf_values()  # for each leaf with an axis, its value in every setting
        leaves = jax.tree.leaves(job.space.value)
        self._leaves = leaves
        # Python numbers take the type of what they meet, and so do swept ones.
        self.weak = tuple(i in self.varying or isinstance(x, (int, float, complex)) for i, x in enumerate(leaves))
        self._lock = threading.Lock()
        self._placed: dict[Any, Any] = {}
        self._rows: OrderedDict[Any, Future[Any]] = OrderedDict()
        self._ready: dict[Any, Future[Executable]] = {}  # what advances a block, by its shape, loop and device
        self._evaluations: dict[Any, Executable] = {}  # what evaluates one, by its shape and device
        self.compiler = Compiler(EXECUTABLES, caller)
        self._context = context()
        row = job.feed.rows(job.seeds[0], job.first, 1)
        self.row_bytes = sum(x.nbytes for x in jax.tree.leaves(row))  # of one step and one seed
        one = structure(job.space.value).unflatten(weakly_typed(self.optimizer(np.zeros((1, 1), int)), self.weak))
        axes = tuple(0 if i in self.varying else None for i in range(len(leaves)))
        on_cpu = machine.devices_for(None)[0].platform == "cpu"
        self.analysis = analyse(job.program, one, axes, job.given, job.feed.data, row, on_cpu, job.begun)
        self.mode = mode_of(job, self.analysis.evaluated_names)
        self.length = self._longest()
        self.stride = 1 if on_cpu else job.stride(FIRST_CHUNK)

    def _longest(self) -> int:
        """The most steps of a chunk, for which its executable is made: to the next evaluation, within some memory."""
        job, first = self.job, self.job.first
        gaps = np.diff(np.asarray(job.eval_steps, np.int64), prepend=first)
        fitting = min(RECORD_BYTES // (4 * job.lanes), ROW_BYTES // max(1, self.row_bytes))
        return int(min(job.steps - first, max(FIRST_CHUNK, fitting), np.max(gaps) if len(gaps) else job.steps))

    @functools.cached_property
    def places(self) -> Any:
        """Where in a carry lies what the result keeps of it and evaluate sees: a tree of positions among the leaves."""
        return self.job.program.kept(self.analysis.treedef.unflatten(range(len(self.analysis.common))))

    def close(self) -> None:
        """Lets go of what lies on devices."""
        for kept in (self._placed, self._rows, self._ready, self._evaluations):
            kept.clear()

    def optimizer(self, settings: np.ndarray) -> list[Any]:
        """The leaves of a block's settings, ``[seeds, width]``: swept numbers are stacked."""
        chosen = settings.reshape([n for n in settings.shape if n > 1])
        swept = {i: np.asarray(values[chosen]) for i, values in self.varying.items()}
        return [swept[i] if i in swept else _array(x) for i, x in enumerate(self._leaves)]

    def shape(self, block: Block) -> Shape:
        """Which leaves differ between the lanes of a block."""
        found = self.analysis
        return Shape(found.in_axes, found.common, self.job.program.source.varies, found.own_batches, *block.shape)

    def placed(self, block: Block, device: Any) -> Block:
        """A block ready to run on ``device``: begun, if it has not, and brought there, if it is on the host."""
        if block.optimizer is None:
            block.optimizer = jax.device_put(self.optimizer(block.settings), device)
        if block.carry is None:
            start = functools.partial(self.start_of, device=device)
            block.carry = carry_of(block, self.shape(block), start, self.analysis.start_depends, device)
        elif any(isinstance(x, np.ndarray) for x in block.carry):
            block.carry = to_device(block.carry, self._kinds(device), device)
        if block.best is not None and any(isinstance(x, np.ndarray) for x in block.best):
            kinds = self._kinds(device)
            like = [np.zeros(0), *(kinds[i] for i in jax.tree.leaves(self.places))]  # the metric is no key
            block.best = to_device(block.best, like, device)
        if self.job.program.feedback and block.feedback is None:
            made = jax.tree.leaves(self.analysis.evaluate.result)  # type: ignore[union-attr]
            none_yet = [np.zeros(block.lead, x.dtype) for x in made]  # not NaN, for which debug_nans looks
            block.feedback, block.fresh = jax.device_put(none_yet, device), np.zeros(block.lead, bool)
        return block

    def kept(self, block: Block) -> Any:
        """What the result keeps of a block's lanes, with a leading axis of lanes everywhere."""
        if self.job.keep == "none":
            return None
        if block.best is not None:
            return self._fitted(structure(self.places).unflatten(block.best[1:]), block)
        whole = [
            np.broadcast_to(to_numpy(x), (*block.lead, *to_numpy(x).shape)) if common else x
            for x, common in zip(block.carry or [], self.analysis.common, strict=True)
        ]
        carry = self.analysis.treedef.unflatten(whole)
        return carry if self.job.keep == "carry" else self._fitted(self.job.program.kept(carry), block)

    def _fitted(self, kept: Any, block: Block) -> Any:
        """What is kept on the host, in the types and shapes of parameters."""
        return self.job.program.fitted(jax.tree.map(to_numpy, kept), self.analysis.carry, block.lead)

    def start_of(self, setting: int, seed: int, device: Any) -> list[Any]:
        """The leaves of one lane's first carry."""
        wanted = self._start(setting, seed, device)
        return self.compiler.get(wanted)(*wanted.args)  # type: ignore[no-any-return]

    def _kinds(self, device: Any) -> list[Any]:
        """Of which kind each leaf of a carry is; the kind of random keys shows only in real ones."""
        kinds = jax.tree.leaves(self.analysis.carry)
        are_keys = any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in kinds)
        return self.start_of(0, 0, device) if are_keys else kinds

    def keys(self, seeds: Sequence[int] | np.ndarray, device: Any) -> tuple[Any, Any, Any]:
        """The keys of the start, of the loss and of the batches, stacked where there are several seeds."""
        chosen = np.asarray([self.job.seeds[s] for s in seeds], np.uint32)
        own = chosen if len(chosen) > 1 else chosen[0]
        return tuple(self.place(("keys", *chosen.tolist()), lambda: keys_of(self.job.seed, own), device))

    def arrays(self, traced: Traced, device: Any) -> list[Any]:
        """What a traced function closes over, on ``device``."""
        return [self.place(("array", id(x)), functools.partial(_same, x), device) for x in traced.arrays]

    def place(self, name: Any, make: Callable[[], Any], device: Any) -> Any:
        """What ``make`` returns, on ``device``, made and put there once."""
        if (name, device) not in self._placed:
            made = jax.device_put(make(), device)
            with self._lock:
                self._placed.setdefault((name, device), made)
        return self._placed[name, device]

    def executable(self, block: Block, loop: str, device: Any, stride: int) -> Executable:
        """What advances a block (see ``steps.scan_steps`` and ``one_step``), by strides where steps are looped by a scan.

        The first time it is compiled in a thread of its own, while the start and the evaluation are compiled here.
        """
        kind = block.shape, loop, device, stride
        with self._lock:
            mine, ready = kind not in self._ready, self._ready.setdefault(kind, Future())
        if mine:
            try:
                self.compiler.beside(self.step(block, loop, device, stride), ready)
            except BaseException as error:
                ready.set_exception(error)
                raise
            if block.carry is None:
                self.compiler.get(self._start(0, 0, device))
            if self.analysis.evaluate is not None:
                self._evaluation(block, device)
        return ready.result()

    def _start(self, setting: int, seed: int, device: Any) -> Wanted:
        optimizer = jax.device_put(self.optimizer(np.full((1, 1), setting)), device)
        given = self.place("given", lambda: jax.tree.leaves(self.job.given), device)
        args = optimizer, self.keys([seed], device)[0], given, self.arrays(self.analysis.start, device)
        return Wanted(steps.start, (self.analysis.start,), args, None, self.weak, False, self._context)

    def step(self, block: Block, loop: str, device: Any, stride: int) -> Wanted:
        """What a block of this shape needs to be advanced, whatever its arrays hold."""
        args = tuple(self.arguments(self._outline(block, device), loop, device, block.step, 1))
        static: tuple[Any, ...] = self.shape(block), self.analysis.step
        function, more = (steps.scan_steps, (self.length, stride)) if loop == "scan" else (steps.one_step, ())
        return Wanted(function, static + more, args, 1, self.weak, self.one_thread(block, device), self._context)

    def evaluate(self, block: Block, device: Any) -> list[Any]:
        """The metrics of a block, in the order of their names."""
        arrays = self.arrays(self.analysis.evaluate, device)  # type: ignore[arg-type]
        return self._evaluation(block, device)(block.optimizer, block.carry, arrays)  # type: ignore[no-any-return]

    def _evaluation(self, block: Block, device: Any) -> Executable:
        kind = block.shape, device
        if kind not in self._evaluations:
            traced, outline = self.analysis.evaluate, self._outline(block, device)
            assert traced is not None
            args = outline.optimizer, outline.carry, self.arrays(traced, device)
            static, one_thread = (self.shape(block), traced), self.one_thread(block, device)
            wanted = Wanted(steps.evaluate, static, args, None, self.weak, one_thread, self._context)
            self._evaluations[kind] = self.compiler.get(wanted)
        return self._evaluations[kind]

    def _outline(self, block: Block, device: Any) -> Block:
        """A block with shapes in place of its arrays, so that code can be compiled before somebody has made them."""
        found, where = self.analysis, SingleDeviceSharding(device)

        def shapes(like: Sequence[Any], same: Sequence[bool]) -> list[Any]:
            leads = [() if common else block.lead for common in same]
            each = zip(like, leads, strict=True)
            return [jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=where) for x, lead in each]

        optimizer = jax.device_put(self.optimizer(block.settings), device)
        made = dataclasses.replace(block, optimizer=optimizer, carry=shapes(jax.tree.leaves(found.carry), found.common))
        if self.job.program.feedback and found.evaluate is not None:
            told = jax.tree.leaves(found.evaluate.result)
            made.feedback, made.fresh = shapes(told, [False] * len(told)), np.zeros(block.lead, bool)
        return made

    def one_thread(self, block: Block, device: Any) -> bool:
        """Whether other blocks are likely to run on the other cores; one that holds all lanes may use them itself."""
        return bool(device.platform == "cpu" and self.workers > 1 and block.settings.size < self.job.lanes)

    def arguments(self, block: Block, loop: str, device: Any, first: int, count: int) -> list[Any]:
        """What the executable of a block takes; after a host loop's first step, the carry and the number of the step change."""
        data = self.place("data", lambda: jax.tree.leaves(self.job.feed.data), device)
        step = self.analysis.step
        arrays = self.arrays(step.traced, device), self.arrays(step.batch, device) if step.batch else []
        rows = self.rows(block, first, count, device)
        feedback = (block.feedback, block.fresh) if self.job.program.feedback else None
        n = np.int32(count if loop == "scan" else 0)  # steps to do, or the step to do
        keys = self.keys(block.seeds, device)[1:]
        return [block.optimizer, block.carry, data, rows, n, np.int32(first), keys, feedback, arrays]

    def rows(self, block: Block, first: int, count: int, device: Any) -> Any:
        """The rows of a chunk, padded to the executables' length, with a leading axis of seeds where there are several.

        Made once for the blocks that come for them soon, be it at the same moment.
        """
        if not self.job.program.source.has_rows:
            return None
        name = (*block.seeds.tolist(), first, count, device)
        chunk_bytes = max(1, self.row_bytes * self.length * len(block.seeds))
        with self._lock:
            mine, made = name not in self._rows, self._rows.setdefault(name, Future())
            while len(self._rows) > max(1, 2 * ROW_BYTES // chunk_bytes):
                self._rows.popitem(last=False)
        if mine:
            try:
                each = [self.job.feed.rows(self.job.seeds[s], first, count) for s in block.seeds]
                leaves = [_padded(rows, self.length) for rows in zip(*map(jax.tree.leaves, each), strict=True)]
                made.set_result(jax.device_put(leaves, device))
            except BaseException as error:
                with self._lock:
                    self._rows.pop(name, None)  # narrower blocks may ask again
                made.set_exception(error)
        return made.result()


def _same(x: Any) -> Any:
    return x


def _array(x: Any) -> Any:
    return x if hasattr(x, "dtype") else np.asarray(x, jnp.result_type(x))


def _padded(each: Sequence[Any], length: int) -> np.ndarray:
    """The rows of some seeds in one array of ``length`` steps."""
    array = np.zeros((len(each), length, *np.shape(each[0])[1:]), np.asarray(each[0]).dtype)
    for padded, rows in zip(array, each, strict=True):
        padded[: len(rows)] = rows
    return array if len(each) > 1 else array[0]

"""One job in this process: its traces, what lies on devices, its compiled code."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
        self._ready: dict[Any, Executable] = {}  # by shape of the block, loop and device
        self._compiling: list[tuple[float, float]] = []  # from when to when
        self._begun: dict[tuple[float, int], None] = {}  # what is being compiled: since when, by which thread
        self._prepared: dict[Any, threading.Event] = {}  # evaluations that a thread has been sent for, and whether it is back
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
        for kept in (self._placed, self._rows, self._ready):
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
            return structure(self.places).unflatten(block.best[1:])
        whole = [
            np.broadcast_to(to_numpy(x), (*block.lead, *to_numpy(x).shape)) if common else x
            for x, common in zip(block.carry or [], self.analysis.common, strict=True)
        ]
        carry = self.analysis.treedef.unflatten(whole)
        return carry if self.job.keep == "carry" else self.job.program.kept(carry)

    def start_of(self, setting: int, seed: int, device: Any) -> list[Any]:
        """The leaves of one lane's first carry."""
        optimizer = jax.device_put(self.optimizer(np.full((1, 1), setting)), device)
        given = self.place("given", lambda: jax.tree.leaves(self.job.given), device)
        args = optimizer, self.keys([seed], device)[0], given, self.arrays(self.analysis.start, device)
        return self.compiled(steps.start, (self.analysis.start,), args)(*args)  # type: ignore[no-any-return]

    def _kinds(self, device: Any) -> list[Any]:
        """Of which kind each leaf of a carry is; the kind of random keys shows only in real ones."""
        kinds = jax.tree.leaves(self.analysis.carry)
        are_keys = any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in kinds)
        return self.start_of(0, 0, device) if are_keys else kinds

    def keys(self, seeds: Sequence[int] | np.ndarray, device: Any) -> tuple[Any, Any, Any]:
        """The keys of the start, of the loss and of the batches, stacked where there are several seeds."""
        chosen = np.asarray([self.job.seeds[s] for s in seeds], np.uint32)
        own = chosen if len(chosen) > 1 else chosen[0]
        return tuple(self.place(("keys", *chosen.tolist()), lambda: keys_of(np.uint32(self.job.seed), own), device))

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

    @property
    def compile_s(self) -> float:
        """The seconds in which something was compiled, be it by several threads at once."""
        total, until = 0.0, 0.0
        for begin, end in sorted(self._compiling):
            total += max(0.0, end - max(begin, until))
            until = max(until, end)
        return total

    def compiled(
        self,
        function: Callable[..., Any],
        static: tuple[Any, ...],
        args: tuple[Any, ...],
        donate: int | None = None,
        one_thread: bool = False,
    ) -> Executable:
        """The executable of ``function(*static, *args)``."""
        return self._get(Wanted(function, static, args, donate, self.weak, one_thread, self._context))

    def _get(self, wanted: Wanted, lower: Callable[[Callable[[], Any]], Any] | None = None) -> Executable:
        begin = time.perf_counter()
        self._begun[begin, threading.get_ident()] = None
        try:
            executable, seconds = EXECUTABLES.get(wanted, lower or self.caller.do)
        finally:
            del self._begun[begin, threading.get_ident()]
        if seconds:
            now = time.perf_counter()
            self._compiling.append((now - seconds, now))
        return executable

    def compiling_for(self) -> float:
        """For how many seconds something has been compiled now; 0 where nothing is."""
        begun = [begin for begin, _ in list(self._begun)]
        return time.perf_counter() - min(begun) if begun else 0.0

    def prepare_evaluation(self, block: Block, device: Any) -> None:
        """Compiles the evaluation of a block in a thread of its own, while the step of the same block is compiled."""
        if self.analysis.evaluate is None:
            return
        with self._lock:
            mine, ready = (block.shape, device) not in self._prepared, threading.Event()
            self._prepared.setdefault((block.shape, device), ready)
        if not mine:
            return
        try:
            wanted = self._evaluation(block, device)
            # Lowered here: the thread must need nobody who might be waiting for it.
            lowered = None if wanted in EXECUTABLES else self.caller.do(wanted.lowered)
        except BaseException:
            ready.set()
            raise
        if lowered is None:
            ready.set()
            return
        args = wanted, lowered, ready
        threading.Thread(target=self._prepare, args=args, name="jopt-compile", daemon=True).start()

    def _prepare(self, wanted: Wanted, lowered: Any, ready: threading.Event) -> None:
        with self.caller.as_in_the_caller(), contextlib.suppress(Exception):  # whoever evaluates hears of it
            self._get(wanted, lambda lower: lowered)
        ready.set()

    def evaluation(self, block: Block, device: Any) -> tuple[Executable, tuple[Any, ...]]:
        """What evaluates a block, and its arguments."""
        if (block.shape, device) in self._prepared:
            self._prepared[block.shape, device].wait()
        wanted = self._evaluation(block, device)
        return self._get(wanted), wanted.args

    def _evaluation(self, block: Block, device: Any) -> Wanted:
        traced = self.analysis.evaluate
        assert traced is not None
        args = block.optimizer, block.carry, self.arrays(traced, device)
        one_thread = self.one_thread(block, device)
        return Wanted(steps.evaluate, (self.shape(block), traced), args, None, self.weak, one_thread, self._context)

    def executable(self, block: Block, loop: str, device: Any, stride: int) -> Executable:
        """What advances a block (see ``steps.scan_steps`` and ``one_step``), by strides where steps are looped by a scan."""
        kind = block.shape, loop, device, stride
        if kind not in self._ready:
            args = tuple(self.arguments(block, loop, device, 0, 1))
            static: tuple[Any, ...] = self.shape(block), self.analysis.step
            function, more = (steps.scan_steps, (self.length, stride)) if loop == "scan" else (steps.one_step, ())
            self._ready[kind] = self.compiled(function, static + more, args, 1, self.one_thread(block, device))
        return self._ready[kind]

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

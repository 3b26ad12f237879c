"""Compiled code by what it was compiled for."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jopt.values.trees import flatten

FIRST_CHUNK = 32  # steps; longer ones follow while they are quick
# Compiler options: no threads of XLA's own inside an operation. With JAX 0.12 blocks of the transformer that run side by side
# are 1.02 to 1.08 times as quick for it, of the MLPs and of softmax regression 1.00 to 1.02.
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}


@dataclasses.dataclass
class Executable:
    """Compiled code, and how many steps at a time have proved quick with it."""

    compiled: Any
    quick: int = FIRST_CHUNK

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)


class Executables:
    """Compiled functions by what they compute; kept for the process, the oldest dropped."""

    def __init__(self, limit: int = 512) -> None:
        self.limit = limit
        self.compiled: OrderedDict[Any, Executable] = OrderedDict()
        self.lock = threading.Lock()
        self.pending: dict[Any, threading.Lock] = {}

    def __contains__(self, wanted: Wanted) -> bool:
        with self.lock:
            return wanted.key in self.compiled

    def get(self, wanted: Wanted, lower: Callable[[], Any]) -> tuple[Executable, float]:
        """The executable, and the seconds that compiling took just now; ``lower`` makes what is to be compiled."""
        key = wanted.key
        with self.lock:
            if key in self.compiled:
                self.compiled.move_to_end(key)
                return self.compiled[key], 0.0
            pending = self.pending.setdefault(key, threading.Lock())
        with pending:
            with self.lock:
                if key in self.compiled:
                    return self.compiled[key], 0.0
            begin = time.perf_counter()
            options = ONE_THREAD if wanted.one_thread else {}
            try:
                executable = Executable(_compile(lower(), options))
            except BaseException:
                self.pending.pop(key, None)
                raise
            with self.lock:
                self.compiled[key] = executable
                self.pending.pop(key, None)
                while len(self.compiled) > self.limit:
                    self.compiled.popitem(last=False)
            return executable, time.perf_counter() - begin


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What an executable is compiled for: ``function(*static, *args)``."""

    function: Callable[..., Any]
    static: tuple[Any, ...]  # compared by value: what is computed
    args: tuple[Any, ...]
    donate: int | None
    weak: tuple[bool, ...]  # which leaves of the first argument, the optimizer, count as Python numbers
    one_thread: bool  # whether the code keeps to the thread that calls it
    context: tuple[Any, ...]  # of JAX, see ``tracing.context``

    @functools.cached_property
    def key(self) -> Any:
        computed = tuple(getattr(x, "key", x) for x in self.static)  # without the arrays and functions of this call
        return (self.function.__name__, computed, self.weak, self.one_thread, self.context, signature(self.args))

    def lowered(self) -> Any:
        """The function ready to be compiled."""
        named = functools.wraps(self.function)(functools.partial(self.function, *self.static))
        donated = () if self.donate is None else (self.donate,)
        return jax.jit(named, donate_argnums=donated).lower(weakly_typed(self.args[0], self.weak), *self.args[1:])


def _compile(lowered: Any, options: dict[str, Any]) -> Any:
    try:
        return lowered.compile(options or None)
    except Exception as error:
        if not options or "compile option" not in str(error):
            raise
        return lowered.compile()  # a version of XLA that has no such option any more


def weakly_typed(tree: Any, weak: Sequence[bool]) -> Any:
    """The shapes of a tree's leaves, weakly typed where ``weak`` says so, as Python numbers are.

    A lane then computes in the types of its solo run, where the learning rate was a Python number.
    """
    leaves, treedef = flatten(tree)
    shapes = [
        jax.ShapeDtypeStruct(np.shape(x), x.dtype, weak_type=is_weak, sharding=getattr(x, "sharding", None))
        for x, is_weak in zip(leaves, weak, strict=True)
    ]
    return treedef.unflatten(shapes)


def signature(args: tuple[Any, ...]) -> Any:
    """The structure and types of some arguments, for which code is compiled."""
    leaves, treedef = jax.tree.flatten(args)
    return treedef, tuple(map(_aval, leaves))


def _aval(x: Any) -> Any:
    if isinstance(x, jax.ShapeDtypeStruct):
        return x.shape, x.dtype, x.weak_type, x.sharding
    if isinstance(x, jax.Array):
        device = x.sharding if not x.aval.weak_type or x.ndim else None
        return x.shape, x.dtype, x.aval.weak_type, device
    return np.shape(x), np.result_type(x), type(x)

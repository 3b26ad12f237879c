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

from jopt._trees import flatten
from jopt.engine.native import OPTIONS

FIRST_CHUNK = 32  # steps; longer ones follow while they are quick
REFUSED = ("UNIMPLEMENTED", "INTERNAL")  # in the error about what XLA can't make one function of
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}  # compiler options: no threads of XLA's own inside an operation


@dataclasses.dataclass
class Executable:
    """Compiled code, and how many steps at a time have proved quick with it."""

    compiled: Any
    quick: int = FIRST_CHUNK

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)


class Executables:
    """Compiled functions by what they were compiled for; kept for the process, the oldest dropped."""

    def __init__(self, limit: int = 512) -> None:
        self.limit = limit
        self.compiled: OrderedDict[Any, Executable] = OrderedDict()
        self.lock = threading.Lock()
        self.pending: dict[Any, threading.Lock] = {}

    def get(
        self,
        function: Callable[..., Any],
        static: tuple[Any, ...],
        args: tuple[Any, ...],
        donate: int | None,
        weak: tuple[bool, ...],
        one_thread: bool = False,
        native: bool | None = None,
    ) -> tuple[Executable, float]:
        """The executable of ``function(*static, *args)``, and the seconds that compiling took just now.

        ``weak`` says which leaves of the first argument, the optimizer, count as Python numbers; ``one_thread``, whether
        the code keeps to the thread that calls it; ``native``, whether it is to be one function where XLA can do that,
        which ``function`` then takes as one more static argument: True, or else False.
        """
        key = (function.__name__, static, weak, one_thread, native, signature(args))
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
            donated = () if donate is None else (donate,)

            def lowered(static: tuple[Any, ...]) -> Any:
                named = functools.wraps(function)(functools.partial(function, *static))
                return jax.jit(named, donate_argnums=donated).lower(weakly_typed(args[0], weak), *args[1:])

            options = ONE_THREAD if one_thread else {}
            wanted = static if native is None else (*static, native)
            try:
                compiled = _compile(lowered(wanted), options | OPTIONS if native else options)
            except jax.errors.JaxRuntimeError as error:
                if not (native and any(word in str(error) for word in REFUSED)):
                    raise
                compiled = _compile(lowered((*static, False)), options)
            executable = Executable(compiled)
            with self.lock:
                self.compiled[key] = executable
                while len(self.compiled) > self.limit:
                    self.compiled.popitem(last=False)
            return executable, time.perf_counter() - begin


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
    if isinstance(x, jax.Array):
        device = x.sharding if not x.aval.weak_type or x.ndim else None
        return x.shape, x.dtype, x.aval.weak_type, device
    return np.shape(x), np.result_type(x), type(x)

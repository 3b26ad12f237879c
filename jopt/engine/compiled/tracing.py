"""Functions of the user's as jaxprs, traced anew at each call of a sweep.

What a function reads besides its arguments, a global or an attribute, may have changed since the last sweep, so only a trace
says what it computes now. A trace costs some milliseconds; compiled code is found again by what was traced (``identity``).
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core
import numpy as np

from jopt.engine.compiled.hoisting import hoisted
from jopt.engine.compiled.identity import Key, content, identify
from jopt.engine.compiled.liveness import used
from jopt.values import checks

_LOGS = ("log", "debug", "cache", "traceback", "dump", "pprint", "distributed", "profil", "location")
_seen: OrderedDict[Key, Key] = OrderedDict()  # one object for all equal keys, so that comparing them is quick
_lock = threading.Lock()
MOST_SEEN = 1024
SMALL = 2**12  # elements of arrays that are compared by what they hold


class Traced:
    """A pure function as the jaxpr of one lane.

    Attributes:
      key: what is computed, whatever the arrays hold.
      arrays: what the function closes over, copied where the user could still change it; the last arguments of ``program``.
      result: the shapes of what it returns, as a tree.
    """

    def __init__(self, closed: Any, result: Any) -> None:
        self.closed = closed
        self.result = result
        key, self._arrays = identify(closed)
        with _lock:
            self.key = _seen.setdefault(key, key)
            _seen.move_to_end(key)
            while len(_seen) > MOST_SEEN:
                _seen.popitem(last=False)
        self.arrays = tuple(_own(x, aval) for x, aval in self._arrays)

    def is_same(self, other: Traced) -> bool:
        """Whether another one computes the same of the same arrays: of one object each, or of small ones that hold the same."""
        if self.key != other.key:
            return False
        pairs = zip((x for x, _ in self._arrays), (x for x, _ in other._arrays), strict=True)
        return all(x is y or (np.size(x) <= SMALL and content(x) == content(y)) for x, y in pairs)

    @functools.cached_property
    def used(self) -> list[bool]:
        """For each leaf of the arguments, whether a result hangs on it, or an effect; true where it is costly to say."""
        return used(self.closed, [True] * len(self.closed.jaxpr.outvars))

    @functools.cached_property
    def program(self) -> Any:
        """The jaxpr of the arguments' leaves and the arrays, made when something has to be compiled."""
        return hoisted(self.closed, self._arrays)

    def __call__(self, arrays: Sequence[Any], *leaves: Any) -> list[Any]:
        """The leaves of the result; ``arrays`` stand for those that the function closed over."""
        return list(jax.extend.core.jaxpr_as_fun(self.program)(*leaves, *arrays))


def trace(function: Callable[..., Any], *args: Any) -> Traced:
    """Traces a function on arguments or their shapes.

    Raises:
      ValueError: When it uses a traced value of an earlier call of itself.
      TypeError: When it reads one of an enclosing ``jit`` or ``vmap``.
    """
    try:
        # A function of its own at each call: JAX remembers traces by the function that it is given.
        return Traced(*jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args))
    except jax.errors.UnexpectedTracerError as error:
        raise ValueError(
            "The loss (or init, step or evaluate) uses a traced value that was kept beyond its own call, say in a list; "
            "it runs once, as a trace, and not at each step. Return what you want to keep as auxiliary values (has_aux=True). "
            "An optimizer that the carry holds as static data, as Flax's TrainState holds tx, is such a value, too: carry "
            "ts.replace(tx=None), and in step use ts.replace(tx=optimizer)."
        ) from error


def _own(x: Any, aval: Any) -> Any:
    """An array that nobody else writes to."""
    if isinstance(x, jax.core.Tracer):
        jax.numpy.copy(x)  # raises where its trace is over
        checks.no_tracers("sweep", x)
    return x if isinstance(x, jax.Array) else np.array(x, aval.dtype)


def context() -> tuple[Any, ...]:
    """The options of JAX that decide what a program is traced and compiled to, in this thread."""
    options = ((k, v) for k, v in jax.config.values.items() if not any(word in k for word in _LOGS))
    return *options, jax.sharding.get_abstract_mesh()

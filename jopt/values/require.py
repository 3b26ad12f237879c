"""What every public function says about an argument of the wrong kind: sentences that name it, and show what was given.

Nothing that was given is compared here: an array has no truth value, and a user's object may answer anything.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values.numbers import Axis, is_number
from jopt.values.showing import shown as shown

MOST = 10**6  # elements of a list; a loader of batches may go on for ever


def one_of(name: str, x: Any, allowed: Sequence[str | None], otherwise: str = "") -> Any:
    """``x`` where it is one of some words; else a ``ValueError``, which says what ``None`` or ``otherwise`` stands for."""
    if (isinstance(x, str) and x in allowed) or (x is None and None in allowed):
        return x
    known = [repr(word) for word in allowed if word is not None]
    words = " or ".join(known) if len(known) < 3 else f"one of {', '.join(known)}"
    raise ValueError(f"{name} must be {words}{otherwise}, but got {shown(x)}.")


def flag(name: str, x: Any) -> bool:
    """``x`` as a bool, 0 and 1 too; ``TypeError`` for what only counts as true or false."""
    if not (isinstance(x, (bool, np.bool_)) or (isinstance(x, int) and x in (0, 1))):
        raise TypeError(f"{name} must be True or False, but got {shown(x)}.")
    return bool(x)


def text(name: str, x: Any, hint: str = "") -> str:
    """``x`` where it is a string; else a ``TypeError``."""
    if not isinstance(x, str):
        raise TypeError(f"{name} must be a string{hint}, but got {shown(x)}.")
    return x


def path(name: str, x: Any) -> str:
    """The name of a file or a directory as text; an error for what is none."""
    try:
        found = os.fsdecode(x)
    except (TypeError, UnicodeError):
        raise TypeError(f"{name} must be the name of a file or a directory, a string or a path, but got {shown(x)}.") from None
    if not found or "\0" in found or not _encodes(found):
        raise ValueError(f"{name} must be a name that the system takes, but got {shown(x)}.")
    return found


def _encodes(found: str) -> bool:
    try:
        os.fsencode(found)
    except UnicodeError:
        return False
    return True


def listed(name: str, x: Any, of: str) -> list[Any]:
    """What can be iterated over as a list; a ``TypeError`` for anything else, for strings, dicts and what has no end."""
    try:
        if not isinstance(x, (str, bytes, Mapping, Axis)):
            taken = list(itertools.islice(x, MOST + 1))
            if len(taken) <= MOST:
                return taken
    except Exception:  # no iterable, or one that only says so, as an array of one number does
        pass
    raise TypeError(f"{name} must be a list of {of}, but got {shown(x)}.")


def function(name: str, x: Any) -> Callable[..., Any]:
    """``x`` where it can be called; else a ``TypeError``."""
    if not callable(x) or isinstance(x, type):
        raise TypeError(f"{name} must be a function, but got {shown(x)}.")
    called: Callable[..., Any] = x
    return called


def number(name: str, x: Any) -> None:
    """Checks that something is a number, an array of them, or an axis."""
    if not is_number(x):
        raise TypeError(f"{name} must be a number, but got {shown(x)}.")


def real(x: Any) -> float | None:
    """A real number as a float, infinite where a float can't hold it; None for anything else."""
    if not is_number(x) or isinstance(x, (Axis, jax.core.Tracer, jax.ShapeDtypeStruct)) or np.ndim(x) or np.iscomplexobj(x):
        return None
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf
    except RuntimeError:  # an array that was deleted
        return None


def between(name: str, x: Any, low: float, high: float, *, ends: str = "()") -> float:
    """A real number in an interval, as a float; ``ends`` says whether the ends belong to it, "[]", or not."""
    interval = f"{ends[0]}{low:g}, {high:g}{ends[1]}"
    number = real(x)
    if number is None:
        raise TypeError(f"{name} must be a number in {interval}, but got {shown(x)}.")
    above = number >= low if ends[0] == "[" else number > low
    if not (above and (number <= high if ends[1] == "]" else number < high)):
        raise ValueError(f"{name} must be a number in {interval}, but got {shown(x)}.")
    return number


def floating(name: str, x: Any) -> None:
    """Checks that ``x`` names a floating or complex type that arrays can have here."""
    kind = None
    if isinstance(x, (str, type, np.dtype)) and x not in ("",):
        with contextlib.suppress(TypeError, ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # some words are types of NumPy's that are on their way out
            kind = jnp.dtype(x)
    if kind is None or not jnp.issubdtype(kind, jnp.inexact) or kind.itemsize > 16 or kind == np.longdouble != np.float64:
        raise TypeError(f"{name} must be a floating type, such as jnp.float32 or 'bfloat16', but got {shown(x)}.")
    if (
        kind.name in ("float64", "complex128")
        and not jax.config.values["jax_enable_x64"]
        and x is not float
        and x is not complex
    ):
        raise ValueError(
            f"{name} is {kind}, and JAX's 64-bit types are off; turn them on with "
            f'jax.config.update("jax_enable_x64", True), or give float32.'
        )


def choices(name: str, x: Any) -> None:
    """Checks that a mask is a tree of bools, which may be one; ``name`` may also stand for what a function made."""
    for leaf in jax.tree.leaves(x, is_leaf=lambda leaf: isinstance(leaf, Iterator)):
        scalar = hasattr(leaf, "dtype") and leaf.dtype == bool and np.ndim(leaf) == 0
        if not (isinstance(leaf, (bool, np.bool_, Axis)) or scalar):
            raise TypeError(
                f"{name} must be a tree of bools (a prefix of the parameters' will do, and so will one bool), or a function "
                f"from the parameters to one, but holds {shown(leaf)}."
            )


def tree(name: str, x: Any) -> None:
    """Checks that JAX can take a tree apart, without iterators, which can be read only once."""
    try:
        leaves = jax.tree.leaves(x, is_leaf=lambda leaf: isinstance(leaf, Iterator))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is no tree that JAX can take apart: {error} Got {shown(x)}.") from error
    for leaf in leaves:
        if isinstance(leaf, Iterator):
            raise TypeError(f"{name} holds an iterator, {shown(leaf)}, which can be read only once; give a list or a tuple.")

"""``hyper``: numbers that are not the optimizer's, and the functions that name an argument so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values import checks
from jopt.values.binding import Static
from jopt.values.numbers import Axis, as_float
from jopt.values.trees import flatten

HYPER = "hyper"  # the argument's name
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@jax.tree_util.register_pytree_node_class
class Hyper:
    """A user's tree as a value: floats, arrays and axes are leaves, all else, whole numbers too, is structure.

    Args:
      treedef: of the user's tree.
      kept: for each of its leaves what is structure; None where a number stands.
      numbers: the others.
    """

    __slots__ = ("kept", "numbers", "treedef")

    def __init__(self, treedef: Any, kept: tuple[Static | None, ...], numbers: tuple[Any, ...]) -> None:
        self.treedef, self.kept, self.numbers = treedef, kept, numbers

    @classmethod
    def of(cls, tree: Any) -> Hyper:
        """A tree as its user gave it."""
        return _restored(tree, [_is_number(x) for x in jax.tree.leaves(tree)])

    @property
    def tree(self) -> Any:
        """The user's tree, with the numbers as they are now."""
        numbers = iter(self.numbers)
        return self.treedef.unflatten([next(numbers) if x is None else x.value for x in self.kept])

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        """The numbers, and the structure."""
        return self.numbers, (self.treedef, self.kept)

    @classmethod
    def tree_unflatten(cls, structure: Any, numbers: Iterable[Any]) -> Hyper:
        """The tree of a structure with other numbers."""
        treedef, kept = structure
        return cls(treedef, kept, tuple(numbers))

    def __repr__(self) -> str:
        return repr(self.tree)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.tree, [x is None for x in self.kept])


def _restored(tree: Any, numeric: Sequence[bool]) -> Hyper:
    leaves, treedef = flatten(tree)
    kept = tuple(None if is_number else Static(_plain(x)) for x, is_number in zip(leaves, numeric, strict=True))
    return Hyper(treedef, kept, tuple(_own(x) for x, is_number in zip(leaves, numeric, strict=True) if is_number))


def _is_number(x: Any) -> bool:
    if isinstance(x, (jax.Array, np.ndarray)):
        return isinstance(x, jax.Array) or jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    return isinstance(x, (Axis, float, complex, np.inexact))


def _own(x: Any) -> Any:
    """A number that nobody else changes, in a type of JAX's; NumPy's scalars as Python's, as among the optimizer's."""
    if not isinstance(x, np.ndarray):
        return as_float(x) if isinstance(x, np.floating) else x
    checks.fits("hyper: an array", x, jnp.result_type(x))
    return np.array(x, jnp.result_type(x))


def _plain(x: Any) -> Any:
    return int(x) if isinstance(x, np.integer) else x


def named(function: Any) -> inspect.Parameter | None:
    """The argument ``hyper`` of a function; None where it has none."""
    try:
        parameter = inspect.signature(function).parameters.get(HYPER)
    except (TypeError, ValueError):  # no function, or a builtin without a signature
        return None
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return None if parameter is None or parameter.kind in variadic else parameter


def arguments(function: Callable[..., Any], args: tuple[Any, ...], hyper: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """How a function is called with ``args`` and, where it names it, with ``hyper``, wherever that stands among them."""
    parameter = named(function)
    if parameter is None or (hyper is None and parameter.default is not parameter.empty):
        return args, {}
    given = hyper.tree if isinstance(hyper, Hyper) else hyper
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind in _BY_POSITION]
    place = names.index(HYPER) if HYPER in names else len(args)
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return (*args[:place], given, *args[place:]), {}
    return args[:place], {HYPER: given, **dict(zip(names[place + 1 :], args[place:], strict=False))}


def call(function: Callable[..., Any], args: tuple[Any, ...], hyper: Any) -> Any:
    """What a function returns for ``args``, and for ``hyper`` where it names it."""
    by_position, by_name = arguments(function, args, hyper)
    return function(*by_position, **by_name)


def check(hyper: Any, functions: dict[str, Any]) -> None:
    """Checks that what is given is used, and what is needed given; ``functions`` are the user's, by argument.

    Raises:
      ValueError: For ``hyper=`` that no function names, and for a function that names it where it is not given.
    """
    found = {name: parameter for name, f in functions.items() if f is not None and (parameter := named(f)) is not None}
    if hyper is not None and not found:
        raise ValueError(
            f"hyper= is given, but none of {', '.join(functions)} has an argument named {HYPER!r}; add it where the numbers "
            f"are used: loss(params, batch, hyper)."
        )
    needed = [name for name, parameter in found.items() if parameter.default is parameter.empty]
    if hyper is None and needed:
        raise ValueError(f"{needed[0]} has an argument named {HYPER!r}, so give hyper=: a number, or a tree with axes.")

"""``hyper``: numbers that are not the optimizer's, and the functions that name an argument so."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from traceback import walk_tb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values import checks, require
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
    if parameter.kind is parameter.POSITIONAL_ONLY or len(args) - place > len(names[place + 1 :]):
        return (*args[:place], given, *args[place:]), {}
    return args[:place], {HYPER: given, **dict(zip(names[place + 1 :], args[place:], strict=False))}


def call(function: Callable[..., Any], args: tuple[Any, ...], hyper: Any) -> Any:
    """What a function returns for ``args``, and for ``hyper`` where it names it; then an error of its own says what that is."""
    by_position, by_name = arguments(function, args, hyper)
    try:
        return function(*by_position, **by_name)
    except Exception as error:
        if hyper is not None and named(function) is not None and _is_theirs(error):
            _tell(error, hyper)
        raise


def _is_theirs(error: Exception) -> bool:
    """Whether more than jopt's own code was running behind ``call``."""
    return any(frame.f_globals.get("__name__", "").partition(".")[0] != "jopt" for frame, _ in walk_tb(error.__traceback__))


def _tell(error: Exception, hyper: Any) -> None:
    reached = "jopt: hyper reached the function as"
    if any(note.startswith(reached) for note in getattr(error, "__notes__", [])):  # from a call inside of this one
        return
    tree = jax.tree.map(_Said, hyper.tree if isinstance(hyper, Hyper) else hyper)
    with contextlib.suppress(Exception):  # an error of the user's own may take no notes
        error.add_note(
            f"{reached} {require.shown(tree)}, a lane's own values; values to sweep are an axis, jopt.choice(0.0, 0.1), and "
            f"whole numbers, to index with, are jopt.choice(0, 1, 2)."
        )


class _Said:
    """Stands for a leaf of ``hyper`` in its ``repr``: numbers of the program by their type, all else as it is."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __repr__(self) -> str:
        if hasattr(self.x, "dtype") and hasattr(self.x, "shape"):
            return f"{self.x.dtype}{list(self.x.shape) or ''}"
        return str(getattr(self.x, "__name__", None) or require.shown(self.x))


@contextlib.contextmanager
def shapes_told(hyper: Hyper | None) -> Iterator[None]:
    """Where something is no scalar, but has the shape of an array in ``hyper``, the error says so."""
    try:
        yield
    except ValueError as error:
        shape = getattr(error, "no_scalar", None)
        leaves = [] if hyper is None or shape is None else jax.tree_util.tree_flatten_with_path(hyper.tree)[0]
        found = next((path for path, x in leaves if hasattr(x, "dtype") and jnp.shape(x) == shape), None)
        if found is not None:
            error.args = (
                f"{str(error).partition(';')[0]}, the shape of hyper{jax.tree_util.keystr(found)}: each lane is given this "
                f"array as a whole; to sweep its numbers, give an axis in its place, jopt.choice(*values).",
            )
        raise


def check_call(name: str, function: Any, wanted: Sequence[str], hyper: Any = None, hint: str = "") -> None:
    """Checks that a function of the user's can be called with what it is ``wanted`` for, named here, and with ``hyper``.

    Raises:
      TypeError: For one that takes other arguments.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin without a signature
        return
    args, words = arguments(function, tuple(wanted), hyper)
    try:
        signature.bind(*args, **words)
    except TypeError:
        more = "" if hyper is None else f", and {HYPER} where it names it"
        raise TypeError(f"{name} must take ({', '.join(wanted)}){more}, but takes {signature}{hint}.") from None


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

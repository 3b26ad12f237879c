"""One rule applied to the corresponding leaves of several trees, in float32 or wider."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values import require
from jopt.values.numbers import Axis, is_number
from jopt.values.trees import flatten, is_none

_CHOICE = "For a sweep over several values, write jopt.choice(*values) in its place."


def leafwise(
    rule: Callable[..., Any],
    trees: Mapping[str, Any],
    *,
    once: Callable[..., dict[str, Any]] | None = None,
    reduced: Collection[str] = (),
    **hyperparams: Any,
) -> tuple[Any, ...]:
    """Applies ``rule(*leaves, **hyperparams)`` to corresponding leaves of ``trees``, the updates first.

    Leaves and hyperparameters are cast to float32, or float64 where one leaf has 64 bits (complex leaves to
    the complex type of that width). The rule returns as many arrays as it replaces trees, in their order; each is
    cast to the type of the leaf that it replaces. A hyperparameter is a number, or a prefix of the tree with one
    number per branch. A ``None`` among the updates leaves its row as it is.

    Args:
      rule: A function from leaves to a tuple of new leaves.
      trees: The trees by name (the names serve the errors); the first one gives the structure.
      once: A function from the cast hyperparameters to what the rule is given in their place: what follows from the numbers
        alone, such as a bias correction, is then computed once and not for each leaf.
      reduced: The names of the trees whose leaves have shapes of their own, such as sums over rows.
      **hyperparams: Numbers, or prefix trees of numbers. In a tree an array may stand for the numbers of one leaf's elements,
        but not beside ``reduced``: what belongs to a row has no number for each of its elements.

    Returns:
      The replaced trees.

    Raises:
      ValueError: For trees or leaves that do not fit, and for an array in place of a number, outside a tree.
    """
    require.function("leafwise: rule", rule)
    if once is not None:
        require.function("leafwise: once", once)
    if not isinstance(trees, Mapping) or not trees:
        raise TypeError(f"leafwise: trees must be a dict of trees by name, the updates first, but got {require.shown(trees)}.")
    names = list(trees)
    leaves, treedef = flatten(trees[names[0]], is_leaf=is_none)
    rows = [leaves, *(_flatten_like(trees, names[0], name, treedef) for name in names[1:])]
    numbers = {key: _per_leaf(key, value, leaves, treedef, whole=bool(reduced)) for key, value in hyperparams.items()}
    cast = _Numbers(once)
    columns: list[tuple[Any, ...]] = []
    for i, row in enumerate(zip(*rows, strict=True)):
        if row[0] is None:
            columns.append(row)
            continue
        _check_shapes(names, row, reduced, treedef, i)
        columns.append(_apply(rule, row, cast, {key: value[i] for key, value in numbers.items()}))
    widths = [len(c) for c, x in zip(columns, leaves, strict=True) if x is not None]
    width = min(widths) if widths else _width(rule, len(rows), once, hyperparams)
    return tuple(treedef.unflatten([column[k] for column in columns]) for k in range(width))


class _Numbers:
    """Hyperparameters cast to a type, and what follows from them, each worked out once."""

    def __init__(self, once: Callable[..., dict[str, Any]] | None) -> None:
        self.once = once or dict
        self.known: dict[Any, dict[str, Any]] = {}

    def __call__(self, numbers: dict[str, Any], wide: Any) -> dict[str, Any]:
        key = (wide, *map(id, numbers.values()))
        if key not in self.known:
            made = self.once(**{name: _as_array(name, x).astype(wide) for name, x in numbers.items()})
            if not isinstance(made, dict):
                raise TypeError(f"leafwise: once must return a dict for the rule, but returned {require.shown(made)}.")
            self.known[key] = made
        return self.known[key]


def _as_array(name: str, x: Any) -> jax.Array:
    try:
        made = jnp.asarray(float(x) if isinstance(x, int) else x)  # no integer type holds all of Python's
    except (TypeError, OverflowError):
        raise TypeError(f"{name} must be a number that an array holds, but is {require.shown(x)}.") from None
    if jnp.iscomplexobj(made):
        raise TypeError(f"{name} must be a real number, but is {require.shown(x)}.")
    return made


def _apply(rule: Callable[..., Any], row: tuple[Any, ...], cast: _Numbers, numbers: dict[str, Any]) -> tuple[Any, ...]:
    arrays = [jnp.asarray(x) for x in row]
    wide = wide_dtype(*arrays)
    inputs = [x.astype(jnp.promote_types(wide, jnp.complex64) if jnp.iscomplexobj(x) else wide) for x in arrays]
    outputs = rule(*inputs, **cast(numbers, wide))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for x in outputs:
        if not isinstance(x, (jax.Array, np.ndarray, np.generic)):
            raise TypeError(f"leafwise: rule must return an array, or a tuple of them, but returned {require.shown(x)}.")
    return tuple(new.astype(kept_dtype(old)) for new, old in zip(outputs, arrays, strict=False))


def kept_dtype(x: jax.Array) -> Any:
    """The type of what replaces an array: its own, but for integers, which a number makes floats of, as in Optax."""
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else wide_dtype(x)


def _width(rule: Callable[..., Any], arguments: int, once: Any, hyperparams: Mapping[str, Any]) -> int:
    """How many trees the rule replaces, from scalars: a tree without arrays does not say."""
    return len(_apply(rule, (0.5,) * arguments, _Numbers(once), dict.fromkeys(hyperparams, 0.5)))


def wide_dtype(*arrays: Any) -> Any:
    """float32, or float64 where one of the arrays has 64 bits per real number; an integer counts as a Python float."""
    kinds = [x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.result_type(float) for x in arrays]
    return jnp.float64 if any(jnp.finfo(kind).bits == 64 for kind in kinds) else jnp.float32


def zeros_like(params: Any, dtype: Any = None, *, real: bool = False) -> Any:
    """Accumulators for ``params``: zeros of at least float32.

    Args:
      params: A pytree of floating or complex arrays, or of their shapes.
      dtype: The type of the zeros; by default each leaf's own, at least float32. A complex leaf has zeros of the complex type
        of that width, at least complex64.
      real: Whether the zeros of complex leaves are real, as second moments are.

    Returns:
      A tree of the same structure and shapes.

    Example:
      >>> jopt.zeros_like(jnp.ones(2, jnp.bfloat16)).dtype
      dtype('float32')
    """
    if dtype is not None:
        require.floating("zeros_like: dtype", dtype)
    require.flag("zeros_like: real", real)
    require.tree("zeros_like: params", params)

    def zeros(x: Any) -> jax.Array:
        if not (is_number(x) or isinstance(x, (bool, np.bool_)) or getattr(x, "dtype", None) == np.dtype(bool)):
            raise TypeError(f"zeros_like: params must be a tree of arrays, but holds {require.shown(x)}.")
        if isinstance(x, Axis):
            raise TypeError(f"zeros_like: params must be a tree of arrays, but holds the axis {x!r}.")
        own = jnp.result_type(x)
        narrow = not jnp.issubdtype(own, jnp.inexact) or jnp.finfo(own).bits < 32
        kept = dtype if dtype is not None else jnp.float32 if narrow else own
        if real:
            kept = jnp.finfo(kept).dtype
        elif jnp.issubdtype(own, jnp.complexfloating):  # of which a real type would lose a part
            kept = jnp.complex128 if jnp.finfo(kept).bits == 64 else jnp.complex64
        return jnp.zeros_like(x, dtype=kept)

    return jax.tree.map(zeros, params)


def full_like(params: Any, *, real: bool = False, **value: Any) -> Any:
    """Accumulators for ``params`` that begin with a number, or with one of a prefix tree, as ``zeros_like`` makes zeros.

    ``value`` is that number under the name that its user knows.
    """
    # A sum, since it lies where the zeros lie, as they do where their parameters lie.
    return leafwise(lambda z, **value: (z + sum(value.values()),), {"params": zeros_like(params, real=real)}, **value)[0]


def copies(params: Any, dtype: Any = None) -> Any:
    """Accumulators that begin as ``params``: arrays of their own, of the types that ``zeros_like`` gives; zeros of shapes."""

    def copied(x: Any, zeros: jax.Array) -> jax.Array:
        return zeros if isinstance(x, jax.ShapeDtypeStruct) else jnp.copy(jnp.asarray(x).astype(zeros.dtype))

    return jax.tree.map(copied, params, zeros_like(params, dtype))


def _flatten_like(trees: Mapping[str, Any], first: str, name: str, treedef: Any) -> list[Any]:
    try:
        rows: list[Any] = treedef.flatten_up_to(trees[name])
    except ValueError as error:
        raise structure_error(first, trees[first], name, trees[name]) from error
    return rows


def structure_error(first: str, tree: Any, name: str, other: Any) -> ValueError:
    """The error for two trees that should have one structure, naming the leaves in which they differ."""
    have, want = leaf_paths(other), leaf_paths(tree)
    missing = [p for p in want if p not in set(have)]
    extra = [p for p in have if p not in set(want)]
    detail = [f"missing in {name}: {missing[:5]}"] if missing else []
    detail += [f"only in {name}: {extra[:5]}"] if extra else []
    detail = detail or [f"{first} is {jax.tree.structure(tree)}, {name} is {jax.tree.structure(other)}"]
    return ValueError(
        f"{first} and {name} must be trees of the same structure; {'; '.join(detail)}. "
        f"Take the gradients with respect to the same parameters that init saw, and pass update(updates, state, params)."
    )


def leaf_paths(tree: Any) -> list[str]:
    """The key path of every leaf, as text; ``(root)`` for a tree that is one leaf."""
    try:
        paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    except (TypeError, ValueError):  # keys of a dict that can't be sorted, say
        return [f"({require.shown(tree)})"]
    return [jax.tree_util.keystr(path) or "(root)" for path, _ in paths]


def _check_shapes(names: list[str], row: tuple[Any, ...], reduced: Collection[str], treedef: Any, index: int) -> None:
    if not (is_number(row[0]) or hasattr(row[0], "dtype") or isinstance(row[0], bool)):
        raise TypeError(f"{names[0]}: the leaf at {_path(treedef, index)} must be an array, but is {require.shown(row[0])}.")
    for name, x in zip(names[1:], row[1:], strict=True):
        if not is_number(x):
            what = "is missing" if x is None else f"is a {type(x).__name__}"
            raise ValueError(f"{name}: the leaf at {_path(treedef, index)} {what}, where {names[0]} has an array.")
        if name not in reduced and jnp.shape(x) != jnp.shape(row[0]):
            raise ValueError(
                f"{name}: the leaf at {_path(treedef, index)} has shape {jnp.shape(x)}, but that of {names[0]} has shape "
                f"{jnp.shape(row[0])}; all must have the parameter's shape."
            )


def _path(treedef: Any, index: int) -> str:
    return leaf_paths(treedef.unflatten(range(treedef.num_leaves)))[index]


def _per_leaf(key: str, value: Any, leaves: list[Any], treedef: Any, whole: bool = False) -> list[Any]:
    if is_number(value):
        if jnp.ndim(value):  # it might broadcast against the leaves, and each column, say, have a rate of its own
            raise ValueError(_several(key, f"it is an array of shape {jnp.shape(value)}"))
        return [value] * len(leaves)
    tree = treedef.unflatten(leaves)
    try:
        spread = jax.tree.broadcast(value, tree, is_leaf=is_none)
    except ValueError as error:
        found = f"its leaves are {leaf_paths(value)}, those of the tree {leaf_paths(tree)}"
        raise ValueError(_several(key, found)) from error
    numbers: list[Any] = jax.tree.leaves(spread, is_leaf=is_none)
    for i, (x, leaf) in enumerate(zip(numbers, leaves, strict=True)):
        if x is not None and not is_number(x):
            raise ValueError(
                f"{key} must be a number for each leaf, but for that at {_path(treedef, i)} it is {require.shown(x)}."
            )
        if x is None and leaf is not None:
            raise ValueError(
                f"{key} has None at {_path(treedef, i)}, where the tree has an array; give it a number there, such as 0."
            )
        if leaf is not None and whole and jnp.ndim(x):
            raise ValueError(
                f"{key} must be one number for each leaf, since the rule takes leaves as a whole, but for that at "
                f"{_path(treedef, i)} it is an array of shape {jnp.shape(x)}."
            )
        if leaf is not None and not _fits(jnp.shape(x), jnp.shape(leaf)):
            raise ValueError(
                f"{key}: the array of shape {jnp.shape(x)} for the leaf at {_path(treedef, i)} does not broadcast to its shape "
                f"{jnp.shape(leaf)}; give one number for the leaf, or an array of its shape."
            )
    return numbers


def check_spread(name: str, value: Any, tree: Any) -> None:
    """Checks that numbers are one for all leaves of a tree, or one for each branch, in the words of ``leafwise``."""
    leaves, treedef = flatten(tree, is_leaf=is_none)
    _per_leaf(name, value, leaves, treedef)


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other without widening it."""
    ends = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(a in (1, b) for a, b in ends)


def one_number(key: str, x: Any) -> Any:
    """``x``, or the error of ``leafwise`` where it is several numbers and the rule takes one for the whole tree."""
    if not is_number(x) or jnp.ndim(x):
        found = f"an array of shape {jnp.shape(x)}" if is_number(x) else f"a {type(x).__name__}"
        raise ValueError(f"{key} must be one number, but is {found}. {_CHOICE}")
    return x


def _several(key: str, found: str) -> str:
    return f"{key} must be a number or a prefix of the parameter tree with one number per branch; {found}. {_CHOICE}"

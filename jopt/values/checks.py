"""The errors of ``init`` and ``update``: each names the leaf or the argument, what was expected, and what to try."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values.axed import axes_of, computable
from jopt.values.binding import Bound, Spec, is_value
from jopt.values.leafwise import check_spread, leaf_paths, structure_error
from jopt.values.showing import shown
from jopt.values.trees import flatten, is_function, is_none

__all__ = [
    "array",
    "fits",
    "is_pair",
    "no_axes",
    "no_shapes",
    "no_tracers",
    "not_deleted",
    "not_masked",
    "params",
    "structure_error",
    "update",
    "whole_numbers",
]


def is_pair(name: str, made: Any) -> None:
    """Checks what a factory returned."""
    pair = (made.init, made.update) if hasattr(made, "init") and hasattr(made, "update") else made
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(map(callable, pair))):
        raise TypeError(f"{name} must return two functions, init and update, or a transformation, but returned {shown(made)}.")


def no_axes(bound: Bound) -> None:
    """Checks that every number is one number."""
    for path, x in axes_of(bound):
        raise TypeError(
            f"{path} of {bound.spec.factory.name} is an axis with {len(x.values)} values, so this is a sweep and not "
            f"one optimizer; pass it to jopt.sweep, or make the lanes of its numbers with jopt.lanes. Inside a "
            f"transformation of Optax's an axis can't be found: write jopt.chain for optax.chain, jopt.partition for "
            f"optax.partition, and so on, or lift the factory: jopt.lift(optax.lookahead)(...)."
        )


def params(name: str, tree: Any, hint: str = "") -> None:
    """Checks that every leaf is a floating or complex array."""
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        where = f"the leaf at {jax.tree_util.keystr(path) or '(root)'}"
        not_deleted(f"{name}: {where}", x)
        not_masked(f"{name}: {where}", x)
        if is_function(x):
            raise TypeError(
                f"{name}: {where} is a function, but parameters and gradients must be arrays. Train the arrays of a module "
                f"alone: eqx.filter(model, eqx.is_inexact_array), or arrays, rest = eqx.partition(model, "
                f"eqx.is_inexact_array) and eqx.combine(arrays, rest) inside the loss.{hint}"
            )
        dtype = _dtype(x)
        if dtype is None:
            raise TypeError(f"{name}: {where} is a {type(x).__name__}, but parameters and gradients must be arrays.{hint}")
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(
                f"{name}: {where} has type {dtype}, but only floating or complex leaves can be optimized. "
                f"Leave it out of the parameters, or put None in its place (eqx.partition and optax.masked do so).{hint}"
            )


def _dtype(x: Any) -> Any:
    """The type of an array or a Python number; ``None`` for anything else."""
    if isinstance(x, (bool, int, float, complex)):
        return jnp.result_type(x)
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.char in "gG":  # long doubles, which JAX has not
        return None
    return dtype if isinstance(dtype, np.dtype) or isinstance(x, jax.Array) else None  # other libraries have types of their own


def array(name: str, x: Any) -> None:
    """Checks that a leaf is an array or a number, of any type."""
    not_deleted(name, x)
    if _dtype(x) is None:
        raise TypeError(f"{name} must be an array, but is {shown(x)}.")


def no_shapes(name: str, tree: Any) -> None:
    """Checks that leaves are arrays, and not descriptions of some."""
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if isinstance(x, jax.ShapeDtypeStruct):
            where = jax.tree_util.keystr(path) or "(root)"
            raise TypeError(f"{name}: the leaf at {where} must be an array, but is the description of one, {shown(x)}.")


def not_deleted(name: str, x: Any) -> None:
    """Checks that an array still has its memory."""
    if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer) and x.is_deleted():
        raise ValueError(f"{name} is an array whose memory was given away (donated, or deleted); make it anew.")


def not_masked(name: str, x: Any) -> None:
    """Checks that an array has no mask, which JAX's arrays can't have."""
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(
            f"{name} is a masked array, which would lose its mask; give x.filled(value), or x.data and x.mask as two leaves."
        )


def fits(name: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Checks that whole numbers keep their values in a narrower type."""
    if dtype.kind not in "iu" or not array.size:
        return
    low, high, limits = array.min(), array.max(), np.iinfo(dtype)
    if low < limits.min or high > limits.max:
        raise ValueError(
            f"{name} holds {low if low < limits.min else high}, which {dtype} can't hold, and JAX's 64-bit types are off; "
            f'turn them on with jax.config.update("jax_enable_x64", True), or give smaller numbers.'
        )


def whole_numbers(name: str, tree: Any) -> None:
    """Checks that the whole numbers of NumPy's arrays keep their values as JAX's."""
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if isinstance(x, np.ndarray) and x.dtype.str[1:] in ("i8", "u8") and not jax.config.values["jax_enable_x64"]:
            fits(f"{name}: the leaf at {jax.tree_util.keystr(path) or '(root)'}", x, np.dtype(f"{x.dtype.kind}4"))


def no_tracers(name: str, *trees: Any) -> None:
    """Checks that something is not called under ``jit``, ``vmap`` or ``grad``, with traced arguments or without."""
    leaves = jax.tree.leaves(trees, is_leaf=lambda x: isinstance(x, Iterator))
    with jax.transfer_guard("allow"):
        here = jax.device_put(0)  # traced under jit, whatever the arguments are; elsewhere nothing has to be compiled for it
    if any(isinstance(x, jax.core.Tracer) for x in [*leaves, here]):
        raise TypeError(
            f"{name} can't be called under jax.jit, jax.vmap or jax.grad: it compiles, measures and keeps records on the host. "
            f"Call it outside; inside use jopt.train, one run as a pure function (with jax.vmap over jopt.lanes a sweep)."
        )


def numbers(bound: Bound, tree: Any) -> None:
    """Checks that numbers given as trees, or as arrays, fit the leaves, under the name of the argument that the user gave."""
    spec = bound.spec
    computable(bound)
    several = any(getattr(x, "ndim", 0) for x in bound.leaves)
    if not (several or _numeric_trees(spec)) or not jax.tree.leaves(tree):
        return
    for slot, value in bound.arguments().items():
        if spec.factory.is_numeric(slot) and not callable(value) and value is not None:
            plain = jax.tree.map(lambda x: 0.0 if callable(x) else x, value, is_leaf=lambda x: is_value(x) or x is None)
            check_spread(f"{spec.factory.name}: {slot}", plain, tree)


@functools.lru_cache(maxsize=1024)
def _numeric_trees(spec: Spec) -> bool:
    """Whether a number is given as a tree of them."""
    named = zip(spec.slots, spec.treedefs, strict=True)
    leaf = jax.tree.structure(0.0)
    return any(spec.factory.is_numeric(slot) and treedef != leaf for slot, treedef in named)


def update(
    bound: Bound, init: Callable[[Any], Any], own: Callable[[Bound], bool], updates: Any, state: Any, parameters: Any
) -> None:
    """Checks the arguments of ``update`` against each other and against the state that ``init`` makes.

    A rule of somebody else's, or one that has such a part, may change its state as it likes and take other trees than the
    parameters'; ``own`` says whether it is none of these.
    """
    name, checked = bound.spec.factory.name, bound.spec.factory.checked
    if checked:
        params(f"{name}: updates", updates, " The order is update(updates, state, params).")
    expected = _expected(bound, init, own, updates)
    if expected is None:
        return
    if parameters is not None:
        _same_leaves(name, updates, parameters)
    if checked or expected.num_leaves:  # a building block without a state takes any, as Optax's do
        _own_state(name, expected, state)


def _same_leaves(name: str, updates: Any, parameters: Any) -> None:
    leaves, treedef = flatten(updates, is_leaf=is_none)
    try:
        others = treedef.flatten_up_to(parameters)
    except ValueError as error:
        raise structure_error(f"{name}: updates", updates, "params", parameters) from error
    for i, (g, p) in enumerate(zip(leaves, others, strict=True)):
        if g is not None and p is not None and _dtype(p) is None:  # a tree of parameters where the updates have one leaf
            raise structure_error(f"{name}: updates", updates, "params", parameters)
        if g is None or (p is not None and jnp.shape(g) == jnp.shape(p)):
            continue
        path = leaf_paths(treedef.unflatten(range(len(leaves))))[i]
        found = "is None" if p is None else f"has shape {jnp.shape(p)}"
        raise ValueError(
            f"{name}: the gradient at {path} has shape {jnp.shape(g)}, but its parameter {found}. "
            f"Pass the parameters with respect to which the gradients were taken: update(updates, state, params)."
        )


def _own_state(name: str, expected: Any, state: Any) -> None:
    if expected == jax.tree.structure(state):
        return
    tree = expected.unflatten([_Leaf()] * expected.num_leaves)
    try:  # a None gradient leaves its parameter, and whatever the state has for it, as they are
        flatten(tree, is_leaf=is_none)[1].flatten_up_to(state)
    except ValueError:
        raise ValueError(
            f"{name}: the state is not one that this optimizer's init makes for these updates: "
            f"{_difference(tree, state)}. Pass update(updates, state, params) in this order, with the state of "
            f"{name}'s own init(params) and gradients of the same params."
        ) from None


class _Leaf:
    """Stands for an array of a state."""


def _difference(expected: Any, found: Any) -> str:
    """The types of two states, or the leaves in which states of one type differ."""
    types = outline(expected), outline(found)
    if types[0] != types[1]:
        return f"expected {types[0]}, but got {types[1]}"
    want, have = leaf_paths(expected), leaf_paths(found)
    missing = [path for path in want if path not in set(have)]
    extra = [path for path in have if path not in set(want)]
    parts = [f"the state has no {missing[:4]}"] if missing else []
    parts += [f"the updates have nothing for {extra[:4]} of the state"] if extra else []
    return " and ".join(parts) or f"it has other containers than {types[0]} needs"


def outline(state: Any) -> str:
    """The type of a state, with those of the parts of a chain."""
    if type(state) in (tuple, list):
        return f"({', '.join(map(outline, state))})"
    if type(state) is dict and not all(isinstance(x, (jax.Array, _Leaf)) for x in state.values()):
        return f"{{{', '.join(f'{key!r}: {outline(x)}' for key, x in state.items())}}}"
    return "an array" if isinstance(state, (jax.Array, _Leaf)) else type(state).__name__


@functools.lru_cache(maxsize=1024)
def _structures(spec: Any, treedef: Any, shapes: tuple[Any, ...]) -> list[Any]:
    """A place to keep the state's structure for one kind of optimizer and tree; empty until it is worked out."""
    return []


def _expected(bound: Bound, init: Callable[[Any], Any], own: Callable[[Bound], bool], updates: Any) -> Any:
    """The structure of the state for these updates; ``None`` where it is not ours to say."""
    leaves, treedef = flatten(updates)
    if any(_dtype(x) is None for x in leaves):  # a building block passes on what it does not look at
        return None
    shapes = tuple(jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for x in leaves)
    kept = _structures(bound.spec, treedef, shapes)
    if not kept:  # the init that is at hand may close over tracers, so it is used and not kept
        kept.append(jax.tree.structure(jax.eval_shape(init, treedef.unflatten(shapes))) if own(bound) else None)
    return kept[0]

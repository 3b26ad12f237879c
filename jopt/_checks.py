"""The errors of ``init`` and ``update``: each names the leaf or the argument, what was expected, and what to try."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jopt._leafwise import leaf_paths, structure_error
from jopt._numbers import Axis
from jopt._values import Bound

__all__ = ["is_pair", "no_axes", "params", "structure_error", "update"]


def is_pair(name: str, made: Any) -> None:
    """Checks what a factory returned."""
    pair = (made.init, made.update) if hasattr(made, "init") and hasattr(made, "update") else made
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(map(callable, pair))):
        raise TypeError(
            f"{name} must return two functions, init and update, or a transformation, but returned {made!r}."
        )


def no_axes(bound: Bound) -> None:
    """Checks that every number is one number."""
    for path, x in zip(bound.spec.paths, bound.leaves, strict=True):
        if isinstance(x, Axis):
            raise TypeError(
                f"{path} of {bound.spec.factory.name} is an axis with {len(x.values)} values, so this is a sweep and not one "
                f"optimizer; pass it to jopt.sweep, or make its lanes with jopt.lanes."
            )


def params(name: str, tree: Any) -> None:
    """Checks that every leaf is a floating or complex array."""
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        where = f"the leaf at {jax.tree_util.keystr(path) or '(root)'}"
        dtype = (
            getattr(x, "dtype", None)
            if not isinstance(x, (bool, int, float, complex))
            else jnp.result_type(x)
        )
        if dtype is None:
            raise TypeError(
                f"{name}: {where} is a {type(x).__name__}; parameters and gradients must be arrays."
            )
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(
                f"{name}: {where} has type {dtype}, but only floating or complex leaves can be optimized. Leave it out of "
                f"the parameters, or put None in its place (eqx.partition and optax.masked do so)."
            )


def update(
    bound: Bound, init: Callable[[Any], Any], updates: Any, state: Any, parameters: Any
) -> None:
    """Checks the arguments of ``update`` against each other and against the state that ``init`` makes."""
    name = bound.spec.factory.name
    params(name, updates)
    if parameters is not None:
        _same_leaves(name, updates, parameters)
    if not bound.spec.factory.lifted:
        _own_state(name, bound, init, updates, state)


def _same_leaves(name: str, updates: Any, parameters: Any) -> None:
    leaves, treedef = jax.tree.flatten(updates, is_leaf=lambda x: x is None)
    try:
        others = treedef.flatten_up_to(parameters)
    except ValueError as error:
        raise structure_error(f"{name}: updates", updates, "params", parameters) from error
    for i, (g, p) in enumerate(zip(leaves, others, strict=True)):
        if g is not None and jnp.shape(g) != jnp.shape(p):
            path = leaf_paths(treedef.unflatten(range(len(leaves))))[i]
            raise ValueError(
                f"{name}: the gradient at {path} has shape {jnp.shape(g)}, but its parameter has shape {jnp.shape(p)}."
            )


def _own_state(
    name: str, bound: Bound, init: Callable[[Any], Any], updates: Any, state: Any
) -> None:
    leaves, treedef = jax.tree.flatten(updates)
    shapes = tuple(jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for x in leaves)
    expected = _state_structure(bound.spec, init, treedef, shapes)
    found = jax.tree.structure(state)
    if expected is None or expected == found:
        return
    raise ValueError(
        f"{name}: the state is not one that this optimizer's init makes for these updates. Expected {expected}, but got "
        f"{found}. Pass update(updates, state, params) in this order, with the state of {name}'s own init(params)."
    )


@functools.lru_cache(maxsize=1024)
def _structures(spec: Any, treedef: Any, shapes: tuple[Any, ...]) -> list[Any]:
    """A place to keep the state's structure for one kind of optimizer and tree; empty until it is worked out."""
    return []


def _state_structure(spec: Any, init: Callable[[Any], Any], treedef: Any, shapes: Any) -> Any:
    kept = _structures(spec, treedef, shapes)
    if not kept:  # the init that is at hand may close over tracers, so it is used and not kept
        kept.append(jax.tree.structure(jax.eval_shape(init, treedef.unflatten(shapes))))
    return kept[0]

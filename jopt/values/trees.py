"""Trees taken apart: ``jax.tree.flatten`` with types that a checker can use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Any]:
    """The leaves of a tree, and its structure."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=is_leaf)
    return leaves, structure


def structure(tree: Any) -> Any:
    """The structure of a tree."""
    return jax.tree.structure(tree)


def is_function(x: Any) -> bool:
    """Whether ``x`` is a function and not a tree.

    A tree may be callable too: a model, and so a tree of bools or rates in its form. What can be called is a function where
    it is no tree of numbers, bools or arrays; a library's wrapper of a function may be a tree of something else.
    """
    return callable(x) and (isinstance(x, functools.partial) or not any(map(_is_data, jax.tree.leaves(x))))


def _is_data(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex)) or (hasattr(x, "dtype") and hasattr(x, "shape"))


def is_none(x: object) -> bool:
    """Whether ``x`` is ``None``, for trees whose ``None`` stands for a leaf."""
    return x is None


def like(old: Any, new: Any) -> Any:
    """``new`` with the types of ``old``, so that it can be carried through a loop."""

    def cast(o: Any, n: Any) -> Any:
        kind, array = jnp.asarray(o).dtype, jnp.asarray(n)
        return n if array.dtype == kind else array.astype(kind)

    return jax.tree.map(cast, old, new)

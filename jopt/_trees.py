"""Trees taken apart: ``jax.tree.flatten`` with types that a checker can use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax


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
    it is no tree, and where its only leaves are functions (one that a library has wrapped).
    """
    return callable(x) and (isinstance(x, functools.partial) or all(map(callable, jax.tree.leaves(x))))


def is_none(x: object) -> bool:
    """Whether ``x`` is ``None``, for trees whose ``None`` stands for a leaf."""
    return x is None

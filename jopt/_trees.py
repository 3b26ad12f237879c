"""Trees taken apart: ``jax.tree.flatten`` with types that a checker can use."""

from __future__ import annotations

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


def is_none(x: object) -> bool:
    """Whether ``x`` is ``None``, for trees whose ``None`` stands for a leaf."""
    return x is None

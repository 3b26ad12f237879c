"""Leaves by patterns over their paths: ``matching``."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import optax

from jopt.values import require
from jopt.values.names import key_name
from jopt.values.trees import flatten, is_none


def matching(*patterns: str) -> Matching:
    """A mask of the leaves whose paths match one of some patterns, for all that takes a function from parameters to a mask.

    Args:
      *patterns: ``"*/kernel"``, ``"encoder/*"``: ``*`` stands for any text, ``/`` parts the keys, fields and indices of a path.
        Each must match a leaf.

    Returns:
      A function from the parameters to a tree of bools; of equal patterns, an equal one. ``mask=``, ``matrices=`` and
      ``jopt.freeze`` take it, and so do Optax's masks.

    Raises:
      TypeError: For a pattern that is no string.
      ValueError: From the function, for a pattern that matches no leaf.

    Differs from:
      Optax has no patterns.

    Example:
      >>> params = {"hidden": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "scale": jnp.ones(2)}
      >>> jopt.matching("*/kernel", "scale")(params)
      {'hidden': {'bias': False, 'kernel': True}, 'scale': True}
    """
    if not patterns:
        raise TypeError("matching takes patterns over the paths of leaves, such as '*/kernel', but got none.")
    for pattern in patterns:
        require.text("matching: a pattern", pattern)
    return Matching(patterns)


@dataclasses.dataclass(frozen=True)
class Matching:
    """A mask by patterns, made by ``matching``."""

    patterns: tuple[str, ...]

    def __call__(self, params: Any) -> Any:
        """The mask of a tree of parameters."""
        places = paths_of(params)
        for pattern in () if has_masked(params) or not places else self.patterns:
            if not any(matches(pattern, names) for names in paths_of(params, is_none)):
                raise ValueError(
                    f"matching: the pattern {pattern!r} matches no leaf; the leaves are {[names[-1] for names in places[:20]]}."
                )
        return flatten(params)[1].unflatten([any(matches(p, names) for p in self.patterns) for names in places])

    def __repr__(self) -> str:
        return f"matching({', '.join(map(repr, self.patterns))})"


def paths_of(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[list[str]]:
    """For each leaf its path, and for an array in a box of Flax's, whose last step is the field ``value``, that of the box."""
    flat = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)[0]
    boxed = [bool(path) and path[-1] == jax.tree_util.GetAttrKey("value") for path, _ in flat]
    names = [list(map(key_name, path)) for path, _ in flat]
    return [["/".join(n)] + (["/".join(n[:-1])] if box else []) for n, box in zip(names, boxed, strict=True)]


def has_masked(tree: Any) -> bool:
    """Whether a wrapper outside has taken leaves out of a tree."""
    nodes = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
    return any(isinstance(x, optax.MaskedNode) for x in nodes)


def matches(pattern: str, names: list[str]) -> bool:
    """Whether a pattern fits one of the paths of a leaf."""
    return any(_matcher(pattern).fullmatch(name) for name in names)


@functools.lru_cache(maxsize=1024)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)

"""Evaluations that are part of training, since a plateau in the optimizer watches them."""

from __future__ import annotations

from typing import Any

import jax

from jopt.values.binding import is_value


def monitors(value: Any, evaluate: Any) -> bool:
    """Whether a plateau in the optimizer watches an evaluation metric."""
    watched = [m for part in jax.tree.leaves(value, is_leaf=is_value) if is_value(part) for m in _monitored(part)]
    if watched and evaluate is None:
        raise ValueError(f"The optimizer monitors {watched[0]!r}, so sweep needs evaluate=, a function that returns it.")
    return bool(watched)


def _monitored(part: Any) -> list[str]:
    arguments = part.bound.arguments()
    inner = [v for a in arguments.values() for v in jax.tree.leaves(a, is_leaf=is_value) if is_value(v)]
    own = arguments.get(part.bound.spec.factory.monitor)
    return ([own] if isinstance(own, str) else []) + [m for v in inner for m in _monitored(v)]

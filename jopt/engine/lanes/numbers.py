"""What numbers are kept in, and which of them are none."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np


def nothing(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array in which nothing has been written: NaN, or 0 where there is none."""
    return np.full(shape, np.nan, dtype) if jnp.issubdtype(dtype, jnp.inexact) else np.zeros(shape, dtype)


def recorded_as(dtype: Any) -> np.dtype[Any]:
    """The type in which values are recorded: floats in their own, all others as float64, in which NaN can stand."""
    return np.dtype(dtype if jnp.issubdtype(dtype, jnp.floating) else np.float64)


def lost(leaf: Any, same: bool, shape: tuple[int, int]) -> np.ndarray | None:
    """Where among a block's lanes a leaf is not finite, ``[seeds, settings]``; None: nowhere."""
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return None
    lanes = np.asarray(leaf).reshape(1 if same else math.prod(shape), -1)
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(lanes.sum(-1)).all():  # half the time of looking at each number, and no memory
            return None
    finite = np.isfinite(lanes).all(-1)
    return None if finite.all() else np.broadcast_to(~finite if same else ~finite.reshape(shape), shape)

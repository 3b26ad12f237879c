"""What a row of the table of parity is made of: one setting of an optimizer here, the same elsewhere, and their difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jopt
from tests.cases import extras, run, run_optax, tree_like

STEPS = 200
SEEN = extras(STEPS)
# Three branches, as the settings with one number per branch have; leaves of several elements, so that none is near 0.
SHAPES = {"a": {"w": (4, 3)}, "b": [(5,)], "c": ((2, 3),)}


@dataclasses.dataclass(frozen=True)
class Row:
    """One setting of an optimizer and of the same one elsewhere."""

    optimizer: str  # jopt's name
    oracle: str  # whose the other is
    setting: str  # which of the oracle's rows for this optimizer
    measure: Callable[[], float]  # the largest difference, measured with 64-bit types on
    limit: float = 1e-10
    remark: str = ""  # what the oracle rounds, where the limit is wider
    deliberate: bool = False  # the two are meant to differ; the remark says in what


def start() -> tuple[Any, Any]:
    """Parameters, and gradients with a leading axis of steps."""
    return tree_like(SHAPES, 0, dtype=np.float64), tree_like(SHAPES, 1, STEPS, np.float64)


def largest(ours: Any, theirs: Callable[[Any, Any], Any]) -> float:
    """The largest difference of an element on the way, relative to the largest element of its leaf at that step.

    ``ours`` is jopt's optimizer; ``theirs`` gives the parameters after each step for ``start()``.
    """
    params, grads = start()
    found, expected = path(run(ours, params, grads, SEEN)[0], params), theirs(params, grads)
    return max(map(_difference, jax.tree.leaves(found), jax.tree.leaves(expected)))


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    found, expected = (np.reshape(x, (STEPS, -1)) for x in (found, expected))
    return float(np.max(np.max(np.abs(found - expected), axis=1) / np.max(np.abs(expected), axis=1)))


def path(updates: Any, params: Any) -> Any:
    """The parameters after each of the stacked updates."""
    return jax.tree.map(lambda p, u: p + np.cumsum(u, axis=0), params, updates)


def optax_path(optimizer: Any) -> Callable[[Any, Any], Any]:
    """What a transformation of Optax's makes of ``start()``."""
    return lambda params, grads: path(run_optax(optimizer, params, grads, SEEN)[0], params)


@jopt.schedule
def epsilon_hat(eps: Any, b2: Any) -> Any:
    """An ε that is added to the root before the bias correction, as this library counts it: ``ε / √(1 − β₂ᵗ)``."""
    return lambda t: eps / jnp.sqrt(1.0 - b2 ** (jopt.schedules.as_time(t) + 1.0))


@jopt.schedule
def falling_rate(cap: Any) -> Any:
    """Adafactor's own rate, ``min(cap, 1 / √t)`` at update t = 1, 2, ..."""
    return lambda step: jnp.minimum(cap, 1.0 / jnp.sqrt(jopt.schedules.as_time(step) + 1.0))

"""Weight decay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.leafwise import leafwise
from jopt.values.numbers import ScalarOrSchedule
from jopt.values.trees import is_function


@transformation(wide=True, checked=False, schedules=("weight_decay",), domain={"weight_decay": "(-inf, inf)"})
def add_decayed_weights(weight_decay: ScalarOrSchedule = 0.0, mask: Any = None) -> Any:
    """Adds a multiple of the parameters to the updates.

    ``u = g + weight_decay · p``

    Args:
      weight_decay: The factor: a number, a schedule (any function of the step), or a prefix of the parameter tree with one
        of these per branch.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay; a prefix of the
        parameter tree will do. By default all do. A module of bools is a tree, even if it can be called.

    Returns:
      The transformation; its state holds no arrays and has Optax's structure (the step count comes before it where there is a
      schedule). Its ``update`` needs the parameters.

    Raises:
      ValueError: When ``update`` is called without the parameters.

    Example:
      >>> rule = jopt.add_decayed_weights(0.1)
      >>> rule.update(jax.numpy.float32(1.0), rule.init(2.0), jax.numpy.float32(2.0))[0]
      Array(1.2, dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError("add_decayed_weights needs the parameters: call update(updates, state, params).")
        trees = {"updates": updates, "params": params}
        (decayed,) = leafwise(
            lambda g, p, weight_decay, mask: (g + mask * weight_decay * p,),
            trees,
            weight_decay=weight_decay,
            mask=switches(mask, params),
        )
        return decayed, state

    def init(params: Any) -> Any:
        # Optax's state for a mask, so that a checkpoint of one fits the other.
        return optax.EmptyState() if mask is None else optax.MaskedState(optax.EmptyState())

    return init, update


def switches(mask: Any, params: Any) -> Any:
    """1 for the leaves that a mask chooses, or a function that makes one of the parameters, and 0 for the others."""
    chosen = mask(params) if is_function(mask) else mask
    return jax.tree.map(lambda d: jnp.asarray(d).astype(jnp.float32), True if chosen is None else chosen)

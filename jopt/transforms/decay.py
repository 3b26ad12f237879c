"""Weight decay: ``add_decayed_weights``, and a cautious one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.masking import mask_for, spread
from jopt.values.leafwise import leafwise
from jopt.values.numbers import ScalarOrSchedule


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
    return _adding("add_decayed_weights", lambda g, p: p, weight_decay, mask)


@transformation(wide=True, checked=False, schedules=("weight_decay",), domain={"weight_decay": "[0, inf)"})
def add_cautious_weight_decay(weight_decay: ScalarOrSchedule, mask: Any = None) -> Any:
    """Adds a multiple of the parameters to the updates where both have one sign, so that no decay works against a step.

    ``u = g + weight_decay · p`` where ``g p ≥ 0``, or for complex elements the real part of ``g p̄``; ``u = g`` elsewhere.

    It stands where ``add_decayed_weights`` does, behind the rule and before the rate:
    ``jopt.chain(jopt.scale_by_adam(), jopt.add_cautious_weight_decay(0.1), jopt.scale_by_learning_rate(1e-3))``.

    Args:
      weight_decay: The factor, at least 0: a number, a schedule (any function of the step), or a prefix of the parameter tree
        with one of these per branch.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay; by default all do.

    Returns:
      The transformation; its state is that of ``add_decayed_weights``. Its ``update`` needs the parameters.

    Raises:
      ValueError: When ``update`` is called without the parameters, and for a number out of its range.

    Reference:
      Chen et al., 2025, arXiv:2510.12402.

    Example:
      >>> rule = jopt.add_cautious_weight_decay(0.5)
      >>> p = jax.numpy.array([2.0, 2.0])
      >>> rule.update(jax.numpy.array([1.0, -1.0]), rule.init(p), p)[0]
      Array([ 2., -1.], dtype=float32)
    """
    aligned = lambda g, p: jnp.where(jnp.real(g * jnp.conj(p)) >= 0, p, jnp.zeros_like(p))  # noqa: E731
    return _adding("add_cautious_weight_decay", aligned, weight_decay, mask)


def _adding(name: str, decaying: Callable[[Any, Any], Any], weight_decay: Any, mask: Any) -> Any:
    """What adds to the updates a multiple of what decays: of an update and its parameter, ``decaying(g, p)``."""

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError(f"{name} needs the parameters: call update(updates, state, params).")
        trees = {"updates": updates, "params": params}
        (decayed,) = leafwise(
            lambda g, p, weight_decay, mask: (g + mask * weight_decay * decaying(g, p),),
            trees,
            weight_decay=weight_decay,
            mask=switches(mask, params),
        )
        return decayed, state

    def init(params: Any) -> Any:
        switches(mask, params)
        # Optax's state for a mask, so that a checkpoint of one fits the other.
        return optax.EmptyState() if mask is None else optax.MaskedState(optax.EmptyState())

    return init, update


def switches(mask: Any, params: Any) -> Any:
    """1 for the leaves that a mask chooses, or a function that makes one of the parameters, and 0 for the others."""
    chosen = mask_for(True if mask is None else mask, params)
    spread("mask", chosen, params)
    return jax.tree.map(lambda d: jnp.asarray(d).astype(jnp.float32), chosen)

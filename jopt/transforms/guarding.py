"""Updates that are refused: ``apply_if_finite``."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.leafwise import one_number
from jopt.values.numbers import Numeric, steps_since
from jopt.values.pairs import as_pair
from jopt.values.trees import like


@transformation(wide="parts", checked=False, domain={"max_consecutive_errors": "[0, inf)"})
def apply_if_finite(inner: optax.GradientTransformation, max_consecutive_errors: Numeric) -> Any:
    """Leaves out the steps whose gradients hold an infinity or NaN, which would stay in every moment for good.

    ``u = f(g)`` where all of g is finite, or where more than ``max_consecutive_errors`` gradients in a row were not; ``u = 0``,
    with the state of f as it was, elsewhere

    Args:
      inner: The transformation, jopt's or Optax's.
      max_consecutive_errors: How many gradients in a row that are not finite are left out, at least 0; the next one is taken as
        it is.

    Returns:
      The transformation; its state is ``optax.ApplyIfFiniteState(notfinite_count, last_finite, total_notfinite, inner_state)``.

    Raises:
      TypeError: When ``inner`` is no transformation.
      ValueError: For a number out of its range.

    Differs from:
      Optax's ``last_finite`` is a bool; here it is an int32, 1 or 0, as all that counts in jopt's states.

    Example:
      >>> opt = jopt.apply_if_finite(jopt.sgd(1.0), 3)
      >>> updates, state = opt.update(jnp.array([1.0, jnp.nan]), opt.init(jnp.zeros(2)))
      >>> updates, state.total_notfinite
      (Array([0., 0.], dtype=float32), Array(1, dtype=int32))
    """
    pair = as_pair(inner)

    def init(params: Any) -> optax.ApplyIfFiniteState:
        return optax.ApplyIfFiniteState(
            notfinite_count=jnp.zeros([], jnp.int32),
            last_finite=jnp.ones([], jnp.int32),
            total_notfinite=jnp.zeros([], jnp.int32),
            inner_state=pair.init(params),
        )

    def update(updates: Any, state: optax.ApplyIfFiniteState, params: Any = None, **extra_args: Any) -> Any:
        finite = _all_finite(updates)
        errors = jnp.where(finite, 0, optax.safe_increment(state.notfinite_count))
        taken = finite | (steps_since(errors, one_number("max_consecutive_errors", max_consecutive_errors)) > 0)
        # Nothing comes of a gradient that is left out, but a derivative still passes through it: zeros in its place.
        new, inner_state = pair.update(_where(taken, updates), state.inner_state, params, **extra_args)
        inner_state = _either(taken, like(state.inner_state, inner_state), state.inner_state)
        total = jnp.where(finite, state.total_notfinite, optax.safe_increment(state.total_notfinite))
        last = finite.astype(jnp.asarray(state.last_finite).dtype)  # a state of Optax's goes on as it is
        return _where(taken, new), optax.ApplyIfFiniteState(errors, last, total, inner_state)

    return init, update


def _all_finite(tree: Any) -> jax.Array:
    floats = [x for x in map(jnp.asarray, jax.tree.leaves(tree)) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return functools.reduce(jnp.logical_and, (jnp.all(jnp.isfinite(x)) for x in floats), jnp.array(True))


def _where(condition: jax.Array, tree: Any) -> Any:
    """The tree, or zeros."""
    return jax.tree.map(lambda x: jnp.where(condition, x, jnp.zeros_like(x, dtype=jnp.result_type(x))), tree)


def _either(condition: jax.Array, tree: Any, other: Any) -> Any:
    """One of two trees of the same types. Not by ``jnp.where``: a random key may be among the leaves."""
    return jax.tree.map(lambda x, y: jax.lax.select(condition, jnp.asarray(x), jnp.asarray(y)), tree, other)

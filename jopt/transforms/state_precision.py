"""States in half the memory: ``bfloat16_states``."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.leafwise import one_number
from jopt.values.numbers import Numeric, difference
from jopt.values.pairs import as_pair
from jopt.values.rounding import at_random, draw, draws, nearest, widened
from jopt.values.trees import flatten


class Bfloat16StatesState(NamedTuple):
    """State of ``bfloat16_states``: that of another optimizer, rounded."""

    count: Any  # int32, the number of updates so far
    inner_state: Any  # its float32 arrays in bfloat16


@transformation(wide="parts", checked=False, domain={"seed": "whole [0, inf)"})
def bfloat16_states(optimizer: optax.GradientTransformation, seed: Numeric = 0) -> Any:
    """Keeps the state of any optimizer in bfloat16, in half of its memory.

    ``u, s' = f(g, s)`` in float32; then each element of s' is rounded up or down at random, to itself in the mean

    Memory per parameter: 4 bytes around Adam in place of 8, 2 around Lion or sgd with momentum in place of 4. Rounded to the
    nearest, as ``mu_dtype`` and ``accumulator_dtype`` round, a second moment with β₂ = 0.999 would never fall: a thousandth of
    it is less than half of the type's spacing. At random it falls as it should, in the mean. That is what lies between two
    updates: one itself works in float32, on a CPU with 28 bytes of scratch memory for each parameter of the largest leaf, in
    place of 8.

    Args:
      optimizer: f, jopt's or Optax's. What it keeps beside moments is rounded too: around ``master_weights`` or
        schedule_free, whose states hold the parameters, this has no place; ``master_weights(bfloat16_states(f))`` is right.
      seed: Of the draws, a whole number. Draws follow from it, the number of updates and the array's place in the state
        alone; the lanes of a sweep share them unless this number is an axis, too.

    Returns:
      The transformation; its state is ``Bfloat16StatesState(count, inner_state)``, the float32 arrays of ``inner_state`` in
      bfloat16. Scalars, whole numbers and other types stay as they are.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: For a negative seed.

    Reference:
      Gupta et al., 2015, arXiv:1502.02551.

    Example:
      >>> opt = jopt.bfloat16_states(jopt.adam(1e-3))
      >>> opt.init(jnp.zeros(3)).inner_state[0].nu
      Array([0, 0, 0], dtype=bfloat16)
    """
    pair = as_pair(optimizer)

    def init(params: Any) -> Bfloat16StatesState:
        return Bfloat16StatesState(jnp.zeros([], jnp.int32), jax.tree.map(_narrowed, pair.init(params)))

    def update(updates: Any, state: Bfloat16StatesState, params: Any = None, **extra_args: Any) -> Any:
        key = draws(difference(one_number("seed", seed), 0)[0], 1, state.count)
        wide = jax.tree.map(lambda s: widened(s) if _is_rounded(s, jnp.bfloat16) else s, state.inner_state)
        updates, inner = pair.update(updates, wide, params, **extra_args)
        leaves, treedef = flatten(inner)
        old = treedef.flatten_up_to(state.inner_state)
        rounded = [_rounded(o, n, key, i) for i, (o, n) in enumerate(zip(old, leaves, strict=True))]
        return updates, Bfloat16StatesState(optax.safe_increment(state.count), treedef.unflatten(rounded))

    return init, update


def _is_rounded(s: Any, kind: Any) -> bool:
    return jnp.ndim(s) > 0 and jnp.result_type(s) == kind


def _narrowed(s: Any) -> Any:
    return nearest(s, jnp.bfloat16).astype(jnp.bfloat16) if _is_rounded(s, jnp.float32) else s


def _rounded(old: Any, new: Any, key: jax.Array, place: int) -> Any:
    """A new array as the old one is kept."""
    if not (_is_rounded(old, jnp.bfloat16) and _is_rounded(new, jnp.float32)):
        return new
    return at_random(0.0, new, jnp.bfloat16, draw(key, place, new)).astype(jnp.bfloat16)

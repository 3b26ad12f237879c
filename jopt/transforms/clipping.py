"""Bounds on the updates: ``clip``, ``clip_by_global_norm``."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.leafwise import leafwise, one_number, wide_dtype
from jopt.values.moments import nonzero, root
from jopt.values.numbers import Numeric


@transformation(wide=True, checked=False, domain={"max_delta": "[0, inf)"})
def clip(max_delta: Numeric) -> Any:
    """Clips every element of the updates.

    ``u = min(max(g, −max_delta), max_delta)``

    Args:
      max_delta: The largest absolute value, at least 0; or a prefix of the parameter tree with one per branch.

    Returns:
      The transformation; its state is empty.

    Example:
      >>> jopt.clip(1.0).update(jax.numpy.float32(3.0), jopt.clip(1.0).init(1.0))[0]
      Array(1., dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        (clipped,) = leafwise(
            lambda g, max_delta: (jnp.clip(g, -max_delta, max_delta),),
            {"updates": updates},
            max_delta=max_delta,
        )
        return clipped, state

    return lambda params: optax.EmptyState(), update


@transformation(wide=True, checked=False, domain={"max_norm": "(0, inf)"})
def clip_by_global_norm(max_norm: Numeric) -> Any:
    """Scales the updates down to a largest Euclidean norm of the whole tree.

    ``u = g · min(1, max_norm / ‖g‖₂)``

    Args:
      max_norm: The largest norm, above 0. A schedule may bring it down to 0: then the updates are 0.

    Returns:
      The transformation; its state is empty.

    Differs from:
      Optax sums the squares as they are, in the type of the gradients, which overflows in float16 at a norm of 256 and in
      float32 at 1.8e19; here the elements are first scaled by a power of two near the largest, in float32 or wider. The
      update is a product with scalars, where Optax selects and divides.

    Reference:
      Pascanu et al., 2013, arXiv:1211.5063.

    Example:
      >>> rule = jopt.clip_by_global_norm(1.0)
      >>> rule.update(jax.numpy.array([3.0, 4.0]), rule.init(jax.numpy.zeros(2)))[0]
      Array([0.6, 0.8], dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        unit, norm = _scaled_norm(updates)
        bound = jnp.asarray(one_number("max_norm", max_norm)).astype(norm.dtype)
        within = norm <= bound * unit  # False where the norm is NaN: then all updates are
        unit, factor = jnp.where(within, 1.0, unit), jnp.where(within, 1.0, bound / nonzero(norm))
        # Not by unit · factor: that may be too small for a float where the gradients are huge.
        (clipped,) = leafwise(lambda g, unit, factor: (g * unit * factor,), {"updates": updates}, unit=unit, factor=factor)
        return clipped, state

    return lambda params: optax.EmptyState(), update


def _scaled_norm(tree: Any) -> tuple[jax.Array, jax.Array]:
    """A factor, and the norm of a tree times it: 1, or what brings the largest near 1, where squares leave their range."""
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    wide = wide_dtype(*leaves)
    parts = [part.astype(wide) for x in leaves for part in ((jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else (x,))]
    zero = jnp.zeros([], wide)

    def norm(unit: jax.Array) -> jax.Array:
        return root(sum((jnp.sum((part * unit) ** 2) for part in parts), zero))

    def scaled() -> tuple[jax.Array, jax.Array]:
        largest = functools.reduce(jnp.maximum, (jnp.max(jnp.abs(part), initial=0.0) for part in parts), zero)
        unit = _inverse_power_of_two(jax.lax.stop_gradient(largest))
        return unit, norm(unit)

    plain = norm(jnp.ones([], wide))
    # Below, squares that count may be too small for a number. Alone, an optimizer takes one pass over its gradients for it.
    within = (plain > jnp.finfo(wide).tiny ** 0.25) & (plain < jnp.inf)
    return jax.lax.cond(within, lambda: (jnp.ones_like(plain), plain), scaled)  # type: ignore[no-any-return]


def _inverse_power_of_two(x: jax.Array) -> jax.Array:
    """``2⁻ᵉ`` for ``x`` in [2ᵉ, 2ᵉ⁺¹), by its exponent's bits: exact, unlike ``exp2``, and never infinite or 0."""
    kind = jnp.finfo(x.dtype)
    bits = jax.lax.bitcast_convert_type(x, f"uint{kind.bits}")
    exponent = (bits >> kind.nmant).astype(jnp.int32)
    top = 2 ** (kind.bits - 1 - kind.nmant) - 2  # the exponent of the largest numbers, as it is stored
    inverse = jnp.clip(top - exponent, 1, top - 1).astype(bits.dtype)
    return jax.lax.bitcast_convert_type(inverse << kind.nmant, x.dtype)

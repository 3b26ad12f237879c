"""Bounds on the updates: ``clip``, ``clip_by_global_norm``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt._leafwise import leafwise, wide_dtype
from jopt._moments import root
from jopt._numbers import Numeric
from jopt.transformation import transformation


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
      max_norm: The largest norm, above 0.

    Returns:
      The transformation; its state is empty.

    Differs from:
      Optax sums the squares in the type of the gradients, which overflows in float16 at a norm of 256; here the norm is
      taken in float32 or wider. The factor is one scalar, multiplied into the update, where Optax selects and divides.

    Reference:
      Pascanu et al., 2013, arXiv:1211.5063.

    Example:
      >>> rule = jopt.clip_by_global_norm(1.0)
      >>> rule.update(jax.numpy.array([3.0, 4.0]), rule.init(jax.numpy.zeros(2)))[0]
      Array([0.6, 0.8], dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        norm = _global_norm(updates)
        bound = jnp.asarray(max_norm).astype(norm.dtype)
        factor = bound / jnp.maximum(norm, bound)  # min(1, bound / norm); NaN where the norm is NaN
        (clipped,) = leafwise(lambda g, f: (g * f,), {"updates": updates}, f=factor)
        return clipped, state

    return lambda params: optax.EmptyState(), update


def _global_norm(tree: Any) -> jax.Array:
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    wide = wide_dtype(*leaves)
    zero = jnp.zeros([], wide)
    return root(sum((jnp.sum(_square(x, wide)) for x in leaves), zero))


def _square(x: jax.Array, wide: Any) -> jax.Array:
    parts = [jnp.real(x), jnp.imag(x)] if jnp.iscomplexobj(x) else [x]
    return sum((part.astype(wide) ** 2 for part in parts[1:]), parts[0].astype(wide) ** 2)

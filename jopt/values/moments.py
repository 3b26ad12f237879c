"""What the adaptive rules share: powers of a decay rate near 1, and roots that have a derivative at 0."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def one_minus_power(b: jax.Array, t: jax.Array) -> jax.Array:
    """``1 − bᵗ``, from the same rounded ``b`` as ``1 − b``, so both must be of the type that the rule computes in.

    ``−expm1(t · log1p(−(1 − b)))`` keeps every digit of 1 − b; ``1 − b**t`` loses five of seven for b = 0.9999.
    """
    positive = jnp.where(b > 0, b, 0.5)  # log1p(-1) is -inf, and its derivative NaN
    return jnp.where(b > 0, -jnp.expm1(t * jnp.log1p(-(1.0 - positive))), 1.0 - jnp.where(t <= 1, b, 0.0))


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 at 0: a second moment is 0 only where every gradient was."""
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    y = jnp.sqrt(x)
    return y, jnp.where(x > 0, 0.5 / jnp.where(x > 0, y, 1.0), 0.0) * dx


def nonzero(x: jax.Array) -> jax.Array:
    """``x`` with 1 in place of 0, for a denominator whose numerator is 0 there too."""
    return jnp.where(x == 0, 1.0, x)


def abs_sq(x: jax.Array) -> jax.Array:
    """``|x|²``, real for complex ``x``."""
    return jnp.real(x) ** 2 + jnp.imag(x) ** 2 if jnp.iscomplexobj(x) else x * x


def denominator(v: jax.Array, eps: Any, eps_in_sqrt: bool) -> jax.Array:
    """The root of a second moment, with ε inside or outside."""
    return nonzero(root(v + eps) if eps_in_sqrt else root(v) + eps)

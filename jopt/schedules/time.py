"""The step as a number, and how far it is into a stretch: what every schedule is made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jopt.values.numbers import difference, steps_since

# The domains of step counts, and of numbers that may have any value.
STEPS = "[0, inf)"
FINITE = "(-inf, inf)"


def as_time(step: Any) -> jax.Array:
    """The step, or any number of a schedule, as JAX's default floating type (float32, or float64 under x64).

    Args:
      step: A scalar of any integer or floating type.

    Returns:
      The same number as a floating scalar.

    Example:
      >>> jopt.schedules.as_time(3).dtype
      dtype('float32')
    """
    return jnp.asarray(step).astype(float)


def progress(step: Any, begin: Any, length: Any) -> jax.Array:
    """How much of the stretch of ``length`` steps after ``begin`` is done, from 0 to 1; 0 for an empty stretch."""
    length = jnp.maximum(as_time(length), 0.0)
    done = jnp.clip(steps_since(step, begin), 0.0, length)
    return done / jnp.where(length > 0, length, 1.0)


def periods_since(step: Any, begin: Any, length: Any) -> jax.Array:
    """``⌊(step − begin) / length⌋``, by integers where the length is whole: a rounded quotient may be a period off."""
    whole, rest = difference(step, begin)
    period, fraction = difference(length, 0)
    counted = (whole + jnp.floor(rest).astype(int)) // jnp.maximum(period, 1)
    return jnp.where(fraction == 0, counted.astype(float), jnp.floor(steps_since(step, begin) / as_time(length)))


def power_of(base: jax.Array, exponent: Any) -> jax.Array:
    """``base ** exponent`` for a base in [0, 1], with derivative 0 at base 0 (for exponents under 1 it is infinite)."""
    positive = base > 0
    power = jnp.where(positive, base, 1.0) ** as_time(exponent)
    return jnp.where(positive, power, jnp.where(as_time(exponent) > 0, 0.0, 1.0))

"""The step as a number, and how far it is into a stretch: what every schedule is made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jopt.values import require
from jopt.values.numbers import difference, is_number, steps_since

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
    if not (is_number(step) or (isinstance(step, jax.Array) and step.dtype == bool)):
        raise TypeError(f"A step, and the value of a schedule, must be a number, but got {require.shown(step)}.")
    return jnp.asarray(step).astype(float)


def progress(step: Any, begin: Any, length: Any) -> jax.Array:
    """How much of the stretch of ``length`` steps after ``begin`` is done, from 0 to 1; 0 for an empty stretch."""
    return jnp.where(as_time(length) > 0, share(steps_since(step, begin), length), 0.0)


def share(since: jax.Array, length: Any) -> jax.Array:
    """How much of a stretch of ``length`` steps is done ``since`` steps after it began, from 0 to 1; 1 where it is empty."""
    length = jnp.maximum(as_time(length), 0.0)
    part = jnp.clip(since, 0.0, length) / jnp.where(length > 0, length, 1.0)
    # At its end it is 1 exactly: XLA may multiply by a rounded 1 / length.
    return jnp.where(since >= length, 1.0, part)


def after(step: Any, *lengths: Any) -> tuple[jax.Array, jax.Array]:
    """``step − Σ lengths`` as an integer and a floating rest: the sum of the lengths might be rounded in float32."""
    whole, rest = difference(step, 0)
    lowest = jnp.iinfo(whole.dtype).min
    for length in lengths:
        less, part = difference(length, 0)
        # Long before its turn a stretch stays at the lowest integer: one less would be the highest.
        whole, rest = jnp.maximum(whole, lowest + less) - less, rest - part
    return whole, rest


def steps_after(step: Any, *lengths: Any) -> jax.Array:
    """``step − Σ lengths`` as a floating scalar; 0 and its sign are exact, as those of ``steps_since`` are."""
    whole, rest = after(step, *lengths)
    return whole.astype(float) + rest


def own_step(step: Any, *lengths: Any) -> jax.Array:
    """``step − Σ lengths``, of the kind of ``step``: rounded down to an integer for an integer."""
    whole, rest = after(step, *lengths)
    if jnp.issubdtype(jnp.result_type(step), jnp.integer):
        return whole + jnp.floor(rest).astype(int)
    return whole.astype(float) + rest


def turns(step: Any, begin: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """``⌊(step − begin) / length⌋``, and the steps since the last whole turn.

    By integers where the length is whole: a rounded quotient may be a turn off, and a rounded product far from its step.
    """
    whole, rest = difference(step, begin)
    period, fraction = difference(length, 0)
    period, length = jnp.maximum(period, 1), as_time(length)
    counted = (whole + jnp.floor(rest).astype(int)) // period
    # The difference is 0; it carries the derivative with respect to the length, which integers do not.
    moved = counted.astype(float) * (length - jax.lax.stop_gradient(length))
    exact = (whole - counted * period).astype(float) + rest - moved
    passed = jnp.floor(steps_since(step, begin) / jnp.where(length > 0, length, 1.0))
    is_whole = fraction == 0
    rounded = jnp.clip(steps_since(step, begin) - passed * length, 0.0, length)
    since = jnp.where(is_whole, exact, rounded)
    return jnp.where(is_whole, counted.astype(float), passed), since


def power_of(base: jax.Array, exponent: Any) -> jax.Array:
    """``base ** exponent`` for a base in [0, 1], with derivative 0 at base 0 (for exponents under 1 it is infinite)."""
    positive = base > 0
    power = jnp.where(positive, base, 1.0) ** as_time(exponent)
    return jnp.where(positive, power, jnp.where(as_time(exponent) > 0, 0.0, 1.0))

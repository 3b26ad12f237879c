"""Schedules: functions of the step that are values, so that their own numbers can be swept.

A schedule stands wherever a hyperparameter stands. ``t`` is the number of updates made before this one, so the first
update uses the value at ``t = 0``, as in Optax. Step counts are numbers like any other: they may be swept, traced and
fractional. Whole ones are compared and subtracted as integers, exactly up to int32. (A whole number above 2**24 stays an
integer leaf, of which JAX takes no derivative; give it as a float for that.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jopt.values.numbers import Numeric, difference, steps_since
from jopt.values.schedule import Schedule, schedule

__all__ = [
    "Schedule",
    "as_time",
    "constant_schedule",
    "cosine_decay_schedule",
    "exponential_decay",
    "join_schedules",
    "linear_schedule",
    "natural_exp_decay",
    "piecewise_constant_schedule",
    "polynomial_schedule",
    "schedule",
    "warmup_cosine_decay_schedule",
]

_STEPS = "[0, inf)"
_FINITE = "(-inf, inf)"


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


def _progress(step: Any, begin: Any, length: Any) -> jax.Array:
    """How much of the stretch of ``length`` steps after ``begin`` is done, from 0 to 1; 0 for an empty stretch."""
    length = jnp.maximum(as_time(length), 0.0)
    done = jnp.clip(steps_since(step, begin), 0.0, length)
    return done / jnp.where(length > 0, length, 1.0)


def _periods(step: Any, begin: Any, length: Any) -> jax.Array:
    """``⌊(step − begin) / length⌋``, by integers where the length is whole: a rounded quotient may be a period off."""
    whole, rest = difference(step, begin)
    period, fraction = difference(length, 0)
    counted = (whole + jnp.floor(rest).astype(int)) // jnp.maximum(period, 1)
    return jnp.where(fraction == 0, counted.astype(float), jnp.floor(steps_since(step, begin) / as_time(length)))


def _power(base: jax.Array, exponent: Any) -> jax.Array:
    """``base ** exponent`` for a base in [0, 1], with derivative 0 at base 0 (for exponents under 1 it is infinite)."""
    positive = base > 0
    power = jnp.where(positive, base, 1.0) ** as_time(exponent)
    return jnp.where(positive, power, jnp.where(as_time(exponent) > 0, 0.0, 1.0))


@schedule(domain={"value": _FINITE})
def constant_schedule(value: Numeric) -> Callable[[Any], Any]:
    """The same value at every step.

    ``a(t) = value``

    Args:
      value: The value, any finite number.

    Returns:
      The schedule.

    Example:
      >>> float(jopt.constant_schedule(0.5)(100))
      0.5
    """
    return lambda step: as_time(value)


@schedule(domain={"init_value": _FINITE, "decay_rate": _FINITE})
def natural_exp_decay(init_value: Numeric, decay_rate: Numeric) -> Callable[[Any], Any]:
    """Exponential decay at a rate per step.

    ``a(t) = init_value · exp(−decay_rate · t)``

    The exponential is taken of the product, so float32 is right to about 1e-6 at 100,000 steps, where a power of
    ``exp(−decay_rate)`` rounded to float32 is off by 2e-3.

    Args:
      init_value: The value at step 0.
      decay_rate: The rate λ per step; positive decays.

    Returns:
      The schedule.

    Example:
      >>> round(float(jopt.natural_exp_decay(1.0, 0.01)(100)), 4)
      0.3679
    """
    return lambda step: as_time(init_value) * jnp.exp(-as_time(decay_rate) * as_time(step))


@schedule(domain={"transition_steps": "(0, inf)", "decay_rate": "(0, inf)", "transition_begin": _STEPS})
def exponential_decay(
    init_value: Numeric,
    transition_steps: Numeric,
    decay_rate: Numeric,
    transition_begin: Numeric = 0,
    staircase: bool = False,
    end_value: Numeric | None = None,
) -> Callable[[Any], Any]:
    """Decay by a factor every so many steps.

    ``a(t) = init_value · decay_rate^((t − transition_begin) / transition_steps)``, and ``init_value`` before
    ``transition_begin``.

    Args:
      init_value: The value at the beginning.
      transition_steps: Steps in which the value is multiplied by ``decay_rate``, above 0.
      decay_rate: The factor, above 0.
      transition_begin: Steps before the decay begins, at least 0.
      staircase: Whether the value falls only at whole multiples of ``transition_steps``.
      end_value: Where the decay stops: a lower bound for a factor under 1, an upper bound otherwise.

    Returns:
      The schedule.

    Differs from:
      Optax takes a non-positive ``transition_steps`` or a zero ``decay_rate`` as "constant"; here both are errors.

    Example:
      >>> float(jopt.exponential_decay(1.0, 10, 0.5)(20))
      0.25
    """

    def value(step: Any) -> jax.Array:
        if staircase:
            periods = _periods(step, transition_begin, transition_steps)
        else:
            periods = steps_since(step, transition_begin) / as_time(transition_steps)
        decayed = as_time(init_value) * as_time(decay_rate) ** jnp.maximum(periods, 0.0)
        if end_value is None:
            return decayed
        bounds = jnp.maximum(decayed, as_time(end_value)), jnp.minimum(decayed, as_time(end_value))
        return jnp.where(as_time(decay_rate) < 1, *bounds)

    return value


@schedule(domain={"power": "[0, inf)", "transition_steps": _STEPS, "transition_begin": _STEPS})
def polynomial_schedule(
    init_value: Numeric,
    end_value: Numeric,
    power: Numeric,
    transition_steps: Numeric,
    transition_begin: Numeric = 0,
) -> Callable[[Any], Any]:
    """A polynomial from one value to another.

    ``a(t) = end_value + (init_value − end_value) · (1 − s)^power``, where s goes from 0 at ``transition_begin`` to 1
    after ``transition_steps`` more steps.

    Args:
      init_value: The value at the beginning.
      end_value: The value at the end.
      power: The exponent, at least 0; 1 is a straight line.
      transition_steps: How many steps it takes; with 0 the value stays at ``init_value``, as in Optax.
      transition_begin: Steps before it begins.

    Returns:
      The schedule.

    Example:
      >>> float(jopt.polynomial_schedule(1.0, 0.0, 2, 10)(5))
      0.25
    """

    def value(step: Any) -> jax.Array:
        left = _power(1.0 - _progress(step, transition_begin, transition_steps), power)
        return as_time(end_value) + (as_time(init_value) - as_time(end_value)) * left

    return value


@schedule(domain={"transition_steps": _STEPS, "transition_begin": _STEPS})
def linear_schedule(
    init_value: Numeric,
    end_value: Numeric,
    transition_steps: Numeric,
    transition_begin: Numeric = 0,
) -> Callable[[Any], Any]:
    """A straight line from one value to another.

    ``a(t) = init_value + (end_value − init_value) · s``, where s goes from 0 at ``transition_begin`` to 1 after
    ``transition_steps`` more steps.

    Args:
      init_value: The value at the beginning.
      end_value: The value at the end.
      transition_steps: How many steps it takes; with 0 the value stays at ``init_value``, as in Optax.
      transition_begin: Steps before it begins.

    Returns:
      The schedule.

    Example:
      >>> float(jopt.linear_schedule(0.0, 1.0, 10)(5))
      0.5
    """
    return lambda step: (
        as_time(init_value) + (as_time(end_value) - as_time(init_value)) * _progress(step, transition_begin, transition_steps)
    )


@schedule(domain={"decay_steps": "(0, inf)", "exponent": "[0, inf)"})
def cosine_decay_schedule(
    init_value: Numeric, decay_steps: Numeric, alpha: Numeric = 0.0, exponent: Numeric = 1.0
) -> Callable[[Any], Any]:
    """Half a cosine from a value down to a fraction of it.

    ``a(t) = init_value · ((1 − alpha) · (½ (1 + cos(π t / decay_steps)))^exponent + alpha)`` up to ``decay_steps``, then
    ``alpha · init_value``.

    Args:
      init_value: The value at step 0.
      decay_steps: Steps until the end value, above 0.
      alpha: The end value as a fraction of ``init_value``.
      exponent: The power of the cosine term.

    Returns:
      The schedule.

    Reference:
      Loshchilov and Hutter, 2017, arXiv:1608.03983.

    Example:
      >>> round(float(jopt.cosine_decay_schedule(1.0, 100)(50)), 6)
      0.5
    """

    def value(step: Any) -> jax.Array:
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * _progress(step, 0, decay_steps)))
        return as_time(init_value) * ((1.0 - as_time(alpha)) * _power(cosine, exponent) + as_time(alpha))

    return value


@schedule(domain={"warmup_steps": _STEPS, "decay_steps": "(0, inf)", "exponent": "[0, inf)"})
def warmup_cosine_decay_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: Numeric,
    decay_steps: Numeric,
    end_value: Numeric = 0.0,
    exponent: Numeric = 1.0,
) -> Callable[[Any], Any]:
    """A straight line up to a peak, then half a cosine down.

    ``a(t) = init_value + (peak_value − init_value) · t / warmup_steps`` before ``warmup_steps``, then
    ``a(t) = end_value + (peak_value − end_value) · (½ (1 + cos(π s)))^exponent``, where s goes from 0 at ``warmup_steps``
    to 1 at ``decay_steps``.

    Args:
      init_value: The value at step 0.
      peak_value: The value at ``warmup_steps``.
      warmup_steps: Steps of the line, at least 0.
      decay_steps: Steps of the whole schedule, the warm-up included; above ``warmup_steps``.
      end_value: The value from ``decay_steps`` on.
      exponent: The power of the cosine term.

    Returns:
      The schedule.

    Differs from:
      Optax rejects traced ``peak_value``, ``warmup_steps`` and ``decay_steps``. A ``decay_steps`` that is not above
      ``warmup_steps`` is an error there; here the value stays at the peak.

    Reference:
      Loshchilov and Hutter, 2017, arXiv:1608.03983.

    Example:
      >>> float(jopt.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100)(5))
      0.5
    """

    def value(step: Any) -> jax.Array:
        rising = as_time(init_value) + (as_time(peak_value) - as_time(init_value)) * _progress(step, 0, warmup_steps)
        decay = steps_since(decay_steps, warmup_steps)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * _progress(step, warmup_steps, decay)))
        drop = as_time(peak_value) - as_time(end_value)
        falling = as_time(end_value) + drop * _power(cosine, exponent)
        return jnp.where(steps_since(step, warmup_steps) < 0, rising, falling)

    return value


def piecewise_constant_schedule(init_value: Numeric, boundaries_and_scales: Mapping[Any, Numeric] | None = None) -> Schedule:
    """Constant stretches, each the one before times a factor.

    ``a(t) = init_value · ∏ { scale : t ≥ boundary }``

    Args:
      init_value: The value before the first boundary.
      boundaries_and_scales: A dict from the step of each boundary to its factor, at least 0. The boundaries are numbers
        of the value too, as ``boundaries`` and ``scales``, and either may be an axis.

    Returns:
      The schedule.

    Raises:
      ValueError: For a negative boundary or factor.

    Example:
      >>> float(jopt.piecewise_constant_schedule(1.0, {100: 0.5, 200: 0.5})(150))
      0.5
    """
    pairs = dict(boundaries_and_scales or {})
    return _piecewise_constant(init_value, tuple(pairs.keys()), tuple(pairs.values()))


@schedule(domain={"boundaries": _STEPS, "scales": "[0, inf)"}, name="piecewise_constant_schedule")
def _piecewise_constant(init_value: Numeric, boundaries: tuple[Any, ...], scales: tuple[Any, ...]) -> Callable[[Any], Any]:
    def value(step: Any) -> jax.Array:
        level = as_time(init_value)
        for boundary, scale in zip(boundaries, scales, strict=True):
            level = level * jnp.where(steps_since(step, boundary) >= 0, as_time(scale), 1.0)
        return level

    return value


def join_schedules(schedules: Sequence[Callable[[Any], Any]], boundaries: Sequence[Numeric]) -> Schedule:
    """Schedules one after the other, each starting from its own step 0.

    ``a(t) = schedules[i](t − boundaries[i − 1])``, with i the number of boundaries that are ≤ t. An integer step stays one
    (``⌊t − boundary⌋``), so what is joined may look it up in a table.

    Args:
      schedules: Two or more schedules, jopt's or any function of the step.
      boundaries: The step at which each but the first takes over, one fewer than the schedules, ascending.

    Returns:
      The schedule.

    Raises:
      ValueError: When the numbers of schedules and boundaries do not fit.

    Example:
      >>> warm = jopt.linear_schedule(0.0, 1.0, 10)
      >>> float(jopt.join_schedules([warm, jopt.constant_schedule(0.5)], [10])(12))
      0.5
    """
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"join_schedules takes one boundary fewer than schedules, but got {len(schedules)} schedules and "
            f"{len(boundaries)} boundaries."
        )
    return _join(tuple(schedules), tuple(boundaries))


@schedule(domain={"boundaries": _STEPS}, name="join_schedules")
def _join(schedules: tuple[Any, ...], boundaries: tuple[Any, ...]) -> Callable[[Any], Any]:
    def value(step: Any) -> jax.Array:
        joined = as_time(schedules[0](step))
        for boundary, following in zip(boundaries, schedules[1:], strict=True):
            since = _own_step(step, boundary)
            # Before its turn a schedule stays at its own step 0: at a negative one it might overflow.
            joined = jnp.where(since < 0, joined, as_time(following(jnp.maximum(since, 0))))
        return joined

    return value


def _own_step(step: Any, boundary: Any) -> jax.Array:
    """``step − boundary``, of the kind of ``step``: rounded down to an integer for an integer."""
    if jnp.issubdtype(jnp.result_type(step), jnp.integer):
        whole, rest = difference(step, boundary)
        return whole + jnp.floor(rest).astype(int)
    return steps_since(step, boundary)

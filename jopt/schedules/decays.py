"""Schedules of one formula: constant, exponential, polynomial, cosine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jopt.schedules.time import FINITE, STEPS, as_time, power_of, progress, share, turns
from jopt.values.numbers import Numeric, steps_since
from jopt.values.schedule import schedule


@schedule(domain={"value": FINITE})
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


@schedule(domain={"init_value": FINITE, "decay_rate": FINITE})
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


@schedule(domain={"transition_steps": "(0, inf)", "decay_rate": "(0, inf)", "transition_begin": STEPS})
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
            periods, _ = turns(step, transition_begin, transition_steps)
        else:
            periods = steps_since(step, transition_begin) / as_time(transition_steps)
        decayed = as_time(init_value) * as_time(decay_rate) ** jnp.maximum(periods, 0.0)
        if end_value is None:
            return decayed
        bounds = jnp.maximum(decayed, as_time(end_value)), jnp.minimum(decayed, as_time(end_value))
        return jnp.where(as_time(decay_rate) < 1, *bounds)

    return value


@schedule(domain={"power": "[0, inf)", "transition_steps": STEPS, "transition_begin": STEPS})
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
        left = power_of(1.0 - progress(step, transition_begin, transition_steps), power)
        return as_time(end_value) + (as_time(init_value) - as_time(end_value)) * left

    return value


@schedule(domain={"transition_steps": STEPS, "transition_begin": STEPS})
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
        as_time(init_value) + (as_time(end_value) - as_time(init_value)) * progress(step, transition_begin, transition_steps)
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
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * progress(step, 0, decay_steps)))
        return as_time(init_value) * ((1.0 - as_time(alpha)) * power_of(cosine, exponent) + as_time(alpha))

    return value


@schedule(domain={"decay_steps": STEPS})
def rex_schedule(init_value: Numeric, decay_steps: Numeric, alpha: Numeric = 0.0) -> Callable[[Any], Any]:
    """REX, the reflected exponential: slower than a straight line at first, then faster.

    ``a(t) = init_value · ((1 − alpha) · (1 − s) / (½ + ½ (1 − s)) + alpha)``, where s goes from 0 to 1 in ``decay_steps``,
    then ``alpha · init_value``.

    Args:
      init_value: The value at step 0.
      decay_steps: Steps until the end value, at least 0.
      alpha: The end value as a fraction of ``init_value``, as in ``cosine_decay_schedule``.

    Returns:
      The schedule.

    Reference:
      Chen, Wolfe and Kyrillidis, 2021, arXiv:2107.04197.

    Example:
      >>> round(float(jopt.rex_schedule(0.3, 100)(50)), 6)
      0.2
    """

    def value(step: Any) -> jax.Array:
        left = 1.0 - share(as_time(step), decay_steps)
        return as_time(init_value) * ((1.0 - as_time(alpha)) * left / (0.5 + 0.5 * left) + as_time(alpha))

    return value


@schedule(domain={"step_size": "(0, inf)", "gamma": "(0, inf)"})
def step_schedule(init_value: Numeric, step_size: Numeric, gamma: Numeric = 0.1) -> Callable[[Any], Any]:
    """Multiplied by a factor every so many steps.

    ``a(t) = init_value · gamma^⌊t / step_size⌋``

    Args:
      init_value: The value at the beginning.
      step_size: Steps between two changes, above 0.
      gamma: The factor, above 0.

    Returns:
      The schedule.

    Differs from:
      PyTorch's ``StepLR`` has the same arguments and the same values. Optax spells it
      ``exponential_decay(init_value, step_size, gamma, staircase=True)``, which is here too.

    Example:
      >>> round(float(jopt.step_schedule(1.0, 30)(60)), 6)
      0.01
    """
    return lambda step: as_time(init_value) * as_time(gamma) ** turns(step, 0, step_size)[0]

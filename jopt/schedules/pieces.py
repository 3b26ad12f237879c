"""Schedules in pieces: a warm-up and what follows, constant stretches, schedules one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jopt.schedules.time import STEPS, as_time, own_step, power_of, progress
from jopt.values import require
from jopt.values.numbers import Numeric, steps_since
from jopt.values.schedule import Schedule, schedule


@schedule(domain={"warmup_steps": STEPS, "decay_steps": "(0, inf)", "exponent": "[0, inf)"})
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
        rising = as_time(init_value) + (as_time(peak_value) - as_time(init_value)) * progress(step, 0, warmup_steps)
        decay = steps_since(decay_steps, warmup_steps)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * progress(step, warmup_steps, decay)))
        drop = as_time(peak_value) - as_time(end_value)
        falling = as_time(end_value) + drop * power_of(cosine, exponent)
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
    if boundaries_and_scales is not None and not isinstance(boundaries_and_scales, Mapping):
        raise TypeError(
            f"piecewise_constant_schedule: boundaries_and_scales must be a dict from steps to factors, but got "
            f"{require.shown(boundaries_and_scales)}."
        )
    pairs = dict(boundaries_and_scales or {})
    return _piecewise_constant(init_value, tuple(pairs.keys()), tuple(pairs.values()))


@schedule(domain={"boundaries": STEPS, "scales": "[0, inf)"}, name="piecewise_constant_schedule")
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
    schedules = require.listed("join_schedules: schedules", schedules, "functions of the step")
    boundaries = require.listed("join_schedules: boundaries", boundaries, "steps")
    for each in schedules:
        require.function("join_schedules: each of schedules", each)
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"join_schedules takes one boundary fewer than schedules, but got {len(schedules)} schedules and "
            f"{len(boundaries)} boundaries."
        )
    return _join(tuple(schedules), tuple(boundaries))


@schedule(domain={"boundaries": STEPS}, name="join_schedules")
def _join(schedules: tuple[Any, ...], boundaries: tuple[Any, ...]) -> Callable[[Any], Any]:
    return lambda step: in_turn(step, schedules, [(boundary,) for boundary in boundaries])


def in_turn(step: Any, schedules: Sequence[Any], waits: Sequence[Sequence[Any]]) -> jax.Array:
    """The schedules one after the other; each but the first takes over when all the steps of its wait are done."""
    value = as_time(schedules[0](step))
    for wait, following in zip(waits, schedules[1:], strict=True):
        since = own_step(step, *wait)
        # Before its turn a schedule stays at its own step 0: at a negative one it might overflow.
        value = jnp.where(since < 0, value, as_time(following(jnp.maximum(since, 0))))
    return value

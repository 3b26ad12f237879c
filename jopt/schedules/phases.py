"""Schedules in phases of given lengths: up to a peak, and down again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jopt.schedules.time import STEPS, as_time, power_of, progress, share, steps_after
from jopt.values.numbers import Numeric, steps_since
from jopt.values.schedule import schedule

Shape = Callable[[jax.Array], jax.Array]


def _linear(s: jax.Array) -> jax.Array:
    return s


def _cosine(s: jax.Array) -> jax.Array:
    return 0.5 * (1.0 - jnp.cos(jnp.pi * s))


def _root(s: jax.Array) -> jax.Array:
    return power_of(s, 0.5)


_SHAPES: dict[str, Shape] = {"linear": _linear, "cosine": _cosine, "1-sqrt": _root}
_ONECYCLE = {"transition_steps": "(0, inf)", "pct_start": "[0, 1]", "div_factor": "(0, inf)", "final_div_factor": "(0, inf)"}


def _through(step: Any, phases: Sequence[tuple[Any, Any, Any, Shape]]) -> jax.Array:
    """Phases one after the other, each its length, its first and its last value, and a shape; the last value stays."""
    value = as_time(phases[0][1])
    passed: list[Any] = []
    for length, start, end, shape in phases:
        since = steps_after(step, *passed)
        s = shape(share(since, length))
        # Both products, and not a difference: a small end value after a large one keeps its digits.
        value = jnp.where(since < 0, value, as_time(start) * (1.0 - s) + as_time(end) * s)
        passed.append(length)
    return value


@schedule(domain={"warmup_steps": STEPS, "stable_steps": STEPS, "decay_steps": STEPS})
def wsd_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: Numeric,
    stable_steps: Numeric,
    decay_steps: Numeric,
    end_value: Numeric = 0.0,
    shape: Literal["linear", "cosine", "1-sqrt"] = "linear",
) -> Callable[[Any], Any]:
    """Warm-up, stable, decay: a straight line up to a peak, a long time there, then down.

    ``a(t) = init_value + (peak_value − init_value) · t / warmup_steps``, then ``a(t) = peak_value`` for ``stable_steps``, then
    ``a(t) = end_value + (peak_value − end_value) · f(s)``, where s goes from 0 to 1 in ``decay_steps``, and f(s) is
    ``1 − s`` ("linear"), ``½ (1 + cos(π s))`` ("cosine") or ``1 − √s`` ("1-sqrt").

    Args:
      init_value: The value at step 0.
      peak_value: The value at the end of the warm-up and in the stable phase.
      warmup_steps: Steps of the warm-up, at least 0.
      stable_steps: Steps at the peak, at least 0.
      decay_steps: Steps of the decay alone, at least 0; a tenth to a fifth of all is usual.
      end_value: The value after that.
      shape: The form of the decay: "linear", "cosine" or "1-sqrt".

    Returns:
      The schedule.

    Raises:
      ValueError: For a number out of its range, or another shape.

    Differs from:
      In ``warmup_cosine_decay_schedule``, as in Optax, ``decay_steps`` are the steps of the whole schedule; here each phase
      has a length of its own, so a longer stable phase changes nothing else. The first paper's decay is exponential.

    Reference:
      Hu et al., 2024, arXiv:2404.06395; Hägele et al., 2024, arXiv:2405.18392 ("1-sqrt").

    Example:
      >>> rate = jopt.wsd_schedule(0.0, 1.0, warmup_steps=10, stable_steps=80, decay_steps=10)
      >>> [round(float(rate(t)), 6) for t in (5, 50, 95, 100)]
      [0.5, 1.0, 0.5, 0.0]
    """
    return lambda step: _through(
        step,
        [
            (warmup_steps, init_value, peak_value, _linear),
            (stable_steps, peak_value, peak_value, jnp.zeros_like),
            (decay_steps, peak_value, end_value, _SHAPES[shape]),
        ],
    )


@schedule(domain=_ONECYCLE)
def cosine_onecycle_schedule(
    transition_steps: Numeric,
    peak_value: Numeric,
    pct_start: Numeric = 0.3,
    div_factor: Numeric = 25.0,
    final_div_factor: Numeric = 1e4,
) -> Callable[[Any], Any]:
    """One cycle: half a cosine up to a peak, then half a cosine down to almost nothing.

    ``a(t) = from + (to − from) · ½ (1 − cos(π s))``, where s goes from 0 to 1, from ``peak_value / div_factor`` to
    ``peak_value`` in the first ``⌊pct_start · transition_steps⌋`` steps, and on to
    ``peak_value / (div_factor · final_div_factor)`` at ``transition_steps``.

    Args:
      transition_steps: Steps of the whole cycle, above 0.
      peak_value: The highest value.
      pct_start: The part of the cycle in which the value rises, in [0, 1].
      div_factor: How many times smaller the first value is than the peak, above 0.
      final_div_factor: How many times smaller the last value is than the first, above 0.

    Returns:
      The schedule.

    Differs from:
      Optax rejects traced numbers, and takes ``int(pct_start * transition_steps)``, in which 0.29 · 100 is 28; here a product
      that is whole but for its rounding is whole. PyTorch's ``OneCycleLR(total_steps=n)`` has its peak at ``pct_start · n − 1``
      and its end at ``n − 1``.

    Reference:
      Smith and Topin, 2017, arXiv:1708.07120.

    Example:
      >>> rate = jopt.cosine_onecycle_schedule(100, 1.0)
      >>> [round(float(rate(t)), 6) for t in (0, 15, 30, 100)]
      [0.04, 0.52, 1.0, 4e-06]
    """

    def value(step: Any) -> jax.Array:
        up = _part_of(pct_start, transition_steps)
        peak = as_time(peak_value)
        first = peak / as_time(div_factor)
        last = first / as_time(final_div_factor)
        return _through(step, [(up, first, peak, _cosine), (steps_since(transition_steps, up), peak, last, _cosine)])

    return value


@schedule(domain={**_ONECYCLE, "pct_final": "[0, 1]"})
def linear_onecycle_schedule(
    transition_steps: Numeric,
    peak_value: Numeric,
    pct_start: Numeric = 0.3,
    pct_final: Numeric = 0.85,
    div_factor: Numeric = 25.0,
    final_div_factor: Numeric = 1e4,
) -> Callable[[Any], Any]:
    """One cycle of straight lines: up to a peak, back, and on to almost nothing.

    ``a(t) = from + (to − from) · s``, where s goes from 0 to 1, from ``peak_value / div_factor`` to ``peak_value`` in the first
    ``⌊pct_start · transition_steps⌋`` steps, back until ``⌊pct_final · transition_steps⌋``, and on to
    ``peak_value / (div_factor · final_div_factor)`` at ``transition_steps``.

    Args:
      transition_steps: Steps of the whole cycle, above 0.
      peak_value: The highest value.
      pct_start: The part of the cycle in which the value rises, in [0, 1].
      pct_final: The part of the cycle after which the value is back where it began, in [0, 1]; under ``pct_start`` it is
        taken for ``pct_start``.
      div_factor: How many times smaller the first value is than the peak, above 0.
      final_div_factor: How many times smaller the last value is than the first, above 0.

    Returns:
      The schedule.

    Differs from:
      Optax: as ``cosine_onecycle_schedule`` does.

    Reference:
      Smith and Topin, 2017, arXiv:1708.07120.

    Example:
      >>> rate = jopt.linear_onecycle_schedule(100, 1.0)
      >>> [round(float(rate(t)), 6) for t in (0, 15, 30, 85, 100)]
      [0.04, 0.52, 1.0, 0.04, 4e-06]
    """

    def value(step: Any) -> jax.Array:
        up = _part_of(pct_start, transition_steps)
        back = jnp.maximum(_part_of(pct_final, transition_steps), up)
        peak = as_time(peak_value)
        first = peak / as_time(div_factor)
        down = (steps_since(transition_steps, back), first, first / as_time(final_div_factor), _linear)
        return _through(step, [(up, first, peak, _linear), (back - up, peak, first, _linear), down])

    return value


def _part_of(fraction: Any, steps: Any) -> jax.Array:
    """``⌊fraction · steps⌋``; in float32 0.26 · 50 is a little less than 13, so what is whole but for rounding is whole."""
    product = as_time(fraction) * as_time(steps)
    return jnp.floor(product * (1.0 + 4.0 * float(jnp.finfo(product.dtype).eps)))


@schedule(domain={"warmup_steps": STEPS})
def inverse_sqrt_schedule(init_value: Numeric, peak_value: Numeric, warmup_steps: Numeric) -> Callable[[Any], Any]:
    """A straight line up to a peak, then down with the square root of the step.

    ``a(t) = init_value + (peak_value − init_value) · t / warmup_steps`` before ``warmup_steps``, then
    ``a(t) = peak_value · √(w / (w + t − warmup_steps))``, where ``w = max(warmup_steps, 1)``: for a warm-up of at least one
    step, ``peak_value · √(warmup_steps / t)``.

    Args:
      init_value: The value at step 0. With ``init_value = peak_value`` the warm-up is a constant stretch, as in T5.
      peak_value: The value at ``warmup_steps``.
      warmup_steps: Steps of the line, at least 0; without any the value is ``peak_value / √(t + 1)``.

    Returns:
      The schedule.

    Differs from:
      The paper's rate, d^−½ · min(t^−½, t · warmup^−1.5) for t = 1, 2, ..., is this one with
      ``peak_value = (d · warmup)^−½`` and ``init_value = 0``, a step later.

    Reference:
      Vaswani et al., 2017, arXiv:1706.03762.

    Example:
      >>> rate = jopt.inverse_sqrt_schedule(0.0, 1.0, 100)
      >>> [round(float(rate(t)), 6) for t in (50, 100, 400)]
      [0.5, 1.0, 0.5]
    """

    def value(step: Any) -> jax.Array:
        rising = as_time(init_value) + (as_time(peak_value) - as_time(init_value)) * progress(step, 0, warmup_steps)
        since = steps_since(step, warmup_steps)
        w = jnp.maximum(as_time(warmup_steps), 1.0)
        falling = as_time(peak_value) * jnp.sqrt(w / (w + jnp.maximum(since, 0.0)))
        return jnp.where(since < 0, rising, falling)

    return value

"""Updates times a number: ``scale``, ``scale_by_learning_rate``, ``scale_by_schedule``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.leafwise import leafwise
from jopt.values.numbers import Numeric, ScalarOrSchedule
from jopt.values.pairs import evaluate, holds_schedule


@transformation(wide=True, checked=False, domain={"step_size": "(-inf, inf)"})
def scale(step_size: Numeric) -> Any:
    """Multiplies the updates by a number.

    ``u = step_size · g``

    Args:
      step_size: A finite number, or a prefix of the parameter tree with one number per branch.

    Returns:
      The transformation; its state is empty.

    Example:
      >>> jopt.scale(2.0).update(jax.numpy.float32(3.0), jopt.scale(2.0).init(1.0))[0]
      Array(6., dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        (scaled,) = leafwise(lambda g, step_size: (step_size * g,), {"updates": updates}, step_size=step_size)
        return scaled, state

    return _empty, update


@transformation(wide=True, checked=False, evaluates=("learning_rate",), domain={"learning_rate": "[0, inf)"})
def scale_by_learning_rate(learning_rate: ScalarOrSchedule | None = None, *, flip_sign: bool = True) -> Any:
    """Multiplies the updates by the learning rate, and turns them downhill.

    ``u = −α g``, or ``u = −α(t) g`` where the rate is a schedule.

    Args:
      learning_rate: At least 0: a number, a schedule (any function of the step), or a prefix of the parameter tree with one
        of these per branch. ``None`` passes the updates on as they are, their sign too: they are steps already.
      flip_sign: Whether to multiply by −α; by α if not.

    Returns:
      The transformation; its state is empty, or the step count where there is a schedule.

    Example:
      >>> rule = jopt.scale_by_learning_rate(0.1)
      >>> rule.update(jax.numpy.float32(1.0), rule.init(1.0))[0]
      Array(-0.1, dtype=float32)
    """
    if learning_rate is None:
        return optax.identity()
    sign = -1.0 if flip_sign else 1.0

    def stepped(updates: Any, rate: Any) -> Any:
        return leafwise(
            lambda g, learning_rate: (sign * learning_rate * g,),
            {"updates": updates},
            learning_rate=rate,
        )[0]

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        return stepped(updates, learning_rate), state

    def update_scheduled(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        rate = evaluate(learning_rate, state.count)
        return stepped(updates, rate), optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return (_zero_count, update_scheduled) if holds_schedule(learning_rate) else (_empty, update)


@transformation(wide=True, checked=False, evaluates=("step_size_fn",))
def scale_by_schedule(step_size_fn: Callable[[Any], Any]) -> Any:
    """Multiplies the updates by a schedule.

    ``u = s(t) · g``

    Args:
      step_size_fn: A function of the step, such as a ``jopt.Schedule``.

    Returns:
      The transformation; its state is the step count.

    Example:
      >>> rule = jopt.scale_by_schedule(jopt.linear_schedule(1.0, 0.0, 10))
      >>> rule.update(jax.numpy.float32(2.0), rule.init(1.0))[0]
      Array(2., dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        (scaled,) = leafwise(_scaled, {"updates": updates}, step_size_fn=step_size_fn(state.count))
        return scaled, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return _zero_count, update


def _scaled(g: Any, step_size_fn: Any) -> Any:
    return (step_size_fn * g,)


def _empty(params: Any) -> optax.EmptyState:
    return optax.EmptyState()


def _zero_count(params: Any) -> optax.ScaleByScheduleState:
    return optax.ScaleByScheduleState(jnp.zeros([], jnp.int32))

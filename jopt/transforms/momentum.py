"""A decaying sum of the updates, and a decaying mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import one_minus_power
from jopt.values.numbers import Numeric


class DampenedTraceState(NamedTuple):
    """State of ``trace`` with ``dampening``."""

    count: Any  # int32, the number of updates so far
    trace: Any  # the sums, like the parameters


@transformation(wide=True, checked=False, domain={"decay": "[0, 1]", "dampening": "[0, 1]"})
def trace(decay: Numeric, nesterov: bool = False, accumulator_dtype: Any = None, *, dampening: Numeric | None = None) -> Any:
    """Accumulates the updates in a decaying sum.

    ``m' = decay · m + g``; ``u = m'``, or ``u = g + decay · m'`` with ``nesterov``. With ``dampening``,
    ``m' = decay · m + (1 − dampening) g`` but at the first step, where ``m' = g``.

    Args:
      decay: The factor of the old sum, in [0, 1].
      nesterov: Whether to look one step ahead.
      accumulator_dtype: The type of the sum; by default the parameter's own, at least float32.
      dampening: How much less than its whole a gradient adds, in [0, 1]; as much as ``decay`` makes a mean of the sum.

    Returns:
      The transformation; its state is ``optax.TraceState(trace)``, with ``dampening`` ``DampenedTraceState(count, trace)``.

    Differs from:
      Optax keeps the sum in the type of a bfloat16 or float16 parameter, and has no dampening, which is PyTorch's.

    Reference:
      Sutskever et al., 2013, "On the importance of initialization and momentum in deep learning".

    Example:
      >>> rule = jopt.trace(0.9)
      >>> rule.update(jax.numpy.float32(1.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(1., dtype=float32)
    """

    def init(params: Any) -> Any:
        m = zeros_like(params, accumulator_dtype)
        return optax.TraceState(m) if dampening is None else DampenedTraceState(jnp.zeros([], jnp.int32), m)

    def rule(g: Any, m: Any, decay: Any) -> Any:
        m = g + decay * m
        return (g + decay * m if nesterov else m), m

    def dampened(g: Any, m: Any, decay: Any, dampening: Any, t: Any) -> Any:
        m = jnp.where(t > 1, 1.0 - dampening, 1.0) * g + decay * m
        return (g + decay * m if nesterov else m), m

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, "state.trace": state.trace}
        if dampening is None:
            updates, m = leafwise(rule, trees, decay=decay)
            return updates, optax.TraceState(m)
        count = optax.safe_increment(state.count)
        updates, m = leafwise(dampened, trees, decay=decay, dampening=dampening, t=count)
        return updates, DampenedTraceState(count, m)

    return init, update


@transformation(wide=True, checked=False, domain={"decay": "[0, 1)"})
def ema(decay: Numeric, debias: bool = True, accumulator_dtype: Any = None, *, nesterov: bool = False) -> Any:
    """Averages the updates, the older ones with less weight.

    ``m' = decay · m + (1 − decay) g``; ``u = m' / (1 − decayᵗ)``, or ``u = m'`` without ``debias``. With ``nesterov``,
    ``u = decay · m' / (1 − decayᵗ⁺¹) + (1 − decay) g / (1 − decayᵗ)``, or without ``debias``
    ``u = decay · m' + (1 − decay) g``.

    Args:
      decay: The weight of the old average, in [0, 1).
      debias: Whether to divide by the sum of the weights so far.
      accumulator_dtype: The type of the average; by default the parameter's own, at least float32.
      nesterov: Whether to look one step ahead.

    Returns:
      The transformation; its state is ``optax.EmaState(count, ema)``.

    Differs from:
      Optax keeps the average in the type of a bfloat16 or float16 parameter, and has no ``nesterov``.

    Example:
      >>> rule = jopt.ema(0.75, debias=False)
      >>> rule.update(jax.numpy.float32(1.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(0.25, dtype=float32)
    """

    def init(params: Any) -> optax.EmaState:
        return optax.EmaState(jnp.zeros([], jnp.int32), zeros_like(params, accumulator_dtype))

    def once(decay: Any, t: Any) -> dict[str, Any]:
        now, later = (1.0 / one_minus_power(decay, s) if debias else 1.0 for s in (t, t + 1.0))
        of_m, of_g = (decay * later, (1.0 - decay) * now) if nesterov else (now, 0.0)
        return {"decay": decay, "of_m": of_m, "of_g": of_g}

    def rule(g: Any, m: Any, decay: Any, of_m: Any, of_g: Any) -> Any:
        m = decay * m + (1.0 - decay) * g
        return (of_m * m + of_g * g if nesterov else of_m * m), m

    def update(updates: Any, state: optax.EmaState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        updates, m = leafwise(rule, {"updates": updates, "state.ema": state.ema}, once=once, decay=decay, t=count)
        return updates, optax.EmaState(count, m)

    return init, update

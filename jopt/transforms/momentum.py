"""A decaying sum of the updates."""

from __future__ import annotations

from typing import Any

import optax

from jopt.transformation import transformation
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.numbers import Numeric


@transformation(wide=True, checked=False, domain={"decay": "[0, 1]"})
def trace(decay: Numeric, nesterov: bool = False, accumulator_dtype: Any = None) -> Any:
    """Accumulates the updates in a decaying sum.

    ``m' = decay · m + g``; ``u = m'``, or ``u = g + decay · m'`` with ``nesterov``.

    Args:
      decay: The factor of the old sum, in [0, 1].
      nesterov: Whether to look one step ahead.
      accumulator_dtype: The type of the sum; by default the parameter's own, at least float32.

    Returns:
      The transformation; its state is ``optax.TraceState(trace)``.

    Differs from:
      Optax keeps the sum in the type of a bfloat16 or float16 parameter.

    Reference:
      Sutskever et al., 2013, "On the importance of initialization and momentum in deep learning".

    Example:
      >>> rule = jopt.trace(0.9)
      >>> rule.update(jax.numpy.float32(1.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(1., dtype=float32)
    """

    def init(params: Any) -> optax.TraceState:
        return optax.TraceState(zeros_like(params, accumulator_dtype))

    def rule(g: Any, m: Any, decay: Any) -> Any:
        m = g + decay * m
        return (g + decay * m if nesterov else m), m

    def update(updates: Any, state: optax.TraceState, params: Any = None, **extra_args: Any) -> Any:
        updates, m = leafwise(rule, {"updates": updates, "state.trace": state.trace}, decay=decay)
        return updates, optax.TraceState(m)

    return init, update

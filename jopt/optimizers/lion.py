"""Lion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "smooth_beta": "(0, inf)"}
_ALIAS_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}
_MODES: dict[str, Callable[[Any, Any], Any]] = {
    "hard": lambda c, smooth_beta: jnp.sign(c),
    "smooth": lambda c, smooth_beta: jnp.tanh(smooth_beta * c),
    "refined": lambda c, smooth_beta: jnp.where(jnp.abs(c) < 1.0, c, jnp.sign(c)),
}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_lion(
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: Any = None,
    *,
    mode: str = "hard",
    smooth_beta: Numeric = 1.0,
) -> Any:
    """Replaces the updates by the signs of their mean, in which the newest has more weight than in the one that is kept.

    ``c = β₁ m + (1 − β₁) g``; ``m' = β₂ m + (1 − β₂) g``; ``u = sign(c)``, or ``u = tanh(s c)`` ("smooth"), or c itself where
    |c| < 1 and sign(c) elsewhere ("refined").

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      mode: "hard", "smooth" or "refined".
      smooth_beta: s, above 0; of use in the mode "smooth" only.

    Returns:
      The transformation; its state is ``optax.ScaleByLionState(count, mu)``.

    Raises:
      ValueError: For another mode, and for a number out of its range.

    Differs from:
      Optax keeps ``mu`` in the type of a bfloat16 parameter.

    Reference:
      Chen et al., 2023, arXiv:2302.06675.

    Example:
      >>> rule = jopt.scale_by_lion()
      >>> rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(-1., dtype=float32)
    """
    if mode not in _MODES:
        raise ValueError(f"scale_by_lion: mode must be one of {[*_MODES]}, but got {mode!r}.")
    direction = _MODES[mode]

    def init(params: Any) -> optax.ScaleByLionState:
        return optax.ScaleByLionState(jnp.zeros([], jnp.int32), zeros_like(params, mu_dtype))

    def rule(g: Any, m: Any, b1: Any, b2: Any, smooth_beta: Any) -> Any:
        c = b1 * m + (1.0 - b1) * g
        m = b2 * m + (1.0 - b2) * g
        return direction(c, smooth_beta), m

    def update(updates: Any, state: optax.ScaleByLionState, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, "state.mu": state.mu}
        updates, mu = leafwise(rule, trees, b1=b1, b2=b2, smooth_beta=smooth_beta)
        return updates, optax.ScaleByLionState(optax.safe_increment(state.count), mu)

    return init, update


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def lion(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """Lion: steps of one length in every element, along the sign of a mean gradient.

    ``c = β₁ m + (1 − β₁) g``; ``m' = β₂ m + (1 − β₂) g``; ``w' = w − α (sign(c) + λ w)``, or ``w − α sign(c) − λ w`` with
    ``decoupled``. An element with c = 0 is left alone.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch. A
        third to a tenth of Adam's, with a decay that is as many times larger.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer, with the state of ``optax.lion``; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The defaults of λ: the paper's code and Keras have none, Optax 1e-3 as here. PyTorch has no Lion.

    Use when:
      Memory for one moment only, and large batches; take a third to a tenth of Adam's rate.

    Reference:
      Chen et al., 2023, arXiv:2302.06675.

    Example:
      >>> opt = jopt.lion(0.1)
      >>> w = jax.numpy.float32(0.0)
      >>> opt.update(jax.numpy.float32(5.0), opt.init(w), w)[0]
      Array(-0.1, dtype=float32)
    """
    direction = scale_by_lion(b1, b2, mu_dtype)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

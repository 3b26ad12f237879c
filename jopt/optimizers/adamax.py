"""AdaMax and AdaMaxW: Adam with the largest gradient in place of the root of the mean square."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms import chain, scale_by_learning_rate
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import nonzero, one_minus_power
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_adamax(b1: Numeric = 0.9, b2: Numeric = 0.999, eps: Numeric = 1e-8) -> Any:
    """Divides the mean of the updates by the largest of them, which fades.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = max(β₂ v, |g| + ε)``; ``u = m' / (1 − β₁ᵗ) / v'``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.

    Returns:
      The transformation; its state is ``optax.ScaleByAdamState(count, mu, nu)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The paper has no ε. Keras adds it to v' in u instead, which is the same up to ε / v'.

    Reference:
      Kingma and Ba, 2014, arXiv:1412.6980, section 7.1.

    Example:
      >>> rule = jopt.scale_by_adamax(eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -1.0
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), zeros_like(params), zeros_like(params, real=True))

    def once(b1: Any, b2: Any, eps: Any, t: Any) -> dict[str, Any]:
        return {"b1": b1, "b2": b2, "eps": eps, "of_m": 1.0 / one_minus_power(b1, t)}

    def rule(g: Any, m: Any, v: Any, b1: Any, b2: Any, eps: Any, of_m: Any) -> Any:
        m = b1 * m + (1.0 - b1) * g
        v = jnp.maximum(b2 * v, jnp.abs(g) + eps)
        return of_m * m / nonzero(v), m, v

    def update(updates: Any, state: optax.ScaleByAdamState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        updates, mu, nu = leafwise(rule, trees, once=once, b1=b1, b2=b2, eps=eps, t=count)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return init, update


@transformation(wide=True, evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def adamax(learning_rate: ScalarOrSchedule, b1: Numeric = 0.9, b2: Numeric = 0.999, eps: Numeric = 1e-8) -> Any:
    """AdaMax: the mean gradient over the largest gradient, which fades.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = max(β₂ v, |g| + ε)``; ``w' = w − α m' / (1 − β₁ᵗ) / v'``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.

    Returns:
      The optimizer; its state is that of ``optax.adamax``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The paper has no ε. PyTorch's and Optax's rule is this one; Keras adds its ε to v' in the step instead.

    Use when:
      Gradients have rare large values that spoil a mean of squares: it divides by their maximum.

    Reference:
      Kingma and Ba, 2014, arXiv:1412.6980, section 7.1.

    Example:
      >>> opt = jopt.adamax(2e-3)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.002
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def adamaxw(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """AdaMax with weight decay beside the gradient.

    ``w' = w − α (a + λ w)``, or ``w' = w − α a − λ w`` with ``decoupled``, where a is AdaMax's ``m' / (1 − β₁ᵗ) / v'``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate; in a sweep over α the decay then stays the same.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax multiplies λ by the rate, as here by default. PyTorch's ``Adamax(weight_decay=)`` adds λ w to the gradient: that
      is ``jopt.chain(jopt.add_decayed_weights(0.1), jopt.adamax(2e-3))``.

    Use when:
      As adamax, with weight decay beside the gradient.

    Reference:
      Kingma and Ba, 2014, arXiv:1412.6980; Loshchilov and Hutter, 2017, arXiv:1711.05101.

    Example:
      >>> opt = jopt.adamaxw(0.1, weight_decay=0.5)
      >>> w = jax.numpy.float32(2.0)
      >>> round(float(opt.update(jax.numpy.float32(0.0), opt.init(w), w)[0]), 6)
      -0.1
    """
    rule = scale_by_adamax(b1, b2, eps)
    return descent(rule, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

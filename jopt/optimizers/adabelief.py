"""AdaBelief."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)", "eps_root": "[0, inf)"}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_belief(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    *,
    nesterov: bool = False,
) -> Any:
    """Divides the mean of the updates by the root of their mean squared distance from it.

    ``m' = β₁ m + (1 − β₁) g``; ``s' = β₂ s + (1 − β₂) (g − m')² + ε_root``; ``m̂ = m' / (1 − β₁ᵗ)``;
    ``ŝ = s' / (1 − β₂ᵗ)``; ``u = m̂ / (√ŝ + ε)``. With ``nesterov``,
    ``m̂ = β₁ m' / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0. With both ε at 0, an element whose distance is 0 gets u = m̂.
      eps_root: ε_root, at least 0. It is added to s at every step, so that for steady gradients it grows to
        ε_root / (1 − β₂).
      nesterov: Whether to look one step ahead.

    Returns:
      The transformation; its state is ``optax.ScaleByBeliefState(count, mu, nu)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax keeps both moments in the type of a bfloat16 parameter, and takes 1 − βᵗ by subtraction.

    Reference:
      Zhuang et al., 2020, arXiv:2010.07468.

    Example:
      >>> rule = jopt.scale_by_belief(b1=0.5, eps=0.0, eps_root=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -2.0
    """

    def init(params: Any) -> optax.ScaleByBeliefState:
        return optax.ScaleByBeliefState(jnp.zeros([], jnp.int32), zeros_like(params), zeros_like(params, real=True))

    def once(b1: Any, b2: Any, eps: Any, eps_root: Any, t: Any) -> dict[str, Any]:
        c1, c2 = one_minus_power(b1, t), one_minus_power(b2, t)
        of_m, of_g = 1.0 / c1, 0.0
        if nesterov:
            of_m, of_g = b1 / one_minus_power(b1, t + 1.0), (1.0 - b1) / c1
        return {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "of_m": of_m, "of_g": of_g, "of_s": 1.0 / c2}

    def rule(g: Any, m: Any, s: Any, b1: Any, b2: Any, eps: Any, eps_root: Any, of_m: Any, of_g: Any, of_s: Any) -> Any:
        m = b1 * m + (1.0 - b1) * g
        s = b2 * s + (1.0 - b2) * abs_sq(g - m) + eps_root
        m_hat = of_m * m + of_g * g if nesterov else of_m * m
        return m_hat / nonzero(root(of_s * s) + eps), m, s

    def update(updates: Any, state: optax.ScaleByBeliefState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        updates, mu, nu = leafwise(rule, trees, once=once, b1=b1, b2=b2, eps=eps, eps_root=eps_root, t=count)
        return updates, optax.ScaleByBeliefState(count, mu, nu)

    return init, update


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    *,
    nesterov: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
    decoupled: bool = False,
) -> Any:
    """AdaBelief: long steps where the gradient is as its mean foretold.

    ``m' = β₁ m + (1 − β₁) g``; ``s' = β₂ s + (1 − β₂) (g − m')² + ε_root``; ``m̂ = m' / (1 − β₁ᵗ)``;
    ``ŝ = s' / (1 − β₂ᵗ)``; ``w' = w − α (m̂ / (√ŝ + ε) + λ w)``, or ``w − α m̂ / (√ŝ + ε) − λ w`` with ``decoupled``. With
    ``nesterov``, ``m̂ = β₁ m' / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0.
      eps_root: ε_root, at least 0; what it sums up to stands at ``scale_by_belief``.
      nesterov: Whether to look one step ahead.
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer; without a weight decay its state is that of ``optax.adabelief``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has no weight decay here. The paper's ε = 1e-8 stands in the root and outside; the authors' later code has
      Optax's and these 1e-16.

    Use when:
      As Adam, with longer steps where gradients are as predicted; eps then matters, so tune it.

    Reference:
      Zhuang et al., 2020, arXiv:2010.07468.

    Example:
      >>> opt = jopt.adabelief(0.1)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.111111
    """
    direction = scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

"""Adan."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {
    "b1": "[0, 1)",
    "b2": "[0, 1)",
    "b3": "[0, 1)",
    "eps": "[0, inf)",
    "eps_root": "[0, inf)",
    "look_ahead": "(-inf, inf)",
}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_adan(
    b1: Numeric = 0.98,
    b2: Numeric = 0.92,
    b3: Numeric = 0.99,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    *,
    look_ahead: Numeric | None = None,
) -> Any:
    """Adam's rule with a Nesterov momentum that is estimated from the differences of the updates.

    ``d = g − g₋`` (0 at first); ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) d``; ``n' = β₃ n + (1 − β₃) (g + γ d)²``;
    with ``m̂ = m' / (1 − β₁ᵗ)`` and so on, ``u = (m̂ + γ v̂) / (√(n̂ + ε_root) + ε)``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      b3: β₃ in [0, 1).
      eps: ε, at least 0. With both ε at 0, an element whose gradients were all 0 is left alone.
      eps_root: ε_root, at least 0.
      look_ahead: γ, a finite number; by default β₂, as in the paper, which writes 1 − β₂ for it.

    Returns:
      The transformation; its state is ``optax.ScaleByAdanState(m, v, n, g, t)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has γ = 1 − β₂, although its β are the paper's 1 − β: ``look_ahead=1 - b2`` is its rule.

    Reference:
      Xie et al., 2022, arXiv:2208.06677.

    Example:
      >>> rule = jopt.scale_by_adan(eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -1.0
    """
    gamma = b2 if look_ahead is None else look_ahead

    def init(params: Any) -> optax.ScaleByAdanState:
        m, v, g = (zeros_like(params) for _ in range(3))
        return optax.ScaleByAdanState(m, v, zeros_like(params, real=True), g, jnp.zeros([], jnp.int32))

    def once(b1: Any, b2: Any, b3: Any, eps: Any, eps_root: Any, gamma: Any, t: Any) -> dict[str, Any]:
        given = {"b1": b1, "b2": b2, "b3": b3, "eps": eps, "eps_root": eps_root, "gamma": gamma}
        of = {f"of_{x}": 1.0 / one_minus_power(b, t) for x, b in (("m", b1), ("v", b2), ("n", b3))}
        return {**given, **of, "later": jnp.where(t > 1.0, jnp.ones_like(t), 0.0)}

    def rule(g: Any, m: Any, v: Any, n: Any, before: Any, *, b1: Any, b2: Any, b3: Any, gamma: Any, **x: Any) -> Any:
        d = x["later"] * (g - before)
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * d
        n = b3 * n + (1.0 - b3) * abs_sq(g + gamma * d)
        u = (x["of_m"] * m + gamma * x["of_v"] * v) / nonzero(root(x["of_n"] * n + x["eps_root"]) + x["eps"])
        return u, m, v, n, jnp.copy(g)  # a copy, so that the state may be donated along with the gradients

    def update(updates: Any, state: optax.ScaleByAdanState, params: Any = None, **extra_args: Any) -> Any:
        t = optax.safe_increment(state.t)
        trees = {"updates": updates, "state.m": state.m, "state.v": state.v, "state.n": state.n, "state.g": state.g}
        numbers: dict[str, Any] = {"b1": b1, "b2": b2, "b3": b3, "eps": eps, "eps_root": eps_root, "gamma": gamma, "t": t}
        updates, m, v, n, g = leafwise(rule, trees, once=once, **numbers)
        return updates, optax.ScaleByAdanState(m, v, n, g, t)

    return init, update


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def adan(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.98,
    b2: Numeric = 0.92,
    b3: Numeric = 0.99,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    *,
    look_ahead: Numeric | None = None,
    decoupled: bool = False,
) -> Any:
    """Adan: Adam with a Nesterov momentum that is estimated from the differences of the gradients.

    ``d = g − g₋`` (0 at first); ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) d``; ``n' = β₃ n + (1 − β₃) (g + γ d)²``;
    with ``m̂ = m' / (1 − β₁ᵗ)`` and so on, ``a = (m̂ + γ v̂) / (√(n̂ + ε_root) + ε)``; ``w' = w − α (a + λ w)``, or
    ``w − α a − λ w`` with ``decoupled``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      b3: β₃ in [0, 1).
      eps: ε, at least 0.
      eps_root: ε_root, at least 0.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      look_ahead: γ, a finite number; by default β₂, as in the paper, which writes 1 − β₂ for it.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer, with the state of ``optax.adan``; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has γ = 1 − β₂, although its β are the paper's 1 − β: ``look_ahead=1 - b2`` is its rule. The authors' code has no
      ε_root and shrinks w' by 1 / (1 + α λ) in place of w − α λ w, unless its ``no_prox`` is set, which is the decay here.

    Use when:
      You can afford three moments per weight for fewer steps, as in vision transformers.

    Reference:
      Xie et al., 2022, arXiv:2208.06677.

    Example:
      >>> opt = jopt.adan(0.1, eps_root=0.0)
      >>> w = jax.numpy.float32(0.0)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(w), w)[0]), 6)
      -0.1
    """
    direction = scale_by_adan(b1, b2, b3, eps, eps_root, look_ahead=look_ahead)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

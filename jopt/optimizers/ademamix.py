"""AdEMAMix: Adam with a second, slow mean."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {
    "b1": "[0, 1)",
    "b2": "[0, 1)",
    "b3": "[0, 1)",
    "alpha": "[0, inf)",
    "eps": "[0, inf)",
    "eps_root": "[0, inf)",
    "warmup_steps": "[1, inf)",
}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@transformation(wide=True, schedules=("b3", "alpha"), domain=_DOMAIN)
def scale_by_ademamix(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    warmup_steps: Numeric | None = None,
) -> Any:
    """Divides the sum of a fast and a slow mean of the updates by the root of their mean square.

    ``m₁' = β₁ m₁ + (1 − β₁) g``; ``m₂' = β₃ m₂ + (1 − β₃) g``; ``v' = β₂ v + (1 − β₂) g²``;
    ``u = (m₁' / (1 − β₁ᵗ) + a m₂') / (√(v' / (1 − β₂ᵗ) + ε_root) + ε)``. With ``warmup_steps``, at update t < T,
    ``a t / T`` stands in place of a, and in place of β₃ the b with ``1 / log b = (1 − t / T) / log β₁ + (t / T) / log β₃``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      b3: β₃ in [0, 1): a number or a schedule (any function of the step).
      alpha: a, the weight of the slow mean, at least 0: a number or a schedule (any function of the step).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of both means; by default the parameter's own, at least float32.
      warmup_steps: T, at least 1: over how many updates a and the memory of the slow mean grow; in the paper all of the run. By
        default both are there at once.

    Returns:
      The transformation; its state is ``optax.contrib.ScaleByAdemamixState(count, count_m2, m1, m2, nu)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has no warm-up but schedules of one's own, a default of a = 6, and gives ``mu_dtype`` to the mean squares too.

    Reference:
      Pagliardini, Ablin and Grangier, 2024, arXiv:2409.03137.

    Example:
      >>> rule = jopt.scale_by_ademamix(b3=0.5, alpha=1.0, eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -1.5
    """

    def init(params: Any) -> Any:
        count, count_m2 = (jnp.zeros([], jnp.int32) for _ in range(2))
        m1, m2 = (zeros_like(params, mu_dtype) for _ in range(2))
        return optax.contrib.ScaleByAdemamixState(count, count_m2, m1, m2, zeros_like(params, real=True))

    def once(b1: Any, b2: Any, b3: Any, alpha: Any, eps: Any, eps_root: Any, t: Any, **steps: Any) -> dict[str, Any]:
        new, weight = 1.0 - b3, alpha
        if steps:
            grown = jnp.minimum(t / steps["warmup_steps"], 1.0)
            new, weight = _one_minus_between(b1, b3, grown), grown * alpha
        of_m, of_v = 1.0 / one_minus_power(b1, t), 1.0 / one_minus_power(b2, t)
        moments = {"b1": b1, "b2": b2, "new": new, "weight": weight, "of_m": of_m, "of_v": of_v}
        return {**moments, "eps": eps, "eps_root": eps_root}

    def rule(g: Any, m1: Any, m2: Any, v: Any, *, b1: Any, b2: Any, new: Any, weight: Any, **x: Any) -> Any:
        m1 = b1 * m1 + (1.0 - b1) * g
        m2 = m2 + new * (g - m2)  # so that what is forgotten is what is added, however the factors are rounded
        v = b2 * v + (1.0 - b2) * abs_sq(g)
        return (x["of_m"] * m1 + weight * m2) / nonzero(root(x["of_v"] * v + x["eps_root"]) + x["eps"]), m1, m2, v

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.m1": state.m1, "state.m2": state.m2, "state.nu": state.nu}
        numbers: dict[str, Any] = {"b1": b1, "b2": b2, "b3": b3, "alpha": alpha, "eps": eps, "eps_root": eps_root, "t": count}
        steps: dict[str, Any] = {} if warmup_steps is None else {"warmup_steps": warmup_steps}
        updates, m1, m2, nu = leafwise(rule, trees, once=once, **numbers, **steps)
        return updates, optax.contrib.ScaleByAdemamixState(count, jnp.copy(count), m1, m2, nu)

    return init, update


def _one_minus_between(b1: jax.Array, b3: jax.Array, grown: jax.Array) -> jax.Array:
    """``1 − b`` for the decay rate b whose memory, ``−1 / log b``, is between those of two others."""
    memory = (1.0 - grown) * _memory(b1) + grown * _memory(b3)
    return jnp.where(memory > 0, -jnp.expm1(-1.0 / jnp.where(memory > 0, memory, 1.0)), 1.0)


def _memory(b: jax.Array) -> jax.Array:
    """``−1 / log b``, which is 0 for b = 0."""
    positive = jnp.where(b > 0, b, 0.5)
    return jnp.where(b > 0, -1.0 / jnp.log1p(-(1.0 - positive)), 0.0)


@transformation(wide=True, schedules=("b3", "alpha", "weight_decay"), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    *,
    warmup_steps: Numeric | None = None,
    decoupled: bool = False,
) -> Any:
    """AdEMAMix: Adam with a second mean that remembers thousands of gradients.

    ``m₁' = β₁ m₁ + (1 − β₁) g``; ``m₂' = β₃ m₂ + (1 − β₃) g``; ``v' = β₂ v + (1 − β₂) g²``;
    ``d = (m₁' / (1 − β₁ᵗ) + a m₂') / (√(v' / (1 − β₂ᵗ) + ε_root) + ε)``; ``w' = w − α (d + λ w)``, or ``w − α d − λ w`` with
    ``decoupled``. ``warmup_steps`` lets a and β₃ grow (``scale_by_ademamix``).

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      b3: β₃ in [0, 1): a number or a schedule (any function of the step). In runs much shorter than
        1 / (1 − β₃) steps the slow mean hardly counts.
      alpha: a, the weight of the slow mean, at least 0: a number or a schedule (any function of the step).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of both means; by default the parameter's own, at least float32.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      warmup_steps: T, at least 1: over how many updates a and the memory of the slow mean grow; in the paper all of the run. By
        default both are there at once.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has no warm-up but schedules of one's own, and gives ``mu_dtype`` to the mean squares too. The paper's a is 8 for
      its larger models; PyTorch and Keras have no AdEMAMix.

    Use when:
      Long runs: old gradients go on helping. Give warmup_steps the length of the run.

    Reference:
      Pagliardini, Ablin and Grangier, 2024, arXiv:2409.03137.

    Example:
      >>> opt = jopt.ademamix(0.1, alpha=0.0)
      >>> w = jax.numpy.float32(0.0)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(w), w)[0]), 6)
      -0.1
    """
    direction = scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root, mu_dtype, warmup_steps=warmup_steps)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

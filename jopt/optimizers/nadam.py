"""NAdam and NAdamW: Adam that looks one step ahead, as Optax writes it and with Dozat's momentum that warms up."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jopt.optimizers.adam import scale_by_adam
from jopt.transformation import GradientTransformation, transformation
from jopt.transforms import chain, scale_by_learning_rate
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, one_number, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)", "eps_root": "[0, inf)", "momentum_decay": "[0, inf)"}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


class ScaleByNadamState(NamedTuple):
    """State of ``scale_by_nadam``."""

    count: Any  # int32, the number of updates so far
    mu: Any  # means, like the parameters
    nu: Any  # mean squares, like the parameters
    warmth: Any  # a scalar, the product of 1 − 0.96ˢᵠ / 2 over the updates so far; β₁ᵗ times it is ∏ μₛ


@transformation(wide=True, domain=_DOMAIN)
def scale_by_nadam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    momentum_decay: Numeric = 0.004,
) -> Any:
    """Divides a mean of the updates that looks one step ahead by the root of their mean square, as Dozat has it.

    ``μₜ = β₁ (1 − 0.96ᵗᵠ / 2)``; ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``;
    ``m̂ = μₜ₊₁ m' / (1 − ∏ₛ₌₁ᵗ⁺¹ μₛ) + (1 − μₜ) g / (1 − ∏ₛ₌₁ᵗ μₛ)``; ``u = m̂ / (√(v' / (1 − β₂ᵗ) + ε_root) + ε)``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      momentum_decay: φ, at least 0: how fast μ grows from β₁ / 2 to β₁. One number for the whole tree.

    Returns:
      The transformation; its state is ``ScaleByNadamState(count, mu, nu, warmth)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has no warm-up: that is ``scale_by_adam(nesterov=True)``. Keras has φ = 1.

    Reference:
      Dozat, 2016, "Incorporating Nesterov momentum into Adam".

    Example:
      >>> rule = jopt.scale_by_nadam(eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(2.0), rule.init(jax.numpy.float32(0.0)))[0]), 3)
      1.056
    """

    def grown(t: Any, decay: Any) -> Any:
        return 1.0 - 0.5 * jnp.exp(math.log(0.96) * decay * t)

    def init(params: Any) -> ScaleByNadamState:
        mu, nu = zeros_like(params, mu_dtype), zeros_like(params, real=True)
        return ScaleByNadamState(jnp.zeros([], jnp.int32), mu, nu, jnp.ones([], float))

    def once(b1: Any, b2: Any, eps: Any, eps_root: Any, decay: Any, warmth: Any, t: Any) -> dict[str, Any]:
        now, ahead = b1 * grown(t, decay), b1 * grown(t + 1.0, decay)
        product = (1.0 - one_minus_power(b1, t)) * warmth
        of_m, of_g = ahead / (1.0 - product * ahead), (1.0 - now) / (1.0 - product)
        return {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "of_m": of_m, "of_g": of_g, "c2": one_minus_power(b2, t)}

    def rule(g: Any, m: Any, v: Any, b1: Any, b2: Any, eps: Any, eps_root: Any, of_m: Any, of_g: Any, c2: Any) -> Any:
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * abs_sq(g)
        return (of_m * m + of_g * g) / nonzero(root(v * (1.0 / c2) + eps_root) + eps), m, v

    def update(updates: Any, state: ScaleByNadamState, params: Any = None, **extra_args: Any) -> Any:
        count, kind = optax.safe_increment(state.count), state.warmth.dtype
        decay = jnp.asarray(one_number("momentum_decay", momentum_decay)).astype(kind)
        warmth = state.warmth * grown(jnp.asarray(count).astype(kind), decay)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        numbers = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "decay": decay, "warmth": warmth, "t": count}
        updates, mu, nu = leafwise(rule, trees, once=once, **numbers)
        return updates, ScaleByNadamState(count, mu, nu, warmth)

    return init, update


def _rule(b1: Any, b2: Any, eps: Any, eps_root: Any, mu_dtype: Any, momentum_decay: Any) -> GradientTransformation:
    if momentum_decay is None:
        return scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=True)
    return scale_by_nadam(b1, b2, eps, eps_root, mu_dtype, momentum_decay=momentum_decay)


@transformation(wide=True, evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    momentum_decay: Numeric | None = None,
) -> Any:
    """NAdam: Adam whose momentum looks one step ahead.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``m̂ = β₁ m' / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)``;
    ``w' = w − α m̂ / (√(v' / (1 − β₂ᵗ) + ε_root) + ε)``. With ``momentum_decay``, β₁ in m̂ is ``μₜ = β₁ (1 − 0.96ᵗᵠ / 2)``
    (``scale_by_nadam``).

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      momentum_decay: φ, at least 0: Dozat's warm-up of the momentum, 0.004 in the paper; none by default.

    Returns:
      The optimizer; its state is that of ``optax.nadam``, with ``momentum_decay`` that of ``scale_by_nadam``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Three rules have this name. Optax's is the default here. PyTorch's is Dozat's, ``momentum_decay=0.004``. Keras takes
      0.96ᵗ, ``momentum_decay=1.0``, and ε = 1e-7.

    Use when:
      As Adam, looking one step ahead: often a little faster at the start.

    Reference:
      Dozat, 2016, "Incorporating Nesterov momentum into Adam".

    Example:
      >>> opt = jopt.nadam(1e-3)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.001474
    """
    return chain(_rule(b1, b2, eps, eps_root, mu_dtype, momentum_decay), scale_by_learning_rate(learning_rate))


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
    *,
    decoupled: bool = False,
    momentum_decay: Numeric | None = None,
) -> Any:
    """NAdam with weight decay beside the gradient, the baseline of the AlgoPerf benchmark.

    ``w' = w − α (a + λ w)``, or ``w' = w − α a − λ w`` with ``decoupled``, where a is NAdam's
    ``m̂ / (√(v' / (1 − β₂ᵗ) + ε_root) + ε)``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate; in a sweep over α the decay then stays the same.
      momentum_decay: φ, at least 0: Dozat's warm-up of the momentum, 0.004 in the paper; none by default.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      PyTorch's is ``NAdam(decoupled_weight_decay=True)``, with Dozat's warm-up (``momentum_decay=0.004``) and no decay by
      default. Optax multiplies λ by the rate, as here by default.

    Use when:
      You want the strongest plain baseline: AlgoPerf compares everything else with it.

    Reference:
      Dozat, 2016; Loshchilov and Hutter, 2017, arXiv:1711.05101; Dahl et al., 2023, arXiv:2306.07179.

    Example:
      >>> opt = jopt.nadamw(0.1, weight_decay=0.5)
      >>> w = jax.numpy.float32(2.0)
      >>> round(float(opt.update(jax.numpy.float32(0.0), opt.init(w), w)[0]), 6)
      -0.1
    """
    return descent(
        _rule(b1, b2, eps, eps_root, mu_dtype, momentum_decay),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        decoupled=decoupled,
    )

"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms import chain, scale_by_learning_rate
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)", "eps_root": "[0, inf)"}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_adam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> Any:
    """Divides the mean of the updates by the root of their mean square.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``m̂ = m' / (1 − β₁ᵗ)``; ``v̂ = v' / (1 − β₂ᵗ)``;
    ``u = m̂ / (√(v̂ + ε_root) + ε)``. With ``nesterov``, ``m̂ = β₁ m' / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0. With both ε at 0, an element whose gradients were all 0 is left alone. Not every machine holds
        (1 − β₂) g² under 1.2e-38 in float32; where it does not, gradients under 1.1e-19 / √(1 − β₂) give u = m̂.
      eps_root: ε_root, at least 0. Not needed for derivatives with respect to the hyperparameters: the root's derivative
        at 0 is 0 here.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      nesterov: Whether to look one step ahead.

    Returns:
      The transformation; its state is ``optax.ScaleByAdamState(count, mu, nu)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax keeps ``nu`` in the type of a bfloat16 parameter, where β₂ v + (1 − β₂) g² never falls, and takes 1 − β₂ᵗ by
      subtraction, which is off by 8e-5 at the first step for β₂ = 0.9999. A real ``mu_dtype`` drops the imaginary part of a
      complex mean there; here the mean is complex of that width.

    Reference:
      Kingma and Ba, 2014, arXiv:1412.6980; Dozat, 2016 (nesterov).

    Example:
      >>> rule = jopt.scale_by_adam(eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -1.0
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), zeros_like(params, mu_dtype), zeros_like(params, real=True))

    def once(b1: Any, b2: Any, eps: Any, eps_root: Any, t: Any) -> dict[str, Any]:
        c1, c2 = one_minus_power(b1, t), one_minus_power(b2, t)
        of_m, of_g = 1.0 / c1, 0.0
        if nesterov:
            of_m, of_g = b1 / one_minus_power(b1, t + 1.0), (1.0 - b1) / c1
        return {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "of_m": of_m, "of_g": of_g, "of_v": 1.0 / c2}

    def rule(g: Any, m: Any, v: Any, b1: Any, b2: Any, eps: Any, eps_root: Any, of_m: Any, of_g: Any, of_v: Any) -> Any:
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * abs_sq(g)
        m_hat = of_m * m + of_g * g if nesterov else of_m * m
        return m_hat / nonzero(root(of_v * v + eps_root) + eps), m, v

    def update(updates: Any, state: optax.ScaleByAdamState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        updates, mu, nu = leafwise(rule, trees, once=once, b1=b1, b2=b2, eps=eps, eps_root=eps_root, t=count)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return init, update


@transformation(wide=True, evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def adam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> Any:
    """Adam: the mean gradient over the root of its mean square.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``m̂ = m' / (1 − β₁ᵗ)``; ``v̂ = v' / (1 − β₂ᵗ)``;
    ``w' = w − α m̂ / (√(v̂ + ε_root) + ε)``. With ``nesterov``, ``m̂ = β₁ m' / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      nesterov: Whether to look one step ahead.

    Returns:
      The optimizer; its state is that of ``optax.adam``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax: both moments of narrow parameters are float32 here, and 1 − βᵗ keeps all digits. Keras adds ε = 1e-7 to the
      uncorrected root, which weighs it up to 32 times more. PyTorch's rule is this one.

    Use when:
      The first try should work: it forgives a rate that is a few times off. For weight decay, adamw.

    Reference:
      Kingma and Ba, 2014, arXiv:1412.6980.

    Example:
      >>> opt = jopt.adam(1e-3)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.001
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
    decoupled: bool = False,
) -> Any:
    """Adam with weight decay beside the gradient.

    ``w' = w − α (a + λ w)``, or ``w' = w − α a − λ w`` with ``decoupled``, where a is Adam's
    ``m̂ / (√(v̂ + ε_root) + ε)``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      weight_decay: λ, at least 0: a number or a schedule. With ``decoupled``, give it a schedule to let the decay fall with
        the rate.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      nesterov: Whether to look one step ahead.
      decoupled: Whether λ is not multiplied by the rate, as in the paper; in a sweep over α the decay then stays the same.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax, PyTorch and Keras all multiply λ by the rate, and their defaults of λ are 1e-4, 1e-2 and 4e-3. PyTorch's 1e-2 at
      a rate of 1e-3 is ``decoupled=True, weight_decay=1e-5``.

    Use when:
      You train a transformer, or are in doubt: it is the baseline that the others are compared with.

    Reference:
      Loshchilov and Hutter, 2017, arXiv:1711.05101.

    Example:
      >>> opt = jopt.adamw(0.1, weight_decay=0.5)
      >>> w = jax.numpy.float32(2.0)
      >>> round(float(opt.update(jax.numpy.float32(0.0), opt.init(w), w)[0]), 6)
      -0.1
    """
    return descent(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        decoupled=decoupled,
    )

"""AMSGrad: Adam whose second moment never falls."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms import chain, scale_by_learning_rate
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)", "eps_root": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_amsgrad(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    max_before_correction: bool = False,
) -> Any:
    """Divides the mean of the updates by the root of the largest mean square so far.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``V' = max(V, v' / (1 − β₂ᵗ))``;
    ``u = m' / (1 − β₁ᵗ) / (√(V' + ε_root) + ε)``. With ``max_before_correction``, ``V' = max(V, v')``, and
    ``V' / (1 − β₂ᵗ)`` stands in place of V' in u.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      bias_correction_mu: Whether to divide m' by 1 − β₁ᵗ.
      bias_correction_nu: Whether to divide by 1 − β₂ᵗ at all.
      max_before_correction: Whether the maximum is that of v' as it is, as in PyTorch and Keras.

    Returns:
      The transformation; its state is ``optax.ScaleByAmsgradState(count, mu, nu, nu_max)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax keeps ``nu`` and ``nu_max`` in the type of a bfloat16 parameter, and takes 1 − β₂ᵗ by subtraction.

    Reference:
      Reddi, Kale and Kumar, 2018, arXiv:1904.09237.

    Example:
      >>> rule = jopt.scale_by_amsgrad(eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -1.0
    """

    def init(params: Any) -> optax.ScaleByAmsgradState:
        mu, nu, nu_max = zeros_like(params, mu_dtype), zeros_like(params, real=True), zeros_like(params, real=True)
        return optax.ScaleByAmsgradState(jnp.zeros([], jnp.int32), mu, nu, nu_max)

    def once(b1: Any, b2: Any, eps: Any, eps_root: Any, t: Any) -> dict[str, Any]:
        of_m = 1.0 / one_minus_power(b1, t) if bias_correction_mu else 1.0
        of_v = 1.0 / one_minus_power(b2, t) if bias_correction_nu else 1.0
        return {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "of_m": of_m, "of_v": of_v}

    def rule(g: Any, m: Any, v: Any, most: Any, b1: Any, b2: Any, eps: Any, eps_root: Any, of_m: Any, of_v: Any) -> Any:
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * abs_sq(g)
        most = jnp.maximum(most, v if max_before_correction else of_v * v)
        v_hat = of_v * most if max_before_correction else most
        return of_m * m / nonzero(root(v_hat + eps_root) + eps), m, v, most

    def update(updates: Any, state: optax.ScaleByAmsgradState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu, "state.nu_max": state.nu_max}
        updates, mu, nu, most = leafwise(rule, trees, once=once, b1=b1, b2=b2, eps=eps, eps_root=eps_root, t=count)
        return updates, optax.ScaleByAmsgradState(count, mu, nu, most)

    return init, update


@transformation(wide=True, evaluates=("learning_rate",), domain={**_DOMAIN, "learning_rate": "[0, inf)"})
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    max_before_correction: bool = False,
) -> Any:
    """AMSGrad: the mean gradient over the root of its largest mean square so far.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``V' = max(V, v' / (1 − β₂ᵗ))``;
    ``w' = w − α m' / (1 − β₁ᵗ) / (√(V' + ε_root) + ε)``. With ``max_before_correction``, ``V' = max(V, v')``, and
    ``V' / (1 − β₂ᵗ)`` stands in place of V' in w'.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      mu_dtype: The type of m; by default the parameter's own, at least float32.
      bias_correction_mu: Whether to divide m' by 1 − β₁ᵗ.
      bias_correction_nu: Whether to divide by 1 − β₂ᵗ at all.
      max_before_correction: Whether the maximum is that of v' as it is, as in PyTorch and Keras.

    Returns:
      The optimizer; its state is that of ``optax.amsgrad``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The paper has no bias correction (both switches off) and projects on a bounded set. PyTorch's ``Adam(amsgrad=True)`` is
      ``max_before_correction=True``; Optax's is the default here. Keras is as PyTorch, but adds ε = 1e-7 to the uncorrected
      root.

    Use when:
      Adam does not settle, since rare large gradients are forgotten too soon: its divisor never falls.

    Reference:
      Reddi, Kale and Kumar, 2018, arXiv:1904.09237.

    Example:
      >>> opt = jopt.amsgrad(1e-3)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.001
    """
    rule = scale_by_amsgrad(
        b1,
        b2,
        eps,
        eps_root,
        mu_dtype,
        bias_correction_mu,
        bias_correction_nu,
        max_before_correction=max_before_correction,
    )
    return chain(rule, scale_by_learning_rate(learning_rate))

"""RAdam: Adam that waits until the root of the mean square can be trusted."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms import chain, scale_by_learning_rate
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)", "eps_root": "[0, inf)", "threshold": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_radam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    threshold: Numeric = 5.0,
    *,
    nesterov: bool = False,
) -> Any:
    """Divides the mean of the updates by the root of their mean square, once that is the mean of enough of them.

    ``m̂`` and ``v̂`` are Adam's (``scale_by_adam``), ``ρ∞ = 2 / (1 − β₂) − 1`` and ``ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)``, the number
    of squares in the mean. ``u = m̂`` where ρ is under the threshold, else ``u = r m̂ / (√(v̂ + ε_root) + ε)`` with
    ``r = √((ρ − 4) (ρ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρ))``.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      threshold: The least ρ, above 4, at which the root is used: for β₂ = 0.999 at the sixth step.
      nesterov: Whether to look one step ahead.

    Returns:
      The transformation; its state is ``optax.ScaleByAdamState(count, mu, nu)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The paper's text has a threshold of 4, its authors' code 5. Optax takes ρ as a difference of numbers near 2 / (1 − β₂), of
      which float32 leaves two digits; here ρ has all.

    Reference:
      Liu et al., 2019, arXiv:1908.03265.

    Example:
      >>> rule = jopt.scale_by_radam()
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -3.0
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), zeros_like(params), zeros_like(params, real=True))

    def once(b1: Any, b2: Any, eps: Any, eps_root: Any, threshold: Any, t: Any) -> dict[str, Any]:
        c1 = one_minus_power(b1, t)
        of_m, of_g = (b1 / one_minus_power(b1, t + 1.0), (1.0 - b1) / c1) if nesterov else (1.0 / c1, 0.0)
        known, r = _rectification(b2, t, threshold)
        of_v = 1.0 / one_minus_power(b2, t)
        moments = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
        return {**moments, "of_m": of_m, "of_g": of_g, "of_v": of_v, "known": known, "r": r}

    def rule(g: Any, m: Any, v: Any, of_m: Any, of_g: Any, of_v: Any, known: Any, r: Any, **moments: Any) -> Any:
        b1, b2, eps, eps_root = (moments[name] for name in ("b1", "b2", "eps", "eps_root"))
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * abs_sq(g)
        m_hat = of_m * m + of_g * g if nesterov else of_m * m
        return jnp.where(known, r * m_hat / nonzero(root(of_v * v + eps_root) + eps), m_hat), m, v

    def update(updates: Any, state: optax.ScaleByAdamState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        numbers: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "threshold": threshold, "t": count}
        updates, mu, nu = leafwise(rule, trees, once=once, **numbers)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return init, update


def _rectification(b2: jax.Array, t: jax.Array, threshold: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether ρ reaches the threshold, and r where it does.

    ``ρ = 1 + 2 (t f(λt) − f(λ))`` with ``λ = −log β₂`` and ``f(x) = 1/x − 1/(eˣ − 1)``: the poles of the two terms, which are
    near 2 / (1 − β₂) each, are taken out.
    """
    positive = jnp.where(b2 > 0, b2, 0.5)
    rate = -jnp.log1p(-(1.0 - positive))
    rho = jnp.where(b2 > 0, 1.0 + 2.0 * (t * _without_pole(rate * t) - _without_pole(rate)), 1.0)
    known = (rho >= threshold) & (rho > 4.0)
    end = jnp.where(known, 2.0 / (1.0 - b2) - 1.0, 8.0)  # where it is not used, any number with a root and a derivative
    rho = jnp.where(known, rho, 6.0)
    return known, jnp.sqrt((rho - 4.0) * (rho - 2.0) * end / ((end - 4.0) * (end - 2.0) * rho))


def _without_pole(x: jax.Array) -> jax.Array:
    """``1/x − 1/(eˣ − 1)`` for x > 0: near 0 its series, whose coefficients are Bernoulli's numbers over factorials."""
    small = x < 0.5
    s = jnp.where(small, x, 0.5)
    s2 = s * s
    tail = 1 / 30240 - s2 * (1 / 1209600 - s2 * (1 / 47900160 - s2 * (691 / 1307674368000)))
    series = 0.5 - s * (1 / 12 - s2 * (1 / 720 - s2 * tail))
    large = jnp.where(small, 1.0, x)
    return jnp.where(small, series, 1.0 / large - jnp.exp(-large) / -jnp.expm1(-large))


@transformation(wide=True, evaluates=("learning_rate",), domain={**_DOMAIN, "learning_rate": "[0, inf)"})
def radam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    threshold: Numeric = 5.0,
    *,
    nesterov: bool = False,
) -> Any:
    """RAdam: Adam whose first steps are those of momentum, and whose next ones are rectified.

    ``w' = w − α m̂`` while ``ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)`` is under the threshold, where ``ρ∞ = 2 / (1 − β₂) − 1``; then
    ``w' = w − α r m̂ / (√(v̂ + ε_root) + ε)`` with ``r = √((ρ − 4) (ρ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρ))``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_adam``.
      eps_root: ε_root, at least 0.
      threshold: The least ρ, above 4, at which the root is used: for β₂ = 0.999 at the sixth step.
      nesterov: Whether to look one step ahead.

    Returns:
      The optimizer; its state is that of ``optax.radam``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      PyTorch adds ε to the uncorrected root, ``√(1 − β₂ᵗ) / (√v + ε)``, which weighs it up to 32 times more. The paper's text
      has a threshold of 4, its authors' code 5. Optax loses most digits of ρ in float32: for β₂ = 0.9999 it divides by the
      root from the second step on, where ρ is under 5 up to the fifth.

    Use when:
      Adam is unstable in its first steps and you do not want to tune a warm-up.

    Reference:
      Liu et al., 2019, arXiv:1908.03265.

    Example:
      >>> opt = jopt.radam(0.1)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.5
    """
    rule = scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov)
    return chain(rule, scale_by_learning_rate(learning_rate))

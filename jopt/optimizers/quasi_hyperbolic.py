"""Quasi-hyperbolic momentum and Adam: QHM and QHAdam."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_QHM_DOMAIN = {"momentum": "[0, 1)", "nu": "(-inf, inf)"}
_QHADAM_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "nu1": "(-inf, inf)", "nu2": "[0, 1]", "eps": "[0, inf)"}
_ALIAS_DOMAIN = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


class ScaleByQhmState(NamedTuple):
    """State of ``scale_by_qhm``."""

    mu: Any  # mean gradients, like the parameters


@transformation(wide=True, domain=_QHM_DOMAIN)
def scale_by_qhm(momentum: Numeric = 0.999, nu: Numeric = 0.7) -> Any:
    """Mixes the updates with their decaying mean.

    ``m' = β m + (1 − β) g``; ``u = (1 − ν) g + ν m'``

    Args:
      momentum: β in [0, 1).
      nu: ν, the part of the mean in the update, a finite number: 0 gives the plain gradient, 1 the mean alone.

    Returns:
      The transformation; its state is ``ScaleByQhmState(mu)``.

    Raises:
      ValueError: For a number out of its range.

    Reference:
      Ma and Yarats, 2018, arXiv:1810.06801.

    Example:
      >>> rule = jopt.scale_by_qhm(momentum=0.5, nu=0.5)
      >>> rule.update(jax.numpy.float32(4.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(3., dtype=float32)
    """

    def init(params: Any) -> ScaleByQhmState:
        return ScaleByQhmState(zeros_like(params))

    def rule(g: Any, m: Any, momentum: Any, nu: Any) -> Any:
        m = momentum * m + (1.0 - momentum) * g
        return (1.0 - nu) * g + nu * m, m

    def update(updates: Any, state: ScaleByQhmState, params: Any = None, **extra_args: Any) -> Any:
        updates, mu = leafwise(rule, {"updates": updates, "state.mu": state.mu}, momentum=momentum, nu=nu)
        return updates, ScaleByQhmState(mu)

    return init, update


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain={**_QHM_DOMAIN, **_ALIAS_DOMAIN})
def qhm(
    learning_rate: ScalarOrSchedule,
    momentum: Numeric = 0.999,
    nu: Numeric = 0.7,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """Quasi-hyperbolic momentum: gradient descent and momentum, averaged.

    ``m' = β m + (1 − β) g``; ``w' = w − α ((1 − ν) g + ν m' + λ w)``, or ``w − α (…) − λ w`` with ``decoupled``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
        Since m is a mean, the α of ``sgd(α, μ)`` is about α / (1 − μ) here.
      momentum: β in [0, 1).
      nu: ν, the part of the mean in the step, a finite number: 0 gives gradient descent, 1 momentum, β Nesterov's.
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The authors' code adds λ w to the gradient by default (``jopt.chain(jopt.add_decayed_weights(λ), jopt.qhm(α))``); its
      ``weight_decay_type="direct"`` is the decay of this rule. Optax and PyTorch have no QHM.

    Use when:
      As sgd with momentum, with the weight of the newest gradient as one more number to tune.

    Reference:
      Ma and Yarats, 2018, arXiv:1810.06801, whose defaults these are.

    Example:
      >>> opt = jopt.qhm(0.1, momentum=0.5, nu=0.5)
      >>> round(float(opt.update(jax.numpy.float32(4.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.3
    """
    direction = scale_by_qhm(momentum, nu)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)


@transformation(wide=True, domain=_QHADAM_DOMAIN)
def scale_by_qhadam(
    b1: Numeric = 0.995,
    b2: Numeric = 0.999,
    nu1: Numeric = 0.7,
    nu2: Numeric = 1.0,
    eps: Numeric = 1e-8,
) -> Any:
    """Adam's rule with the gradient and its square mixed into their means.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``m̂ = m' / (1 − β₁ᵗ)``; ``v̂ = v' / (1 − β₂ᵗ)``;
    ``u = ((1 − ν₁) g + ν₁ m̂) / (√((1 − ν₂) g² + ν₂ v̂) + ε)``

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      nu1: ν₁, the part of the mean in the numerator, a finite number.
      nu2: ν₂ in [0, 1], the part of the mean square in the denominator.
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.

    Returns:
      The transformation; its state is Adam's, ``optax.ScaleByAdamState(count, mu, nu)``.

    Raises:
      ValueError: For a number out of its range.

    Reference:
      Ma and Yarats, 2018, arXiv:1810.06801.

    Example:
      >>> rule = jopt.scale_by_qhadam(eps=0.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -1.0
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), zeros_like(params), zeros_like(params, real=True))

    def once(b1: Any, b2: Any, nu1: Any, nu2: Any, eps: Any, t: Any) -> dict[str, Any]:
        of_m, of_v = nu1 / one_minus_power(b1, t), nu2 / one_minus_power(b2, t)
        return {"b1": b1, "b2": b2, "nu1": nu1, "nu2": nu2, "eps": eps, "of_m": of_m, "of_v": of_v}

    def rule(g: Any, m: Any, v: Any, b1: Any, b2: Any, nu1: Any, nu2: Any, eps: Any, of_m: Any, of_v: Any) -> Any:
        m = b1 * m + (1.0 - b1) * g
        v = b2 * v + (1.0 - b2) * abs_sq(g)
        numerator = (1.0 - nu1) * g + of_m * m
        return numerator / nonzero(root((1.0 - nu2) * abs_sq(g) + of_v * v) + eps), m, v

    def update(updates: Any, state: optax.ScaleByAdamState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        updates, mu, nu = leafwise(rule, trees, once=once, b1=b1, b2=b2, nu1=nu1, nu2=nu2, eps=eps, t=count)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return init, update


@transformation(
    wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain={**_QHADAM_DOMAIN, **_ALIAS_DOMAIN}
)
def qhadam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.995,
    b2: Numeric = 0.999,
    nu1: Numeric = 0.7,
    nu2: Numeric = 1.0,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """Quasi-hyperbolic Adam: Adam with the gradient mixed into its mean.

    ``m' = β₁ m + (1 − β₁) g``; ``v' = β₂ v + (1 − β₂) g²``; ``m̂ = m' / (1 − β₁ᵗ)``; ``v̂ = v' / (1 − β₂ᵗ)``;
    ``a = ((1 − ν₁) g + ν₁ m̂) / (√((1 − ν₂) g² + ν₂ v̂) + ε)``; ``w' = w − α (a + λ w)``, or ``w − α a − λ w`` with
    ``decoupled``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      nu1: ν₁, the part of the mean in the numerator, a finite number.
      nu2: ν₂ in [0, 1], the part of the mean square in the denominator.
      eps: ε, at least 0.
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The authors' code has Adam's numbers as its defaults (β₁ = 0.9, ν₁ = ν₂ = 1); these are the ones that their paper
      recommends. Its ``QHAdamW`` has the decay of this rule. Optax and PyTorch have no QHAdam.

    Use when:
      As Adam, with the weight of the newest gradient as one more number to tune.

    Reference:
      Ma and Yarats, 2018, arXiv:1810.06801.

    Example:
      >>> opt = jopt.qhadam(0.1, eps=0.0)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.1
    """
    direction = scale_by_qhadam(b1, b2, nu1, nu2, eps)
    return descent(direction, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

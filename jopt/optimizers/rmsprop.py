"""RMSProp."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms import chain, identity, scale_by_learning_rate, trace
from jopt.values.leafwise import full_like, leafwise, zeros_like
from jopt.values.moments import abs_sq, denominator, one_minus_power
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"decay": "[0, 1)", "eps": "[0, inf)", "initial_scale": "[0, inf)"}


class ScaleByRmsWithCountState(NamedTuple):
    """State of ``scale_by_rms(bias_correction=True)``."""

    count: Any  # int32, the number of updates so far
    nu: Any  # mean squares, like the parameters


class ScaleByRStdDevWithCountState(NamedTuple):
    """State of ``scale_by_stddev(bias_correction=True)``."""

    count: Any  # int32, the number of updates so far
    mu: Any  # means, like the parameters
    nu: Any  # mean squares, like the parameters


@transformation(wide=True, domain=_DOMAIN)
def scale_by_rms(
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Any:
    """Divides the updates by the root of their mean square.

    ``s' = β s + (1 − β) g²``; ``u = g / √(s' + ε)``, or ``u = g / (√s' + ε)`` without ``eps_in_sqrt``. With
    ``bias_correction``, ``s' / (1 − βᵗ)`` stands in place of s' in u.

    Args:
      decay: β in [0, 1).
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone. Not every machine holds (1 − β) g²
        under 1.2e-38 in float32; where it does not, gradients under 1.1e-19 / √(1 − β) give u = g.
      initial_scale: The initial s, at least 0.
      eps_in_sqrt: Whether ε stands inside the root.
      bias_correction: Whether to divide s' by 1 − βᵗ.

    Returns:
      The transformation; its state is Optax's, ``nu`` and with ``bias_correction`` also ``count``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax keeps ``nu`` in the type of a bfloat16 or float16 parameter, where small squares vanish.

    Reference:
      Hinton, 2012, "Neural networks for machine learning", lecture 6e.

    Example:
      >>> rule = jopt.scale_by_rms(decay=0.0, eps=0.0)
      >>> rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(-1., dtype=float32)
    """

    def init(params: Any) -> Any:
        nu = full_like(params, real=True, initial_scale=initial_scale)
        return ScaleByRmsWithCountState(jnp.zeros([], jnp.int32), nu) if bias_correction else optax.ScaleByRmsState(nu)

    def rule(g: Any, v: Any, decay: Any, eps: Any, t: Any) -> Any:
        v = decay * v + (1.0 - decay) * abs_sq(g)
        c = one_minus_power(decay, t) if bias_correction else 1.0
        return g / denominator(v * (1.0 / c), eps, eps_in_sqrt), v

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count) if bias_correction else 0
        trees = {"updates": updates, "state.nu": state.nu}
        updates, nu = leafwise(rule, trees, decay=decay, eps=eps, t=count)
        return updates, ScaleByRmsWithCountState(count, nu) if bias_correction else optax.ScaleByRmsState(nu)

    return init, update


@transformation(wide=True, domain=_DOMAIN)
def scale_by_stddev(
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Any:
    """Divides the updates by their standard deviation.

    ``m' = β m + (1 − β) g``; ``s' = β s + (1 − β) g²``; ``u = g / √(max(s' − m'², 0) + ε)``, or
    ``u = g / (√max(s' − m'², 0) + ε)`` without ``eps_in_sqrt``. With ``bias_correction``, m' and s' are divided by 1 − βᵗ
    in u.

    Args:
      decay: β in [0, 1).
      eps: ε, at least 0. With 0, an element whose deviation is 0, or too small for float32, gets u = g.
      initial_scale: The initial s, at least 0.
      eps_in_sqrt: Whether ε stands inside the root.
      bias_correction: Whether to divide m' and s' by 1 − βᵗ.

    Returns:
      The transformation; its state is Optax's, ``mu``, ``nu`` and with ``bias_correction`` also ``count``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax and PyTorch do not clamp the variance at 0: rounding makes it negative for a steady gradient, and the update NaN.

    Reference:
      Graves, 2013, arXiv:1308.0850.

    Example:
      >>> rule = jopt.scale_by_stddev(decay=0.5, eps=0.0)
      >>> rule.update(jax.numpy.float32(1.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(2., dtype=float32)
    """

    def init(params: Any) -> Any:
        mu, nu = zeros_like(params), full_like(params, real=True, initial_scale=initial_scale)
        if bias_correction:
            return ScaleByRStdDevWithCountState(jnp.zeros([], jnp.int32), mu, nu)
        return optax.ScaleByRStdDevState(mu, nu)

    def rule(g: Any, m: Any, v: Any, decay: Any, eps: Any, t: Any) -> Any:
        m = decay * m + (1.0 - decay) * g
        v = decay * v + (1.0 - decay) * abs_sq(g)
        c = one_minus_power(decay, t) if bias_correction else 1.0
        variance = jnp.maximum(v * (1.0 / c) - abs_sq(m * (1.0 / c)), 0.0)
        return g / denominator(variance, eps, eps_in_sqrt), m, v

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count) if bias_correction else 0
        trees = {"updates": updates, "state.mu": state.mu, "state.nu": state.nu}
        updates, mu, nu = leafwise(rule, trees, decay=decay, eps=eps, t=count)
        if bias_correction:
            return updates, ScaleByRStdDevWithCountState(count, mu, nu)
        return updates, optax.ScaleByRStdDevState(mu, nu)

    return init, update


@transformation(wide=True, evaluates=("learning_rate",), domain={**_DOMAIN, "learning_rate": "[0, inf)", "momentum": "[0, 1]"})
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    rate_inside: bool = True,
) -> Any:
    """RMSProp: the gradient over the root of its mean square.

    ``s' = β s + (1 − β) g²``; ``w' = w − α g / √(s' + ε)``, or ``w − α g / (√s' + ε)`` without ``eps_in_sqrt``. ``centered``
    takes the variance ``max(s' − m'², 0)``, ``m' = β m + (1 − β) g``, in place of s'. With ``momentum``, the steps
    ``−α g / √…`` go through ``M' = μ M + step`` and ``w' = w + M'``; without ``rate_inside``, ``M' = μ M + g / √…`` and
    ``w' = w − α M'``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      decay: β in [0, 1).
      eps: ε, at least 0; what becomes of tiny gradients without it stands at ``scale_by_rms``.
      initial_scale: The initial s, at least 0 (TensorFlow's Inception used 1).
      eps_in_sqrt: Whether ε stands inside the root, as in the lecture and in Keras.
      centered: Whether to subtract the square of the mean gradient.
      momentum: μ in [0, 1]; none by default.
      nesterov: Whether the momentum looks one step ahead; without ``momentum`` it changes nothing.
      bias_correction: Whether to divide the running means by 1 − βᵗ.
      rate_inside: Whether the rate goes into the momentum, as in Optax and Keras, or multiplies it from outside, as in PyTorch:
        the same for a constant rate, another path as soon as the rate moves; without ``momentum`` it changes no update.

    Returns:
      The optimizer; its state is that of ``optax.rmsprop`` (without ``rate_inside``, in the order of the parts).

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      PyTorch: β = 0.99, ε outside the root and the rate after the momentum (``decay=0.99, eps_in_sqrt=False,
      rate_inside=False``). Optax's ``centered`` gives NaN for a steady gradient; here the variance is clamped at 0.

    Use when:
      The targets move, as in reinforcement learning, and a mean of old gradients would mislead.

    Reference:
      Hinton, 2012, "Neural networks for machine learning", lecture 6e; Graves, 2013, arXiv:1308.0850 (centered).

    Example:
      >>> opt = jopt.rmsprop(0.1, decay=0.0, eps=0.0)
      >>> opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]
      Array(-0.1, dtype=float32)
    """
    moments = scale_by_stddev if centered else scale_by_rms
    rate = scale_by_learning_rate(learning_rate)
    velocity = identity() if momentum is None else trace(momentum, nesterov)
    return chain(
        moments(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        *((rate, velocity) if rate_inside else (velocity, rate)),
    )

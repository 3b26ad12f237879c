"""Rules whose steps are as long as their parameters are large, leaf by leaf: LAMB and LARS."""

from __future__ import annotations

from typing import Any

from jopt.optimizers.adam import scale_by_adam
from jopt.transformation import transformation
from jopt.transforms import add_decayed_weights, chain, scale, scale_by_learning_rate, trace
from jopt.transforms.blocks import scale_by_trust_ratio
from jopt.transforms.descent import descent
from jopt.values.numbers import Numeric, ScalarOrSchedule

_SHARED = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)", "eps": "[0, inf)"}
_LAMB_DOMAIN = {**_SHARED, "b1": "[0, 1)", "b2": "[0, 1)", "eps_root": "[0, inf)"}
_LARS_DOMAIN = {**_SHARED, "trust_coefficient": "[0, inf)", "momentum": "[0, 1]"}


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_LAMB_DOMAIN)
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-6,
    eps_root: Numeric = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """LAMB: Adam with decay, each leaf's step as long as its parameter times the rate.

    ``r = m̂ / (√(v̂ + ε_root) + ε) + λ w`` with Adam's m̂ and v̂; ``w' = w − α (‖w‖ / ‖r‖) r``, with the Euclidean norms of
    one leaf; where one of them is 0, ``w' = w − α r``. With ``decoupled``, r has no λ w, which is subtracted from w' instead.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0.
      eps_root: ε_root, at least 0.
      weight_decay: λ, at least 0: a number or a schedule. It is a part of r, so the rate bounds it too.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ w is subtracted beside the step, and neither scaled nor multiplied by the rate.

    Returns:
      The optimizer, with the state of ``optax.lamb``; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Keras: ε = 1e-7, and its weight decay stands outside r. The paper allows a function φ of ‖w‖, which is the identity here
      as in Optax and Keras; some bound it by 10. PyTorch has no LAMB.

    Use when:
      Batches of thousands: the step of each layer is scaled to its weights, after Adam.

    Reference:
      You et al., 2019, arXiv:1904.00962.

    Example:
      >>> opt = jopt.lamb(0.1)
      >>> w = jax.numpy.float32(4.0)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(w), w)[0]), 6)
      -0.4
    """
    adam, ratio = scale_by_adam(b1, b2, eps, eps_root), scale_by_trust_ratio()
    if decoupled:
        return descent(adam, ratio, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=True)
    return chain(adam, add_decayed_weights(weight_decay, mask), ratio, scale_by_learning_rate(learning_rate))


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_LARS_DOMAIN)
def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: Numeric = 0.001,
    eps: Numeric = 0.0,
    trust_ratio_mask: Any = True,
    momentum: Numeric = 0.9,
    nesterov: bool = False,
    *,
    decoupled: bool = False,
) -> Any:
    """LARS: momentum whose gradients are scaled, leaf by leaf, to a fraction of their parameter's length.

    ``r = g + λ w``; ``M' = μ M − α (η ‖w‖ / (‖r‖ + ε)) r``; ``w' = w + M'``, or ``w' = w + μ M' − α (…) r`` with ``nesterov``.
    The norms are the Euclidean ones of one leaf; where one of them is 0, r is not scaled.
    With ``decoupled``, r is g, and λ w is subtracted from w'.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      weight_decay: λ, at least 0: a number or a schedule. It is a part of r, so the rate bounds it too.
      weight_decay_mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      trust_coefficient: η, at least 0.
      eps: ε, at least 0.
      trust_ratio_mask: A tree of bools, or a function from the parameters to one, saying which leaves are scaled; biases and
        the parameters of normalizations are often left out of both masks.
      momentum: μ in [0, 1].
      nesterov: Whether to look one step ahead.
      decoupled: Whether λ w is subtracted beside the step, and neither scaled nor multiplied by the rate.

    Returns:
      The optimizer, with the state of ``optax.lars``; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The paper divides by ‖g‖ + λ ‖w‖ in place of ‖g + λ w‖; Optax as here. PyTorch and Keras have no LARS.

    Use when:
      Convolutional networks in batches of thousands: the step of each layer is scaled to its weights.

    Reference:
      You et al., 2017, arXiv:1708.03888.

    Example:
      >>> opt = jopt.lars(1.0, trust_coefficient=0.1)
      >>> w = jax.numpy.float32(4.0)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(w), w)[0]), 6)
      -0.4
    """
    ratio = scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps, mask=trust_ratio_mask)
    decay, velocity = add_decayed_weights(weight_decay, weight_decay_mask), trace(momentum, nesterov)
    if decoupled:
        return chain(ratio, scale_by_learning_rate(learning_rate, flip_sign=False), velocity, decay, scale(-1.0))
    return chain(decay, ratio, scale_by_learning_rate(learning_rate), velocity)

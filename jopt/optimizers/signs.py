"""Descent along signs: signSGD and Signum."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.descent import descent
from jopt.transforms.momentum import ema
from jopt.values.leafwise import leafwise
from jopt.values.numbers import Numeric, ScalarOrSchedule

_ALIAS_DOMAIN = {"learning_rate": "[0, inf)", "beta": "[0, 1)", "weight_decay": "[0, inf)"}


@transformation(wide=True, checked=False)
def scale_by_sign() -> Any:
    """Replaces the updates by their signs.

    ``u = sign(g)``, which is 0 for g = 0, and ``g / |g|`` for complex g.

    Returns:
      The transformation; its state is empty.

    Example:
      >>> rule = jopt.scale_by_sign()
      >>> rule.update(jax.numpy.array([-3.0, 0.0, 0.1]), rule.init(jax.numpy.zeros(3)))[0]
      Array([-1.,  0.,  1.], dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        (signs,) = leafwise(lambda g: (jnp.sign(g),), {"updates": updates})
        return signs, state

    return lambda params: optax.EmptyState(), update


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def sign_sgd(
    learning_rate: ScalarOrSchedule,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
    decoupled: bool = False,
) -> Any:
    """signSGD: steps of one length in every element, along the sign of the gradient.

    ``w' = w − α (sign(g) + λ w)``, or ``w − α sign(g) − λ w`` with ``decoupled``. An element with g = 0 is left alone.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer; without a weight decay its state is that of ``optax.sign_sgd``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has no weight decay here. PyTorch and Keras have no signSGD; ``jopt.rprop`` and ``jopt.signum`` are its relatives.

    Use when:
      Only signs may be sent between machines, or the sizes of gradients mean nothing; no state.

    Reference:
      Bernstein et al., 2018, arXiv:1802.04434.

    Example:
      >>> opt = jopt.sign_sgd(0.1)
      >>> opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]
      Array(-0.1, dtype=float32)
    """
    return descent(scale_by_sign(), learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_ALIAS_DOMAIN)
def signum(
    learning_rate: ScalarOrSchedule,
    beta: Numeric = 0.9,
    accumulator_dtype: Any = None,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
    decoupled: bool = False,
) -> Any:
    """Signum: signSGD along a mean gradient.

    ``m' = β m + (1 − β) g``; ``w' = w − α (sign(m') + λ w)``, or ``w − α sign(m') − λ w`` with ``decoupled``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      beta: β in [0, 1).
      accumulator_dtype: The type of m; by default the parameter's own, at least float32.
      weight_decay: λ, at least 0: a number or a schedule; none by default.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer; without a weight decay its state is that of ``optax.signum``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax has no weight decay here. ``jopt.lion`` with b1 = b2 is this rule. PyTorch and Keras have no Signum.

    Use when:
      As sign_sgd with momentum: half of Adam's memory, for large batches.

    Reference:
      Bernstein et al., 2018, arXiv:1802.04434.

    Example:
      >>> opt = jopt.signum(0.1)
      >>> opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]
      Array(-0.1, dtype=float32)
    """
    mean = ema(beta, debias=False, accumulator_dtype=accumulator_dtype)
    return descent(
        mean, scale_by_sign(), learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled
    )

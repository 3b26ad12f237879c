"""Gradient descent and momentum."""

from __future__ import annotations

from typing import Any

from jopt.transformation import transformation
from jopt.transforms import chain, identity, scale_by_learning_rate, trace
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"learning_rate": "[0, inf)", "momentum": "[0, 1]", "dampening": "[0, 1]"}


@transformation(wide=True, evaluates=("learning_rate",), domain=_DOMAIN)
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
    *,
    dampening: Numeric | None = None,
) -> Any:
    """Stochastic gradient descent, with Optax's form of momentum.

    ``w' = w − α g``; with momentum ``m' = μ m + g`` and ``w' = w − α m'``, or ``w' = w − α (g + μ m')`` with ``nesterov``.
    The rate multiplies the velocity from outside, so a change of the rate acts on the whole velocity at once. With
    ``dampening``, ``m' = μ m + (1 − τ) g`` but at the first step, where ``m' = g``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      momentum: μ in [0, 1]; none by default.
      nesterov: Whether to look one step ahead; without ``momentum`` it changes nothing, as in Optax (PyTorch refuses it).
      accumulator_dtype: The type of the velocity, with ``momentum``; by default the parameter's own, at least float32.
      dampening: τ in [0, 1]; none by default. An error without ``momentum``; with τ = μ the velocity is a mean of gradients.

    Returns:
      The optimizer; its state is that of ``optax.sgd``, with ``dampening`` a step count beside the velocity.

    Raises:
      ValueError: For a number out of its range, and for ``dampening`` without ``momentum``.

    Differs from:
      ``jopt.momentum`` has the rate inside the velocity. PyTorch's ``SGD`` is this form; Optax has no dampening.

    Use when:
      There is no memory for a state, or as the plain baseline; large convolutional networks take momentum=0.9.

    Reference:
      Robbins and Monro, 1951; Sutskever et al., 2013.

    Example:
      >>> opt = jopt.sgd(0.1)
      >>> opt.update(jax.numpy.float32(2.0), opt.init(jax.numpy.float32(0.0)))[0]
      Array(-0.2, dtype=float32)
    """
    if momentum is None and dampening is not None:
        raise ValueError("sgd: dampening weighs what a gradient adds to the momentum; give momentum too, such as 0.9.")
    velocity = identity() if momentum is None else trace(momentum, nesterov, accumulator_dtype, dampening=dampening)
    return chain(velocity, scale_by_learning_rate(learning_rate))


@transformation(wide=True, evaluates=("learning_rate",), domain=_DOMAIN)
def momentum(learning_rate: ScalarOrSchedule, momentum: Numeric = 0.9, nesterov: bool = False) -> Any:
    """Momentum as the lecture writes it, the rate inside the velocity.

    ``M' = μ M − α g``; ``w' = w + M'``, or ``w' = w + μ M' − α g`` with ``nesterov``. Each step keeps the rate that it was
    taken with, so a fall of the rate slows the weights down gradually.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      momentum: μ in [0, 1].
      nesterov: Whether to look one step ahead: the accelerated gradient of Nesterov, as Sutskever et al. rewrote it.

    Returns:
      The optimizer; its state is the step count, where the rate is a schedule, and the velocity.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax's and PyTorch's ``sgd`` multiply the velocity by the rate from outside: the same for a constant rate, another
      path as soon as the rate moves. Keras has this form.

    Use when:
      A schedule moves the rate and the velocity should follow gradually, as in Keras; else sgd is the same.

    Reference:
      Polyak, 1964; Nesterov, 1983; Sutskever et al., 2013; Ruder, 2016, arXiv:1609.04747.

    Example:
      >>> opt = jopt.momentum(0.1, momentum=0.5)
      >>> g = jax.numpy.float32(1.0)
      >>> _, state = opt.update(g, opt.init(g))
      >>> round(float(opt.update(g, state)[0]), 6)
      -0.15
    """
    return chain(scale_by_learning_rate(learning_rate), trace(momentum, nesterov))

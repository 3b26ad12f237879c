"""Adagrad."""

from __future__ import annotations

from typing import Any

import optax

from jopt.transformation import transformation
from jopt.transforms import chain, scale_by_learning_rate
from jopt.values.leafwise import full_like, leafwise
from jopt.values.moments import abs_sq, denominator
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"initial_accumulator_value": "[0, inf)", "eps": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_rss(initial_accumulator_value: Numeric = 0.1, eps: Numeric = 1e-7, *, eps_in_sqrt: bool = True) -> Any:
    """Divides the updates by the root of the sum of their squares so far.

    ``G' = G + g²``; ``u = g / √(G' + ε)``, or ``u = g / (√G' + ε)`` without ``eps_in_sqrt``.

    Args:
      initial_accumulator_value: The initial G, at least 0.
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.
      eps_in_sqrt: Whether ε stands inside the root.

    Returns:
      The transformation; its state is ``optax.ScaleByRssState(sum_of_squares)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax keeps the sum in the type of a bfloat16 parameter, where it stops growing at 256 times a square.

    Reference:
      Duchi, Hazan and Singer, 2011, "Adaptive subgradient methods for online learning and stochastic optimization".

    Example:
      >>> rule = jopt.scale_by_rss(0.0, eps=0.0)
      >>> rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]
      Array(-1., dtype=float32)
    """

    def init(params: Any) -> optax.ScaleByRssState:
        return optax.ScaleByRssState(full_like(params, real=True, initial_accumulator_value=initial_accumulator_value))

    def rule(g: Any, total: Any, eps: Any) -> Any:
        total = total + abs_sq(g)
        return g / denominator(total, eps, eps_in_sqrt), total

    def update(updates: Any, state: optax.ScaleByRssState, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, "state.sum_of_squares": state.sum_of_squares}
        updates, total = leafwise(rule, trees, eps=eps)
        return updates, optax.ScaleByRssState(total)

    return init, update


@transformation(wide=True, evaluates=("learning_rate",), domain={**_DOMAIN, "learning_rate": "[0, inf)"})
def adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: Numeric = 0.1,
    eps: Numeric = 1e-7,
    *,
    eps_in_sqrt: bool = True,
) -> Any:
    """Adagrad: the gradient over the root of the sum of its squares so far.

    ``G' = G + g²``; ``w' = w − α g / √(G' + ε)``, or ``w' = w − α g / (√G' + ε)`` without ``eps_in_sqrt``. The sum only grows,
    so the steps shrink: by a steady gradient to ``α / √t``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      initial_accumulator_value: The initial G, at least 0.
      eps: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.
      eps_in_sqrt: Whether ε stands inside the root, as in Optax and Keras.

    Returns:
      The optimizer; its state is that of ``optax.adagrad``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      PyTorch begins at G = 0 and adds ε = 1e-10 outside the root (``initial_accumulator_value=0.0, eps=1e-10,
      eps_in_sqrt=False``); its ``lr_decay`` is a schedule, ``α / (1 + decay · t)``. The paper has neither ε nor an initial G.

    Use when:
      Features are sparse and each needs a rate of its own. Its rates only fall, so long runs come to a halt.

    Reference:
      Duchi, Hazan and Singer, 2011, "Adaptive subgradient methods for online learning and stochastic optimization".

    Example:
      >>> opt = jopt.adagrad(0.5, 0.0, eps=0.0)
      >>> opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]
      Array(-0.5, dtype=float32)
    """
    return chain(scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt=eps_in_sqrt), scale_by_learning_rate(learning_rate))

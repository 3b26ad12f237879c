"""Adadelta."""

from __future__ import annotations

from typing import Any

import optax

from jopt.transformation import transformation
from jopt.transforms import add_decayed_weights, chain, scale_by_learning_rate
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"rho": "[0, 1)", "eps": "[0, inf)"}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_adadelta(rho: Numeric = 0.9, eps: Numeric = 1e-6) -> Any:
    """Gives the updates the size that the steps had, in place of that of the gradients.

    ``G' = ρ G + (1 − ρ) g²``; ``u = √(X + ε) / √(G' + ε) · g``; ``X' = ρ X + (1 − ρ) u²``.

    Args:
      rho: ρ in [0, 1).
      eps: ε, at least 0: its root is the size of the first steps. With 0 nothing ever moves.

    Returns:
      The transformation; its state is ``optax.ScaleByAdaDeltaState(e_g, e_x)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax keeps both means in the type of a bfloat16 parameter, where they stop falling.

    Reference:
      Zeiler, 2012, arXiv:1212.5701.

    Example:
      >>> rule = jopt.scale_by_adadelta(rho=0.0, eps=1.0)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.948683
    """

    def init(params: Any) -> optax.ScaleByAdaDeltaState:
        return optax.ScaleByAdaDeltaState(zeros_like(params, real=True), zeros_like(params, real=True))

    def rule(g: Any, e_g: Any, e_x: Any, rho: Any, eps: Any) -> Any:
        e_g = rho * e_g + (1.0 - rho) * abs_sq(g)
        x = root(e_x + eps) / nonzero(root(e_g + eps)) * g
        return x, e_g, rho * e_x + (1.0 - rho) * abs_sq(x)

    def update(updates: Any, state: optax.ScaleByAdaDeltaState, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, "state.e_g": state.e_g, "state.e_x": state.e_x}
        updates, e_g, e_x = leafwise(rule, trees, rho=rho, eps=eps)
        return updates, optax.ScaleByAdaDeltaState(e_g, e_x)

    return init, update


@transformation(
    wide=True,
    schedules=("weight_decay",),
    evaluates=("learning_rate",),
    domain={**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"},
)
def adadelta(
    learning_rate: ScalarOrSchedule = 1.0,
    rho: Numeric = 0.9,
    eps: Numeric = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = None,
    *,
    decoupled: bool = False,
) -> Any:
    """Adadelta: steps of the size of the steps before.

    ``G' = ρ G + (1 − ρ) g²``; ``u = √(X + ε) / √(G' + ε) · g``; ``X' = ρ X + (1 − ρ) u²``; ``w' = w − α u``. The gradient g
    has ``λ w`` added to it, or with ``decoupled``, ``w' = w − α u − λ w``.

    Args:
      learning_rate: α, at least 0, 1 in the paper: a number, a schedule, or a prefix of the parameter tree with one of these
        per branch.
      rho: ρ in [0, 1).
      eps: ε, at least 0: its root is the size of the first steps. With 0 nothing ever moves.
      weight_decay: λ, at least 0: a number or a schedule.
      weight_decay_mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      decoupled: Whether λ w is subtracted beside the step, and not added to the gradient.

    Returns:
      The optimizer; its state is that of ``optax.adadelta``. Its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax's rate is ``None`` by default, which makes steps uphill. PyTorch's defaults are these; Keras's are a rate of 0.001,
      ρ = 0.95 and ε = 1e-7.

    Use when:
      No rate should have to be chosen: at learning_rate=1 it has a scale of its own. Slow; mostly of historical use.

    Reference:
      Zeiler, 2012, arXiv:1212.5701.

    Example:
      >>> opt = jopt.adadelta(rho=0.0, eps=1.0)
      >>> w = jax.numpy.float32(0.0)
      >>> round(float(opt.update(jax.numpy.float32(3.0), opt.init(w), w)[0]), 6)
      -0.948683
    """
    rule, decay = scale_by_adadelta(rho, eps), {"weight_decay": weight_decay, "mask": weight_decay_mask}
    if decoupled:
        return descent(rule, learning_rate=learning_rate, **decay, decoupled=True)
    return chain(add_decayed_weights(**decay), rule, scale_by_learning_rate(learning_rate))

"""MARS: gradients corrected by the ones before, for any rule and with Adam's."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jopt.optimizers.adam import scale_by_adam
from jopt.transformation import transformation
from jopt.transforms.combining import chain
from jopt.transforms.descent import descent
from jopt.transforms.masking import with_mask
from jopt.transforms.partitioning import partition
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_DOMAIN = {"b1": "[0, 1)", "gamma": "[0, inf)", "max_norm": "(0, inf)"}
_ALIAS_DOMAIN = {
    **_DOMAIN,
    **dict.fromkeys(("b2", "b1_1d", "b2_1d"), "[0, 1)"),
    **dict.fromkeys(("learning_rate", "learning_rate_1d", "eps", "weight_decay", "weight_decay_1d"), "[0, inf)"),
}


class CorrectByMarsState(NamedTuple):
    """State of ``correct_by_mars``."""

    last_grad: Any  # the updates before, like the parameters


@transformation(wide=True, domain=_DOMAIN)
def correct_by_mars(b1: Numeric = 0.95, gamma: Numeric = 0.025, max_norm: Numeric = 1.0) -> Any:
    """Takes from the updates a part of what is chance in them, by their difference from the ones before.

    ``c = g + γ β₁ / (1 − β₁) (g − g₋)``, where g₋ is 0 at first; ``u = c / max(1, ‖c‖ / bound)``, with the Euclidean norm of
    one leaf.

    Args:
      b1: β₁ in [0, 1), that of the momentum that follows.
      gamma: γ, at least 0: how much is corrected; 0 leaves the updates as they are, but for the bound.
      max_norm: The bound, above 0.

    Returns:
      The transformation; its state is ``CorrectByMarsState(last_grad)``. It stands before a rule with a momentum, as in
      ``jopt.chain(jopt.correct_by_mars(0.95), jopt.lion(1e-4, b1=0.95))``.

    Raises:
      ValueError: For a number out of its range.

    Reference:
      Yuan et al., 2024, arXiv:2411.10438.

    Example:
      >>> rule = jopt.correct_by_mars(0.5, gamma=1.0)
      >>> _, state = rule.update(jax.numpy.float32(0.25), rule.init(jax.numpy.float32(0.0)))
      >>> rule.update(jax.numpy.float32(0.5), state)[0]
      Array(0.75, dtype=float32)
    """

    def init(params: Any) -> CorrectByMarsState:
        return CorrectByMarsState(zeros_like(params))

    def rule(g: Any, before: Any, b1: Any, gamma: Any, max_norm: Any) -> Any:
        c = g + gamma * b1 / (1.0 - b1) * (g - before)
        norm = root(jnp.sum(abs_sq(c)))
        return c / jnp.maximum(norm / max_norm, 1.0), jnp.copy(g)  # a copy, so that both may be donated

    def update(updates: Any, state: CorrectByMarsState, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, "state.last_grad": state.last_grad}
        updates, last = leafwise(rule, trees, b1=b1, gamma=gamma, max_norm=max_norm)
        return updates, CorrectByMarsState(last)

    return init, update


@transformation(
    wide=True,
    schedules=("weight_decay", "weight_decay_1d"),
    evaluates=("learning_rate", "learning_rate_1d"),
    domain=_ALIAS_DOMAIN,
)
def mars(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.95,
    b2: Numeric = 0.99,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    *,
    gamma: Numeric = 0.025,
    max_norm: Numeric = 1.0,
    optimize_1d: bool = False,
    learning_rate_1d: ScalarOrSchedule | None = None,
    b1_1d: Numeric = 0.9,
    b2_1d: Numeric = 0.95,
    weight_decay_1d: ScalarOrSchedule = 0.1,
    decoupled: bool = False,
) -> Any:
    """MARS: AdamW along gradients that are corrected by the ones before.

    For matrices ``c = g + γ β₁ / (1 − β₁) (g − g₋)``, where g₋ is 0 at first; ``ĉ = c / max(1, ‖c‖ / bound)``, with the
    Euclidean norm of one leaf; ``w' = w − α (a + λ w)``, or ``w − α a − λ w`` with ``decoupled``, where a is Adam's
    ``m̂ / (√v̂ + ε)`` for ĉ. Leaves that are no matrices get AdamW with numbers of their own.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: ε, at least 0.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      gamma: γ, at least 0: how much is corrected; with 0 it is AdamW of gradients under the bound.
      max_norm: The bound, above 0.
      optimize_1d: Whether leaves of any number of axes are treated as matrices are.
      learning_rate_1d: The rate of the other leaves; by default α.
      b1_1d: Their β₁, in [0, 1).
      b2_1d: Their β₂, in [0, 1).
      weight_decay_1d: Their λ, at least 0: a number or a schedule.
      decoupled: Whether λ is not multiplied by the rate.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Nothing in the authors' code, in which leaves of two axes alone are matrices, too. It is their approximate form, whose g₋
      is the gradient of the step before, and not that of this step's batch at the weights before. ``jopt.correct_by_mars``
      before ``jopt.lion`` is their form for Lion. Optax, PyTorch and Keras have no MARS.

    Use when:
      Gradients are noisy, as in language models: one more buffer than adamw, and fewer steps.

    Reference:
      Yuan et al., 2024, arXiv:2411.10438.

    Example:
      >>> opt = jopt.mars(0.1)
      >>> w = jax.numpy.zeros((1, 1))
      >>> round(float(opt.update(w + 5.0, opt.init(w), w)[0][0, 0]), 6)
      -0.1
    """
    adam = chain(correct_by_mars(b1, gamma, max_norm), scale_by_adam(b1, b2, eps))

    def with_decay(mask: Any) -> Any:
        matrices = descent(adam, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)
        if optimize_1d:
            return matrices
        others = descent(
            scale_by_adam(b1_1d, b2_1d, eps),
            learning_rate=learning_rate if learning_rate_1d is None else learning_rate_1d,
            weight_decay=weight_decay_1d,
            mask=mask,
            decoupled=decoupled,
        )
        return partition({"matrices": matrices, "others": others}, _kinds)

    return with_mask(with_decay, mask)


def _kinds(params: Any) -> Any:
    return jax.tree.map(lambda p: "matrices" if jnp.ndim(p) == 2 else "others", params)

"""Rprop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms import chain, scale
from jopt.values.leafwise import full_like, leafwise, zeros_like
from jopt.values.numbers import Numeric

_DOMAIN = {
    "learning_rate": "[0, inf)",
    "eta_minus": "(0, 1]",
    "eta_plus": "[1, inf)",
    "min_step_size": "[0, inf)",
    "max_step_size": "[0, inf)",
}


@transformation(wide=True, domain=_DOMAIN)
def scale_by_rprop(
    learning_rate: Numeric,
    eta_minus: Numeric = 0.5,
    eta_plus: Numeric = 1.2,
    min_step_size: Numeric = 1e-6,
    max_step_size: Numeric = 50.0,
) -> Any:
    """Replaces the updates by steps with their signs, of sizes that grow while the signs stay.

    ``u = Δ' sign(g)`` with ``Δ' = min(η₊ Δ, Δ_max)`` where g has the sign of the update before; ``u = 0`` and
    ``Δ' = max(η₋ Δ, Δ_min)`` where it has the other; ``u = Δ sign(g)`` where one of the two is 0.

    Args:
      learning_rate: The initial step size Δ, at least 0; or a prefix of the parameter tree with one per branch.
      eta_minus: η₋ in (0, 1].
      eta_plus: η₊, at least 1.
      min_step_size: Δ_min, at least 0.
      max_step_size: Δ_max, at least 0.

    Returns:
      The transformation; its state is ``optax.ScaleByRpropState(step_sizes, prev_updates)``.

    Raises:
      ValueError: For a number out of its range.
      TypeError: For complex leaves, which have no sign.

    Differs from:
      Optax 0.2.8 hands out each step one update late: the first update is 0, and the last one before a turn is lost.

    Reference:
      Riedmiller and Braun, 1993; Igel and Hüsken, 2003, whose variant without going back (iRprop⁻) this is.

    Example:
      >>> rule = jopt.scale_by_rprop(0.1)
      >>> round(float(rule.update(jax.numpy.float32(-3.0), rule.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.1
    """

    def init(params: Any) -> optax.ScaleByRpropState:
        _no_complex(params)
        return optax.ScaleByRpropState(full_like(params, learning_rate=learning_rate), zeros_like(params))

    def rule(g: Any, size: Any, before: Any, eta_minus: Any, eta_plus: Any, low: Any, high: Any) -> Any:
        agree = jnp.sign(g) * jnp.sign(before)
        changed = jnp.clip(size * jnp.where(agree > 0, eta_plus, eta_minus), low, high)
        size = jnp.where(agree == 0, size, changed)
        u = jnp.where(agree < 0, 0.0, size * jnp.sign(g))
        return u, size, u

    def update(updates: Any, state: optax.ScaleByRpropState, params: Any = None, **extra_args: Any) -> Any:
        trees = {"updates": updates, "state.step_sizes": state.step_sizes, "state.prev_updates": state.prev_updates}
        numbers: dict[str, Any] = {"eta_minus": eta_minus, "eta_plus": eta_plus, "low": min_step_size, "high": max_step_size}
        updates, sizes, before = leafwise(rule, trees, **numbers)
        return updates, optax.ScaleByRpropState(sizes, before)

    return init, update


def _no_complex(params: Any) -> None:
    for path, x in jax.tree_util.tree_flatten_with_path(params)[0]:
        if jnp.issubdtype(jnp.result_type(x), jnp.complexfloating):
            raise TypeError(
                f"rprop: the leaf at {jax.tree_util.keystr(path) or '(root)'} is complex, and complex numbers have no sign to "
                f"step by. Give its real and its imaginary part as two leaves."
            )


@transformation(wide=True, domain=_DOMAIN)
def rprop(
    learning_rate: Numeric,
    eta_minus: Numeric = 0.5,
    eta_plus: Numeric = 1.2,
    min_step_size: Numeric = 1e-6,
    max_step_size: Numeric = 50.0,
) -> Any:
    """Rprop: steps by the sign of the gradient, of sizes that grow while the signs stay.

    ``w' = w − Δ' sign(g)`` with ``Δ' = min(η₊ Δ, Δ_max)`` where g has the sign of the gradient before; ``w' = w`` and
    ``Δ' = max(η₋ Δ, Δ_min)`` where it has the other; ``w' = w − Δ sign(g)`` where one of the two is 0, as after a turn.

    Args:
      learning_rate: The initial step size Δ, at least 0; or a prefix of the parameter tree with one per branch.
      eta_minus: η₋ in (0, 1].
      eta_plus: η₊, at least 1.
      min_step_size: Δ_min, at least 0.
      max_step_size: Δ_max, at least 0.

    Returns:
      The optimizer; its state is that of ``optax.rprop``.

    Raises:
      ValueError: For a number out of its range.
      TypeError: For complex leaves, which have no sign.

    Differs from:
      Optax 0.2.8 hands out each step one update late: the first update is 0, and the last one before a turn is lost.
      PyTorch's rule is this one; it clips the initial step size too, and treats the parts of a complex number as two numbers.

    Use when:
      Gradients are of the full data, without noise: only their signs count, and each weight has its own step.

    Reference:
      Riedmiller and Braun, 1993; Igel and Hüsken, 2003, whose variant without going back (iRprop⁻) this is.

    Example:
      >>> opt = jopt.rprop(0.1)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(jax.numpy.float32(0.0)))[0]), 6)
      -0.1
    """
    return chain(scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size), scale(-1.0))

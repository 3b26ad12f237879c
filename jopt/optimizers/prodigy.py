"""Prodigy: Adam that finds its own rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from jopt.transformation import transformation
from jopt.transforms.combining import narrow, widen
from jopt.values.leafwise import copies, leafwise, one_number, zeros_like
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule
from jopt.values.pairs import evaluate

_DOMAIN = {
    "learning_rate": "[0, inf)",
    "betas": "[0, 1)",
    "beta3": "[0, 1)",
    "eps": "[0, inf)",
    "estim_lr0": "(0, inf)",
    "estim_lr_coef": "(0, inf)",
    "weight_decay": "[0, inf)",
}


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), domain=_DOMAIN)
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: Sequence[Numeric] = (0.9, 0.999),
    beta3: Numeric | None = None,
    eps: Numeric = 1e-8,
    estim_lr0: Numeric = 1e-6,
    estim_lr_coef: Numeric = 1.0,
    weight_decay: ScalarOrSchedule = 0.0,
    safeguard_warmup: bool = False,
    *,
    bias_correction: bool = False,
) -> Any:
    """Prodigy: AdamW times an estimate of how far the solution is, which needs no other rate than 1.

    ``m' = β₁ m + (1 − β₁) d g``; ``v' = β₂ v + (1 − β₂) (d g)²``; ``r' = β₃ r + (d / d₀) a ⟨g, w₀ − w⟩``;
    ``s' = β₃ s + (d / d₀) a g``; ``d' = max(d, c r' / ‖s'‖₁)``; ``w' = w − a (m' / (√v' + d' ε) + λ w)``, with ``a = α d``.
    d, r and the norm are of all leaves together; d begins at d₀ and never falls.

    Args:
      learning_rate: α, at least 0: a number or a schedule around 1.
      betas: β₁ and β₂, each in [0, 1).
      beta3: β₃ in [0, 1); by default √β₂.
      eps: ε, at least 0.
      estim_lr0: d₀, above 0: the first estimate, which should be too small.
      estim_lr_coef: c, above 0: what the estimate is multiplied by. This is what to tune.
      weight_decay: λ, at least 0: a number or a schedule.
      safeguard_warmup: Whether d stands in place of a in s', so that a rate that is warmed up does not make d too large.
      bias_correction: Whether ``a = α d √(1 − β₂ᵗ) / (1 − β₁ᵗ)``.

    Returns:
      The optimizer; its ``update`` needs the parameters. Its state is ``optax.contrib.ProdigyState(exp_avg, exp_avg_sq,
      grad_sum, params0, estim_lr, numerator_weighted, count)``; ``estim_lr`` is d.

    Raises:
      ValueError: For a number out of its range, for other than two betas, and for several rates.

    Differs from:
      The authors' count of updates, for the bias, leaves out those with a rate of 0. Optax learns from the gradients of these,
      too, and always corrects the bias (``bias_correction=True``), as the authors' code does when asked.

    Use when:
      There is no time to tune a rate: leave it at 1, with a cosine. A rate that was swept is better.

    Reference:
      Mishchenko and Defazio, 2023, arXiv:2306.06101.

    Example:
      >>> opt = jopt.prodigy(eps=0.0, estim_lr0=0.01)
      >>> w = jax.numpy.float32(1.0)
      >>> updates, state = opt.update(jax.numpy.float32(4.0), opt.init(w), w)
      >>> round(float(updates), 6), round(float(state.estim_lr), 6)
      (-0.031623, 0.01)
    """
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"prodigy: betas must be two numbers, such as (0.9, 0.999), but got {betas!r}.")
    b1, b2 = (one_number("prodigy: betas", beta) for beta in betas)
    beta3 = None if beta3 is None else one_number("prodigy: beta3", beta3)
    d0, coef = one_number("prodigy: estim_lr0", estim_lr0), one_number("prodigy: estim_lr_coef", estim_lr_coef)

    def init(params: Any) -> Any:
        m, s = (zeros_like(params) for _ in range(2))
        v, d, r = zeros_like(params, real=True), jnp.asarray(d0).astype(float), jnp.zeros([], float)
        return optax.contrib.ProdigyState(m, v, s, copies(params), d, r, jnp.zeros([], jnp.int32))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError("prodigy needs the parameters: call update(updates, state, params).")
        t, d = optax.safe_increment(state.count), state.estim_lr
        rate = one_number("prodigy: learning_rate", evaluate(learning_rate, state.count))
        a = d * rate * (_correction(b1, b2, t) if bias_correction else 1.0)
        decay = {"beta3": _root_of(b2) if beta3 is None else beta3}
        g = jax.tree.map(widen, updates)
        trees = {"updates": g, "state.grad_sum": state.grad_sum, "state.params0": state.params0, "params": params}
        moves = jnp.asarray(rate) > 0.0  # without a rate nothing is learnt from a gradient, as in the authors' code
        grown = {"of_g": d / d0 * (d if safeguard_warmup else a), "moves": moves.astype(float), **decay}
        products, s, norms = leafwise(_sums, trees, **grown)
        r = _in_float(decay["beta3"]) * state.numerator_weighted + d / d0 * a * _total(products)
        r = jnp.where(moves, r, state.numerator_weighted)
        norm = _total(norms)
        found = jnp.where(norm > 0, coef * r / nonzero(norm), 0.0)
        later = jnp.where(moves, jnp.maximum(d, found), d)
        numbers: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "weight_decay": weight_decay, "d": d, "a": a}
        numbers |= {"later": later, "moves": moves.astype(float)}
        trees = {"updates": g, "state.exp_avg": state.exp_avg, "state.exp_avg_sq": state.exp_avg_sq, "params": params}
        steps, m, v = leafwise(_step, trees, **numbers)
        new = optax.contrib.ProdigyState(m, v, s, state.params0, later, r, t)
        return jax.tree.map(narrow, steps, updates), new

    return init, update


def _sums(g: Any, s: Any, start: Any, w: Any, of_g: Any, beta3: Any, moves: Any) -> Any:
    """The product of gradient and way (its real part counts), the mean of the gradients, and the norm of that."""
    s = jnp.where(moves > 0.0, beta3 * s + of_g * g, s)
    return jnp.sum(jnp.conj(g) * (start - w)), s, jnp.sum(jnp.abs(s))


def _step(g: Any, m: Any, v: Any, w: Any, *, b1: Any, b2: Any, d: Any, a: Any, moves: Any, **others: Any) -> Any:
    eps, weight_decay, later = others["eps"], others["weight_decay"], others["later"]
    m = jnp.where(moves > 0.0, b1 * m + (1.0 - b1) * d * g, m)
    v = jnp.where(moves > 0.0, b2 * v + (1.0 - b2) * abs_sq(d * g), v)
    return -a * (m / nonzero(root(v) + later * eps) + weight_decay * w), m, v


def _in_float(x: Any) -> jax.Array:
    return jnp.asarray(x).astype(float)


def _root_of(x: Any) -> jax.Array:
    return root(_in_float(x))


def _correction(b1: Any, b2: Any, t: Any) -> jax.Array:
    of_v, of_m = (one_minus_power(_in_float(b), _in_float(t)) for b in (b2, b1))
    return root(of_v) / of_m


def _total(numbers: Any) -> jax.Array:
    """The sum of the real parts of a scalar for each leaf."""
    return sum((jnp.real(x).astype(float) for x in jax.tree.leaves(numbers)), jnp.zeros([], float))

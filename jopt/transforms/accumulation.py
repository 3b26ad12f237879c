"""One update for several gradients: ``accumulate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.combining import keeps_width, widen
from jopt.values.leafwise import kept_dtype, leafwise, one_number, zeros_like
from jopt.values.numbers import ScalarOrSchedule, steps_since
from jopt.values.pairs import as_pair, evaluate
from jopt.values.trees import like


class AccumulateState(NamedTuple):
    """State of ``accumulate``: a window of gradients that is not full yet."""

    mini_step: jax.Array  # int32, gradients in the window
    gradient_step: jax.Array  # int32, updates of the inner optimizer so far
    acc_grads: Any  # their sum, like the parameters
    acc_value: jax.Array  # the sum of the values that came with them
    evaluated: jax.Array  # int32, whether one of them came with a new evaluation
    inner_state: Any


@transformation(wide="parts", checked=False, evaluates=("every",), domain={"every": "[1, inf)"})
def accumulate(
    optimizer: optax.GradientTransformation, every: ScalarOrSchedule, reduction: Literal["mean", "sum"] = "mean"
) -> Any:
    """Gathers gradients and hands the optimizer their mean, or sum, at each k-th step: a larger batch in the same memory.

    ``u = f((g₁ + … + gₖ) / k)`` at each k-th step (without ``/ k`` for a sum), ``u = 0`` at the others, where the state of f
    stays as it was and, outside ``vmap``, f is not computed. So a schedule in f counts updates: give it steps / k.

    Args:
      optimizer: The transformation that gets the gathered gradients, jopt's or Optax's.
      every: k, at least 1: a number (2.5 is as good as 3), or a schedule. It is compared with an int32 count, so it may be
        swept: the lanes then update at different steps. A schedule, any function of the step, is asked with the number of
        updates of ``optimizer`` so far, as ``optax.MultiSteps`` asks it.
      reduction: "mean", for a loss that is a mean over its batch, or "sum", for one that is a sum.

    Returns:
      The transformation; its state is ``AccumulateState(mini_step, gradient_step, acc_grads, acc_value, evaluated,
      inner_state)``, with one buffer, the sum, of at least float32. Extra arguments of ``update`` reach the optimizer:
      ``value`` as its mean over the k steps, ``evaluated`` as true where it was so at any of them, and others as they are at
      the last one.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: For another reduction, or a number out of its range.

    Differs from:
      ``optax.MultiSteps`` loses the extra arguments inside ``optax.chain``, knows the value of the last step alone, and
      computes the inner update at every step, to multiply it by 0 at most of them (of NaN that is NaN).

    Example:
      >>> opt = jopt.accumulate(jopt.sgd(1.0), 2)
      >>> state = opt.init(jnp.zeros(2))
      >>> for g in (jnp.array([1.0, 0.0]), jnp.array([3.0, 1.0])):
      ...     updates, state = opt.update(g, state)
      >>> updates
      Array([-2. , -0.5], dtype=float32)
    """
    pair, wide = as_pair(optimizer), keeps_width(optimizer)

    def init(params: Any) -> AccumulateState:
        return AccumulateState(  # arrays of their own, so that each can be donated
            mini_step=jnp.zeros([], jnp.int32),
            gradient_step=jnp.zeros([], jnp.int32),
            acc_grads=zeros_like(params),
            acc_value=jnp.zeros([], jnp.result_type(float)),
            evaluated=jnp.zeros([], jnp.int32),
            inner_state=pair.init(params),
        )

    def update(updates: Any, state: AccumulateState, params: Any = None, **extra_args: Any) -> Any:
        count = state.mini_step + 1
        complete = steps_since(count, one_number("every", evaluate(every, state.gradient_step))) >= 0
        value, evaluated, told = _gathered(state, count, extra_args)
        # An optimizer of jopt's own gets the mean in float32 and rounds the update; another one, the gradients' type.
        trees = {"updates": jax.tree.map(widen, updates) if wide else updates, "state.acc_grads": state.acc_grads}
        share = count if reduction == "mean" else 1.0
        whole, total = leafwise(lambda g, s, share: ((s + g) / share, s + g), trees, share=share)

        def step() -> Any:
            new, inner_state = pair.update(whole, state.inner_state, params, **told)
            return jax.tree.map(_rounded, new, updates), like(state.inner_state, inner_state)

        def wait() -> Any:
            return jax.tree.map(_nothing, updates), state.inner_state

        new, inner_state = jax.lax.cond(complete, step, wait)
        steps = jnp.where(complete, optax.safe_increment(state.gradient_step), state.gradient_step)
        window = (count, total, value, evaluated)
        count, total, value, evaluated = jax.tree.map(lambda x: jnp.where(complete, jnp.zeros_like(x), x), window)
        return new, AccumulateState(count, steps, total, value, evaluated, inner_state)

    return init, update


def _gathered(state: AccumulateState, count: jax.Array, extra_args: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The sum of the values and whether there was an evaluation, this step included, and what the optimizer is told."""
    told = dict(extra_args)
    value, evaluated = state.acc_value, state.evaluated
    if told.get("value") is not None:
        now = jnp.asarray(told["value"])
        value = value + now.astype(value.dtype)
        told["value"] = (value / count.astype(value.dtype)).astype(kept_dtype(now))
    if "evaluated" in told:
        told["evaluated"] = jnp.logical_or(evaluated > 0, told["evaluated"])
        evaluated = told["evaluated"].astype(evaluated.dtype)
    return value, evaluated, told


def _rounded(u: jax.Array, g: Any) -> jax.Array:
    return jnp.asarray(u).astype(kept_dtype(jnp.asarray(g)))


def _nothing(g: Any) -> jax.Array:
    return jnp.zeros_like(g, dtype=kept_dtype(jnp.asarray(g)))

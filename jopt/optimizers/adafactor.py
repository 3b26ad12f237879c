"""Adafactor: second moments of matrices kept as those of their rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jopt.schedules import as_time
from jopt.transformation import transformation
from jopt.transforms import add_decayed_weights, chain, scale, scale_by_learning_rate
from jopt.transforms.blocks import clip_by_block_rms, scale_by_param_block_rms
from jopt.transforms.momentum import ema
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.moments import abs_sq, nonzero, root
from jopt.values.numbers import Numeric, ScalarOrSchedule

_STATIC = ("min_dim_size_to_factor", "decay_rate_fn")
_DOMAIN = {"decay_rate": "[0, inf)", "step_offset": "[0, inf)", "epsilon": "[0, inf)"}
_ALIAS_DOMAIN = {
    "clipping_threshold": "(0, inf)",
    "learning_rate": "[0, inf)",
    "decay_rate": "[0, inf)",
    "decay_offset": "[0, inf)",
    "momentum": "[0, 1)",
    "weight_decay_rate": "[0, inf)",
    "eps": "[0, inf)",
    "min_scale": "[0, inf)",
}


@transformation(wide=True, static=_STATIC, domain=_DOMAIN)
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Numeric = 0.8,
    step_offset: Numeric = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Numeric = 1e-30,
    decay_rate_fn: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """Divides the updates by the root of their mean square, of which large matrices keep row and column means only.

    ``β = 1 − t⁻ᶜ``; ``v' = β v + (1 − β) (g² + ε)``; ``u = g / √v'``. A leaf with two axes that are long enough has
    ``r' = β r + (1 − β) mean_columns(g² + ε)`` and ``c' = β c + (1 − β) mean_rows(g² + ε)`` instead, over its two longest axes,
    and ``u = g / √(r' c' / mean(r'))``.

    Args:
      factored: Whether to keep rows and columns at all.
      decay_rate: c, at least 0. β = 0 at the first update, and nears 1.
      step_offset: How many updates later than the first t begins to count, at least 0: for a run that goes on with new moments.
      min_dim_size_to_factor: How long the second longest axis must be; structure.
      epsilon: ε, at least 0. With 0, an element whose gradients were all 0 is left alone.
      decay_rate_fn: A function from t − 1 and c to β; by default ``1 − t⁻ᶜ``.

    Returns:
      The transformation; its state is ``optax.FactoredState(count, v_row, v_col, v)``, with one zero for what a leaf does not
      need.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax takes β in float32, also for float64 leaves, and 1 − β by subtraction. Its ``update`` needs the parameters.

    Reference:
      Shazeer and Stern, 2018, arXiv:1804.04235.

    Example:
      >>> rule = jopt.scale_by_factored_rms(min_dim_size_to_factor=2)
      >>> g = jax.numpy.array([[1.0, -2.0], [2.0, 4.0]])
      >>> rule.update(g, rule.init(g))[0].round(6)
      Array([[ 1., -1.],
             [ 1.,  1.]], dtype=float32)
    """

    def init(params: Any) -> optax.FactoredState:
        def kept(which: int) -> Any:
            return jax.tree.map(lambda p: _accumulators(p, _factored_axes(p, factored, min_dim_size_to_factor))[which], params)

        return optax.FactoredState(jnp.zeros([], jnp.int32), kept(0), kept(1), kept(2))

    def once(decay_rate: Any, step_offset: Any, epsilon: Any, t: Any) -> dict[str, Any]:
        t = jnp.maximum(t - step_offset, 1.0)
        new = t**-decay_rate if decay_rate_fn is None else 1.0 - as_time(decay_rate_fn(t - 1.0, decay_rate)).astype(t.dtype)
        return {"old": 1.0 - new, "new": new, "epsilon": epsilon}

    def rule(g: Any, r: Any, c: Any, v: Any, old: Any, new: Any, epsilon: Any) -> Any:
        squares = abs_sq(g) + epsilon
        axes = _factored_axes(g, factored, min_dim_size_to_factor)
        if axes is None:
            v = old * v + new * squares
            return g / nonzero(root(v)), r, c, v
        row, column = axes
        r = old * r + new * jnp.mean(squares, axis=column)
        c = old * c + new * jnp.mean(squares, axis=row)
        rows, columns = jnp.expand_dims(r, column), jnp.expand_dims(c, row)
        # Roots before products: r c is 1e-60 for gradients of 0, which float32 does not hold.
        rows = root(rows) / nonzero(root(jnp.mean(rows, axis=row, keepdims=True)))
        return g / nonzero(rows) / nonzero(root(columns)), r, c, v

    def update(updates: Any, state: optax.FactoredState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, "state.v_row": state.v_row, "state.v_col": state.v_col, "state.v": state.v}
        numbers: dict[str, Any] = {"decay_rate": decay_rate, "step_offset": step_offset, "epsilon": epsilon, "t": count}
        reduced = ("state.v_row", "state.v_col", "state.v")
        updates, v_row, v_col, v = leafwise(rule, trees, once=once, reduced=reduced, **numbers)
        return updates, optax.FactoredState(count, v_row, v_col, v)

    return init, update


@transformation(
    wide=True,
    static=("min_dim_size_to_factor",),
    schedules=("weight_decay_rate",),
    evaluates=("learning_rate",),
    domain=_ALIAS_DOMAIN,
)
def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Numeric = 0.8,
    decay_offset: Numeric = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Numeric | None = 1.0,
    momentum: Numeric | None = None,
    dtype_momentum: Any = None,
    weight_decay_rate: ScalarOrSchedule | None = None,
    eps: Numeric = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
    *,
    min_scale: Numeric = 1e-3,
) -> Any:
    """Adafactor: Adam's scaling without its memory, and steps in proportion to the parameters.

    ``β = 1 − t⁻ᶜ``; ``v' = β v + (1 − β) (g² + ε)``, for large matrices ``r' c' / mean(r')`` of its rows' and columns' means;
    ``a = g / √v'``; ``â = a / max(1, RMS(a) / d)``; ``w' = w − α max(RMS(w), ε₂) â − λ w``, where RMS is the root mean square
    over one leaf. With ``momentum``, the steps go through ``M' = μ M + (1 − μ) step``.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch; the
        steps are relative to the parameters, so 0.01 is large. ``None`` is α = 1. The paper's α is min(0.01, 1 / √t).
      min_dim_size_to_factor: How long the second longest axis of a leaf must be for rows and columns; structure.
      decay_rate: c, at least 0.
      decay_offset: How many updates later than the first t begins to count, at least 0.
      multiply_by_parameter_scale: Whether to multiply by max(RMS(w), ε₂).
      clipping_threshold: d, above 0; ``None`` leaves a as it is.
      momentum: μ in [0, 1); none by default.
      dtype_momentum: The type of M, where there is ``momentum``; by default the parameter's own, at least float32.
      weight_decay_rate: λ, at least 0: a number or a schedule; none by default. It is not multiplied by the rate.
      eps: ε, at least 0.
      factored: Whether to keep rows and columns at all.
      weight_decay_mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      min_scale: ε₂, at least 0.

    Returns:
      The optimizer, with the state of ``optax.adafactor``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      Optax takes β in float32 and keeps M in float32, whatever the parameters are. PyTorch always has the paper's rate, of
      which its ``lr`` is the cap (here a schedule), factors every matrix (``min_dim_size_to_factor=1``) by its last two axes,
      multiplies λ by the cap, and bounds v from below in place of adding ε. Keras always has the paper's rate too.

    Use when:
      Memory is short: of a matrix it keeps row and column means, hardly any state at all.

    Reference:
      Shazeer and Stern, 2018, arXiv:1804.04235.

    Example:
      >>> opt = jopt.adafactor(0.1)
      >>> w = jax.numpy.float32(4.0)
      >>> round(float(opt.update(jax.numpy.float32(5.0), opt.init(w), w)[0]), 6)
      -0.4
    """
    parts = [scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)]
    if clipping_threshold is not None:
        parts.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        parts.append(scale_by_learning_rate(learning_rate, flip_sign=False))
    if multiply_by_parameter_scale:
        parts.append(scale_by_param_block_rms(min_scale))
    if momentum is not None:
        parts.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if weight_decay_rate is not None:
        parts.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return chain(*parts, scale(-1.0))


def _factored_axes(p: Any, factored: bool, least: int) -> tuple[int, int] | None:
    """The second longest axis and the longest, where a leaf is to be kept as means over each; Optax's choice among equals."""
    shape = jnp.shape(p)
    if not factored or len(shape) < 2 or 0 in shape:
        return None
    second, first = (int(axis) for axis in np.argsort(shape)[-2:])
    return (second, first) if shape[second] >= least else None


def _accumulators(p: Any, axes: tuple[int, int] | None) -> tuple[Any, Any, Any]:
    """Zeros for the means of rows, those of columns, and those of elements, of one leaf."""
    unused = zeros_like(jax.ShapeDtypeStruct((1,), jnp.result_type(p)), real=True)
    if axes is None:
        return unused, unused, zeros_like(p, real=True)
    row, column = axes
    return _means(p, column), _means(p, row), unused


def _means(p: Any, axis: int) -> Any:
    # Of the shape of a sum's result, since that lies where the parameter lies.
    reduced = jax.eval_shape(lambda x: jnp.sum(x, axis=axis), p)
    # Without its sharding, from which JAX 0.10 makes no zeros on an explicit mesh outside of it.
    return zeros_like(jax.ShapeDtypeStruct(reduced.shape, reduced.dtype), real=True)

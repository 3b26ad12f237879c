"""A learning rate that falls when a monitored value settles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jopt.transformation import transformation
from jopt.values.leafwise import leafwise, one_number
from jopt.values.numbers import Numeric, difference, steps_since


class ReduceOnPlateauState(NamedTuple):
    """State of ``reduce_on_plateau``; every field is a scalar."""

    scale: jax.Array  # the product of the factors so far
    best_value: jax.Array  # the best value seen
    plateau_count: jax.Array  # int32, observations since the best one
    cooldown_count: jax.Array  # int32, observations of the cooldown that are left
    count: Any  # int32, values of the next observation so far
    avg_value: jax.Array  # their mean


@transformation(
    wide=True,
    checked=False,
    monitor="monitor",
    domain={
        "factor": "(0, 1)",
        "patience": "[0, inf)",
        "rtol": "[0, 1]",
        "atol": "[0, inf)",
        "cooldown": "[0, inf)",
        "min_lr": "[0, inf)",
        "accumulation_size": "[1, inf)",
    },
)
def reduce_on_plateau(
    factor: Numeric = 0.1,
    patience: Numeric = 10,
    rtol: Numeric = 1e-4,
    atol: Numeric = 0.0,
    cooldown: Numeric = 0,
    min_lr: Numeric = 0.0,
    mode: Literal["min", "max"] = "min",
    monitor: str | None = None,
    *,
    accumulation_size: Numeric = 1,
) -> Any:
    """Multiplies the updates by a factor that falls each time a monitored value stops improving.

    ``u = s · g``, with ``s' = factor · s`` after more than ``patience`` observations in a row that are not better than
    ``best − rtol · |best| − atol`` (``best + rtol · |best| + atol`` for ``mode="max"``). After a reduction, ``cooldown``
    observations are not counted. NaN is never better. An observation is the mean of ``accumulation_size`` values. For a
    chain: ``jopt.chain(jopt.sgd(0.1), jopt.reduce_on_plateau())``.

    Args:
      factor: What the rate is multiplied by, in (0, 1).
      patience: Observations without improvement that are borne; the next one reduces, as in PyTorch.
      rtol: How much better, relative to the size of the best value, counts as better, in [0, 1].
      atol: How much better, absolutely, counts as better, at least 0.
      cooldown: Observations after a reduction that are not counted.
      min_lr: The learning rate never falls under this by reduction. The rate is the chain's, where one part of the chain has
        one that is a number, or the argument ``learning_rate=`` of ``update``; where there is none (the rate is a schedule),
        ``min_lr`` bounds the multiplier.
      mode: "min" for a value that should fall, "max" for one that should rise.
      monitor: The name of a metric: then ``update`` takes ``metrics={name: value}`` and ``evaluated=`` (whether this step
        brought a new value; true by default) instead of ``value=``. ``jopt.sweep`` gives both.
      accumulation_size: How many values, at least 1, make one observation: their mean. The losses of single minibatches are
        too noisy to be compared; with the number of steps of an epoch, patience counts epochs. With ``monitor`` it counts
        evaluations.

    Returns:
      The transformation; its state is ``ReduceOnPlateauState(scale, best_value, plateau_count, cooldown_count, count,
      avg_value)``. Its ``update`` needs ``value=`` (the training loss of this step, in ``jopt.sweep`` and ``jopt.train``) or
      ``metrics=``.

    Raises:
      TypeError: When ``update`` is called without the value.
      ValueError: For another mode, or when the metrics lack the monitored one.

    Differs from:
      Optax reduces one observation earlier for the same patience, and treats every negative value as no improvement;
      PyTorch takes a relative threshold of the wrong sign for negative values.

    Example:
      >>> opt = jopt.chain(jopt.sgd(1.0), jopt.reduce_on_plateau(factor=0.5, patience=0))
      >>> g = jax.numpy.float32(1.0)
      >>> _, state = opt.update(g, opt.init(g), g, value=1.0)
      >>> opt.update(g, state, g, value=1.0)[0]
      Array(-0.5, dtype=float32)
    """
    sign = 1.0 if mode == "min" else -1.0
    numbers: dict[str, Any] = {
        "factor": factor,
        "patience": patience,
        "rtol": rtol,
        "atol": atol,
        "cooldown": cooldown,
        "min_lr": min_lr,
        "accumulation_size": accumulation_size,
    }

    def init(params: Any) -> ReduceOnPlateauState:
        kind = jnp.result_type(float)
        return ReduceOnPlateauState(  # arrays of their own, so that each can be donated
            scale=jnp.ones([], kind),
            best_value=jnp.full([], sign * jnp.inf, kind),
            plateau_count=jnp.zeros([], jnp.int32),
            cooldown_count=jnp.zeros([], jnp.int32),
            count=jnp.zeros([], jnp.int32),
            avg_value=jnp.zeros([], kind),
        )

    def update(
        updates: Any,
        state: ReduceOnPlateauState,
        params: Any = None,
        *,
        value: Any = None,
        metrics: Mapping[str, Any] | None = None,
        evaluated: Any = True,
        learning_rate: Any = 1.0,
        **extra_args: Any,
    ) -> Any:
        for name, x in numbers.items():
            one_number(name, x)
        observed = _gather(state, _monitored(monitor, value, metrics), sign, numbers)
        if monitor is not None:
            observed = jax.tree.map(lambda new, old: jnp.where(evaluated, new, old), observed, state)
        (scaled,) = leafwise(lambda g, s: (s * g,), {"updates": updates}, s=multiplier(observed.scale, min_lr, learning_rate))
        return scaled, observed

    return init, update


def multiplier(scale: jax.Array, min_lr: Any, learning_rate: Any) -> jax.Array:
    """What the updates are multiplied by: the scale, or what brings the learning rate down to ``min_lr`` and no further."""
    floor = _as(scale, min_lr) / jnp.maximum(_as(scale, learning_rate), 1e-37)
    return jnp.maximum(scale, jnp.minimum(floor, 1.0))


def _gather(state: ReduceOnPlateauState, value: Any, sign: float, n: Mapping[str, Any]) -> Any:
    """The state after one more value, which may complete an observation."""
    count = state.count + 1
    # The running mean, as Optax takes it; of one value it is that value exactly.
    total = state.count.astype(state.avg_value.dtype) * state.avg_value + _as(state.avg_value, value)
    mean = total / count.astype(total.dtype)
    complete = count.astype(mean.dtype) >= _as(mean, n["accumulation_size"])
    gathered, observed = state._replace(count=count, avg_value=mean), _observe(state, mean, sign, n)
    return jax.tree.map(lambda new, old: jnp.where(complete, new, old), observed, gathered)


def _observe(state: ReduceOnPlateauState, value: jax.Array, sign: float, n: Mapping[str, Any]) -> ReduceOnPlateauState:
    """The state after one more observation."""
    now, best = sign * value, sign * state.best_value
    seen = jnp.where(jnp.isinf(best), 0.0, jnp.abs(best))  # where nothing is, 0 · inf would be NaN
    margin = jnp.where(jnp.isinf(best), 0.0, _as(best, n["rtol"]) * seen + _as(best, n["atol"]))
    better = now < best - margin
    cooling = state.cooldown_count > 0
    bad = jnp.where(better | cooling, 0, state.plateau_count + 1)
    reduce = steps_since(bad, n["patience"]) > 0
    cooldown = difference(n["cooldown"], 0)[0].astype(jnp.int32)
    return ReduceOnPlateauState(
        scale=jnp.where(reduce, state.scale * _as(best, n["factor"]), state.scale),
        best_value=sign * jnp.where(better, now, best),
        plateau_count=jnp.where(reduce, 0, bad),
        cooldown_count=jnp.where(reduce, cooldown, state.cooldown_count - cooling.astype(jnp.int32)),
        count=jnp.zeros_like(state.count),
        avg_value=jnp.zeros_like(state.avg_value),
    )


def _as(like: jax.Array, x: Any) -> jax.Array:
    return jnp.asarray(x).astype(like.dtype)


def _monitored(monitor: str | None, value: Any, metrics: Mapping[str, Any] | None) -> Any:
    if monitor is None:
        if value is None:
            raise TypeError("reduce_on_plateau needs the value to monitor: call update(..., value=loss).")
        return value
    if metrics is None:
        raise TypeError(
            f"reduce_on_plateau monitors {monitor!r}: call update(..., metrics={{{monitor!r}: value}}), with evaluated=False "
            f"at the steps that have no new one. In a sweep, pass evaluate= a function that returns it."
        )
    if monitor not in metrics:
        raise ValueError(f"reduce_on_plateau monitors {monitor!r}, but the metrics are {sorted(metrics)}.")
    return metrics[monitor]

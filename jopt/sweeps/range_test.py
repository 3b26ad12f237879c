"""``lr_range_test``: one run whose learning rate grows at each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.hyper import check_call
from jopt.rates import names_a_rate
from jopt.results.range_test import RangeTest
from jopt.sweeps.by_step import sweep_steps
from jopt.training import descend, takes_key
from jopt.values import checks, require
from jopt.values.names import key_name
from jopt.values.numbers import whole
from jopt.values.pairs import as_pair, is_transformation
from jopt.values.trees import is_function


def lr_range_test(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Any,
    data: Any = None,
    *,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
) -> RangeTest:
    """One short run whose learning rate grows from ``low`` to ``high``: ``lrₜ = low · (high / low)^(t / steps)``, t from 0.

    It takes a few seconds and says where the loss falls fastest and where it blows up; on one noisy run, in which the rate and
    the progress of training are mixed up. A sweep's ``result.suggest()`` answers what is best for a whole run.

    Args:
      loss: As in ``jopt.sweep``: ``loss(params, batch)``, or with a key.
      params: As in ``jopt.sweep``: parameters, or ``init(key)``.
      optimizer: A jopt value; every ``learning_rate`` in it is replaced by the ramp. No axes, and no schedule there.
      data: As in ``jopt.sweep``.
      low: The first rate, above 0.
      high: Where the ramp ends, above ``low``.
      steps: Steps of the run, at least 10.
      batch_size: As in ``jopt.sweep``.
      seed: As in ``jopt.sweep``.

    Returns:
      A ``RangeTest``: ``.valley``, ``.slide``, ``.steepest``, ``.minimum``, each a rate, and ``.plot()``.

    Raises:
      ValueError: For an optimizer without a learning rate or with a schedule for it; for numbers out of their range; where
        the loss is too high or not finite so early that nothing can be read off.
      TypeError: For an argument of the wrong kind.

    Differs from:
      fastai ``lr_find`` ends the run where the loss is four times its lowest; here it goes on, and what follows is left out.

    Reference:
      Smith (2017), "Cyclical learning rates for training neural networks", arXiv:1506.01186; the rules are fastai's.

    Example:
      >>> found = jopt.lr_range_test(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.adam(1e-3), steps=60)
      >>> len(found.rates) <= 60
      True
    """
    if not callable(loss):
        raise TypeError(f"lr_range_test: the loss is a {type(loss).__name__}, not a function.")
    steps = whole("steps", steps, at_least=10)
    low, high = (require.between(f"lr_range_test: {name}", x, 0.0, math.inf) for name, x in (("low", low), ("high", high)))
    if not low < high:
        raise ValueError(f"lr_range_test: low and high must be 0 < low < high, but are {low!r} and {high!r}.")
    _check_rates(optimizer)
    checks.no_tracers("lr_range_test", params, optimizer, data)
    if is_function(params):
        check_call("lr_range_test: params, as the function init,", params, ("key",))
    else:
        checks.params("lr_range_test", params)
        checks.no_shapes("lr_range_test", params)
    with_key = takes_key(loss)

    def init(value: Any, key: Any) -> Any:
        made = params(key) if is_function(params) else params
        weights = jax.tree.map(jnp.asarray, made)
        return weights, as_pair(value).init(weights), jnp.int32(0)

    def step(value: Any, carry: Any, batch: Any, key: Any) -> Any:
        weights, state, t = carry
        rate = low * (high / low) ** (t / steps)
        (weights, state), found = descend(
            loss, _with_rate(value, rate), (weights, state), (batch, key) if with_key else (batch,), False, {}
        )
        return (weights, state, t + 1), found

    result = sweep_steps(init, step, optimizer, data, steps=steps, batch_size=batch_size, seed=seed, progress=False)
    losses = np.asarray(result.dataset.loss, np.float64).reshape(-1)
    return RangeTest.of(low * (high / low) ** (np.arange(steps) / steps), losses)


def _is_rate(path: Any) -> bool:
    return names_a_rate(_names(path)[-1])


def _names(path: Any) -> list[str]:
    return ".".join(map(key_name, path)).split(".")


def _with_rate(value: Any, rate: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, x: rate if _is_rate(path) else x, value)


def _check_rates(optimizer: Any) -> None:
    """Every learning rate must be a number."""
    if not is_transformation(optimizer):
        hint = "; call the factory: jopt.adam(1e-3)" if callable(optimizer) else ""
        raise TypeError(f"lr_range_test: the optimizer must be a transformation, but got {type(optimizer).__name__}{hint}.")
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(optimizer)[0]]
    inside = [jax.tree_util.keystr(p) for p in paths if any(map(names_a_rate, _names(p)[:-1]))]
    if inside:
        raise ValueError(
            f"lr_range_test: the optimizer's learning rate is a schedule, with a number at {inside[0]}; give a number instead."
        )
    if not any(_is_rate(path) for path in paths):
        raise ValueError(
            f"lr_range_test: the optimizer has no learning_rate of jopt's that could grow: {require.shown(optimizer)}; "
            f"lift another's factory, jopt.lift(optax.lion)(1e-3)."
        )

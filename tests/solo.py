"""The training loop that a lane of a sweep must equal: Python, one jitted step of Optax's usage, nothing of the engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jopt

# A lane is compiled into a batched program, so sums are taken in another order than alone; adaptive rules enlarge that.
CLOSE: dict[str, Any] = {"rtol": 2e-4, "atol": 2e-5}


class Run(NamedTuple):
    """The loss before each step, and the parameters after the last one: the average, of an optimizer that averages."""

    losses: np.ndarray
    params: Any


def run_alone(
    loss: Callable[..., Any], params: Any, pair: Any, batches: Iterable[Any], keys: Iterable[Any] | None = None
) -> Run:
    """Trains one setting: ``loss(params, batch)``, or ``loss(params, batch, key)`` where there are keys."""
    pair = optax.with_extra_args_support(pair)
    step = (
        _step_of_value
        if isinstance(pair, jopt.GradientTransformation)
        else functools.partial(jax.jit(_step, static_argnums=(0, 1)))
    )
    state, losses = pair.init(params), []
    batches = list(batches)
    extra = [()] * len(batches) if keys is None else [(key,) for key in keys]
    for batch, key in zip(batches, extra, strict=True):
        value, params, state = step(loss, pair, params, state, batch, *key)
        losses.append(float(value))
    return Run(np.array(losses), jopt.evaluation_params(state, params))


def _step(loss: Any, pair: Any, params: Any, state: Any, batch: Any, *key: Any) -> Any:
    value, grads = jax.value_and_grad(loss)(params, batch, *key)
    extra = {"value": value, "grad": grads, "value_fn": lambda p: loss(p, batch, *key)}
    updates, state = pair.update(grads, state, params, **extra)
    return value, optax.apply_updates(params, updates), state


_step_of_value = jax.jit(_step, static_argnums=0)  # the value is an argument: one compilation for all its settings


def assert_trees_close(found: Any, wanted: Any, **tolerance: Any) -> None:
    """Compares trees leaf by leaf."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for (path, f), w in zip(jax.tree_util.tree_flatten_with_path(found)[0], jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(
            np.asarray(f, np.float64), np.asarray(w, np.float64), err_msg=str(path), **(tolerance or CLOSE)
        )


def lane(result: Any, *index: int) -> Run:
    """One lane of a result: the index of its setting, then that of its seed."""
    losses = result.record.losses["loss"][index]
    return Run(np.asarray(losses), jax.tree.map(lambda x: np.asarray(x[index]), result.params))


def assert_same_run(found: Run, wanted: Run, **tolerance: Any) -> None:
    """A lane equals the run alone: the loss at every step, and the last parameters."""
    np.testing.assert_allclose(found.losses, wanted.losses, **(tolerance or CLOSE))
    assert_trees_close(found.params, wanted.params, **tolerance)

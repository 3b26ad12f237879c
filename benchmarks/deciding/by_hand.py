"""One lane trained in a Python loop over a jitted step: what people write, and what Optuna and Ray are given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jopt
from benchmarks.deciding.problems import LOOKS, Problem


def jitted(problem: Problem) -> Callable[..., Any]:
    """One step of one lane; the optimizer is an argument, so that every rate is served by one executable."""

    @functools.partial(jax.jit, donate_argnums=(1, 2))
    def step(optimizer: Any, params: Any, state: Any, data: Any, rows: Any) -> Any:
        loss, grads = jax.value_and_grad(problem.loss)(params, jax.tree.map(lambda x: x[rows], data))
        updates, state = optimizer.update(grads, state, params)
        return jopt.apply_updates(params, updates), state, loss

    return step


def train(problem: Problem, rate: float, seed: int, step: Callable[..., Any]) -> Iterator[float]:
    """Trains one lane in a Python loop, and yields, twenty times, the mean loss over the last tenth of the steps so far."""
    data = jax.tree.map(jnp.asarray, problem.data())
    optimizer = problem.optimizer(rate)
    params = problem.init(jax.random.key(seed))
    state = optimizer.init(params)
    losses = []
    for t, rows in enumerate(shuffled(len(data[0]), problem.batch_size, problem.steps, seed), 1):
        params, state, loss = step(optimizer, params, state, data, rows)
        losses.append(loss)
        if t * LOOKS % problem.steps == 0:
            yield float(np.mean([float(each) for each in losses[-max(1, t // 10) :]]))


def shuffled(examples: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """[steps, batch], the rows of each batch: every epoch in an order of its own, what is left over of it not used."""
    random = np.random.default_rng(seed)
    epoch = examples // batch_size
    orders = [random.permutation(examples)[: epoch * batch_size] for _ in range(-(-steps // epoch))]
    return np.concatenate(orders).reshape(-1, batch_size)[:steps].astype(np.int32)

"""What people do today: each rival trains every lane with Adam, at its own learning rate.

A rival is made for one model and its rates, and is then called; it returns the last loss of each lane. The ones that
train one lane after the other may be asked for the first few lanes only: their time is proportional to the lanes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jopt
from benchmarks.models import Task

Run = Callable[[], Any]


def sweep_by_jopt(task: Task, plan: Any = "auto") -> Run:
    """``jopt.sweep``, with its default plan."""
    optimizer = jopt.adam(jopt.choice(*task.rates.tolist()))
    model = task.model
    params = jax.block_until_ready(task.params)  # made here, as for the others

    def run() -> Any:
        result = jopt.sweep(
            model.loss,
            params,
            optimizer,
            model.data,
            steps=task.steps,
            batch_size=model.batch_size,
            progress=False,
            plan=plan,
        )
        return result.record.losses["loss"][..., 0, -1]

    return run


def train_step(task: Task, rate: Any, carry: Any, batch: Any) -> Any:
    """One step of one lane, as it is written with Optax."""
    params, state = carry
    loss, grads = jax.value_and_grad(task.model.loss)(params, batch)
    updates, state = optax.adam(rate).update(grads, state, params)
    return (optax.apply_updates(params, updates), state), loss


def start(task: Task) -> Any:
    """What a lane carries before its first step."""
    return task.params, optax.adam(1e-3).init(task.params)


def loop_over_step(task: Task) -> Run:
    """(a) A Python loop over one jitted step, the rate an argument, so that every lane uses one executable."""

    @functools.partial(jax.jit, donate_argnums=1)
    def step(rate: Any, carry: Any, data: Any, rows: Any) -> Any:
        return train_step(task, rate, carry, task.batch(data, rows))

    def run() -> Any:
        losses = []
        for rate in task.rates:
            carry = jax.tree.map(jnp.copy, start(task))
            for rows in task.rows:
                carry, loss = step(rate, carry, task.data, rows)
            losses.append(loss)
        return jnp.stack(losses)

    return run


def rebuilt_per_rate(task: Task) -> Run:
    """(b) The same, with the optimizer rebuilt and the step jitted anew for each rate: every lane compiles."""

    def run() -> Any:
        losses = []
        for rate in task.rates:
            one = dataclasses.replace(task, rates=np.asarray([rate]))
            optimizer = optax.adam(float(rate))

            @jax.jit
            def step(params: Any, state: Any, data: Any, rows: Any, optimizer: Any = optimizer) -> Any:
                loss, grads = jax.value_and_grad(task.model.loss)(params, task.batch(data, rows))
                updates, state = optimizer.update(grads, state, params)
                return optax.apply_updates(params, updates), state, loss

            params, state = start(one)
            for rows in task.rows:
                params, state, loss = step(params, state, task.data, rows)
            losses.append(loss)
        return jnp.stack(losses)

    return run


def train_lane(task: Task, rate: Any, data: Any, rows: Any) -> jax.Array:
    """One lane's training as a scan; the losses, ``[steps]``."""
    return jax.lax.scan(lambda carry, r: train_step(task, rate, carry, task.batch(data, r)), start(task), rows)[1]


def vmapped_scan(task: Task) -> Run:
    """(c) ``jit(vmap(scan))`` over Optax, all lanes in one call."""
    jax.block_until_ready((task.params, task.data, task.rows))  # made here, not inside the trace
    train = jax.jit(jax.vmap(functools.partial(train_lane, task), in_axes=(0, None, None)))
    return lambda: np.asarray(train(jnp.asarray(task.rates, jnp.float32), task.data, task.rows))[:, -1]


def hyperoptax_grid(task: Task) -> Run:
    """(d) hyperoptax's grid search, every point of the grid in one iteration."""
    from hyperoptax.grid import GridSearch
    from hyperoptax.spaces import DiscreteSpace

    space = {"learning_rate": DiscreteSpace(tuple(task.rates.tolist()))}
    train = jax.jit(functools.partial(train_lane, task))

    def last_loss(key: Any, config: Any) -> jax.Array:
        return train(config["learning_rate"], task.data, task.rows)[-1]

    def run() -> Any:
        state, grid = GridSearch.init(space, n_parallel=len(task.rates))
        _, (_, results) = grid.optimize(state, jax.random.key(0), last_loss, 1)
        return np.asarray(results[0])

    return run


def pytorch(task: Task) -> Run:
    """(e) PyTorch, one run after another, with its fused Adam."""
    from benchmarks.pytorch import trainer

    return trainer(task)

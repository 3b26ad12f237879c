"""Blocks run in other processes: results equal those of threads, trials of plans included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.running.carry_out import Sweep
from tests.spawned import SpawnedWorker

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype(np.float32)
Y = (X @ np.float32([1.0, -2.0, 0.5])).astype(np.float32)
RATES = jopt.geomspace(1e-3, 1e-1, 4)


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def noisy(w, batch, key):
    return loss(w, batch) + 0.01 * jax.random.normal(key) * jnp.sum(w)


def init(key):
    return jax.random.normal(key, (3,))


def batch(key, step):
    rows = jax.random.randint(key, (8,), 0, 40)
    return jnp.asarray(X)[rows], jnp.asarray(Y)[rows]


def evaluate(w):
    return {"error": jnp.mean(jnp.abs(jnp.asarray(X) @ w - jnp.asarray(Y)))}


def start(optimizer, key):
    w = init(key)
    return w, optimizer.init(w), jnp.zeros(())


def step(optimizer, carry, batch, key):
    w, state, average = carry
    value, slope = jax.value_and_grad(loss)(w, batch)
    updates, state = optimizer.update(slope, state, w)
    return (jopt.apply_updates(w, updates), state, 0.9 * average + 0.1 * value), {"loss": value}


PLAN = jopt.Plan(width=2, chunk=7, loop="scan", workers=2)
OPTIONS = {"steps": 30, "progress": False}


@functools.cache
def begun():
    """What a sweep goes on from, trained in threads."""
    return jopt.sweep(noisy, init, jopt.adam(0.1), (X, Y), batch_size=8, seeds=2, keep="carry", steps=7, progress=False).best()


SWEEPS = {
    "minibatches": lambda plan=PLAN: jopt.sweep(
        loss, jnp.zeros(3), jopt.adam(RATES), (X, Y), batch_size=8, seeds=2, evaluate=evaluate, plan=plan, **OPTIONS
    ),
    "keys": lambda plan=PLAN: jopt.sweep(
        noisy, init, jopt.momentum(RATES), (X, Y), batch_size=8, seeds=2, plan=plan, **OPTIONS
    ),
    "batch function": lambda plan=PLAN: jopt.sweep(loss, init, jopt.rmsprop(RATES), batch, plan=plan, **OPTIONS),
    "plateau": lambda plan=PLAN: jopt.sweep(
        loss,
        jnp.zeros(3),
        jopt.chain(jopt.sgd(RATES), jopt.reduce_on_plateau(patience=1, monitor="error")),
        (X, Y),
        evaluate=evaluate,
        eval_every=3,
        plan=plan,
        **OPTIONS,
    ),
    "best": lambda plan=PLAN: jopt.sweep(
        loss, init, jopt.sgd(RATES), (X, Y), seeds=2, evaluate=evaluate, eval_every=4, keep="best", plan=plan, **OPTIONS
    ),
    "going on": lambda plan=PLAN: jopt.sweep(noisy, begun(), jopt.adam(RATES), (X, Y), batch_size=8, plan=plan, **OPTIONS),
    "own step": lambda plan=PLAN: jopt.sweep_steps(
        start, step, jopt.adam(RATES), (X, Y), batch_size=8, seeds=2, plan=plan, **OPTIONS
    ),
}


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("plan", [PLAN, "auto"], ids=["planned", "auto"])
def test_a_sweep_in_spawned_processes_equals_the_one_in_threads(monkeypatch, name, plan):
    expected = SWEEPS[name]()
    monkeypatch.setattr(Sweep, "make_worker", SpawnedWorker)
    before = SpawnedWorker.started
    found = SWEEPS[name](plan=plan)
    assert SpawnedWorker.started - before <= 2, "one process for each slot"
    same = np.testing.assert_array_equal if plan == PLAN else functools.partial(np.testing.assert_allclose, rtol=1e-5)
    for variable in expected.dataset.data_vars:
        same(found.dataset[variable], expected.dataset[variable], err_msg=variable)
    jax.tree.map(same, found.params, expected.params)

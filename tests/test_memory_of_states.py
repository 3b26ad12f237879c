"""Where states lie: buffers of their own, so that they can be donated, and weak references to whatever jopt returns."""

import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.cases import CASES, name_of, one_of_each
from tests.schedule_cases import SCHEDULES

PARAMS = {"a": {"w": jnp.ones((3, 2))}, "b": [jnp.ones(()), jnp.ones((2, 3))], "c": (jnp.ones(5), {})}
SEEN = {"value": 1.0, "metrics": {"accuracy": 0.5}}

donated = jax.jit(lambda tree: jax.tree.map(lambda x: x + x, tree), donate_argnums=0)


@pytest.mark.parametrize("case", one_of_each(CASES), ids=name_of)
def test_a_state_can_be_donated_with_its_parameters(case):
    opt = case.make()
    params = jax.tree.map(jnp.copy, PARAMS)
    state = opt.init(params)
    expected = [2 * np.asarray(x) for x in jax.tree.leaves((params, state))]
    found = jax.tree.leaves(donated((params, state)))
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("case", one_of_each(CASES), ids=name_of)
def test_a_state_after_an_update_can_be_donated_with_what_it_was_made_of(case):
    opt = case.make()
    params, grads = jax.tree.map(jnp.copy, (PARAMS, PARAMS))
    _, state = opt.update(grads, opt.init(params), params, **SEEN)
    expected = [2 * np.asarray(x) for x in jax.tree.leaves((params, grads, state))]
    assert all(map(np.array_equal, jax.tree.leaves(donated((params, grads, state))), expected))


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_a_schedule_can_be_jitted_again_and_again(case):
    for _ in range(3):
        schedule = case.make()
        assert float(jax.jit(schedule)(5)) == pytest.approx(float(schedule(5)), rel=1e-6)


def returned():
    """One of each kind of object that jopt returns, by name; tuples can not be weakly referenced in Python at all."""
    rate = jopt.linear_schedule(0.1, 0.0, 10)
    opt = jopt.chain(jopt.clip(1.0), jopt.adam(rate))
    swept = {"sgd": jopt.sgd(jopt.choice(0.1, 0.2)), "adam": opt}
    grouped = jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), swept, steps=2, progress=False)
    result = grouped["sgd"]
    return {
        "schedule": rate,
        "replaced": rate.replace(init_value=0.2),
        "init": opt.init,
        "update": opt.update,
        "bound": opt.bound,
        "lifted update": jopt.lift(jopt.sgd)(0.1).update,
        "grid": jopt.choice(1, 2),
        "drawn": jopt.uniform(0, 1),
        "zipped": jopt.zipped([1, 2])[0],
        "plan": jopt.Plan(),
        "result": result,
        "groups": grouped,
        "record": result.record,
        "trial": result.best(),
        "plots": result.plot,
        "timings": result.timings,
        "used plan": result.plan,
        "dataset": result.dataset,
    }


def test_whatever_jopt_returns_can_be_weakly_referenced():
    kept = returned()
    for name, x in kept.items():
        assert weakref.ref(x)() is x, name

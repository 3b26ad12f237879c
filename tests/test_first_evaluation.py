"""The evaluation before the first step: recorded at ``eval_step`` 0, told to no plateau, never the best."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.test_results_record import record, result

PLANS = ["auto", jopt.Plan(width=1, loop="host"), jopt.Plan(width=2, chunk=3, loop="scan", workers=2)]
RATES = jopt.choice(0.1, 0.2, 0.3)


def square(w, _):
    return jnp.sum(w**2)


def size(w):
    return {"size": jnp.sum(jnp.abs(w))}


def normal(key):
    return jax.random.normal(key, (4,))


def run(**kwargs):
    options = {"steps": 9, "seeds": 3, "evaluate": size, "eval_every": 4, "progress": False, **kwargs}
    return jopt.sweep(square, normal, jopt.sgd(RATES), **options)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_it_is_of_the_initial_parameters_of_each_seed(plan):
    made = run(plan=plan)
    assert made.record.eval_step.tolist() == [0, 4, 8, 9]
    nothing = jopt.sweep(square, normal, jopt.sgd(0.0), steps=1, seeds=3, progress=False)
    wanted = np.abs(nothing.params[:, :] if nothing.params.ndim == 2 else nothing.params[0]).sum(-1)
    sizes = made.record.metrics["size"]
    np.testing.assert_allclose(sizes[..., 0], np.broadcast_to(wanted, (3, 3)), rtol=1e-6)
    for k, rate in enumerate((0.1, 0.2, 0.3)):
        np.testing.assert_allclose(sizes[k], wanted[:, None] * (1 - 2 * rate) ** np.array([0, 4, 8, 9]), rtol=1e-4)


def test_without_jit_it_is_the_same():
    compiled = run(steps=5)
    with jax.disable_jit():
        eager = run(steps=5)
    assert eager.record.eval_step.tolist() == compiled.record.eval_step.tolist() == [0, 4, 5]
    np.testing.assert_allclose(eager.record.metrics["size"], compiled.record.metrics["size"], rtol=1e-5)


def test_of_a_step_of_ones_own_it_is_of_the_first_carry():
    def step(opt, carry, batch, key):
        return carry + 1, {"loss": carry}

    made = jopt.sweep_steps(
        lambda opt, key: jnp.float32(7.0), step, jopt.sgd(0.1), steps=2, evaluate=lambda c: {"c": c}, progress=False
    )
    assert made.dataset.c.sel(eval_step=0).item() == 7.0
    assert made.record.eval_step.tolist() == [0, 1, 2]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_no_plateau_is_told_of_it(plan):
    # Told of the first value, which is the best of all, a plateau without patience would fall at every later evaluation.
    def rising(w):
        return {"error": w}

    watch = jopt.reduce_on_plateau(factor=0.5, patience=0, monitor="error", mode="min")
    optimizer = jopt.chain(jopt.sgd(jopt.choice(1.0, 0.5)), watch)
    options = {"steps": 6, "evaluate": rising, "eval_every": 3, "record": "rate", "progress": False, "plan": plan}
    found = jopt.sweep(lambda w, _: -w, jnp.float32(0.0), optimizer, **options).dataset
    np.testing.assert_allclose(found.rate.isel(seed=0).values / found.rate.isel(seed=0).values[:, :1], 1.0)
    np.testing.assert_allclose(found.error.isel(seed=0).values[0], [0.0, 3.0, 6.0], rtol=1e-6)


def test_a_rule_that_looks_sees_the_first_evaluation_as_no_new_one():
    seen = []

    @jopt.transformation(monitor="name")
    def watching(rate, name="error"):
        def update(updates, state, params=None, *, metrics, evaluated, **extra):
            seen.append((float(metrics["error"]), bool(evaluated)))
            return jax.tree.map(lambda g: -rate * g, updates), state

        return lambda params: (), update

    options = {"steps": 4, "evaluate": lambda w: {"error": w}, "eval_every": 2, "progress": False}
    with jax.disable_jit():
        jopt.sweep(lambda w, _: -w, jnp.float32(5.0), watching(1.0), **options)
    assert seen == [(5.0, False), (5.0, False), (7.0, True), (7.0, False)]


def test_at_best_does_not_take_it():
    made = jopt.sweep(
        lambda w, _: -w, jnp.float32(0.0), jopt.sgd(RATES), steps=4, evaluate=lambda w: {"error": w}, progress=False
    )
    best = made.best(at="best")  # the error only rises: at the start it is 0 in every lane
    assert best.setting == {"learning_rate": 0.1}
    assert best.score == pytest.approx(0.1)
    assert made.top(3, at="best")[-1].score == pytest.approx(0.3)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_at_best_of_a_record_looks_behind_the_first_step_only(mode):
    rec = record([1.0, 2.0])
    extreme = np.full((*rec.metrics["accuracy"].shape[:-1], 1), -100.0 if mode == "min" else 100.0)
    metrics = {"accuracy": np.concatenate([extreme, rec.metrics["accuracy"]], -1)}
    early = dataclasses.replace(rec, eval_step=np.array([0, 5, 10, 15]), metrics=metrics)
    assert result(early).best("accuracy", mode, "best").score == result(rec).best("accuracy", mode, "best").score


def test_lanes_that_die_at_once_keep_it():
    made = jopt.sweep(square, normal, jopt.sgd(jopt.choice(0.1, 1e30)), steps=200, evaluate=size, progress=False)
    assert np.isfinite(made.record.metrics["size"][:, 0, 0]).all()
    assert np.isnan(made.record.metrics["size"][1, 0, -1])


def test_it_compiles_nothing_more():
    from jopt.engine.running.runtime import EXECUTABLES

    run(steps=9)
    before = len(EXECUTABLES.compiled)
    run(steps=9)
    assert len(EXECUTABLES.compiled) == before

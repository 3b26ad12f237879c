"""Sweeps of optimizers that average parameters: what is evaluated and kept is the average, what goes on is not."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.solo import assert_trees_close

X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
STEPS, EVERY = 12, 3
PARAMS = {"w": jnp.ones(3), "b": jnp.float32(0.0)}
RATES = jopt.choice(0.02, 0.1)
AVERAGES = {
    "parameter_ema": jopt.parameter_ema(jopt.sgd(RATES), 0.8),
    "schedule_free": jopt.schedule_free_sgd(RATES, b1=0.5),
    "of a part": jopt.partition({"w": jopt.sgd(0.1), "b": jopt.tail_average(jopt.adam(RATES), 4)}),
}
each_average = pytest.mark.parametrize("name", AVERAGES)


def loss(params, batch):
    return jnp.mean((batch @ params["w"] + params["b"] - 1.0) ** 2)


def distance(params):
    return {"distance": jnp.abs(params["b"] - 0.4) + jnp.sum(params["w"] ** 2)}


def swept(optimizer, params=PARAMS, **more):
    settings = {"steps": STEPS, "batch_size": 8, "evaluate": distance, "eval_every": EVERY, "keep": "carry", "progress": False}
    return jopt.sweep(loss, params, optimizer, X, **{**settings, **more})


def alike(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@each_average
def test_evaluations_and_parameters_are_of_the_average(name):
    result = swept(AVERAGES[name])
    curve = result.record.metrics["distance"]
    for k in range(2):
        params, state = (jax.tree.map(lambda x, k=k: x[k, 0], tree) for tree in (result.raw_params, result.state))
        average = jopt.evaluation_params(state, params)
        alike(average, jax.tree.map(lambda x, k=k: x[k, 0], result.params))
        assert not np.array_equal(average["b"], params["b"])
        np.testing.assert_allclose(curve[k, 0, -1], distance(average)["distance"], rtol=1e-6)
    best = result.best()
    alike(best.params, jopt.evaluation_params(best.state, best.raw_params))
    alike(swept(AVERAGES[name], keep="params").params, result.params)


@each_average
def test_a_sweep_goes_on_from_what_was_trained_bit_for_bit_and_not_from_the_average(name):
    first = swept(AVERAGES[name])
    best = first.best()
    more = swept(best.optimizer, best, steps=6)
    whole = swept(best.optimizer, steps=STEPS + 6)
    alike((more.params, more.raw_params, more.state), (whole.params, whole.raw_params, whole.state))
    joined = first.concat(more)
    alike(joined.raw_params_at(best.index), more.raw_params_at(()))
    alike(joined.params_at(best.index), more.params_at(()))


def test_a_result_from_a_file_holds_both_and_goes_on(tmp_path):
    first = swept(AVERAGES["schedule_free"])
    first.save(tmp_path / "first.jopt")
    loaded = jopt.load_result(tmp_path / "first.jopt")
    alike((loaded.params, loaded.raw_params, loaded.state), (first.params, first.raw_params, first.state))
    alike(*(swept(t.optimizer, t, steps=6).params for t in (first.best(), loaded.best())))


@pytest.mark.parametrize("jit", [True, False])
def test_the_best_that_is_kept_is_the_best_average(jit):
    with jax.disable_jit(not jit):
        result = swept(AVERAGES["parameter_ema"], keep="best", steps=6)
        plain = swept(AVERAGES["parameter_ema"], keep="params", steps=6)
    for k in range(2):
        kept = jax.tree.map(lambda x, k=k: x[k, 0], result.params)
        curve = result.record.metrics["distance"][k, 0, 1:]
        np.testing.assert_allclose(distance(kept)["distance"], curve.min(), rtol=1e-6)
    np.testing.assert_allclose(
        plain.record.metrics["distance"][:, 0, -1],
        [distance(jax.tree.map(lambda x, k=k: x[k, 0], plain.params))["distance"] for k in range(2)],
        rtol=1e-6,
    )


@pytest.mark.parametrize("keep", ["params", "carry", "best"])
def test_parameters_of_a_narrow_type_are_kept_in_it(keep):
    narrow = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    seen = []

    def evaluate(params):
        seen.append({x.dtype for x in jax.tree.leaves(params)})
        return distance(params)

    def narrow_loss(params, batch):
        return loss(jax.tree.map(lambda p: p.astype(jnp.float32), params), batch)

    settings = {"steps": 4, "batch_size": 8, "evaluate": evaluate, "eval_every": 2, "keep": keep, "progress": False}
    result = jopt.sweep(narrow_loss, narrow, AVERAGES["schedule_free"], X, **settings)
    assert {x.dtype.name for x in jax.tree.leaves((result.params, result.best().params))} == {"bfloat16"}
    assert set.union(*seen) == {jnp.dtype(jnp.bfloat16)}


def test_averages_of_settings_whose_states_differ_in_form_are_one_tree():
    result = swept(jopt.parameter_ema(jopt.sgd(0.05, momentum=jopt.choice(None, 0.9)), 0.8))
    for k, momentum in enumerate((None, 0.9)):
        alone = swept(jopt.parameter_ema(jopt.sgd(0.05, momentum=momentum), 0.8))
        assert_trees_close(jax.tree.map(lambda x, k=k: x[k], result.params), alone.params)
        assert_trees_close(jax.tree.map(lambda x, k=k: x[k], result.raw_params), alone.raw_params)


def test_an_average_resumes_from_a_checkpoint(tmp_path):
    short = swept(AVERAGES["schedule_free"], steps=6, checkpoint=tmp_path)
    longer = swept(AVERAGES["schedule_free"], checkpoint=tmp_path)
    assert longer.timings.lane_steps == 2 * (STEPS - 6)
    at_once = swept(AVERAGES["schedule_free"])
    alike((longer.params, longer.raw_params), (at_once.params, at_once.raw_params))
    assert short.record.last == 6


def test_without_an_average_what_is_kept_is_what_was_trained():
    result = swept(jopt.sgd(RATES))
    alike(result.params, result.raw_params)
    for keep in ("params", "best", "none"):
        with pytest.raises(ValueError, match=r'no parameters at which gradients are taken.*keep="carry" keeps them'):
            assert swept(jopt.sgd(RATES), keep=keep, steps=2).raw_params


def test_train_returns_what_it_trained_and_a_state_with_the_average():
    opt = jopt.tail_average(jopt.sgd(0.1))
    params, state, _ = jopt.train(loss, PARAMS, opt, X.reshape(4, 8, 3))
    plain, _, _ = jopt.train(loss, PARAMS, jopt.sgd(0.1), X.reshape(4, 8, 3))
    alike(params, plain)
    assert not np.array_equal(jopt.evaluation_params(state, params)["b"], params["b"])


def test_the_example_evaluates_averages(capsys):
    result = importlib.import_module("examples.averaged_parameters").main(steps=20, rates=2, seeds=1)
    assert set(result) == {"constant rate", "cosine to 0", "tail average", "moving average", "schedule-free"}
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert result["moving average"].best().params["in"].shape == (64, 48)


def test_parameters_that_are_none_are_named_by_their_path():
    opt = jopt.tail_average(jopt.sgd(0.1))
    with pytest.raises(TypeError, match=r"params: the leaf at \['w'\]"):
        jopt.evaluation_params(opt.init({"w": jnp.ones(2)}), {"w": "ones"})
    with pytest.raises(TypeError, match=r"params: the leaf at \(root\)"):
        jopt.evaluation_params(opt.init(jnp.ones(2)), "ones")

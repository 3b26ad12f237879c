"""``jopt.metrics``: evaluations with data, in batches, and with a direction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

X = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32)


def evaluate(w, data):
    x, y = data
    right = ((x @ w) > 0) == (y > 0)
    return {"zloss": ((x @ w - y) ** 2).mean(), "right": right.mean(), "examples": len(y)}


def swept(metrics, **kwargs):
    loss = lambda w, batch: ((batch[0] @ w - batch[1]) ** 2).mean()  # noqa: E731
    options = {"steps": 6, "eval_every": 3, "seeds": 2, "evaluate": metrics, **kwargs}
    return jopt.sweep(loss, lambda key: jax.random.normal(key, (3,)), jopt.sgd(jopt.choice(0.05, 0.1)), (X, Y), **options)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 10, 11, 50])
def test_batches_give_what_all_examples_at_once_give(batch_size):
    whole = jopt.metrics(evaluate, data=(X, Y))
    parts = jopt.metrics(evaluate, data=(X, Y), batch_size=batch_size)
    w = jnp.array([0.3, -1.0, 0.1])
    for name in ("zloss", "right"):
        np.testing.assert_allclose(parts(w)[name], whole(w)[name], rtol=1e-6)
        np.testing.assert_allclose(parts(w)[name], np.asarray(evaluate(w, (X, Y))[name]), rtol=1e-6)
    assert list(parts(w)) == list(whole(w)) == ["zloss", "right", "examples"]


def test_a_sweep_evaluates_in_batches_as_it_would_by_a_closure():
    a = swept(jopt.metrics(evaluate, data=(X, Y), batch_size=4)).record.metrics
    b = swept(lambda w: evaluate(w, (X, Y))).record.metrics
    assert list(a) == list(b)
    np.testing.assert_allclose(a["zloss"], b["zloss"], rtol=1e-5)
    np.testing.assert_allclose(a["right"], b["right"], rtol=1e-6)


def test_a_mean_over_batches_of_narrow_floats_or_integers_is_taken_in_float32():
    def counted(w, x):
        return {"half": (x[:, 0] * 0 + 1).astype(jnp.float16).mean(), "above": (x[:, 0] > 0).sum()}

    made = jopt.metrics(counted, data=X, batch_size=4)(jnp.zeros(3))
    sizes, above = np.array([4, 4, 3]), [(part > 0).sum() for part in np.split(X[:, 0], [4, 8])]
    assert made["half"].dtype == made["above"].dtype == jnp.float32
    np.testing.assert_allclose(made["above"], (sizes * above).sum() / 11, rtol=1e-6)


def test_data_may_be_any_tree_and_without_batches_need_have_no_examples():
    made = jopt.metrics(lambda w, d: {"a": w * d["scale"] + d["x"][0].sum()}, data={"scale": 2.0, "x": [X]})
    np.testing.assert_allclose(made(jnp.float32(3.0))["a"], 6 + X.sum(), rtol=1e-5)
    indexed = jopt.metrics(lambda w, d: {"a": d[w.astype(int)]}, data=np.arange(4.0))  # NumPy arrays take no traced index
    assert jax.jit(indexed)(jnp.float32(2.0))["a"] == 2.0


def test_without_data_evaluate_takes_the_parameters_alone():
    made = swept(jopt.metrics(lambda w: {"acc": -(w**2).sum(), "f1": w.sum()}, maximize=("acc", "f1")))
    assert made.record.maximize == ("acc", "f1")
    assert made.best("f1").mode == made.best().mode == "max"


def test_metrics_serve_a_step_of_ones_own():
    def step(opt, w, batch, key):
        return w + opt.hyperparams["learning_rate"], {"loss": w}

    chosen = jopt.metrics(lambda w, d: {"score": (w * d).mean()}, data=np.ones(5, np.float32), batch_size=2, maximize="score")
    made = jopt.sweep_steps(lambda opt, key: jnp.float32(0.0), step, jopt.sgd(jopt.choice(0.1, 0.2)), steps=2, evaluate=chosen)
    assert made.best().setting == {"learning_rate": 0.2}


def test_a_name_that_evaluate_does_not_return_is_an_error_before_training():
    for names in ("accuracy", ("zloss", "accuracy")):
        with pytest.raises(
            ValueError, match=r"maximize names 'accuracy', but evaluate returns \['zloss', 'right', 'examples'\]"
        ):
            swept(jopt.metrics(evaluate, data=(X, Y), maximize=names), seeds=1)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "words"),
    [
        ((3,), {}, TypeError, "evaluate must be a function.*3"),
        ((lambda w, d: {},), {}, TypeError, r"must take \(params\).*data= gives"),
        ((lambda w: {},), {"data": X}, TypeError, r"must take \(params, data\)"),
        ((lambda w: {},), {"batch_size": 2}, ValueError, "batch_size= is for data="),
        ((evaluate,), {"data": (X, Y), "batch_size": 0}, ValueError, "batch_size must be a whole number"),
        ((evaluate,), {"data": (X, Y[:4]), "batch_size": 2}, ValueError, "equally long"),
        ((evaluate,), {"data": (X[:0], Y[:0]), "batch_size": 2}, ValueError, "no examples"),
        ((lambda w: {},), {"maximize": [1]}, TypeError, "maximize takes the name"),
    ],
)
def test_a_wrong_call_is_refused_in_a_sentence(args, kwargs, error, words):
    with pytest.raises(error, match=words):
        jopt.metrics(*args, **kwargs)


def test_what_evaluate_returns_is_checked_in_batches_too():
    with pytest.raises(ValueError, match=r"evaluate: 'a' must be a scalar.*\(4,\)"):
        swept(jopt.metrics(lambda w, d: {"a": d[1]}, data=(X, Y), batch_size=4))

"""``jopt.metrics``: evaluations with data, in batches, and with a direction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jopt
from jopt.engine.compiled.tracing import trace
from jopt.engine.running.runtime import EXECUTABLES

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


# Data are arguments of the compiled evaluation


def traced(metrics, params=None):
    shape = jax.ShapeDtypeStruct((3,), jnp.float32) if params is None else params
    return trace(metrics, shape)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_data_are_arguments_and_no_constants(batch_size, kind):
    x = np.random.default_rng(0).normal(size=(4099, 3)).astype(np.float32)
    made = traced(jopt.metrics(evaluate, data=(kind(x), kind(x[:, 0])), batch_size=batch_size))
    assert sorted(a.shape for a in made.arrays) == [(4099,), (4099, 3)]
    assert all(np.size(c) < 10 for c in made.program.consts)
    lowered = jax.jit(lambda w, arrays: made(arrays, w)).lower(jnp.zeros(3), made.arrays).as_text()
    assert len(lowered) < 4 * x.nbytes / 10  # a constant would stand there digit by digit


def test_no_evaluation_copies_the_data():
    made = traced(jopt.metrics(evaluate, data=(X, Y)))
    assert "copy" not in str(made.program)
    assert "device_put" not in str(made.program)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_other_data_of_the_same_shape_compile_nothing(batch_size):
    a = swept(jopt.metrics(evaluate, data=(X, Y), batch_size=batch_size)).record.metrics
    before = set(EXECUTABLES.compiled)
    b = swept(jopt.metrics(evaluate, data=(X[::-1] * 2, Y[::-1]), batch_size=batch_size)).record.metrics
    assert set(EXECUTABLES.compiled) == before
    assert not np.allclose(a["zloss"], b["zloss"])


def test_a_batched_evaluation_of_many_lanes_needs_the_memory_of_a_batch():
    lanes, examples, hidden, size = 16, 4096, 32, 64
    x = np.zeros((examples, 8), np.float32)

    def wide(w, x):
        return {"error": jnp.sort(x @ w, axis=0)[0].mean()}  # a sort needs all of its numbers at once

    def temporary(batch_size):
        metrics = jopt.metrics(wide, data=x, batch_size=batch_size)
        made = traced(metrics, jax.ShapeDtypeStruct((8, hidden), jnp.float32))
        over_lanes = jax.jit(lambda w, arrays: jax.vmap(lambda w: made(arrays, w))(w))
        compiled = over_lanes.lower(jnp.zeros((lanes, 8, hidden)), made.arrays).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    of_a_batch = 4 * lanes * size * hidden
    assert temporary(size) < 3 * of_a_batch + x.nbytes
    assert temporary(None) > 4 * of_a_batch + x.nbytes


def test_data_may_change_after_the_sweep_was_called_and_are_read_anew_at_the_next():
    x, y = X.copy(), Y.copy()
    metrics = jopt.metrics(evaluate, data=(x, y), batch_size=4)
    first = swept(metrics).record.metrics["zloss"]
    x *= 0
    second = swept(metrics).record.metrics["zloss"]
    np.testing.assert_allclose(second, (Y**2).mean(), rtol=1e-5)
    assert not np.allclose(first, second)


def test_data_of_a_user_may_not_be_written_to_through_the_evaluation():
    x = np.arange(64.0, dtype=np.float32)  # aligned memory, which JAX would borrow on a CPU
    (array,) = traced(jopt.metrics(lambda w, x: {"a": x.sum()}, data=x)).arrays
    x[:] = -1
    assert np.asarray(array).tolist() == list(range(64))


def test_data_are_read_as_those_of_a_sweep():
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    for data in (torch.from_numpy(X), pandas.DataFrame(X), X.astype(np.float64), X.astype(">f4")):
        made = jopt.metrics(lambda w, x: {"a": x.sum()}, data=data, batch_size=3)(jnp.zeros(3))
        np.testing.assert_allclose(made["a"], (3 * X[:9].sum() + 2 * X[9:].sum()) / 11, rtol=1e-5)
        whole = jopt.metrics(lambda w, x: {"a": x.sum()}, data=data)(jnp.zeros(3))
        np.testing.assert_allclose(whole["a"], X.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (np.array(["a", "b"]), TypeError, "metrics: data.*text"),
        ({"x": X, "y": object()}, TypeError, "metrics: data: the leaf at .'y'.*object"),
        (np.full(4, 2**40), ValueError, "metrics: data.*int32 can't hold"),
    ],
)
def test_data_that_are_no_numbers_are_refused_in_a_sentence(data, error, words):
    with pytest.raises(error, match=words):
        jopt.metrics(lambda w, d: {"a": w.sum()}, data=data)(jnp.zeros(3))


@settings(max_examples=20, deadline=None)
@given(examples=st.integers(1, 23), batch_size=st.integers(1, 25), seed=st.integers(0, 99))
def test_in_batches_of_any_size_each_example_counts_once(examples, batch_size, seed):
    x = np.random.default_rng(seed).normal(size=examples).astype(np.float32)
    made = jopt.metrics(lambda w, x: {"m": (w * x).mean(), "n": len(x)}, data=x, batch_size=batch_size)(jnp.float32(2.0))
    np.testing.assert_allclose(made["m"], 2 * x.astype(float).mean(), rtol=1e-5, atol=1e-6)
    sizes = [min(batch_size, examples - i) for i in range(0, examples, batch_size)]
    np.testing.assert_allclose(made["n"], (np.array(sizes) ** 2).sum() / examples, rtol=1e-6)

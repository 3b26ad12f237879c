"""Bad input of ``jopt.sweep``: an error that names the argument, what was expected and what was given; never a number."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

X, Y = np.ones((6, 3), np.float32), np.ones(6, np.float32)
W = jnp.ones(3)


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def call(f=loss, params=W, optimizer=None, data=(X, Y), **kwargs):
    optimizer = jopt.sgd(jopt.choice(0.1, 0.2)) if optimizer is None else optimizer
    return jopt.sweep(f, params, optimizer, data, **{"steps": 3, **kwargs})


def test_the_call_that_the_others_spoil_is_good():
    assert np.isfinite(call().best().score)


# Arguments


@pytest.mark.parametrize(
    ("kwargs", "error", "named"),
    [
        ({"steps": 0}, ValueError, r"steps.*at least 1.*0"),
        ({"steps": -3}, ValueError, r"steps.*at least 1.*-3"),
        ({"steps": 1.5}, (ValueError, TypeError), r"steps.*whole number.*1.5"),
        ({"steps": True}, (ValueError, TypeError), r"steps.*whole number.*True"),
        ({"steps": "ten"}, (ValueError, TypeError), r"steps.*whole number.*'ten'"),
        ({"steps": None}, (ValueError, TypeError), r"steps.*whole number.*None"),
        ({"batch_size": 7}, ValueError, r"batch_size.*7.*6"),
        ({"batch_size": 0}, ValueError, r"batch_size.*at least 1.*0"),
        ({"batch_size": 2.5}, (ValueError, TypeError), r"batch_size.*whole number.*2.5"),
        ({"batch_size": True}, (ValueError, TypeError), r"batch_size.*whole number.*True"),
        ({"batch_size": "all"}, (ValueError, TypeError), r"batch_size.*whole number.*'all'"),
        ({"batch_size": float("nan")}, (ValueError, TypeError), r"batch_size.*whole number.*nan"),
        ({"batch_size": [2, 4]}, TypeError, r"batch_size.*whole number.*jopt.choice\(2, 4\);.*\[2, 4\]"),
        ({"batch_size": (2, 4)}, TypeError, r"jopt.choice\(2, 4\)"),
        ({"batch_size": np.array([2, 4])}, TypeError, r"jopt.choice\(2, 4\)"),
        ({"batch_size": range(2, 4)}, TypeError, r"jopt.choice\(2, 3\)"),
        ({"batch_size": jopt.geomspace(1, 4, 3)}, ValueError, r"batch_size.*1.0.*geomspace\(16, 256, 3, dtype=int\)"),
        ({"batch_size": jopt.choice(None, 2.0)}, ValueError, r"batch_size.*2.0.*whole"),
        ({"seeds": 0}, ValueError, r"seeds.*at least 1.*0"),
        ({"seeds": -1}, ValueError, r"seeds.*at least 1.*-1"),
        ({"seeds": []}, ValueError, "seeds"),
        ({"seeds": [0, 0]}, ValueError, r"seeds.*different"),
        ({"seeds": [0, -1]}, ValueError, r"seeds.*at least 0"),
        ({"seeds": [1, 0.5]}, ValueError, r"seeds\[1\].*whole number.*0.5"),
        ({"seeds": 1.5}, (ValueError, TypeError), r"seeds.*1.5"),
        ({"seeds": True}, (ValueError, TypeError), r"seeds.*True"),
        ({"seeds": None}, (ValueError, TypeError), r"seeds.*None"),
        ({"seeds": "three"}, (ValueError, TypeError), r"seeds.*'three'"),
        ({"seeds": [2**40]}, ValueError, "seeds"),
        ({"seed": 0.5}, (ValueError, TypeError), r"seed.*0.5"),
        ({"seed": None}, (ValueError, TypeError), r"seed.*None"),
        ({"record_every": 0}, ValueError, r"record_every.*at least 1.*0"),
        ({"record_every": 2.5}, (ValueError, TypeError), r"record_every.*whole number.*2.5"),
        ({"eval_every": 2}, ValueError, r"eval_every.*evaluate"),
        ({"evaluate": lambda w: {"n": w[0]}, "eval_every": 0}, ValueError, r"eval_every.*at least 1.*0"),
        ({"evaluate": {"accuracy": 1.0}}, TypeError, "evaluate must be a function"),
        ({"plan": "fast"}, (ValueError, TypeError), r"plan.*'fast'"),
        ({"plan": None}, TypeError, r"plan.*None"),
        ({"plan": 8}, TypeError, r"plan.*jopt.Plan.*8"),
        ({"plan": jopt.Plan}, TypeError, r"plan.*jopt.Plan"),
        ({"workers": 0}, ValueError, r"workers.*at least 1.*0"),
        ({"workers": 1.5}, (ValueError, TypeError), r"workers.*1.5"),
        ({"samples": 4}, ValueError, r"samples=.*drawn"),
        ({"samples": 4, "optimizer": {"a": jopt.sgd(0.1), "b": jopt.sgd(0.2)}}, ValueError, r"samples=.*drawn"),
        ({"optimizer": jopt.sgd(jopt.uniform(0.1, 0.2))}, ValueError, "samples="),
        ({"optimizer": jopt.sgd(jopt.uniform(0.1, 0.2)), "samples": 0}, ValueError, r"samples.*at least 1"),
        ({"optimizer": jopt.sgd(jopt.uniform(0.1, 0.2)), "samples": 1.5}, ValueError, r"samples.*whole"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_argument_is_refused_by_name(kwargs, error, named):
    with pytest.raises(error, match=named):
        call(**kwargs)


# The optimizer


@pytest.mark.parametrize(
    ("optimizer", "error", "named"),
    [
        (jopt.adam, TypeError, r"optimizer must be a transformation.*call the factory"),
        (optax.adam, TypeError, r"optimizer must be a transformation.*call the factory"),
        (0.1, TypeError, r"optimizer must be a transformation.*float"),
        ("adam", TypeError, r"optimizer must be a transformation.*str"),
        ({}, ValueError, r"dict.* of optimizers.* empty"),
        ({"adam": jopt.adam}, TypeError, r"optimizer.*adam.*call the factory"),
        ({"adam": 0.1}, TypeError, r"optimizer.*float"),
        ({1: jopt.adam(0.1)}, (TypeError, ValueError), r"name 1 must be .*string"),
        ({"a/b": jopt.adam(0.1)}, ValueError, "a/b"),
        ({"": jopt.adam(0.1)}, ValueError, "name"),
        ([jopt.adam(0.1), jopt.sgd(0.1)], TypeError, "dict"),
        (jopt.chain(jopt.sgd(0.1), jopt.reduce_on_plateau(monitor="val")), ValueError, r"'val'.*evaluate="),
    ],
    ids=itertools.count(),
)
def test_a_wrong_optimizer_is_refused(optimizer, error, named):
    with pytest.raises(error, match=named):
        call(optimizer=optimizer)


def test_a_plateau_whose_metric_evaluate_does_not_return_is_refused():
    optimizer = jopt.chain(jopt.sgd(0.1), jopt.reduce_on_plateau(monitor="val"))
    with pytest.raises(ValueError, match=r"'val'.*other"):
        call(optimizer=optimizer, evaluate=lambda w: {"other": w[0]})


def test_a_rate_for_a_layer_that_is_not_there_is_refused():
    with pytest.raises((ValueError, TypeError), match=r"learning_rate"):
        call(optimizer=jopt.sgd({"v": jopt.choice(0.1, 0.2)}))


# Parameters


@pytest.mark.parametrize(
    ("params", "named"),
    [
        (loss, r"params, as the function init, must take \(key\), but takes \(w, batch\)"),
        ({"n": jnp.arange(3)}, r"\['n'\].*int32.*floating"),
        ({"n": True}, r"\['n'\].*bool.*floating"),
        ({"layer": ["relu", W]}, r"\['layer'\]\[0\].*str"),
        (3, r"int.*floating"),
    ],
    ids=itertools.count(),
)
def test_parameters_that_cannot_be_trained_are_refused_by_path(params, named):
    with pytest.raises(TypeError, match=named):
        call(params=params)


def test_no_parameters_at_all_are_refused():
    for nothing in (None, {}, []):
        with pytest.raises((TypeError, ValueError), match=r"params|parameters"):
            call(lambda w, b: jnp.float32(1.0), params=nothing)


def test_an_init_that_makes_integers_is_refused():
    with pytest.raises(TypeError, match=r"int32.*floating"):
        call(lambda w, b: jnp.float32(0.0), params=lambda key: jnp.arange(3))


def test_swapped_loss_and_parameters_are_refused():
    with pytest.raises(TypeError, match=r"sweep takes \(loss, params, optimizer, data\)"):
        jopt.sweep(W, loss, jopt.sgd(0.1), (X, Y), steps=3)


def test_swapped_optimizer_and_data_are_refused():
    with pytest.raises(TypeError, match=r"data.*give arrays|optimizer"):
        jopt.sweep(loss, W, (X, Y), jopt.sgd(0.1), steps=3)


# Data


@pytest.mark.parametrize(
    ("data", "error", "named"),
    [
        ((X, Y[:5]), ValueError, r"data.*\[0\].*6.*\[1\].*5"),
        ({"x": X, "y": np.float32(1.0)}, ValueError, r"data.*\['y'\].*scalar"),
        ((X[:0], Y[:0]), ValueError, "data has no examples"),
        ((X, "labels"), TypeError, r"data.*\[1\].*str"),
        ((X, np.array(["a"] * 6)), TypeError, r"data.*\[1\]"),
        ((X, np.array([None] * 6)), TypeError, r"data.*\[1\]"),
        ("digits", TypeError, r"data.*str"),
        (7, TypeError, r"data.*int"),
    ],
    ids=itertools.count(),
)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_data_that_do_not_fit_are_refused_by_path(data, error, named, batch_size):
    with pytest.raises(error, match=named):
        call(data=data, batch_size=batch_size)


@pytest.mark.parametrize("data", [None, lambda key, step: (X, Y), iter([(X, Y)])], ids=["none", "function", "iterator"])
def test_a_batch_size_for_what_is_no_array_is_refused(data):
    with pytest.raises(ValueError, match="batch_size="):
        call(data=data, batch_size=2)


def test_a_batch_of_an_iterable_that_is_no_array_is_refused():
    with pytest.raises(TypeError, match=r"data.*batch"):
        call(data=iter([(X, object())]))


# The loss


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        (lambda w, b: b[0] @ w, ValueError, r"loss.*scalar.*\(6,\).*mean"),
        (lambda w, b: jnp.ones((1,)) * w[0], ValueError, r"loss.*scalar.*\(1,\)"),
        (lambda w, b: jnp.int32(1), TypeError, r"loss.*floating.*int32"),
        (lambda w, b: 1, TypeError, r"loss.*floating.*int"),
        (lambda w, b: w[0] > 0, TypeError, r"loss.*floating.*bool"),
        (lambda w, b: "low", TypeError, r"loss.*str"),
        (lambda w, b: None, TypeError, r"loss.*NoneType"),
        (lambda w, b: loss(w, b) * 1j, TypeError, r"loss.*floating.*complex"),
        (lambda w, b: (loss(w, b), {"a": w[0]}), TypeError, r"loss.*tuple.*has_aux"),
        (lambda w: loss(w, (X, Y)), TypeError, r"loss.*\(params, batch\)"),
        (lambda w, b, k, more: loss(w, b), TypeError, r"loss.*\(params, batch\)"),
        (lambda: 1.0, TypeError, r"loss.*\(params, batch\)"),
    ],
    ids=itertools.count(),
)
def test_a_loss_that_is_no_floating_scalar_is_refused(wrong, error, named):
    with pytest.raises(error, match=named):
        call(wrong)


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        (loss, TypeError, r"has_aux.*scalar, dict"),
        (lambda w, b: (loss(w, b), w[0]), TypeError, r"auxiliary.*dict of named scalars"),
        (lambda w, b: (loss(w, b), {"w": w}), ValueError, r"'w' must be a scalar.*\(3,\)"),
        (lambda w, b: (loss(w, b), {"loss": w[0]}), ValueError, r"'loss'.*rename"),
        (lambda w, b: (loss(w, b), {"step": w[0]}), ValueError, r"'step'.*rename"),
        (lambda w, b: (loss(w, b), {"learning_rate": w[0]}), ValueError, r"'learning_rate'.*rename"),
        (lambda w, b: (loss(w, b), {3: w[0]}), ValueError, r"3.*rename"),
        (lambda w, b: (loss(w, b), {"what": "text"}), TypeError, r"'what'.*str"),
        (lambda w, b: (loss(w, b), {"z": w[0] * 1j}), TypeError, r"'z'.*complex"),
        (lambda w, b: (b[0] @ w, {}), ValueError, r"loss.*scalar.*\(6,\)"),
    ],
    ids=itertools.count(),
)
def test_auxiliary_values_that_are_no_named_scalars_are_refused(wrong, error, named):
    with pytest.raises(error, match=named):
        call(wrong, has_aux=True)


def test_a_loss_that_needs_the_numbers_themselves_is_refused():
    history = []

    def noting(w, batch):
        value = loss(w, batch)
        history.append(float(value))
        return value

    with pytest.raises(TypeError, match=r"[Cc]oncret"):  # JAX's own sentence says where, and what to try
        call(noting)


def test_a_loss_that_uses_a_tracer_of_an_earlier_call_is_refused():
    seen = []

    def remembering(w, batch):
        seen.append(loss(w, batch))
        return seen[0] + seen[-1]

    call(remembering)
    with pytest.raises(ValueError, match=r"loss.*uses a traced value that was kept.*has_aux"):
        call(remembering)


@pytest.mark.parametrize("wrap", [jax.vmap, jax.grad], ids=["vmap", "grad"])
def test_a_loss_that_closes_over_a_traced_value_says_use_train(wrap):
    with pytest.raises(TypeError, match=r"jopt\.train"):
        wrap(lambda x: call(lambda w, batch: loss(w, batch) * x).params.sum())(jnp.ones(2) if wrap is jax.vmap else 1.0)


def test_an_error_inside_the_loss_reaches_the_caller():
    class OwnError(Exception):
        pass

    def breaks(w, batch):
        raise OwnError("of the user's own")

    for plan in ("auto", jopt.Plan(width=1, workers=2)):
        with pytest.raises(OwnError, match="of the user's own"):
            call(breaks, plan=plan)


# Evaluate


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        (lambda w: w[0], TypeError, "evaluate must be a dict of named scalars.*but got an array"),
        (lambda w: None, TypeError, r"evaluate must be a dict.*NoneType"),
        (lambda w: {"w": w}, ValueError, r"evaluate: 'w' must be a scalar.*\(3,\)"),
        (lambda w: {"loss": w[0]}, ValueError, r"'loss'.*rename"),
        (lambda w: {"seed": w[0]}, ValueError, r"'seed'.*rename"),
        (lambda w: {"learning_rate": w[0]}, ValueError, r"'learning_rate'.*rename"),
        (lambda w: {1: w[0]}, ValueError, r"evaluate: 1.*rename"),
        (lambda w: {"text": "good"}, TypeError, r"'text'.*str"),
        (
            lambda w, batch: {"n": w[0]},
            TypeError,
            r"evaluate must take \(params\), but takes \(w, batch\).*jopt.metrics\(evaluate, data",
        ),
        (lambda: {"n": 0.0}, TypeError, r"evaluate must take \(params\), but takes \(\)"),
    ],
    ids=itertools.count(),
)
def test_an_evaluate_that_returns_no_named_scalars_is_refused(wrong, error, named):
    with pytest.raises(error, match=named):
        call(evaluate=wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"f": lambda w: w[0]}, r"\(params, batch\).*takes 1 arguments.*batch is None"),
        ({"f": lambda w, x, y, z: w[0]}, r"\(params, batch\).*takes 4 arguments.*'z'\]; a batch of several arrays is one"),
        ({"f": lambda w, batch, *, scale: w[0]}, r"'scale'\]; .*functools.partial\(loss, scale="),
        ({"params": lambda: jnp.zeros(3)}, r"params, as the function init, must take \(key\), but takes \(\)"),
        (
            {"params": lambda key, hyper, n: jnp.zeros(3), "hyper": 1.0},
            r"must take \(key\), and hyper where it names it, but takes",
        ),
        ({"params": lambda hyper: jnp.zeros(3), "hyper": 1.0}, r"must take \(key\).* but takes \(hyper\)"),
        ({"data": lambda key: None}, r"data, as a function, must take \(key, step\), but takes \(key\)"),
        ({"callbacks": [lambda: None]}, r"callbacks\[0\] must take \(event\), but takes \(\)"),
    ],
    ids=itertools.count(),
)
def test_functions_that_take_something_else_are_refused_before_they_are_called(wrong, named):
    with pytest.raises(TypeError, match=named):
        call(**wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"init": lambda key: 0.0}, r"init must take \(optimizer, key\), but takes \(key\)"),
        ({"step": lambda opt, carry, batch: (carry, {})}, r"step must take \(optimizer, carry, batch, key\), but takes"),
        ({"evaluate": lambda carry, x: {}}, r"evaluate must take \(carry\)"),
    ],
    ids=["init", "step", "evaluate"],
)
def test_so_are_those_of_steps_of_ones_own(wrong, named):
    good = {"init": lambda opt, key: 0.0, "step": lambda opt, carry, batch, key: (carry, {"loss": carry}), **wrong}
    with pytest.raises(TypeError, match=named):
        jopt.sweep_steps(good.pop("init"), good.pop("step"), jopt.sgd(0.1), steps=1, progress=False, **good)


def test_a_clash_of_names_is_found_before_the_first_step_of_a_long_run():
    read = []

    def batches():
        while True:
            read.append(1)
            yield X, Y

    with pytest.raises(ValueError, match="'loss'"):
        call(data=batches(), evaluate=lambda w: {"loss": w[0]}, eval_every=500, steps=1000)
    assert len(read) < 100


def test_the_sweep_that_failed_works_when_it_is_put_right():
    with pytest.raises(ValueError, match="batch_size"):
        call(batch_size=7)
    with pytest.raises(TypeError, match="loss"):
        call(lambda w, b: 1)
    assert jax.tree.leaves(call(batch_size=6).params)[0].shape == (2, 1, 3)

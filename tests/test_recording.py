"""``record=``: the rate as it was used, and norms, beside the loss of every step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jopt
from jopt import training
from jopt.results import load_result

ALL = ("rate", "grad_norm", "update_norm", "param_norm")
X = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
Y = np.random.default_rng(2).normal(size=(12, 2)).astype(np.float32)
PARAMS = {"b": jnp.zeros(2), "w": jnp.asarray(np.random.default_rng(3).normal(size=(3, 2)), jnp.float32)}
DECAY = jopt.linear_schedule(0.2, 0.0, 10)


def loss(params, batch):
    x, y = batch
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2)


def slope(w, _):
    """A loss whose gradient is 1 everywhere, so that a step of plain descent is the rate."""
    return w


def sweep(optimizer, **kwargs):
    options = {"steps": 8, "record": ALL, "progress": False, **kwargs}
    return jopt.sweep(loss, PARAMS, optimizer, (X, Y), **options)


def norm(tree):
    return np.sqrt(sum((np.asarray(x, np.float64) ** 2).sum() for x in jax.tree.leaves(tree)))


def by_hand(pair, schedule, steps=8):
    """What Optax and a loop make of it."""
    params, state, rows = PARAMS, pair.init(PARAMS), []
    for t in range(steps):
        grads = jax.grad(loss)(params, (X, Y))
        updates, state = pair.update(grads, state, params)
        rows.append([schedule(t), *map(norm, (grads, updates, params))])
        params = optax.apply_updates(params, updates)
    return dict(zip(ALL, np.array(rows).T, strict=True))


@pytest.mark.parametrize("plan", ["auto", jopt.Plan(width=1, loop="host"), jopt.Plan(width=2, chunk=3, loop="scan")])
def test_what_is_recorded_equals_a_loop_written_by_hand(plan):
    made = sweep(jopt.adam(jopt.linear_schedule(jopt.choice(0.2, 0.1, 0.05), 0.0, 10)), plan=plan)
    for k, start in enumerate((0.2, 0.1, 0.05)):
        schedule = optax.linear_schedule(start, 0.0, 10)
        for name, wanted in by_hand(optax.adam(schedule), schedule).items():
            np.testing.assert_allclose(made.record.losses[name][k, 0], wanted, rtol=2e-4, atol=1e-6, err_msg=name)


def test_without_jit_the_same_is_recorded():
    compiled = sweep(jopt.adam(DECAY), steps=4)
    with jax.disable_jit():
        eager = sweep(jopt.adam(DECAY), steps=4)
    for name in ALL:
        np.testing.assert_allclose(eager.record.losses[name], compiled.record.losses[name], rtol=1e-5, err_msg=name)


def test_they_are_variables_of_the_dataset_beside_the_loss(tmp_path):
    made = sweep(jopt.sgd(jopt.choice(0.1, 0.2)), seeds=2)
    assert list(made.dataset.data_vars)[:5] == ["loss", *ALL]
    assert made.dataset.rate.dims == ("learning_rate", "seed", "step")
    assert made.record.losses["rate"].dtype == np.float32
    np.testing.assert_allclose(made.dataset.rate.isel(seed=1, step=3), [0.1, 0.2], rtol=1e-6)
    assert set(made.to_pandas(kind="curves").metric) == {"loss", *ALL}
    assert made.best().metric == "loss"
    made.save(tmp_path / "a")
    np.testing.assert_array_equal(load_result(tmp_path / "a").dataset.grad_norm, made.dataset.grad_norm)


def test_over_several_steps_they_are_means():
    each, windows = sweep(jopt.adam(DECAY)), sweep(jopt.adam(DECAY), record_every=3)
    for name in ("loss", *ALL):
        steps = each.record.losses[name][0]
        wanted = [steps[:3].mean(), steps[3:6].mean(), steps[6:].mean()]
        np.testing.assert_allclose(windows.record.losses[name][0], wanted, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("record", ["rate", ("rate",), ["grad_norm"], ("rate", "rate")])
def test_only_what_is_asked_for_is_recorded(record):
    wanted = {record} if isinstance(record, str) else set(record)
    assert set(sweep(jopt.sgd(0.1), record=record).record.losses) == {"loss", *wanted}


def test_where_nothing_is_asked_for_the_step_is_the_one_of_train(monkeypatch):
    def never(*_):
        raise AssertionError("asked for nothing")

    monkeypatch.setattr(training, "recorded", never)
    assert list(sweep(jopt.sgd(0.1), record=()).record.losses) == ["loss"]
    with pytest.raises(AssertionError, match="asked for nothing"):
        sweep(jopt.sgd(0.1))


def test_norms_of_narrow_and_of_complex_parameters_are_those_of_their_numbers():
    narrow = jnp.full(2000, 0.3, jnp.bfloat16)  # in bfloat16 a sum of 2000 squares stops growing at 24
    made = jopt.sweep(lambda w, _: (w**2).sum(), narrow, jopt.sgd(0.1), steps=1, record=ALL, progress=False)
    assert made.record.losses["param_norm"].dtype == np.float32
    np.testing.assert_allclose(made.record.losses["param_norm"], np.sqrt(2000) * float(narrow[0]), rtol=1e-4)
    complex_ = jnp.array([3 + 4j, 0j], jnp.complex64)
    made = jopt.sweep(lambda z, _: (jnp.abs(z) ** 2).sum(), complex_, jopt.sgd(0.1), steps=1, record=ALL, progress=False)
    np.testing.assert_allclose([made.record.losses[name].item() for name in ALL], [0.1, 10.0, 1.0, 5.0], rtol=1e-6)


# The rate of a plateau


@settings(max_examples=12, deadline=None)
@given(
    patience=st.integers(0, 3),
    cooldown=st.integers(0, 2),
    min_lr=st.sampled_from([0.0, 0.02]),
    scheduled=st.booleans(),
    in_front=st.booleans(),
    every=st.sampled_from([1, 3]),
)
def test_the_rate_is_what_the_step_was_taken_with(patience, cooldown, min_lr, scheduled, in_front, every):
    plateau = jopt.reduce_on_plateau(0.5, patience, cooldown=cooldown, min_lr=min_lr, accumulation_size=every)
    rate = jopt.linear_schedule(0.2, 0.1, 30) if scheduled else jopt.choice(0.2, 0.05)
    parts = [jopt.sgd(rate), plateau]
    optimizer = jopt.chain(*(parts[::-1] if in_front else parts))
    up = lambda w, _: jax.lax.stop_gradient(1 - w) + (w - jax.lax.stop_gradient(w))  # noqa: E731  # it never improves
    made = jopt.sweep(up, jnp.float32(0.0), optimizer, steps=20, record=ALL, progress=False)
    found = made.record.losses
    np.testing.assert_allclose(found["rate"], found["update_norm"], rtol=1e-6)
    assert found["rate"][..., -1].max() < 0.15  # it fell


@pytest.mark.parametrize("plan", ["auto", jopt.Plan(width=1, chunk=2, loop="host")])
def test_the_rate_of_a_plateau_that_watches_an_evaluation_is_what_the_step_was_taken_with(plan):
    watch = jopt.reduce_on_plateau(factor=0.5, patience=1, monitor="error")
    optimizer = jopt.chain(jopt.sgd(jopt.choice(0.5, 0.25)), watch)
    options = {"evaluate": lambda w: {"error": jnp.float32(1.0)}, "eval_every": 4, "plan": plan}
    made = jopt.sweep(slope, jnp.float32(2.0), optimizer, steps=30, record="rate", progress=False, **options)
    halvings = np.maximum(0, (np.arange(30) // 4 - 1) // 2)  # the evaluation before the first step is not told
    for k, rate in enumerate((0.5, 0.25)):
        np.testing.assert_allclose(made.record.losses["rate"][k, 0], rate * 0.5**halvings, rtol=1e-6)


# Several rates, and none


def test_several_rates_are_recorded_by_path():
    parted = jopt.lift(optax.partition)(
        {"slow": jopt.sgd(DECAY), "fast": jopt.adam(jopt.choice(0.1, 0.2))}, {"b": "fast", "w": "slow"}
    )
    made = sweep(parted, record=("rate",)).record.losses
    assert set(made) == {"loss", "rate.fast.learning_rate", "rate.slow.learning_rate"}
    np.testing.assert_allclose(made["rate.fast.learning_rate"][:, 0, 5], [0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(made["rate.slow.learning_rate"][1, 0], 0.2 - 0.02 * np.arange(8), rtol=1e-5)


def test_a_rate_for_each_branch_is_recorded_by_branch():
    made = sweep(jopt.sgd({"b": DECAY, "w": 0.1}), record="rate").record.losses
    assert set(made) == {"loss", "rate.learning_rate.b", "rate.learning_rate.w"}


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"record": "lr"}, ValueError, "'lr' is none of rate, grad_norm, update_norm, param_norm"),
        ({"record": ("rate", "norm")}, ValueError, "'norm' is none of"),
        ({"record": None}, TypeError, "record must be a list of names"),
        ({"record": 3}, TypeError, "record must be a list of names"),
        ({"evaluate": lambda w: {"rate": jnp.float32(1.0)}}, ValueError, "may not be named 'rate', which names another"),
    ],
)
def test_what_can_not_be_recorded_is_refused_in_a_sentence(kwargs, error, words):
    with pytest.raises(error, match=words):
        sweep(jopt.sgd(0.1), **kwargs)


def test_an_auxiliary_value_of_the_same_name_is_refused():
    with_aux = lambda w, _: (w**2, {"grad_norm": w})  # noqa: E731
    with pytest.raises(ValueError, match="'grad_norm' is the name of an auxiliary value"):
        jopt.sweep(with_aux, jnp.float32(1.0), jopt.sgd(0.1), steps=2, has_aux=True, record=ALL, progress=False)


def test_an_axis_of_the_same_name_is_refused():
    with pytest.raises(ValueError, match=r"'rate', which names an axis.*give the axis another name="):
        sweep(jopt.sgd(jopt.choice(0.1, 0.2, name="rate")))


@pytest.mark.parametrize("optimizer", [jopt.chain(jopt.scale(-0.1)), optax.sgd(0.1)], ids=["scale", "optax"])
def test_where_there_is_no_rate_the_error_says_so(optimizer):
    with pytest.raises(ValueError, match=r'"rate" is the learning rate of each step. There is no learning rate'):
        sweep(optimizer)
    assert set(sweep(optimizer, record=ALL[1:]).record.losses) == {"loss", *ALL[1:]}


def test_an_injected_rate_of_optax_is_recorded_as_it_was_used():
    schedule = optax.linear_schedule(0.2, 0.0, 10)
    made = sweep(optax.inject_hyperparams(optax.sgd)(learning_rate=schedule))
    np.testing.assert_allclose(made.record.losses["rate"][0], [schedule(t) for t in range(8)], rtol=1e-5)


def test_groups_record_their_own_rates():
    made = sweep({"a": jopt.sgd(0.1), "b": jopt.adam(DECAY)})
    np.testing.assert_allclose(made["a"].record.losses["rate"][0], 0.1, rtol=1e-6)
    np.testing.assert_allclose(made["b"].record.losses["rate"][0, :2], [0.2, 0.18], rtol=1e-6)

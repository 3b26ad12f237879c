"""``jopt.learning_rate``: what schedules and plateaus have made of the rate, read off an optimizer and its state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jopt
from jopt.values.states import check_state
from tests.cases import CASES, one_of_each

W = {"b": jnp.zeros(2), "w": jnp.ones((2, 3))}
FALLING = jopt.linear_schedule(0.5, 0.0, 10)
LABELS = {"b": "fast", "w": "slow"}


def after(optimizer, updates, **extra):
    """The state after some updates with gradients of one."""
    state = optimizer.init(W)
    for _ in range(updates):
        _, state = optimizer.update(jax.tree.map(jnp.ones_like, W), state, W, **extra)
    return state


def rate_of(optimizer, updates=3, path=None, **extra):
    found = jopt.learning_rate(optimizer, after(optimizer, updates, **extra), path)
    assert found.dtype == jnp.float32
    assert found.shape == ()
    return float(found)


def falling(updates):
    return pytest.approx(0.5 - 0.05 * updates, rel=1e-6)


RULES = {
    "sgd": jopt.sgd,
    "sgd with momentum": functools.partial(jopt.sgd, momentum=0.9),
    "momentum": jopt.momentum,
    "rmsprop": jopt.rmsprop,
    "adam": jopt.adam,
    "adamw": jopt.adamw,
    "adam with another schedule": functools.partial(jopt.adam, b1=jopt.linear_schedule(0.9, 0.5, 5)),
    "scale_by_learning_rate": jopt.scale_by_learning_rate,
    "lifted adam": jopt.lift(optax.adam),
    "lifted lion": jopt.lift(optax.lion),
    "lifted adafactor": jopt.lift(optax.adafactor),
    "lifted muon": jopt.lift(optax.contrib.muon),
    "chain": lambda rate: jopt.chain(jopt.clip(1.0), jopt.add_decayed_weights(0.1), jopt.sgd(rate)),
    "chain of chains": lambda rate: jopt.chain(jopt.chain(jopt.clip(1.0)), jopt.chain(jopt.clip(2.0), jopt.adam(rate))),
    "named chain": lambda rate: jopt.named_chain(("z", jopt.clip(1.0)), ("a", jopt.adam(rate))),
    "flatten": lambda rate: jopt.flatten(jopt.chain(jopt.clip(1.0), jopt.adam(rate))),
    "lifted chain": lambda rate: jopt.lift(optax.chain)(jopt.clip(1.0), jopt.adam(rate)),
    "lifted named chain": lambda rate: jopt.lift(optax.named_chain)(("z", jopt.clip(1.0)), ("a", jopt.adam(rate))),
    "masked": lambda rate: jopt.lift(optax.masked)(jopt.chain(jopt.clip(1.0), jopt.adam(rate)), {"b": True, "w": False}),
    "apply if finite": lambda rate: jopt.lift(optax.apply_if_finite)(jopt.chain(jopt.clip(1.0), jopt.sgd(rate)), 3),
    "scheduled clip around": lambda rate: jopt.chain(jopt.clip(jopt.linear_schedule(1.0, 0.5, 5)), jopt.sgd(rate)),
    "Optax beside": lambda rate: jopt.chain(optax.clip(1.0), optax.trace(0.9), jopt.scale_by_learning_rate(rate)),
    "one label": lambda rate: jopt.lift(optax.partition)({"fast": jopt.adam(rate), "slow": optax.set_to_zero()}, LABELS),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_schedule_is_evaluated_at_the_updates_so_far(rule):
    optimizer = RULES[rule](FALLING)
    for updates in (0, 1, 4):
        assert rate_of(optimizer, updates) == falling(updates)


@pytest.mark.parametrize("rule", RULES)
def test_a_number_is_the_rate(rule):
    assert rate_of(RULES[rule](0.25)) == 0.25


@pytest.mark.parametrize("make", [jopt.sgd, jopt.lift(optax.lion), jopt.lift(optax.adam)])
def test_a_plain_function_of_the_step_is_a_schedule_here_too(make):
    assert rate_of(make(lambda t: 0.5 - 0.05 * t)) == falling(3)


def test_the_next_update_of_plain_descent_is_the_rate():
    optimizer = jopt.chain(jopt.sgd(FALLING), jopt.reduce_on_plateau(0.5, 1))
    state = after(optimizer, 5, value=1.0)
    updates, _ = optimizer.update(W, state, W, value=0.0)  # a better value lowers nothing
    np.testing.assert_allclose(-updates["w"], jopt.learning_rate(optimizer, state), rtol=1e-6)


# Plateaus


def test_a_plateau_counts_wherever_in_the_chain_it_stands():
    plateau = jopt.reduce_on_plateau(0.5, 0)
    orders = [
        jopt.chain(jopt.sgd(FALLING), plateau),
        jopt.chain(plateau, jopt.sgd(FALLING)),
        jopt.named_chain(("rule", jopt.sgd(FALLING)), ("fall", plateau)),
        jopt.chain(jopt.chain(jopt.clip(1.0), plateau), jopt.sgd(FALLING)),
        jopt.flatten(jopt.chain(jopt.sgd(FALLING), plateau)),
        jopt.chain(jopt.sgd(FALLING), optax.contrib.reduce_on_plateau(0.5, 1, atol=0.0)),
        jopt.chain(jopt.sgd(FALLING), jopt.lift(optax.contrib.reduce_on_plateau)(0.5, 1)),
    ]
    for optimizer in orders:
        # The first value is the best one, each further one halves the rate.
        assert rate_of(optimizer, 3, value=1.0) == pytest.approx(0.35 / 4, rel=1e-6)


def test_two_plateaus_multiply():
    optimizer = jopt.chain(jopt.sgd(0.8), jopt.reduce_on_plateau(0.5, 0), jopt.reduce_on_plateau(0.1, 0))
    assert rate_of(optimizer, 2, value=1.0) == pytest.approx(0.8 * 0.05, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.floats(0.01, 1.0),
    min_lr=st.floats(0.0, 0.5),
    values=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=8),
    nested=st.booleans(),
)
def test_the_floor_of_a_plateau_bounds_the_rate(rate, min_lr, values, nested):
    plateau = jopt.reduce_on_plateau(0.5, 0, min_lr=min_lr)
    optimizer = jopt.chain(jopt.sgd(rate), jopt.chain(jopt.clip(9.0), plateau) if nested else plateau)
    g = jnp.float32(1.0)
    state = optimizer.init(g)
    for value in values:
        u, state = optimizer.update(g, state, g, value=jnp.float32(value))
    # The multiplier does not move between the last update and the next one that improves.
    np.testing.assert_allclose(jopt.learning_rate(optimizer, state), -u, rtol=1e-6)


def test_a_plateau_behind_one_label_leaves_the_other_alone():
    fast = jopt.chain(jopt.sgd(0.8), jopt.reduce_on_plateau(0.5, 0))
    optimizer = jopt.lift(optax.partition)({"fast": fast, "slow": jopt.sgd(0.4)}, LABELS)
    found = jopt.learning_rate(optimizer, after(optimizer, 2, value=1.0))
    assert found == {
        "fast.sgd.learning_rate": pytest.approx(0.4),
        "slow.learning_rate": pytest.approx(0.4),
    }


# Several rates


def test_several_rates_are_a_dict_by_path_and_a_path_picks_one():
    optimizer = jopt.lift(optax.partition)({"fast": jopt.adam(FALLING), "slow": jopt.sgd(0.1)}, LABELS)
    state = after(optimizer, 2)
    found = jopt.learning_rate(optimizer, state)
    assert {path: float(rate) for path, rate in found.items()} == {
        "fast.learning_rate": falling(2),
        "slow.learning_rate": pytest.approx(0.1),
    }
    assert float(jopt.learning_rate(optimizer, state, "transforms.slow.learning_rate")) == pytest.approx(0.1)
    assert float(jopt.learning_rate(optimizer, state, "fast.learning_rate")) == falling(2)
    with pytest.raises(ValueError, match=r"'learning_rate' names 2 numbers.*use a full path"):
        jopt.learning_rate(optimizer, state, "learning_rate")


def test_paths_are_those_of_replace():
    optimizer = jopt.chain(jopt.clip(1.0), jopt.adam(0.1))
    assert rate_of(optimizer, path="adam.learning_rate") == rate_of(optimizer, path="learning_rate") == pytest.approx(0.1)
    assert rate_of(optimizer.replace(**{"adam.learning_rate": 0.2}), path="adam.learning_rate") == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"'clip' names no number.*adam.learning_rate"):
        rate_of(optimizer, path="clip")


def test_a_rate_for_each_branch_is_found_by_branch():
    optimizer = jopt.sgd({"b": FALLING, "w": 0.1})
    found = jopt.learning_rate(optimizer, after(optimizer, 4))
    assert found == {"learning_rate.b": falling(4), "learning_rate.w": pytest.approx(0.1)}


# Under JAX's transformations


def test_it_is_a_pure_function_under_jit():
    optimizer = jopt.chain(jopt.adam(FALLING), jopt.reduce_on_plateau(0.5, 0))
    state = after(optimizer, 3, value=1.0)
    np.testing.assert_allclose(jax.jit(jopt.learning_rate)(optimizer, state), 0.35 / 4, rtol=1e-6)


def test_under_vmap_every_lane_has_its_own():
    stacked, axes = jopt.lanes(jopt.chain(jopt.adam(jopt.linear_schedule(jopt.choice(0.5, 1.0), 0.0, 10)), jopt.clip(1.0)))

    def run(optimizer):
        return jopt.learning_rate(optimizer, after(optimizer, 2))

    np.testing.assert_allclose(jax.vmap(run, (axes,))(stacked), [0.4, 0.8], rtol=1e-6)


def test_a_step_of_ones_own_may_record_it():
    def init(optimizer, key):
        return jnp.float32(1.0), optimizer.init(jnp.float32(1.0))

    def step(optimizer, carry, batch, key):
        w, state = carry
        u, new = optimizer.update(2 * w, state, w)
        return (w + u, new), {"loss": w**2, "rate": jopt.learning_rate(optimizer, state)}

    optimizer = jopt.sgd(jopt.linear_schedule(jopt.choice(0.1, 0.2), 0.0, 10))
    made = jopt.sweep_steps(init, step, optimizer, steps=3, progress=False)
    np.testing.assert_allclose(made.dataset.rate.isel(seed=0), [[0.1, 0.09, 0.08], [0.2, 0.18, 0.16]], rtol=1e-6)


# Optax's injected hyperparameters, and what has no rate


def test_an_injected_number_is_found_and_follows_the_state():
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=0.1)
    state = after(optimizer, 1)
    assert float(jopt.learning_rate(optimizer, state)) == pytest.approx(0.1)
    state.hyperparams["learning_rate"] = jnp.float32(0.7)
    assert float(jopt.learning_rate(optimizer, state)) == pytest.approx(0.7)
    chained = jopt.chain(jopt.clip(1.0), optimizer)
    assert float(jopt.learning_rate(chained, after(chained, 1))) == pytest.approx(0.1)


def test_of_an_injected_schedule_the_state_does_not_tell():
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=optax.linear_schedule(0.1, 0.0, 10))
    with pytest.raises(ValueError, match=r"which learning_rate the last update used.*jopt.lift\(optax.adam\)"):
        jopt.learning_rate(optimizer, after(optimizer, 1))


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (jopt.clip(1.0), "no learning rate in clip.*lift the factory"),
        (jopt.chain(jopt.scale_by_adam(), jopt.scale(-0.1)), "no learning rate in chain"),
        (jopt.scale_by_learning_rate(None), "no learning rate in scale_by_learning_rate"),
        (optax.adam(0.1), "no learning rate in a pair that is no value"),
        (optax.chain(optax.clip(1.0), jopt.adam(0.1)), "no learning rate in a pair that is no value"),
    ],
)
def test_where_there_is_none_the_error_says_what_to_do(optimizer, words):
    with pytest.raises(ValueError, match=words):
        jopt.learning_rate(optimizer, optimizer.init(W))


def test_what_is_no_optimizer_or_no_state_of_it_is_refused():
    with pytest.raises(TypeError, match=r"learning_rate takes .optimizer, state.*dict"):
        jopt.learning_rate({"a": jopt.adam(0.1)}, None)
    with pytest.raises(TypeError, match="is an axis"):
        jopt.learning_rate(jopt.adam(jopt.choice(0.1, 0.2)), None)
    lifted = jopt.lift(optax.sgd)(FALLING)  # whose state is not ours to know
    with pytest.raises(ValueError, match="the state holds no step count"):
        jopt.learning_rate(lifted, jopt.sgd(0.1).init(W))


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (jopt.sgd(0.5), r"sgd\(...\): expected \(EmptyState, EmptyState\)"),
        (jopt.sgd(FALLING, momentum=0.9), r"sgd\(...\): expected \(TraceState, ScaleByScheduleState\)"),
        (jopt.adam(FALLING), r"adam\(...\): expected \(ScaleByAdamState, ScaleByScheduleState\)"),
        (jopt.adam(0.1, b1=FALLING), r"adam\(...\): expected ScheduledState"),
        (jopt.chain(jopt.clip(1.0), jopt.adam(0.1)), r"chain\(clip\(...\), adam\(...\)\): expected \(EmptyState, \(ScaleBy"),
    ],
    ids=["sgd", "momentum", "schedule", "b1", "chain"],
)
def test_the_state_of_another_optimizer_is_refused(optimizer, expected):
    with pytest.raises(ValueError, match=rf"not that of {expected}.*, but got \(ScaleByAdamState, EmptyState\)"):
        jopt.learning_rate(optimizer, jopt.adam(0.1).init(W))
    with pytest.raises(ValueError, match="but got NoneType"):
        jopt.learning_rate(optimizer, None)


def test_each_rules_own_state_is_taken_whatever_the_parameters_are():
    params = {"a": jnp.ones((3, 2)), "b": (jnp.ones(2), None), "c": {"v": jnp.ones(())}}
    for case in one_of_each(CASES):
        optimizer = case.make()
        check_state("learning_rate", optimizer, jax.eval_shape(optimizer.init, params))

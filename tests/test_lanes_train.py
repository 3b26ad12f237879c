"""``jopt.train`` and ``jopt.lanes``: a sweep in one jitted call, without the engine."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.expanding import expand
from tests.solo import assert_same_run, assert_trees_close, lane, run_alone

STEPS = 10
PARAMS = {"w": jnp.array([1.0, -2.0, 0.5]), "b": jnp.float32(0.3)}
BATCHES = np.random.default_rng(0).normal(size=(STEPS, 4, 3)).astype(np.float32)


def loss(params, batch):
    return jnp.mean((jnp.tanh(batch @ params["w"]) + params["b"] - 0.5) ** 2)


@functools.partial(jax.jit, static_argnames=("in_axes",))
def train_lanes(stacked, in_axes, params=PARAMS):
    train = functools.partial(jopt.train, loss)
    return jax.vmap(train, in_axes=(None, jax.tree.unflatten(jax.tree.structure(stacked), in_axes), None))(
        params, stacked, BATCHES
    )


def lanes_of(optimizer):
    stacked, in_axes = jopt.lanes(optimizer)
    axes = tuple(jax.tree.leaves(in_axes, is_leaf=lambda x: x is None))
    return train_lanes(stacked, axes)


# train


@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        (jopt.sgd(0.1), optax.sgd(0.1)),
        (jopt.sgd(0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
        (jopt.adamw(jopt.cosine_decay_schedule(0.1, 8)), optax.adamw(optax.cosine_decay_schedule(0.1, 8))),
        (optax.adam(0.1), optax.adam(0.1)),
        (jopt.chain(jopt.clip_by_global_norm(0.1), jopt.sgd(1.0)), optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))),
    ],
    ids=["sgd", "momentum", "schedule", "optax", "chain"],
)
def test_train_equals_the_loop_written_by_hand(optimizer, reference):
    train = jax.jit(jopt.train, static_argnums=(0, 2))
    params, _, losses = train(loss, PARAMS, optimizer, BATCHES)
    wanted = run_alone(loss, PARAMS, reference, BATCHES)
    np.testing.assert_allclose(losses, wanted.losses, rtol=1e-5)
    assert_trees_close(params, wanted.params, rtol=1e-5)


def test_train_hands_back_the_state_from_which_to_go_on():
    whole, _, losses = jopt.train(loss, PARAMS, jopt.adam(0.1), BATCHES)
    half, state, first = jopt.train(loss, PARAMS, jopt.adam(0.1), BATCHES[:5])
    assert int(optax.tree.get(state, "count")) == 5
    np.testing.assert_allclose(losses[:5], first, rtol=1e-6)
    assert not np.allclose(half["w"], whole["w"])


def test_train_compiles_once_for_all_rates():
    traced = []

    def counted(params, batch):
        traced.append(1)
        return loss(params, batch)

    run = jax.jit(jopt.train, static_argnums=0)
    run(counted, PARAMS, jopt.adam(0.1), BATCHES)
    once = len(traced)
    for rate in (0.2, 0.3, 1e-3):
        run(counted, PARAMS, jopt.adam(rate), BATCHES)
    assert len(traced) == once


def test_train_feeds_a_plateau_the_loss():
    optimizer = jopt.chain(jopt.sgd(0.0), jopt.reduce_on_plateau(factor=0.5, patience=1))
    _, state, _ = jopt.train(loss, PARAMS, optimizer, np.repeat(BATCHES[:1], 7, axis=0))
    # The loss never changes: the first observation is the best, and each two bad ones after it reduce once.
    assert float(optax.tree.get(state, "scale")) == 0.5**3


def test_train_keeps_the_types_of_the_parameters():
    params, _, losses = jopt.train(
        lambda w, x: jnp.sum((w - x) ** 2).astype(jnp.float32), jnp.ones(3, jnp.bfloat16), jopt.adam(0.1), jnp.ones((4, 3))
    )
    assert params.dtype == jnp.bfloat16
    assert losses.dtype == jnp.float32


def test_train_takes_python_numbers_and_no_steps():
    params, _, losses = jopt.train(lambda w, x: (w - x) ** 2, 1.0, jopt.sgd(0.1), jnp.zeros(0))
    assert float(params) == 1.0
    assert losses.shape == (0,)


# hypergradients


def noisy(params, batch, key):
    return loss(params, batch) + 0.1 * jax.random.normal(key) * params["b"]


def told(params, batch):
    return loss(params, batch), {"largest": jnp.abs(params["w"]).max(), "first": batch[0, 0]}


def test_the_key_of_a_step_is_made_of_its_number():
    key, opt = jax.random.key(3), optax.adam(0.1)
    params, state, losses = PARAMS, opt.init(PARAMS), []
    for t, batch in enumerate(BATCHES):
        value, grads = jax.value_and_grad(noisy)(params, batch, jax.random.fold_in(key, t))
        updates, state = opt.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(value)
    found, _, found_losses = jopt.train(noisy, PARAMS, jopt.adam(0.1), BATCHES, key=key)
    assert_trees_close(found, params)
    np.testing.assert_allclose(found_losses, losses, rtol=1e-5)


def test_another_key_is_another_run_and_keys_can_be_mapped_over():
    keys = jax.random.split(jax.random.key(0), 3)
    run = jax.vmap(lambda key: jopt.train(noisy, PARAMS, jopt.adam(0.1), BATCHES, key=key)[2])
    losses = jax.jit(run)(keys)
    assert len(np.unique(losses[:, 0])) == 3
    np.testing.assert_allclose(losses[1], jopt.train(noisy, PARAMS, jopt.adam(0.1), BATCHES, key=keys[1])[2], rtol=1e-5)


def test_auxiliary_values_stand_beside_the_losses_by_name():
    plain = jopt.train(loss, PARAMS, jopt.adam(0.1), BATCHES)
    params, state, recorded = jopt.train(told, PARAMS, jopt.adam(0.1), BATCHES, has_aux=True)
    assert_trees_close((params, state, recorded["loss"]), plain)
    assert list(recorded) == ["loss", "largest", "first"]
    np.testing.assert_array_equal(recorded["first"], BATCHES[:, 0, 0])
    assert recorded["largest"][0] == 2.0


def test_a_loss_with_a_key_and_auxiliary_values_is_trained_as_in_a_sweep():
    def both(w, batch, key):  # what the key says does not matter: sweeps have their own
        return (w**2).sum() + 0.0 * jax.random.normal(key), {"norm": jnp.abs(w).max()}

    swept = jopt.sweep(both, PARAMS["w"], jopt.adam(0.1), steps=STEPS, has_aux=True)
    _, _, recorded = jopt.train(both, PARAMS["w"], jopt.adam(0.1), jnp.arange(STEPS), key=jax.random.key(0), has_aux=True)
    for name, values in swept.record.losses.items():
        np.testing.assert_allclose(values[0], recorded[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "options", "error", "named"),
    [
        (noisy, {}, ValueError, r"takes \(params, batch, key\), so give key="),
        (loss, {"key": jax.random.key(0)}, ValueError, r"takes \(params, batch\) and no key"),
        (told, {}, TypeError, "has_aux=True takes a pair"),
        (loss, {"has_aux": True}, TypeError, r"must return \(scalar, dict\)"),
        (lambda w, b: (loss(w, b), {"loss": 1.0}), {"has_aux": True}, ValueError, "'loss' can't be the name"),
        (lambda w, b: (loss(w, b), {"w": w["w"]}), {"has_aux": True}, ValueError, "'w' must be a scalar"),
        (lambda w: 0.0, {}, TypeError, r"must take \(params, batch\) or \(params, batch, key\)"),
    ],
)
def test_train_refuses_a_loss_of_another_form(function, options, error, named):
    with pytest.raises(error, match=named):
        jopt.train(function, PARAMS, jopt.adam(0.1), BATCHES, **options)


@pytest.mark.parametrize("name", ["learning_rate", "momentum"])
def test_the_gradient_of_training_with_respect_to_the_optimizer_is_the_difference_quotient(x64, name):
    batches = BATCHES.astype(np.float64)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), PARAMS)

    @jax.jit
    def final(optimizer):
        trained, _, _ = jopt.train(loss, params, optimizer, batches)
        return loss(trained, batches[0])

    optimizer, h = jopt.momentum(0.05, 0.8), 1e-6
    found = jax.grad(final)(optimizer).hyperparams[name]
    value = optimizer.hyperparams[name]
    up, down = (final(optimizer.replace(**{name: value + sign * h})) for sign in (1, -1))
    np.testing.assert_allclose(found, (up - down) / (2 * h), rtol=1e-5)
    assert abs(found) > 1e-6


# lanes


@pytest.mark.parametrize(
    "optimizer",
    [
        jopt.sgd(jopt.geomspace(0.01, 1.0, 3)),
        jopt.adam(jopt.choice(0.1, 0.2), b1=jopt.choice(0.5, 0.9)),
        jopt.sgd(jopt.cosine_decay_schedule(jopt.choice(0.1, 0.2), jopt.choice(4, 9))),
        jopt.chain(jopt.clip_by_global_norm(jopt.choice(0.1, 1.0)), jopt.rmsprop(0.01)),
        jopt.lift(optax.lion)(jopt.choice(0.1, 0.01)),
        jopt.adam({"w": jopt.choice(0.1, 0.2), "b": 0.05}),
    ],
    ids=["sgd", "adam", "schedule", "chain", "lion", "layers"],
)
def test_vmapped_lanes_equal_a_loop_over_the_settings(optimizer):
    params, _, losses = lanes_of(optimizer)
    space = expand(optimizer)
    assert losses.shape == (space.size, STEPS)
    for k in range(space.size):
        wanted = run_alone(loss, PARAMS, space.at(k), BATCHES)
        np.testing.assert_allclose(losses[k], wanted.losses, rtol=1e-5)
        assert_trees_close(jax.tree.map(lambda x, k=k: x[k], params), wanted.params, rtol=1e-4, atol=1e-6)


def test_lanes_of_an_optimizer_without_axes_map_over_nothing():
    stacked, in_axes = jopt.lanes(jopt.adam(0.1))
    assert stacked == jopt.adam(0.1)
    assert jax.tree.leaves(in_axes) == []


def test_only_what_is_swept_is_stacked():
    stacked, in_axes = jopt.lanes(jopt.adam(0.1, b1=jopt.choice(0.8, 0.9)))
    assert jax.tree.leaves(in_axes, is_leaf=lambda x: x is None) == [None, 0, None, None, None]
    assert stacked.hyperparams["learning_rate"] == 0.1
    assert stacked.hyperparams["b1"].shape == (2,)


def test_the_settings_of_lanes_are_those_of_a_sweep():
    optimizer = jopt.adam(jopt.choice(0.1, 0.2), b1=jopt.choice(0.5, 0.9))
    _, _, losses = lanes_of(optimizer)
    result = jopt.sweep(loss, PARAMS, optimizer, (b for b in BATCHES), steps=STEPS)
    np.testing.assert_allclose(result.record.losses["loss"].reshape(4, STEPS), losses, rtol=1e-4)
    assert_same_run(lane(result, 1, 0, 0), run_alone(loss, PARAMS, jopt.adam(0.2, b1=0.5), BATCHES))


# Bad input


def test_train_names_the_argument_that_was_swapped():
    with pytest.raises(TypeError, match=r"train takes \(loss, params, optimizer, batches\).*dict"):
        jopt.train(PARAMS, loss, jopt.sgd(0.1), BATCHES)


def test_train_refuses_what_is_no_optimizer():
    for wrong in (0.1, jopt.sgd, None, BATCHES):
        with pytest.raises(TypeError, match=r"transformation|optimizer"):
            jopt.train(loss, PARAMS, wrong, BATCHES)


def test_train_refuses_an_optimizer_with_axes():
    with pytest.raises(TypeError, match=r"learning_rate.*jopt.sweep"):
        jopt.train(loss, PARAMS, jopt.sgd(jopt.choice(0.1, 0.2)), BATCHES)


def test_train_refuses_integer_parameters():
    with pytest.raises(TypeError, match=r"\['n'\].*int32.*floating"):
        jopt.train(loss, {**PARAMS, "n": jnp.arange(3)}, jopt.sgd(0.1), BATCHES)


def test_train_refuses_batches_of_unequal_length():
    with pytest.raises(ValueError, match=r"batches.*\['x'\].*10.*\['y'\].*9"):
        jopt.train(loss, PARAMS, jopt.sgd(0.1), {"x": BATCHES, "y": BATCHES[:9]})


def test_train_refuses_batches_without_steps():
    with pytest.raises(ValueError, match=r"batches.*scalar.*leading axis of steps"):
        jopt.train(loss, PARAMS, jopt.sgd(0.1), jnp.float32(1.0))
    with pytest.raises(ValueError, match=r"batches.*leading axis of steps"):
        jopt.train(lambda w, _: loss(w, BATCHES[0]), PARAMS, jopt.sgd(0.1), None)


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        (lambda w, b: b @ w["w"], ValueError, r"loss.*scalar.*\(4,\)"),
        (lambda w, b: jnp.int32(3), TypeError, r"loss.*floating.*int32"),
        (lambda w, b: 3, TypeError, r"loss.*floating.*int"),
        (lambda w, b: "low", TypeError, r"loss.*str"),
        (lambda w, b: None, TypeError, r"loss.*NoneType"),
        (lambda w, b: (loss(w, b), {}), TypeError, r"loss.*tuple"),
        (lambda w, b: loss(w, b) + 0j, TypeError, r"loss.*floating.*complex"),
    ],
    ids=itertools.count(),
)
def test_train_refuses_a_loss_that_is_no_floating_scalar(wrong, error, named):
    with pytest.raises(error, match=named):
        jopt.train(wrong, PARAMS, jopt.sgd(0.1), BATCHES)


def test_lanes_refuses_what_is_no_value_of_jopt():
    for wrong in (optax.sgd(0.1), 0.1, jopt.adam, {"a": jopt.sgd(0.1)}):
        with pytest.raises(TypeError, match=r"lanes takes a jopt optimizer"):
            jopt.lanes(wrong)

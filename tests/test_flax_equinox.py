"""A jopt value inside Flax and Equinox, and its states in Flax's serialization."""

import chex
import equinox as eqx
import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import jopt

X = jnp.linspace(-1.0, 1.0, 12).reshape(6, 2)
Y = jnp.sin(3.0 * X[:, :1])
OPTIMIZERS = {
    "sgd": lambda: jopt.sgd(0.1, momentum=0.9),
    "adam": lambda: jopt.adam(0.05),
    "scheduled": lambda: jopt.adamw(jopt.cosine_decay_schedule(0.05, 100), b1=jopt.linear_schedule(0.9, 0.8, 10)),
    "chain": lambda: jopt.chain(jopt.clip_by_global_norm(1.0), jopt.rmsprop(0.05)),
    "plateau": lambda: jopt.named_chain(("step", jopt.sgd(0.1)), ("plateau", jopt.reduce_on_plateau())),
    "lifted": lambda: jopt.lift(optax.lion)(0.01),
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(8)(x)))


class NormedNet(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(2, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.outer = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.outer(nnx.tanh(self.norm(self.inner(x))))


class Gated(eqx.Module):
    """A model with a bias that may be None, a function, an integer and a string among its fields."""

    weight: jax.Array
    bias: jax.Array | None
    calls: jax.Array
    activation: object = jax.nn.tanh
    name: str = "gated"

    def __call__(self, x):
        return jnp.sum(self.activation(x @ self.weight), keepdims=True)


def _gated():
    return Gated(jnp.ones((2, 3)) * 0.3, None, jnp.zeros([], jnp.int32))


def _linen_loss(params):
    return jnp.mean((Net().apply({"params": params}, X) - Y) ** 2)


def _linen_params():
    return Net().init(jax.random.key(0), X)["params"]


# Flax linen


@each_optimizer
def test_a_train_state_trains(name):
    state = TrainState.create(apply_fn=Net().apply, params=_linen_params(), tx=OPTIMIZERS[name]())

    @jax.jit
    def step(state):
        value, grads = jax.value_and_grad(_linen_loss)(state.params)
        return state.apply_gradients(grads=grads) if name != "plateau" else _with_value(state, grads, value)

    before = _linen_loss(state.params)
    for _ in range(20):
        state = step(state)
    assert float(_linen_loss(state.params)) < float(before)
    assert int(state.step) == 20


def _with_value(state, grads, value):
    updates, opt_state = state.tx.update(grads, state.opt_state, state.params, value=value)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state)


def test_a_rebuilt_optimizer_in_a_train_state_compiles_nothing():
    traces = []

    @jax.jit
    def step(state):
        traces.append(state)
        return state.apply_gradients(grads=jax.grad(_linen_loss)(state.params))

    params, apply = _linen_params(), Net().apply
    for _ in range(3):  # optax.adam(0.05) in its place compiles three times
        step(TrainState.create(apply_fn=apply, params=params, tx=OPTIMIZERS["chain"]()))
    assert len(traces) == 1


@each_optimizer
def test_a_state_survives_flax_serialization(name):
    opt, params = OPTIMIZERS[name](), _linen_params()
    grads = jax.grad(_linen_loss)(params)
    _, state = opt.update(grads, opt.init(params), params, value=1.0)
    from_dict = flax.serialization.from_state_dict(opt.init(params), flax.serialization.to_state_dict(state))
    from_bytes = flax.serialization.from_bytes(opt.init(params), flax.serialization.to_bytes(state))
    for again in (from_dict, from_bytes):
        chex.assert_trees_all_equal(again, state)
        chex.assert_trees_all_equal(opt.update(grads, again, params, value=1.0), opt.update(grads, state, params, value=1.0))


def test_a_train_state_survives_flax_serialization():
    state = TrainState.create(apply_fn=Net().apply, params=_linen_params(), tx=jopt.adam(0.1))
    trained = state.apply_gradients(grads=jax.grad(_linen_loss)(state.params))
    again = flax.serialization.from_bytes(state, flax.serialization.to_bytes(trained))
    chex.assert_trees_all_equal(again.params, trained.params)
    assert int(again.opt_state[0].count) == 1


# Flax NNX


@each_optimizer
def test_an_nnx_optimizer_trains(name):
    model = NormedNet(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, OPTIMIZERS[name](), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        value, grads = nnx.value_and_grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model)
        optimizer.update(model, grads, value=value)
        return value

    losses = [float(step(model, optimizer)) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert int(optimizer.step[...]) == 20


# Equinox


@each_optimizer
def test_an_equinox_model_with_none_leaves_trains(name):
    model, opt = _gated(), OPTIMIZERS[name]()
    state = opt.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state, opt):
        value, grads = eqx.filter_value_and_grad(lambda m: jnp.mean((jax.vmap(m)(X) - Y) ** 2))(model)
        updates, state = opt.update(grads, state, eqx.filter(model, eqx.is_inexact_array), value=value)
        return eqx.apply_updates(model, updates), state, value

    losses = []
    for _ in range(20):
        model, state, value = step(model, state, opt)
        losses.append(float(value))
    assert losses[-1] < losses[0]
    assert model.bias is None
    assert model.name == "gated"


def test_filter_jit_takes_the_value_as_an_argument():
    traces = []

    @eqx.filter_jit
    def step(opt, params):
        traces.append(opt)
        return opt.update(params, opt.init(params), params)[0]

    # Equinox makes Python numbers static, arrays dynamic.
    for rate in (0.1, 0.2, 0.3):
        updates = step(jax.tree.map(jnp.asarray, jopt.sgd(rate)), {"w": jnp.ones(2)})
        np.testing.assert_allclose(updates["w"], -rate, rtol=1e-6)
    assert len(traces) == 1


def test_update_takes_a_whole_model_with_its_functions_in_place_of_params():
    model, opt = _gated(), jopt.adamw(0.1)
    grads = eqx.filter_grad(lambda m: jnp.sum(m(X[0])))(model)
    updates, _ = opt.update(grads, opt.init(eqx.filter(model, eqx.is_inexact_array)), model)
    assert eqx.apply_updates(model, updates).weight.shape == (2, 3)


def test_jopt_apply_updates_leaves_the_parameters_of_none_updates():
    params = {"w": jnp.ones(2), "frozen": jnp.ones(2)}
    found = jopt.apply_updates(params, {"w": jnp.ones(2), "frozen": None})
    chex.assert_trees_all_equal(found, {"w": 2 * jnp.ones(2), "frozen": jnp.ones(2)})


def test_a_none_gradient_leaves_its_part_of_the_state():
    params = {"w": jnp.ones(2), "frozen": jnp.ones(2)}
    opt = jopt.adam(0.1)
    updates, state = opt.update({"w": jnp.ones(2), "frozen": None}, opt.init(params), params)
    assert updates["frozen"] is None
    np.testing.assert_array_equal(state[0].mu["frozen"], 0.0)
    assert jax.tree.structure(state) == jax.tree.structure(opt.init(params))


def test_the_patterns_of_a_partition_name_the_variables_of_nnx():
    model = NormedNet(nnx.Rngs(0))
    before = jax.tree.map(jnp.copy, nnx.state(model, nnx.Param))
    parts = {"inner/*": jopt.set_to_zero(), "*/bias": jopt.sgd(0.1), "outer/kernel": jopt.sgd(0.2), "*": jopt.adam(0.1)}
    optimizer = nnx.Optimizer(model, jopt.partition(parts), wrt=nnx.Param)
    grads = nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model)
    optimizer.update(model, grads)
    moved = jax.tree.map(lambda new, old: bool(jnp.any(new != old)), nnx.state(model, nnx.Param), before)
    assert not any(jax.tree.leaves(moved["inner"]))
    assert all(jax.tree.leaves([moved["outer"], moved["norm"]]))


@pytest.mark.parametrize("module", [nn.Dense(10), nn.Dense(10).init], ids=["a module", "its method"])
def test_a_module_in_place_of_parameters_fails_with_a_word_about_what_it_was_taken_for(module):
    with pytest.raises((TypeError, flax.errors.FlaxError), match=r"unbound|inputs") as caught:
        jopt.sweep(lambda params, batch: 0.0, module, jopt.sgd(0.1), np.ones((8, 3), np.float32), steps=2, progress=False)
    assert any("so it was called as init(key)" in note for note in caught.value.__notes__)

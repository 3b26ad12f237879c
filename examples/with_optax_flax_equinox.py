"""Both directions: jopt's values inside Optax, Flax and Equinox, and Optax's optimizers as jopt values."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.training.train_state import TrainState

import jopt

X = jnp.linspace(-1.0, 1.0, 32)[:, None]
Y = jnp.sin(3.0 * X)


def error(predicted):
    """The mean square error."""
    return jnp.mean((predicted - Y) ** 2)


def in_optax(steps):
    """A jopt optimizer between Optax's transformations, on two of the three parameters."""
    labels = {"w": "trained", "b": "trained", "scale": "frozen"}
    trained = optax.chain(optax.clip_by_global_norm(1.0), jopt.adam(jopt.cosine_decay_schedule(0.1, steps)))
    opt = optax.partition({"trained": trained, "frozen": optax.set_to_zero()}, labels)
    params = {"w": jnp.zeros((1, 1)), "b": jnp.zeros(1), "scale": jnp.ones(1)}
    return _train(opt, params, lambda p: error(p["scale"] * (X @ p["w"] + p["b"])), steps)


def optax_in_jopt(steps):
    """An Optax optimizer in a jopt chain, and one lifted: its numbers are leaves, so four rates train in one call."""
    params = {"w": jnp.zeros((1, 1)), "b": jnp.zeros(1)}

    def loss(p):
        return error(X @ p["w"] + p["b"])

    chained = _train(jopt.chain(jopt.clip(1.0), optax.adabelief(0.05)), params, loss, steps)
    lion = jopt.lift(optax.lion)(0.02)
    rates = jnp.array([0.002, 0.01, 0.02, 0.05])
    swept = jax.vmap(lambda rate: _train(lion.replace(learning_rate=rate), params, loss, steps))(rates)
    return chained, swept


def _train(opt, params, loss, steps):
    def step(carry, _):
        params, state = carry
        updates, state = opt.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, opt.init(params)), length=steps)
    return loss(params)


class Net(nn.Module):
    """One hidden layer, in Flax's linen."""

    @nn.compact
    def __call__(self, x):
        """The prediction for each row."""
        return nn.Dense(1)(nn.tanh(nn.Dense(16)(x)))


def in_flax_linen(steps):
    """A TrainState with a jopt optimizer; a state made anew with an equal optimizer compiles nothing."""
    net = Net()
    params = net.init(jax.random.key(0), X)["params"]
    state = TrainState.create(apply_fn=net.apply, params=params, tx=jopt.adam(0.02))

    @jax.jit
    def step(state):
        grads = jax.grad(lambda p: error(state.apply_fn({"params": p}, X)))(state.params)
        return state.apply_gradients(grads=grads)

    for _ in range(steps):
        state = step(state)
    return error(net.apply({"params": state.params}, X))


def in_flax_nnx(steps):
    """The optimizer of Flax's NNX around a jopt optimizer."""
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(1, 16, rngs=rngs), nnx.tanh, nnx.Linear(16, 1, rngs=rngs))
    optimizer = nnx.Optimizer(model, jopt.momentum(0.05), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda m: error(m(X)))(model))

    for _ in range(steps):
        step(model, optimizer)
    return error(model(X))


def in_equinox(steps):
    """A jopt optimizer on an Equinox model; the optimizer itself may go through ``filter_jit``."""
    model = eqx.nn.MLP(1, 1, 16, 1, activation=jnp.tanh, key=jax.random.key(0))
    opt = jopt.adamw(0.02)
    state = opt.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state, opt):
        grads = eqx.filter_grad(lambda m: error(jax.vmap(m)(X)))(model)
        updates, state = opt.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state

    for _ in range(steps):
        model, state = step(model, state, opt)
    return error(jax.vmap(model)(X))


def main(steps=200):
    """Trains in each of the five ways and prints the errors."""
    chained, swept = optax_in_jopt(steps)
    found = {
        "jopt in Optax": in_optax(steps),
        "Optax in a jopt chain": chained,
        "four rates of a lifted Optax optimizer": swept,
        "jopt in a Flax TrainState": in_flax_linen(steps),
        "jopt in an nnx.Optimizer": in_flax_nnx(steps),
        "jopt in Equinox": in_equinox(steps),
    }
    for name, value in found.items():
        print(f"{name}: error {value}")
    return found


if __name__ == "__main__":
    main()

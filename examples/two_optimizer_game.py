"""A game of two networks, each with its own optimizer: a generator of numbers, and a critic that tells them from real ones.

What goes wrong first: ranking by a loss. Each player's loss says how well the other plays, so the lowest is no winner; score
what the game is for, here how far the generated numbers' mean and spread are from the real ones'. And a plain dict of
optimizers is used together, one by each player; to compare optimizers, give `jopt.groups`.
"""

import jax
import jax.numpy as jnp

import jopt

MEAN, SPREAD = 3.0, 0.5  # of the real numbers


def network(key):
    shapes = {"w": (16,), "b": (16,), "v": (16,), "c": ()}
    return {name: jax.random.normal(k, shapes[name]) for name, k in zip(shapes, jax.random.split(key, 4), strict=True)}


def apply(params, x):
    return jnp.tanh(x[:, None] * params["w"] + params["b"]) @ params["v"] / 4 + params["c"]


def loss(own, name, players, noise, real):
    players = {**players, name: own}
    made = apply(players["critic"], apply(players["generator"], noise))  # how real the critic finds what is generated
    if name == "generator":
        return jax.nn.softplus(-made).mean()
    return (jax.nn.softplus(made) + jax.nn.softplus(-apply(players["critic"], MEAN + SPREAD * real))).mean()


def init(optimizers, key):
    players = dict(zip(("generator", "critic"), map(network, jax.random.split(key)), strict=True))
    return players, {name: optimizers[name].init(players[name]) for name in players}


def step(optimizers, carry, batch, key):
    (players, states), metrics = carry, {}
    for name in players:
        value, grads = jax.value_and_grad(loss)(players[name], name, players, *jax.random.normal(key, (2, 64)))
        updates, state = optimizers[name].update(grads, states[name], players[name])
        players = {**players, name: jopt.apply_updates(players[name], updates)}
        states, metrics = {**states, name: state}, {**metrics, f"{name}_loss": value}
    return (players, states), metrics


def evaluate(carry):
    made = apply(carry[0]["generator"], jax.random.normal(jax.random.key(0), 1000))
    return {"distance": jnp.abs(made.mean() - MEAN) + jnp.abs(made.std() - SPREAD)}


def main(rates=4, steps=2000, seeds=3):
    players = {name: jopt.adam(jopt.geomspace(1e-4, 1e-1, rates), b1=0.5) for name in ("generator", "critic")}
    result = jopt.sweep_steps(init, step, players, steps=steps, seeds=seeds, evaluate=evaluate)
    print(result.best())
    return result


if __name__ == "__main__":
    main()

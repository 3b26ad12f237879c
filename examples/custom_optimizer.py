"""A new rule in fifteen lines: it is at once a value with named numbers, in jit, in vmap and in every Optax wrapper."""

import jax
import jax.numpy as jnp
import optax

import jopt


@jopt.transformation(domain={"decay": "[0, 1)", "learning_rate": "[0, inf)"}, schedules=("learning_rate",))
def sign_momentum(learning_rate, decay=0.9):
    """Steps of one size against the sign of the mean gradient."""

    def init(params):
        return jopt.zeros_like(params)

    def rule(g, m, learning_rate, decay):
        m = decay * m + (1.0 - decay) * g
        return -learning_rate * jnp.sign(m), m

    def update(updates, state, params=None, **extra_args):
        return jopt.leafwise(rule, {"updates": updates, "state": state}, learning_rate=learning_rate, decay=decay)

    return init, update


def loss(params):
    """A parabola whose minimum is at (1, −2)."""
    return jnp.sum((params - jnp.array([1.0, -2.0])) ** 2)


def train(optimizer, steps):
    """The loss after ``steps`` updates."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (jopt.apply_updates(params, updates), state), None

    start = jnp.zeros(2)
    (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    return loss(params)


def main(steps=200):
    """Trains with the rule: alone, with a schedule, inside Optax, and at four rates side by side."""
    optimizer = sign_momentum(0.02)
    print(optimizer)
    print("its numbers:", optimizer.hyperparams)

    rates = jnp.array([0.005, 0.02, 0.08, 0.32])
    found = {
        "alone": train(optimizer, steps),
        "with a schedule": train(sign_momentum(jopt.cosine_decay_schedule(0.05, steps)), steps),
        "with a function": train(sign_momentum(lambda step: 0.05 * 0.98**step), steps),
        "in an Optax chain": train(optax.chain(optax.clip(1.0), optimizer), steps),
        "at four rates": jax.jit(jax.vmap(lambda rate: train(optimizer.replace(learning_rate=rate), steps)))(rates),
    }
    for name, value in found.items():
        print(f"loss {name}:", value)
    return found


if __name__ == "__main__":
    main()

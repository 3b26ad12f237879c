"""Flax linen with batch norm and dropout: a model with more than parameters, and a key at every step.

What goes wrong first: `jopt.sweep` over all of `net.init(...)` takes the running means for parameters. No gradient reaches
them, so they stay where they began, and each evaluation is wrong without an error: they belong in a carry. And a key that one
makes oneself drops the same units at every step; the step of `jopt.sweep_steps` is handed a new one each time.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


class Net(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        hidden = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(64)(images))
        return nn.Dense(10)(nn.Dropout(0.2, deterministic=not train)(nn.relu(hidden)))


def init(optimizer, key):
    variables = Net().init(key, jnp.zeros((1, 64)), train=False)
    return variables["params"], variables["batch_stats"], optimizer.init(variables["params"])


def step(optimizer, carry, batch, key):
    (params, stats, state), (images, labels) = carry, batch

    def loss(params):
        variables = {"params": params, "batch_stats": stats}
        logits, moved = Net().apply(variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), moved["batch_stats"]

    (value, moved), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(grads, state, params)
    return (jopt.apply_updates(params, updates), moved, state), {"loss": value}


def evaluate(carry, data):
    logits = Net().apply({"params": carry[0], "batch_stats": carry[1]}, data[0], train=False)
    return {"val_accuracy": (logits.argmax(-1) == data[1]).mean()}


def main(rates=7, steps=300, seeds=2):
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((images / 16).astype(np.float32), labels, test_size=0.2, random_state=0)
    adam = jopt.adam(jopt.geomspace(1e-4, 1e-1, rates))
    scored = jopt.metrics(evaluate, data=(val_x, val_y), maximize="val_accuracy")
    result = jopt.sweep_steps(init, step, adam, (x, y), steps=steps, batch_size=64, seeds=seeds, evaluate=scored)
    print(result.best())
    return result


if __name__ == "__main__":
    main()

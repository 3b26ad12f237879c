"""Flax NNX: an object that holds its own parameters, split into a description and a tree of arrays.

What goes wrong first: a loss that puts the parameters into a model made outside, `nnx.update(model, params)`, is stopped with
"Cannot mutate ... from a different trace level": JAX traces the loss, and an object from outside the trace must not change in
it. So the model is taken apart once, outside, and each trace merges one of its own, which it may change as it likes.

With batch norm or dropout it has more than parameters: `description, params, rest = nnx.split(model, nnx.Param, ...)`; the rest
goes into the carry of `jopt.sweep_steps`, and `nnx.merge(description, params, rest, copy=True)` is a copy that may change.
"""

import jax
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


class Net(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(64, 32, rngs=rngs)
        self.outer = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, images):
        return self.outer(nnx.relu(self.inner(images)))


DESCRIPTION, _ = nnx.split(Net(nnx.Rngs(0)))


def init(key):
    """The parameters of a new model: each seed of the sweep has its own."""
    return nnx.split(Net(nnx.Rngs(key)))[1]


def loss(params, batch):
    images, labels = batch
    model = nnx.merge(DESCRIPTION, params)
    return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()


def main(rates=7, steps=300, seeds=2):
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((images / 16).astype(np.float32), labels, test_size=0.2, random_state=0)
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(val_x, val_y))
    adam = jopt.adam(jopt.geomspace(1e-4, 1e-1, rates))
    result = jopt.sweep(loss, init, adam, (x, y), steps=steps, batch_size=64, seeds=seeds, evaluate=scored)
    best = result.best()
    model = nnx.merge(DESCRIPTION, jax.tree.map(jax.numpy.asarray, best.params))  # an object again, to go on with
    print(best, f"right: {(model(val_x).argmax(-1) == val_y).mean():.0%}")
    return result


if __name__ == "__main__":
    main()

"""Equinox: a model that is a tree, of arrays and of everything else.

What goes wrong first: the model itself as `params` is refused, because its activation functions are leaves too, and no
gradient is taken of a function. `eqx.partition` takes the arrays out, `eqx.combine` puts them back inside the loss. A filter
of `eqx.is_array` takes whole numbers out too, which cannot be trained: use `eqx.is_inexact_array`.
"""

import equinox as eqx
import jax
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


def make(key):
    return eqx.nn.MLP(64, 10, width_size=32, depth=2, activation=jax.nn.gelu, key=key)


STATIC = eqx.partition(make(jax.random.key(0)), eqx.is_inexact_array)[1]


def init(key):
    """The arrays of a new model: each seed of the sweep has its own."""
    return eqx.filter(make(key), eqx.is_inexact_array)


def loss(params, batch):
    images, labels = batch
    model = eqx.combine(params, STATIC)
    return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(images), labels).mean()


def main(rates=7, steps=300, seeds=2):
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((images / 16).astype(np.float32), labels, test_size=0.2, random_state=0)
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(val_x, val_y))
    adamw = jopt.adamw(jopt.geomspace(1e-4, 1e-1, rates), weight_decay=jopt.choice(0.0, 0.1))
    result = jopt.sweep(loss, init, adamw, (x, y), steps=steps, batch_size=64, seeds=seeds, evaluate=scored)
    best = result.best()
    model = eqx.combine(best.params, STATIC)  # a model again, to go on with
    print(best, f"right: {(jax.vmap(model)(val_x).argmax(-1) == val_y).mean():.0%}")
    return result


if __name__ == "__main__":
    main()

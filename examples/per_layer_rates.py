"""A learning rate for each part of a model, swept against each other: body and head.

What goes wrong first: scaling the gradients of a part, `chain(scale the head by 0.1, adam(rate))`, does nothing. Adam divides
by the size of the gradients, so a constant factor cancels. Each part needs an optimizer of its own. `jopt.partition` gives it
one, by patterns over the paths of the parameters (or by labels, as Optax's); its numbers are leaves of a value, and axes may
stand in them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


def init(key):
    k1, k2 = jax.random.split(key)
    return {
        "body": {"w": jax.random.normal(k1, (64, 32)) / 8, "b": jnp.zeros(32)},
        "head": {"w": jax.random.normal(k2, (32, 10)) / 6, "b": jnp.zeros(10)},
    }


def loss(params, batch):
    images, labels = batch
    hidden = jax.nn.relu(images @ params["body"]["w"] + params["body"]["b"])
    logits = hidden @ params["head"]["w"] + params["head"]["b"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main(rates=5, steps=200, seeds=2):
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((images / 16).astype(np.float32), labels, test_size=0.2, random_state=0)
    parts = {f"{name}/*": jopt.adam(jopt.geomspace(1e-4, 1e-1, rates, name=f"{name}_rate")) for name in ("body", "head")}
    optimizer = jopt.partition(parts)
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(val_x, val_y))
    result = jopt.sweep(loss, init, optimizer, (x, y), steps=steps, batch_size=64, seeds=seeds, evaluate=scored)
    print(result.best())
    return result


if __name__ == "__main__":
    main()

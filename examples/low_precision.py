"""Weights in bfloat16, plain and with three ways to keep small updates, at the same learning rates.

What goes wrong first: nothing seems wrong. A loss that falls slowly looks like a rate that is too low, but where an update is
less than half of the distance to the next bfloat16 number (1/500 of the weight), the weight stays where it is, however
long the run. A small rate then trains the small weights alone. The bytes are of a parameter, its gradient left out.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt

KINDS = {  # what stands around Adam, the type of the weights, bytes per weight with those of Adam's state
    "float32": (lambda optimizer: optimizer, jnp.float32, 12),
    "bfloat16, plain": (lambda optimizer: optimizer, jnp.bfloat16, 10),
    "kahan": (jopt.kahan, jnp.bfloat16, 12),
    "master weights": (jopt.master_weights, jnp.bfloat16, 14),
    "stochastic rounding": (jopt.stochastic_rounding, jnp.bfloat16, 10),
    "the same, states in bfloat16, too": (lambda opt: jopt.stochastic_rounding(jopt.bfloat16_states(opt)), jnp.bfloat16, 6),
}


def init_in(dtype):
    def init(key):
        k1, k2 = jax.random.split(key)
        weights = {"w1": jax.random.normal(k1, (64, 64)) / 8, "b1": jnp.ones(64)}  # biases begin at 1, far from small updates
        return jax.tree.map(lambda x: x.astype(dtype), {**weights, "w2": jax.random.normal(k2, (64, 10)) / 8})

    return init


def loss(params, batch):
    images, labels = batch
    hidden = jax.nn.relu(images.astype(params["w1"].dtype) @ params["w1"] + params["b1"] - 1)
    logits = (hidden @ params["w2"]).astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main(rates=3, steps=2000, seeds=2, kinds=tuple(KINDS)):
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((images / 16).astype(np.float32), labels, test_size=0.2, random_state=0)
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(val_x, val_y))
    found, axis = {}, jopt.geomspace(1e-5, 1e-3, rates)
    for name in kinds:
        wrap, dtype, size = KINDS[name]
        optimizer, run = wrap(jopt.adam(axis)), {"steps": steps, "batch_size": 64, "seeds": seeds, "eval_every": steps}
        result = jopt.sweep(loss, init_in(dtype), optimizer, (x, y), evaluate=scored, **run)
        found[name] = result.dataset.val_loss.isel(eval_step=-1).mean("seed")
        shown = "  ".join(f"{float(v):.3f} at {r:.0e}" for r, v in zip(axis.values, found[name], strict=True))
        print(f"{name:<34}{size:>3} bytes   validation loss {shown}")
    return found


if __name__ == "__main__":
    main()

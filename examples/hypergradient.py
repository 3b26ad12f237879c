"""Hypergradients: tune the learning rate and the momentum by gradient descent, through the whole training run.

An optimizer of jopt is a pytree of its hyperparameters, and `jopt.train` is one pure function. So the loss after
training is a differentiable function of the optimizer, and `jax.grad` says how each hyperparameter should move.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


def digits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)


def loss(params, batch):
    """Cross-entropy of a softmax regression."""
    images, labels = batch
    logits = images @ params["w"] + params["b"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def optimizer(z):
    """The optimizer for two free numbers: any rate above 0 and any momentum between 0 and 1 can be reached."""
    return jopt.momentum(jnp.exp(z["log_rate"]), momentum=jax.nn.sigmoid(z["logit_momentum"]))


def main(inner_steps=50, outer_steps=60, out="."):
    train_images, val_images, train_labels, val_labels = digits()
    picked = np.random.default_rng(0).integers(len(train_images), size=(inner_steps, 32))
    batches = train_images[picked], train_labels[picked]
    params = {"w": jnp.zeros((64, 10)), "b": jnp.zeros(10)}

    def after_training(opt):
        trained, _, _ = jopt.train(loss, params, opt, batches)
        return loss(trained, (val_images, val_labels))

    # The gradient with respect to an optimizer has the form of an optimizer: a number for each hyperparameter.
    opt = jopt.momentum(0.01, momentum=0.5)
    slope = jax.jit(jax.grad(after_training))(jax.tree.map(jnp.float32, opt)).hyperparams
    print(f"{opt}: the validation loss changes by")
    for name, value in slope.items():
        print(f"  {float(value):+.3f} per unit of {name}")

    # One optimizer tunes the other.
    z = {"log_rate": jnp.log(0.01), "logit_momentum": jnp.float32(0.0)}
    tuner = jopt.adam(0.1)
    state = tuner.init(z)
    value_and_grad = jax.jit(jax.value_and_grad(lambda z: after_training(optimizer(z))))
    path = []
    print("\nstep   learning rate   momentum   validation loss after training")
    for step in range(outer_steps + 1):
        value, grads = value_and_grad(z)
        now = {name: float(x) for name, x in optimizer(z).hyperparams.items()}
        path.append((now["learning_rate"], now["momentum"], float(value)))
        if step % max(1, outer_steps // 10) == 0:
            print(f"{step:<7}{path[-1][0]:<16.4f}{path[-1][1]:<11.3f}{path[-1][2]:.4f}")
        updates, state = tuner.update(grads, state, z)
        z = jopt.apply_updates(z, updates)

    picture = Path(out) / "hypergradient.png"
    draw(np.array(path)).savefig(picture, dpi=110)
    print(f"\nThe path of the two hyperparameters: {picture}")
    return np.array(path)


def draw(path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    names = ("learning rate", "momentum", "validation loss after training")
    for ax, name, values in zip(axes, names, path.T, strict=True):
        ax.plot(values, "o-", ms=3, color="#0072b2")
        ax.set(xlabel="steps of the tuner", title=name)
    axes[0].set_yscale("log")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

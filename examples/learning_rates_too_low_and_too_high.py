"""A learning rate can be too low, right, or too high: the validation loss for every order of magnitude.

A small network tells benign from malignant tumours (569 patients, 30 measurements each). One call trains it with
six rates, three times each.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import jopt


def tumours():
    """Measurements with mean 0 and standard deviation 1 over the training patients, and 1 for benign."""
    data = load_breast_cancer()
    train, val, train_labels, val_labels = train_test_split(
        data.data, data.target, test_size=0.3, random_state=0, stratify=data.target
    )
    mean, std = train.mean(0), train.std(0)
    train, val = ((x - mean) / std for x in (train, val))
    return (np.float32(train), np.float32(train_labels)), (np.float32(val), np.float32(val_labels))


def init(key):
    k1, k2 = jax.random.split(key)
    return {
        "w1": jax.random.normal(k1, (30, 16)) * jnp.sqrt(2 / 30),
        "b1": jnp.zeros(16),
        "w2": jax.random.normal(k2, (16,)) * jnp.sqrt(1 / 16),
        "b2": jnp.zeros(()),
    }


def loss(params, batch):
    x, benign = batch
    hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
    return optax.sigmoid_binary_cross_entropy(hidden @ params["w2"] + params["b2"], benign).mean()


def main(steps=400, seeds=3, out="."):
    train, val = tumours()
    result = jopt.sweep(
        loss,
        init,
        jopt.momentum(jopt.decades(1e-5, 1.0)),
        train,
        steps=steps,
        batch_size=32,
        seeds=seeds,
        evaluate=lambda params: {"val_loss": loss(params, val)},
    )
    final = result.dataset.val_loss.isel(eval_step=-1)
    best = result.best("val_loss").setting["learning_rate"]
    print("learning rate   validation loss at the end")
    for rate in result.dataset.learning_rate.values:
        verdict = "right" if rate == best else "too low" if rate < best else "too high"
        each = final.sel(learning_rate=rate)
        shown = f"{float(each.mean()):.3g} +/- {float(each.std(ddof=1)):.1g}"
        print(f"{rate:<16g}{shown:<20}{verdict}")
    ax = result.plot.curves("val_loss")
    ax.set_title("Validation loss for learning rates from too low to too high")
    path = Path(out) / "learning_rates_too_low_and_too_high.png"
    ax.figure.savefig(path, dpi=110)
    print(f"\nThe curves: {path}")
    return result


if __name__ == "__main__":
    jopt.enable_compilation_cache()  # the next run compiles nothing
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

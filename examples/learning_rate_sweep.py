"""Which learning rate? 26 of them for each of four optimizers, three seeds each, trained side by side.

A small network learns to read digits. The optimizers are values with an axis in the place of the learning rate, and one
call of `jopt.sweep` trains all 312 networks.
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

GUESSING = float(np.log(10))  # the loss of giving each of the ten digits the same probability


def digits():
    """1,797 images of 8 x 8 pixels as rows of 64 numbers in [0, 1], a fifth of them for validation."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)


def init(key):
    """The network's weights: 64 pixels, 32 hidden units, 10 digits."""
    k1, k2 = jax.random.split(key)
    return {
        "w1": jax.random.normal(k1, (64, 32)) * jnp.sqrt(2 / 64),
        "b1": jnp.zeros(32),
        "w2": jax.random.normal(k2, (32, 10)) * jnp.sqrt(1 / 32),
        "b2": jnp.zeros(10),
    }


def logits(params, images):
    hidden = jax.nn.relu(images @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def cross_entropy(params, batch):
    images, labels = batch
    return optax.softmax_cross_entropy_with_integer_labels(logits(params, images), labels).mean()


def main(rates=26, steps=1000, seeds=3, out="."):
    train_images, val_images, train_labels, val_labels = digits()

    def evaluate(params):
        right = jnp.argmax(logits(params, val_images), axis=-1) == val_labels
        return {"val_loss": cross_entropy(params, (val_images, val_labels)), "val_accuracy": right.mean()}

    rate = jopt.geomspace(1e-5, 1.0, rates)
    optimizers = {
        "gradient descent": jopt.sgd(rate),
        "momentum": jopt.momentum(rate),
        "RMSProp": jopt.rmsprop(rate),
        "Adam": jopt.adam(rate),
    }
    result = jopt.sweep(
        cross_entropy,
        init,
        optimizers,
        (train_images, train_labels),
        steps=steps,
        batch_size=32,
        seeds=seeds,
        evaluate=evaluate,
    )
    report(result)
    path = Path(out) / "learning_rate_sweep.png"
    figure = result.plot.curves("val_loss", top="all")[0].figure
    figure.suptitle(f"Validation loss on handwritten digits, {rates} learning rates for each optimizer")
    figure.savefig(path, dpi=110)
    print(f"\nThe validation loss of every rate against the step: {path}")
    page = result.report(Path(out) / "learning_rate_sweep.html", "val_loss")
    print(f"The same to look into, with a suggestion for each optimizer, in a browser: {page}")
    return result


def report(result):
    """Prints, for each optimizer, its best rate, how good that is, and which other rates would do.

    Only what every run finds: high rates are chaotic, and end elsewhere with each rounding of a sum.
    """
    rates, seeds = result["Adam"].record.diverged.shape
    print(f"{len(result)} optimizers x {rates} rates x {seeds} seeds, {result.timings.lane_steps:,} steps in all\n")
    print(f"{'optimizer':<18}{'best rate':<11}{'validation accuracy':<21}{'good from':<11}{'too high from':<15}diverged")
    for name, group in result.items():
        data = group.dataset
        best = group.best("val_loss").setting["learning_rate"]
        accuracy = data.val_accuracy.isel(eval_step=-1).mean("seed")
        at_best = float(accuracy.sel(learning_rate=best))
        good = lowest(data.learning_rate[accuracy >= at_best - 0.05])
        too_high = lowest(data.learning_rate[(data.learning_rate > best) & (accuracy < 0.5)])
        diverged = int(data.diverged_at.notnull().any("seed").sum())
        print(f"{name:<18}{best:<11.2g}{at_best:<21.0%}{good:<11}{too_high:<15}{diverged}")
    print("\ngood: at most five points below the accuracy of the best rate; too high: less than half right at the end;")
    print("diverged: rates at which a seed's loss became infinite or not a number")


def lowest(rates):
    return f"{rates.values.min():.2g}" if rates.size else "none"


if __name__ == "__main__":
    jopt.enable_compilation_cache()  # the next run compiles nothing
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture and the page in")
    main(out=parser.parse_args().out)

"""Optimizers compared, each at its own best learning rate.

The rate that suits one method does not suit another: compared at one common rate, whichever it happens to suit wins. So
sweep the rate of each, and compare the best with the best.
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

COMMON = 1e-3  # the rate that people try first


def digits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return train_test_split(images, labels, test_size=0.2, random_state=1, stratify=labels)


def init(key):
    k1, k2 = jax.random.split(key)
    return {
        "w1": jax.random.normal(k1, (64, 32)) * jnp.sqrt(2 / 64),
        "b1": jnp.zeros(32),
        "w2": jax.random.normal(k2, (32, 10)) * jnp.sqrt(1 / 32),
        "b2": jnp.zeros(10),
    }


def loss(params, batch):
    images, labels = batch
    hidden = jax.nn.relu(images @ params["w1"] + params["b1"])
    logits = hidden @ params["w2"] + params["b2"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main(steps=500, seeds=3, out="."):
    train_images, val_images, train_labels, val_labels = digits()
    rate = jopt.choice(3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
    optimizers = {
        "gradient descent": jopt.sgd(rate),
        "momentum": jopt.momentum(rate),
        "Nesterov momentum": jopt.momentum(rate, nesterov=True),
        "RMSProp": jopt.rmsprop(rate),
        "Adam": jopt.adam(rate),
    }
    result = jopt.sweep(
        loss,
        init,
        optimizers,
        (train_images, train_labels),
        steps=steps,
        batch_size=32,
        seeds=seeds,
        evaluate=lambda params: {"val_loss": loss(params, (val_images, val_labels))},
    )
    print(f"{'validation loss':<19}{f'all at {COMMON:g}':<19}each at its best rate")
    for name, group in result.items():
        best = group.best("val_loss")
        common = group.dataset.val_loss.sel(learning_rate=COMMON).isel(eval_step=-1)
        at_common = f"{float(common.mean()):.3f} +/- {float(common.std(ddof=1)):.3f}"
        print(f"{name:<19}{at_common:<19}{best.score:.3f} +/- {best.spread:.3f} at {best.setting['learning_rate']:g}")
    path = Path(out) / "optimizers_compared.png"
    draw(result).savefig(path, dpi=110)
    print(f"\nThe curves at the best rates, and the loss against the rate: {path}")
    return result


def draw(result):
    import matplotlib.pyplot as plt

    figure, (curves, response) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    result.plot.compare("val_loss", ax=response)
    response.set_title("Where each method's best rate lies")
    colors = {line.get_label().split(":")[0]: line.get_color() for line in response.get_lines()}
    for name, group in result.items():
        best = group.best("val_loss").setting
        at_best = group.dataset.val_loss.sel(best).mean("seed")
        curves.semilogy(at_best.eval_step, at_best, color=colors[name], label=f"{name}, {best['learning_rate']:g}")
    curves.set(xlabel="step", ylabel="val loss", title="Each at its own best learning rate")
    curves.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    jopt.enable_compilation_cache()  # the next run compiles nothing
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

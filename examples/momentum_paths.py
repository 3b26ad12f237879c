"""Why momentum helps: the paths of gradient descent and of momentum through a long, narrow valley.

The loss is thirty times steeper across the valley than along it. A rate that is low enough for the walls is tiny for the
floor, so gradient descent creeps. Momentum swings from wall to wall, where its steps cancel, and gathers speed along the
floor, where they add up.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import jopt

START = (-4.0, 1.2)


def valley(x, y):
    return 0.5 * (x**2 + 30 * y**2)


def loss(w, _):
    """The loss, and where we are: `has_aux=True` records both at every step."""
    return valley(w[0], w[1]), {"x": w[0], "y": w[1]}


def main(steps=60, learning_rate=0.03, out="."):
    optimizers = {
        "gradient descent": jopt.sgd(learning_rate),
        "momentum": jopt.momentum(learning_rate, momentum=0.8),
    }
    result = jopt.sweep(loss, jnp.array(START), optimizers, steps=steps, has_aux=True)
    for name, group in result.items():
        path = group.dataset.isel(seed=0)
        below = path.step[path.loss < 0.01 * path.loss[0]]
        when = f"at step {int(below[0])}" if below.size else f"not in {steps} steps"
        print(f"{name:<18}loss {float(path.loss[-1]):.1e} at the end; under 1 % of the first {when}")
    picture = Path(out) / "momentum_paths.png"
    draw(result, learning_rate).savefig(picture, dpi=110)
    print(f"The paths over the contour lines of the loss: {picture}")
    return result


def draw(result, learning_rate):
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 7), layout="constrained", gridspec_kw={"height_ratios": [3, 2]})
    x, y = np.meshgrid(np.linspace(-4.5, 1.5, 200), np.linspace(-1.5, 1.5, 200))
    top.contour(x, y, valley(x, y), levels=np.geomspace(0.05, 40, 12), colors="0.8", linewidths=0.8)
    for (name, group), color in zip(result.items(), ("#0072b2", "#e69f00"), strict=True):
        path = group.dataset.isel(seed=0)
        top.plot(path.x, path.y, "o-", color=color, ms=3, lw=1.3, label=name)
        bottom.semilogy(path.step, path.loss, color=color, label=name)
    top.plot(0, 0, "*", color="#d62728", ms=14, mec="white", label="minimum")
    top.set(xlabel="x", ylabel="y", title=f"½ (x² + 30 y²), learning rate {learning_rate:g} for both")
    bottom.set(xlabel="step", ylabel="loss")
    top.legend(loc="lower right", fontsize="small")
    bottom.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

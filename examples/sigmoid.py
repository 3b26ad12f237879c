"""Backpropagation by hand: the gradient of a neuron, one node of its computation graph after the other.

The neuron is y = sigmoid(w0 x0 + w1 x1 + w2). The forward pass computes the value of every node; the backward pass
multiplies the gradient that arrives at a node by the node's own derivative. `jax.grad` does the same.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jopt

X = np.array([-1.0, -2.0])
W = np.array([2.0, -3.0, -3.0])


def neuron(w, x):
    return jax.nn.sigmoid(w[0] * x[0] + w[1] * x[1] + w[2])


def forward(w, x):
    """The value of every node, in the order in which they are computed."""
    v = {"a": w[0] * x[0], "b": w[1] * x[1]}
    v["c"] = v["a"] + v["b"]
    v["z"] = v["c"] + w[2]
    v["n"] = -v["z"]
    v["e"] = np.exp(v["n"])
    v["d"] = 1 + v["e"]
    v["y"] = 1 / v["d"]
    return v


def backward(w, x, v):
    """The gradient of y with respect to every node and weight, from the end to the beginning."""
    g = {"y": 1.0}
    g["d"] = g["y"] * -1 / v["d"] ** 2  # y = 1 / d
    g["e"] = g["d"] * 1  # d = 1 + e
    g["n"] = g["e"] * v["e"]  # e = exp(n), its own derivative
    g["z"] = g["n"] * -1  # n = -z
    g["c"] = g["w2"] = g["z"]  # z = c + w2: a sum hands the gradient on
    g["a"] = g["b"] = g["c"]  # c = a + b
    g["w0"], g["w1"] = g["a"] * x[0], g["b"] * x[1]  # a product hands it on times the other factor
    g["x0"], g["x1"] = g["a"] * w[0], g["b"] * w[1]
    return g


FORMULAS = {
    "a": "w0 x0",
    "b": "w1 x1",
    "c": "a + b",
    "z": "c + w2",
    "n": "-z",
    "e": "exp(n)",
    "d": "1 + e",
    "y": "1 / d",
}


def main(steps=20, out="."):
    values = forward(W, X)
    gradients = backward(W, X, values)
    print("node   is        value   dy/dnode")
    for name, formula in FORMULAS.items():
        print(f"{name:<7}{formula:<8}{values[name]:>7.4f}{gradients[name]:>11.4f}")

    by_hand = np.array([gradients["w0"], gradients["w1"], gradients["w2"]])
    by_jax = jax.grad(neuron)(jnp.asarray(W, jnp.float32), X)
    print(f"\ngradient with respect to the weights, by hand: {np.round(by_hand, 4)}")
    print(f"                                  by jax.grad: {np.round(np.float64(by_jax), 4)}")

    w, _, outputs = jopt.train(neuron, jnp.asarray(W, jnp.float32), jopt.sgd(1.0), np.tile(X, (steps, 1)))
    print(f"\n{steps} steps against the gradient take y from {outputs[0]:.2f} to {neuron(w, X):.2f}")

    path = Path(out) / "sigmoid.png"
    draw(values, gradients).savefig(path, dpi=110)
    print(f"The graph, with the value and the gradient of every node: {path}")
    return by_hand, by_jax


PLACES = {"w0": (0, 4), "x0": (0, 3), "w1": (0, 2), "x1": (0, 1), "w2": (0, 0)}
PLACES |= {"a": (1.3, 3.5), "b": (1.3, 1.5), "c": (2.6, 2.5), "z": (3.9, 1.5)}
PLACES |= {"n": (5.2, 1.5), "e": (6.5, 1.5), "d": (7.8, 1.5), "y": (9.1, 1.5)}
SYMBOLS = {"a": "×", "b": "×", "c": "+", "z": "+", "n": "× −1", "e": "exp", "d": "+ 1", "y": "1 / d"}
EDGES = ["w0-a", "x0-a", "w1-b", "x1-b", "a-c", "b-c", "c-z", "w2-z", "z-n", "n-e", "e-d", "d-y"]


def draw(values, gradients):
    """The computation graph: at each node its name and formula, its value in green and, below it, its gradient in red."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(11, 4.6), layout="constrained")
    known = {**values, "w0": W[0], "w1": W[1], "w2": W[2], "x0": X[0], "x1": X[1]}
    for edge in EDGES:
        start, end = (np.array(PLACES[name]) for name in edge.split("-"))
        ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "shrinkA": 17, "shrinkB": 17, "color": "0.6"})
    for name, (x, y) in PLACES.items():
        ax.plot(x, y, "o", ms=31, mfc="white" if name in SYMBOLS else "0.93", mec="0.4")
        ax.text(x, y, SYMBOLS.get(name, name), ha="center", va="center", fontsize=11)
        if name in FORMULAS:
            ax.text(x, y + 0.76, f"{name} = {FORMULAS[name]}", ha="center", va="center", fontsize=11)
        x, up, down = (x, 0.48, -0.48) if name in SYMBOLS else (x - 0.6, 0.16, -0.16)
        ax.text(x, y + up, f"{known[name]:.2f}", color="#009e73", ha="center", va="center", fontsize=11)
        ax.text(x, y + down, f"{gradients[name]:.2f}", color="#d62728", ha="center", va="center", fontsize=11)
    ax.set(xlim=(-1.0, 9.6), ylim=(-0.5, 4.5), title="y = sigmoid(w0 x0 + w1 x1 + w2) = 1 / (1 + exp(-(w0 x0 + w1 x1 + w2)))")
    ax.text(6.2, 4.1, "name = formula, as in the table", fontsize=12)
    ax.text(6.2, 3.65, "forward: the value", color="#009e73", fontsize=12)
    ax.text(6.2, 3.2, "backward: dy / d(node)", color="#d62728", fontsize=12)
    ax.axis("off")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

"""SOAP before Muon, put together of building blocks, beside each of the two alone.

SOAP scales a matrix in the eigenbases of its gradients, Muon makes what comes out orthogonal. The record of the optimizer track
of modded-nanogpt in 2026 (2,690 steps, tuned Muon 3,250) is made of the two. A rule on matrices takes whatever the one before
it in a chain has made, so no new optimizer is needed, and every number of both can be swept.

Two seeds are enough to choose rates, which are far apart, and too few to tell three good optimizers from each other; and seeds
that have chosen a rate flatter it. So the best of each is trained again with forty others.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


def init(key):
    sizes = [64, 32, 32, 10]
    keys = jax.random.split(key, 3)
    return [
        {"w": jax.random.normal(k, (i, o)) / np.sqrt(i), "b": jnp.zeros(o)}
        for k, i, o in zip(keys, sizes, sizes[1:], strict=False)
    ]


def loss(params, batch):
    x, labels = batch
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    logits = x @ params[-1]["w"] + params[-1]["b"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def hidden(params):
    """The last layer is left to Adam."""
    return [True] * (len(params) - 1) + [False]


def soap_before_muon(learning_rate, precondition_frequency=1):
    matrices = jopt.chain(
        jopt.scale_by_soap(precondition_frequency=precondition_frequency),
        jopt.orthogonalize("polar_express"),
        jopt.scale_by_shape(outputs="columns"),  # x @ w
        jopt.scale_by_learning_rate(learning_rate),
    )
    return jopt.matrixwise(matrices, jopt.adam(3e-3), mask=hidden)


def main(rates=6, steps=200, seeds=2, fresh=40):
    x, y = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((x / 16).astype(np.float32), y, test_size=0.3, random_state=0)
    axis = jopt.geomspace(1e-3, 1e-1, rates, name="learning_rate")
    optimizers = {
        "muon": jopt.muon(axis, "polar_express", adam_learning_rate=3e-3, matrices=hidden, outputs="columns"),
        "soap": jopt.soap(axis, matrices=hidden),
        "soap before muon": soap_before_muon(axis),
    }
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(val_x, val_y))
    run = functools.partial(jopt.sweep, loss, init, data=(x, y), steps=steps, batch_size=64, evaluate=scored)
    tuned = run(optimizer=optimizers, seeds=seeds)
    print(f"{rates} rates, {seeds} seeds, to choose the rate of each:\n{tuned.table('val_loss')}\n")
    best = {name: group.best("val_loss").optimizer for name, group in tuned.items()}
    result = run(optimizer=best, seeds=range(100, 100 + fresh))
    print(f"These rates with {fresh} other seeds, to tell the three from each other:\n{result.compare('val_loss')}")
    for name, found in result.compare("val_loss").differences.items():
        print(verdict(name, found, fresh))
    return result


def verdict(name, found, seeds):
    """What the seeds tell; an interval's width falls with the root of their number."""
    if found.low > 0:
        return f"{name}: worse, by {found.low:.2g} to {found.high:.2g}"
    needed = seeds * ((found.high - found.low) / 2 / found.mean) ** 2
    needed = float(f"{needed:.1g}")
    return f"{name}: {seeds} seeds do not tell; a difference of {found.mean:.1g} would take some {needed:,.0f} of them"


if __name__ == "__main__":
    main()

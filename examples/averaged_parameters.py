"""Averages of the parameters in place of a falling rate: each way of training at its own best rate, on handwritten digits.

At a constant rate the parameters jump about where the loss is low. A rate that falls lets them settle, but one must know
beforehand when training ends. An average settles, too, at any time: of all behind the first half (`tail_average`), of the last
few (`parameter_ema`), or of a point that runs ahead of the gradients (`schedule_free`).

What goes wrong first: the average is no part of what is trained, so whoever evaluates `params` sees nothing of it. A sweep
evaluates the average by itself, and `result.best().params` is it; in a loop of your own it is
`jopt.evaluation_params(state, params)`.
"""

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

import jopt


def init(key):
    first, second = jax.random.split(key)
    return {"in": jax.random.normal(first, (64, 48)) / 8, "out": jax.random.normal(second, (48, 10)) / 7}


def loss(params, batch):
    images, labels = batch
    logits = jax.nn.relu(images @ params["in"]) @ params["out"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main(steps=400, rates=7, seeds=3):
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(labels))
    train, held_out = ((images[rows], labels[rows]) for rows in (order[:400], order[400:]))
    rate = jopt.geomspace(0.01, 10.0, rates)
    ways = {
        "constant rate": jopt.sgd(rate),
        "cosine to 0": jopt.sgd(jopt.cosine_decay_schedule(rate, steps)),
        "tail average": jopt.tail_average(jopt.sgd(rate), start=steps // 2),
        "moving average": jopt.parameter_ema(jopt.sgd(rate), decay=jopt.choice(0.9, 0.97, 0.99)),
        "schedule-free": jopt.schedule_free_sgd(rate, warmup_steps=steps // 20),
    }
    result = jopt.sweep(
        loss,
        init,
        ways,
        train,
        steps=steps,
        batch_size=16,
        seeds=seeds,
        evaluate=jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=held_out),
    )
    for name in sorted(ways, key=lambda name: result[name].best().score):
        best = result[name].best()
        print(f"{name:<15}{best.score:.4f} +/- {best.spread:.4f}  {best.setting}")
    return result


if __name__ == "__main__":
    main()

"""Four numbers searched by Optuna: rounds of 16 settings, each trained side by side, the next chosen by what came of them.

What goes wrong first: asked for one setting after the other, Optuna trains one after the other. A sweep asks for a round at
once, so the batch is a choice: large ones train faster, small ones choose better. And a rate that diverges is told as
infinitely bad rather than as failed, because samplers do not look at what has failed, and would go on to ask for it.
"""

import jax
import numpy as np
import optax
import optuna
from sklearn.datasets import load_digits

import jopt

optuna.logging.set_verbosity(optuna.logging.WARNING)


def init(key):
    first, second = jax.random.split(key)
    return {"in": jax.random.normal(first, (64, 48)) / 8, "out": jax.random.normal(second, (48, 10)) / 7}


def loss(params, batch):
    images, labels = batch
    logits = jax.nn.relu(images @ params["in"]) @ params["out"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def validated(params, data):
    return {"val_loss": loss(params, data)}


def main(samples=64, batch=16, steps=400):
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(labels))
    train, held_out = ((images[rows], labels[rows]) for rows in (order[:400], order[400:]))
    warmup = jopt.uniform(1, steps // 2, dtype=int, name="warmup")  # whole numbers
    rate = jopt.warmup_cosine_decay_schedule(0.0, jopt.loguniform(1e-4, 1.0, name="rate"), warmup, steps)
    optimizer = jopt.adamw(rate, b1=jopt.uniform(0.0, 0.95), weight_decay=jopt.loguniform(1e-4, 10.0))
    setup = {"steps": steps, "batch_size": 32, "samples": samples, "evaluate": jopt.metrics(validated, data=held_out)}
    drawn = jopt.sweep(loss, init, optimizer, train, **setup)
    searched = jopt.sweep(loss, init, optimizer, train, search=jopt.OptunaSearch(batch=batch), **setup)
    for name, result in (("drawn evenly", drawn), ("searched", searched)):
        print(f"{name:<13}{result.best()}")
    study = searched.to_optuna()  # for Optuna's pictures and dashboard
    for name, share in optuna.importance.get_param_importances(study).items():
        print(f"{share:>6.0%} {name}")
    return drawn, searched


if __name__ == "__main__":
    main()

"""Five-fold cross-validation of nine learning rates, 45 models in one call: the fold is an axis.

What goes wrong first: `result.best()` takes the best *setting*, and the fold is a part of the setting, so it finds the easiest
fold. A rate is as good as its mean over the folds. And in the compiled step the fold is a traced number, so no rows can be
taken by it (`images[fold_of != fold]` has no fixed shape): every row is there, and those of the fold weigh nothing.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jopt

FOLDS = 5


def init(key):
    return {"w": 0.1 * jax.random.normal(key, (64, 10)), "b": jnp.zeros(10)}


def weighed(params, batch, weights):
    images, labels, _ = batch
    each = optax.softmax_cross_entropy_with_integer_labels(images @ params["w"] + params["b"], labels)
    return (weights * each).sum() / jnp.maximum(weights.sum(), 1)


def loss(params, batch, hyper):
    return weighed(params, batch, jnp.float32(batch[2] != hyper["fold"]))


def held_out(params, data, hyper):
    return {"val_loss": weighed(params, data, jnp.float32(data[2] == hyper["fold"]))}


def main(rates=9, steps=300):
    images, labels = load_digits(return_X_y=True)
    fold_of = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    data = ((images / 16).astype(np.float32), labels, fold_of)
    fold, rate = jopt.choice(*range(FOLDS)), jopt.geomspace(1e-4, 1.0, rates)
    setup = {"steps": steps, "batch_size": 64, "hyper": {"fold": fold}, "evaluate": jopt.metrics(held_out, data=data)}
    result = jopt.sweep(loss, init, jopt.adam(rate), data, **setup)
    final = result.dataset.val_loss.isel(eval_step=-1, seed=0)
    over_folds = final.mean("fold")
    best = over_folds.idxmin("learning_rate").item()
    spread = final.sel(learning_rate=best).std("fold", ddof=1).item()
    print(f"best rate over {FOLDS} folds: {best:.2g}, val loss {over_folds.min().item():.3f} +/- {spread:.3f}")
    return result


if __name__ == "__main__":
    main()

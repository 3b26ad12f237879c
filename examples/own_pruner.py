"""A pruner of one's own in ten lines: what is far behind the best stops, whatever its rank.

What goes wrong first: a rule sees losses long before the end, and with a constant rate a run that is ahead then is often behind
at the end, because large steps look best until it is time to settle. So the rate decays here; with a constant one jopt warns.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jopt


class FarBehind:
    """Stops the settings whose loss is more than ``times`` the best one's, after a tenth of the run and after a third."""

    metric = mode = None  # what ranks in best(), in its own direction

    def __init__(self, times=2.0):
        self.times = times

    def rungs(self, steps):
        return [steps // 10, steps // 3]

    def keep(self, rung):
        return rung.mean_scores <= self.times * rung.mean_scores.min()


def init(key):
    k1, k2 = jax.random.split(key)
    return {"w1": jax.random.normal(k1, (64, 64)) / 8, "b1": jnp.zeros(64), "w2": jax.random.normal(k2, (64, 10)) / 8}


def loss(params, batch):
    images, labels = batch
    logits = jax.nn.relu(images @ params["w1"] + params["b1"]) @ params["w2"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def main(rates=16, steps=600, seeds=3):
    images, labels = load_digits(return_X_y=True)
    data = ((images / 16).astype(np.float32), labels)
    schedule = jopt.cosine_decay_schedule(jopt.geomspace(1e-4, 1.0, rates), steps)
    setup = {"steps": steps, "batch_size": 32, "seeds": seeds}
    result = jopt.sweep(loss, init, jopt.adam(schedule), data, prune=FarBehind(), **setup)
    stopped = result.dataset.pruned_at.isel(seed=0)
    for step in np.unique(stopped.values[~np.isnan(stopped.values)]):
        out = stopped.init_value.values[stopped.values == step]
        print(f"stopped after {step:.0f} steps: {', '.join(f'{rate:.2g}' for rate in out)}")
    share = 1 - result.saved.lane_steps / (rates * seeds * steps)
    print(f"{share:.0%} of the steps of a full sweep; best rate {result.best().setting['init_value']:.2g}")
    print(result.suggest())
    return result


if __name__ == "__main__":
    main()

"""A sweep in processes of Ray, one of which is killed in the midst: the numbers are those of a sweep in threads.

    python examples/ray_sweep.py [ADDRESS]

Without an address, a Ray of its own is started on this machine and ended with the sweep. On a cluster, `ray start --head` says
the address; the workers need the same Python, JAX and jopt, and the driver needs the token of the cluster.
"""

import os
import signal
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt

DRIVER = os.getpid()


def init(key):
    first, second = jax.random.split(key)
    return {"w1": jax.random.normal(first, (64, 32)) / 8, "w2": jax.random.normal(second, (32, 10)) / 6}


def loss(params, batch):
    x, y = batch
    scores = jax.nn.log_softmax(jnp.tanh(x @ params["w1"]) @ params["w2"])
    return -jnp.take_along_axis(scores, y[:, None], 1).mean()


def dying_once(marker):
    """The same loss, whose first worker dies when it is traced there, as where memory is short or a machine is gone."""

    def dying(params, batch):
        if os.getpid() != DRIVER and not os.path.exists(marker):
            open(marker, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(params, batch)

    return dying


def main(address=None, steps=600, rates=6):
    images, digits = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(np.float32(images / 16), digits, test_size=0.3, random_state=0)
    evaluate = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(x_val, y_val))
    grid = jopt.adam(jopt.geomspace(1e-3, 1e-1, rates))
    options = {"steps": steps, "batch_size": 32, "evaluate": evaluate, "progress": False}
    plan = jopt.Plan(width=2, loop="scan", workers=2)  # at one width, results are the same bit for bit

    with tempfile.TemporaryDirectory() as directory:
        dying = dying_once(os.path.join(directory, "died"))
        found = jopt.sweep(dying, init, grid, (x, y), plan=plan, workers=jopt.RayWorkers(address), **options)
        print(f"{len(os.listdir(directory))} worker was killed; every lane came to its end: {found.complete}")
    threads = jopt.sweep(loss, init, grid, (x, y), plan=plan, **options)
    same = all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (found.params, threads.params)), strict=True))
    print(f"the parameters are those that threads train, bit for bit: {same}\n{found.best()}")
    return found, threads


if __name__ == "__main__":
    main(*sys.argv[1:2])

"""A sweep shared by several processes, by a directory that all of them see: each trains its part, the last one has the whole.

    python examples/slices.py DIRECTORY INDEX COUNT     # one process of COUNT; start each with its INDEX, on any machine
    srun -n 8 python examples/slices.py DIRECTORY       # or a job array, or mpirun: it reads its place from the environment
    python examples/slices.py                           # all of it here: two processes, one of which ends in its midst

What goes wrong first: a slice is one process. Without ``srun`` or an array, a batch script runs once, and so trains one part.
"""

import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jopt


def init(key):
    first, second = jax.random.split(key)
    return {"w1": jax.random.normal(first, (64, 32)) / 8, "w2": jax.random.normal(second, (32, 10)) / 6}


def loss(params, batch):
    x, y = batch
    scores = jax.nn.log_softmax(jnp.tanh(x @ params["w1"]) @ params["w2"])
    return -jnp.take_along_axis(scores, y[:, None], 1).mean()


def train(directory, part, steps=600, rates=8, **more):
    """The same call in every process; ``part`` says which one it is."""
    images, digits = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(np.float32(images / 16), digits, test_size=0.3, random_state=0)
    evaluate = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(x_val, y_val))
    grid = jopt.adam(jopt.geomspace(1e-4, 1e-1, rates))
    options = {"steps": steps, "batch_size": 32, "evaluate": evaluate, "progress": False, **more}
    result = jopt.sweep(loss, init, grid, (x, y), checkpoint=directory, workers=part, **options)
    done = int((result.record.steps_done == steps).sum())
    state = "complete" if result.complete else "to be continued"
    print(f"{part}: trained {result.timings.lane_steps:,} lane-steps, {done} of {rates} lanes are done, {state}")
    return result


def main(out=None, steps=600, rates=8):
    """Two slices in one process, one after the other; the second one ends in its midst, and is started again."""
    directory = out or tempfile.mkdtemp(prefix="digits-")

    def dies(event):
        if event.step >= steps // 3:
            raise KeyboardInterrupt

    first = train(directory, jopt.Slice(0, 2), steps, rates)
    try:
        train(directory, jopt.Slice(1, 2), steps, rates, callbacks=dies)
    except KeyboardInterrupt:
        print(f"\n{jopt.inspect(directory)}\n")
    again = train(directory, jopt.Slice(1, 2), steps, rates)
    print(f"the best of all: {again.best()}")
    return first, again


if __name__ == "__main__":
    if len(sys.argv) < 2:
        main()
    elif len(sys.argv) == 2:
        train(sys.argv[1], jopt.Slice.from_environment(take_over=True))
    else:
        train(sys.argv[1], jopt.Slice(*map(int, sys.argv[2:])))

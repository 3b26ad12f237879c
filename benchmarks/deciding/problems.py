"""Eight problems on real data, each with an optimizer and the rates among which the best is looked for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jopt
from benchmarks import models

PER_DECADE = 12  # rates of the fine grid: a factor of 1.21; coarse grids of 3, 2 and 1.5 rates per decade are parts of it
RATES = 55  # of the fine grid: four and a half decades
EVERY = 2  # sweeps have every second one: 28 settings, a factor of 1.47
SEEDS = 8  # of the fine grid
SWEPT_SEEDS = 3  # of a sweep
LOOKS = 20  # at a run that is trained by hand


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is trained, and how.

    Attributes:
      name: Of its row.
      init: Parameters of a key.
      loss: Of parameters and a batch.
      data: Makes the arrays.
      batch_size: Examples of a step.
      steps: Of a run; a multiple of 180, so that all rungs and looks fall on what is kept of its curve.
      rule: The optimizer of a rate, or of a schedule.
      low: The lowest rate.
      decays: Whether the rate follows a cosine to 0; else it is constant.
      seeds: How many the fine grid has.
    """

    name: str
    init: Callable[[jax.Array], Any]
    loss: Callable[[Any, Any], jax.Array]
    data: Callable[[], tuple[np.ndarray, ...]]
    batch_size: int
    steps: int
    rule: Callable[[Any], Any]
    low: float
    decays: bool = True
    seeds: int = SEEDS

    @property
    def rates(self) -> np.ndarray:
        """The fine grid."""
        return self.low * 10 ** (np.arange(RATES) / PER_DECADE)

    @property
    def swept(self) -> np.ndarray:
        """The rates of a sweep."""
        return self.rates[::EVERY]

    @property
    def high(self) -> float:
        """The highest rate."""
        return float(self.rates[-1])

    @property
    def slug(self) -> str:
        """Its name in the name of a file."""
        return self.name.lower().replace(" ", "-").replace(",", "")

    def optimizer(self, rate: Any) -> Any:
        """The optimizer with a rate, or with rates."""
        return self.rule(jopt.cosine_decay_schedule(rate, self.steps) if self.decays else rate)

    def small(self) -> Problem:
        """The same, to see that it works."""
        return dataclasses.replace(self, steps=180, batch_size=min(self.batch_size, 8), seeds=SWEPT_SEEDS)


def _squared_error(p: Any, batch: Any) -> jax.Array:
    x, y = batch
    hidden = jax.nn.relu(models.linear(x, p[0]))
    return jnp.mean((models.linear(hidden, p[1])[:, 0] - y) ** 2)


def _softmax(p: Any, batch: Any) -> jax.Array:
    return models.mlp(p, batch) + 1e-4 * jnp.sum(p[0]["w"] ** 2)  # without it the loss goes to 0


@functools.cache
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients, ten measurements each, and how their diabetes went on; all with mean 0 and deviation 1."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return tuple(((each - each.mean(0)) / each.std(0)).astype(np.float32) for each in (x, y))


def _images() -> tuple[np.ndarray, np.ndarray]:
    x, y = models.digits()
    return x.reshape(-1, 8, 8, 1), y


def _momentum(rate: Any) -> Any:
    return jopt.sgd(rate, momentum=0.9)


def _tumours(key: jax.Array) -> dict[str, jax.Array]:
    return {"w": 0.1 * jax.random.normal(key, (30,)), "b": jnp.zeros(())}


def all_problems() -> list[Problem]:
    """Every problem, the cheapest first."""
    softmax, large, tabular = (functools.partial(models.mlp_init, s) for s in ([64, 10], [64, 256, 256, 10], [10, 32, 1]))
    narrow = [functools.partial(models.cnn_init, side, channels=(8, 16)) for side in (8, 28)]
    mlp = Problem("MLP, cosine", large, models.mlp, models.digits, 64, 180, jopt.adam, 3e-5)
    return [
        Problem("logistic regression", _tumours, models.logistic, models.breast_cancer, 32, 5400, jopt.sgd, 3e-3),
        Problem("tabular regression", tabular, _squared_error, diabetes, 32, 1800, jopt.rmsprop, 3e-5),
        Problem("softmax regression", softmax, _softmax, models.digits, 32, 360, _momentum, 1e-3),
        Problem("CNN 8x8", narrow[0], models.cnn, _images, 32, 180, _momentum, 1e-4),
        Problem("transformer block", models.transformer_init, models.transformer, models.digits, 32, 180, jopt.adam, 3e-5),
        mlp,
        dataclasses.replace(mlp, name="MLP, constant", decays=False),
        Problem("CNN 28x28", narrow[1], models.cnn, models.mnist, 32, 180, jopt.adam, 3e-5),
    ]

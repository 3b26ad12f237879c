"""What calls are made of: users' functions, their data, and results to look at. A call's text names things from here."""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import os
import pathlib
import tempfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
import xarray as xr

import jopt

__all__ = ["datetime", "decimal", "fractions", "jax", "jnp", "jopt", "np", "optax", "os", "pathlib", "pd", "plt", "xr"]

X, Y = np.ones((6, 3), np.float32), np.arange(6, dtype=np.float32)
PARAMS = {"w": np.full((2, 3), 0.5, np.float32), "b": np.ones(3, np.float32)}
GRADS = {"w": np.full((2, 3), 0.25, np.float32), "b": np.full(3, -0.5, np.float32)}
W = np.ones(3, np.float32)


class OwnError(Exception):
    """What the functions of a user raise."""


# Functions that are right


def loss(params: Any, batch: Any) -> Any:
    """The sum of squares, whatever the tree is; it touches the batch."""
    return sum(jnp.sum(jnp.abs(p) ** 2) for p in jax.tree.leaves(params)) + 0.0 * sum(
        jnp.sum(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves(batch)
    )


def noisy(params: Any, batch: Any, key: Any) -> Any:
    """A loss that takes a key."""
    return loss(params, batch) * (1.0 + 0.01 * jax.random.normal(key))


def penalized(params: Any, batch: Any, hyper: Any) -> Any:
    """A loss that takes numbers of the user's own."""
    return loss(params, batch) * (1.0 + sum(jnp.sum(jnp.asarray(x)) for x in jax.tree.leaves(hyper)))


def with_aux(params: Any, batch: Any) -> Any:
    """A loss that returns a named scalar, too."""
    return loss(params, batch), {"half": loss(params, batch) / 2}


def init(key: Any) -> Any:
    """Parameters of a seed."""
    return {"w": jax.random.normal(key, (3,)), "b": jnp.ones(2)}


def evaluate(params: Any) -> Any:
    """A metric that is better low."""
    return {"size": loss(params, None)}


def accuracy(params: Any) -> Any:
    """A metric whose direction nobody said."""
    return {"val_accuracy": loss(params, None)}


def evaluate_on(params: Any, data: Any) -> Any:
    """A metric on data."""
    return {"error": loss(params, data)}


def begin(optimizer: Any, key: Any) -> Any:
    """The carry of ``sweep_steps``."""
    params = {"w": jnp.ones(3)}
    return params, jax.tree.map(lambda o: o.init(params), optimizer, is_leaf=lambda o: hasattr(o, "init"))


def step(optimizer: Any, carry: Any, batch: Any, key: Any) -> Any:
    """A step of ``sweep_steps`` with one optimizer."""
    params, state = carry
    value, gradients = jax.value_and_grad(loss)(params, batch)
    updates, state = optimizer.update(gradients, state, params)
    return (jopt.apply_updates(params, updates), state), {"loss": value}


def callback(event: Any) -> None:
    """A callback that looks."""
    str(event.best)


def factory(rate: float = 0.1, times: int = 2) -> Any:
    """A factory of somebody's."""
    return optax.GradientTransformation(lambda params: (), lambda u, s, p=None: (jax.tree.map(lambda g: -rate * g, u), s))


# Functions that are wrong


def raises(*_: Any, **__: Any) -> Any:
    """A function that raises."""
    raise OwnError("of the user's own")


def vector(params: Any, *_: Any) -> Any:
    """A loss that is no scalar."""
    return jnp.ones(3) * loss(params, None)


def whole(params: Any, *_: Any) -> Any:
    """A loss that is no float."""
    return jnp.int32(1)


def imaginary(params: Any, *_: Any) -> Any:
    """A loss that is complex."""
    return loss(params, None) * 1j


def not_a_number(params: Any, *_: Any) -> Any:
    """A loss that is NaN from the first step on."""
    return loss(params, None) * jnp.nan


def nothing(*_: Any, **__: Any) -> Any:
    """A function that returns nothing."""


def unnamed(params: Any, *_: Any) -> Any:
    """Metrics by what is no name."""
    return {3: loss(params, None)}


def clashing(params: Any, *_: Any) -> Any:
    """A metric with a name of the result's own."""
    return {"seed": loss(params, None)}


def concrete(params: Any, *_: Any) -> Any:
    """A loss that needs its numbers at once."""
    return float(loss(params, None))


def made_by_optax(*given: Any) -> Any:
    """A factory that is not lifted."""
    return optax.sgd(*given)


def length(x: Any) -> int:
    """A function of something else."""
    return len(x)


class Endless:
    """An iterable of batches without an end, as a data loader is."""

    def __iter__(self) -> Any:
        """The same batch again and again."""
        while True:
            yield X, Y


class Same(NamedTuple):
    """A user's own pytree."""

    w: Any
    b: Any


class Elementwise:
    """A user's object that compares as arrays do."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        """No truth value."""
        return np.array([True, False])

    def __repr__(self) -> str:
        """Without an address."""
        return "Elementwise()"


def deleted() -> Any:
    """An array whose memory was given away."""
    x = jnp.ones(2) * 0.5
    x.delete()
    return x


def ragged() -> Any:
    """An array of lists of different lengths."""
    made = np.empty(2, object)
    made[:] = [[1.0], [1.0, 2.0]]
    return made


def tensor(x: Any) -> Any:
    """A tensor of torch's; an array where it is not installed."""
    try:
        import torch
    except ImportError:
        return np.asarray(x)
    return torch.tensor(x)


# Results, made once


def _sweep(optimizer: Any, **kwargs: Any) -> Any:
    return jopt.sweep(loss, {"w": W}, optimizer, None, **{"steps": 8, "progress": False, **kwargs})


RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 2.0)
_MADE: dict[str, Any] = {
    "one": lambda: _sweep(jopt.sgd(0.1)),
    "rates": lambda: _sweep(jopt.sgd(jopt.choice(*RATES)), seeds=2, evaluate=evaluate, record=("rate",), keep="carry"),
    "grid": lambda: _sweep(jopt.sgd(jopt.choice(0.1, 0.2, 0.9), momentum=jopt.linspace(0.0, 0.9, 4)), evaluate=evaluate),
    "drawn": lambda: _sweep(jopt.adam(jopt.loguniform(1e-3, 1.0), b1=jopt.uniform(0.5, 0.99)), samples=5),
    "zipped": lambda: _sweep(
        jopt.sgd(*jopt.zipped(jopt.choice(0.1, 0.2, 0.4), jopt.choice(0.5, 0.8, 0.9))), keep="best", evaluate=evaluate
    ),
    "structure": lambda: _sweep(jopt.sgd(0.1, momentum=jopt.choice(None, 0.9), nesterov=jopt.choice(False, True))),
    "undeclared": lambda: _sweep(jopt.sgd(jopt.choice(0.1, 0.2, 0.3)), evaluate=accuracy),
    "pruned": lambda: _sweep(
        jopt.sgd(jopt.linear_schedule(jopt.geomspace(0.01, 0.4, 8), 0.0, 18)), steps=18, prune="auto", evaluate=evaluate
    ),
    "hyper": lambda: jopt.sweep(
        penalized, {"w": W}, jopt.sgd(0.1), None, hyper={"l2": jopt.choice(0.0, 0.5, 1.0)}, steps=8, progress=False
    ),
    "by_step": lambda: jopt.sweep_steps(begin, step, jopt.sgd(jopt.choice(0.1, 0.2, 0.3)), None, steps=8, progress=False),
    "groups": lambda: _sweep({"sgd": jopt.sgd(jopt.choice(0.1, 0.2, 0.3)), "adam": jopt.adam(jopt.choice(0.1, 0.2))}, seeds=2),
    "mixed": lambda: _sweep(
        {"plain": jopt.sgd(0.1), "ünï": jopt.sgd(jopt.choice(0.1, 0.2), momentum=jopt.choice(0.5, 0.9))}, evaluate=evaluate
    ),
    "pruned_groups": lambda: _sweep(
        {"a": jopt.sgd(jopt.linear_schedule(jopt.geomspace(0.01, 0.4, 6), 0.0, 18)), "b": jopt.sgd(0.2)},
        steps=18,
        prune=jopt.TopFraction(),
    ),
}


def _diverged() -> Any:
    return jopt.sweep(not_a_number, {"w": W}, jopt.sgd(jopt.choice(0.1, 0.2)), None, steps=8, progress=False)


_MADE["diverged"] = _diverged


@functools.cache
def result(kind: str) -> Any:
    """A result of a kind."""
    return _MADE[kind]()


@functools.cache
def range_test() -> Any:
    """A range test."""
    return jopt.lr_range_test(loss, {"w": W}, jopt.sgd(0.1), steps=60)


@functools.cache
def trained(keep: str = "carry") -> Any:
    """A trial to go on from."""
    return _sweep(jopt.sgd(jopt.choice(0.1, 0.2)), keep=keep).best()


@functools.cache
def saved(kind: str) -> str:
    """The name of a file of a result."""
    path = os.path.join(folder(), f"{kind}.jopt")
    result(kind).save(path)
    return path


@functools.cache
def folder() -> str:
    """A directory of this process."""
    kept = tempfile.TemporaryDirectory(prefix="jopt-bad-input-")
    folder_of_process.append(kept)
    return kept.name


folder_of_process: list[tempfile.TemporaryDirectory[str]] = []
_numbered = iter(range(10**9))


def fresh(name: str) -> str:
    """A name in that directory that nothing has."""
    return os.path.join(folder(), f"{next(_numbered)}-{name}")


def written(content: bytes) -> str:
    """A file that is no result."""
    path = fresh("file")
    pathlib.Path(path).write_bytes(content)
    return path


def axes(count: int = 1) -> Any:
    """Axes of matplotlib's."""
    return plt.subplots(1, count)[1]


@functools.cache
def study() -> Any:
    """A study of Optuna's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study()

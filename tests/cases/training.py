"""Trees to train on, and the ways to run a case over them: jopt's, Optax's, and the loop in NumPy."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import optax

import jopt
from tests.cases.case import Case
from tests.reference import ravel

# A dict of three branches, so that every case with one number per branch fits.
SHAPES = {
    "a": {"w": (3, 2), "none": None},
    "b": [(), [], (0, 3)],
    "c": ((5,), {}),
}


def tree_like(shapes: Any, seed: int, steps: int | None = None, dtype: Any = np.float32) -> Any:
    """Normal numbers in the shapes of a tree, each after a leading axis of ``steps`` where it is given.

    They are float32 numbers in every type of 32 or more bits, so that runs of different precision see the same ones.
    """
    rng = np.random.default_rng(seed)
    lead = () if steps is None else (steps,)
    complex_ = np.issubdtype(dtype, np.complexfloating)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        parts = rng.normal(size=(2, *lead, *shape)).astype(np.float32)
        return np.asarray(parts[0] + 1j * parts[1] if complex_ else parts[0]).astype(dtype)

    return jax.tree.map(draw, shapes, is_leaf=is_shape)


def is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


def extras(steps: int, seed: int = 0) -> dict[str, Any]:
    """Extra arguments for each of ``steps`` updates: what the plateau needs, and one that nobody knows.

    The values lie on a grid, so that no threshold is met by rounding.
    """
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 24, size=steps)
    value = (np.maximum(40 - np.arange(steps), 0) + noise) / 8 - 2
    return {
        "value": value.astype(np.float32),
        "metrics": {"accuracy": (-value).astype(np.float32)},
        "evaluated": np.arange(steps) % 3 != 1,
        "nobody_knows_this": np.zeros(steps, np.float32),
    }


def train(opt: Any, params: Any, grads: Any, seen: Any) -> tuple[Any, Any]:
    """The updates of ``opt`` along ``grads``, stacked, and the last state; a scan, so the state must be a fixed point."""

    def step(carry: Any, now: Any) -> Any:
        params, state = carry
        g, extra = now
        updates, state = opt.update(g, state, params, **extra)
        return (jopt.apply_updates(params, updates), state), updates

    (_, state), updates = jax.lax.scan(step, (params, opt.init(params)), (grads, seen))
    return updates, state


run = jax.jit(train)  # the optimizer is an argument: equal structures share one program


def run_optax(opt: Any, params: Any, grads: Any, seen: Any) -> tuple[Any, Any]:
    """``run`` for a pair of closures."""
    wrapped = optax.with_extra_args_support(opt)
    return jax.jit(functools.partial(train, wrapped))(params, grads, seen)


def run_reference(case: Case, params: Any, grads: Any, seen: Any, number: Any = float) -> np.ndarray:
    """The updates of the NumPy loop, [steps, elements]."""
    step, p, rows = case.reference(number), _widened(params), []
    steps = len(seen["value"])
    for t in range(1, steps + 1):
        g, now = (jax.tree.map(lambda x, t=t: x[t - 1], tree) for tree in (grads, seen))
        updates = step(t, _widened(g), p, now)
        rows.append(ravel(updates))
        p = jax.tree.map(lambda x, u: x + u, p, updates)
    return np.stack(rows)


def _widened(tree: Any) -> Any:
    """The tree in float64, or complex128."""
    return jax.tree.map(lambda x: np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64), tree)


def stacked(updates: Any, steps: int) -> np.ndarray:
    """A tree of updates with a leading step axis as one matrix [steps, elements]."""
    columns = [np.asarray(x).reshape(steps, -1) for x in jax.tree.leaves(updates)]
    return np.concatenate([np.zeros((steps, 0)), *columns], axis=1)

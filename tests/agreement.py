"""How far a rule may be from its loop in NumPy, and how far it is."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tests.cases import Case, extras, run, run_reference, stacked, tree_like

STEPS = 200
SEEN = extras(STEPS)


def error(updates: np.ndarray, expected: np.ndarray) -> float:
    """The largest error of a step's update, relative to the largest element of that step's update."""
    size = np.max(np.abs(expected), axis=1, initial=0.0)
    wrong = np.max(np.abs(updates - expected), axis=1, initial=0.0)
    return float(np.max(wrong / np.where(size > 0, size, 1.0)))


def tolerance(case: Case) -> float:
    """1e-12, or what an accumulator of float32 allows."""
    return 1e-5 if {"mu_dtype", "accumulator_dtype"} & set(case.kwargs) else 1e-12


# Five polynomials of slope 3.4 at 0: what a matrix has least of is multiplied by up to 485, and its rounding with it.
STEEP = {"muon", "normuon", "scale_by_muon", "orthogonalize"}


def rounding(case: Case) -> float:
    """How many times as much float32's rounding may show in what a rule computes as in what others do."""
    inner = max(map(rounding, case.parts), default=1.0)
    return 20.0 if case.factory in STEEP else inner


def found(case: Case, shapes: Any, seed: int, dtype: Any, steps: int = STEPS) -> np.ndarray:
    """The updates of a case, [steps, elements]."""
    params, grads = tree_like(shapes, seed, dtype=dtype), tree_like(shapes, seed + 1, steps, dtype)
    updates, _ = run(case.make(), params, grads, extras(steps))
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    return stacked(updates, steps)


def expected(case: Case, shapes: Any, seed: int, dtype: Any, number: Any = float, steps: int = STEPS) -> np.ndarray:
    """Those of its loop, whose numbers ``number`` rounds; the same parameters and gradients."""
    params, grads = tree_like(shapes, seed, dtype=dtype), tree_like(shapes, seed + 1, steps, dtype)
    return run_reference(case, params, grads, extras(steps), number)


def both(case: Case, shapes: Any, seed: int, dtype: Any, number: Any, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """The updates, and those of the loop."""
    return found(case, shapes, seed, dtype, steps), expected(case, shapes, seed, dtype, number, steps)


def run_still(opt: Any, params: Any, grads: Any, seen: Any) -> Any:
    """The updates along ``grads`` at fixed parameters."""

    def step(state: Any, now: Any) -> Any:
        updates, state = opt.update(now[0], state, params, **now[1])
        return state, updates

    return jax.lax.scan(step, opt.init(params), (grads, seen))[1]

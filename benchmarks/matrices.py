"""Rules on matrices: a sweep of eight lanes against eight jitted runs one after another, and against ``vmap`` alone."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jopt
from benchmarks import common
from benchmarks.models import mlp, mlp_init

LANES, WORKERS, LAYERS, BATCH = 8, 2, 4, 32
SIDES = (16, 32, 64)
# By name; those that this version of jopt does not have are left out.
OPTIMIZERS = ("muon", "normuon", "soap", "shampoo", "psgd_kron")


@dataclasses.dataclass(frozen=True)
class Case:
    """An optimizer on an MLP whose layers are square matrices of one side."""

    optimizer: str
    side: int
    steps: int

    @property
    def label(self) -> str:
        return f"{self.optimizer}, {LAYERS} matrices of {self.side} x {self.side}"

    @functools.cached_property
    def rates(self) -> np.ndarray:
        return np.geomspace(1e-3, 1e-1, LANES)

    @functools.cached_property
    def params(self) -> Any:
        return jax.block_until_ready(mlp_init([self.side] * (LAYERS + 1), jax.random.key(0)))

    @functools.cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        return rng.normal(size=(1024, self.side)).astype(np.float32), rng.integers(self.side, size=1024).astype(np.int32)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        rng = np.random.default_rng(1)
        return rng.integers(len(self.data[0]), size=(self.steps, BATCH)).astype(np.int32)

    def make(self, rate: Any) -> Any:
        return getattr(jopt, self.optimizer)(rate)


def by_sweep(case: Case) -> Callable[[], Any]:
    """``jopt.sweep`` with its own plan, on two workers."""
    optimizer = case.make(jopt.choice(*case.rates.tolist()))
    words = {"steps": case.steps, "batch_size": BATCH, "workers": WORKERS, "progress": False}
    return lambda: jopt.sweep(mlp, case.params, optimizer, case.data, **words).record.losses["loss"]


def _train(case: Case, optimizer: Any, data: Any, rows: Any) -> jax.Array:
    def step(carry: Any, chosen: Any) -> Any:
        params, state = carry
        loss, grads = jax.value_and_grad(mlp)(params, jax.tree.map(lambda x: x[chosen], data))
        updates, state = optimizer.update(grads, state, params)
        return (jopt.apply_updates(params, updates), state), loss

    return jax.lax.scan(step, (case.params, optimizer.init(case.params)), rows)[1]


def one_after_another(case: Case) -> Callable[[], Any]:
    """Eight calls of one compiled run, the rate an argument."""
    train = jax.jit(functools.partial(_train, case))
    data, rows, optimizers = *jax.device_put((case.data, case.rows)), [case.make(float(rate)) for rate in case.rates]
    return lambda: [jax.block_until_ready(train(optimizer, data, rows)) for optimizer in optimizers]


def by_vmap(case: Case) -> Callable[[], Any]:
    """``jit(vmap(scan))``, all lanes in one call."""
    data, rows = jax.device_put((case.data, case.rows))
    optimizers, axes = jopt.lanes(case.make(jopt.choice(*case.rates.tolist())))
    train = jax.jit(jax.vmap(functools.partial(_train, case), in_axes=(axes, None, None)))
    return lambda: train(optimizers, data, rows)


RUNS: dict[str, Callable[[Case], Callable[[], Any]]] = {
    "sweep": by_sweep,
    "one_after_another": one_after_another,
    "vmap": by_vmap,
}


def cases(quick: bool) -> list[Case]:
    """Every optimizer that there is, on each side; so many steps that eight runs take about a second on a quiet core."""
    steps = {16: 2400, 32: 1200, 64: 400}
    names = [name for name in OPTIMIZERS if hasattr(jopt, name)]
    return [Case(name, side, steps[side] // (10 if quick else 1)) for name in names for side in SIDES]


def measure(case: Case, times: int) -> dict[str, Any]:
    """One row: seconds of each way to run eight lanes, and how many times faster the sweep is."""
    runs = {name: make(case) for name, make in RUNS.items()}
    with common.no_plans():
        for run in runs.values():
            jax.block_until_ready(run())
        taken = common.interleave(runs, times)
    return {
        "optimizer": case.optimizer,
        "side": case.side,
        "steps": case.steps,
        "lanes": LANES,
        "workers": WORKERS,
        "seconds": {name: statistics.median(t) for name, t in taken.items()},
        "best_s": {name: min(t) for name, t in taken.items()},
        "gain": {name: common.ratio(t, taken["sweep"]) for name, t in taken.items() if name != "sweep"},
        "vmap_alone": common.ratio(taken["one_after_another"], taken["vmap"]),
        "lane_step_us": 1e6 * statistics.median(taken["sweep"]) / (LANES * case.steps),
    }


def main(quick: bool, out: Path, times: int, only: Sequence[str] = ()) -> Path:
    """Measures every row; or those named, and leaves all else as it is."""
    path = common.result_path("matrices", out)
    rows = {_label(row): row for row in common.load(path)["rows"]} if only and path.exists() else {}
    todo = {case.label: case for case in cases(quick)}
    for name in [name for name in todo if name in only or not only]:
        rows[name] = measure(todo[name], times)
        gains = ", ".join(f"{rival} {gain:.2f}" for rival, gain in rows[name]["gain"].items())
        print(f"{name}: {rows[name]['seconds']['sweep']:.3f} s; faster than {gains}", file=sys.stderr, flush=True)
        common.save("matrices", [rows[name] for name in todo if name in rows], out)
    return path


def _label(row: dict[str, Any]) -> str:
    return Case(row["optimizer"], row["side"], row["steps"]).label

"""The best plan by hand: every width, both loops, one worker and one per core, each written out and timed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import common, rivals
from benchmarks.models import Task
from benchmarks.rivals import Run
from benchmarks.sweep import tasks


@dataclasses.dataclass(frozen=True)
class ByHand:
    """A plan as a person would write it."""

    width: int
    loop: str
    workers: int

    def __str__(self) -> str:
        return f"width {self.width}, {self.loop}, {self.workers} worker{'s' if self.workers > 1 else ''}"


def every_plan(lanes: int) -> list[ByHand]:
    """All widths that are powers of two, an equal share and all lanes; both loops; one worker and one per core."""
    cores = _workers()
    widths = sorted({min(lanes, 2**i) for i in range(lanes.bit_length() + 1)} | {-(-lanes // cores)})
    return [ByHand(*plan) for plan in itertools.product(widths, ("scan", "host"), sorted({1, cores}))]


def _workers() -> int:
    return (os.cpu_count() or 1) if jax.devices()[0].platform == "cpu" else len(jax.local_devices())


def by_hand(task: Task, plan: ByHand) -> Run:
    """The sweep under a plan, written with Optax; compiled here, so that a call runs only.

    It brings home what the sweep does: the losses of every step and the trained parameters, each in one array.
    """
    rates = jnp.asarray(task.rates, jnp.float32)
    blocks = [rates[i : i + plan.width] for i in range(0, len(rates), plan.width)]
    train = (_scan if plan.loop == "scan" else _host)(task, [blocks[0], blocks[-1]])

    def run() -> Any:
        with ThreadPoolExecutor(plan.workers) as pool:
            done = list(pool.map(train, blocks))
        losses, _ = jax.tree.map(lambda *parts: np.concatenate(parts), *done)
        return losses[:, -1]

    return run


def _over(function: Any, width: int, axes: tuple[Any, ...]) -> Any:
    if width > 1:
        return jax.vmap(function, in_axes=axes)

    def alone(rate: Any, *rest: Any) -> Any:
        unlike = [jax.tree.map(lambda x: x[0], r) if a == 0 else r for r, a in zip(rest, axes[1:], strict=True)]
        return jax.tree.map(lambda x: x[None], function(rate[0], *unlike))

    return alone


def _scan(task: Task, blocks: Sequence[jax.Array]) -> Any:
    def lane(rate: Any, carry: Any, data: Any, rows: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            return rivals.train_step(task, rate, carry, task.batch(data, row))

        (params, _), losses = jax.lax.scan(step, carry, rows, length=task.steps)
        return losses, params

    def block(rates: Any, carry: Any, data: Any, rows: Any) -> Any:
        return _over(lane, len(rates), (0, None, None, None))(rates, carry, data, rows)

    rest = (rivals.start(task), task.data, task.rows)
    compiled = {len(b): jax.jit(block).lower(b, *rest).compile() for b in blocks}
    return lambda rates: jax.tree.map(np.asarray, compiled[len(rates)](rates, *rest))


def _host(task: Task, blocks: Sequence[jax.Array]) -> Any:
    def step(rates: Any, carry: Any, data: Any, rows: Any) -> Any:
        batch = task.batch(data, rows)
        return _over(lambda r, c: rivals.train_step(task, r, c, batch), len(rates), (0, 0))(rates, carry)

    def begin(rates: Any) -> Any:
        return jax.tree.map(lambda x: jnp.stack([x] * len(rates)), rivals.start(task))

    jitted = jax.jit(step, donate_argnums=1)
    compiled = {len(b): jitted.lower(b, begin(b), task.data, task.rows[0]).compile() for b in blocks}

    def train(rates: Any) -> Any:
        carry, losses = begin(rates), []
        for rows in task.rows:
            carry, loss = compiled[len(rates)](rates, carry, task.data, rows)
            losses.append(loss)
        return np.stack([np.asarray(loss) for loss in losses], axis=1), jax.tree.map(np.asarray, carry[0])

    return train


def best_plan(task: Task, times: int) -> tuple[ByHand, dict[str, float]]:
    """The fastest plan, and what each took for a short run; the best few of these are measured on the whole one."""
    short = dataclasses.replace(task, steps=max(2, min(task.steps // 5, 200_000 // len(task.rates))))
    found: dict[ByHand, float] = {}
    for plan in every_plan(len(task.rates)):
        run = by_hand(short, plan)
        run()
        once = common.seconds(run)
        found[plan] = min(once, *(common.seconds(run) for _ in range(5 if once < 0.2 else 1)))
    near = sorted((plan for plan, s in found.items() if s < 2 * min(found.values())), key=lambda plan: found[plan])[:4]
    named = {str(plan): plan for plan in near}
    taken = common.interleave({name: by_hand(task, plan) for name, plan in named.items()}, times)
    best = min(taken, key=lambda name: statistics.median(taken[name]))
    return named[best], {str(plan): s for plan, s in found.items()}


def measure(task: Task, times: int) -> dict[str, Any]:
    """One row: the best plan by hand, and jopt's own choice against it, warm."""
    plan, seconds = best_plan(task, times)
    runs = {"jopt": rivals.sweep_by_jopt(task), "by_hand": by_hand(task, plan)}
    for run in runs.values():
        run()
    times = common.repeats(times, max(map(common.seconds, runs.values())))
    taken = common.interleave(runs, times)
    return {
        "model": task.model.name,
        "lanes": len(task.rates),
        "steps": task.steps,
        "best_plan": str(plan),
        "plans_s": seconds,
        "jopt_s": statistics.median(taken["jopt"]),
        "by_hand_s": statistics.median(taken["by_hand"]),
        "ratio": common.ratio(taken["by_hand"], taken["jopt"]),
    }


def main(quick: bool, out: Path, times: int, only: Sequence[str] = ()) -> Path:
    """Searches for every model and number of lanes, or for those named; the others' rows stay as they are."""
    path = common.result_path("search", out)
    todo = {task.label: task for task in tasks(quick, most_lanes=128)}
    order = list(todo)
    kept = common.load(path)["rows"] if only and path.exists() else []
    rows = {common.label(row): row for row in kept}
    for label in [label for label in order if label in only or not only]:
        rows[label] = row = measure(todo[label], times)
        print(f"{label}: {row['best_plan']}; jopt {row['ratio']:.2f}", file=sys.stderr, flush=True)
        common.save("search", [rows[name] for name in order if name in rows], out)
    return path

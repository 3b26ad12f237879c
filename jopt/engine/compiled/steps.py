"""What is compiled: the functions that start, advance and evaluate the lanes of a block, made of the traces of one lane."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

from jopt.engine.compiled.cpu import prepare
from jopt.engine.compiled.tracing import Traced
from jopt.engine.data.sources import Source


@dataclasses.dataclass(frozen=True)
class Shape:
    """What the executables of a block have in common, whatever they compute: which leaves differ between how many lanes."""

    in_axes: tuple[int | None, ...]  # for each leaf of a setting, 0 where it is swept
    common: tuple[bool, ...]  # for each leaf of the carry, whether all lanes have the same at every step
    varied: bool  # whether batches differ between seeds
    own_batches: bool  # whether they differ between settings
    seeds: int
    settings: int

    @property
    def lead(self) -> tuple[int, ...]:
        return tuple(n for n in (self.seeds, self.settings) if n > 1)

    @property
    def carry_axes(self) -> list[int | None]:
        return [None if common else 0 for common in self.common]

    @property
    def batch_axis(self) -> int | None:
        return 0 if self.varied else None

    @property
    def setting_axis(self) -> int | None:
        return 0 if self.own_batches else None

    def over_lanes(self, function: Callable[..., Any], out_axes: Any) -> Callable[..., Any]:
        """``function(leaves of the setting, of the carry, of the batch, key, evaluation)``, vmapped if there are several."""
        if self.settings > 1:
            function = jax.vmap(function, (list(self.in_axes), self.carry_axes, self.setting_axis, None, 0), out_axes)
        if self.seeds > 1:
            function = jax.vmap(function, (list(self.in_axes), self.carry_axes, self.batch_axis, 0, 0), out_axes)
        return function


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One step of one lane, traced once; every executable that advances a block is made of it.

    The traced step takes the leaves of setting, carry, batch, key and evaluation, and returns those of the carry and the
    metrics.
    """

    traced: Traced
    source: Source
    batch: Traced | None  # the batch of a setting, a key and a step, where the user's function makes it
    keys: tuple[Any, ...]  # for each leaf of a batch that comes from outside, its kind of random keys, or None
    metrics: tuple[tuple[str, Any], ...]  # names and dtypes of the scalars that a step returns beside the carry
    carried: int  # leaves of the carry
    draws: bool  # whether it reads its key
    on_cpu: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """What is computed, and how."""
        batch = self.batch.key if self.batch else (self.source, self.keys)
        return self.traced.key, batch, self.metrics, self.carried, self.on_cpu

    def make_batch(self, arrays: Any, setting: Any, data: Any, row: Any, key: Any, t: Any) -> Any:
        """The leaves of the batch of step ``t``."""
        if self.batch is not None:
            return self.batch(arrays, *setting, key, t)
        if self.keys:
            kinds = zip(row, self.keys, strict=True)
            row = [x if kind is None else jax.random.wrap_key_data(x, impl=kind) for x, kind in kinds]
        return self.source.batch(data, row[0] if self.source.kind == "rows" else row, key, t)

    def advance(self, arrays: Any, *args: Any) -> tuple[list[Any], list[Any]]:
        """The leaves of the carry one step further, and the metrics, in the order of their names."""
        program = prepare(self.traced.program) if self.on_cpu else self.traced.program
        made = list(jax.extend.core.jaxpr_as_fun(program)(*jax.tree.leaves(args), *arrays))
        return made[: self.carried], made[self.carried :]


def start(traced: Traced, setting: Any, key: Any, given: Any, arrays: Any) -> list[Any]:
    """The leaves of the carry of one lane before its first step."""
    return traced(arrays, *jax.tree.leaves((setting, key, given)))


def evaluate(shape: Shape, traced: Traced, setting: Any, carry: Any, arrays: Any) -> list[Any]:
    """The evaluation of every lane of a block, metrics in the order of their names."""
    over_lanes = shape.over_lanes(lambda setting, leaves, *_: traced(arrays, *setting, *leaves), 0)
    return over_lanes(setting, carry, None, jnp.zeros(shape.seeds), None)  # type: ignore[no-any-return]


def one_step(
    shape: Shape,
    step: Step,
    setting: Any,
    carry: list[Any],
    data: Any,
    rows: Any,
    i: Any,
    first: Any,
    keys: Any,
    feedback: Any,
    arrays: Any,
) -> tuple[list[Any], list[Any]]:
    """Every lane one step further: step ``first + i``, whose rows are the i-th."""
    t, (of_step, of_batch) = first + i, arrays
    several = shape.seeds > 1
    at = functools.partial(jax.lax.dynamic_index_in_dim, axis=int(several), keepdims=False, allow_negative_indices=False)
    row = jax.tree.map(lambda r: at(r, i), rows)
    fold_in = jax.vmap(jax.random.fold_in, (0, None)) if several else jax.random.fold_in
    # A key that nobody reads stays as it is: each of them is a loop of its own in what has to be compiled.
    are_read = step.draws, step.batch is not None
    loss_key, data_key = (fold_in(k, t) if read else k for k, read in zip(keys, are_read, strict=True))
    make_batch = functools.partial(step.make_batch, of_batch)
    in_axes = list(shape.in_axes)
    if shape.own_batches and shape.settings > 1:
        make_batch = jax.vmap(make_batch, (in_axes, None, None, None, None))
    if several:
        make_batch = jax.vmap(make_batch, (in_axes, None, 0, 0, None), shape.batch_axis)
    batch = make_batch(setting, data, row, data_key, t)
    told = None if feedback is None else [feedback[1] & (i == 0), *feedback[0]]
    over_lanes = shape.over_lanes(functools.partial(step.advance, of_step), (shape.carry_axes, 0))
    return over_lanes(setting, carry, batch, loss_key, told)  # type: ignore[no-any-return]


def scan_steps(
    shape: Shape, step: Step, length: int, stride: int, setting: Any, carry: Any, data: Any, rows: Any, n: Any, *rest: Any
) -> tuple[list[Any], list[Any]]:
    """``n`` of at most ``length`` steps in one compiled loop: the carry, and the records with a leading axis of ``length``.

    ``n`` is a multiple of ``stride``, which many steps an inner loop makes.
    """
    records = [jnp.zeros((length, *shape.lead), dtype) for _, dtype in step.metrics]

    def body(i: Any, state: Any) -> Any:
        leaves, records = state
        leaves, metrics = one_step(shape, step, setting, leaves, data, rows, i, *rest)
        return leaves, [_write(r, m, i) for r, m in zip(records, metrics, strict=True)]

    def strides(k: Any, state: Any) -> Any:
        return jax.lax.fori_loop(0, stride, lambda j, state: body(k * stride + j, state), state)

    many, work = (n, body) if stride == 1 else (n // stride, strides)
    return jax.lax.fori_loop(0, many, work, (carry, records))  # type: ignore[no-any-return]


def _write(records: Any, metric: Any, i: Any) -> Any:
    """The metric of step ``i`` written among the records ``[steps, *lanes]``."""
    update = jnp.asarray(metric, records.dtype)[None]
    starts = [i, *[jnp.int32(0)] * (records.ndim - 1)]
    return jax.lax.dynamic_update_slice(records, update, starts, allow_negative_indices=False)

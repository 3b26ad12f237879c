"""Blocks: lanes that run in one compiled call, and the executables that start, advance and evaluate them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from jopt.engine.compiled.cpu.ahead import Ahead, split
from jopt.engine.compiled.tracing import Traced
from jopt.engine.data.sources import Source


@dataclasses.dataclass
class Block:
    """Lanes at the same step: the product of some settings and some seeds.

    Arrays of the carry have leading axes ``[seeds, settings]``; an axis of length one is left out, and both are for what
    is the same in every lane, such as a step count.
    """

    settings: np.ndarray  # setting ids, in order
    seeds: np.ndarray  # positions in the list of seeds
    optimizer: Any  # the leaves: the settings' numbers, stacked where they are swept
    carry: Any  # the leaves
    real: np.ndarray  # [seeds, settings], false for lanes that only fill up the block
    step: int = 0
    feedback: Any = None  # the metrics of the latest evaluation, for programs that want them
    fresh: Any = None  # per lane, whether it is newer than the last step

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.seeds), len(self.settings)

    @property
    def lead(self) -> tuple[int, ...]:
        return tuple(n for n in self.shape if n > 1)

    @property
    def lanes(self) -> tuple[np.ndarray, np.ndarray]:
        """The real lanes: the setting and the seed of each, in the order of the carry."""
        settings = np.broadcast_to(self.settings, self.shape)
        seeds = np.broadcast_to(self.seeds[:, None], self.shape)
        return settings[self.real], seeds[self.real]

    @property
    def places(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Where the real lanes stand among the block's, and among the sweep's; seeds before settings.

        As slices where the first few settings of each seed are real: those are written at once, without a copy.
        """
        count = int(self.real[0].sum())
        first, last = int(self.settings[0]), int(self.settings[max(0, count - 1)])
        if self.real[:, :count].all() and self.real.sum() == count * len(self.seeds) and last - first == count - 1:
            begin = int(self.seeds[0])  # the seeds of a block follow one another
            return (slice(None), slice(count)), (slice(begin, begin + len(self.seeds)), slice(first, first + count))
        settings, seeds = self.lanes
        return (self.real,), (seeds, settings)


@dataclasses.dataclass(frozen=True)
class Shape:
    """What the executables of a block have in common, whatever they compute: which leaves differ between how many lanes."""

    in_axes: tuple[int | None, ...]  # for each leaf of the optimizer, 0 where it is swept
    common: tuple[bool, ...]  # for each leaf of the carry, whether all lanes have the same at every step
    varied: bool  # whether batches differ between seeds
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

    def over_lanes(self, function: Callable[..., Any], out_axes: Any) -> Callable[..., Any]:
        """``function(leaves of the optimizer, of the carry, of the batch, key, evaluation)``, vmapped if there are several."""
        if self.settings > 1:
            function = jax.vmap(function, (list(self.in_axes), self.carry_axes, None, None, 0), out_axes)
        return jax.vmap(function, (None, self.carry_axes, self.batch_axis, 0, 0), out_axes) if self.seeds > 1 else function


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One step of one lane, traced once; every executable that advances a block is made of it.

    The traced step takes the leaves of optimizer, carry, batch, key and evaluation, and returns those of the carry and the
    metrics.
    """

    traced: Traced
    source: Source
    batch: Traced | None  # ``batch(key, step)``, where the user's function makes the batches
    keys: tuple[Any, ...]  # for each leaf of a batch that comes from outside, its kind of random keys, or None
    metrics: tuple[tuple[str, Any], ...]  # names and dtypes of the scalars that a step returns beside the carry
    swept: tuple[bool, ...]  # for each leaf of the optimizer
    common: tuple[bool, ...]  # for each leaf of the carry
    on_cpu: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """What is computed, and how."""
        batch = self.batch.key if self.batch else (self.source, self.keys)
        return self.traced.key, batch, self.metrics, self.swept, self.common, self.on_cpu

    @functools.cached_property
    def ahead(self) -> Ahead | None:
        """The step in two parts, where a loop over it can be spared what all lanes share."""
        return split(self.traced.program_on_cpu, self.swept, self.common) if self.on_cpu else None

    def make_batch(self, arrays: Any, data: Any, row: Any, key: Any, t: Any) -> Any:
        """The leaves of the batch of step ``t``."""
        if self.batch is not None:
            return self.batch(arrays, key, t)
        if self.keys:
            kinds = zip(row, self.keys, strict=True)
            row = [x if kind is None else jax.random.wrap_key_data(x, impl=kind) for x, kind in kinds]
        return self.source.batch(data, row[0] if self.source.kind == "rows" else row, key, t)

    def advance(self, scalars: Sequence[Any] | None, arrays: Any, *args: Any) -> tuple[list[Any], list[Any]]:
        """The leaves of the carry one step further, and the metrics, in the order of their names.

        With the ``scalars`` of a step that were worked out ahead, None takes the place of the leaves that were, too.
        """
        leaves = jax.tree.leaves(args)
        if scalars is None or self.ahead is None:
            program = self.traced.program_on_cpu if self.on_cpu else self.traced.program
            made = list(jax.extend.core.jaxpr_as_fun(program)(*leaves, *arrays))
        else:
            made = list(jax.extend.core.jaxpr_as_fun(self.ahead.rest)(*leaves, *arrays, *scalars))
            for place in self.ahead.places:
                made.insert(place, None)
        return made[: len(self.common)], made[len(self.common) :]


def start(traced: Traced, optimizer: Any, key: Any, given: Any, arrays: Any) -> list[Any]:
    """The leaves of the carry of one lane before its first step."""
    return traced(arrays, *jax.tree.leaves((optimizer, key, given)))


def start_lanes(shape: Shape, traced: Traced, optimizer: Any, key: Any, given: Any, arrays: Any) -> list[Any]:
    """The leaves of a block's first carry, where all lanes start alike; copies, because carries are donated."""
    leaves = start(traced, optimizer, key, given, arrays)
    return [jnp.copy(x) for x in spread(shape, [[leaves]] * shape.seeds)]


def spread(shape: Shape, starts: Sequence[Sequence[Sequence[Any]]], xp: Any = jnp) -> list[Any]:
    """The leaves of a block's first carry, of those of its lanes: ``starts[seed][setting]``, or one setting for all."""

    def over_lanes(i: int) -> Any:
        x = xp.stack([xp.stack([lane[i] for lane in seed]) for seed in starts])
        return xp.broadcast_to(x, (shape.seeds, shape.settings, *x.shape[2:])).reshape((*shape.lead, *x.shape[2:]))

    return [starts[0][0][i] if common else over_lanes(i) for i, common in enumerate(shape.common)]


def evaluate(shape: Shape, traced: Traced, optimizer: Any, carry: Any, arrays: Any) -> list[Any]:
    """The evaluation of every lane of a block, metrics in the order of their names."""
    over_lanes = shape.over_lanes(lambda opt, leaves, *_: traced(arrays, *leaves), 0)
    return over_lanes(optimizer, carry, None, jnp.zeros(shape.seeds), None)  # type: ignore[no-any-return]


def one_step(shape: Shape, step: Step, optimizer: Any, carry: Any, data: Any, rows: Any, i: Any, *rest: Any) -> Any:
    """Every lane one step further: step ``first + i``, whose rows are the i-th."""
    return _step(shape, step, None, optimizer, carry, data, rows, i, *rest)


def _step(
    shape: Shape,
    step: Step,
    scalars: Sequence[Any] | None,
    optimizer: Any,
    leaves: list[Any],
    data: Any,
    rows: Any,
    i: Any,
    first: Any,
    keys: Any,
    feedback: Any,
    arrays: Any,
) -> tuple[list[Any], list[Any]]:
    t, (of_step, of_batch) = first + i, arrays
    several = shape.seeds > 1
    at = functools.partial(jax.lax.dynamic_index_in_dim, axis=int(several), keepdims=False, allow_negative_indices=False)
    row = jax.tree.map(lambda r: at(r, i), rows)
    fold_in = jax.vmap(jax.random.fold_in, (0, None)) if several else jax.random.fold_in
    loss_key, data_key = (fold_in(k, t) for k in keys)
    make_batch = functools.partial(step.make_batch, of_batch)
    if several:
        make_batch = jax.vmap(make_batch, (None, 0, 0, None), shape.batch_axis)
    batch = make_batch(data, row, data_key, t)
    told = None if feedback is None else [feedback[1] & (i == 0), *feedback[0]]
    over_lanes = shape.over_lanes(functools.partial(step.advance, scalars, of_step), (shape.carry_axes, 0))
    return over_lanes(optimizer, leaves, batch, loss_key, told)  # type: ignore[no-any-return]


def scan_steps(
    shape: Shape, step: Step, length: int, optimizer: Any, carry: Any, data: Any, rows: Any, n: Any, *rest: Any
) -> tuple[list[Any], list[Any]]:
    """``n`` of at most ``length`` steps in one compiled loop: the carry, and the records with a leading axis of ``length``.

    Scalars that all lanes share are worked out ahead of the loop.
    """
    records = [jnp.zeros((length, *shape.lead), dtype) for _, dtype in step.metrics]
    if step.ahead is None:
        return _loop(shape, step, optimizer, carry, records, None, data, rows, n, *rest)
    after, scalars = step.ahead.work(optimizer, carry, length, n)
    own = [None if i in step.ahead.places else x for i, x in enumerate(carry)]
    leaves, records = _loop(shape, step, optimizer, own, records, scalars, data, rows, n, *rest)
    for place, x in zip(step.ahead.places, after, strict=True):
        leaves[place] = x
    return leaves, records


def _loop(
    shape: Shape,
    step: Step,
    optimizer: Any,
    leaves: list[Any],
    records: list[Any],
    scalars: Sequence[Any] | None,
    data: Any,
    rows: Any,
    n: Any,
    *rest: Any,
) -> tuple[list[Any], list[Any]]:
    """``n`` steps."""

    def body(i: Any, state: Any) -> Any:
        leaves, records = state
        at = functools.partial(jax.lax.dynamic_index_in_dim, keepdims=False, allow_negative_indices=False)
        of_step = None if scalars is None else [at(x, i) for x in scalars]
        leaves, metrics = _step(shape, step, of_step, optimizer, leaves, data, rows, i, *rest)
        return leaves, [_write(r, m, i) for r, m in zip(records, metrics, strict=True)]

    return jax.lax.fori_loop(0, n, body, (leaves, records))  # type: ignore[no-any-return]


def _write(records: Any, metric: Any, i: Any) -> Any:
    """The metric of step ``i`` written among the records ``[steps, *lanes]``."""
    update = jnp.asarray(metric, records.dtype)[None]
    starts = [i, *[jnp.int32(0)] * (records.ndim - 1)]
    return jax.lax.dynamic_update_slice(records, update, starts, allow_negative_indices=False)


def to_numpy(x: Any) -> np.ndarray:
    """An array on the host; a random key as its data."""
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

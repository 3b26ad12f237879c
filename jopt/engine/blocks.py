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

from jopt.engine.ahead import Ahead
from jopt.engine.native import as_one_function
from jopt.engine.program import Program


@dataclasses.dataclass
class Block:
    """Lanes at the same step: the product of some settings and some seeds.

    Arrays of the carry have leading axes ``[seeds, settings]``; an axis of length one is left out, and both are for what
    is the same in every lane, such as a step count.
    """

    settings: np.ndarray  # setting ids, in order
    seeds: np.ndarray  # positions in the list of seeds
    optimizer: Any  # the settings' numbers stacked where they are swept
    carry: Any
    real: np.ndarray  # [seeds, settings], false for lanes that only fill up the block
    step: int = 0
    feedback: Any = None  # the latest evaluation, for programs that want it
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
class Lane:
    """One step of one lane, traced once; every executable is made of it.

    The jaxpr takes the leaves of optimizer, carry, batch, key and evaluation, and returns those of the carry and the metrics.
    """

    in_axes: tuple[int | None, ...]  # for each leaf of the optimizer, 0 where it is swept
    common: tuple[bool, ...]  # for each leaf of the carry, whether all lanes have the same at every step
    treedef: Any  # of the carry
    metrics: tuple[tuple[str, Any], ...]  # names and dtypes of the scalars that a step returns beside the carry
    jaxpr: Any = dataclasses.field(compare=False)  # follows from the program and the types
    ahead: Ahead | None = dataclasses.field(compare=False)  # the same in two parts, for loops that are not native
    native: bool  # whether XLA on CPUs should compile a loop of such steps to one function

    def step(self, scalars: Sequence[Any] | None, *args: Any) -> tuple[list[Any], dict[str, Any]]:
        """The leaves of the carry one step further, and the metrics.

        With the ``scalars`` of a step that were worked out ahead, None takes the place of the leaves that were, too.
        """
        if self.ahead is None or scalars is None:
            made = jax.extend.core.jaxpr_as_fun(self.jaxpr)(*jax.tree.leaves(args))
        else:
            made = jax.extend.core.jaxpr_as_fun(self.ahead.rest)(*jax.tree.leaves(args), *scalars)
            for place in self.ahead.places:
                made.insert(place, None)
        count = len(self.common)
        return made[:count], {name: x for (name, _), x in zip(self.metrics, made[count:], strict=True)}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is static in an executable: the program, its lane, and how many lanes there are."""

    program: Program
    lane: Lane
    seeds: int
    settings: int

    @property
    def lead(self) -> tuple[int, ...]:
        return tuple(n for n in (self.seeds, self.settings) if n > 1)

    @property
    def carry_axes(self) -> list[int | None]:
        return [None if common else 0 for common in self.lane.common]

    @property
    def batch_axis(self) -> int | None:
        return 0 if self.program.source.varies else None

    def over_lanes(self, function: Callable[..., Any], optimizer: Any, out_axes: Any) -> Callable[..., Any]:
        """``function(optimizer, leaves of the carry, batch, key, evaluation)`` over all lanes, vmapped if there are several."""
        axes = jax.tree.unflatten(jax.tree.structure(optimizer), self.lane.in_axes)
        if self.settings > 1:
            function = jax.vmap(function, (axes, self.carry_axes, None, None, 0), out_axes)
        return jax.vmap(function, (None, self.carry_axes, self.batch_axis, 0, 0), out_axes) if self.seeds > 1 else function


def start(program: Program, optimizer: Any, key: Any, given: Any) -> Any:
    """The carry of one lane before its first step."""
    return program.start(optimizer, key, given)


def start_lanes(shape: Shape, optimizer: Any, key: Any, given: Any) -> list[Any]:
    """The leaves of a block's first carry, where all lanes start alike; copies, because carries are donated."""
    leaves = jax.tree.leaves(start(shape.program, optimizer, key, given))
    return [jnp.copy(x) for x in spread(shape, [[leaves]] * shape.seeds)]


def spread(shape: Shape, starts: Sequence[Sequence[Sequence[Any]]], xp: Any = jnp) -> list[Any]:
    """The leaves of a block's first carry, of those of its lanes: ``starts[seed][setting]``, or one setting for all."""

    def over_lanes(i: int) -> Any:
        x = xp.stack([xp.stack([lane[i] for lane in seed]) for seed in starts])
        return xp.broadcast_to(x, (shape.seeds, shape.settings, *x.shape[2:])).reshape((*shape.lead, *x.shape[2:]))

    return [starts[0][0][i] if common else over_lanes(i) for i, common in enumerate(shape.lane.common)]


def evaluate(shape: Shape, optimizer: Any, carry: Any) -> Any:
    """The evaluation of every lane of a block."""
    assert shape.program.evaluate is not None
    function = shape.program.evaluate
    over_lanes = shape.over_lanes(lambda opt, leaves, *_: function(shape.lane.treedef.unflatten(leaves)), optimizer, 0)
    return over_lanes(optimizer, jax.tree.leaves(carry), None, jnp.zeros(shape.seeds), None)


def one_step(
    shape: Shape, optimizer: Any, carry: Any, data: Any, rows: Any, i: Any, first: Any, keys: Any, feedback: Any
) -> Any:
    """Every lane one step further: step ``first + i``, whose rows are the i-th."""
    leaves, metrics = _step(shape, None, optimizer, jax.tree.leaves(carry), data, rows, i, first, keys, feedback)
    return shape.lane.treedef.unflatten(leaves), metrics


def _step(
    shape: Shape,
    scalars: Sequence[Any] | None,
    optimizer: Any,
    leaves: list[Any],
    data: Any,
    rows: Any,
    i: Any,
    first: Any,
    keys: Any,
    feedback: Any,
) -> tuple[list[Any], dict[str, Any]]:
    t = first + i
    several = shape.seeds > 1
    at = functools.partial(jax.lax.dynamic_index_in_dim, axis=int(several), keepdims=False, allow_negative_indices=False)
    row = jax.tree.map(lambda r: at(r, i), rows)
    fold_in = jax.vmap(jax.random.fold_in, (0, None)) if several else jax.random.fold_in
    loss_key, data_key = (fold_in(k, t) for k in keys)
    make_batch = shape.program.source.batch
    if several:
        make_batch = jax.vmap(make_batch, (None, 0, 0, None), shape.batch_axis)
    batch = make_batch(data, row, data_key, t)
    told = None if feedback is None else {"metrics": feedback[0], "evaluated": feedback[1] & (i == 0)}
    over_lanes = shape.over_lanes(functools.partial(shape.lane.step, scalars), optimizer, (shape.carry_axes, 0))
    return over_lanes(optimizer, leaves, batch, loss_key, told)  # type: ignore[no-any-return]


def scan_steps(shape: Shape, length: int, native: bool, *args: Any) -> Any:
    """``n`` of at most ``length`` steps in one compiled loop, and where it is ``native``, in one function.

    Returns:
      The carry, the records with a leading axis of ``length``, and a number to be forgotten (see ``native.as_one_function``).
    """
    if native:
        return as_one_function(functools.partial(_all_steps, shape, length, None), *args)
    return *_all_steps(shape, length, shape.lane.ahead, *args), None


def _all_steps(
    shape: Shape,
    length: int,
    ahead: Ahead | None,
    optimizer: Any,
    carry: Any,
    data: Any,
    rows: Any,
    n: Any,
    first: Any,
    keys: Any,
    feedback: Any,
) -> tuple[Any, Any]:
    """The carry after ``n`` steps, and the records; with scalars worked out ahead where there are any."""
    records = {name: jnp.zeros((length, *shape.lead), dtype) for name, dtype in shape.lane.metrics}
    leaves = jax.tree.leaves(carry)
    rest = (data, rows, n, first, keys, feedback)
    if ahead is None:
        leaves, records = _loop(shape, optimizer, leaves, records, None, *rest)
    else:
        after, scalars = ahead.work(optimizer, leaves, length, n)
        own = [None if i in ahead.places else x for i, x in enumerate(leaves)]
        leaves, records = _loop(shape, optimizer, own, records, scalars, *rest)
        for place, x in zip(ahead.places, after, strict=True):
            leaves[place] = x
    return shape.lane.treedef.unflatten(leaves), records


def _loop(
    shape: Shape,
    optimizer: Any,
    leaves: list[Any],
    records: Any,
    scalars: Sequence[Any] | None,
    data: Any,
    rows: Any,
    n: Any,
    first: Any,
    keys: Any,
    feedback: Any,
) -> tuple[list[Any], Any]:
    """``n`` steps."""

    def body(i: Any, state: Any) -> Any:
        leaves, records = state
        at = functools.partial(jax.lax.dynamic_index_in_dim, keepdims=False, allow_negative_indices=False)
        of_step = None if scalars is None else [at(x, i) for x in scalars]
        leaves, metrics = _step(shape, of_step, optimizer, leaves, data, rows, i, first, keys, feedback)
        return leaves, jax.tree.map(lambda r, m: _write(r, m, i), records, metrics)

    return jax.lax.fori_loop(0, n, body, (leaves, records))  # type: ignore[no-any-return]


def _write(records: Any, metric: Any, i: Any) -> Any:
    """The metric of step ``i`` written among the records ``[steps, *lanes]``."""
    update = jnp.asarray(metric, records.dtype)[None]
    starts = [i, *[jnp.int32(0)] * (records.ndim - 1)]
    return jax.lax.dynamic_update_slice(records, update, starts, allow_negative_indices=False)


def to_numpy(x: Any) -> np.ndarray:
    """An array on the host; a random key as its data."""
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

"""One lane as it was traced, and what its jaxprs tell: what all lanes share, and the planner's cost model."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.compiled import costs
from jopt.engine.compiled.steps import Step
from jopt.engine.compiled.tracing import Traced, trace
from jopt.engine.data.arrays import is_keys
from jopt.engine.job import Begun
from jopt.engine.program import KEYS, Program
from jopt.values.trees import flatten


@dataclasses.dataclass(frozen=True)
class Analysis:
    """One lane of a job as it was traced for this call, and what follows from that."""

    start: Traced
    step: Step
    evaluate: Traced | None
    treedef: Any  # of the carry
    carry: Any  # the shapes of one lane's carry, as a tree
    names: tuple[str, ...]  # of what a step and an evaluation return
    in_axes: tuple[int | None, ...]  # for each leaf of a setting, 0 where it is swept
    common: tuple[bool, ...]  # for each leaf of the carry, whether all lanes have the same at every step
    own_batches: bool  # whether a swept number changes the batches
    start_depends: bool  # whether the first carry depends on a swept number
    carry_bytes: int
    fingerprint: str  # of the computation, the same in another process
    convolutions: int
    factorizations: int
    flops: float  # of a step of one lane, operations on single elements included

    @property
    def evaluated_names(self) -> list[str]:
        """The metrics of an evaluation, in the order in which its function returns them."""
        return [] if self.evaluate is None else list(self.evaluate.result)


NUMBER = jax.ShapeDtypeStruct((), np.int32)  # of a step
_costs: OrderedDict[Any, dict[str, Any]] = OrderedDict()
_lock = threading.Lock()


def analyse(
    program: Program,
    setting: Any,
    axes: tuple[int | None, ...],
    given: Any,
    data: Any,
    row: Any,
    on_cpu: bool,
    begun: Begun | None = None,
) -> Analysis:
    """Traces one lane: its start, a step and an evaluation, and looks for mistakes of the user's functions on the way.

    ``row`` is the rows of one step, with a leading axis of one; ``on_cpu`` says where the lanes will run, ``begun`` where they
    go on.
    """
    random = jax.eval_shape(lambda: jax.random.key(0, impl=KEYS))
    start = trace(program.start, setting, random, given)
    carry = start.result
    leaves, treedef = flatten(carry)
    if begun is not None:
        begun.check(carry, setting.optimizer)
    evaluate = None if program.evaluation is None else trace(program.evaluate, setting, carry)
    row = jax.tree.map(lambda x: x[0], row)
    batch = _batch(program, setting, random)
    batches = batch.result if batch else jax.eval_shape(program.source.batch, data, row, random, NUMBER)
    told = {"metrics": evaluate.result, "evaluated": False} if program.feedback and evaluate else None

    def one_step(setting: Any, leaves: Any, batch: Any, key: Any, told: Any) -> Any:
        new, metrics = program.step(setting, treedef.unflatten(leaves), batch, key, told)
        return jax.tree.leaves(new), metrics

    args = (setting, leaves, batches, random, told)
    stepped = trace(one_step, *args)
    sizes = tuple(len(jax.tree.leaves(x)) for x in args)
    alike = [True] * len(leaves) if begun is None else begun.alike()
    common = _common(start.closed.jaxpr, stepped.closed.jaxpr, axes, sizes, program.source.varies, alike)
    swept = {v for v, axis in zip(start.closed.jaxpr.invars, axes, strict=False) if axis is not None}
    metrics = stepped.result[1]
    named = tuple((name, x.dtype) for name, x in metrics.items())
    source = dataclasses.replace(program.source, function=None)
    given_as = jax.tree.leaves(row, is_leaf=is_keys) if source.kind == "batches" else []
    keys = tuple(x.impl if is_keys(x) else None for x in given_as)
    differs = [*(axis is not None for axis in axes), False, False]
    own_batches = batch is not None and any(_differing(batch.closed.jaxpr, differs))
    draws = _reads(stepped.closed.jaxpr, stepped.closed.jaxpr.invars[sum(sizes[:3])])
    step = Step(stepped, source, batch, keys, named, len(leaves), draws, on_cpu)
    return Analysis(
        start=start,
        step=step,
        evaluate=evaluate,
        treedef=treedef,
        carry=carry,
        names=(*metrics, *(evaluate.result if evaluate else ())),
        in_axes=axes,
        common=common,
        own_batches=own_batches,
        start_depends=any(v in swept for e in _top(start.closed.jaxpr) for v in e if not hasattr(v, "val")),
        carry_bytes=_bytes(leaves),
        **_costs_of(stepped, data),
    )


def _batch(program: Program, setting: Any, key: Any) -> Traced | None:
    """The user's function that makes batches; None where they come from elsewhere."""
    if program.source.function is None:
        return None
    return trace(lambda setting, key, step: program.batch(setting, None, None, key, step), setting, key, NUMBER)


def _costs_of(stepped: Traced, data: Any) -> dict[str, Any]:
    """What one step of one lane costs; kept, because describing a computation takes longer than tracing it."""
    key = stepped.key, tuple(map(jnp.shape, jax.tree.leaves(data)))
    with _lock:
        if key in _costs:
            _costs.move_to_end(key)
            return _costs[key]
    counted = costs.count(stepped.closed)
    described = stepped.key.described() + str(key[1])
    found = {
        "fingerprint": hashlib.sha256(described.encode()).hexdigest()[:32],
        "convolutions": counted.convolutions,
        "factorizations": counted.factorizations,
        "flops": counted.flops + counted.elements,
    }
    with _lock:
        _costs[key] = found
        while len(_costs) > 256:
            _costs.popitem(last=False)
    return found


def _common(
    started: Any, stepped: Any, axes: tuple[int | None, ...], sizes: tuple[int, ...], varied: bool, alike: list[bool]
) -> tuple[bool, ...]:
    """The leaves of the carry that follow from nothing that differs between lanes: swept numbers, keys, rows, evaluations.

    What hangs on them is computed once for all lanes, and a ``lax.cond`` on a step count stays one branch, where ``vmap``
    would run both. Without, a rule with a QR decomposition every tenth step takes 1.3 times as long (32 x 32, 16 lanes, 300
    steps), Rosenbrock's function 1.08 times, other models 1.00 to 1.03.

    ``sizes`` counts the leaves of the step's arguments: setting, carry, batch, key, evaluation; ``varied`` says whether the
    batch differs between seeds, ``alike`` which leaves are the same for all seeds where the lanes begin.
    """
    swept = [axis is not None for axis in axes]
    given = [False] * (len(started.invars) - len(axes) - 1)
    began = [not differs for differs in _differing(started, [*swept, True, *given])]
    common = [a and b for a, b in zip(began, alike, strict=True)]
    while True:
        carry = [not same for same in common]
        rest = [varied] * sizes[2] + [True] * sum(sizes[3:])
        now = [not differs for differs in _differing(stepped, [*swept, *carry, *rest])][: len(common)]
        kept = [a and b for a, b in zip(common, now, strict=True)]
        if kept == common:
            return tuple(common)
        common = kept


def _differing(jaxpr: Any, differs: list[bool]) -> list[bool]:
    """For each result of a jaxpr, whether it depends on an argument that differs between lanes."""
    found = {v for v, is_different in zip(jaxpr.invars, differs, strict=True) if is_different}
    for equation in jaxpr.eqns:
        if any(not hasattr(v, "val") and v in found for v in equation.invars):
            found.update(equation.outvars)
    return [not hasattr(v, "val") and v in found for v in jaxpr.outvars]


def _reads(jaxpr: Any, variable: Any) -> bool:
    return any(v is variable for atoms in _top(jaxpr) for v in atoms)


def _top(jaxpr: Any) -> Iterator[list[Any]]:
    for equation in jaxpr.eqns:
        yield list(equation.invars)
    yield list(jaxpr.outvars)


def _bytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * _itemsize(x.dtype) for x in jax.tree.leaves(tree))


def _itemsize(dtype: Any) -> int:
    return 8 if jnp.issubdtype(dtype, jax.dtypes.extended) else np.dtype(dtype).itemsize

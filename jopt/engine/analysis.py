"""What one step of one lane consists of, read off its jaxpr: the planner's cost model."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt._trees import flatten
from jopt.engine.ahead import split
from jopt.engine.blocks import Lane
from jopt.engine.executables import signature
from jopt.engine.native import is_light
from jopt.engine.program import Program
from jopt.engine.rewriting import rewritten


@dataclasses.dataclass(frozen=True)
class Analysis:
    """The costs of one step of one lane."""

    fingerprint: str  # of the computation, the same in another process
    convolutions: int
    flops: float  # of matrix products and convolutions
    carry_bytes: int
    start_depends: bool  # whether the first carry depends on a swept number
    carry: Any  # the shapes of one lane's carry
    names: tuple[str, ...]  # of what a step and an evaluation return, in their order
    lane: Lane


_known: OrderedDict[Any, Analysis] = OrderedDict()
_lock = threading.Lock()


def analyse(
    program: Program, optimizer: Any, axes: tuple[int | None, ...], given: Any, data: Any, row: Any, on_cpu: bool
) -> Analysis:
    """Traces the start and one step of one lane, and looks for mistakes of the user's functions on the way.

    ``row`` is the rows of one step, with a leading axis of one; ``on_cpu`` says where the lanes will run.
    """
    args = (optimizer, given, data, row)
    key = (program, axes, on_cpu, signature(args))
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    made = _trace(program, axes, *args, on_cpu)
    with _lock:
        _known[key] = made
        while len(_known) > 256:
            _known.popitem(last=False)
    return made


def _trace(
    program: Program, axes: tuple[int | None, ...], optimizer: Any, given: Any, data: Any, row: Any, on_cpu: bool
) -> Analysis:
    random = jax.random.key(0)
    started, carry = jax.make_jaxpr(program.start, return_shape=True)(optimizer, random, given)
    leaves, treedef = flatten(carry)
    row = jax.tree.map(lambda x: x[0], row)
    told = {"metrics": jax.eval_shape(program.evaluate, carry), "evaluated": False} if program.feedback else None  # type: ignore[arg-type]

    def step(optimizer: Any, leaves: Any, batch: Any, key: Any, told: Any) -> Any:
        new, metrics = program.step(optimizer, treedef.unflatten(leaves), batch, key, told)
        return jax.tree.leaves(new), metrics

    with _leaks_checked():
        batched, batch = jax.make_jaxpr(program.source.batch, return_shape=True)(data, row, random, jnp.int32(0))
        args = (optimizer, leaves, batch, random, told)
        stepped, (_, metrics) = jax.make_jaxpr(step, return_shape=True)(*args)
    stepped = rewritten(stepped) if on_cpu else stepped
    evaluated = {} if program.evaluate is None else jax.eval_shape(program.evaluate, carry)
    equations = list(_equations(stepped.jaxpr))
    flops = float(sum(map(_flops, equations)))
    swept = {v for v, axis in zip(started.jaxpr.invars, axes, strict=False) if axis is not None}
    sizes = tuple(len(jax.tree.leaves(x)) for x in args)
    common = _common(started.jaxpr, stepped.jaxpr, axes, sizes, program.source.varies)
    ahead = split(stepped, [axis is not None for axis in axes], common) if on_cpu else None
    carry_bytes = _bytes(leaves)
    nonempty = all(math.prod(jnp.shape(x)) for x in jax.tree.leaves((args, data, row)))
    native = on_cpu and nonempty and is_light([*equations, *_equations(batched.jaxpr)], flops, carry_bytes)
    named = tuple((name, x.dtype) for name, x in metrics.items())
    lane = Lane(axes, common, treedef, named, stepped, ahead, native)
    described = re.sub("0x[0-9a-f]+", "", str(stepped)) + str(jax.tree.map(jnp.shape, data))
    return Analysis(
        fingerprint=hashlib.sha256(described.encode()).hexdigest()[:32],
        convolutions=sum(e.primitive.name == "conv_general_dilated" for e in equations),
        flops=flops,
        carry_bytes=carry_bytes,
        start_depends=any(v in swept for e in _top(started.jaxpr) for v in e if not hasattr(v, "val")),
        carry=carry,
        names=(*metrics, *evaluated),
        lane=lane,
    )


@contextlib.contextmanager
def _leaks_checked() -> Iterator[None]:
    """Raises where a function that is traced inside keeps a traced value."""
    frozen_before = gc.get_freeze_count()
    if not frozen_before:
        gc.freeze()  # the check collects garbage: only what is made inside has to be looked at
    try:
        with jax.checking_leaks():
            yield
    except Exception as error:
        if "Leaked trace" not in str(error):
            raise
        raise ValueError(
            "The loss (or step, or evaluate) keeps a traced value beyond its own call, for example by appending it to a list: "
            "it runs once, as a trace, and not at each step. Return what you want to keep as auxiliary values (has_aux=True)."
        ) from error
    finally:
        if not frozen_before:
            gc.unfreeze()


def _common(started: Any, stepped: Any, axes: tuple[int | None, ...], sizes: tuple[int, ...], varied: bool) -> tuple[bool, ...]:
    """The leaves of the carry that follow from nothing that differs between lanes: swept numbers, keys, rows, evaluations.

    ``sizes`` counts the leaves of the step's arguments: optimizer, carry, batch, key, evaluation; ``varied`` says whether the
    batch differs between seeds.
    """
    swept = [axis is not None for axis in axes]
    given = [False] * (len(started.invars) - len(axes) - 1)
    common = [not differs for differs in _differing(started, [*swept, True, *given])]
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


def _top(jaxpr: Any) -> Iterator[list[Any]]:
    for equation in jaxpr.eqns:
        yield list(equation.invars)
    yield list(jaxpr.outvars)


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _flops(equation: Any) -> float:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        lhs = equation.invars[0].aval.shape
        return float(2 * math.prod(equation.outvars[0].aval.shape) * math.prod(lhs[i] for i in contracted))
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        out = equation.params["dimension_numbers"].rhs_spec[0]
        return float(2 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / max(1, kernel[out]))
    return 0.0


def _bytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * _itemsize(x.dtype) for x in jax.tree.leaves(tree))


def _itemsize(dtype: Any) -> int:
    return 8 if jnp.issubdtype(dtype, jax.dtypes.extended) else np.dtype(dtype).itemsize

"""What every lane of a block works out alike at each step, a bias correction or a schedule, taken out of their loop.

In a loop over many lanes such scalars are operations of their own, and on CPUs an operation costs its call. A loop of
scalars alone is one function, so they are worked out for a chunk's steps ahead and read by the number of the step.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

MOST_SCALARS = 16  # a step that reads more than these is left as it is


@dataclasses.dataclass(frozen=True)
class Ahead:
    """A step in two parts, the first of them without any lane.

    ``alike`` takes the leaves of the optimizer and, of the carry, the leaves at ``places``; it returns these one step further
    and the scalars that ``rest`` reads. ``rest`` takes the step's arguments without these leaves, and the scalars; it
    returns the step's results without them.
    """

    places: tuple[int, ...]
    alike: Any
    rest: Any

    def work(self, optimizer: Any, leaves: Sequence[Any], length: int, n: Any) -> tuple[list[Any], list[Any]]:
        """The leaves at ``places`` after ``n`` of at most ``length`` steps, and the scalars of each, ``[length]``."""
        numbers, count = jax.tree.leaves(optimizer), len(self.places)
        one_step = jax.extend.core.jaxpr_as_fun(self.alike)
        scalars = [jnp.zeros(length, v.aval.dtype) for v in self.alike.jaxpr.outvars[count:]]

        def body(i: Any, state: Any) -> Any:
            own, scalars = state
            made = one_step(*numbers, *own)
            update = jax.lax.dynamic_update_index_in_dim
            return made[:count], [update(x, new, i, 0) for x, new in zip(scalars, made[count:], strict=True)]

        return jax.lax.fori_loop(0, n, body, ([leaves[i] for i in self.places], scalars))  # type: ignore[no-any-return]


def split(step: Any, swept: Sequence[bool], common: Sequence[bool]) -> Ahead | None:
    """A step's jaxpr in two parts; None where there is nothing to work out ahead.

    ``swept`` says it for each leaf of the optimizer; ``common``, for each leaf of the carry, whether all lanes have the same.
    """
    jaxpr = step.jaxpr
    numbers, leaves = jaxpr.invars[: len(swept)], jaxpr.invars[len(swept) :][: len(common)]
    fixed = {v for v, is_swept in zip(numbers, swept, strict=True) if not is_swept}
    places = [i for i, is_common in enumerate(common) if is_common and leaves[i].aval.shape == ()]
    while True:
        moved, equations = _alike(jaxpr, fixed, {leaves[i] for i in places})
        kept = [i for i in places if not _is_literal(jaxpr.outvars[i]) and jaxpr.outvars[i] in moved]
        if kept == places:
            break
        places = kept
    gone = {leaves[i] for i in places}
    staying = [e for e in jaxpr.eqns if not any(v in moved for v in e.outvars)]
    results = [v for i, v in enumerate(jaxpr.outvars) if i not in places]
    read = [v for v in itertools.chain(*(e.invars for e in staying), results) if not _is_literal(v) and v in moved]
    used = list(dict.fromkeys(read))
    if not 0 < len(used) <= MOST_SCALARS:
        return None
    after = [jaxpr.outvars[i] for i in places]
    given = [*numbers, *(leaves[i] for i in places)]
    alike = jaxpr.replace(invars=given, outvars=[*after, *used], eqns=equations, effects=set())
    rest = jaxpr.replace(invars=[*(v for v in jaxpr.invars if v not in gone), *used], outvars=results, eqns=staying)
    core: Any = jax.extend.core  # what it exports differs between versions
    return Ahead(tuple(places), *(core.ClosedJaxpr(part, step.consts) for part in (alike, rest)))


def _alike(jaxpr: Any, fixed: set[Any], leaves: set[Any]) -> tuple[set[Any], list[Any]]:
    """The scalars that follow from ``leaves`` and ``fixed`` alone, and the equations of these and of what they need."""
    known, moved, equations = fixed | leaves, set(leaves), []
    for equation in jaxpr.eqns:
        given = [v for v in equation.invars if not _is_literal(v)]
        if not equation.effects and all(v in known for v in given) and all(map(_is_scalar, equation.outvars)):
            known.update(equation.outvars)
            equations.append(equation)
            if any(v in moved for v in given):
                moved.update(equation.outvars)
    return moved, equations


def _is_literal(v: Any) -> bool:
    return isinstance(v, jax.extend.core.Literal)


def _is_scalar(v: Any) -> bool:
    return v.aval.shape == () and not jnp.issubdtype(v.aval.dtype, jax.dtypes.extended)

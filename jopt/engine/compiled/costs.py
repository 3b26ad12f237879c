"""What a computation costs, read off its jaxpr: every equation as often as it is carried out, by the formulas of ``flops``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.extend.core
import numpy as np

from jopt.engine.compiled.flops import elements, factorizes, flops

# Passes of a loop that goes on until something has converged, which a jaxpr does not tell. A guess: line searches take one
# to five, coupled Newton iterations for the root of a matrix ten to twenty.
GUESSED_PASSES = 10


@dataclasses.dataclass(frozen=True)
class Costs:
    """What is carried out, loops included.

    Attributes:
      flops: Floating-point operations of products, convolutions, factorizations and transforms.
      elements: Operations on single elements. They matter in loops inside a step: a loss of 50 passes over 1,024 numbers was
        several times as quick in blocks of two lanes as in one of 64.
      convolutions: How many convolutions there are, those inside a loop once for each pass.
      factorizations: In the same way, how many factorizations.
    """

    flops: float = 0.0
    elements: float = 0.0
    convolutions: int = 0
    factorizations: int = 0

    def __add__(self, other: Costs) -> Costs:
        return Costs(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def times(self, passes: int) -> Costs:
        """The same, carried out so many times."""
        return Costs(*(passes * x for x in dataclasses.astuple(self)))


def count(program: Any) -> Costs:
    """What one call of a jaxpr costs, with or without its constants.

    A loop counts with its passes: a ``scan`` tells them, and so does a ``while`` whose counter starts and ends at literals; any
    other ``while`` counts ``GUESSED_PASSES``, or fewer where a counter ends it sooner. Of the branches of a ``cond`` the most
    expensive counts, of a ``custom_linear_solve`` its solver. What an array holds that a function closes over changes nothing:
    it is an argument of the compiled program.
    """
    return _total(program, {})


def _total(program: Any, numbers: Mapping[Any, float]) -> Costs:
    """``numbers`` has the values that are known of scalar variables."""
    return sum((_equation(e, numbers) for e in _inside(program).eqns), Costs())


def _equation(equation: Any, numbers: Mapping[Any, float]) -> Costs:
    name = equation.primitive.name
    own = Costs(flops(equation), elements(equation), int(name == "conv_general_dilated"), int(factorizes(equation)))
    return own + _CALLS.get(name, _all)(equation, [_number(v, numbers) for v in equation.invars])


# Calls: what runs which jaxprs how often. ``given`` are the arguments, as far as they are known numbers.


def _all(equation: Any, given: Sequence[float | None]) -> Costs:
    """``jit``, ``remat``, ``custom_jvp`` and others that run what they hold once."""
    return sum((_called(body, given) for value in equation.params.values() for body in _bodies(value)), Costs())


def _called(body: Any, given: Sequence[float | None]) -> Costs:
    names = _inside(body).invars
    known = zip(names, given, strict=True) if len(names) == len(given) else ()
    return _total(body, {v: x for v, x in known if x is not None})


def _scan(equation: Any, given: Sequence[float | None]) -> Costs:
    return _total(equation.params["jaxpr"], {}).times(equation.params["length"])


def _while(equation: Any, given: Sequence[float | None]) -> Costs:
    once = _total(equation.params["body_jaxpr"], {}) + _total(equation.params["cond_jaxpr"], {})
    return once.times(_passes(equation, given))


def _cond(equation: Any, given: Sequence[float | None]) -> Costs:
    branches = [_called(branch, given[1:]) for branch in equation.params["branches"]]
    return Costs(*(max(values) for values in zip(*map(dataclasses.astuple, branches), strict=True)))


def _linear_solve(equation: Any, given: Sequence[float | None]) -> Costs:
    # It also holds how to multiply and how to solve the transposed system, which only derivatives use.
    return _total(equation.params["jaxprs"].solve, {})


_CALLS: dict[str, Callable[[Any, Sequence[float | None]], Costs]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "custom_linear_solve": _linear_solve,
}


def _inside(program: Any) -> Any:
    return getattr(program, "jaxpr", program)


def _bodies(value: Any) -> Iterator[Any]:
    for x in value if isinstance(value, (tuple, list)) else (value,):
        if hasattr(_inside(x), "eqns"):
            yield x


def _number(v: Any, numbers: Mapping[Any, float]) -> float | None:
    if not isinstance(v, jax.extend.core.Literal):
        return numbers.get(v)
    return float(v.val) if np.ndim(v.val) == 0 and np.isrealobj(v.val) and np.isfinite(v.val) else None


# The passes of a ``while``: its condition compares two numbers, of which each stays or grows by a literal. Such a number is
# written as a pair, its value before the loop and its growth in a pass.


def _passes(equation: Any, given: Sequence[float | None]) -> int:
    constants = equation.params["cond_nconsts"]
    carried = given[constants + equation.params["body_nconsts"] :]
    condition = _inside(equation.params["cond_jaxpr"])
    pairs = [*((x, 0.0) for x in given[:constants]), *zip(carried, _growths(equation), strict=True)]
    known = {v: (x, g) for v, (x, g) in zip(condition.invars, pairs, strict=True) if x is not None and g is not None}
    made = {v: e for e in condition.eqns for v in e.outvars}
    limits = list(_limits(condition.outvars[0], made, known))
    told = [limit for limit in limits if limit is not None]
    return min(told) if len(told) == len(limits) else min([GUESSED_PASSES, *told])


def _growths(equation: Any) -> list[float | None]:
    """By how much each number that a ``while`` carries grows in a pass; ``None`` where no literal says so."""
    body = _inside(equation.params["body_jaxpr"])
    carried = body.invars[equation.params["body_nconsts"] :]
    made = {v: e for e in body.eqns for v in e.outvars}
    return [0.0 if new is old else _growth(_maker(new, made), old) for new, old in zip(body.outvars, carried, strict=True)]


def _growth(equation: Any, old: Any) -> float | None:
    if equation is None or equation.primitive.name not in ("add", "sub"):
        return None
    first, second = equation.invars
    if equation.primitive.name == "add" and second is old:
        first, second = second, first
    by = _number(second, {}) if first is old else None
    return -by if by is not None and equation.primitive.name == "sub" else by


def _limits(v: Any, made: Mapping[Any, Any], known: Mapping[Any, tuple[float, float]]) -> Iterator[int | None]:
    """For each part of a condition, after how many passes it ends the loop; ``None`` where nothing tells."""
    equation = _maker(v, made)
    name = "" if equation is None else equation.primitive.name
    if name in ("and", "convert_element_type"):
        for part in equation.invars:
            yield from _limits(part, made, known)
    elif name in ("lt", "le", "gt", "ge"):
        a, b = (_pair(x, known) for x in equation.invars)
        yield _until(name, a[0] - b[0], a[1] - b[1]) if a and b else None
    else:
        yield None


def _maker(v: Any, made: Mapping[Any, Any]) -> Any:
    return None if isinstance(v, jax.extend.core.Literal) else made.get(v)


def _pair(v: Any, known: Mapping[Any, tuple[float, float]]) -> tuple[float, float] | None:
    if isinstance(v, jax.extend.core.Literal):
        value = _number(v, {})
        return None if value is None else (value, 0.0)
    return known.get(v)


def _until(name: str, difference: float, growth: float) -> int | None:
    """How often a difference that grows is on the side of zero that ``name`` asks for."""
    if name in ("gt", "ge"):
        difference, growth = -difference, -growth
    strict = name in ("lt", "gt")
    if difference > 0 or (strict and difference == 0):
        return 0
    if growth <= 0:
        return None
    return math.ceil(-difference / growth) if strict else math.floor(-difference / growth) + 1

"""Which arguments of a jaxpr anything hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jopt.engine.compiled.identity import bodies


def used(program: Any, live: Sequence[bool]) -> list[bool]:
    """Which arguments of a jaxpr its ``live`` results, or its effects, hang on; where it is costly to say, all."""
    jaxpr = getattr(program, "jaxpr", program)
    needed = {v for v, is_live in zip(jaxpr.outvars, live, strict=True) if is_live and not hasattr(v, "val")}
    for equation in reversed(jaxpr.eqns):
        made = [v in needed for v in equation.outvars]
        if any(made) or equation.effects:
            taken = zip(equation.invars, _taken(equation, made), strict=True)
            needed.update(v for v, is_taken in taken if is_taken and not hasattr(v, "val"))
    return [v in needed for v in jaxpr.invars]


def _taken(equation: Any, made: Sequence[bool]) -> list[bool]:
    """Which arguments of an equation what is ``made`` by it hangs on."""
    inner = [getattr(body, "jaxpr", body) for body in bodies(equation)]
    one_to_one = len(inner) == 1 and len(inner[0].invars) == len(equation.invars) and len(inner[0].outvars) == len(made)
    if not one_to_one:
        return [True] * len(equation.invars)
    # What a loop makes in one round it may read in the next.
    return used(inner[0], [True] * len(made) if equation.primitive.name == "scan" else made)

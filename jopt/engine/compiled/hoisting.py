"""Arrays that a jaxpr closes over, nested calls included, as its last arguments.

A closed-over array would otherwise be a constant of the compiled program: another one would compile again, and large ones take
seconds to compile. What is moved is written anew by the same public operations; equations without such arrays stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core
import numpy as np
from jax import lax

from jopt.engine.compiled.identity import bodies, constants


def hoisted(closed: Any, arrays: Sequence[tuple[Any, Any]]) -> Any:
    """The jaxpr of ``(*arguments, *arrays)``; the same object where there is no array.

    Args:
      closed: A jaxpr with its constants.
      arrays: The arrays to move, each with its type, as ``identity.identify`` finds them.
    """
    if not arrays:
        return closed
    count = len(closed.jaxpr.invars)
    places = {id(x): i for i, (x, _) in enumerate(arrays)}

    def function(*args: Any) -> Any:
        return _Opening(places, args[count:]).run(closed, args[:count])

    return jax.make_jaxpr(function)(*map(_shape, [*(v.aval for v in closed.jaxpr.invars), *(aval for _, aval in arrays)]))


def evaluate_equations(jaxpr: Any, equations: Sequence[Any], values: dict[Any, Any]) -> None:
    """Evaluates some equations of a jaxpr, one after another, on ``values`` by variable, and adds what they make."""
    if not equations:
        return
    made = list(dict.fromkeys(v for e in equations for v in e.outvars if not _is_dropped(v)))
    read = dict.fromkeys(v for e in equations for v in e.invars if not isinstance(v, jax.extend.core.Literal))
    used = [v for v in read if v in values]
    alone = jaxpr.replace(constvars=used, invars=[], outvars=made, eqns=list(equations), effects=jaxpr.effects)
    values.update(zip(made, jax.core.eval_jaxpr(alone, [values[v] for v in used]), strict=True))


def read_atom(v: Any, values: dict[Any, Any]) -> Any:
    """The value of a variable or a literal."""
    return v.val if isinstance(v, jax.extend.core.Literal) else values[v]


def _is_dropped(v: Any) -> bool:
    return type(v).__name__ == "DropVar"


def _shape(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=getattr(aval, "weak_type", False))


class _Opening:
    """Evaluates jaxprs with arrays in place of the constants at ``places``."""

    def __init__(self, places: dict[int, int], arrays: Sequence[Any]) -> None:
        self.places = places
        self.arrays = list(arrays)
        self._rules: dict[str, Callable[[Any, list[Any]], Sequence[Any]]] = {
            "remat2": self._checkpointed,
            "checkpoint": self._checkpointed,
            "scan": self._scan,
            "while": self._while,
            "cond": self._cond,
        }

    def run(self, program: Any, args: Sequence[Any]) -> list[Any]:
        """What a jaxpr makes of its arguments."""
        jaxpr = getattr(program, "jaxpr", program)
        given = [self.arrays[self.places[id(x)]] if id(x) in self.places else x for x in constants(program)]
        values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*given, *args], strict=True))
        waiting: list[Any] = []
        for equation in jaxpr.eqns:
            if not self._concerns(equation):
                waiting.append(equation)
                continue
            evaluate_equations(jaxpr, waiting, values)
            waiting = []
            rule = self._rules.get(equation.primitive.name, self._inline)
            made = rule(equation, [read_atom(v, values) for v in equation.invars])
            values.update(zip(equation.outvars, made, strict=True))
        evaluate_equations(jaxpr, waiting, values)
        return [read_atom(v, values) for v in jaxpr.outvars]

    def _concerns(self, equation: Any) -> bool:
        return any(self._holds(body) for body in bodies(equation))

    def _holds(self, program: Any) -> bool:
        own = any(id(x) in self.places for x in constants(program))
        return own or any(map(self._concerns, getattr(program, "jaxpr", program).eqns))

    def _inline(self, equation: Any, given: list[Any]) -> Sequence[Any]:
        (body,) = bodies(equation)
        return self.run(body, given)

    def _checkpointed(self, equation: Any, given: list[Any]) -> Sequence[Any]:
        # Not by jax.checkpoint: an equation that was differentiated has barriers, which keep XLA from undoing it.
        (body,) = bodies(equation)
        count = len(given)

        def function(*args: Any) -> Any:
            return _Opening(self.places, args[count:]).run(body, args[:count])

        made = jax.make_jaxpr(function)(*map(_shape, map(jax.typeof, [*given, *self.arrays])))
        return list(equation.primitive.bind(*given, *self.arrays, **{**equation.params, "jaxpr": made.jaxpr}))

    def _scan(self, equation: Any, given: list[Any]) -> Sequence[Any]:
        (body,) = bodies(equation)
        jaxpr = getattr(body, "jaxpr", body)
        # What is scanned over has one axis more outside than inside; versions of JAX count these arguments differently.
        scanned = sum(np.ndim(x) > len(v.aval.shape) for x, v in zip(given, jaxpr.invars, strict=True))
        stacked = sum(len(o.aval.shape) > len(v.aval.shape) for o, v in zip(equation.outvars, jaxpr.outvars, strict=True))
        carried = len(jaxpr.outvars) - stacked
        first = len(given) - scanned - carried
        fixed, carry, rows = given[:first], given[first : first + carried], given[first + carried :]

        def step(carry: Any, row: Any) -> Any:
            made = self.run(body, [*fixed, *carry, *row])
            return made[:carried], made[carried:]

        params = equation.params
        kept, made = lax.scan(step, carry, rows, params["length"], params["reverse"], params["unroll"])
        return [*kept, *made]

    def _while(self, equation: Any, given: list[Any]) -> Sequence[Any]:
        goes_on, body = bodies(equation)
        first, second = equation.params["cond_nconsts"], equation.params["body_nconsts"]
        ours, theirs, carry = given[:first], given[first : first + second], given[first + second :]
        return list(lax.while_loop(lambda c: self.run(goes_on, [*ours, *c])[0], lambda c: self.run(body, [*theirs, *c]), carry))

    def _cond(self, equation: Any, given: list[Any]) -> Sequence[Any]:
        branches = [lambda *args, body=body: self.run(body, args) for body in bodies(equation)]
        return list(lax.switch(given[0], branches, *given[1:]))

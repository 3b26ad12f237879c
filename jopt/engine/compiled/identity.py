"""What a jaxpr computes, as a key: programs with equal keys compute the same, whoever wrote them and wherever.

Text will not do: it conflates programs that differ in a callback, a sharding or a nested constant. Nor will comparing
parameters alone: two traces of one ``relu`` hold different rule objects for derivatives that are never taken again. So the
key is a walk over equations and their parameters; what can not be compared by value is compared by identity.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

# Parameters that say nothing about what is computed: names, and rules of derivatives, which have been taken by then.
_IRRELEVANT = {
    ("jit", "name"),
    ("remat2", "policy"),
    ("checkpoint", "policy"),
    ("custom_jvp_call", "jvp_jaxpr_fun"),
    ("custom_vjp_call", "fwd_jaxpr_thunk"),
    ("custom_vjp_call", "bwd"),
    ("custom_vjp_call", "out_trees"),
}
_BODIES = {
    "jit": ("jaxpr",),
    "closed_call": ("call_jaxpr",),
    "core_call": ("call_jaxpr",),
    "custom_jvp_call": ("call_jaxpr",),
    "custom_vjp_call": ("call_jaxpr",),
    "remat2": ("jaxpr",),
    "checkpoint": ("jaxpr",),
    "scan": ("jaxpr",),
    "while": ("cond_jaxpr", "body_jaxpr"),
    "cond": ("branches",),
}


class Key:
    """A nested tuple that is hashed once."""

    __slots__ = ("_hash", "parts")

    def __init__(self, parts: Any) -> None:
        self.parts = parts
        self._hash = hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self._hash == other._hash and bool(self.parts == other.parts))

    def described(self) -> str:
        """The same in another process, for equal computations; nearly always another text for another one."""
        return re.sub("0x[0-9a-f]+", "", repr([(str(kind), str(value)) for kind, value in self.parts[1]]))


def identify(closed: Any) -> tuple[Key, tuple[tuple[Any, Any], ...]]:
    """The key of a jaxpr, and the arrays that it closes over, each with its type, in the order in which the walk meets them.

    Of these arrays the key has the types only: another one of the same shape is another argument of the same program. Arrays
    in places from where ``hoisting`` can not take them out are compared by what they hold.
    """
    walk = _Walk()
    main = walk.program(closed, True)
    return Key((main, tuple(walk.leaves))), tuple(walk.arrays.values())


def bodies(equation: Any) -> Iterator[Any]:
    """The jaxprs inside an equation whose arrays can become arguments of the equation."""
    if equation.primitive.name == "jit" and not _is_plain(equation.params):
        return
    for field in _BODIES.get(equation.primitive.name, ()):
        found = equation.params[field]
        yield from found if isinstance(found, tuple) else (found,)


def constants(program: Any) -> list[Any]:
    """The constants of a jaxpr; older versions of JAX have jaxprs that can hold none."""
    return list(getattr(program, "consts", ()))


def is_array(x: Any) -> bool:
    """Whether a constant is an array: no reference to one, and no type, as callbacks have among their parameters."""
    is_type = isinstance(x, (jax.core.AbstractValue, jax.ShapeDtypeStruct))
    return hasattr(x, "dtype") and not is_type and type(jax.typeof(x)).__name__ == "ShapedArray"


def _is_plain(params: Any) -> bool:
    """Whether a nested ``jit`` asks for nothing that is lost where its body is written in its place."""
    shardings = (*params["in_shardings"], *params["out_shardings"])
    asked = params.get("compiler_options_kvs") or any(params["donated_invars"])
    return not asked and all(type(s).__name__ == "UnspecifiedValue" for s in shardings)


class _Same:
    """What has no hash, by identity; holds it, so that its number in memory stays its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _Walk:
    """One walk over a jaxpr. Whatever is compared by value gets a number the first time, and is hashed once."""

    def __init__(self) -> None:
        self.leaves: dict[Any, int] = {}
        self.arrays: dict[int, tuple[Any, Any]] = {}  # by identity
        self._places: dict[int, int] = {}
        self._seen: dict[tuple[int, bool], int] = {}

    def leaf(self, kind: Any, value: Any) -> int:
        try:
            return self.leaves.setdefault((kind, value), len(self.leaves))
        except TypeError:
            return self.leaves.setdefault((kind, _Same(value)), len(self.leaves))

    def program(self, program: Any, opens: bool) -> int:
        """A jaxpr with its constants; ``opens`` says whether its arrays can be handed in."""
        seen = id(program), opens
        if seen not in self._seen:
            jaxpr = getattr(program, "jaxpr", program)
            names: dict[Any, int] = {}
            consts = [self._constant(x, v.aval, opens) for x, v in zip(constants(program), jaxpr.constvars, strict=False)]
            bound = [self._bind(v, names) for v in (*jaxpr.constvars, *jaxpr.invars)]
            steps = [self._equation(e, names, opens) for e in jaxpr.eqns]
            results = [self._atom(v, names) for v in jaxpr.outvars]
            self._seen[seen] = self.leaf("program", (*consts, None, *bound, None, *steps, None, *results))
        return self._seen[seen]

    def _constant(self, x: Any, aval: Any, opens: bool) -> Any:
        if not (opens and is_array(x)):
            return self.value(x, opens)
        self.arrays.setdefault(id(x), (x, aval))
        return "array", self._places.setdefault(id(x), len(self._places)), self.leaf("type", aval)

    def _bind(self, v: Any, names: dict[Any, int]) -> int:
        names[v] = len(names)
        return self.leaf("type", v.aval)

    def _atom(self, v: Any, names: dict[Any, int]) -> Any:
        if isinstance(v, jax.extend.core.Literal):
            return "literal", self.value(v.val, False), self.leaf("type", v.aval)
        return names.setdefault(v, len(names))

    def _equation(self, equation: Any, names: dict[Any, int], opens: bool) -> Any:
        name = equation.primitive.name
        inside = {id(body) for body in bodies(equation)} if opens else set()
        params = [
            (field, self.value(value, inside))
            for field, value in sorted(equation.params.items())
            if (name, field) not in _IRRELEVANT
        ]
        given = [self._atom(v, names) for v in equation.invars]
        context = self.leaf("context", equation.ctx)
        made = [self._bind(v, names) for v in equation.outvars]
        return self.leaf("primitive", equation.primitive), context, *given, None, *params, None, *made

    def value(self, value: Any, inside: Any) -> int:
        """A parameter; ``inside`` are the jaxprs in it that can be opened."""
        if hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns"):
            return self.program(value, bool(inside) and id(value) in inside)
        if isinstance(value, functools.partial):
            value = (functools.partial, value.func, value.args, value.keywords)
        if isinstance(value, dict):
            value = sorted(value.items(), key=repr)
        if isinstance(value, (tuple, list)):
            return self.leaf(type(value), tuple(self.value(x, inside) for x in value))
        if isinstance(value, (float, complex)):
            return self.leaf(type(value), repr(value))  # -0.0 is not 0.0, and NaN is itself
        if hasattr(value, "dtype") and hasattr(value, "shape") and is_array(value):
            return self.leaf(type(value), content(value))
        return self.leaf(type(value), value)


def content(x: Any) -> Any:
    """The shape, the type and a digest of what an array holds."""
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.extended)
    data = np.asarray(jax.random.key_data(x) if is_key else x)
    weak = bool(getattr(x, "weak_type", False))
    return x.shape, str(x.dtype), weak, hashlib.blake2b(np.ascontiguousarray(data).tobytes(), digest_size=32).digest()

"""Trees, optimizers and axes as documents: JSON, and arrays beside it.

What JSON has stands for itself; all else is a list that begins with a word, such as ["tuple", 1, 2]. The words and what
follows them are in ``_Encoder``, and read back in ``decoding``.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jopt.engine.lanes.store import public
from jopt.engine.lanes.store.arrays import type_name
from jopt.engine.lanes.store.described import Described, Gone, GoneFactory
from jopt.kinds import Choice, Drawn, Grid
from jopt.values.binding import Bound, is_value
from jopt.values.names import key_name
from jopt.values.numbers import Axis
from jopt.values.schedule import Schedule

DEEPEST = 150  # how deep trees may be nested: twice as many calls as that are well within Python's limit
PYTHON_TYPES = {"bool": bool, "int": int, "float": float, "complex": complex}
_NODES: dict[type[Any], str] = {list: "list", tuple: "tuple", dict: "dict", collections.OrderedDict: "ordered"}


@dataclasses.dataclass(frozen=True, eq=False)
class Document:
    """A tree as a file holds it.

    Attributes:
      body: Of JSON's kinds only.
      arrays: Which the body names by their places here.
    """

    body: Any
    arrays: list[np.ndarray[Any, Any]]

    def text(self) -> bytes:
        """The body as text; equal trees have equal ones."""
        return json.dumps(self.body, separators=(",", ":")).encode("ascii")

    def digest(self, *more: Any) -> str:
        """A name for what the document says, the values of its arrays included; ``more`` is added by its ``repr``."""
        made = hashlib.blake2b(self.text(), digest_size=16)
        for array in self.arrays:
            made.update(repr((array.dtype.name, array.shape)).encode() + np.ascontiguousarray(array).tobytes())
        made.update(repr(more).encode())
        return made.hexdigest()


def encode(tree: Any) -> Document:
    """A tree as a document.

    Raises:
      ValueError: For a tree that is nested too deep.
    """
    encoder = _Encoder()
    return Document(encoder.of(tree), encoder.arrays)


def has_keys(x: Any) -> bool:
    """Whether an array is one of random keys."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


class _Encoder:
    """Words for what JSON lacks."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.depth = 0
        self.axes: dict[int, tuple[int, Axis]] = {}  # by identity, which an axis that stands in two places keeps
        self.groups: dict[int, tuple[int, Any]] = {}

    def of(self, x: Any) -> Any:
        if x is None or type(x) in (bool, int, float, str):
            return x
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"A tree that is nested {DEEPEST} deep is not stored; keep its arrays in fewer levels.")
        made = self._number(x) or self._container(x) or self._value(x) or self._kind(x) or self._rest(x)
        self.depth -= 1
        return made

    def _number(self, x: Any) -> Any:
        if type(x) is complex:
            return ["complex", x.real, x.imag]
        if has_keys(x):
            return ["keys", str(jax.random.key_impl(x)), self._array(np.asarray(jax.random.key_data(x)))]
        if isinstance(x, np.ndarray) and x.dtype == object:
            return ["objects", list(x.shape), *map(self.of, x.ravel().tolist())]
        if isinstance(x, (np.ndarray, np.generic, jax.Array)) and _is_stored(x.dtype):
            word = {np.ndarray: "array", jax.Array: "on device"}
            return [next((w for kind, w in word.items() if isinstance(x, kind)), "scalar"), self._array(np.asarray(x))]
        return None

    def _array(self, array: np.ndarray[Any, Any]) -> int:
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _container(self, x: Any) -> Any:
        if type(x) in (dict, collections.OrderedDict):
            return [_NODES[type(x)], *(self.of(each) for item in x.items() for each in item)]
        if type(x) in (list, tuple):
            return [_NODES[type(x)], *map(self.of, x)]
        if isinstance(x, Described):
            return ["node", x.name, list(x.keys), *map(self.of, x.children)]
        if not isinstance(x, optax.GradientTransformation) and (name := public.name_of_class(type(x))):
            return ["named", name, list(x._fields), *map(self.of, x)]
        return None

    def _value(self, x: Any) -> Any:
        if isinstance(x, Axis):
            return self._axis(x)
        if not is_value(x):
            return None
        bound: Bound = x.bound
        spec = bound.spec
        slots = [
            [slot, ["default"] if bound.is_default_function(slot, value) else self.of(value)]
            for slot, value in bound.arguments().items()
        ]
        kind = "schedule" if isinstance(x, Schedule) else "optimizer"
        return [kind, public.name_of_factory(spec.factory) or _gone(spec.factory), spec.positional, *slots]

    def _axis(self, axis: Axis) -> Any:
        if id(axis) in self.axes:
            return ["axis", self.axes[id(axis)][0]]
        number = len(self.axes)
        self.axes[id(axis)] = number, axis
        if isinstance(axis, Drawn):
            return ["drawn", number, axis.name, axis.log, *axis.values]
        if not isinstance(axis, (Grid, Choice)):
            return ["gone", described(axis), False]
        group = None if axis.group is axis else self.groups.setdefault(id(axis.group), (len(self.groups), axis.group))[0]
        word = axis.kind or ("grid" if isinstance(axis, Grid) else "choice")
        return [word, number, axis.name, group, *map(self.of, axis.values)]

    def _kind(self, x: Any) -> Any:
        """Types of numbers, as arguments such as ``mu_dtype`` take them."""
        if isinstance(x, np.dtype) and _is_stored(x):
            return ["dtype", type_name(x)]
        if isinstance(x, type(jnp.float32)):
            return ["jax type", type_name(x.dtype)]
        if isinstance(x, type) and issubclass(x, np.generic) and _is_stored(np.dtype(x)):
            return ["numpy type", type_name(np.dtype(x))]
        python = next((name for name, kind in PYTHON_TYPES.items() if kind is x), None)
        return python and ["python type", python]

    def _rest(self, x: Any) -> Any:
        if callable(x) and (name := public.name_of_function(x)):
            return ["function", name]
        if isinstance(x, optax.GradientTransformation):
            return ["pair", described(x)]
        if jax.tree_util.all_leaves([x]):
            return ["gone", described(x), x.called if isinstance(x, Gone) else hasattr(x, "__name__")]
        children = children_of(x)
        return [
            "node",
            f"{type(x).__module__}.{type(x).__qualname__}",
            [k for k, _ in children],
            *(self.of(c) for _, c in children),
        ]


def described(x: Any) -> str:
    """What something is called: its module and name, or how it reads."""
    if isinstance(x, Gone):
        return x.name
    if isinstance(x, optax.GradientTransformation):  # its functions say who made it
        return described(x.init).partition(".<locals>")[0]
    if isinstance(name := getattr(x, "__qualname__", None), str):
        return f"{getattr(x, '__module__', None)}.{name}"
    return re.sub(" at 0x[0-9a-f]+", "", repr(x))[:200]


def _gone(factory: Any) -> list[Any]:
    function = factory.function
    home = function.home if isinstance(function, GoneFactory) else described(function)
    evaluates = None if factory.evaluates is None else sorted(factory.evaluates)
    return [factory.name, sorted(factory.switches), evaluates, home]


def _is_stored(dtype: Any) -> bool:
    try:
        type_name(dtype)
    except TypeError:
        return False
    return True


def children_of(x: Any) -> list[tuple[str, Any]]:
    """The children of a node of a tree, by name; none of a leaf."""
    found = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)[0]
    return [(key_name(path[0]), child) for path, child in found if path]

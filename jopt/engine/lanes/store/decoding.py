"""Documents as trees, optimizers and axes again. Nothing of a document is run, and what it names is looked up in ``public``."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.lanes.store import public
from jopt.engine.lanes.store.arrays import type_of
from jopt.engine.lanes.store.described import Described, Gone, GoneFactory, gone_factory
from jopt.engine.lanes.store.encoding import DEEPEST, PYTHON_TYPES, children_of
from jopt.kinds import Choice, Drawn, Grid
from jopt.transformation import GradientTransformation, from_bound
from jopt.values.binding import Bound, bind, rebuild
from jopt.values.factory import Factory
from jopt.values.numbers import Axis
from jopt.values.schedule import Schedule
from jopt.values.trees import flatten

Array = Callable[[int], np.ndarray[Any, Any]]


class Unlike(ValueError):
    """What was given as ``like`` is not of the structure of what is read."""


def decode(body: Any, arrays: Array, like: Any = None) -> Any:
    """The tree of a document.

    Args:
      body: Of JSON's kinds.
      arrays: The arrays beside it, by their places.
      like: A tree with the user's classes; nodes of the body that are of one of them, with the same children, become such.

    Raises:
      ValueError: For what is no document, and for a class that ``like`` has with other children.
    """
    return _Decoder(arrays, like).of(body, like)


class _Decoder:
    """Reads the words of ``encoding``."""

    def __init__(self, arrays: Array, like: Any) -> None:
        self.arrays, self.like = arrays, like
        self.depth = 0
        self.axes: dict[int, Axis] = {}
        self.groups: dict[int, object] = {}

    def of(self, body: Any, like: Any = None) -> Any:
        if body is None or isinstance(body, (bool, int, float, str)):
            return body
        if not isinstance(body, list) or not body or not isinstance(word := body[0], str):
            raise ValueError(f"it has no such thing as {body!r:.40}")
        read = getattr(self, f"_{word.replace(' ', '_')}_", None)
        if read is None or "_" in word:
            raise ValueError(f"it has a {word!r:.40}, which this jopt does not know")
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("it is nested too deep")
        made = read(like, *body[1:])
        self.depth -= 1
        return made

    # Numbers.

    def _complex_(self, _: Any, real: float, imag: float) -> complex:
        return complex(real, imag)

    def _array_(self, _: Any, place: int) -> Any:
        return self.arrays(place)

    def _scalar_(self, _: Any, place: int) -> Any:
        return self.arrays(place)[()]

    def _on_device_(self, _: Any, place: int) -> Any:
        return jnp.asarray(self.arrays(place))

    def _keys_(self, _: Any, kind: str, place: int) -> Any:
        return jax.random.wrap_key_data(jnp.asarray(self.arrays(place)), impl=kind)

    def _objects_(self, _: Any, shape: Sequence[int], *values: Any) -> Any:
        array = np.empty(len(values), object)
        array[:] = [self.of(x) for x in values]
        return array.reshape(shape)

    # Containers.

    def _list_(self, like: Any, *items: Any) -> Any:
        return self._items(like, list, items)

    def _tuple_(self, like: Any, *items: Any) -> Any:
        return tuple(self._items(like, tuple, items))

    def _items(self, like: Any, kind: type[Any], items: Sequence[Any]) -> list[Any]:
        beside = self._beside(like, lambda x: type(x) is kind and len(x) == len(items))
        return [self.of(x, None if beside is None else beside[i]) for i, x in enumerate(items)]

    def _dict_(self, like: Any, *items: Any) -> Any:
        return self._pairs(like, dict, items)

    def _ordered_(self, like: Any, *items: Any) -> Any:
        return self._pairs(like, collections.OrderedDict, items)

    def _pairs(self, like: Any, kind: type[Any], items: Sequence[Any]) -> Any:
        keys = [self.of(key) for key in items[::2]]
        beside = self._beside(like, lambda x: type(x) is kind and set(x) == set(keys))
        made = zip(keys, items[1::2], strict=True)
        return kind((key, self.of(x, None if beside is None else beside[key])) for key, x in made)

    def _named_(self, like: Any, name: str, fields: Sequence[str], *items: Any) -> Any:
        kind = public.class_of(name)
        if kind is None or list(kind._fields) != list(fields):
            return self._node_(like, name, fields, *items)
        beside = self._beside(like, lambda x: type(x) is kind)
        return kind(*(self.of(x, None if beside is None else beside[i]) for i, x in enumerate(items)))

    def _node_(self, like: Any, name: str, keys: Sequence[str], *items: Any) -> Any:
        beside = self._beside(like, lambda x: f"{type(x).__module__}.{type(x).__qualname__}" == name)
        if beside is None:
            return Described(str(name), tuple(map(str, keys)), tuple(map(self.of, items)))
        known = children_of(beside)
        if [key for key, _ in known] != list(keys):
            raise Unlike(
                f"like: a {name} in the file has {', '.join(map(str, keys))}, but the one that was given as like= has "
                f"{', '.join(key for key, _ in known)}."
            )
        _, structure = flatten(beside, is_leaf=lambda x: x is not beside)
        return structure.unflatten([self.of(x, child) for x, (_, child) in zip(items, known, strict=True)])

    def _beside(self, like: Any, fits: Callable[[Any], bool]) -> Any:
        """What stands in ``like`` where something is read: states hold trees in the form of the parameters, somewhere."""
        return next((x for x in (like, self.like) if x is not None and fits(x)), None)

    # Optimizers, schedules and axes.

    def _optimizer_(self, _: Any, *known: Any) -> Any:
        return from_bound(self._bound(*known))

    def _schedule_(self, _: Any, *known: Any) -> Any:
        return Schedule(self._bound(*known))

    def _bound(self, named: Sequence[Any], positional: int, *slots: Sequence[Any]) -> Bound:
        factory = None if len(named) == 4 else public.factory_of(named)
        values = [factory.default(n) if factory and v == ["default"] else self.of(v) for n, v in slots]
        names = tuple(str(name) for name, _ in slots)
        if factory is not None:
            with contextlib.suppress(TypeError):  # of arguments that this version does not have
                return bind(factory, *_call(factory, names, values, positional))
        other = f"another version of {named[0]}" if factory else str(named[0])
        gone = _gone_factory(named if len(named) == 4 else [named[0].rpartition(".")[2], [], None, other])
        return rebuild(gone, values, names, positional)

    def _axis_(self, _: Any, number: int) -> Axis:
        return self.axes[number]

    def _grid_(self, _: Any, number: int, name: str | None, group: int | None, *values: Any) -> Axis:
        return self._put(number, Grid(map(self.of, values), name, self._group(group)))

    def _linspace_(self, _: Any, number: int, name: str | None, group: int | None, *values: Any) -> Axis:
        return self._put(number, Grid(map(self.of, values), name, self._group(group), "linspace"))

    def _geomspace_(self, _: Any, number: int, name: str | None, group: int | None, *values: Any) -> Axis:
        return self._put(number, Grid(map(self.of, values), name, self._group(group), "geomspace"))

    def _choice_(self, _: Any, number: int, name: str | None, group: int | None, *values: Any) -> Axis:
        return self._put(number, Choice(map(self.of, values), name, self._group(group)))

    def _drawn_(self, _: Any, number: int, name: str | None, log: bool, low: float, high: float) -> Axis:
        whole = isinstance(low, int) and isinstance(high, int)
        return self._put(number, Drawn(low, high, log=log, whole=whole, name=name))

    def _put(self, number: int, axis: Axis) -> Axis:
        self.axes[number] = axis
        return axis

    def _group(self, group: int | None) -> object | None:
        return None if group is None else self.groups.setdefault(group, object())

    # What is public, and what is gone.

    def _dtype_(self, _: Any, name: str) -> Any:
        return type_of(name)

    def _jax_type_(self, _: Any, name: str) -> Any:
        return getattr(jnp, "bool_" if (kind := type_of(name)).kind == "b" else kind.name)

    def _numpy_type_(self, _: Any, name: str) -> Any:
        return type_of(name).type

    def _python_type_(self, _: Any, name: str) -> Any:
        return PYTHON_TYPES[name]

    def _function_(self, _: Any, name: str) -> Any:
        return public.function_of(name) or Gone(str(name))

    def _pair_(self, _: Any, name: str) -> Any:
        return GradientTransformation(Gone(str(name)), Gone(str(name)))

    def _default_(self, _: Any) -> Any:
        return Gone("the default of an argument")

    def _gone_(self, _: Any, name: str, called: bool) -> Any:
        return Gone(str(name), bool(called))


def _gone_factory(named: Sequence[Any]) -> Factory:
    name, static, evaluates, home = named
    return gone_factory(
        GoneFactory(str(home), str(name)), frozenset(static), None if evaluates is None else frozenset(evaluates)
    )


def _call(factory: Factory, names: Sequence[str], values: Sequence[Any], positional: int) -> tuple[Any, dict[str, Any]]:
    """How a factory is called with what stands in the file: by name, but for the parts of a chain."""
    if any(p.kind is p.VAR_POSITIONAL for p in factory.signature.parameters.values()):
        return values[:positional], dict(zip(names[positional:], values[positional:], strict=True))
    return (), dict(zip(names, values, strict=True))

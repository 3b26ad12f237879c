"""A factory with its arguments bound: numbers are leaves, everything else is structure."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import GetAttrKey, PyTreeDef

from jopt.values import require
from jopt.values.factory import Factory, Kept
from jopt.values.names import key_name
from jopt.values.numbers import Axis, as_float, check_domain, is_number
from jopt.values.trees import is_function


@dataclasses.dataclass(frozen=True)
class Static:
    """A leaf that is structure, compared by value where it can be hashed and by identity where it cannot."""

    value: Any

    @functools.cached_property
    def _key(self) -> Any:
        try:
            hash(self.value)
        except TypeError:
            return id(self.value)
        return (type(self.value), self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and bool(self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)


@dataclasses.dataclass(frozen=True)
class Spec:
    """The structure of a bound factory: everything but its numbers."""

    factory: Factory
    slots: tuple[str, ...]  # one per argument, in call order; parts of *args under their own names
    positional: int  # how many of them are passed by position
    treedefs: tuple[PyTreeDef, ...]
    statics: tuple[tuple[Static | None, ...], ...]  # per slot and leaf: None where the leaf is a number
    paths: tuple[str, ...]  # one per number

    @functools.cached_property
    def _hash(self) -> int:
        return hash((id(self.factory), self.slots, self.treedefs, self.statics))

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def keys(self) -> tuple[GetAttrKey, ...]:
        return tuple(GetAttrKey(path) for path in self.paths)

    def fill(self, leaves: Iterable[Any]) -> list[Any]:
        """The argument of every slot, with ``leaves`` for its numbers."""
        numbers = iter(leaves)
        return [
            treedef.unflatten([next(numbers) if s is None else s.value for s in statics])
            for treedef, statics in zip(self.treedefs, self.statics, strict=True)
        ]


class Bound:
    """A factory and its arguments: the part that a transformation and a schedule share."""

    __slots__ = ("__weakref__", "leaves", "spec")

    def __init__(self, spec: Spec, leaves: tuple[Any, ...]) -> None:
        self.spec = spec
        self.leaves = leaves

    def arguments(self) -> dict[str, Any]:
        return dict(zip(self.spec.slots, self.spec.fill(self.leaves), strict=True))

    def call(self, values: Sequence[Any] | None = None) -> Any:
        """What the factory makes of its arguments (``values`` in their place, if given)."""
        spec = self.spec
        values = spec.fill(self.leaves) if values is None else values
        words = dict(zip(spec.slots[spec.positional :], values[spec.positional :], strict=True))
        return spec.factory.function(*values[: spec.positional], **words)

    def hyperparams(self) -> dict[str, Any]:
        return _plain(self.arguments()) or {}

    def check(self) -> None:
        """Checks every concrete number against the range of its argument, nested values included."""
        factory = self.spec.factory
        for name, value in self.arguments().items():
            factory.check_part(name, value)
            _check_argument(factory, name, value)

    def _key(self) -> tuple[Any, ...]:
        return tuple((type(x), x) if isinstance(x, (int, float, complex, np.number)) else (None, id(x)) for x in self.leaves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and self.spec == other.spec and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.spec, self._key()))

    def __repr__(self) -> str:
        factory = self.spec.factory
        variadic = any(p.kind is p.VAR_POSITIONAL for p in factory.signature.parameters.values())
        shown = [
            _show(value) if variadic else f"{name}={_show(value)}"
            for name, value in self.arguments().items()
            if _holds_number(value) or (jax.tree.leaves(value) and not _is(value, factory.default(name)))
        ]
        return f"{factory.name}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        spec = self.spec
        values = tuple(_Default if self.is_default_function(name, value) else value for name, value in self.arguments().items())
        return _restore, (spec.factory, values, spec.slots, spec.positional)

    def is_default_function(self, name: str, value: Any) -> bool:
        """Whether a function, or a pair of them, is the default: it may be a lambda, which can't be pickled."""
        leaves, defaults = jax.tree.leaves(value), jax.tree.leaves(self.spec.factory.default(name))
        same = len(leaves) == len(defaults) and all(x is y for x, y in zip(leaves, defaults, strict=True))
        return same and bool(leaves) and all(map(callable, leaves))


def bind(factory: Factory, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound:
    """Binds a call's arguments to ``factory``, and checks the concrete numbers among them."""
    try:
        call = factory.signature.bind(*map(_taken, args), **{name: _taken(x) for name, x in kwargs.items()})
    except TypeError as error:
        raise TypeError(f"{factory.name}: {error}.") from None
    call.apply_defaults()
    words = list(call.kwargs)
    named = [n for n, p in factory.signature.parameters.items() if p.kind is not p.VAR_POSITIONAL]
    slots = named[: len(call.args)]
    slots += _part_names(call.args[len(slots) :]) if len(call.args) > len(slots) else []
    for slot, value in zip((*slots, *words), (*call.args, *call.kwargs.values()), strict=True):
        require.tree(f"{factory.name}: {slot}", value)
    bound = rebuild(factory, (*call.args, *call.kwargs.values()), (*slots, *words), len(call.args))
    bound.check()
    return bound


def _taken(x: Any) -> Any:
    return x.value if isinstance(x, Kept) else x


class _Default:
    """Stands for an argument's default in a pickle."""


def _restore(factory: Factory, values: Sequence[Any], slots: tuple[str, ...], positional: int) -> Bound:
    whole = [factory.default(slot) if value is _Default else value for slot, value in zip(slots, values, strict=True)]
    return rebuild(factory, whole, slots, positional)


def rebuild(factory: Factory, values: Sequence[Any], slots: tuple[str, ...], positional: int) -> Bound:
    """A factory bound to the arguments of its slots; what is no number among them is structure, an axis too."""
    treedefs, statics, paths, numbers = [], [], [], []
    for slot, value in zip(slots, values, strict=True):
        if not factory.lifted and slot not in factory.switches:  # the parts of a chain have theirs as they need them
            value = jax.tree.map(lambda x: x if is_value(x) else as_float(x), value, is_leaf=is_value)
        leaves, treedef = jax.tree_util.tree_flatten_with_path(value)
        kept = [None if is_number(x) and slot not in factory.switches else Static(x) for _, x in leaves]
        treedefs.append(treedef)
        statics.append(tuple(kept))
        for (path, x), static in zip(leaves, kept, strict=True):
            if static is None:
                paths.append(".".join([slot, *map(key_name, path)]))
                numbers.append(x)
    spec = Spec(factory, slots, positional, tuple(treedefs), tuple(statics), tuple(paths))
    return Bound(spec, tuple(numbers))


def is_value(x: object) -> bool:
    """Whether ``x`` is a jopt value: a transformation or a schedule that carries its arguments."""
    return isinstance(getattr(x, "bound", None), Bound)


def hyperparams(tree: Any) -> dict[str, Any]:
    """The numbers of a value, or of a tree of values, by name: keys of dicts, fields, and in sequences the names of rules."""
    if hasattr(tree, "hyperparams"):
        own: dict[str, Any] = tree.hyperparams
        return own
    if isinstance(tree, Mapping):
        return {key: hyperparams(child) for key, child in tree.items()}
    if type(tree) in (tuple, list):
        return {name: hyperparams(child) for name, child in zip(_part_names(tree), tree, strict=True)}
    children = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)[0]
    return {key_name(path[0]): hyperparams(child) for path, child in children if path}


def is_pair(x: Any) -> bool:
    """Whether ``x`` is a transformation, jopt's or Optax's."""
    return isinstance(x, optax.GradientTransformation)


def _is_whole(x: Any) -> bool:
    """Whether an argument, or a part of one, is checked as it is and not taken apart."""
    return is_value(x) or is_pair(x)


def _check_argument(factory: Factory, argument: str, value: Any) -> None:
    """Checks every number of an argument, and every value that an axis of structure may put there."""
    if value is None and factory.takes_none(argument):
        return
    factory.check_kind(argument, value)
    leaves: list[Any] = [None] if value is None else jax.tree.leaves(value, is_leaf=_is_whole)
    for leaf in leaves:
        if isinstance(leaf, Axis) and not leaf.numeric:
            for each in leaf.values:
                _check_argument(factory, argument, each)
        elif factory.is_numeric(argument) and (isinstance(leaf, type) or is_pair(leaf)):
            require.number(f"{factory.name}: {argument}", leaf)
        elif is_value(leaf):
            leaf.bound.check()
        else:
            _check_leaf(factory, argument, leaf)


def _check_leaf(factory: Factory, argument: str, x: Any) -> None:
    """Checks a number against its range, and that a function does not stand for a number without a word about it."""
    if not is_function(x) or (factory.evaluates is None and not factory.lifted):
        return check_domain(factory.name, argument, x, factory.domain.get(argument), real=factory.is_numeric(argument))
    declared = factory.lifted or argument in factory.schedules or factory.hands_on(argument)
    if declared or isinstance(x, type) or not factory.expects_number(argument):
        return None
    raise TypeError(
        f"{factory.name}: {argument} is a plain function. If it is a schedule, make it one with @jopt.schedule, or declare the "
        f"argument where the rule is written, @jopt.transformation(schedules=({argument!r},)); if it is structure, declare "
        f"static=({argument!r},) there."
    )


def _part_names(parts: Sequence[Any]) -> list[str]:
    names: list[str] = []
    for part in parts:
        init = getattr(part, "init", part)
        name = part.bound.spec.factory.name if is_value(part) else getattr(init, "__qualname__", "part").split(".")[0]
        taken = sum(n == name or (n.startswith(f"{name}_") and n[len(name) + 1 :].isdigit()) for n in names)
        names.append(f"{name}_{taken + 1}" if taken else name)
    return names


def _plain(value: Any) -> Any:
    """The numbers of one argument: a number, or a dict of them by name, without the structure."""
    if is_value(value):
        return value.bound.hyperparams() or None
    if is_number(value):
        return value
    if isinstance(value, Mapping):
        return {k: plain for k, v in value.items() if (plain := _plain(v)) is not None} or None
    numbers = [x for x in jax.tree.leaves(value) if is_number(x)]
    return numbers or None


def _holds_number(value: Any) -> bool:
    return any(is_number(x) or is_value(x) for x in jax.tree.leaves(value, is_leaf=is_value))


def _is(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str) and isinstance(default, str) and value == default)


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_show(x)}' for key, x in value.items())}}}"
    if isinstance(value, (jax.Array, np.ndarray)) and np.ndim(value) > 0:
        return f"{value.dtype}{list(np.shape(value))}"
    if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
        return repr(value.item()) if jnp.issubdtype(value.dtype, np.generic) else repr(value)  # random keys have no item
    if callable(value) and hasattr(value, "__name__") and not is_value(value):
        return str(value.__name__)
    return repr(value)

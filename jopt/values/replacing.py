"""Other numbers, or other arguments, in the place of a value's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from jopt.values import require
from jopt.values.binding import Bound, is_pair, is_value, rebuild
from jopt.values.names import find, key_name, named
from jopt.values.numbers import as_float, is_number


def replaced(bound: Bound, changes: Mapping[str, Any]) -> Bound:
    """A factory bound to other arguments: numbers by name or path, which keep the structure, and any others likewise."""
    for name, value in changes.items():
        require.tree(f"replace: {name}", value)
        arguments = [*arguments_of(bound)]
        of_number = is_number(value) and (named(name, bound.spec.paths) or not named(name, arguments))
        bound = _with_number(bound, name, value) if of_number else _with_argument(bound, _path(bound, name, value), value)
    bound.check()
    return bound


def _with_number(bound: Bound, name: str, value: Any) -> Bound:
    leaves = list(bound.leaves)
    index = find(name, bound.spec.paths, bound.spec.factory.name)
    kept = bound.spec.factory.lifted or isinstance(leaves[index], int)  # a seed of a lifted part, say
    leaves[index] = value if kept else as_float(value)
    return Bound(bound.spec, tuple(leaves))


def _path(bound: Bound, name: str, value: Any) -> str:
    arguments, owner = [*arguments_of(bound)], bound.spec.factory.name
    if any(map(is_pair, jax.tree.leaves(value, is_leaf=is_pair))):
        raise TypeError(
            f"replace({name}=...) takes what stands for an argument of a rule, but got {require.shown(value)}; to put other "
            f"rules together, build the value again: {owner}(...)."
        )
    return arguments[find(name, arguments, owner, "argument")]


def arguments_of(bound: Bound) -> Iterator[str]:
    """The paths of all arguments but those that hold rules: of these, theirs."""
    for slot, value in bound.arguments().items():
        inner = _values_in(slot, value)
        if not any(map(is_pair, jax.tree.leaves(value, is_leaf=is_pair))):
            yield slot
        yield from (f"{path}.{name}" for path, part in inner.items() for name in arguments_of(part.bound))


def _values_in(slot: str, value: Any) -> dict[str, Any]:
    """The rules and schedules in an argument, by path."""
    found = jax.tree_util.tree_flatten_with_path(value, is_leaf=is_value)[0]
    return {".".join([slot, *map(key_name, path)]): x for path, x in found if is_value(x)}


def _with_argument(bound: Bound, path: str, value: Any) -> Bound:
    """A factory bound anew, to another value of one argument, its own or that of a value among its arguments."""
    arguments = {slot: _inside(slot, old, path, value) for slot, old in bound.arguments().items()}
    return rebuild(bound.spec.factory, [*arguments.values()], bound.spec.slots, bound.spec.positional)


def _inside(slot: str, old: Any, path: str, value: Any) -> Any:
    if path == slot:
        return value

    def changed(keys: Any, part: Any) -> Any:
        start = ".".join([slot, *map(key_name, keys)]) + "."
        if not (is_value(part) and path.startswith(start) and path.removeprefix(start) in arguments_of(part.bound)):
            return part
        of_bound = part.__reduce__()[0]  # a rule or a schedule: what makes it of its bound factory
        return of_bound(_with_argument(part.bound, path.removeprefix(start), value))

    return jax.tree_util.tree_map_with_path(changed, old, is_leaf=is_value)

"""What a file names instead of holding it: public functions, optimizers' factories and classes of jopt, Optax and JAX.

A name is looked up among these and nowhere else, so that reading a file runs none of its code, and imports nothing.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt import optimizers, schedules, transforms
from jopt.lifting import lifted_factory
from jopt.values.factory import Factory

_ROOMS = (optimizers, transforms, schedules)
_OPTAX = (optax, optax.contrib, optax.schedules, optax.transforms)


@functools.cache
def _factories() -> dict[str, Factory]:
    """Jopt's own factories by name: those that are public, and those behind public functions, such as ``named_chain``'s."""
    homes = tuple(f"{room.__name__}." for room in _ROOMS)
    modules = [vars(module) for name, module in list(sys.modules.items()) if name.startswith(homes)]
    made = [value for module in modules for value in module.values() if isinstance(getattr(value, "factory", None), Factory)]
    return {value.factory.name: value.factory for value in made}


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    """Public functions by name; of a function with several names the first."""
    found: dict[str, Callable[..., Any]] = {}
    for module in (*_ROOMS, *_OPTAX, jax.nn, jnp):
        of = "jopt" if module in _ROOMS else module.__name__
        found.update({f"{of}.{name}": value for name, value in vars(module).items() if _is_function(name, value)})
    return found


def _is_function(name: str, value: Any) -> bool:
    inner = value.func if isinstance(value, functools.partial) else value  # optax.nadam is one
    home = str(getattr(inner, "__module__", "")).partition(".")[0]
    return not name.startswith("_") and callable(value) and not isinstance(value, type) and home in ("jopt", "optax", "jax")


@functools.cache
def _classes() -> dict[str, type[Any]]:
    """The named tuples that are states of jopt's and Optax's optimizers, by name, a public one where there is one."""
    inner = [(name, module) for name, module in list(sys.modules.items()) if name.split(".")[0] in ("jopt", "optax")]
    modules = [*((module.__name__, module) for module in _OPTAX), *inner]
    found: dict[str, type[Any]] = {}
    known: set[int] = set()
    for name, module in modules:
        for value in list(vars(module).values()):
            if is_named_tuple(value) and id(value) not in known:
                known.add(id(value))
                public = any(module is each for each in _OPTAX)
                found[f"{name if public else value.__module__}.{value.__name__}"] = value
    return found


def is_named_tuple(kind: Any) -> bool:
    """Whether a class is one of named tuples, and a tree of its fields."""
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def name_of_class(kind: type[Any]) -> str | None:
    """The name of a public named tuple; None where it is none."""
    return _turned(_classes).get(id(kind))


def class_of(name: Any) -> type[Any] | None:
    """The named tuple of a name; None where there is none here."""
    return _classes().get(name) if isinstance(name, str) else None


def name_of_function(function: Any) -> str | None:
    """The name of a public function; None where it has none."""
    name = _turned(_functions).get(id(function))
    if name is None and isinstance(function, functools.partial):  # another one that is equal, as after unpickling
        equal = (n for n, f in _functions().items() if isinstance(f, functools.partial) and _parts(f) == _parts(function))
        return next(equal, None)
    return name


def function_of(name: Any) -> Callable[..., Any] | None:
    """The public function of a name; None where there is none here."""
    return _functions().get(name) if isinstance(name, str) else None


def name_of_factory(factory: Factory) -> list[Any] | None:
    """What names a factory: of jopt's own the name, of a lifted one its function and what is known of it; None: nothing."""
    if not factory.lifted:
        return [f"jopt.{factory.name}"] if _factories().get(factory.name) is factory else None
    name = name_of_function(factory.function)
    if name is None or not name.startswith("optax."):
        return None
    return [name, sorted(factory.static), None if factory.evaluates is None else sorted(factory.evaluates)]


def factory_of(named: Any) -> Factory | None:
    """The factory that something names; None where there is none here."""
    name, *known = named
    if not known:
        return _factories().get(name.removeprefix("jopt."))
    static, evaluates = known
    function = function_of(name)
    if function is None or not name.startswith("optax."):
        return None
    return lifted_factory(function, frozenset(static), None if evaluates is None else frozenset(evaluates))


def _parts(function: functools.partial[Any]) -> tuple[Any, ...]:
    return function.func, function.args, function.keywords


@functools.cache
def _turned(names: Callable[[], Mapping[str, Any]]) -> dict[int, str]:
    """Names by the identity of what they name; the first name of each."""
    return {id(value): name for name, value in reversed(list(names().items()))}

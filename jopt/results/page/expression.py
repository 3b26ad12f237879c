"""An optimizer as the line of code that makes it."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Collection, Mapping
from typing import Any

import optax

from jopt import optimizers, schedules, transforms
from jopt.values.binding import Bound, is_value
from jopt.values.factory import Factory

PLAIN = (bool, int, float, str)


def expression(value: Any, swept: Collection[str] = ()) -> str | None:
    """A line of public functions that evaluates to a value, or to a tree of them; None where there is none.

    Arguments that have their default are left out, but for those that were swept.
    """
    try:
        line = _written(value, swept)
        same = eval(line, {"jopt": importlib.import_module("jopt"), "optax": optax}) == value
    except Exception:  # user's classes, compared
        return None
    return line if same is True else None


def _written(value: Any, swept: Collection[str]) -> str:
    if is_value(value):
        return _call(value.bound, swept)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_written(k, swept)}: {_written(x, swept)}' for k, x in value.items())}}}"
    if type(value) in (tuple, list):
        parts = [_written(x, swept) for x in value]
        ends = "[]" if isinstance(value, list) else "()"
        return ends[0] + ", ".join(parts) + ("," if parts[1:] == [] and type(value) is tuple and parts else "") + ends[1]
    if value is not None and type(value) not in PLAIN:
        raise ValueError(f"{value!r} is no plain value.")
    return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _call(bound: Bound, swept: Collection[str]) -> str:
    """A factory called with its arguments: by name, but for a part of ``*args``, and what stands before it."""
    spec, factory = bound.spec, bound.spec.factory
    arguments = list(bound.arguments().items())
    variadic = any(p.kind is p.VAR_POSITIONAL for p in factory.signature.parameters.values())
    first = spec.positional if variadic else 0
    given = [_written(value, swept) for _, value in arguments[:first]]
    words = [(name, value) for name, value in arguments[first:] if name in swept or not _is_default(factory, name, value)]
    return f"{_name(factory)}({', '.join([*given, *(f'{name}={_written(value, swept)}' for name, value in words)])})"


def _is_default(factory: Factory, name: str, value: Any) -> bool:
    default = factory.default(name)
    if default is inspect.Parameter.empty:
        return False
    plain = isinstance(value, PLAIN) and isinstance(default, PLAIN)
    return value is default or (plain and value == default and isinstance(value, bool) == isinstance(default, bool))


def _name(factory: Factory) -> str:
    """How a user calls it."""
    if factory.lifted:
        rooms = {"optax": optax, "optax.contrib": optax.contrib}
        found = [f"{room}.{name}" for room, module in rooms.items() for name, x in vars(module).items() if x is factory.function]
        return f"jopt.lift({found[0]})"
    name = factory.function.__name__
    if not any(getattr(getattr(room, name, None), "factory", None) is factory for room in (optimizers, transforms, schedules)):
        raise ValueError(f"{factory.name} is not jopt's own.")
    return f"jopt.{name}"

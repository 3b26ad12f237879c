"""An optimizer as the line of code that makes it."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import optax

from jopt import optimizers, schedules, transforms
from jopt.transforms.matching import Matching
from jopt.values.binding import Bound, is_value
from jopt.values.factory import Factory

PLAIN = (bool, int, float, str)


def expression(value: Any, swept: Collection[str] = ()) -> str | None:
    """A line of public functions that evaluates to a value, or to a tree of them; None where there is none.

    It takes ``jopt``, ``optax`` and ``jnp``. Arguments that have their default are left out, but for those that were swept.
    """
    try:
        line = _written(value, swept)
        same = eval(line, {"jopt": importlib.import_module("jopt"), "optax": optax, "jnp": jnp}) == value
    except Exception:  # of classes of the user's, which are compared here, and of what has no line
        return None
    return line if same is True else None


def _written(value: Any, swept: Collection[str]) -> str:
    if is_value(value):
        return _call(value.bound, swept)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_written(k, swept)}: {_written(x, swept)}' for k, x in value.items())}}}"
    if type(value) in (tuple, list):
        parts = [_written(x, swept) for x in value]
        if isinstance(value, list):
            return f"[{', '.join(parts)}]"
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    if isinstance(value, Matching):
        return f"jopt.{value!r}"
    name = getattr(value, "__name__", "")
    if isinstance(value, type) and getattr(jnp, name, None) is value:
        return f"jnp.{name}"
    if value is not None and type(value) not in PLAIN:
        raise ValueError(f"{value!r} is no plain value.")
    return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _call(bound: Bound, swept: Collection[str]) -> str:
    """A factory called with its arguments: by name, but for a part of ``*args``, and what stands before it."""
    spec, factory, arguments = bound.spec, bound.spec.factory, bound.arguments()
    parameters = factory.signature.parameters.values()
    first = spec.positional if any(p.kind is p.VAR_POSITIONAL for p in parameters) else 0
    given = list(arguments.values())[:first]
    words = dict(list(arguments.items())[first:])
    if any(p.kind is p.VAR_KEYWORD for p in parameters):  # named_chain
        given, words = list(words.items()), {}
    if "boundaries" in words and "scales" in words:  # piecewise_constant_schedule, whose caller gives them together
        pairs = dict(zip(words.pop("boundaries"), words.pop("scales"), strict=True))
        words["boundaries_and_scales"] = pairs
    kept = {name: x for name, x in words.items() if name in swept or not _is_default(factory, name, x)}
    parts = [_written(x, swept) for x in given] + [f"{name}={_written(x, swept)}" for name, x in kept.items()]
    return f"{_name(factory)}({', '.join(parts)})"


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
        found = [
            f"{room}.{name}" for room, module in rooms.items() for name, x in vars(module).items() if x is factory.function
        ]
        return f"jopt.lift({found[0]})"
    if not any(hasattr(room, factory.name) for room in (optimizers, transforms, schedules)):
        raise ValueError(f"{factory.name} is not jopt's own.")
    return f"jopt.{factory.name}"

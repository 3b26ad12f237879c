"""What somebody else's factory does with its arguments, by trial: numbers that it needs in Python, schedules that it takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.values.axed import first_values
from jopt.values.binding import is_value
from jopt.values.factory import Factory
from jopt.values.numbers import is_number

_PARAMS = {
    "b": jax.ShapeDtypeStruct((3,), jnp.float32),
    "w": jax.ShapeDtypeStruct((4, 3), jnp.float32),
}


class Found(NamedTuple):
    """What a trial says about the arguments of a factory."""

    static: frozenset[str]  # numbers that are structure
    evaluates: frozenset[str] | None  # arguments whose schedules the factory evaluates itself; None: all


_found: dict[tuple[Factory, tuple[str, ...], tuple[str, ...]], Found] = {}


def probe(factory: Factory, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Found:
    """What ``factory`` needs as structure, and which schedules it does not take, by trial traces on a small tree.

    The traces run once per factory and set of numeric and scheduled arguments. Whatever fails without any tracer (an update
    that needs arguments of its own, say) is left out of the trial.
    """
    call = factory.signature.bind(*args, **kwargs)
    call.apply_defaults()
    # In nested values too: a part with an axis in it can't be tried.
    arguments = {k: first_values(v) for k, v in call.arguments.items()}
    numbers = {k: v for k, v in arguments.items() if _is_numeric(v) and k not in factory.static}
    schedules = tuple(k for k, v in arguments.items() if _holds_schedule(v))
    key = (factory, tuple(numbers), schedules)
    if key not in _found:
        evaluated = _evaluated(factory, arguments, schedules)
        static = _structural(_trials(factory, _at_start(arguments, evaluated)), numbers)
        left = frozenset(factory.signature.parameters) - evaluated if evaluated else None
        _found[key] = Found(factory.static | static, left)
    return _found[key]


def _is_numeric(value: Any) -> bool:
    """Whether an argument is a number or a container of numbers only; another value takes tracers anyhow."""
    leaves = jax.tree.leaves(value)
    return bool(leaves) and not is_value(value) and all(map(is_number, leaves))


def _is_schedule(x: Any) -> bool:
    return is_value(x) and callable(x)


def _is_part(x: Any) -> bool:
    return isinstance(x, optax.GradientTransformation)


def _holds_schedule(value: Any) -> bool:
    return any(map(_is_schedule, jax.tree.leaves(value, is_leaf=lambda x: _is_schedule(x) or _is_part(x))))


def _at_start(arguments: Mapping[str, Any], evaluated: frozenset[str]) -> dict[str, Any]:
    """The arguments with the first value of every schedule in the ones that are evaluated."""

    def start(x: Any) -> Any:
        return x(jnp.zeros([], jnp.int32)) if _is_schedule(x) else x

    return {
        k: jax.tree.map(start, v, is_leaf=lambda x: _is_schedule(x) or _is_part(x)) if k in evaluated else v
        for k, v in arguments.items()
    }


def _evaluated(factory: Factory, arguments: Mapping[str, Any], schedules: Sequence[str]) -> frozenset[str]:
    """The fewest arguments whose schedules must be evaluated for the factory to work; none where it works with none."""
    for count in range(len(schedules) + 1):
        for names in map(frozenset, itertools.combinations(schedules, count)):
            if any(_traces(t, {}, {}) for t in _trials(factory, _at_start(arguments, names))[:2]):
                return names
    return frozenset()


def _structural(trials: list[Callable[..., Any]], numbers: dict[str, Any]) -> frozenset[str]:
    trial = next((t for t in trials if _traces(t, {}, numbers)), None)
    if trial is None or _traces(trial, numbers, {}):
        return frozenset()
    return frozenset(
        name for name in numbers if not _traces(trial, {name: numbers[name]}, {k: v for k, v in numbers.items() if k != name})
    )


def _traces(trial: Callable[..., Any], traced: dict[str, Any], concrete: dict[str, Any]) -> bool:
    try:
        jax.eval_shape(lambda numbers: trial({**concrete, **numbers}), traced)
    except Exception:  # whatever the factory raises on a tracer, the argument can't be one
        return False
    return True


def _trials(factory: Factory, arguments: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """Ways to try a factory, the most telling first."""
    # A part that needs arguments of its own for its update says nothing about the factory.
    bare_parts = {
        k: jax.tree.map(lambda x: optax.identity() if _is_part(x) else x, v, is_leaf=_is_part) for k, v in arguments.items()
    }

    def make(numbers: dict[str, Any], given: Mapping[str, Any] = arguments) -> Any:
        call = factory.signature.bind_partial()
        call.arguments.update({**given, **numbers})
        return factory.function(*call.args, **call.kwargs)

    def value_fn(params: Any) -> Any:
        return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))

    def whole(made: Any) -> Any:
        params = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), _PARAMS)
        if not hasattr(made, "init"):
            return made(jnp.zeros([], jnp.int32))
        extra = {"value": value_fn(params), "grad": params, "value_fn": value_fn} if _takes_extra(made) else {}
        return made.update(params, made.init(params), params, **extra)[0]

    def init_only(numbers: dict[str, Any]) -> Any:
        return jax.tree.leaves(make(numbers).init(jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), _PARAMS)))

    def bare(numbers: dict[str, Any]) -> None:
        make(numbers)

    return [lambda numbers: whole(make(numbers)), lambda numbers: whole(make(numbers, bare_parts)), init_only, bare]


def _takes_extra(made: Any) -> bool:
    return isinstance(made, optax.GradientTransformationExtraArgs)

"""Which numbers of somebody else's factory are structure: those that it can't compute with as tracers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jopt._factory import Factory
from jopt._numbers import Axis, is_number
from jopt._values import is_value

_PARAMS = {
    "b": jax.ShapeDtypeStruct((3,), jnp.float32),
    "w": jax.ShapeDtypeStruct((4, 3), jnp.float32),
}
_found: dict[tuple[Factory, tuple[str, ...]], frozenset[str]] = {}


def structural_arguments(factory: Factory, args: Sequence[Any], kwargs: Mapping[str, Any]) -> frozenset[str]:
    """The names of the numeric arguments that ``factory`` uses in Python, by a trial trace on a small tree.

    The trace runs once per factory and set of numeric arguments. Whatever fails without any tracer (an update that
    needs arguments of its own, say) is left out of the trial.
    """
    call = factory.signature.bind(*args, **kwargs)
    call.apply_defaults()
    named = {k: v for k, v in call.arguments.items() if _is_numeric(v) and k not in factory.static}
    concrete = jax.tree.map(lambda x: x.values[0] if isinstance(x, Axis) else x, named)
    key = (factory, tuple(concrete))
    if key not in _found:
        _found[key] = _search(_trials(factory, call.arguments), concrete)
    return _found[key]


def _is_numeric(value: Any) -> bool:
    """Whether an argument is a number or a container of numbers only; another value takes tracers anyhow."""
    leaves = jax.tree.leaves(value)
    return bool(leaves) and not is_value(value) and all(map(is_number, leaves))


def _search(trials: list[Callable[..., Any]], numbers: dict[str, Any]) -> frozenset[str]:
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
    def make(numbers: dict[str, Any]) -> Any:
        call = factory.signature.bind_partial()
        call.arguments.update({**arguments, **numbers})
        return factory.function(*call.args, **call.kwargs)

    def value_fn(params: Any) -> Any:
        return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))

    def whole(numbers: dict[str, Any]) -> Any:
        made = make(numbers)
        params = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), _PARAMS)
        if not hasattr(made, "init"):
            return made(jnp.zeros([], jnp.int32))
        extra = {"value": value_fn(params), "grad": params, "value_fn": value_fn} if _takes_extra(made) else {}
        return made.update(params, made.init(params), params, **extra)[0]

    def init_only(numbers: dict[str, Any]) -> Any:
        return jax.tree.leaves(make(numbers).init(jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), _PARAMS)))

    def bare(numbers: dict[str, Any]) -> None:
        make(numbers)

    return [whole, init_only, bare]


def _takes_extra(made: Any) -> bool:
    import optax

    return isinstance(made, optax.GradientTransformationExtraArgs)

"""What one lane does: start, step, evaluate, as pure functions around those of the user."""

from __future__ import annotations

import dataclasses
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jopt.engine.data.sources import Source
from jopt.training import check_scalar, downhill, like
from jopt.transformation import apply_updates
from jopt.values.numbers import is_number
from jopt.values.pairs import as_pair
from jopt.values.trees import structure

KEYS = "threefry2x32"  # of jopt's own random keys, whatever JAX's default: with others, a lane's numbers depend on its block


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """One lane, as pure functions.

    ``start(optimizer, key, given) -> carry``; ``step(optimizer, carry, batch, key, feedback) -> (carry, {name: scalar})``;
    ``evaluate(carry) -> {name: scalar}``; ``kept(carry)`` is what the result keeps of the last carry. ``source`` makes the
    batches, ``feedback`` says whether the step is given the latest evaluation, ``dies``
    whether nothing brings back a lane of which something that is kept is not finite.
    """

    start: Callable[[Any, Any, Any], Any]
    step: Callable[[Any, Any, Any, Any, Any], Any]
    evaluate: Callable[[Any], Any] | None
    kept: Callable[[Any], Any]
    source: Source
    feedback: bool = False
    dies: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class StartGradient:
    """The carry of gradient training: the parameters, given or made from the key, and the optimizer's state."""

    init: Callable[[Any], Any] | None  # None: the parameters are given

    def __call__(self, optimizer: Any, key: Any, given: Any) -> tuple[Any, Any]:
        params = given if self.init is None else self.init(key)
        params = jax.tree.map(_strong, params)
        return params, as_pair(optimizer).init(params)


@dataclasses.dataclass(frozen=True, eq=False)
class StepGradient:
    """One step of gradient training: ``value_and_grad``, ``update``, ``apply_updates``."""

    loss: Callable[..., Any]
    takes_key: bool
    has_aux: bool

    def __call__(self, optimizer: Any, carry: Any, batch: Any, key: Any, feedback: Any) -> tuple[Any, dict[str, Any]]:
        params, state = carry
        args = (batch, key) if self.takes_key else (batch,)
        (value, aux), grads = jax.value_and_grad(self._with_aux, has_aux=True)(params, *args)
        grads = downhill(grads)
        extra = {"value": value, "grad": grads, "value_fn": lambda p: self._with_aux(p, *args)[0], **(feedback or {})}
        updates, new_state = as_pair(optimizer).update(grads, state, params, **extra)
        return (apply_updates(params, updates), like(state, new_state)), OrderedDict({"loss": value, **aux})

    def _with_aux(self, params: Any, *args: Any) -> tuple[Any, dict[str, Any]]:
        made = self.loss(params, *args)
        value, aux = self._split(made) if self.has_aux else (made, {})
        check_scalar(value)
        return value, scalars("The auxiliary values of the loss", aux, taken=("loss",))

    def _split(self, made: Any) -> tuple[Any, Any]:
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(f"With has_aux=True the loss must return (scalar, dict), but returned {type(made).__name__}.")
        return made[0], made[1]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateParams:
    """Evaluates the parameters of a gradient-training carry."""

    function: Callable[[Any], Any]

    def __call__(self, carry: Any) -> dict[str, Any]:
        return scalars("evaluate", self.function(carry[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class StartCarry:
    """A user's ``init(optimizer, key)``."""

    function: Callable[[Any, Any], Any]

    def __call__(self, optimizer: Any, key: Any, given: Any) -> Any:
        return jax.tree.map(_strong, self.function(optimizer, key))


@dataclasses.dataclass(frozen=True, eq=False)
class StepCarry:
    """A user's ``step(optimizer, carry, batch, key)``."""

    function: Callable[[Any, Any, Any, Any], Any]

    def __call__(self, optimizer: Any, carry: Any, batch: Any, key: Any, feedback: Any) -> tuple[Any, dict[str, Any]]:
        made = self.function(optimizer, carry, batch, key)
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(f"step must return (carry, {{name: scalar}}), but returned {type(made).__name__}.")
        new, metrics = made
        if structure(new) != structure(carry):
            raise TypeError(
                f"step must return a carry of the structure that it was given, {structure(carry)}, "
                f"but returned {structure(new)}."
            )
        for (path, old), now in zip(jax.tree_util.tree_flatten_with_path(carry)[0], jax.tree.leaves(new), strict=True):
            if jnp.shape(old) != jnp.shape(now):
                where = jax.tree_util.keystr(path) or "(root)"
                raise TypeError(
                    f"step: the leaf of the carry at {where} has shape {jnp.shape(old)}; step made it {jnp.shape(now)}."
                )
        return like(carry, new), scalars("step", metrics)


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateCarry:
    """A user's ``evaluate(carry)``."""

    function: Callable[[Any], Any]

    def __call__(self, carry: Any) -> dict[str, Any]:
        return scalars("evaluate", self.function(carry))


def _strong(x: Any) -> jax.Array:
    """An array of a fixed type, so that a step can't change it."""
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jax.dtypes.extended) else array.astype(array.dtype)


def first(carry: Any) -> Any:
    """The parameters of a gradient-training carry."""
    return carry[0]


def whole(carry: Any) -> Any:
    """The whole carry."""
    return carry


def scalars(what: str, made: Any, taken: tuple[str, ...] = ()) -> dict[str, Any]:
    """A dict of named scalars, checked; ordered, because JAX gives plain dicts back sorted, and the first name matters."""
    if not isinstance(made, Mapping):
        raise TypeError(f"{what} must be a dict of named scalars, {{name: scalar}}, but got {type(made).__name__}.")
    for name, value in made.items():
        if not isinstance(name, str) or name in taken:
            raise ValueError(f"{what}: {name!r} can't be the name of a variable here; rename it.")
        if not is_number(value) and not jnp.issubdtype(getattr(value, "dtype", type(value)), jnp.bool_):
            raise TypeError(f"{what}: {name!r} must be a number, but is a {type(value).__name__}.")
        if jnp.iscomplexobj(value):
            raise TypeError(f"{what}: {name!r} must be a real number, but is complex; take its absolute value.")
        if jnp.ndim(value) != 0:
            raise ValueError(f"{what}: {name!r} must be a scalar, but has shape {jnp.shape(value)}; take its mean.")
    return OrderedDict((name, jnp.asarray(value)) for name, value in made.items())


def takes_key(loss: Callable[..., Any]) -> bool:
    """Whether a loss takes (params, batch, key) rather than (params, batch)."""
    try:
        parameters = inspect.signature(loss).parameters.values()
    except ValueError:  # a builtin without a signature
        return False
    required = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(required) not in (2, 3):
        raise TypeError(
            f"The loss must take (params, batch) or (params, batch, key), but takes {len(required)} arguments without a "
            f"default: {[p.name for p in required]}."
        )
    return len(required) == 3

"""What one lane does: start, step, evaluate, as pure functions around those of the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jopt.engine.data.sources import Source
from jopt.training import descend, like, scalars
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
        return descend(self.loss, optimizer, carry, (batch, key) if self.takes_key else (batch,), self.has_aux, feedback or {})


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

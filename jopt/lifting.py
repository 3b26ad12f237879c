"""Somebody else's factories as ours: every Optax optimizer is a jopt value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

from jopt._factory import Factory
from jopt._pairs import at_count
from jopt._probe import structural_arguments
from jopt._schedule import Schedule
from jopt._values import bind, without_axes
from jopt.transformation import from_bound

P = ParamSpec("P")


def lift(factory: Callable[P, Any], *, static: Iterable[str] = ()) -> Callable[P, Any]:
    """Turns somebody else's factory into one whose results are values: every Optax optimizer is a jopt value.

    ``jopt.lift(optax.lion)(1e-4)`` computes what ``optax.lion(1e-4)`` computes, and its numbers are leaves. A factory of
    schedules gives a ``jopt.Schedule``. A number that the factory needs in Python (a memory size, a count on which it
    branches) is found by a trial trace and kept as structure.

    Args:
      factory: A function from hyperparameters to an Optax transformation or a schedule, such as ``optax.lion``,
        ``optax.contrib.muon`` or ``optax.cosine_decay_schedule``.
      static: Names of numeric arguments to keep as structure without a trial.

    Returns:
      The factory, with the same signature, returning a ``jopt.GradientTransformation`` or a ``jopt.Schedule``.

    Raises:
      TypeError: When what the factory returns is neither.

    Example:
      >>> import jopt, optax
      >>> lion = jopt.lift(optax.lion)
      >>> lion(1e-4).hyperparams["b1"]
      0.9
    """
    if not callable(factory):
        raise TypeError(f"lift takes a factory such as optax.lion, not {type(factory).__name__}; lift it before you call it.")
    return _lift(_one_partial(factory), frozenset(static))


_partials: dict[Any, functools.partial[Any]] = {}


def _one_partial(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The first of all equal partials: ``optax.nadam`` is one, and unpickling makes another each time."""
    if not isinstance(factory, functools.partial):
        return factory
    try:
        return _partials.setdefault((factory.func, factory.args, frozenset(factory.keywords.items())), factory)
    except TypeError:  # an argument that has no hash
        return factory


@functools.cache
def _lift(factory: Callable[..., Any], static: frozenset[str]) -> Callable[..., Any]:
    name = getattr(factory, "__name__", type(factory).__name__)
    dynamic = Factory(factory, name, static=static, lifted_by=_lifted_factory)

    @functools.wraps(factory, assigned=(*functools.WRAPPER_ASSIGNMENTS,), updated=())
    def make(*args: Any, **kwargs: Any) -> Any:
        found = structural_arguments(dynamic, args, kwargs)
        if found - static:
            return _lift(factory, static | found)(*args, **kwargs)
        bound = bind(dynamic, args, kwargs)
        made = bound.call(at_count(bound, without_axes(bound), 0))
        if hasattr(made, "init") and hasattr(made, "update"):
            return from_bound(bound)
        if callable(made):
            return Schedule(bound)
        raise TypeError(f"lift: {name} returned {type(made).__name__}, which is neither a transformation nor a schedule.")

    make.factory = dynamic  # type: ignore[attr-defined]
    return make


def _lifted_factory(function: Callable[..., Any], static: frozenset[str]) -> Factory:
    found: Factory = _lift(_one_partial(function), static).factory  # type: ignore[attr-defined]
    return found

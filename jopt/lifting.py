"""Somebody else's factories as ours: every Optax optimizer is a jopt value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jopt.transformation import from_bound
from jopt.values import require
from jopt.values.binding import bind
from jopt.values.factory import Factory
from jopt.values.pairs import made_by
from jopt.values.probing import probe
from jopt.values.schedule import Schedule


def lift(factory: Callable[..., Any], *, static: Iterable[str] = ()) -> Callable[..., Any]:
    """Turns somebody else's factory into one whose results are values: every Optax optimizer is a jopt value.

    ``jopt.lift(optax.lion)(1e-4)`` computes what ``optax.lion(1e-4)`` computes, and its numbers are leaves. A factory of
    schedules gives a ``jopt.Schedule``. A number that the factory needs in Python (a memory size, a count on which it
    branches) is found by a trial trace and kept as structure. A jopt schedule is handed to the factory where a trial shows
    that this works, as for a learning rate; in any other argument it is evaluated at the number of updates so far. Plain
    functions are always the factory's own business.

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
    listed = require.listed("lift: static", static, "names of arguments")
    names = frozenset(require.text("lift: each of static", name, ", the name of an argument") for name in listed)
    return _lift(_one_partial(factory), names)


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
def _lift(function: Callable[..., Any], static: frozenset[str]) -> Callable[..., Any]:
    unknown = _factory(function, static, None)

    @functools.wraps(function, assigned=(*functools.WRAPPER_ASSIGNMENTS,), updated=())
    def make(*args: Any, **kwargs: Any) -> Any:
        factory = _factory(function, *probe(unknown, args, kwargs))
        bound = bind(factory, args, kwargs)
        made = made_by(bound)
        if hasattr(made, "init") and hasattr(made, "update"):
            return from_bound(bound)
        if callable(made):
            return Schedule(bound)
        what = f"{factory.name} returned {type(made).__name__}"
        raise TypeError(f"lift: {what}, which is neither a transformation nor a schedule.")

    return make


@functools.cache
def _factory(function: Callable[..., Any], static: frozenset[str], evaluates: frozenset[str] | None) -> Factory:
    name = getattr(function, "__name__", type(function).__name__)
    return Factory(function, name, static=static, checked=False, evaluates=evaluates, lifted_by=lifted_factory)


def lifted_factory(function: Callable[..., Any], static: frozenset[str], evaluates: frozenset[str] | None) -> Factory:
    """The factory of a function that was lifted before, and what was found about its arguments then."""
    return _factory(_one_partial(function), static, evaluates)

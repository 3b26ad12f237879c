"""A schedule as a value: a pure function of the step that is also a pytree of its numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, overload

import jax
import jax.numpy as jnp

from jopt.values import require
from jopt.values.axed import axes_of, computable, without_axes
from jopt.values.binding import Bound, bind
from jopt.values.factory import Factory, check_declared
from jopt.values.numbers import is_number
from jopt.values.replacing import replaced

P = ParamSpec("P")


class Schedule:
    """A function from the step (an int32 scalar, 0 at the first update) to a number, and a pytree of its own numbers.

    Made by a factory under ``@jopt.schedule``. It may stand wherever a hyperparameter stands; its numbers are then
    leaves of the optimizer and can be swept.

    Args:
      bound: The factory and its arguments.

    Example:
      >>> rate = jopt.linear_schedule(0.0, 1.0, 10)
      >>> float(rate(5))
      0.5
    """

    __slots__ = ("__weakref__", "bound")

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    def __call__(self, step: Any) -> jax.Array:
        """The value at ``step``, a scalar of any integer or floating type."""
        for path, x in axes_of(self.bound):
            raise TypeError(
                f"{path} of {self.bound.spec.factory.name} is an axis with {len(x.values)} values, so this is a sweep and "
                f"not one schedule; put it in an optimizer of jopt's (jopt.adam, jopt.lift(optax.lion)) and pass that to "
                f"jopt.sweep."
            )
        computable(self.bound)
        if not is_number(step) or jnp.iscomplexobj(step):
            raise TypeError(f"{self.bound.spec.factory.name}: the step must be a real number, but got {require.shown(step)}.")
        if isinstance(step, int) and abs(step) >= 2**31:  # float32 tells no two such steps apart
            step = require.between(f"{self.bound.spec.factory.name}: the step", step, -1e30, 1e30)
        return jnp.asarray(self.bound.call()(step))

    @property
    def hyperparams(self) -> dict[str, Any]:
        """The numbers by argument name."""
        return self.bound.hyperparams()

    def replace(self, **changes: Any) -> Schedule:
        """A schedule with other arguments.

        Args:
          **changes: New numbers, arrays or axes, by name, which keep the structure; or another value of any argument.

        Returns:
          The new schedule; this one is unchanged.
        """
        return Schedule(replaced(self.bound, changes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self.bound == other.bound

    def __hash__(self) -> int:
        return hash(self.bound)

    def __repr__(self) -> str:
        return repr(self.bound)

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule, (self.bound,)


def _flatten(value: Schedule) -> tuple[tuple[Any, ...], Any]:
    return value.bound.leaves, value.bound.spec


def _flatten_with_keys(value: Schedule) -> tuple[tuple[tuple[Any, Any], ...], Any]:
    return tuple(zip(value.bound.spec.keys, value.bound.leaves, strict=True)), value.bound.spec


def _unflatten(spec: Any, leaves: Iterable[Any]) -> Schedule:
    return Schedule(Bound(spec, tuple(leaves)))


jax.tree_util.register_pytree_with_keys(Schedule, _flatten_with_keys, _unflatten, _flatten)


def _check_shapes(bound: Bound) -> None:
    """Checks that a schedule can compute with its numbers as they are."""
    shapes = {x.shape for x in bound.leaves if getattr(x, "ndim", 0)}
    if len(shapes) > 1:
        name = bound.spec.factory.name
        raise ValueError(f"{name}: arrays among its arguments must have one shape, but have {sorted(shapes)}.")


@overload
def schedule(factory: Callable[P, Any]) -> Callable[P, Schedule]: ...
@overload
def schedule(
    *, domain: Mapping[str, str] = ..., static: Iterable[str] = ..., name: str | None = ...
) -> Callable[[Callable[P, Any]], Callable[P, Schedule]]: ...
def schedule(
    factory: Callable[P, Any] | None = None,
    *,
    domain: Mapping[str, str] | None = None,
    static: Iterable[str] = (),
    name: str | None = None,
) -> Any:
    """Turns a factory of functions of the step into one whose results are values.

    The factory must not decide in Python on the value of a number, because it is a tracer under ``jit``.

    Args:
      factory: A function from numbers to a function of the step.
      domain: For an argument name, the interval of its allowed values, such as ``"(0, 1]"``.
      static: Names of numeric arguments that are structure.
      name: The name that ``repr`` shows; the function's own by default.

    Returns:
      The factory, with the same signature, returning a ``jopt.Schedule``.

    Example:
      >>> import jopt
      >>> @jopt.schedule
      ... def inverse_sqrt(init_value):
      ...     return lambda step: init_value / jopt.schedules.as_time(step + 1) ** 0.5
      >>> float(inverse_sqrt(0.5)(3))
      0.25
    """
    if factory is None:
        return functools.partial(schedule, domain=domain, static=static, name=name)
    check_declared("schedule", factory, domain, {"static": static}, name)
    spec = Factory(factory, name or factory.__name__, domain or {}, frozenset(static), evaluates=None)

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Schedule:
        bound = bind(spec, args, kwargs)
        _check_shapes(bound)
        if not callable(bound.call(without_axes(bound))):
            raise TypeError(f"{spec.name} must return a function of the step.")
        return Schedule(bound)

    make.factory = spec  # type: ignore[attr-defined]
    return make

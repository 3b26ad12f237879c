"""What counts as a number: the leaves of a value, the ranges they must keep, and what may stand in for one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np


class Axis:
    """The values that one hyperparameter takes in a sweep; it stands where the number stands.

    It is no number itself: whoever computes with it (a factory of Optax's, a user's own formula) is told what to write.
    """

    values: tuple[float, ...]

    def _no_number(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{self!r} is an axis of a sweep and stands for several values, so nothing can be computed with it here. Give it "
            f"to jopt's own function (jopt.adam for optax.adam, jopt.warmup_cosine_decay_schedule for Optax's, jopt.chain), or "
            f"lift the factory: jopt.lift(optax.lion)(axis), jopt.lift(optax.partition)(...)."
        )

    __float__ = __int__ = __index__ = __complex__ = __bool__ = _no_number
    __array__ = __array_ufunc__ = __array_function__ = _no_number
    __jax_array__ = property(_no_number)  # JAX refuses in its own words what has such a method
    __neg__ = __pos__ = __abs__ = __round__ = __trunc__ = __floor__ = __ceil__ = _no_number
    __lt__ = __le__ = __gt__ = __ge__ = _no_number  # == stays identity: an axis is a key, and a static part of trees
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _no_number
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _no_number
    __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _no_number


Numeric: TypeAlias = "jax.typing.ArrayLike | Axis | Mapping[str, Any] | Callable[[Any], Any]"
ScalarOrSchedule: TypeAlias = "jax.typing.ArrayLike | Axis | Mapping[str, Any] | Callable[[Any], Any]"


def is_number(x: object) -> bool:
    """Whether ``x`` is a numeric leaf of a value: a number, a numeric array, a tracer, or an axis."""
    if isinstance(x, Axis):
        return True
    if isinstance(x, (bool, np.bool_)):
        return False
    if isinstance(x, (int, float, complex, np.number)):
        return True
    if isinstance(x, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        return bool(jnp.issubdtype(x.dtype, jnp.number))
    return False


def as_float(x: Any) -> Any:
    """Python and NumPy scalars as Python floats, so that equal hyperparameters compile to one program."""
    if isinstance(x, (int, np.number)) and not isinstance(x, bool):
        return float(x)
    return x


def whole(name: str, x: Any, at_least: int = 1) -> int:
    """``x`` as an int, or an error where it is no whole number of at least ``at_least``."""
    if isinstance(x, bool) or not isinstance(x, (int, np.integer)) or x < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, but got {x!r}.")
    return int(x)


def check_domain(owner: str, argument: str, x: Any, interval: str | None) -> None:
    """Raises ``ValueError`` where a concrete number is NaN or outside ``interval``, for example ``"[0, 1)"``.

    ``TypeError`` for what is no real number where there is an interval, and for a decay rate in a narrow type.
    """
    if interval is not None:
        _check_kind(owner, argument, x, interval)
    if isinstance(x, (jax.core.Tracer, jax.ShapeDtypeStruct)) or not is_number(x):
        return
    values = np.asarray(x.values if isinstance(x, Axis) else x)
    given = f"the value {x!r}" if values.ndim == 0 else f"{values.tolist()!r}"
    if np.isnan(values).any():
        raise ValueError(f"{owner}: {argument} must be a number, but {given} holds NaN.")
    if interval is not None and not _inside(values, interval):
        raise ValueError(f"{owner}: {argument} must lie in {interval}, but got {given}.")


def _check_kind(owner: str, argument: str, x: Any, interval: str) -> None:
    if not is_number(x) or (not isinstance(x, Axis) and jnp.iscomplexobj(x)):
        raise TypeError(
            f"{owner}: {argument} must be a real number, an array, a schedule (a function under @jopt.schedule) or an "
            f"axis, but got {x!r}."
        )
    dtype = getattr(x, "dtype", jnp.float32)
    if interval == "[0, 1)" and jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
        raise TypeError(
            f"{owner}: {argument} has type {dtype}, in which decay rates near 1 become 1 and the update NaN; "
            f"give it in float32 (optax.inject_hyperparams takes hyperparam_dtype=jnp.float32)."
        )


def _inside(values: np.ndarray, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = values >= low if interval[0] == "[" else values > low
    below = values <= high if interval[-1] == "]" else values < high
    return bool(np.all(above & below)) and not (math.isinf(high) and bool(np.isinf(values).any()))

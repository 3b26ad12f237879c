"""What counts as a number: the leaves of a value, the ranges they must keep, and the exact differences of steps."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values.showing import shown


class Axis:
    """The values that one hyperparameter takes in a sweep; it stands where the number stands.

    It is no number itself: whoever computes with it (a factory of Optax's, a user's own formula) is told what to write.
    """

    values: tuple[Any, ...]
    name: str | None
    numeric = True  # whether its values are numbers; else it stands for what is structure
    kind: str | None = None  # how it was made: "linspace", "geomspace", "uniform" or "loguniform"; None: of given values

    def _no_number(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{self!r} is an axis of a sweep and stands for several values, so nothing can be computed with it here. Give it "
            f"to jopt's own function (jopt.adam for optax.adam, jopt.warmup_cosine_decay_schedule for Optax's, jopt.chain, "
            f"jopt.partition), or lift the factory: jopt.lift(optax.lion)(axis)."
        )

    __float__ = __int__ = __index__ = __complex__ = __bool__ = _no_number
    __array__ = __array_ufunc__ = __array_function__ = _no_number
    __jax_array__ = property(_no_number)  # JAX refuses in its own words what has such a method
    __neg__ = __pos__ = __abs__ = __round__ = __trunc__ = __floor__ = __ceil__ = _no_number
    __lt__ = __le__ = __gt__ = __ge__ = _no_number  # == stays identity: an axis is a key, and a static part of trees
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _no_number
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _no_number
    __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _no_number


# What may stand for a number: itself, an axis, a schedule, or (of some arguments) numbers by name.
Numeric: TypeAlias = jax.typing.ArrayLike | Axis | Mapping[str, Any] | Callable[[Any], Any]
ScalarOrSchedule: TypeAlias = Numeric


_LARGEST_COUNT = 2**24  # up to here float32 holds every whole number


def is_number(x: object) -> bool:
    """Whether ``x`` is a numeric leaf of a value: a number, a numeric array, a tracer, or an axis of numbers."""
    if isinstance(x, Axis):
        return x.numeric
    if isinstance(x, (bool, np.bool_)):
        return False
    if isinstance(x, (int, float, complex, np.number)):
        return True
    if isinstance(x, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        return bool(jnp.issubdtype(x.dtype, jnp.number))
    return False


def as_float(x: Any) -> Any:
    """Python and NumPy scalars as Python floats, so that equal hyperparameters compile to one program.

    Whole numbers that float32 might round, and int32 holds, stay whole: the step of a boundary, say.
    """
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        count = int(x)
        if _LARGEST_COUNT < abs(count) < 2**31:
            return count
        return float(count) if abs(count) < 2**1023 else math.inf if count > 0 else -math.inf
    return float(x) if isinstance(x, np.floating) else x


def settings_of(values: Any) -> np.ndarray:
    """The numbers of an axis as an array of the type in which each would stand alone, int32 where ``as_float`` keeps ints."""
    array = np.asarray(values, np.float64)
    counts = np.all(array == np.floor(array)) and _LARGEST_COUNT < np.max(np.abs(array)) < 2**31
    return array.astype(jnp.result_type(int if counts else float))


def steps_since(step: Any, begin: Any) -> jax.Array:
    """``step − begin`` as a floating scalar; 0 and its sign are exact for all steps that int32 holds.

    Either may be whole or fractional. The whole parts are subtracted as integers: in float32, 2**24 + 1 is 2**24.
    """
    whole, rest = difference(step, begin)
    return whole.astype(float) + rest


def difference(a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
    """``a − b`` as an integer and a floating rest between -1 and 1, through which derivatives go."""
    (whole_a, rest_a), (whole_b, rest_b) = _parts(a), _parts(b)
    return whole_a - whole_b, rest_a - rest_b


def _parts(x: Any) -> tuple[jax.Array, jax.Array]:
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.integer):
        return x.astype(int), jnp.zeros(x.shape, float)
    x = x.astype(float)
    bits = jnp.iinfo(jnp.result_type(int)).bits
    most = np.nextafter(x.dtype.type(2.0 ** (bits - 1)), x.dtype.type(0))  # the next float would overflow as an integer
    whole = jnp.clip(jnp.floor(x), 0.0, most)
    return whole.astype(int), x - whole


def whole(name: str, x: Any, at_least: int = 1, bits: int | None = None) -> int:
    """``x`` as an int; an error where it is no whole number of at least ``at_least``, and of no more than ``bits`` bits."""
    integral = isinstance(x, (int, np.integer)) and not isinstance(x, bool)
    if integral and x >= at_least and (bits is None or int(x) < 2**bits):
        return int(x)
    under = "" if bits is None else f" and under 2**{bits}"
    # Optax's inject_hyperparams makes arrays of all numbers that it is not told to leave.
    hint = (
        " It must be known when programs are built: optax.inject_hyperparams takes static_args=."
        if isinstance(x, jax.Array)
        else ""
    )
    raise ValueError(f"{name} must be a whole number of at least {at_least}{under}, but got {shown(x)}.{hint}")


_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def seconds(name: str, x: Any) -> float:
    """A time in words or numbers ("60s", "5min", 90) in seconds, at least 0; an error where it is none."""
    if isinstance(x, str) and (found := re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]+)\s*", x)):
        if (unit := _UNITS.get(found[2])) is not None:
            return float(found[1]) * unit
    elif isinstance(x, (int, float)) and not isinstance(x, bool) and 0 <= x <= sys.float_info.max:
        return float(x)
    raise ValueError(f'{name} must be a time such as "60s", "5min" or "1h", or seconds, but is {shown(x)}.')


def check_domain(owner: str, argument: str, x: Any, interval: str | None, *, real: bool = False) -> None:
    """Raises ``ValueError`` where a concrete number is NaN or outside ``interval``: ``"[0, 1)"``, ``"whole [0, inf)"``.

    So does one that is outside as soon as it is rounded to the type of computation: 1 − 2⁻²⁵ is 1 in float32.
    ``TypeError`` for what is no real number where there is an interval, or with ``real``; for a decay rate in a narrow type.
    """
    if interval is not None or real:
        _check_kind(owner, argument, x, interval)
    if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer) and x.is_deleted():
        raise ValueError(f"{owner}: {argument} is an array whose memory was given away (donated, or deleted); make it anew.")
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(f"{owner}: {argument} is a masked array, which would lose its mask; give x.filled(value).")
    if isinstance(x, (jax.core.Tracer, jax.ShapeDtypeStruct)) or not is_number(x):
        return
    values = np.asarray(x.values if isinstance(x, Axis) else x)
    given = f"the value {x!r}" if values.ndim == 0 else f"{values.tolist()!r}"
    if values.dtype == object:  # a whole number that nothing holds but Python
        raise ValueError(f"{owner}: {argument} must be a number that 64 bits hold, but got {given[:80]}.")
    if np.isnan(values).any():
        raise ValueError(f"{owner}: {argument} must be a number, but {given} holds NaN.")
    if interval is None:
        return
    if interval.startswith("whole "):
        interval = interval.removeprefix("whole ")
        if not np.all(values == np.floor(values)):
            raise ValueError(f"{owner}: {argument} must be a whole number, but got {given}.")
    if not _inside(values, interval):
        raise ValueError(f"{owner}: {argument} must lie in {interval}, but got {given}.")
    with np.errstate(over="ignore"):
        rounded = values.astype(jnp.result_type(float))
    if not _inside(rounded, interval):
        raise ValueError(
            f"{owner}: {argument} must lie in {interval} as {rounded.dtype} too, in which jopt computes, but {given} "
            f"becomes {rounded.tolist()!r}. Choose a number that {rounded.dtype} tells from the end of the interval."
        )


def _check_kind(owner: str, argument: str, x: Any, interval: str | None) -> None:
    if not is_number(x) or (not isinstance(x, Axis) and jnp.iscomplexobj(x)):
        raise TypeError(
            f"{owner}: {argument} must be a real number, an array, a schedule (a function under @jopt.schedule) or an "
            f"axis, but got {shown(x)}."
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

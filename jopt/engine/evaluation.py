"""Evaluations that know their data, and which of their numbers are better the higher they are."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.data import arrays
from jopt.hyper import call, check_call, named
from jopt.training import same_length, scalars
from jopt.values import require
from jopt.values.numbers import whole

Mode = Literal["min", "max"]

# Parts of names of what is mostly better the higher it is: ranked the wrong way round, the worst setting would be best.
HIGH_OR_LOW = frozenset(("accuracy", "acc", "score", "f1", "auc", "reward", "return"))


def direction(maximize: Iterable[str], metric: str) -> Mode | None:
    """Which values of a metric are good; None where the name leaves it open and ``maximize`` does not declare it."""
    if metric in maximize:
        return "max"
    return None if HIGH_OR_LOW.intersection(re.split(r"[-_/.]", metric.lower())) else "min"


@dataclasses.dataclass(frozen=True, eq=False)
class Metrics:
    """What `jopt.metrics` returns: a function of the parameters, for `evaluate=`.

    Attributes:
      function: the user's `evaluate(params)`, or `evaluate(params, data)`.
      data: a pytree of arrays; None: there is none.
      batch_size: examples at a time; None: all at once.
      maximize: names of what is better the higher it is.
    """

    function: Callable[..., Any]
    data: Any
    batch_size: int | None
    maximize: tuple[str, ...]

    @property
    def __signature__(self) -> inspect.Signature:
        """What it is called with: `hyper` where the user's function names it."""
        params, own = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD), named(self.function)
        return inspect.Signature([params, *([] if own is None else [own.replace(kind=own.KEYWORD_ONLY)])])

    def __call__(self, params: Any, hyper: Any = None) -> dict[str, Any]:
        """The metrics of some parameters, {name: scalar}; `hyper` is for a function that names it."""
        data, size = self._read(), self.batch_size
        made = self._of(params, data, hyper) if size is None else self._of_batches(params, data, size, hyper)
        if missing := [name for name in self.maximize if name not in made]:
            raise ValueError(f"metrics: maximize names {missing[0]!r}, but evaluate returns {list(made)}.")
        return made

    def _read(self) -> Any:
        """The data as they are now, in arrays of their own: in a sweep they are arguments of the compiled evaluation.

        Made at once and not as a part of the trace: there a copy would be one of each evaluation.
        """
        wide = bool(jax.config.values["jax_enable_x64"])

        def own(name: str, x: Any) -> Any:
            read = arrays.fitted(name, arrays.read(name, x), wide)
            return read if isinstance(read, jax.Array) else jax.device_put(np.array(read))

        with jax.ensure_compile_time_eval():
            return arrays.map_named(own, "metrics: data", self.data)

    def _of(self, params: Any, data: Any, hyper: Any) -> dict[str, Any]:
        args = (params,) if data is None else (params, data)
        return scalars("evaluate", call(self.function, args, hyper))

    def _of_batches(self, params: Any, data: Any, size: int, hyper: Any) -> dict[str, Any]:
        """Means over examples: of the batches, each weighted by its size."""
        examples = same_length("metrics: data", data, "examples")
        full, rest = divmod(examples, size)

        def of(begin: Any, count: int) -> dict[str, Any]:
            batch = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, begin, count), data)
            return jax.tree.map(_wide, self._of(params, batch, hyper))  # type: ignore[no-any-return]

        sums = []
        if full:
            each = jax.lax.map(lambda i: of(i * size, size), jnp.arange(full))
            sums.append(jax.tree.map(lambda x: x.mean(0) * (full * size / examples), each))
        if rest:
            sums.append(jax.tree.map(lambda x: x * (rest / examples), of(full * size, rest)))
        return jax.tree.map(lambda *parts: sum(parts), *sums)  # type: ignore[no-any-return]


def metrics(
    evaluate: Callable[..., Mapping[str, Any]],
    *,
    data: Any = None,
    batch_size: int | None = None,
    maximize: str | Sequence[str] = (),
) -> Metrics:
    """An evaluation for ``evaluate=`` of ``jopt.sweep``, with its data, and with what is better the higher it is.

    ``metric = Σᵢ nᵢ evaluate(params, batchᵢ) / Σᵢ nᵢ`` over the batches of the data, of nᵢ examples each.

    Args:
      evaluate: ``evaluate(params)``, or with data ``evaluate(params, data)``, which returns ``{name: scalar}``; pure. An
        argument that it names ``hyper`` is the setting's. In ``jopt.sweep_steps`` it is given the carry in place of the
        parameters.
      data: A pytree of arrays (NumPy's, JAX's, torch's, frames) whose leading axis counts examples. They are arguments of the
        compiled evaluation, so that others of the same shapes compile nothing, and all lanes share them.
      batch_size: Examples that are evaluated at a time; the metrics are then averaged over all examples (the last, smaller
        batch counts for what it has), and what a lane needs beside its parameters is what one batch needs. None: ``evaluate``
        is given all of the data at once, in every lane.
      maximize: The name of a metric, or several names, of which high values are good. ``best``, ``table`` and the pictures
        rank by them in that direction.

    Returns:
      A function from the parameters to ``{name: scalar}``.

    Raises:
      TypeError: For an ``evaluate`` that is no function, or that does not take the data.
      ValueError: For a batch size without data, data without examples, or (before training) a name that ``evaluate`` does
        not return.

    Example:
      >>> x = jnp.arange(5.0)
      >>> error = jopt.metrics(lambda w, x: {"error": ((w - x) ** 2).mean()}, data=x, batch_size=2)
      >>> {name: float(value) for name, value in error(jnp.float32(2.0)).items()}
      {'error': 2.0}
    """
    if not callable(evaluate):
        raise TypeError(
            f"metrics: evaluate must be a function that returns {{name: scalar}}, but is {require.shown(evaluate)}."
        )
    names = (
        (maximize,) if isinstance(maximize, str) else tuple(require.listed("metrics: maximize", maximize, "names of metrics"))
    )
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"metrics: maximize takes the name of a metric, or several, but got {require.shown(maximize)}.")
    _check_arguments(evaluate, data)
    if batch_size is not None:
        whole("metrics: batch_size", batch_size)
        if data is None:
            raise ValueError("metrics: batch_size= is for data=, which is cut into batches; give it too.")
        if not same_length("metrics: data", arrays.map_named(arrays.read, "metrics: data", data), "examples"):
            raise ValueError("metrics: data has no examples.")
    return Metrics(evaluate, data, batch_size, names)


def _check_arguments(evaluate: Callable[..., Any], data: Any) -> None:
    wanted, hint = (("params",), "; data= gives the second one") if data is None else (("params", "data"), "")
    check_call("metrics: evaluate", evaluate, wanted, {}, hint)


def _wide(x: Any) -> Any:
    """As a float of 32 bits at least, so that a mean is exact enough."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))

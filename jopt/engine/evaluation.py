"""Evaluations that know their data, and which of their numbers are better the higher they are."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jopt.training import same_length, scalars
from jopt.values.numbers import whole

Mode = Literal["min", "max"]

# Parts of names of what is mostly better the higher it is: ranked the wrong way round, the worst setting would be best.
HIGH_OR_LOW = frozenset(("accuracy", "acc", "score", "f1", "auc", "reward", "return"))


def direction(metric: str, maximize: Sequence[str]) -> Mode | None:
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

    def __call__(self, params: Any) -> dict[str, Any]:
        """The metrics of some parameters, {name: scalar}."""
        data = jax.tree.map(jnp.asarray, self.data)
        made = self._of(params, data) if self.batch_size is None else self._of_batches(params, data, self.batch_size)
        if missing := [name for name in self.maximize if name not in made]:
            raise ValueError(f"metrics: maximize names {missing[0]!r}, but evaluate returns {list(made)}.")
        return made

    def _of(self, params: Any, data: Any) -> dict[str, Any]:
        return scalars("evaluate", self.function(params) if data is None else self.function(params, data))

    def _of_batches(self, params: Any, data: Any, size: int) -> dict[str, Any]:
        """Means over examples: of the batches, each weighted by its size."""
        examples = same_length("metrics: data", data, "examples")
        full, rest = divmod(examples, size)

        def of(begin: Any, count: int) -> dict[str, Any]:
            batch = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, begin, count), data)
            return jax.tree.map(_wide, self._of(params, batch))  # type: ignore[no-any-return]

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
      evaluate: ``evaluate(params)``, or with data ``evaluate(params, data)``, which returns ``{name: scalar}``; pure. In
        ``jopt.sweep_steps`` it is given the carry in place of the parameters.
      data: A pytree of arrays whose leading axis counts examples.
      batch_size: Examples that are evaluated at a time; the metrics are then averaged over all examples (the last, smaller
        batch counts for what it has). None: ``evaluate`` is given all of the data at once.
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
        raise TypeError(f"metrics: evaluate must be a function that returns {{name: scalar}}, but is {evaluate!r}.")
    names = (maximize,) if isinstance(maximize, str) else tuple(maximize)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"metrics: maximize takes the name of a metric, or several, but got {maximize!r}.")
    _check_arguments(evaluate, data)
    if batch_size is not None:
        whole("metrics: batch_size", batch_size)
        if data is None:
            raise ValueError("metrics: batch_size= is for data=, which is cut into batches; give it too.")
        if not same_length("metrics: data", data, "examples"):
            raise ValueError("metrics: data has no examples.")
    return Metrics(evaluate, data, batch_size, names)


def _check_arguments(evaluate: Callable[..., Any], data: Any) -> None:
    try:
        signature = inspect.signature(evaluate)
    except ValueError:  # a builtin without a signature
        return
    wanted = ["params"] if data is None else ["params", "data"]
    try:
        signature.bind(*wanted)
    except TypeError:
        hint = "; data= gives the second one" if data is None else ""
        raise TypeError(f"metrics: evaluate must take ({', '.join(wanted)}), but takes {signature}{hint}.") from None


def _wide(x: Any) -> Any:
    """As a float of 32 bits at least, so that a mean is exact enough."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))

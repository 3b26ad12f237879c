"""What a sweep records of every step beside the loss, where it is asked to: the rate, and norms of what a step handles.

All four together took 1.21 to 1.25 of the processor's time of a sweep that records none of them (MLP 64-256-256-10, Adam,
batches of 64, blocks of one lane and of four, one thread, JAX 0.12): each norm is a pass over all leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jopt.rates import rates_of
from jopt.values import require
from jopt.values.leafwise import wide_dtype

RATE = "rate"
RECORDS = {  # what each is, in words
    RATE: "learning rate",
    "grad_norm": "norm of the gradient",
    "update_norm": "norm of the update",
    "param_norm": "norm of the parameters before the step",
}


def checked(record: Any) -> tuple[str, ...]:
    """The names that ``record=`` gives, each once.

    Raises:
      ValueError: For a name that is none of ``RECORDS``.
      TypeError: For something that is neither a name nor several.
    """
    names = (record,) if isinstance(record, str) else tuple(require.listed("record", record, f"names, of {', '.join(RECORDS)}"))
    for name in names:
        if not isinstance(name, str) or name not in RECORDS:
            known = ", ".join(RECORDS)
            raise ValueError(
                f"record: {require.shown(name)} is none of {known}. Return anything else as an auxiliary value of the loss "
                f"(has_aux=True)."
            )
    return tuple(dict.fromkeys(names))


def recorded(
    names: Sequence[str],
    optimizer: Any,
    states: tuple[Any, Any],
    trees: Mapping[str, Any],
    taken: Iterable[str],
) -> dict[str, jax.Array]:
    """What is to be recorded of one step.

    Args:
      names: Of ``RECORDS``.
      optimizer: The transformation that made the step.
      states: Its state before and after.
      trees: What each norm is of, by its name.
      taken: The names of the loss and of its auxiliary values.

    Returns:
      Scalars by name. Of several learning rates each has its own, "rate." and its path.
    """
    made: dict[str, jax.Array] = {}
    for name in names:
        made |= _rates(optimizer, states) if name == RATE else {name: norm(trees[name])}
    if clash := sorted(set(made).intersection(taken)):
        raise ValueError(
            f"record: {clash[0]!r} is the name of an auxiliary value of the loss too; rename that one, or leave one of the "
            f"two out."
        )
    return made


def _rates(optimizer: Any, states: tuple[Any, Any]) -> dict[str, jax.Array]:
    try:
        rates = rates_of(optimizer, *states)
    except ValueError as error:
        raise ValueError(f'record: "rate" is the learning rate of each step. {error}') from error
    for path, rate in rates.items():
        if jnp.ndim(rate):
            raise ValueError(
                f"record: {path} is an array of shape {jnp.shape(rate)}, and a rate is recorded as one number; leave "
                f'"rate" out.'
            )
    return {RATE if len(rates) == 1 else f"{RATE}.{path}": rate for path, rate in rates.items()}


def norm(tree: Any) -> jax.Array:
    """The Euclidean norm of all leaves together, ``√Σ |x|²``, in float32 or wider; infinite from 1.8e19 on in float32."""
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    wide = wide_dtype(*leaves)
    parts = [part.astype(wide) for x in leaves for part in ((jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else (x,))]
    return jnp.sqrt(sum((jnp.sum(x * x) for x in parts), jnp.zeros([], wide)))

"""What is worked out anew every few steps: eigenbases and roots of matrices, which cost more than the step itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@jax.custom_batching.custom_vmap
def in_any_lane(wanted: jax.Array) -> jax.Array:
    """Whether something is true in any lane of all the maps (``jax.vmap``) around, as one bool that is not mapped itself.

    Under ``vmap`` a ``lax.cond`` whose predicate is mapped runs both branches in every step. Where this decides instead, the
    expensive branch runs only in the steps in which a lane wants it, for all lanes.
    """
    return wanted


@in_any_lane.def_vmap
def _in_any_lane(size: int, mapped: list[bool], wanted: jax.Array) -> tuple[jax.Array, bool]:
    return in_any_lane(jnp.any(wanted, axis=0) if mapped[0] else wanted), False  # again, for the maps further out


def refreshed(wanted: jax.Array, make: Callable[[Any], Any], kept: Any) -> Any:
    """``make(kept)`` where ``wanted``, else ``kept``; worked out only in steps in which a lane wants it."""

    def fresh(kept: Any) -> Any:
        return jax.tree.map(lambda new, old: jnp.where(wanted, new, old), make(kept), kept)

    return jax.lax.cond(in_any_lane(wanted), fresh, lambda kept: kept, kept)


def is_due(t: jax.Array, every: jax.Array) -> jax.Array:
    """Whether t = 1, 2, ... is a multiple of ``every``, or the first whole number after one where ``every`` has a fraction."""
    return jnp.mod(t, every) < 1.0

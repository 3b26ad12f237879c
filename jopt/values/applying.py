"""Updates added to the parameters: ``apply_updates``."""

from __future__ import annotations

from typing import Any

import jax

from jopt.values import checks
from jopt.values.leafwise import leafwise
from jopt.values.trees import flatten, is_none


def apply_updates(params: Any, updates: Any) -> Any:
    """Adds the updates to the parameters: ``p' = p + u``.

    The sum is taken in float32 or wider and cast to the parameter's type. A ``None`` among the updates leaves its
    parameter as it is.

    Args:
      params: A pytree of floating or complex arrays.
      updates: A pytree of the same structure and shapes, as ``update`` returns it.

    Returns:
      The new parameters, with the structure, shapes and types of ``params``.

    Raises:
      ValueError: When the trees differ in structure or in the shape of a leaf.

    Differs from:
      ``optax.apply_updates`` broadcasts leaves of unequal shape; here that is an error.

    Example:
      >>> jopt.apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([0.5, -1.0])})
      {'w': Array([1.5, 0. ], dtype=float32)}
    """
    checks.params("apply_updates", params)
    leaves, treedef = flatten(params, is_leaf=is_none)
    try:
        changes = treedef.flatten_up_to(updates)
    except ValueError as error:
        raise checks.structure_error("params", params, "updates", updates) from error
    if any(p is None and not jax.tree_util.all_leaves([u], is_leaf=is_none) for p, u in zip(leaves, changes, strict=True)):
        raise checks.structure_error("params", params, "updates", updates)
    for u in filter(lambda u: u is not None, changes):
        checks.array("apply_updates: an update", u)
    whole = [p if u is None else u for p, u in zip(leaves, changes, strict=True)]
    (summed,) = leafwise(lambda p, u: (p + u,), {"params": params, "updates": treedef.unflatten(whole)})
    kept = zip(leaves, jax.tree.leaves(summed, is_leaf=is_none), changes, strict=True)
    return treedef.unflatten([p if u is None else new for p, new, u in kept])

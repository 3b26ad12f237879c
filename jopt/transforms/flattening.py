"""Many small leaves as one vector: ``flatten``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jopt.transformation import transformation
from jopt.values.pairs import as_pair
from jopt.values.trees import flatten as take_apart


@transformation(checked=False)
def flatten(inner: optax.GradientTransformation) -> Any:
    """Applies a transformation to all leaves joined to one vector.

    ``u = split(f(join(g)))``

    A jitted step over a thousand leaves spends its time on handing over some thousands of arrays and on as many small
    operations. Here the state is a few vectors, and the rule runs once. It pays where leaves are many and small; large ones
    are copied once more than needed. What treats leaves unlike one another (a mask, one number per branch, a shape) has no
    place inside: ``chain(flatten(scale_by_adam()), add_decayed_weights(1e-4, mask), scale_by_learning_rate(1e-3))``.

    Args:
      inner: The transformation, jopt's or Optax's, of elements or of the whole vector (clipping by the global norm).

    Returns:
      The transformation; its state is ``inner``'s for one vector of the leaves' widest type. Each update has the type of its
      own gradient. ``grad`` and ``value_fn`` among the extra arguments are joined and split too. Under a mesh of explicit
      axes, the vectors lie whole on every device, and each update is sharded as its gradient.

    Differs from:
      Optax hands all updates back in the widest type, and passes ``grad`` and ``value_fn`` on as they are.

    Example:
      >>> opt = jopt.flatten(jopt.adam(0.1))
      >>> state = opt.init({"b": jnp.zeros(2), "w": jnp.zeros((2, 3))})
      >>> jax.tree.map(jnp.shape, state[0].mu)
      (8,)
    """
    pair = as_pair(inner)

    def init(params: Any) -> Any:
        return pair.init(_join(params))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if "grad" in extra_args:
            extra_args["grad"] = _join(extra_args["grad"])
        if "value_fn" in extra_args:
            extra_args["value_fn"] = _of_vector(extra_args["value_fn"], params)
        joined = None if params is None else _join(params)
        flat, state = pair.update(_join(updates), state, joined, **extra_args)
        return _split(flat, updates), state

    return init, update


def _of_vector(value_fn: Callable[..., Any], like: Any) -> Callable[..., Any]:
    """A function of a tree as one of its vector."""

    @functools.wraps(value_fn)  # line searches look at its signature
    def function(flat: Any, *args: Any, **kwargs: Any) -> Any:
        return value_fn(_split(flat, like), *args, **kwargs)

    return function


def _join(tree: Any) -> Any:
    """All leaves of a tree as one vector, or its shape where they are shapes."""
    leaves = jax.tree.leaves(tree)
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in leaves):
        return jax.eval_shape(_concatenate, leaves)
    return _concatenate(leaves)


def _concatenate(leaves: Sequence[Any]) -> jax.Array:
    with jax.numpy_dtype_promotion("standard"):  # leaves of several types are meant to have one here
        dtype = jnp.result_type(*leaves) if leaves else jnp.float32
    whole = [placed(x, PartitionSpec()) for x in map(jnp.asarray, leaves)]
    return jnp.concatenate([jnp.zeros(0, dtype), *(jnp.ravel(x).astype(dtype) for x in whole)])


def placed(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    """``x`` with a sharding, where the mesh makes that a part of its type; elsewhere XLA sees to it."""
    mesh = jax.typeof(x).sharding.mesh
    explicit = jax.sharding.AxisType.Explicit in mesh.axis_types
    return jax.sharding.reshard(x, NamedSharding(mesh, spec)) if explicit else x


def _split(flat: Any, tree: Any) -> Any:
    """A vector as the leaves of a tree, in their shapes and types."""
    leaves, treedef = take_apart(tree)
    ends = np.cumsum([np.size(x) for x in leaves])
    parts = jnp.split(flat, ends[:-1]) if leaves else []
    return treedef.unflatten([_like(part, x) for part, x in zip(parts, leaves, strict=True)])


def _like(part: Any, leaf: Any) -> Any:
    real = part if jnp.iscomplexobj(leaf) else jnp.real(part)
    kind = jnp.result_type(leaf)  # an update of an integer is a float, if the rule made one of it
    shaped = real.reshape(jnp.shape(leaf)).astype(kind if jnp.issubdtype(kind, jnp.inexact) else real.dtype)
    return placed(shaped, jax.typeof(leaf).sharding.spec)

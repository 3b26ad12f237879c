"""One training run as one pure function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jopt.transformation import apply_updates
from jopt.values import checks
from jopt.values.pairs import as_pair, is_transformation


def train(loss: Callable[..., Any], params: Any, optimizer: Any, batches: Any) -> tuple[Any, Any, jax.Array]:
    """Trains parameters on a sequence of batches: a scan over ``value_and_grad``, ``update`` and ``apply_updates``.

    ``gₜ = ∇ loss(wₜ, batchₜ)``; ``wₜ₊₁ = wₜ + update(gₜ)``, where the gradient of complex parameters is the conjugate of
    ``jax.grad``, so that they descend. It is pure, so it goes under ``jit``, ``vmap`` over
    ``jopt.lanes`` (a sweep) and ``grad`` with respect to the optimizer (hypergradients).

    Args:
      loss: ``loss(params, batch)``, a floating scalar.
      params: The initial parameters, a pytree of floating or complex arrays.
      optimizer: A transformation; its ``update`` is given ``value=``, ``grad=`` and ``value_fn=`` as well.
      batches: A pytree of arrays with a leading axis of steps.

    Returns:
      The final parameters, the final optimizer state, and the loss before each step, ``[steps]``.

    Raises:
      TypeError: For swapped arguments, or a loss that is no floating scalar.
      ValueError: For batches without arrays, whose leaves differ in their number of steps, or whose whole numbers don't fit
        the 32 bits that JAX gives them.

    Example:
      >>> import jax.numpy as jnp
      >>> loss = lambda w, x: (w - x) ** 2
      >>> w, state, losses = jopt.train(loss, jnp.float32(0.0), jopt.sgd(0.25), jnp.ones(3))
      >>> losses
      Array([1.    , 0.25  , 0.0625], dtype=float32)
    """
    if not callable(loss):
        raise TypeError(f"train takes (loss, params, optimizer, batches); the loss is a {type(loss).__name__}, not a function.")
    checks.params("train", params)
    if not is_transformation(optimizer):
        hint = "; call the factory: jopt.adam(...)" if callable(optimizer) else ""
        raise TypeError(f"train: the optimizer must be a transformation, but got {type(optimizer).__name__}{hint}.")
    pair = as_pair(optimizer)
    if not jax.tree.leaves(batches):
        raise ValueError(
            "train: batches holds no array; give a pytree of arrays with a leading axis of steps (jnp.arange(steps), for a "
            "loss that takes no data)."
        )
    same_length("batches", batches, "steps")
    checks.whole_numbers("batches", batches)

    def step(carry: tuple[Any, Any], batch: Any) -> tuple[tuple[Any, Any], jax.Array]:
        weights, state = carry
        value, grads = jax.value_and_grad(scalar(loss))(weights, batch)
        grads = downhill(grads)
        extra = {"value": value, "grad": grads, "value_fn": lambda w: loss(w, batch)}
        updates, new_state = pair.update(grads, state, weights, **extra)
        return (apply_updates(weights, updates), like(state, new_state)), value

    weights = jax.tree.map(lambda p: jnp.asarray(p).astype(jnp.result_type(p)), params)
    (weights, state), losses = jax.lax.scan(step, (weights, pair.init(weights)), batches)
    return weights, state, losses


def downhill(grads: Any) -> Any:
    """The gradients against which a loss falls: for complex parameters JAX's ``grad`` is their conjugate."""
    return jax.tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads)


def scalar(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The loss, with an error of its own where it returns no floating scalar."""

    def checked(*args: Any) -> Any:
        value = loss(*args)
        check_scalar(value)
        return value

    return checked


def check_scalar(value: Any) -> None:
    """Checks that a loss is one floating number."""
    if not hasattr(value, "dtype") and not isinstance(value, float):
        raise TypeError(
            f"The loss must return a floating scalar, but returned {type(value).__name__}; has_aux=True takes a pair."
        )
    if jnp.ndim(value) != 0:
        raise ValueError(f"The loss must return a scalar, but returned shape {jnp.shape(value)}; take its mean or sum.")
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(f"The loss must be a floating number, but has type {jnp.result_type(value)}.")


def like(old: Any, new: Any) -> Any:
    """``new`` with the types of ``old``, so that it can be carried through a loop."""
    return jax.tree.map(lambda o, n: n if o.dtype == jnp.asarray(n).dtype else jnp.asarray(n).astype(o.dtype), old, new)


def same_length(name: str, tree: Any, what: str) -> int:
    """The common length of the leading axes of a tree's leaves."""
    lengths = {}
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        where = jax.tree_util.keystr(path) or "(root)"
        if jnp.ndim(x) == 0:
            raise ValueError(f"{name}: the leaf at {where} is a scalar; every leaf needs a leading axis of {what}.")
        lengths[where] = jnp.shape(x)[0]
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: the leading axes ({what}) of the leaves must be equally long, but are {lengths}.")
    return next(iter(lengths.values()), 0)

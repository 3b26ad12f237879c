"""A transformation of a part of the tree: ``masked``, ``freeze``, ``set_to_zero``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.values import require
from jopt.values.leafwise import leaf_paths
from jopt.values.pairs import as_pair
from jopt.values.trees import is_function, structure


@transformation(wide=True, checked=False)
def set_to_zero() -> Any:
    """Makes every update zero, whatever it was, NaN too.

    ``u = 0``

    Returns:
      The transformation; its state is empty. In ``jopt.partition`` and ``jopt.masked`` it freezes leaves without any state
      for them.

    Example:
      >>> jopt.set_to_zero().update(jax.numpy.float32(3.0), jopt.set_to_zero().init(1.0))[0]
      Array(0., dtype=float32)
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        # With its type, a leaf of weak type keeps its sharding too.
        return jax.tree.map(lambda g: jnp.zeros_like(g, dtype=jnp.result_type(g)), updates), state

    return lambda params: optax.EmptyState(), update


@transformation(wide="parts", checked=False, static=("mask",))
def masked(inner: optax.GradientTransformation, mask: Any, *, mask_compatible_extra_args: bool = False) -> Any:
    """Applies a transformation to some of the leaves and passes the others on as they are.

    ``u = f(g)`` where the mask is true, ``u = g`` elsewhere

    Args:
      inner: The transformation, jopt's or Optax's. It sees ``optax.MaskedNode`` in place of the other leaves, and its state
        holds nothing for them.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves are transformed; a prefix of the
        parameter tree will do, and so will one bool. It is structure: it can't depend on values.
      mask_compatible_extra_args: Whether extra arguments that are trees like the updates (``grad``) are masked as these are.

    Returns:
      The transformation; its state is ``optax.MaskedState(inner_state)``.

    Raises:
      TypeError: When ``inner`` is no transformation.
      ValueError: From ``init`` and ``update``, for a mask that is no prefix of the tree.

    Example:
      >>> opt = jopt.masked(jopt.scale(10.0), {"w": True, "b": False})
      >>> tree = {"w": jnp.float32(1.0), "b": jnp.float32(1.0)}
      >>> {name: float(u) for name, u in opt.update(tree, opt.init(tree))[0].items()}
      {'b': 1.0, 'w': 10.0}
    """
    pair = as_pair(inner)

    def init(params: Any) -> optax.MaskedState:
        return optax.MaskedState(pair.init(select("masked", mask_for(mask, params), params)))

    def update(updates: Any, state: optax.MaskedState, params: Any = None, **extra_args: Any) -> Any:
        chosen = mask_for(mask, updates if params is None else params)
        if mask_compatible_extra_args:
            extra_args = select_alike("masked", chosen, updates, extra_args)
        few = None if params is None else select("masked", chosen, params)
        new, inner_state = pair.update(select("masked", chosen, updates), state.inner_state, few, **extra_args)
        return merge(chosen, new, updates), optax.MaskedState(inner_state)

    return init, update


@transformation(wide=True, checked=False, static=("mask",))
def freeze(mask: Any) -> Any:
    """Makes the updates of some of the leaves zero, so that their parameters stay as they are.

    ``u = 0`` where the mask is true, ``u = g`` elsewhere

    It belongs at the end of a chain, behind whatever else moves parameters (weight decay). The parts before it still keep their
    state for the frozen leaves; ``jopt.partition({"train": opt, "freeze": jopt.set_to_zero()}, labels)`` keeps none.

    Args:
      mask: A tree of bools, or a function from the parameters to one, saying which leaves are frozen; a prefix of the parameter
        tree will do, and so will one bool.

    Returns:
      The transformation; its state holds no arrays and is ``optax.freeze``'s.

    Raises:
      ValueError: From ``init`` and ``update``, for a mask that is no prefix of the tree.

    Example:
      >>> opt = jopt.chain(jopt.sgd(1.0), jopt.freeze({"w": False, "b": True}))
      >>> tree = {"w": jnp.float32(1.0), "b": jnp.float32(1.0)}
      >>> {name: float(u) for name, u in opt.update(tree, opt.init(tree))[0].items()}
      {'b': 0.0, 'w': -1.0}
    """
    return masked(set_to_zero(), mask)


def mask_for(mask: Any, tree: Any) -> Any:
    """A mask as a tree of bools; a function is not asked about a tree without leaves, of which all is chosen."""
    if not is_function(mask):
        return mask
    made = not jax.tree.leaves(tree) or mask(tree)
    require.choices("what mask, a function, makes", made)
    return made


def with_mask(make: Callable[[Any], Any], mask: Any) -> Any:
    """What ``make`` makes of a mask. A function is asked about the whole parameters, before the rule takes them apart."""
    if not is_function(mask):
        return make(mask)

    def init(params: Any) -> Any:
        return make(mask_for(mask, params)).init(params)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        return make(mask_for(mask, params)).update(updates, state, params, **extra_args)

    return init, update


def spread(what: str, chosen: Any, tree: Any) -> list[Any]:
    """What is given for each leaf of a tree by one value, or by a prefix of the tree with one for each branch."""
    try:
        found: list[Any] = jax.tree.leaves(jax.tree.broadcast(chosen, tree)) if jax.tree.leaves(tree) else []
    except ValueError as error:
        raise misfit(what, chosen, tree) from error
    return found


def misfit(what: str, chosen: Any, tree: Any) -> ValueError:
    """The error for what should be a prefix of a tree and is none."""
    have, want = leaf_paths(chosen), leaf_paths(tree)
    more = ""
    if type(chosen) is not type(tree):
        more = f" It is a {type(chosen).__name__}, and the tree is a {type(tree).__name__}: make it of that type."
    if any("*" in path for path in have):
        more = ' Patterns are for jopt.matching("*/kernel"), which makes a mask of them.'
    return ValueError(
        f"{what} must be one value or a prefix of the parameter tree, with one for each branch, but its leaves are {have}, and "
        f"those of the tree {want}.{more}"
    )


def select(owner: str, chosen: Any, tree: Any) -> Any:
    """The tree with ``optax.MaskedNode`` in place of each branch that is not chosen.

    A tree without leaves stays as it is: there is nothing to choose, and ``optax.tree.map_params`` looks for it in the state.
    """
    if not jax.tree.leaves(tree):
        return tree
    try:
        return jax.tree.map(lambda wanted, branch: branch if wanted else optax.MaskedNode(), chosen, tree)
    except ValueError as error:
        raise misfit(f"{owner}: what says which leaves are meant", chosen, tree) from error


def select_alike(owner: str, chosen: Any, updates: Any, extra_args: dict[str, Any]) -> dict[str, Any]:
    """The extra arguments, with ``select`` applied to those that are trees like the updates."""
    like = structure(updates)
    return {k: select(owner, chosen, x) if structure(x) == like else x for k, x in extra_args.items()}


def merge(chosen: Any, new: Any, old: Any) -> Any:
    """The chosen branches of one tree and the other branches of the other."""
    if not jax.tree.leaves(old):
        return new
    return jax.tree.map(lambda wanted, n, o: n if wanted else o, chosen, new, old)

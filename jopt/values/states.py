"""Whether a state is an optimizer's own, where no parameters are at hand to make one."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.values.binding import Spec
from jopt.values.checks import no_axes, outline
from jopt.values.pairs import by_name, is_own, pair_of


@jax.tree_util.register_pytree_node_class
class _Parameters:
    """Stands for the parameters, and so for every tree of a state that is like them."""

    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        return (self.leaf,), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Iterable[Any]) -> _Parameters:
        return cls(*leaves)


def check_state(owner: str, optimizer: Any, state: Any) -> None:
    """Checks that a state can be a value's own: the types of its parts, whatever the parameters are.

    A rule of somebody else's, or one that has such a part, may have any; so may one that asks for parameters by name.

    Raises:
      ValueError: For the state of another optimizer.
    """
    no_axes(optimizer.bound)
    kept = _states(optimizer.bound.spec)
    if not kept:
        kept.append(_state_of(optimizer.bound))
    if not _fits(kept[0], state):
        raise ValueError(
            f"{owner}: the state is not that of {by_name(optimizer)}: expected {outline(kept[0])}, but got {outline(state)}. "
            f"Give the state that this optimizer's own init(params) or update returned."
        )


@functools.lru_cache(maxsize=1024)
def _states(spec: Spec) -> list[Any]:
    """A place to keep the outline of the state of one kind of optimizer; empty until it is worked out."""
    return []


def _state_of(bound: Any) -> Any:
    """The state of parameters of which nothing is known, in shapes; those themselves where it is not ours to say."""
    parameters = _Parameters(jax.ShapeDtypeStruct((), jnp.float32))
    try:
        return jax.eval_shape(pair_of(bound).init, parameters) if is_own(bound) else parameters
    except Exception:  # whatever it raises where parameters have not the names that it knows
        return parameters


def _fits(want: Any, have: Any) -> bool:
    """Whether a state has the parts that it should have; arrays, and what is like the parameters, may be anything."""
    if isinstance(want, Mapping):
        return isinstance(have, Mapping) and want.keys() == have.keys() and all(_fits(want[key], have[key]) for key in want)
    if not isinstance(want, (tuple, list)) or isinstance(want, optax.MaskedNode):
        return True
    if hasattr(want, "_fields") and type(want) is not type(have):
        return False
    return isinstance(have, (tuple, list)) and len(want) == len(have) and all(map(_fits, want, have))

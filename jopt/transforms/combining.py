"""Several transformations as one: ``chain``, ``named_chain``, ``identity``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import GradientTransformation, transformation
from jopt.values import require
from jopt.values.binding import is_value
from jopt.values.leafwise import wide_dtype
from jopt.values.numbers import is_number
from jopt.values.pairs import as_pair, is_transformation
from jopt.values.trees import is_function


@transformation(wide=True, checked=False)
def identity() -> Any:
    """Passes the updates on as they are.

    ``u = g``

    Returns:
      The transformation; its state is empty.

    Example:
      >>> jopt.identity().update(1.0, jopt.identity().init(1.0))[0]
      1.0
    """
    return lambda params: optax.EmptyState(), lambda updates, state, params=None, **extra_args: (updates, state)


@transformation(wide="parts", checked=False)
def chain(*args: optax.GradientTransformation) -> Any:
    """Applies transformations one after the other, each to the updates of the one before.

    ``u = fₙ(… f₂(f₁(g)))``

    Where every part is one of jopt's own rules, narrow gradients (bfloat16, float16) are widened to float32 once at the
    entry and rounded once at the end. Extra arguments of ``update`` reach every part; one of jopt's own also gets the
    chain's learning rate, where exactly one other part has one that is a number (``reduce_on_plateau`` needs it for
    ``min_lr``).

    Args:
      *args: The transformations, jopt's or Optax's, in order.

    Returns:
      The transformation; its state is the tuple of theirs. Its ``hyperparams`` are theirs by the name of each part
      (``adam``, ``clip_by_global_norm``; a second ``adam`` is ``adam_2``).

    Raises:
      TypeError: When a part is no transformation.
      ValueError: When something stands behind a part whose state follows the parameters (an average, what rounding took).

    Example:
      >>> opt = jopt.chain(jopt.clip_by_global_norm(1.0), jopt.sgd(0.1))
      >>> opt.hyperparams
      {'clip_by_global_norm': {'max_norm': 1.0}, 'sgd': {'learning_rate': 0.1}}
    """
    _check_parts("chain", args)
    _check_order("chain", args)
    return _compose(args)


def named_chain(*transforms: tuple[str, optax.GradientTransformation]) -> GradientTransformation:
    """Applies named transformations one after the other; the names are those of the states and the hyperparameters.

    ``u = fₙ(… f₂(f₁(g)))``

    Args:
      *transforms: Pairs of a name and a transformation, in order; the names must differ.

    Returns:
      The transformation; its state is a dict from each name to that part's state.

    Raises:
      ValueError: When two parts have one name, and for an order that ``jopt.chain`` refuses.
      TypeError: When a part is no pair of a name and a transformation.

    Example:
      >>> opt = jopt.named_chain(("clip", jopt.clip(1.0)), ("step", jopt.sgd(0.1)))
      >>> opt.replace(**{"step.learning_rate": 0.2}).hyperparams["step"]
      {'learning_rate': 0.2}
    """
    for pair in transforms:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(f"named_chain takes pairs of a name and a transformation, but got {require.shown(pair)}.")
    names = [name for name, _ in transforms]
    if len(set(names)) < len(names):
        raise ValueError(f"named_chain needs names that differ, but got {names}.")
    return _named_chain(**dict(transforms))


@transformation(name="named_chain", wide="parts", checked=False)
def _named_chain(**parts: optax.GradientTransformation) -> Any:
    _check_parts("named_chain", list(parts.values()))
    _check_order("named_chain", list(parts.values()))
    init_all, update_all = _compose(list(parts.values()))

    def init(params: Any) -> dict[str, Any]:
        return dict(zip(parts, init_all(params), strict=True))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if not (isinstance(state, Mapping) and set(state) == set(parts)):
            raise _no_states("named_chain", f"a dict with a state for each of {list(parts)}", state)
        states = tuple(state[name] for name in parts)
        updates, states = update_all(updates, states, params, **extra_args)
        return updates, dict(zip(parts, states, strict=True))

    return init, update


def _check_parts(name: str, parts: Sequence[Any]) -> None:
    for i, part in enumerate(parts):
        check_part(name, f"part {i}", part)


def check_part(owner: str, which: str, part: Any) -> None:
    """Checks that a part is a transformation."""
    if not is_transformation(part):
        hint = f"; did you forget to call {_called(part)}?" if is_function(part) else "."
        raise TypeError(f"{owner}: {which} is a {type(part).__name__}, not a transformation{hint}")


def _check_order(owner: str, parts: Sequence[Any]) -> None:
    """Checks that nothing stands behind a part whose state follows the parameters."""
    for part, behind in itertools.pairwise(parts):
        for name in _last_in(part):
            raise ValueError(
                f"{owner}: {_name(behind)} stands behind {name}, whose state follows the parameters as its own updates move "
                f"them: changed updates would make it wrong without a word. Put {name} around the whole chain."
            )


def _last_in(part: Any) -> list[str]:
    """The rules in a part that must come last."""
    if not is_value(part):
        return []
    factory = part.bound.spec.factory
    inner = jax.tree.leaves(part.bound.arguments(), is_leaf=is_transformation)
    return [factory.name] if factory.last else [name for x in filter(is_transformation, inner) for name in _last_in(x)]


def _name(part: Any) -> str:
    return str(part.bound.spec.factory.name) if is_value(part) else f"a {type(part).__name__}"


def _called(factory: Any) -> str:
    return f"{factory.__name__}(...)" if hasattr(factory, "__name__") else "it"  # optax.nadam is a partial and has no name


def _no_states(name: str, expected: str, state: Any) -> ValueError:
    found = f"a {type(state).__name__}" + (f" of {len(state)}" if isinstance(state, (tuple, list)) else "")
    found = f"a dict with {list(state)}" if isinstance(state, Mapping) else found
    return ValueError(
        f"{name}: the state must be {expected}, as its own init(params) makes it, but got {found}. The order is "
        f"update(updates, state, params)."
    )


def _compose(parts: Sequence[Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    pairs = [as_pair(part) for part in parts]
    rates = [constant_rate(part) for part in parts]
    own = [is_value(part) and not part.bound.spec.factory.lifted for part in parts]
    wide = len(parts) > 1 and all(map(keeps_width, parts))

    def init(params: Any) -> tuple[Any, ...]:
        return tuple(pair.init(params) for pair in pairs)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if not (isinstance(state, (tuple, list)) and len(state) == len(parts)):
            raise _no_states("chain", f"a tuple with one state for each of its {len(parts)} parts", state)
        given = updates
        updates = jax.tree.map(widen, updates) if wide else updates
        states = []
        for i, (pair, part_state) in enumerate(zip(pairs, state, strict=True)):
            told = _with_rate(extra_args, rates, i) if own[i] else extra_args  # some of Optax's refuse what they don't know
            updates, new_state = pair.update(updates, part_state, params, **told)
            states.append(new_state)
        if wide:
            updates = jax.tree.map(narrow, updates, given)
        return updates, tuple(states)

    return init, update


def keeps_width(part: Any) -> bool:
    """Whether a part promises that it may be run on float32 copies of narrower gradients."""
    if not is_value(part):
        return False
    wide = part.bound.spec.factory.wide
    if wide != "parts":
        return bool(wide)
    parts = jax.tree.leaves(part.bound.arguments(), is_leaf=is_transformation)
    return all(map(keeps_width, filter(is_transformation, parts)))


def widen(x: Any) -> jax.Array:
    """A real floating leaf in float32 or wider; others as they are."""
    array = jnp.asarray(x)
    return array.astype(wide_dtype(array)) if jnp.issubdtype(array.dtype, jnp.floating) else array


def narrow(u: jax.Array, like: Any) -> jax.Array:
    """An update in the type of its gradient."""
    kind = jnp.result_type(like)
    return u.astype(kind) if jnp.issubdtype(kind, jnp.inexact) else u  # what an integer became is no integer


def constant_rate(part: Any) -> Any:
    """The part's learning rate where it is a number, else ``None``."""
    rate = part.bound.arguments().get("learning_rate") if is_value(part) else None
    return rate if is_number(rate) else None


def _with_rate(extra_args: dict[str, Any], rates: Sequence[Any], index: int) -> dict[str, Any]:
    rate = rate_of_the_others(rates, index)
    return extra_args if rate is None else {"learning_rate": rate, **extra_args}


def rate_of_the_others(rates: Sequence[Any], index: int) -> Any:
    """The learning rate that a part is told: that of the other parts, where exactly one has one; else ``None``."""
    known = [rate for i, rate in enumerate(rates) if rate is not None and i != index]
    return known[0] if len(known) == 1 else None

"""Several transformations as one: ``chain``, ``named_chain``, ``identity``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt._leafwise import wide_dtype
from jopt._numbers import is_number
from jopt._pairs import as_pair, is_transformation
from jopt._values import is_value
from jopt.transformation import GradientTransformation, transformation


@transformation(wide=True)
def identity() -> Any:
    """Passes the updates on as they are.

    ``u = g``

    Returns:
      The transformation; its state is empty.

    Example:
      >>> jopt.identity().update(1.0, jopt.identity().init(1.0))[0]
      1.0
    """
    return optax.identity()


@transformation
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

    Example:
      >>> opt = jopt.chain(jopt.clip_by_global_norm(1.0), jopt.sgd(0.1))
      >>> opt.hyperparams
      {'clip_by_global_norm': {'max_norm': 1.0}, 'sgd': {'learning_rate': 0.1}}
    """
    _check_parts("chain", args)
    return _compose(args)


def named_chain(*transforms: tuple[str, optax.GradientTransformation]) -> GradientTransformation:
    """Applies named transformations one after the other; the names are those of the states and the hyperparameters.

    ``u = fₙ(… f₂(f₁(g)))``

    Args:
      *transforms: Pairs of a name and a transformation, in order; the names must differ.

    Returns:
      The transformation; its state is a dict from each name to that part's state.

    Raises:
      ValueError: When two parts have one name.
      TypeError: When a part is no pair of a name and a transformation.

    Example:
      >>> opt = jopt.named_chain(("clip", jopt.clip(1.0)), ("step", jopt.sgd(0.1)))
      >>> opt.replace(**{"step.learning_rate": 0.2}).hyperparams["step"]
      {'learning_rate': 0.2}
    """
    for pair in transforms:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(f"named_chain takes pairs of a name and a transformation, but got {pair!r}.")
    names = [name for name, _ in transforms]
    if len(set(names)) < len(names):
        raise ValueError(f"named_chain needs names that differ, but got {names}.")
    return _named_chain(**dict(transforms))


@transformation(name="named_chain")
def _named_chain(**parts: optax.GradientTransformation) -> Any:
    _check_parts("named_chain", list(parts.values()))
    composed = _compose(list(parts.values()))

    def init(params: Any) -> dict[str, Any]:
        states: Any = composed.init(params)
        return dict(zip(parts, states, strict=True))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        states: Any = tuple(state[name] for name in parts)
        updates, states = composed.update(updates, states, params, **extra_args)
        return updates, dict(zip(parts, states, strict=True))

    return init, update


def _check_parts(name: str, parts: Sequence[Any]) -> None:
    for i, part in enumerate(parts):
        if not is_transformation(part):
            hint = f"; did you forget to call {part.__name__}(...)?" if callable(part) else "."
            raise TypeError(f"{name}: part {i} is a {type(part).__name__}, not a transformation{hint}")


def _compose(parts: Sequence[Any]) -> optax.GradientTransformationExtraArgs:
    pairs = [as_pair(part) for part in parts]
    rates = [_learning_rate(part) for part in parts]
    own = [is_value(part) and not part.bound.spec.factory.lifted for part in parts]
    wide = len(parts) > 1 and all(map(_keeps_width, parts))

    def init(params: Any) -> tuple[Any, ...]:
        return tuple(pair.init(params) for pair in pairs)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        given = updates
        updates = jax.tree.map(_widen, updates) if wide else updates
        states = []
        for i, (pair, part_state) in enumerate(zip(pairs, state, strict=True)):
            told = _with_rate(extra_args, rates, i) if own[i] else extra_args  # some of Optax's refuse what they don't know
            updates, new_state = pair.update(updates, part_state, params, **told)
            states.append(new_state)
        if wide:
            updates = jax.tree.map(lambda u, g: u.astype(jnp.result_type(g)), updates, given)
        return updates, tuple(states)

    return optax.GradientTransformationExtraArgs(init, update)


def _keeps_width(part: Any) -> bool:
    if not is_value(part):
        return False
    if part.bound.spec.factory.name in ("chain", "named_chain"):
        return all(map(_keeps_width, part.bound.arguments().values()))
    return bool(part.bound.spec.factory.wide)


def _widen(x: Any) -> jax.Array:
    array = jnp.asarray(x)
    return array if jnp.iscomplexobj(array) else array.astype(wide_dtype(array))


def _learning_rate(part: Any) -> Any:
    """The part's learning rate where it is a number, else ``None``."""
    rate = part.bound.arguments().get("learning_rate") if is_value(part) else None
    return rate if is_number(rate) else None


def _with_rate(extra_args: dict[str, Any], rates: Sequence[Any], index: int) -> dict[str, Any]:
    known = [rate for i, rate in enumerate(rates) if rate is not None and i != index]
    return {"learning_rate": known[0], **extra_args} if len(known) == 1 else extra_args

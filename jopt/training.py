"""One training run as one pure function."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
import numpy as np

from jopt.hyper import HYPER, named
from jopt.recording import recorded
from jopt.values import checks, require
from jopt.values.applying import apply_updates
from jopt.values.names import LOSS
from jopt.values.numbers import is_number
from jopt.values.pairs import as_pair, is_transformation
from jopt.values.trees import like


@overload
def train(
    loss: Callable[..., Any], params: Any, optimizer: Any, batches: Any, *, key: Any = ..., has_aux: Literal[False] = ...
) -> tuple[Any, Any, jax.Array]: ...
@overload
def train(
    loss: Callable[..., Any], params: Any, optimizer: Any, batches: Any, *, key: Any = ..., has_aux: Literal[True]
) -> tuple[Any, Any, dict[str, jax.Array]]: ...
def train(
    loss: Callable[..., Any], params: Any, optimizer: Any, batches: Any, *, key: Any = None, has_aux: bool = False
) -> tuple[Any, Any, jax.Array | dict[str, jax.Array]]:
    """Trains parameters on a sequence of batches: a scan over ``value_and_grad``, ``update`` and ``apply_updates``.

    ``gₜ = ∇ loss(wₜ, batchₜ)``; ``wₜ₊₁ = wₜ + update(gₜ)``, where the gradient of complex parameters is the conjugate of
    ``jax.grad``, so that they descend. It is pure, so it goes under ``jit``, ``vmap`` over
    ``jopt.lanes`` (a sweep) and ``grad`` with respect to the optimizer (hypergradients).

    Args:
      loss: As in ``jopt.sweep``: ``loss(params, batch)``, or ``loss(params, batch, key)``, a floating scalar; with ``has_aux``,
        a pair of that and a dict of named scalars.
      params: The initial parameters, a pytree of floating or complex arrays.
      optimizer: A transformation; its ``update`` is given ``value=``, ``grad=`` and ``value_fn=`` as well.
      batches: A pytree of arrays with a leading axis of steps.
      key: A random key, for a loss that takes one: step t, from 0, is given ``jax.random.fold_in(key, t)``.
      has_aux: Whether the loss returns auxiliary values.

    Returns:
      The final parameters, the final optimizer state, and the loss before each step, ``[steps]``. With ``has_aux`` the last
      is a dict of such arrays: "loss", and the auxiliary values under their names. Of an optimizer that averages parameters
      the average is ``jopt.evaluation_params(state, params)`` of these two.

    Raises:
      TypeError: For swapped arguments, or a loss that is no floating scalar.
      ValueError: For batches without arrays, whose leaves differ in their number of steps, or whose whole numbers don't fit
        the 32 bits that JAX gives them; for a key where the loss takes none, and none where it takes one.

    Example:
      >>> import jax.numpy as jnp
      >>> loss = lambda w, x: (w - x) ** 2
      >>> w, state, losses = jopt.train(loss, jnp.float32(0.0), jopt.sgd(0.25), jnp.ones(3))
      >>> losses
      Array([1.    , 0.25  , 0.0625], dtype=float32)
    """
    _check_arguments(loss, params, optimizer, batches, key)
    has_aux = require.flag("train: has_aux", has_aux)
    weights = jax.tree.map(lambda p: jnp.asarray(p).astype(jnp.result_type(p)), params)

    def step(carry: tuple[Any, Any], given: tuple[Any, Any]) -> tuple[tuple[Any, Any], dict[str, Any]]:
        t, batch = given
        args = (batch,) if key is None else (batch, jax.random.fold_in(key, t))
        return descend(loss, optimizer, carry, args, has_aux, {})

    steps = jnp.arange(same_length("batches", batches, "steps"))
    (weights, state), recorded = jax.lax.scan(step, (weights, as_pair(optimizer).init(weights)), (steps, batches))
    return weights, state, dict(recorded) if has_aux else recorded["loss"]


def _check_arguments(loss: Any, params: Any, optimizer: Any, batches: Any, key: Any) -> None:
    if not callable(loss):
        raise TypeError(f"train takes (loss, params, optimizer, batches); the loss is a {type(loss).__name__}, not a function.")
    checks.params("train", params)
    checks.no_shapes("train", params)
    if not is_transformation(optimizer):
        hint = "; call the factory: jopt.adam(...)" if callable(optimizer) else ""
        raise TypeError(f"train: the optimizer must be a transformation, but got {type(optimizer).__name__}{hint}.")
    require.tree("train: batches", batches)
    if not jax.tree.leaves(batches):
        raise ValueError(
            "train: batches holds no array; give a pytree of arrays with a leading axis of steps (jnp.arange(steps), for a "
            "loss that takes no data)."
        )
    checks.whole_numbers("batches", batches)
    own = named(loss)
    if own is not None and own.default is own.empty:
        raise ValueError("train: the loss takes hyper, so give it: functools.partial(loss, hyper=...).")
    if takes_key(loss) and key is None:
        raise ValueError("train: the loss takes (params, batch, key), so give key=, of which each step gets its own.")
    if key is not None and not _is_key(key):
        raise TypeError(f"train: key must be a random key, jax.random.key(0), but got {require.shown(key)}.")
    if not takes_key(loss) and key is not None:
        raise ValueError("train: the loss takes (params, batch) and no key, so leave key= out.")


def _is_key(x: Any) -> bool:
    """Whether ``x`` is one random key, new or old."""
    if not isinstance(x, (jax.Array, np.ndarray)):
        return False
    new = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return x.shape == () if new else x.dtype == np.uint32 and x.ndim == 1


def descend(
    loss: Callable[..., Any],
    optimizer: Any,
    carry: Any,
    args: tuple[Any, ...],
    has_aux: bool,
    extra: Mapping[str, Any],
    record: Sequence[str] = (),
) -> tuple[Any, dict[str, Any]]:
    """One step of gradient training: ``value_and_grad``, ``update``, ``apply_updates``.

    ``carry`` is the parameters and the optimizer's state, ``args`` what the loss is given beside the parameters, ``extra``
    what ``update`` is given beside the loss and its gradients, ``record`` what is to be recorded beside what the loss says.
    Returns the new carry, and what the loss said and what is recorded, by name.
    """
    params, state = carry
    split = _split(loss, has_aux)
    (value, aux), grads = jax.value_and_grad(split, has_aux=True)(params, *args)
    grads = downhill(grads)
    known = {"value": value, "grad": grads, "value_fn": lambda p: split(p, *args)[0], **extra}
    updates, new_state = as_pair(optimizer).update(grads, state, params, **known)
    new_state = like(state, new_state)
    said = OrderedDict({LOSS: value, **aux})
    if record:  # where nothing is, the traced step is none the longer
        trees = {"grad_norm": grads, "update_norm": updates, "param_norm": params}
        said |= recorded(record, optimizer, (state, new_state), trees, said)
    return (apply_updates(params, updates), new_state), said


def _split(loss: Callable[..., Any], has_aux: bool) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """A loss as a function to the scalar and the auxiliary values, both checked."""

    def split(*args: Any) -> tuple[Any, dict[str, Any]]:
        made = loss(*args)
        if has_aux and not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(f"With has_aux=True the loss must return (scalar, dict), but returned {type(made).__name__}.")
        value, aux = made if has_aux else (made, {})
        check_scalar(value)
        return value, scalars("The auxiliary values of the loss", aux, taken=(LOSS,))

    return split


def downhill(grads: Any) -> Any:
    """The gradients against which a loss falls: for complex parameters JAX's ``grad`` is their conjugate."""
    return jax.tree.map(lambda g: jnp.conj(g) if jnp.iscomplexobj(g) else g, grads)


def check_scalar(value: Any) -> None:
    """Checks that a loss is one floating number."""
    if not hasattr(value, "dtype") and not isinstance(value, float):
        raise TypeError(
            f"The loss must return a floating scalar, but returned {type(value).__name__}; has_aux=True takes a pair."
        )
    if jnp.ndim(value) != 0:
        raise _no_scalar(f"The loss must return a scalar, but returned shape {jnp.shape(value)}; take its mean or sum.", value)
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise TypeError(f"The loss must be a floating number, but has type {jnp.result_type(value)}.")


def _no_scalar(message: str, value: Any) -> ValueError:
    """The error for an array in the place of a scalar, which knows the array's shape (see ``hyper.shapes_told``)."""
    error = ValueError(message)
    error.no_scalar = jnp.shape(value)  # type: ignore[attr-defined]
    return error


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


def scalars(what: str, made: Any, taken: tuple[str, ...] = ()) -> dict[str, Any]:
    """A dict of named scalars, checked; ordered, because JAX gives plain dicts back sorted, and the first name matters."""
    if not isinstance(made, Mapping):
        got = "an array" if isinstance(made, jax.Array) else type(made).__name__
        raise TypeError(f"{what} must be a dict of named scalars, {{name: scalar}}, but got {got}.")
    for name, value in made.items():
        if not isinstance(name, str) or name in taken:
            raise ValueError(f"{what}: {name!r} can't be the name of a variable here; rename it.")
        if not is_number(value) and not jnp.issubdtype(getattr(value, "dtype", type(value)), jnp.bool_):
            raise TypeError(
                f"{what}: {name!r} must be a number, but is a {type(value).__name__}. What one step hands to "
                f"the next goes into the carry of jopt.sweep_steps."
            )
        if jnp.iscomplexobj(value):
            raise TypeError(f"{what}: {name!r} must be a real number, but is complex; take its absolute value.")
        if jnp.ndim(value) != 0:
            raise _no_scalar(f"{what}: {name!r} must be a scalar, but has shape {jnp.shape(value)}; take its mean.", value)
    return OrderedDict((name, jnp.asarray(value)) for name, value in made.items())


def takes_key(loss: Callable[..., Any]) -> bool:
    """Whether a loss takes (params, batch, key) rather than (params, batch), beside ``hyper``."""
    try:
        parameters = inspect.signature(loss).parameters.values()
    except ValueError:  # a builtin without a signature
        return False
    others = [p for p in parameters if p.name != HYPER]
    required = [p for p in others if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    words = [p.name for p in others if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    if len(required) not in (2, 3) or words:
        hint = "a batch of several arrays is one argument, a tuple or a dict, as in data"
        if words:
            hint = f"give what {words[0]!r} is to be: functools.partial(loss, {words[0]}=...)"
        elif len(required) < 2:
            hint = "where there are no data the batch is None: loss(params, batch)"
        raise TypeError(
            f"The loss must take (params, batch) or (params, batch, key), but takes {len(required)} arguments without a "
            f"default: {[p.name for p in required] + words}; {hint}."
        )
    return len(required) == 3

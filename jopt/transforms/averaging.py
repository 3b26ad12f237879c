"""Averages of the parameters, and which parameters an optimizer is to be judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jopt.transformation import transformation
from jopt.values import checks
from jopt.values.applying import apply_updates
from jopt.values.leafwise import copies, leaf_paths, leafwise, one_number
from jopt.values.moments import one_minus_power
from jopt.values.numbers import Numeric, steps_since
from jopt.values.pairs import as_pair
from jopt.values.trees import flatten


class ParameterAverageState(NamedTuple):
    """State of ``parameter_ema`` and ``tail_average``."""

    count: Any  # int32, the number of updates so far
    average: Any  # the average, like the parameters
    inner_state: Any

    def evaluation_params(self) -> Any:
        """What the optimizer is judged by."""
        return self.average


@transformation(wide="parts", checked=False, domain={"decay": "[0, 1)"}, last=True)
def parameter_ema(
    optimizer: optax.GradientTransformation, decay: Numeric = 0.999, debias: bool = True, accumulator_dtype: Any = None
) -> Any:
    """Keeps an average of the parameters beside their training, the older ones with less weight.

    ``w' = w + u``, the optimizer's step; ``w̄' = w̄ + (1 − decay) / (1 − decayᵗ) (w' − w̄)``, which is the mean of w₁ … w_t with
    the weights decayᵗ⁻ⁱ. Without ``debias``, ``w̄' = decay · w̄ + (1 − decay) w'`` from w̄ = w₀.

    The training is that of the optimizer alone. ``jopt.sweep`` evaluates the average, and its results hold it; elsewhere it is
    ``jopt.evaluation_params(state, params)``.

    Args:
      optimizer: The transformation, jopt's or Optax's, whose updates are steps: all of it, with its rate.
      decay: The weight of the old average, in [0, 1); the average reaches back some 1 / (1 − decay) updates.
      debias: Whether the average leaves out the initial parameters.
      accumulator_dtype: The type of the average; by default the parameter's own, at least float32.

    Returns:
      The transformation; its state is ``ParameterAverageState(count, average, inner_state)``, one copy of the parameters more
      than the optimizer's. Its ``update`` needs the parameters.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters, and for a number out of its range.

    Differs from:
      ``optax.ema`` averages updates. Keras's average begins with w₀ (``debias=False``), PyTorch's ``AveragedModel`` with w₁.

    Reference:
      Polyak and Juditsky, 1992, doi:10.1137/0330046; Morales-Brotons et al., 2024, arXiv:2411.18704.

    Example:
      >>> opt = jopt.parameter_ema(jopt.sgd(1.0), 0.5, debias=False)
      >>> w = jnp.float32(4.0)
      >>> updates, state = opt.update(jnp.float32(2.0), opt.init(w), w)
      >>> w + updates, jopt.evaluation_params(state, w + updates)
      (Array(2., dtype=float32), Array(3., dtype=float32))
    """

    def share(count: Any) -> dict[str, Any]:
        return {"decay": decay, "t": count}

    def once(decay: Any, t: Any) -> dict[str, Any]:
        return {"share": (1.0 - decay) / (one_minus_power(decay, t) if debias else 1.0)}

    return _averaging("parameter_ema", optimizer, share, once, accumulator_dtype)


@transformation(wide="parts", checked=False, domain={"start": "[0, inf)"}, last=True)
def tail_average(optimizer: optax.GradientTransformation, start: Numeric = 0, accumulator_dtype: Any = None) -> Any:
    """Keeps the mean of the parameters after each update behind the first ``start`` ones, beside their training.

    ``w' = w + u``, the optimizer's step; ``w̄ = (w_{start + 1} + … + w_t) / (t − start)``, and ``w̄ = w_t`` for t ≤ start.

    The training is that of the optimizer alone. ``jopt.sweep`` evaluates the average, and its results hold it; elsewhere it is
    ``jopt.evaluation_params(state, params)``.

    Args:
      optimizer: The transformation, jopt's or Optax's, whose updates are steps: all of it, with its rate.
      start: How many updates are left out, at least 0 (2.5 is as good as 2). Three quarters of all are usual; with 0 it is
        Polyak's and Ruppert's average.
      accumulator_dtype: The type of the average; by default the parameter's own, at least float32.

    Returns:
      The transformation; its state is ``ParameterAverageState(count, average, inner_state)``, one copy of the parameters more
      than the optimizer's. Its ``update`` needs the parameters.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters, and for a number out of its range.

    Differs from:
      PyTorch's ``AveragedModel`` is told when to take the parameters in, once an epoch, say; here it is after each update.

    Reference:
      Polyak and Juditsky, 1992, doi:10.1137/0330046; Izmailov et al., 2018, arXiv:1803.05407 (SWA).

    Example:
      >>> opt = jopt.tail_average(jopt.sgd(1.0))
      >>> w = jnp.float32(4.0)
      >>> state = opt.init(w)
      >>> for _ in range(2):
      ...     updates, state = opt.update(jnp.float32(1.0), state, w)
      ...     w += updates
      >>> w, jopt.evaluation_params(state, w)
      (Array(2., dtype=float32), Array(2.5, dtype=float32))
    """

    def share(count: Any) -> dict[str, Any]:
        taken = jnp.ceil(steps_since(count, one_number("start", start)))
        return {"share": 1.0 / jnp.maximum(taken, 1.0)}

    return _averaging("tail_average", optimizer, share, None, accumulator_dtype)


def _averaging(name: str, optimizer: Any, share: Callable[[Any], dict[str, Any]], once: Any, dtype: Any) -> Any:
    """An optimizer with an average beside it, in which the newest parameters have the share that these functions make."""
    pair = as_pair(optimizer)

    def init(params: Any) -> ParameterAverageState:
        return ParameterAverageState(jnp.zeros([], jnp.int32), copies(params, dtype), pair.init(params))

    def rule(average: Any, w: Any, share: Any) -> Any:
        return jnp.where(share < 1.0, average + share * (w - average), w)

    def update(updates: Any, state: ParameterAverageState, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError(f"{name} needs the parameters: call update(updates, state, params).")
        updates, inner_state = pair.update(updates, state.inner_state, params, **extra_args)
        count = optax.safe_increment(state.count)
        trees = {"state.average": state.average, "params": apply_updates(params, updates)}
        (average,) = leafwise(rule, trees, once=once, **share(count))
        return updates, ParameterAverageState(count, average, inner_state)

    return init, update


# Which parameters an optimizer is judged by


def evaluation_params(state: Any, params: Any) -> Any:
    """The parameters to evaluate, to deploy and to keep: the average, where the optimizer keeps one, else ``params``.

    A state that holds such parameters has a method ``evaluation_params()`` that returns them, as those of
    ``jopt.schedule_free``, ``jopt.parameter_ema`` and ``jopt.tail_average`` do; a rule of your own may have one, too: a part of
    the state, with the structure of the parameters. It is found inside chains, wrappers and partitions; of several the
    outermost counts, then the first. ``jopt.sweep`` evaluates what this function returns, and ``Trial.params`` are it.

    Args:
      state: The state of the optimizer.
      params: The parameters that it trains, at which gradients are taken.

    Returns:
      A tree of the structure, shapes and types of ``params``; leaves of which the optimizer keeps no average are those of
      ``params`` themselves.

    Raises:
      ValueError: For an average of other parameters than these, as inside ``jopt.flatten``, and for swapped arguments.

    Example:
      >>> opt = jopt.chain(jopt.clip(1.0), jopt.parameter_ema(jopt.sgd(0.5)))
      >>> w = jnp.ones(2)
      >>> jopt.evaluation_params(opt.init(w), w)
      Array([1., 1.], dtype=float32)
    """
    if averages_in(params):
        raise ValueError("evaluation_params: params hold an optimizer's state; the order is evaluation_params(state, params).")
    for path, x in jax.tree_util.tree_flatten_with_path(params)[0]:
        checks.array(f"evaluation_params: params: the leaf at {jax.tree_util.keystr(path) or '(root)'}", x)
    return fitted(averaged(state, params), params)


def averages_in(state: Any) -> list[Any]:
    """The trees of parameters to evaluate that a state holds, the outermost alone where they are inside each other."""

    def holds_one(node: Any) -> bool:
        return callable(getattr(type(node), "evaluation_params", None))

    nodes = jax.tree.leaves(state, is_leaf=holds_one)
    return [node.evaluation_params() for node in nodes if holds_one(node)]


def averaged(state: Any, params: Any) -> Any:
    """``params`` with the leaves of the averages in ``state`` in their places, of whatever types and shapes these are."""
    found: dict[Any, Any] = {}
    for average in reversed(averages_in(state)):
        found |= dict(jax.tree_util.tree_flatten_with_path(average)[0])
    if not found:
        return params
    leaves, treedef = flatten(params)
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    if unknown := set(found) - set(paths):
        where = [jax.tree_util.keystr(path) or "(root)" for path in unknown]
        raise ValueError(
            f"The state holds an average of other parameters than these: it has {sorted(where)[:5]}, but the parameters are "
            f"{leaf_paths(params)[:5]}. Give the state and the parameters of one run, and put what reshapes them inside of the "
            f"average: jopt.parameter_ema(jopt.flatten(optimizer))."
        )
    return treedef.unflatten([found.get(path, leaf) for path, leaf in zip(paths, leaves, strict=True)])


def fitted(tree: Any, params: Any, lead: tuple[int, ...] = ()) -> Any:
    """A tree in the types and shapes of ``params``, or of their shapes, behind leading axes of its own."""

    def fit(x: Any, p: Any) -> Any:
        shape, kind = (*lead, *np.shape(p)), getattr(p, "dtype", None)
        if kind is not None and x.dtype != kind:  # NumPy's 64 bits have 32 as JAX's, where that has no more
            x = x.astype(jnp.result_type(p) if isinstance(x, jax.Array) else kind)
        return x if np.shape(x) == shape else x.reshape(shape)

    return jax.tree.map(fit, tree, params)

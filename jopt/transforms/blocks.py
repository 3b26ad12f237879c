"""Updates scaled leaf by leaf by norms: ``clip_by_block_rms``, ``scale_by_param_block_rms``, ``scale_by_trust_ratio``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.decay import switches
from jopt.values.leafwise import leafwise
from jopt.values.moments import abs_sq, nonzero, root
from jopt.values.numbers import Numeric


@transformation(wide=True, checked=False, domain={"threshold": "(0, inf)"})
def clip_by_block_rms(threshold: Numeric) -> Any:
    """Scales each leaf of the updates down to a largest root mean square.

    ``u = g / max(1, RMS(g) / threshold)``, where ``RMS(g) = √(mean |g|²)`` over one leaf.

    Args:
      threshold: The largest root mean square, above 0; or a prefix of the parameter tree with one per branch.

    Returns:
      The transformation; its state is empty.

    Reference:
      Shazeer and Stern, 2018, arXiv:1804.04235.

    Example:
      >>> rule = jopt.clip_by_block_rms(1.0)
      >>> rule.update(jax.numpy.array([4.0, -4.0]), rule.init(jax.numpy.zeros(2)))[0]
      Array([ 1., -1.], dtype=float32)
    """

    def rule(g: Any, threshold: Any) -> Any:
        return g / jnp.maximum(_rms(g) / threshold, 1.0)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        (clipped,) = leafwise(rule, {"updates": updates}, threshold=threshold)
        return clipped, state

    return _empty, update


@transformation(wide=True, checked=False, domain={"min_scale": "[0, inf)"})
def scale_by_param_block_rms(min_scale: Numeric = 1e-3) -> Any:
    """Multiplies each leaf of the updates by the root mean square of its parameter.

    ``u = g · max(RMS(p), min_scale)``, where ``RMS(p) = √(mean |p|²)`` over one leaf.

    Args:
      min_scale: The least factor, at least 0, so that a parameter of zeros can leave them.

    Returns:
      The transformation; its state is empty. Its ``update`` needs the parameters.

    Raises:
      ValueError: When ``update`` is called without the parameters.

    Reference:
      Shazeer and Stern, 2018, arXiv:1804.04235.

    Example:
      >>> rule = jopt.scale_by_param_block_rms()
      >>> p = jax.numpy.array([3.0, -3.0])
      >>> rule.update(jax.numpy.ones(2), rule.init(p), p)[0]
      Array([3., 3.], dtype=float32)
    """

    def rule(g: Any, p: Any, min_scale: Any) -> Any:
        return g * jnp.maximum(_rms(p), min_scale)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        _needs_params("scale_by_param_block_rms", params)
        (scaled,) = leafwise(rule, {"updates": updates, "params": params}, min_scale=min_scale)
        return scaled, state

    return _empty, update


@transformation(wide=True, checked=False, domain={"min_norm": "[0, inf)", "trust_coefficient": "[0, inf)", "eps": "[0, inf)"})
def scale_by_trust_ratio(
    min_norm: Numeric = 0.0,
    trust_coefficient: Numeric = 1.0,
    eps: Numeric = 0.0,
    *,
    mask: Any = None,
) -> Any:
    """Gives each leaf of the updates a length in proportion to its parameter's.

    ``u = g · η ‖p‖ / (‖g‖ + ε)``, with the Euclidean norms of one leaf, each at least ``min_norm``. Where one of them is 0,
    ``u = g``.

    Args:
      min_norm: The least value of both norms, at least 0.
      trust_coefficient: η, at least 0.
      eps: ε, at least 0.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves are scaled; by default all are.

    Returns:
      The transformation; its state holds no arrays. Its ``update`` needs the parameters.

    Raises:
      ValueError: When ``update`` is called without the parameters.

    Differs from:
      Optax has no ``mask`` here and wraps the rule in ``optax.masked``; the state is the same.

    Reference:
      You et al., 2017, arXiv:1708.03888 (LARS); You et al., 2019, arXiv:1904.00962 (LAMB).

    Example:
      >>> rule = jopt.scale_by_trust_ratio()
      >>> p = jax.numpy.array([0.0, 2.0])
      >>> rule.update(jax.numpy.array([3.0, 4.0]), rule.init(p), p)[0]
      Array([1.2, 1.6], dtype=float32)
    """

    def init(params: Any) -> Any:
        switches(mask, params)
        return optax.EmptyState() if mask is None else optax.MaskedState(optax.EmptyState())

    def rule(g: Any, p: Any, min_norm: Any, trust_coefficient: Any, eps: Any, mask: Any) -> Any:
        of_p, of_g = (jnp.maximum(root(jnp.sum(abs_sq(x))), min_norm) for x in (p, g))
        ratio = trust_coefficient * of_p / nonzero(of_g + eps)
        return g * jnp.where((of_p == 0.0) | (of_g == 0.0) | (mask == 0.0), 1.0, ratio)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        _needs_params("scale_by_trust_ratio", params)
        numbers: dict[str, Any] = {
            "min_norm": min_norm,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "mask": switches(mask, params),
        }
        (scaled,) = leafwise(rule, {"updates": updates, "params": params}, **numbers)
        return scaled, state

    return init, update


def _rms(x: jax.Array) -> jax.Array:
    """The root mean square of a leaf; 0 for an empty one, whose mean would be NaN."""
    return root(jnp.sum(abs_sq(x)) / float(max(x.size, 1)))


def _needs_params(name: str, params: Any) -> None:
    if params is None:
        raise ValueError(f"{name} needs the parameters: call update(updates, state, params).")


def _empty(params: Any) -> optax.EmptyState:
    return optax.EmptyState()

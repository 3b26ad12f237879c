"""Steps on a sphere: ``hyperball``."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.decay import switches
from jopt.values.leafwise import leafwise, wide_dtype
from jopt.values.moments import abs_sq, nonzero, root
from jopt.values.numbers import ScalarOrSchedule
from jopt.values.pairs import as_pair, evaluate


class HyperballState(NamedTuple):
    """State of ``hyperball``."""

    count: Any  # int32, the number of updates so far
    radius: Any  # for each parameter its norm at the beginning
    inner_state: Any


@transformation(wide="parts", checked=False, evaluates=("learning_rate",), domain={"learning_rate": "[0, inf)"}, last=True)
def hyperball(optimizer: optax.GradientTransformation, learning_rate: ScalarOrSchedule, mask: Any = None) -> Any:
    """Turns matrices where an optimizer's steps point to, on the sphere on which they began.

    ``w' = R n(w + α R n(s))`` with ``n(x) = x / ‖x‖`` and ``R = ‖w₀‖``, where s is the optimizer's step and the norms are the
    Euclidean ones of one leaf, and n(0) = 0; ``w' = w + s`` for the other leaves.

    Args:
      optimizer: The transformation, jopt's or Optax's, whose steps point downhill (``jopt.adam``, ``jopt.lion``). Of its steps
        for matrices the direction alone counts, so that their rate matters for the other leaves only; weight decay has no
        place in it, since the length of a matrix is given.
      learning_rate: α, at least 0, the tangent of the largest angle of a step: a number, a schedule, or a prefix of the
        parameter tree with one of these per branch.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves are turned; by default those of two
        or more axes. Embeddings and the last layer are often left out. A matrix that begins at 0 has no direction to turn from,
        and stays 0: leave it out.

    Returns:
      The transformation; its state is ``HyperballState(count, radius, inner_state)``. Its ``update`` needs the parameters.

    Raises:
      TypeError: When ``optimizer`` is no transformation.
      ValueError: When ``update`` is called without the parameters, and for a number out of its range.

    Reference:
      Wen et al., 2026, arXiv:2606.16899.

    Example:
      >>> opt = jopt.hyperball(jopt.sgd(1.0), 1.0)
      >>> w = jax.numpy.array([[2.0, 0.0]])
      >>> u, _ = opt.update(jax.numpy.array([[0.0, -5.0]]), opt.init(w), w)
      >>> (w + u).round(4)
      Array([[1.4142, 1.4142]], dtype=float32)
    """
    pair = as_pair(optimizer)

    def init(params: Any) -> HyperballState:
        switches(mask, params)
        return HyperballState(jnp.zeros([], jnp.int32), jax.tree.map(_norm, params), pair.init(params))

    def update(updates: Any, state: HyperballState, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError("hyperball needs the parameters: call update(updates, state, params).")
        steps, inner_state = pair.update(updates, state.inner_state, params, **extra_args)
        trees = {"updates": steps, "params": params, "state.radius": state.radius}
        numbers = {
            "learning_rate": evaluate(learning_rate, state.count),
            "turned": switches(_matrices if mask is None else mask, params),
        }
        (turned,) = leafwise(_turned, trees, reduced=("state.radius",), **numbers)
        return turned, HyperballState(optax.safe_increment(state.count), state.radius, inner_state)

    return init, update


def _turned(s: Any, w: Any, radius: Any, learning_rate: Any, turned: Any) -> Any:
    aim = w + learning_rate * radius * s / nonzero(_norm(s))
    return (jnp.where(turned > 0, aim * (radius / nonzero(_norm(aim))) - w, s),)


def _norm(x: Any) -> jax.Array:
    """The Euclidean norm of a leaf in float32 or wider; 0 for a shape in place of one."""
    if isinstance(x, jax.ShapeDtypeStruct):
        return jnp.zeros([], wide_dtype(x))
    x = jnp.asarray(x)
    wide = wide_dtype(x)
    return root(jnp.sum(abs_sq(x.astype(jnp.promote_types(wide, jnp.complex64) if jnp.iscomplexobj(x) else wide))))


def _matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)

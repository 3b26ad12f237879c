"""Shampoo: gradients divided by roots of their mean squares, as matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jopt.optimizers.adam import scale_by_adam
from jopt.transformation import transformation
from jopt.transforms import matrixwise
from jopt.transforms.combining import check_part
from jopt.transforms.descent import descent
from jopt.values.binding import is_value
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.matrices import adjoint, blocks, gathered, joined, laid_as, power
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule, whole
from jopt.values.pairs import as_pair, by_name
from jopt.values.refreshing import is_due, refreshed
from jopt.values.replacing import arguments_of

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1]", "eps": "[0, inf)", "precondition_frequency": "[1, inf)", "start": "[1, inf)"}
_ALIAS_DOMAIN = {
    **_DOMAIN,
    "learning_rate": "[0, inf)",
    "weight_decay": "[0, inf)",
    "adam_b2": "[0, 1)",
    "adam_eps": "[0, inf)",
}


class ScaleByShampooState(NamedTuple):
    """State of ``scale_by_shampoo``; matrices of a leaf are those of its blocks, [..., block, side, side]."""

    count: Any  # int32, the number of updates so far
    mu: Any  # the mean of the gradients
    left: Any  # L: the mean or the sum of g gᴴ
    right: Any  # R: of gᴴ g; one zero for a leaf of fewer than two axes
    left_root: Any  # L^(-1/4) as it was last worked out
    right_root: Any
    graft: Any  # the state of the rule that gives the steps their lengths


@transformation(wide="parts", static=("block_size",), domain=_DOMAIN)
def scale_by_shampoo(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-12,
    precondition_frequency: Numeric = 10,
    start: Numeric | None = None,
    block_size: int = 1024,
    *,
    graft: Any = None,
) -> Any:
    """Multiplies matrices by roots of their mean squares from the left and from the right.

    ``m' = β₁ m + (1 − β₁) g``; ``L' = β₂ L + (1 − β₂) g gᴴ``; ``R' = β₂ R + (1 − β₂) gᴴ g``, each with its bias correction
    (m̂, L̂, R̂); ``u = (L̂ + ε)^(−1/4) m̂ (R̂ + ε)^(−1/4)``. A leaf of fewer than two axes is a vector, with
    ``u = (L̂ + ε)^(−1/2) m̂``. With β₂ = 1, L and R are sums, and u is the paper's for β₁ = 0. With ``graft``, each u is
    scaled to the length of what that rule makes of the gradient.

    Matrices lie along the last two axes of a leaf, and whatever stands before is a stack of them.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1]; 1 is no decay and no mean.
      eps: ε, at least 0. No eigenvalue counts for less than rounding leaves of the largest one, with or without ε.
      precondition_frequency: k, at least 1: the roots are those of the last update t that was a multiple of k. In a sweep, the
        roots of all lanes are worked out in the updates in which those of one are due, and in no others.
      start: The first update, at least 1, that uses roots, and works them out; by default k. Before it, u is what ``graft``
        makes of the gradient, or m̂.
      block_size: Sides of matrices that are longer are cut into blocks of this length, each with an L and an R of its own;
        structure.
      graft: A transformation, jopt's or Optax's, whose updates say how long each matrix of u is: one without a rate, such as
        ``jopt.scale_by_adam()``, for they must point where the gradients point. ``None``: u as it is.

    Returns:
      The transformation; its state is ``ScaleByShampooState(count, mu, left, right, left_root, right_root, graft)``.

    Raises:
      ValueError: For a number out of its range, and for a graft with a rate, whose updates are steps.
      TypeError: For a graft that is no transformation.

    Differs from:
      Meta's Distributed Shampoo grafts block by block; here, as in Google's, the length is that of the whole matrix. Google's
      takes no mean before the roots, has no bias correction, and begins with L = ε. Derivatives with respect to the numbers do
      not go through the roots.

    Reference:
      Gupta et al., 2018, arXiv:1802.09568; Anil et al., 2020, arXiv:2002.09018 (grafting, blocks); Shi et al., 2023,
      arXiv:2309.06497.

    Example:
      >>> rule = jopt.scale_by_shampoo(b1=0.0, start=1)
      >>> g = jax.numpy.array([[3.0, 0.0], [0.0, -0.5]])
      >>> rule.update(g, rule.init(g))[0].round(5) + 0.0
      Array([[ 1.,  0.],
             [ 0., -1.]], dtype=float32)
    """
    size = whole("scale_by_shampoo: block_size", block_size)
    if graft is not None:
        _check_graft(graft)
    pair = as_pair(optax.identity() if graft is None else graft)

    def init(params: Any) -> ScaleByShampooState:
        kept = [_squares(params, side, size) for side in ("left", "right", "left", "right")]
        count: Any = jnp.zeros([], jnp.int32)
        return ScaleByShampooState._make((count, zeros_like(params), *kept, pair.init(params)))

    def once(b1: Any, b2: Any, eps: Any, precondition_frequency: Any, start: Any, t: Any) -> dict[str, Any]:
        decays = b2 < 1.0
        new, of_l = jnp.where(decays, 1.0 - b2, 1.0), 1.0 / jnp.where(decays, one_minus_power(b2, t), 1.0)
        begun = t >= start
        due = begun & (is_due(t, precondition_frequency) | (t < start + 1.0))
        of_m = 1.0 / one_minus_power(b1, t)
        return {"b1": b1, "of_m": of_m, "b2": b2, "new": new, "of_l": of_l, "eps": eps, "begun": begun, "due": due}

    def rule(g: Any, m: Any, left: Any, right: Any, left_root: Any, right_root: Any, grafted: Any, **numbers: Any) -> Any:
        b1, b2, new, due = (numbers[name] for name in ("b1", "b2", "new", "due"))
        given, is_matrix = (g, m), g.ndim >= 2
        g, m, grafted = map(gathered, (g, m, grafted))
        m = b1 * m + (1.0 - b1) * g
        mean = numbers["of_m"] * m
        u = mean
        if g.size and left.ndim:  # a tree without arrays is asked for by numbers
            cut = blocks(g, size)
            left = b2 * left + new * cut @ adjoint(cut)
            right = b2 * right + new * adjoint(cut) @ cut if is_matrix else right
            wanted = {"left": left, "right": right} if is_matrix else {"left": left}
            kept = {"left": left_root, "right": right_root} if is_matrix else {"left": left_root}
            kept = _renewed(due, *lax.stop_gradient((wanted, kept, numbers["of_l"], numbers["eps"])))
            u = kept["left"] @ blocks(mean, size)
            left_root, right_root = kept["left"], kept.get("right", right_root)
            u = joined(u @ right_root if is_matrix else u, g.shape)
        if graft is None:
            u = jnp.where(numbers["begun"], u, mean)
        else:
            u = jnp.where(numbers["begun"], u * (_length(grafted) / nonzero(_length(u))), grafted)
        return *map(laid_as, (u, m), given), left, right, left_root, right_root

    def update(updates: Any, state: ScaleByShampooState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        grafted, graft_state = pair.update(updates, state.graft, params, **extra_args)
        trees = {
            "updates": updates,
            **{f"state.{name}": getattr(state, name) for name in state._fields[1:-1]},
            "graft": grafted,
        }
        numbers: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "precondition_frequency": precondition_frequency}
        numbers |= {"start": precondition_frequency if start is None else start, "t": count}
        updates, *kept = leafwise(rule, trees, once=once, reduced=[*trees][2:-1], **numbers)
        return updates, ScaleByShampooState._make((count, *kept, graft_state))

    return init, update


def _squares(params: Any, side: str, size: int) -> Any:
    """Zeros for the matrices of one side of all leaves' blocks."""

    def zeros(p: Any) -> Any:
        shape = jax.eval_shape(lambda x: blocks(x, size), jax.ShapeDtypeStruct(jnp.shape(p), jnp.result_type(p))).shape
        length = shape[-2] if side == "left" else shape[-1]
        found = (1,) if side == "right" and jnp.ndim(p) < 2 else (*shape[:-2], length, length)
        return zeros_like(jax.ShapeDtypeStruct(found, jnp.result_type(p)))

    return jax.tree.map(zeros, params)


def _check_graft(graft: Any) -> None:
    """Checks that a graft is a rule, and one that points where gradients point, as far as one can see."""
    check_part("scale_by_shampoo", "graft", graft)
    paths = arguments_of(graft.bound) if is_value(graft) else ()
    if any(path.split(".")[-1] == "learning_rate" for path in paths):
        raise ValueError(
            f"shampoo: graft must be a rule without a rate, such as jopt.scale_by_adam(), whose updates point where gradients "
            f"point; those of an optimizer, {by_name(graft)}, are steps against them."
        )


def _length(x: jax.Array) -> jax.Array:
    """The Euclidean norm of each matrix, or of a vector."""
    return root(jnp.sum(abs_sq(x), axis=(-2, -1) if x.ndim >= 2 else None, keepdims=True))


@jax.jit  # or each update outside of jit would compile the branches anew
def _renewed(due: Any, means: dict[str, Any], roots: dict[str, Any], correction: Any, eps: Any) -> dict[str, Any]:
    """The roots after an update."""
    exponent = -0.5 / len(means)

    def make(kept: dict[str, Any]) -> dict[str, Any]:
        return {side: power(correction * mean, exponent, eps).astype(mean.dtype) for side, mean in means.items()}

    return dict(refreshed(due, make, roots))


@transformation(
    wide="parts",
    static=("block_size", "columns", "stacked", "matrices"),
    schedules=("weight_decay",),
    evaluates=("learning_rate",),
    domain=_ALIAS_DOMAIN,
)
def shampoo(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-12,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    precondition_frequency: Numeric = 10,
    start: Numeric | None = None,
    block_size: int = 1024,
    *,
    graft: Any = "adam",
    adam_b2: Numeric = 0.999,
    adam_eps: Numeric = 1e-8,
    decoupled: bool = False,
    columns: Any = 1,
    stacked: Any = 0,
    matrices: Any = None,
) -> Any:
    """Shampoo: each matrix times the roots of its mean squares from the left and from the right, as long as Adam's step.

    ``m' = β₁ m + (1 − β₁) g``; ``L' = β₂ L + (1 − β₂) g gᴴ``; ``R' = β₂ R + (1 − β₂) gᴴ g``, each with its bias correction;
    ``d = (L̂ + ε)^(−1/4) m̂ (R̂ + ε)^(−1/4)``; ``w' = w − α (d ‖a‖ / ‖d‖ + λ w)``, or ``w − α d ‖a‖ / ‖d‖ − λ w`` with
    ``decoupled``, where a is Adam's update of the same matrix, or another rule's. Vectors and scalars take the steps a.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch; with
        Adam's lengths, Adam's rates are near.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1]; 1 is no decay and no mean: L and R are sums, as in the paper.
      eps: ε, at least 0.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      precondition_frequency: k, at least 1: the roots are those of the last update that was a multiple of k.
      start: The first update, at least 1, with roots; by default k. Before it, steps are those of the graft.
      block_size: Longer sides of matrices are cut into blocks of this length; structure.
      graft: "adam", or a transformation without a rate, as in ``jopt.scale_by_shampoo``; ``None``: d as it is, and Adam's steps
        for vectors and scalars.
      adam_b2: β₂ in [0, 1) of Adam; its β₁ is b1.
      adam_eps: ε of Adam, at least 0.
      decoupled: Whether λ is not multiplied by the rate.
      columns: How many of the last axes of a leaf are the columns of its matrix, as in ``jopt.matrixwise``.
      stacked: How many of the first axes are those of a stack, as in ``jopt.matrixwise``.
      matrices: Which leaves may be matrices, as ``mask`` of ``jopt.matrixwise``; by default all.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For a number out of its range, and for a graft with a rate, whose updates are steps.
      TypeError: For a graft that is neither.

    Differs from:
      Meta's Distributed Shampoo grafts block by block, and gives vectors full matrices (``scale_by_shampoo`` does). Google's
      takes the momentum after the roots: that is ``chain(scale_by_shampoo(0.0, ...), trace(0.9))``.

    Use when:
      Epochs are dear and sides of matrices under some thousands: it won AlgoPerf's contest of tuned optimizers.

    Reference:
      Gupta et al., 2018, arXiv:1802.09568; Shi et al., 2023, arXiv:2309.06497.

    Example:
      >>> opt, w = jopt.shampoo(0.1, start=1), jax.numpy.zeros((2, 2))
      >>> u, _ = opt.update(jax.numpy.array([[3.0, 0.0], [0.0, -0.5]]), opt.init(w), w)
      >>> np.asarray(u).round(5) + 0.0
      array([[-0.1,  0. ],
             [ 0. ,  0.1]], dtype=float32)
    """
    adam = scale_by_adam(b1, adam_b2, adam_eps)
    if isinstance(graft, str) and graft != "adam":
        raise ValueError(f'shampoo: graft must be "adam", a transformation or None, but got {graft!r}.')
    lengths = adam if graft == "adam" else graft
    of_matrices = scale_by_shampoo(b1, b2, eps, precondition_frequency, start, block_size, graft=lengths)
    others = adam if lengths is None else lengths
    both = matrixwise(of_matrices, others, columns=columns, stacked=stacked, mask=matrices)
    return descent(both, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

"""PSGD Kron: gradients whitened by Kronecker factors that are fitted along the way."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.optimizers.kron_factors import are_diagonal, bounded, first_factor, matrix_shape, moved, sided, whitened
from jopt.transformation import transformation
from jopt.transforms import matrixwise
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, one_number, zeros_like
from jopt.values.matrices import gathered, laid_as
from jopt.values.moments import one_minus_power
from jopt.values.numbers import Numeric, ScalarOrSchedule, whole
from jopt.values.trees import flatten

_MODES = (None, "one_diag", "smart_one_diag", "all_diag")
_STATIC = ("max_size_triangular", "memory_save_mode")
_DOMAIN = {
    "b1": "[0, 1)",
    "preconditioner_update_probability": "[0, 1]",
    "precond_lr": "[0, inf)",
    "precond_init_scale": "(0, inf)",
    "seed": "whole [0, 16777215]",
}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


class ScaleByKronState(NamedTuple):
    """State of ``scale_by_kron``."""

    count: Any  # int32, the number of updates so far
    waited: Any  # int32, the number of updates since the factors moved
    mu: Any  # the mean of the gradients
    left: Any  # Q_L: an upper triangle [rows, rows], or its diagonal [rows]
    right: Any  # Q_R; one zero for a vector


@transformation(wide=True, static=_STATIC, domain=_DOMAIN)
def scale_by_kron(
    b1: Numeric = 0.9,
    preconditioner_update_probability: Numeric | None = None,
    precond_lr: Numeric = 0.1,
    precond_init_scale: Numeric = 1.0,
    max_size_triangular: int = 8192,
    memory_save_mode: str | None = None,
    seed: Numeric = 0,
    *,
    momentum_into_precond_update: bool = True,
    vectors: bool = False,
) -> Any:
    """Whitens matrices: multiplies them by ``Q_Lᴴ Q_L`` from the left and by ``Q_Rᴴ Q_R`` from the right.

    ``m' = β₁ m + (1 − β₁) g``; ``u = Q_Lᴴ Q_L m̂ Q_Rᴴ Q_R`` with the bias correction m̂, scaled down to a root mean square of
    1.1. Before that, the factors move: ``A = Q_L (m̂ + √ε mean|m̂| V) Q_Rᴴ`` and ``B = Q_L⁻ᴴ V Q_R⁻¹`` for normal numbers V,
    ``Q_L' = Q_L − η triu(A Aᴴ − B Bᴴ) Q_L / ‖A Aᴴ + B Bᴴ‖`` (‖·‖ near the spectral norm), and Q_R' the same way. Where they
    rest, A Aᴴ and B Bᴴ are equal in the mean: u is white. In one of a hundred such updates both factors are first scaled to
    one largest element.

    Matrices lie along the last two axes of a leaf, and whatever stands before is a stack of them. A leaf of fewer than two axes
    is a vector, with one factor, a diagonal.

    Args:
      b1: β₁ in [0, 1).
      preconditioner_update_probability: P in [0, 1], or a schedule: the factors move as soon as 1 / P updates have passed since
        they did. By default its author's schedule, 1 for 500 updates, falling to 0.03 until 4,000. In a sweep, those of all
        lanes are worked out in the updates in which one moves, and in no others.
      precond_lr: η, at least 0.
      precond_init_scale: What u is of m̂ at the first update, above 0.
      max_size_triangular: A longer side gets a diagonal, one number for each row or column; structure.
      memory_save_mode: "one_diag" gives the longer side a diagonal, "smart_one_diag" does where it is longer, "all_diag" gives
        both one; structure.
      seed: The seed of V, a whole number under 2**24. V depends on it, on the number of the update and on the leaf's place in
        the tree alone.
      momentum_into_precond_update: Whether m̂ moves the factors; if not, g does.
      vectors: Whether every leaf is one vector.

    Returns:
      The transformation; its state is ``ScaleByKronState(count, waited, mu, left, right)``.

    Raises:
      ValueError: For another mode, and for a number out of its range.

    Differs from:
      Its author's code puts the noise √ε mean|m̂| V into u too, and lets the factors of a leaf whose gradients are all 0 grow
      until they overflow; here they stay.

    Reference:
      Pooladzandi and Li, 2024, arXiv:2402.04553.

    Example:
      >>> rule, g = jopt.scale_by_kron(precond_lr=0.01), jax.numpy.array([[3.0, 0.0], [0.0, -0.5]])
      >>> state = rule.init(g)
      >>> for _ in range(300):
      ...     u, state = rule.update(g, state)
      >>> u.round() + 0.0
      Array([[ 1.,  0.],
             [ 0., -2.]], dtype=float32)
    """
    most = whole("scale_by_kron: max_size_triangular", max_size_triangular, at_least=0)
    if memory_save_mode not in _MODES:
        raise ValueError(f"scale_by_kron: memory_save_mode must be one of {[*_MODES]}, but got {memory_save_mode!r}.")

    def factors(params: Any, side: int) -> Any:
        scale = one_number("precond_init_scale", precond_init_scale)

        def of_leaf(p: Any) -> Any:
            diagonal = are_diagonal(matrix_shape(p, vectors), most, memory_save_mode)
            return first_factor(p, side, diagonal, scale, vectors)

        return jax.tree.map(of_leaf, params)

    def init(params: Any) -> ScaleByKronState:
        count, waited = (jnp.zeros([], jnp.int32) for _ in range(2))
        return ScaleByKronState(count, waited, zeros_like(params), factors(params, 0), factors(params, 1))

    def once(b1: Any, precond_lr: Any, seed: Any, due: Any, t: Any) -> dict[str, Any]:
        return {"b1": b1, "of_m": 1.0 / one_minus_power(b1, t), "eta": precond_lr, "seed": seed, "due": due > 0.0, "t": t}

    def rule(g: Any, m: Any, left: Any, right: Any, index: Any, *, b1: Any, of_m: Any, **numbers: Any) -> Any:
        given, is_vector = (g, m), vectors or g.ndim < 2
        g, m = map(gathered, given)
        m = b1 * m + (1.0 - b1) * g
        u = mean = of_m * m
        if g.size and left.ndim:  # a tree without arrays is asked for by numbers
            shape = (g.size, 1) if is_vector else g.shape
            u, seen = (jnp.reshape(x, shape) for x in (mean, mean if momentum_into_precond_update else g))
            qs = moved((gathered(left),) if is_vector else (left, right), seen, index, **numbers)
            left, right = laid_as(qs[0], left), right if is_vector else qs[1]
            u = jnp.reshape(bounded(sided(whitened, qs, u)), g.shape)
        return *map(laid_as, (u, m), given), left, right

    def update(updates: Any, state: ScaleByKronState, params: Any = None, **extra_args: Any) -> Any:
        count, waited = optax.safe_increment(state.count), optax.safe_increment(state.waited)
        steps, since = (jnp.asarray(x).astype(float) for x in (state.count, waited))
        asked = preconditioner_update_probability
        asked = _annealed(steps) if asked is None else one_number("preconditioner_update_probability", asked)
        due = since >= 1.0 / jnp.asarray(asked).astype(float)
        leaves, treedef = flatten(updates)
        index = treedef.unflatten([2.0 * i + vectors for i in range(len(leaves))])
        trees = {"updates": updates, "state.mu": state.mu, "state.left": state.left, "state.right": state.right, "index": index}
        numbers: dict[str, Any] = {"b1": b1, "precond_lr": precond_lr, "seed": seed, "due": due.astype(float), "t": count}
        updates, *kept = leafwise(rule, trees, once=once, reduced=[*trees][2:], **numbers)
        return updates, ScaleByKronState(count, jnp.where(due, 0, waited), *kept)

    return init, update


def _annealed(step: Any) -> jax.Array:
    """The author's schedule of P."""
    return jnp.clip(jnp.exp(-0.001 * (step - 500.0)), 0.03, 1.0)


@transformation(
    wide=True,
    static=(*_STATIC, "columns", "stacked", "matrices"),
    schedules=("weight_decay", "preconditioner_update_probability"),
    evaluates=("learning_rate",),
    domain=_ALIAS_DOMAIN,
)
def psgd_kron(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    preconditioner_update_probability: ScalarOrSchedule | None = None,
    precond_lr: Numeric = 0.1,
    precond_init_scale: Numeric = 1.0,
    max_size_triangular: int = 8192,
    memory_save_mode: str | None = None,
    seed: Numeric = 0,
    *,
    momentum_into_precond_update: bool = True,
    decoupled: bool = False,
    columns: Any = 1,
    stacked: Any = 0,
    matrices: Any = None,
) -> Any:
    """PSGD Kron: mean gradients whitened by a factor on each side, which are fitted along the way.

    ``m' = β₁ m + (1 − β₁) g``; ``u = Q_Lᴴ Q_L m̂ Q_Rᴴ Q_R``, scaled down to a root mean square of 1.1;
    ``w' = w − α (u + λ w)``, or ``w − α u − λ w`` with ``decoupled``. ``scale_by_kron`` tells how the factors move. They are
    triangles for a matrix, and a diagonal for a vector.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch. A
        third of Adam's is near.
      b1: β₁ in [0, 1).
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      preconditioner_update_probability: P in [0, 1], or a schedule: the factors move as soon as 1 / P updates have passed since
        they did; by default its author's schedule, 1 for 500 updates, falling to 0.03 until 4,000.
      precond_lr: How far the factors move, at least 0.
      precond_init_scale: What u is of m̂ at the first update, above 0.
      max_size_triangular: A longer side gets a diagonal; structure.
      memory_save_mode: "one_diag" gives the longer side a diagonal, "smart_one_diag" does where it is longer, "all_diag" gives
        both one; structure.
      seed: The seed of the noise that fits the factors, a whole number under 2**24.
      momentum_into_precond_update: Whether m̂ moves the factors; if not, g does.
      decoupled: Whether λ is not multiplied by the rate.
      columns: How many of the last axes of a leaf are the columns of its matrix, as in ``jopt.matrixwise``.
      stacked: How many of the first axes are those of a stack, as in ``jopt.matrixwise``.
      matrices: Which leaves may be matrices, as ``mask`` of ``jopt.matrixwise``; by default all. The others are vectors.

    Returns:
      The optimizer; its ``update`` needs the parameters.

    Raises:
      ValueError: For another mode, and for a number out of its range.

    Differs from:
      Its author's code decays matrices only, here a ``mask``. What ``scale_by_kron`` says holds here.

    Use when:
      You would take SOAP, and there is no time for decompositions: it multiplies and solves triangles only.

    Reference:
      Pooladzandi and Li, 2024, arXiv:2402.04553.

    Example:
      >>> opt, w = jopt.psgd_kron(0.1), jax.numpy.zeros((2, 2))
      >>> u, _ = opt.update(jax.numpy.eye(2), opt.init(w), w)
      >>> np.asarray(u).round(1) + 0.0
      array([[-0.1,  0. ],
             [ 0. , -0.1]], dtype=float32)
    """
    words: dict[str, Any] = {
        "b1": b1,
        "preconditioner_update_probability": preconditioner_update_probability,
        "precond_lr": precond_lr,
        "precond_init_scale": precond_init_scale,
        "max_size_triangular": max_size_triangular,
        "memory_save_mode": memory_save_mode,
        "seed": seed,
        "momentum_into_precond_update": momentum_into_precond_update,
    }
    of_matrices, of_vectors = scale_by_kron(**words), scale_by_kron(**words, vectors=True)
    both = matrixwise(of_matrices, of_vectors, columns=columns, stacked=stacked, mask=matrices)
    return descent(both, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, decoupled=decoupled)

"""SOAP: Adam in the eigenbases of Shampoo's preconditioners."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jopt.transformation import transformation
from jopt.transforms import chain, matrixwise, scale_by_learning_rate
from jopt.transforms.decay import switches
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.matrices import adjoint, first_basis, gathered, laid_as, next_basis, sides, squares
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule
from jopt.values.pairs import evaluate
from jopt.values.refreshing import is_due, refreshed

_DOMAIN = {"b1": "[0, 1)", "b2": "[0, 1)", "shampoo_beta": "[0, 1)", "eps": "[0, inf)", "precondition_frequency": "[1, inf)"}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


class ScaleBySoapState(NamedTuple):
    """State of ``scale_by_soap``; a side without a basis has one zero in the place of its matrices."""

    count: Any  # int32, the number of updates so far
    mu: Any  # the mean of the gradients, in the bases
    nu: Any  # the mean of their squares, in the bases
    left: Any  # L: the mean of g gᴴ, [rows, rows]
    right: Any  # R: the mean of gᴴ g, [columns, columns]
    left_basis: Any  # Q_L, whose columns are near the eigenvectors of L, the largest first
    right_basis: Any  # Q_R


@transformation(wide=True, static=("max_precond_dim",), domain=_DOMAIN)
def scale_by_soap(
    b1: Numeric = 0.95,
    b2: Numeric = 0.95,
    shampoo_beta: Numeric | None = None,
    eps: Numeric = 1e-8,
    precondition_frequency: Numeric = 10,
    max_precond_dim: int = 10000,
    *,
    normalize_grads: bool = False,
) -> Any:
    """Adam's scaling of each matrix in the eigenbases of its mean squares from the left and from the right.

    ``h = Q_Lᴴ g Q_R``; ``m' = β₁ m + (1 − β₁) h``; ``v' = β₂ v + (1 − β₂) h²``;
    ``u = √(1 − β₂ⁿ) / (1 − β₁ⁿ) · Q_L (m' / (√v' + ε)) Q_Rᴴ``, and after that ``L' = β L + (1 − β) g gᴴ`` and
    ``R' = β R + (1 − β) gᴴ g``. The first update is 0 and serves to find the bases, so n = t − 1 at update t. They are
    eigenvectors then, and from there on, at every k-th n, ``Q' = qr(L' Q)``: one power iteration, to whose bases m' is turned.

    Matrices lie along the last two axes of a leaf, and whatever stands before is a stack of them. A leaf of fewer than two axes
    has no bases.

    Args:
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      shampoo_beta: β in [0, 1); by default β₂.
      eps: ε, at least 0; it is added to the root as it is before the bias correction.
      precondition_frequency: k, at least 1: how many updates lie between two of the bases. In a sweep, the bases of all lanes
        are worked out in the updates in which one of them is due, and in no others.
      max_precond_dim: A longer side of a matrix gets no basis; structure. With 0, this is Adam that leaves the first update
        out.
      normalize_grads: Whether to divide each matrix of the updates by its root mean square, before the bias correction.

    Returns:
      The transformation; its state is ``ScaleBySoapState(count, mu, nu, left, right, left_basis, right_basis)``.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The authors' code decomposes in float32 whatever the parameters are, and gives every axis of a leaf of more than two a
      basis. What no gradient has touched so far has eigenvectors of rounding there; here a fixed basis completes the first
      ones, and later ones keep what they had, so that a run's bases do not depend on the machine. Derivatives with respect to
      the numbers do not go through the bases.

    Reference:
      Vyas et al., 2024, arXiv:2409.11321.

    Example:
      >>> rule, g = jopt.scale_by_soap(eps=0.0), jax.numpy.array([[3.0, 0.0], [0.0, -0.5]])
      >>> _, state = rule.update(g, rule.init(g))
      >>> rule.update(g, state)[0].round(5) + 0.0
      Array([[ 1.,  0.],
             [ 0., -1.]], dtype=float32)
    """

    def init(params: Any) -> ScaleBySoapState:
        mu, nu = zeros_like(params), zeros_like(params, real=True)
        kept = [squares(params, which, max_precond_dim) for which in (0, 1, 0, 1)]
        return ScaleBySoapState(jnp.zeros([], jnp.int32), mu, nu, *kept)

    def once(b1: Any, b2: Any, shampoo_beta: Any, eps: Any, precondition_frequency: Any, t: Any) -> dict[str, Any]:
        n = jnp.maximum(t - 1.0, 1.0)
        correction = root(one_minus_power(b2, n)) / one_minus_power(b1, n)
        when = {"first": t <= 1.0, "due": is_due(n, precondition_frequency) & (t > 1.0)}
        return {"b1": b1, "b2": b2, "beta": shampoo_beta, "eps": eps, "correction": correction, **when}

    def rule(g: Any, m: Any, v: Any, left: Any, right: Any, ql: Any, qr: Any, **numbers: Any) -> Any:
        first, b1, b2, beta = (numbers[name] for name in ("first", "b1", "b2", "beta"))
        given, (has_left, has_right) = (g, m, v), sides(g, max_precond_dim)
        g, m, v = map(gathered, given)
        bases = Bases(ql if has_left else None, qr if has_right else None)
        h = _turned(g, bases)
        m, v = (jnp.where(first, 0.0, x) for x in (b1 * m + (1.0 - b1) * h, b2 * v + (1.0 - b2) * abs_sq(h)))
        u = _turned_back(m / nonzero(root(v) + numbers["eps"]), bases)
        u = numbers["correction"] * (u / nonzero(_rms(u)) if normalize_grads else u)
        left = beta * left + (1.0 - beta) * g @ adjoint(g) if has_left else left
        right = beta * right + (1.0 - beta) * adjoint(g) @ g if has_right else right
        if has_left or has_right:
            means = lax.stop_gradient(Bases(left if has_left else None, right if has_right else None))
            bases, m, v = _renewed(first, numbers["due"], means, bases, m, v)
        ql, qr = bases.left if has_left else ql, bases.right if has_right else qr
        return *map(laid_as, (jnp.where(first, 0.0, u), m, v), given), left, right, ql, qr

    def update(updates: Any, state: ScaleBySoapState, params: Any = None, **extra_args: Any) -> Any:
        count = optax.safe_increment(state.count)
        trees = {"updates": updates, **{f"state.{name}": x for name, x in state._asdict().items() if name != "count"}}
        numbers: dict[str, Any] = {"b1": b1, "b2": b2, "shampoo_beta": b2 if shampoo_beta is None else shampoo_beta}
        numbers |= {"eps": eps, "precondition_frequency": precondition_frequency, "t": count}
        updates, *kept = leafwise(rule, trees, once=once, reduced=[*trees][3:], **numbers)
        return updates, ScaleBySoapState(count, *kept)

    return init, update


class Bases(NamedTuple):
    """What lies on either side of a matrix; ``None`` for a side without a basis."""

    left: Any
    right: Any


def _turned(x: jax.Array, bases: Bases) -> jax.Array:
    x = x if bases.left is None else adjoint(bases.left) @ x
    return x if bases.right is None else x @ bases.right


def _turned_back(x: jax.Array, bases: Bases) -> jax.Array:
    x = x if bases.left is None else bases.left @ x
    return x if bases.right is None else x @ adjoint(bases.right)


def _rms(x: jax.Array) -> jax.Array:
    """The root mean square of each matrix, or of a leaf that is none."""
    axes = (-2, -1) if x.ndim >= 2 else None
    return root(jnp.sum(abs_sq(x), axis=axes, keepdims=True) / float(max(math.prod(x.shape[-2:]), 1)))


@jax.jit  # or each update outside of jit would compile the branches anew
def _renewed(first: Any, due: Any, means: Bases, bases: Bases, m: Any, v: Any) -> tuple[Bases, Any, Any]:
    """The bases after an update, with the moments in them."""

    def begun(kept: Bases) -> Any:
        return jax.tree.map(first_basis, means)

    def turned(kept: tuple[Bases, Any, Any]) -> tuple[Bases, Any, Any]:
        old, m, v = kept
        found = [None if q is None else next_basis(mean, q) for mean, q in zip(means, old, strict=True)]
        new = Bases(*(None if pair is None else pair[0] for pair in found))
        for axis, pair in zip((-2, -1), found, strict=True):
            if pair is not None:
                v = jnp.take_along_axis(v, jnp.expand_dims(pair[1], -3 - axis), axis)
        return new, _turned(_turned_back(m, old), new), v

    found: tuple[Bases, Any, Any] = refreshed(due, turned, (refreshed(first, begun, bases), m, v))
    return found


@transformation(wide=True, schedules=("weight_decay",), evaluates=("learning_rate",), checked=False)
def _decay_after(learning_rate: ScalarOrSchedule, weight_decay: ScalarOrSchedule, mask: Any = None) -> Any:
    """Adds the decay of the weights as a step has left them: ``u = s − α λ (w + s)``, and nothing to the first step."""

    def rule(s: Any, p: Any, learning_rate: Any, weight_decay: Any, mask: Any, t: Any) -> Any:
        return s - jnp.where(t > 0, learning_rate * weight_decay * mask, 0.0) * (p + s)

    def init(params: Any) -> optax.ScaleByScheduleState:
        switches(mask, params)
        return optax.ScaleByScheduleState(jnp.zeros([], jnp.int32))

    def update(updates: Any, state: optax.ScaleByScheduleState, params: Any = None, **extra_args: Any) -> Any:
        if params is None:
            raise ValueError("soap needs the parameters for its weight decay: call update(updates, state, params).")
        numbers: dict[str, Any] = {"learning_rate": evaluate(learning_rate, state.count), "weight_decay": weight_decay}
        numbers |= {"mask": switches(mask, params), "t": state.count}
        (updates,) = leafwise(rule, {"updates": updates, "params": params}, **numbers)
        return updates, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return init, update


@transformation(
    wide=True,
    static=("max_precond_dim", "columns", "stacked", "matrices"),
    schedules=("weight_decay",),
    evaluates=("learning_rate",),
    domain=_ALIAS_DOMAIN,
)
def soap(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.95,
    b2: Numeric = 0.95,
    shampoo_beta: Numeric | None = None,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.01,
    mask: Any = None,
    precondition_frequency: Numeric = 10,
    max_precond_dim: int = 10000,
    *,
    normalize_grads: bool = False,
    decoupled: bool = False,
    columns: Any = 1,
    stacked: Any = 0,
    matrices: Any = None,
) -> Any:
    """SOAP: Adam in slowly turning bases, the eigenvectors of each matrix's mean squares from the left and from the right.

    ``h = Q_Lᴴ g Q_R``; ``m' = β₁ m + (1 − β₁) h``; ``v' = β₂ v + (1 − β₂) h²``;
    ``s = −α √(1 − β₂ⁿ) / (1 − β₁ⁿ) · Q_L (m' / (√v' + ε)) Q_Rᴴ``; ``w' = w + s − α λ (w + s)``, or ``w + s − λ (w + s)`` with
    ``decoupled``. After that ``L' = β L + (1 − β) g gᴴ``, ``R' = β R + (1 − β) gᴴ g``, and at every k-th update
    ``Q' = qr(L' Q)``. The first update finds the bases and leaves the weights alone, so n = t − 1 at update t. Vectors and
    scalars have no bases, and take the steps of Adam.

    In directions in which gradients are rounding alone, as they are for inputs that are always 0, m / √v makes whole steps of
    it, in the authors' code too; ε is the remedy. So two runs that differ by rounding, such as a lane and the run alone, may
    come apart soon where every step sees all the data.

    Args:
      learning_rate: α, at least 0: a number, a schedule, or a prefix of the parameter tree with one of these per branch. That
        of Adam is near; the authors' is 3e-3.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      shampoo_beta: β in [0, 1); by default β₂.
      eps: ε, at least 0; it is added to the root as it is before the bias correction.
      weight_decay: λ, at least 0: a number or a schedule.
      mask: A tree of bools, or a function from the parameters to one, saying which leaves decay.
      precondition_frequency: k, at least 1. With 1 the bases are new at each update, which costs the most and trains the best.
      max_precond_dim: A longer side of a matrix gets no basis, so that embeddings of large vocabularies get one on one side;
        structure.
      normalize_grads: Whether to divide each matrix of the updates by its root mean square: of use where k is about 100.
      decoupled: Whether λ is not multiplied by the rate.
      columns: How many of the last axes of a leaf are the columns of its matrix, as in ``jopt.matrixwise``.
      stacked: How many of the first axes are those of a stack, as in ``jopt.matrixwise``.
      matrices: Which leaves may be matrices, as ``mask`` of ``jopt.matrixwise``; by default all.

    Returns:
      The optimizer; its ``update`` needs the parameters. Besides Adam's two moments it keeps two matrices for each side of
      a matrix.

    Raises:
      ValueError: For a number out of its range.

    Differs from:
      The authors' code gives every axis of a convolution's kernel a basis; here its first axes are joined (``columns``). It
      decomposes in float32, also for float64. What ``scale_by_soap`` says about first bases holds here.

    Use when:
      AdamW works and steps should be fewer: it costs more per step, and tunes alike.

    Reference:
      Vyas et al., 2024, arXiv:2409.11321.

    Example:
      >>> opt, w = jopt.soap(0.1, eps=0.0, weight_decay=0.0), jax.numpy.zeros((2, 2))
      >>> g = jax.numpy.array([[3.0, 0.0], [0.0, -0.5]])
      >>> _, state = opt.update(g, opt.init(w), w)
      >>> np.asarray(opt.update(g, state, w)[0]).round(5) + 0.0
      array([[-0.1,  0. ],
             [ 0. ,  0.1]], dtype=float32)
    """
    words: dict[str, Any] = {"normalize_grads": normalize_grads, "precondition_frequency": precondition_frequency}
    of_matrices = scale_by_soap(b1, b2, shampoo_beta, eps, max_precond_dim=max_precond_dim, **words)
    of_others = scale_by_soap(b1, b2, shampoo_beta, eps, max_precond_dim=0, **words)
    both = matrixwise(of_matrices, of_others, columns=columns, stacked=stacked, mask=matrices)
    step = chain(both, scale_by_learning_rate(learning_rate))
    return chain(step, _decay_after(1.0 if decoupled else learning_rate, weight_decay, mask))

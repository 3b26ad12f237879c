"""PSGD Kron: gradients whitened by Kronecker factors that are fitted along the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jopt.transformation import transformation
from jopt.transforms import matrixwise
from jopt.transforms.descent import descent
from jopt.values.leafwise import leafwise, zeros_like
from jopt.values.matrices import adjoint, gathered, laid_as
from jopt.values.moments import abs_sq, nonzero, one_minus_power, root
from jopt.values.numbers import Numeric, ScalarOrSchedule, whole
from jopt.values.refreshing import refreshed
from jopt.values.trees import flatten

_MODES = (None, "one_diag", "smart_one_diag", "all_diag")
_STATIC = ("max_size_triangular", "memory_save_mode")
_DOMAIN = {
    "b1": "[0, 1)",
    "preconditioner_update_probability": "[0, 1]",
    "precond_lr": "[0, inf)",
    "precond_init_scale": "(0, inf)",
    "seed": "[0, 16777215]",
}
_ALIAS_DOMAIN = {**_DOMAIN, "learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}
_NOISE = 2.0**-11.5  # the root of the rounding unit of float32, in the share of the mean size: the author's damping
_LONGEST = 1.1  # root mean square of an update
_BALANCED = 42949673  # of 2**32: a hundredth


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
      >>> rule, g = jopt.scale_by_kron(), jax.numpy.array([[3.0, 0.0], [0.0, -0.5]])
      >>> state = rule.init(g)
      >>> for _ in range(300):
      ...     u, state = rule.update(g, state)
      >>> jax.numpy.sign(u.round(1))
      Array([[ 1.,  0.],
             [ 0., -1.]], dtype=float32)
    """
    most = whole("scale_by_kron: max_size_triangular", max_size_triangular, at_least=0)
    if memory_save_mode not in _MODES:
        raise ValueError(f"scale_by_kron: memory_save_mode must be one of {[*_MODES]}, but got {memory_save_mode!r}.")

    def factors(params: Any, side: int) -> Any:
        return jax.tree.map(
            lambda p: _factor(p, side, _are_diagonal(_shape(p, vectors), most, memory_save_mode), precond_init_scale, vectors),
            params,
        )

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
            qs = _moved((gathered(left),) if is_vector else (left, right), seen, index, **numbers)
            left, right = laid_as(qs[0], left), right if is_vector else qs[1]
            u = jnp.reshape(_bounded(_sided(_whitened, qs, u)), g.shape)
        return *map(laid_as, (u, m), given), left, right

    def update(updates: Any, state: ScaleByKronState, params: Any = None, **extra_args: Any) -> Any:
        count, waited = optax.safe_increment(state.count), optax.safe_increment(state.waited)
        asked = preconditioner_update_probability
        due = waited >= 1.0 / (_annealed(state.count) if asked is None else jnp.asarray(asked))
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


def _shape(p: Any, vectors: bool) -> tuple[int, ...]:
    """A leaf's shape as a stack of matrices; a vector is a matrix of one column."""
    return (int(np.prod(jnp.shape(p))), 1) if vectors or jnp.ndim(p) < 2 else jnp.shape(p)


def _are_diagonal(shape: tuple[int, ...], most: int, mode: str | None) -> tuple[bool, bool]:
    rows, columns = shape[-2:]
    saved = {
        None: (False, False),
        "one_diag": (rows > columns, rows <= columns),
        "smart_one_diag": (rows > columns, rows < columns),
        "all_diag": (True, True),
    }[mode]
    long = tuple(length == 1 or length > most for length in (rows, columns))
    return saved[0] or long[0], saved[1] or long[1]


def _factor(p: Any, side: int, diagonal: tuple[bool, bool], scale: Any, vectors: bool) -> jax.Array:
    """Q of one side of a leaf's matrices at the start."""
    shape, is_vector = _shape(p, vectors), vectors or jnp.ndim(p) < 2
    if side == 1 and is_vector:
        return zeros_like(jax.ShapeDtypeStruct((1,), jnp.result_type(p)))
    if is_vector:
        zeros = zeros_like(p)  # of the parameter's shape, and where that lies
        zeros, one = zeros if zeros.ndim == 1 else jnp.ravel(gathered(zeros)), jnp.asarray(scale)
    else:
        length = shape[-2 + side]
        tail, unit = ((length,), 1.0) if diagonal[side] else ((length, length), jnp.eye(length))
        zeros = zeros_like(jax.ShapeDtypeStruct((*shape[:-2], *tail), jnp.result_type(p)))
        one = jnp.asarray(scale) ** 0.5 * unit
    return zeros + one.astype(zeros.dtype)


def _sided(function: Callable[[Any, Any], Any], qs: tuple[Any, ...], x: jax.Array) -> jax.Array:
    """A function of a factor and what stands to its right, for both sides."""
    x = function(qs[0], x)
    return adjoint(function(qs[1], adjoint(x))) if len(qs) > 1 else x


def _applied(q: jax.Array, x: jax.Array) -> jax.Array:
    return q[..., None] * x if q.ndim < x.ndim else q @ x


def _divided(q: jax.Array, x: jax.Array) -> jax.Array:
    """``Q⁻ᴴ x``."""
    if q.ndim < x.ndim:
        return x / jnp.conj(q)[..., None]
    return lax.linalg.triangular_solve(q, x, left_side=True, lower=False, transpose_a=True, conjugate_a=True)


def _whitened(q: jax.Array, x: jax.Array) -> jax.Array:
    return abs_sq(q)[..., None] * x if q.ndim < x.ndim else adjoint(q) @ (q @ x)


def _bounded(u: jax.Array) -> jax.Array:
    rms = root(jnp.mean(abs_sq(u), axis=(-2, -1), keepdims=True))
    return u * jnp.minimum(1.0, _LONGEST / nonzero(rms))


@jax.jit  # or each update outside of jit would compile the branches anew
def _moved(qs: tuple[Any, ...], g: Any, index: Any, *, eta: Any, seed: Any, due: Any, t: Any) -> tuple[Any, ...]:
    """The factors after an update."""

    def move(qs: tuple[Any, ...]) -> tuple[Any, ...]:
        key = jax.random.fold_in(jax.random.key(seed.astype(jnp.uint32), impl="threefry2x32"), t.astype(jnp.uint32))
        balanced = jax.random.bits(key, (), jnp.uint32) < _BALANCED
        v = _normal(jax.random.fold_in(key, index.astype(jnp.uint32)), g)
        seen = g + _NOISE * jnp.mean(jnp.abs(g), axis=(-2, -1), keepdims=True) * v
        new = tuple(jnp.where(balanced, *pair) for pair in zip(_balanced(qs, g.ndim - 2), qs, strict=True))
        a, b = _sided(_applied, new, seen), _sided(_divided, new, v)
        new = tuple(_step(q, *(x if i == 0 else adjoint(x) for x in (a, b)), eta) for i, q in enumerate(new))
        moves = jnp.any(g != 0.0, axis=(-2, -1))
        return tuple(jnp.where(_spread(moves, q.ndim), changed, q) for changed, q in zip(new, qs, strict=True))

    return refreshed(due, move, qs)


def _normal(key: Any, like: jax.Array) -> jax.Array:
    """Normal numbers in the shape and type of an array; those of wider types are the same numbers."""
    is_complex = jnp.iscomplexobj(like)
    bits = jax.random.bits(key, (2, *like.shape) if is_complex else like.shape, jnp.uint32) >> 9
    uniform = (2 * bits + 1).astype(like.real.dtype) * 2.0**-23 - 1.0  # exact, and never -1 or 1
    normal = np.sqrt(2.0).astype(like.real.dtype) * lax.erf_inv(uniform)
    return lax.complex(normal[0], normal[1]) * np.sqrt(0.5).astype(like.real.dtype) if is_complex else normal


def _balanced(qs: tuple[Any, ...], stack: int) -> tuple[Any, ...]:
    """The factors of each matrix scaled to one largest element, and the same product."""
    if len(qs) < 2:
        return qs
    tops = [jnp.max(jnp.abs(q), axis=(*range(stack, q.ndim),)) for q in qs]
    both = root(tops[0] * tops[1])
    return tuple(q * _spread(both / nonzero(top), q.ndim) for q, top in zip(qs, tops, strict=True))


def _spread(x: jax.Array, ndim: int) -> jax.Array:
    """One number for each matrix, in the shape that multiplies something of theirs."""
    return jnp.reshape(x, (*x.shape, *(1,) * (ndim - x.ndim)))


def _step(q: jax.Array, a: jax.Array, b: jax.Array, eta: Any) -> jax.Array:
    """A factor after a step to where a aᴴ and b bᴴ are equal."""
    if q.ndim < a.ndim:
        aa, bb = (jnp.sum(abs_sq(x), axis=-1) for x in (a, b))
        return q - eta * (aa - bb) / nonzero(jnp.max(aa + bb, axis=-1, keepdims=True)) * q
    aa, bb = (x @ adjoint(x) for x in (a, b))
    return q - eta * jnp.triu(aa - bb) @ q / nonzero(_norm_below(aa + bb))


def _norm_below(a: jax.Array) -> jax.Array:
    """A lower bound of the spectral norm of a Hermitian matrix, seldom much below it: two steps from its longest column."""
    top = jnp.max(jnp.abs(a), axis=(-2, -1), keepdims=True)
    a = a / nonzero(top)
    longest = jnp.argmax(jnp.sum(abs_sq(a), axis=-2, keepdims=True), axis=-1, keepdims=True)
    x = a @ jnp.take_along_axis(a, longest, axis=-1)
    x = a @ (x / nonzero(_length(x)))
    return top * _length(x)


def _length(x: jax.Array) -> jax.Array:
    return root(jnp.sum(abs_sq(x), axis=-2, keepdims=True))


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
      >>> jax.numpy.sign(u.round(2))
      Array([[-1.,  0.],
             [ 0., -1.]], dtype=float32)
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

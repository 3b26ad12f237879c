"""The Kronecker factors of PSGD Kron: how they begin, what they make of matrices, how they move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jopt.values.leafwise import zeros_like
from jopt.values.matrices import adjoint, gathered
from jopt.values.moments import abs_sq, nonzero, root
from jopt.values.refreshing import refreshed

_BALANCED = 42949673  # of 2**32: a hundredth
_LONGEST = 1.1  # root mean square of an update
_NOISE = 2.0**-11.5  # the root of the rounding unit of float32, in the share of the mean size: the author's damping


def matrix_shape(p: Any, vectors: bool) -> tuple[int, ...]:
    """A leaf's shape as a stack of matrices; a vector is a matrix of one column."""
    return (int(np.prod(jnp.shape(p))), 1) if vectors or jnp.ndim(p) < 2 else jnp.shape(p)


def are_diagonal(shape: tuple[int, ...], most: int, mode: str | None) -> tuple[bool, bool]:
    """Whether the factors of the left and of the right side are diagonals."""
    rows, columns = shape[-2:]
    saved = {
        None: (False, False),
        "one_diag": (rows > columns, rows <= columns),
        "smart_one_diag": (rows > columns, rows < columns),
        "all_diag": (True, True),
    }[mode]
    long = tuple(length == 1 or length > most for length in (rows, columns))
    return saved[0] or long[0], saved[1] or long[1]


def first_factor(p: Any, side: int, diagonal: tuple[bool, bool], scale: Any, vectors: bool) -> Any:
    """Q of one side of a leaf's matrices at the start."""
    shape, is_vector = matrix_shape(p, vectors), vectors or jnp.ndim(p) < 2
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


def sided(function: Callable[[Any, Any], Any], qs: tuple[Any, ...], x: jax.Array) -> jax.Array:
    """A function of a factor and what stands to its right, for both sides."""
    x = function(qs[0], x)
    return adjoint(function(qs[1], adjoint(x))) if len(qs) > 1 else x


def _applied(q: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.asarray(q[..., None] * x if q.ndim < x.ndim else q @ x)


def _divided(q: jax.Array, x: jax.Array) -> jax.Array:
    """``Q⁻ᴴ x``."""
    if q.ndim < x.ndim:
        return jnp.asarray(x / jnp.conj(q)[..., None])
    return lax.linalg.triangular_solve(q, x, left_side=True, lower=False, transpose_a=True, conjugate_a=True)


def whitened(q: jax.Array, x: jax.Array) -> jax.Array:
    """``Qᴴ Q x``."""
    return jnp.asarray(abs_sq(q)[..., None] * x if q.ndim < x.ndim else adjoint(q) @ (q @ x))


def bounded(u: jax.Array) -> jax.Array:
    """Each matrix of the updates scaled down to a largest root mean square."""
    rms = root(jnp.mean(abs_sq(u), axis=(-2, -1), keepdims=True))
    return u * jnp.minimum(1.0, _LONGEST / nonzero(rms))


@jax.jit  # or each update outside of jit would compile the branches anew
def moved(qs: tuple[Any, ...], g: Any, index: Any, *, eta: Any, seed: Any, due: Any, t: Any) -> tuple[Any, ...]:
    """The factors after an update."""

    def move(qs: tuple[Any, ...]) -> tuple[Any, ...]:
        key = jax.random.fold_in(jax.random.key(seed.astype(jnp.uint32), impl="threefry2x32"), t.astype(jnp.uint32))
        balanced = jax.random.bits(key, (), jnp.uint32) < _BALANCED
        v = _normal(jax.random.fold_in(key, index.astype(jnp.uint32)), g)
        seen = g + _NOISE * jnp.mean(jnp.abs(g), axis=(-2, -1), keepdims=True) * v
        new = tuple(jnp.where(balanced, *pair) for pair in zip(_balanced(qs, g.ndim - 2), qs, strict=True))
        a, b = sided(_applied, new, seen), sided(_divided, new, v)
        pairs = [(a, b), (adjoint(a), adjoint(b))][: len(qs)]
        new = tuple(_step(q, *pair, eta) for q, pair in zip(new, pairs, strict=True))
        moves = jnp.any(g != 0.0, axis=(-2, -1))
        return tuple(jnp.where(_spread(moves, q.ndim), changed, q) for changed, q in zip(new, qs, strict=True))

    return tuple(refreshed(due, move, qs))


def _normal(key: Any, like: jax.Array) -> Any:
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


def _step(q: jax.Array, a: jax.Array, b: jax.Array, eta: Any) -> Any:
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

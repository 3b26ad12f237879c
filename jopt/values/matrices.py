"""Matrices along the last two axes of an array, and what lies on either side of them."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jopt.values.leafwise import zeros_like
from jopt.values.moments import nonzero


def adjoint(x: jax.Array) -> jax.Array:
    """The conjugate transpose of each matrix."""
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def sides(x: Any, most: int) -> tuple[int, int]:
    """How long the sides of a leaf's matrices are that have a matrix of their own; 0 for one longer than ``most``.

    A leaf of fewer than two axes has none, nor has an empty one, whose decompositions fail.
    """
    shape = jnp.shape(x)
    if len(shape) < 2 or 0 in shape:
        return 0, 0
    rows, columns = (length if length <= most else 0 for length in shape[-2:])
    return rows, columns


def squares(params: Any, which: int, most: int) -> Any:
    """Zeros for the matrix on the left (0) or on the right (1) of each leaf's matrices; one zero where there is none."""

    def zeros(p: Any) -> Any:
        length = sides(p, most)[which]
        shape = (*jnp.shape(p)[:-2], length, length) if length else (1,)
        return zeros_like(jax.ShapeDtypeStruct(shape, jnp.result_type(p)))

    return jax.tree.map(zeros, params)


def gathered(x: jax.Array) -> jax.Array:
    """``x`` whole on every device, where the mesh makes shardings a part of types; elsewhere XLA sees to it."""
    mesh = jax.typeof(x).sharding.mesh
    return jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec())) if AxisType.Explicit in mesh.axis_types else x


def laid_as(x: jax.Array, like: jax.Array) -> jax.Array:
    """``x`` where ``like`` lies: a sharding that is a part of its type, or that of an array outside of jit."""
    if isinstance(x, jax.core.Tracer) or isinstance(like, jax.core.Tracer):
        kind = jax.typeof(like).sharding
        return jax.sharding.reshard(x, kind) if AxisType.Explicit in kind.mesh.axis_types else x
    return x if x.sharding.is_equivalent_to(like.sharding, x.ndim) else jax.device_put(x, like.sharding)


def first_basis(mean: jax.Array) -> jax.Array:
    """The eigenvectors of a Hermitian matrix, those of the largest values first, completed to a basis.

    What spans the kernel is left to rounding by eigenvectors, and two runs alike would differ. A fixed matrix spans it here;
    where the matrix is 0, the basis is the identity.
    """
    values, vectors = (jnp.flip(x, -1) for x in jnp.linalg.eigh(mean))
    known = _apart(values)
    fixed = jax.random.normal(jax.random.key(0), mean.shape[-2:], mean.real.dtype).astype(mean.dtype)
    rest = jnp.where(jnp.any(known, axis=-1, keepdims=True), fixed, jnp.eye(mean.shape[-1], dtype=mean.dtype))
    return _orthogonal(jnp.where(known, vectors, rest))


def next_basis(mean: jax.Array, basis: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One power iteration from a basis of orthogonal columns, and the order in which it takes those."""
    powers = mean @ basis
    values = jnp.sum(jnp.real(jnp.conj(basis) * powers), axis=-2)
    order = jnp.argsort(-values, axis=-1)
    values, powers, basis = (jnp.take_along_axis(x, order[..., None, :], -1) for x in (values[..., None, :], powers, basis))
    return _orthogonal(jnp.where(_apart(values[..., 0, :]), powers, basis)), order


def _apart(values: jax.Array) -> jax.Array:
    """Which eigenvalues of a matrix, [..., n], rounding does not make of 0; as a row for its columns, [..., 1, n]."""
    least = values.shape[-1] * jnp.finfo(values.dtype).eps * jnp.max(values, axis=-1, keepdims=True)
    return (values > least)[..., None, :]


def _orthogonal(columns: jax.Array) -> jax.Array:
    return jnp.linalg.qr(columns)[0]


def power(a: jax.Array, exponent: float, eps: jax.Array) -> Any:
    """``(a + ε)^p`` of a Hermitian matrix without negative eigenvalues, none of which counts for less than rounding leaves."""
    values, vectors = jnp.linalg.eigh(a)
    least = values.shape[-1] * jnp.finfo(values.dtype).eps * jnp.max(values, axis=-1, keepdims=True)
    raised = nonzero(jnp.maximum(values + eps, least)) ** exponent
    return (vectors * raised[..., None, :]) @ adjoint(vectors)


def blocks(x: jax.Array, size: int) -> jax.Array:
    """Matrices cut into blocks of at most ``size`` rows and columns, [..., block, rows, columns], with zeros at the ends.

    A vector, or a number, is a matrix of one column.
    """
    x = x if x.ndim >= 2 else jnp.reshape(x, (-1, 1))
    (rows, many), (columns, many_across) = (_cuts(length, size) for length in x.shape[-2:])
    ends = [(0, 0)] * (x.ndim - 2) + [(0, rows * many - x.shape[-2]), (0, columns * many_across - x.shape[-1])]
    cut = jnp.reshape(jnp.pad(x, ends), (*x.shape[:-2], many, rows, many_across, columns))
    return jnp.reshape(jnp.swapaxes(cut, -3, -2), (*x.shape[:-2], many * many_across, rows, columns))


def joined(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Blocks put together to an array of the shape that they were cut from."""
    wide = shape if len(shape) >= 2 else (math.prod(shape), 1)
    rows, columns = x.shape[-2:]
    many, many_across = -(-wide[-2] // rows), -(-wide[-1] // columns)
    cut = jnp.swapaxes(jnp.reshape(x, (*wide[:-2], many, many_across, rows, columns)), -3, -2)
    whole = jnp.reshape(cut, (*wide[:-2], many * rows, many_across * columns))
    return jnp.reshape(whole[..., : wide[-2], : wide[-1]], shape)


def _cuts(length: int, size: int) -> tuple[int, int]:
    """How long the blocks of a side are, and how many."""
    return min(length, size), -(-length // size)

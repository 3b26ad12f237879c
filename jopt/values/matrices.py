"""Matrices along the last two axes of an array, and what lies on either side of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jopt.values.leafwise import zeros_like


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

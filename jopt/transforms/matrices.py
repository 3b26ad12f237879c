"""Rules on matrices, given the leaves that are some: ``matrixwise``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jopt.transformation import transformation
from jopt.transforms.masking import mask_for, spread
from jopt.values.leafwise import leaf_paths
from jopt.values.numbers import whole
from jopt.values.pairs import as_pair
from jopt.values.showing import shown
from jopt.values.trees import flatten, is_function


class MatrixwiseState(NamedTuple):
    """State of ``matrixwise``; in either, ``optax.MaskedNode`` stands for the leaves of the other."""

    matrix_state: Any  # the matrix rule's, for the leaves as matrices
    other_state: Any  # the other optimizer's, for the other leaves as they are


@transformation(wide="parts", checked=False, static=("columns", "stacked", "mask"))
def matrixwise(
    matrix_rule: optax.GradientTransformation,
    other: optax.GradientTransformation,
    *,
    columns: Any = 1,
    stacked: Any = 0,
    mask: Any = None,
) -> Any:
    """Gives the leaves that are matrices to a rule on matrices, and the other leaves to a second optimizer.

    ``u = reshape(f(matrix(g)))`` for leaves of two or more axes, ``u = h(g)`` for the others

    A leaf of two axes is a matrix as it is. Of one with more, the last ``columns`` axes are joined to the columns and those
    before them to the rows: a convolution kernel [height, width, in, out] becomes [height · width · in, out]. No axes change
    places, so a matrix is the leaf's memory as it lies. With ``stacked``, the first axes are those of a stack of matrices
    (layers of one kind under ``jax.lax.scan``), and the rule is given them joined to one: [stack, rows, columns].

    A rule on matrices takes its matrices along the last two axes of a leaf, one by one, and whatever stands before them as a
    stack: ``jnp.swapaxes(x, -1, -2)`` for the transpose, ``@`` for products, sums over ``axis=(-2, -1)``. Its parameters, its
    updates and its state have the shapes of the matrices.

    Args:
      matrix_rule: The transformation of the matrices, jopt's or Optax's.
      other: The transformation of vectors, of scalars, of leaves without elements, and of those that ``mask`` gives it.
      columns: How many of the last axes are the columns, at least 1. For a kernel [model, heads, head] it is 2, for PyTorch's
        [out, in, height, width] it is 3. An int, a prefix of the parameter tree with one for each branch, or a function from
        the parameters to one of these.
      stacked: How many of the first axes are those of a stack, in the same form. A leaf that has fewer than two axes beside
        them is a stack of vectors, and goes to ``other``.
      mask: Which leaves may be matrices; by default all. A tree of bools, a prefix of one, or a function from the parameters
        to one. Embeddings and the last layer are often given to ``other``.

    Returns:
      The transformation; its state is ``MatrixwiseState(matrix_state, other_state)``. Both rules get the extra arguments of
      ``update`` as they are.

    Raises:
      TypeError: When a rule is no transformation.
      ValueError: From ``init`` and ``update``, for a leaf whose ``columns`` and ``stacked`` leave no axis for the rows, and
        for a tree of these that does not fit the parameters'.

    Example:
      >>> opt = jopt.matrixwise(jopt.trace(0.9), jopt.adam(0.1))
      >>> jax.tree.map(jnp.shape, opt.init({"bias": jnp.zeros(8), "kernel": jnp.zeros((3, 3, 4, 8))}).matrix_state.trace)
      {'bias': MaskedNode(), 'kernel': (36, 8)}
    """
    of_matrices, of_others = as_pair(matrix_rule), as_pair(other)

    def split(tree: Any) -> tuple[Any, Any]:
        leaves, treedef = flatten(tree)
        cut = list(zip(leaves, _matrix_shapes(tree, columns, stacked, mask), strict=True))
        matrices = [optax.MaskedNode() if shape is None else _reshaped(x, shape) for x, shape in cut]
        return treedef.unflatten(matrices), treedef.unflatten([x if shape is None else optax.MaskedNode() for x, shape in cut])

    def init(params: Any) -> MatrixwiseState:
        matrices, others = split(params)
        return MatrixwiseState(of_matrices.init(matrices), of_others.init(others))

    def update(updates: Any, state: MatrixwiseState, params: Any = None, **extra_args: Any) -> Any:
        matrices, others = split(updates)
        matrix_params, other_params = (None, None) if params is None else split(params)
        matrices, matrix_state = of_matrices.update(matrices, state.matrix_state, matrix_params, **extra_args)
        others, other_state = of_others.update(others, state.other_state, other_params, **extra_args)
        return _joined(updates, matrices, others), MatrixwiseState(matrix_state, other_state)

    return init, update


def _matrix_shapes(tree: Any, columns: Any, stacked: Any, mask: Any) -> list[tuple[int, ...] | None]:
    """For each leaf the shape of its matrix, or stack of them; ``None`` for one that goes to the other optimizer."""
    asked = {"columns": columns, "stacked": stacked, "mask": True if mask is None else mask_for(mask, tree)}
    each = [_per_leaf(name, value, tree) for name, value in asked.items()]
    shapes = map(jnp.shape, jax.tree.leaves(tree))
    return [_matrix_shape(*leaf) for leaf in zip(leaf_paths(tree), shapes, *each, strict=True)]


def _matrix_shape(path: str, shape: tuple[int, ...], columns: Any, stacked: Any, wanted: Any) -> tuple[int, ...] | None:
    columns = whole(f"matrixwise: columns, for the leaf at {path},", columns)
    stacked = whole(f"matrixwise: stacked, for the leaf at {path},", stacked, at_least=0)
    if isinstance(wanted, jax.core.Tracer):
        raise TypeError(f"matrixwise: mask must be a bool for the leaf at {path}, but was computed: {shown(wanted)}.")
    if not wanted or len(shape) - stacked < 2 or 0 in shape:  # decompositions of empty matrices fail
        return None
    first = len(shape) - columns
    if first <= stacked:
        raise ValueError(
            f"matrixwise: the leaf at {path} has shape {shape}, of which stacked={stacked} and columns={columns} leave no axis "
            f"for the rows; give columns and stacked as trees with a number for each branch, or mask the leaf."
        )
    matrix = math.prod(shape[stacked:first]), math.prod(shape[first:])
    return (math.prod(shape[:stacked]), *matrix) if stacked else matrix


def _per_leaf(name: str, value: Any, tree: Any) -> list[Any]:
    if not jax.tree.leaves(tree):
        return []
    return spread(f"matrixwise: {name}", value(tree) if is_function(value) else value, tree)


def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    if jnp.shape(x) == shape:
        return x
    return jax.ShapeDtypeStruct(shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else jnp.reshape(x, shape)


def _joined(updates: Any, matrices: Any, others: Any) -> Any:
    """The updates of both rules in the shapes of the gradients."""
    leaves, treedef = flatten(updates)
    rows = zip(leaves, treedef.flatten_up_to(matrices), treedef.flatten_up_to(others), strict=True)
    return treedef.unflatten([other if isinstance(m, optax.MaskedNode) else _reshaped(m, jnp.shape(g)) for g, m, other in rows])

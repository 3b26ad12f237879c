"""Matrices made orthogonal by matrix products alone: ``orthogonalize``, ``scale_by_shape``, ``normalize_neurons``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from jopt.transformation import transformation
from jopt.transforms.combining import narrow, widen
from jopt.transforms.flattening import placed
from jopt.values.leafwise import leaf_paths, leafwise, one_number, zeros_like
from jopt.values.moments import abs_sq, nonzero, root
from jopt.values.numbers import Numeric, whole
from jopt.values.showing import shown
from jopt.values.trees import flatten

# Jordan, 2024: chosen for a steep slope at 0, so five steps bring the singular values near 1, but not to it.
STANDARD = ((3.4445, -4.7750, 2.0315),)
# Amsel et al., 2025: what their algorithm gives for singular values from 1e-3 to 1, a cushion of 0.02 and a safety factor of
# 1.01 in all but the last. tests/test_muon.py works them out again.
POLAR_EXPRESS = (
    (8.237312490495555, -23.157747414558184, 16.6805684114459),
    (4.082441999064838, -2.8930477353325887, 0.525284925697565),
    (3.9263479922546516, -2.8547468034765267, 0.5318022422894985),
    (3.2982187133085166, -2.4245419810267093, 0.48632008358844125),
    (2.2970369434552573, -1.6366255812590322, 0.4002628455953634),
    (1.8763805351440392, -1.2347896577722217, 0.3589188750166834),
    (1.8564423485544435, -1.2132449880791372, 0.3568003487755239),
    (1.8564333996014584, -1.2132332854108958, 0.3567974764456145),
    (1.856431164605188, -1.2132289035187855, 0.35679532868157526),
    (1.8749954775630113, -1.2499909551478385, 0.3749954775848273),
)
COEFFICIENTS = {"standard": STANDARD, "polar_express": POLAR_EXPRESS}
SAFETY = 1.01  # of the norm before the Polar Express, which expects no singular value above 1, not even by rounding
ADJUSTMENTS: dict[str, Callable[[int, int], float]] = {
    "original": lambda inputs, outputs: math.sqrt(max(1.0, outputs / inputs)),
    "match_rms_adamw": lambda inputs, outputs: 0.2 * math.sqrt(max(inputs, outputs)),
}
AXES = {"columns": (-2, -1), "rows": (-1, -2)}  # where the outputs are -> the axis of the inputs, that of the outputs


@transformation(wide=True, checked=False, static=("ns_coeffs", "ns_steps"), domain={"eps": "[0, inf)"})
def orthogonalize(ns_coeffs: Any = "standard", ns_steps: int = 5, eps: Numeric = 1e-7, *, ns_dtype: Any = None) -> Any:
    """Replaces each matrix by an orthogonal one near it: its singular values become about 1.

    ``X = G / max(‖G‖, ε)``, then ``ns_steps`` times ``X ← a X + b (X Xᴴ) X + c (X Xᴴ)² X``, with the Frobenius norm. Of
    ``G = U Σ Vᴴ`` it keeps U and V: each singular value goes through ``σ ← a σ + b σ³ + c σ⁵``.

    A matrix stands along the last two axes of a leaf, what is before them is a stack of matrices: ``jopt.matrixwise`` makes
    both of other leaves. All matrices of one shape, or of that shape turned round, go through the iteration together, those
    of different leaves too.

    Args:
      ns_coeffs: (a, b, c): "standard" (3.4445, -4.775, 2.0315), after which those singular values that were 0.01
        of ‖G‖ and more lie in about [0.68, 1.13]; "polar_express", other ones at each step, with which they come nearer to 1,
        and to 1 in ten steps; a triple of numbers; or a sequence of triples, one for each step, of which the last one serves
        the steps behind it. Structure.
      ns_steps: How many steps; structure.
      eps: ε, at least 0. With 0, a matrix of zeros stays one.
      ns_dtype: The type of the iteration; by default float32 or wider. ``jnp.bfloat16`` is what GPUs are fast in.

    Returns:
      The transformation; its state is empty.

    Raises:
      ValueError: For an unknown name of coefficients, more triples than steps, a number of steps under 1, and from ``update``
        for a leaf with fewer than two axes.

    Differs from:
      PyTorch and Muon's author cast to bfloat16, whose three digits show in the updates (2.7e-3 between these two). The
      author and ``optax.contrib.scale_by_muon``, which has this as a part, divide by ‖G‖ + ε, Optax with ε = 1e-8; PyTorch
      as here. Optax iterates leaf by leaf. The Polar Express divides by max(1.01 ‖G‖, ε), for the reason that its authors give.

    Reference:
      Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"; Amsel et al., 2025, arXiv:2505.16932
      (Polar Express).

    Example:
      >>> rule = jopt.orthogonalize("polar_express", 10)
      >>> g = jnp.array([[3.0, 0.0], [0.0, -0.5]])
      >>> rule.update(g, rule.init(g))[0].round(4) + 0.0
      Array([[ 1.,  0.],
             [ 0., -1.]], dtype=float32)
    """
    steps = _schedule_of(ns_coeffs, whole("orthogonalize: ns_steps", ns_steps, bits=8))
    safety = SAFETY if ns_coeffs == "polar_express" else 1.0

    def iterate(x: jax.Array) -> jax.Array:
        """[stack, rows, columns], rows ≤ columns, so that X Xᴴ is the smaller product."""
        norm = safety * _norm(x)
        y = x / nonzero(jnp.maximum(norm, jnp.asarray(one_number("orthogonalize: eps", eps)).astype(norm.dtype)))
        y = y if ns_dtype is None else y.astype(ns_dtype)
        for a, b, c in steps:
            gram = y @ _turned(y)
            y = a * y + (b * gram + c * (gram @ gram)) @ y
        return y.astype(x.dtype)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        leaves, treedef = flatten(updates)
        _check_matrices(updates, leaves)
        done = _together(iterate, [widen(x) for x in leaves])
        return treedef.unflatten([narrow(y, x) for y, x in zip(done, leaves, strict=True)]), state

    return _empty, update


@transformation(wide=True, checked=False)
def scale_by_shape(adjust: str = "original", *, outputs: str = "rows") -> Any:
    """Scales orthogonal matrices so that one learning rate suits matrices of all shapes.

    ``u = √max(1, outputs / inputs) · G`` ("original"), or ``u = 0.2 √max(inputs, outputs) · G`` ("match_rms_adamw").

    Args:
      adjust: "original": outputs change as much as inputs do, whatever the shape. "match_rms_adamw": the elements of an
        orthogonal matrix get the root mean square of 0.2 that AdamW's updates have, so that AdamW's rates and decays fit.
      outputs: Where a matrix has its outputs: "rows" of [outputs, inputs], as the weights of PyTorch and Equinox are, or
        "columns" of [inputs, outputs]; give that for kernels of Flax, and wherever a layer is x @ w.

    Returns:
      The transformation; its state is empty.

    Raises:
      ValueError: For another ``adjust`` or ``outputs``.

    Differs from:
      ``optax.contrib.scale_by_shape`` writes "match_rms_adamw" ``consistent_rms=0.2``, and has the outputs in the columns
      by default.

    Reference:
      Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al., 2025, arXiv:2502.16982
      (match_rms_adamw).

    Example:
      >>> rule = jopt.scale_by_shape()
      >>> rule.update(jnp.ones((4, 1)), rule.init(jnp.ones((4, 1))))[0].ravel()
      Array([2., 2., 2., 2.], dtype=float32)
    """
    factor, axes = _chosen("adjust", adjust, ADJUSTMENTS), _chosen("outputs", outputs, AXES)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        _check_matrices(updates, jax.tree.leaves(updates))
        return jax.tree.map(lambda g: narrow(factor(*(g.shape[axis] for axis in axes)) * widen(g), g), updates), state

    return _empty, update


class NormalizeNeuronsState(NamedTuple):
    """State of ``normalize_neurons``."""

    nu: Any  # for each output, the mean square of its elements; the shape of the matrix, with 1 for the inputs


@transformation(wide=True, checked=False, domain={"b2": "[0, 1)", "eps": "[0, inf)"})
def normalize_neurons(b2: Numeric = 0.95, eps: Numeric = 1e-10, *, outputs: str = "rows") -> Any:
    """Divides what goes to each output of a matrix by the root of its mean square, and keeps the length of the whole.

    ``v' = β₂ v + (1 − β₂) mean_inputs(G²)``; ``R = G / (√v' + ε)``; ``u = R ‖G‖ / (‖R‖ + ε)``, with the Frobenius norm.

    Args:
      b2: β₂ in [0, 1).
      eps: ε, at least 0. With 0, what was always 0 is left alone.
      outputs: Where a matrix has its outputs: "rows" of [outputs, inputs], as the weights of PyTorch and Equinox are, or
        "columns" of [inputs, outputs]; give that for kernels of Flax, and wherever a layer is x @ w.

    Returns:
      The transformation; its state is ``NormalizeNeuronsState(nu)``, of one number for each output.

    Raises:
      ValueError: For another ``outputs``, a number out of its range, and from ``init`` and ``update`` for a leaf with fewer
        than two axes.

    Reference:
      Li et al., 2025, arXiv:2510.05491 (NorMuon).

    Example:
      >>> rule = jopt.normalize_neurons(outputs="columns")
      >>> g = jnp.array([[3.0, 0.5], [-3.0, 0.5]])
      >>> rule.update(g, rule.init(g))[0].round(4)
      Array([[ 2.1506,  2.1506],
             [-2.1506,  2.1506]], dtype=float32)
    """
    inputs, _ = _chosen("outputs", outputs, AXES)

    def kept(p: Any) -> Any:
        reduced = jax.eval_shape(lambda x: jnp.sum(x, axis=inputs, keepdims=True), p)
        # Without its sharding, from which JAX 0.10 makes no zeros on an explicit mesh outside of it.
        zeros: jax.Array = zeros_like(jax.ShapeDtypeStruct(reduced.shape, reduced.dtype), real=True)
        return zeros

    def init(params: Any) -> NormalizeNeuronsState:
        _check_matrices(params, jax.tree.leaves(params))
        return NormalizeNeuronsState(jax.tree.map(kept, params))

    def rule(g: Any, v: Any, b2: Any, eps: Any) -> Any:
        v = b2 * v + (1.0 - b2) * jnp.mean(abs_sq(g), axis=inputs, keepdims=True)
        r = g / nonzero(root(v) + eps)
        return r * (_norm(g) / nonzero(_norm(r) + eps)), v

    def update(updates: Any, state: NormalizeNeuronsState, params: Any = None, **extra_args: Any) -> Any:
        if not jax.tree.leaves(updates):
            return updates, state
        _check_matrices(updates, jax.tree.leaves(updates))
        trees = {"updates": updates, "state.nu": state.nu}
        updates, nu = leafwise(rule, trees, reduced=("state.nu",), b2=b2, eps=eps)
        return updates, NormalizeNeuronsState(nu)

    return init, update


def _schedule_of(ns_coeffs: Any, steps: int) -> list[tuple[float, float, float]]:
    """(a, b, c) for each step."""
    if isinstance(ns_coeffs, str):
        given = _chosen("ns_coeffs", ns_coeffs, COEFFICIENTS)[:steps]
    else:
        try:
            table = np.asarray(ns_coeffs, np.float64)
        except (TypeError, ValueError, OverflowError):  # ragged, or no numbers
            table = np.empty(0)
        if table.ndim not in (1, 2) or table.shape[-1] != 3 or len(table) == 0:
            raise ValueError(
                f"orthogonalize: ns_coeffs must be three numbers, or a triple for each step, but got {shown(ns_coeffs)}."
            )
        given = [tuple(map(float, row)) for row in np.atleast_2d(table)]
    if len(given) > steps:
        raise ValueError(
            f"orthogonalize: ns_coeffs has {len(given)} triples, but ns_steps is {steps}; give ns_steps={len(given)}."
        )
    return [*given, *[given[-1]] * (steps - len(given))]


def _together(iterate: Callable[[jax.Array], jax.Array], matrices: Sequence[jax.Array]) -> list[jax.Array]:
    """``iterate`` of [stack, rows, columns], rows ≤ columns, once for all matrices of a shape, turned round or not."""
    whole = [placed(x, PartitionSpec()) for x in matrices]  # products need all of a matrix
    wide = [_turned(x) if _is_tall(x) else x for x in whole]
    groups: dict[Any, list[int]] = {}
    for i, x in enumerate(wide):
        groups.setdefault((x.shape[-2:], x.dtype), []).append(i)
    for (shape, _), members in groups.items():
        stacks = [wide[i].reshape(math.prod(wide[i].shape[:-2]), *shape) for i in members]
        ends = np.cumsum([len(stack) for stack in stacks])
        parts = jnp.split(iterate(jnp.concatenate(stacks)), ends[:-1])
        for i, part in zip(members, parts, strict=True):
            wide[i] = part.reshape(wide[i].shape)
    back = [_turned(y) if _is_tall(x) else y for x, y in zip(matrices, wide, strict=True)]
    return [placed(y, jax.typeof(x).sharding.spec) for x, y in zip(matrices, back, strict=True)]


def _is_tall(x: jax.Array) -> bool:
    return x.shape[-2] > x.shape[-1]


def _turned(x: jax.Array) -> jax.Array:
    """The conjugate transposes of a stack of matrices."""
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def _norm(x: jax.Array) -> jax.Array:
    """The Frobenius norm of each matrix of a stack."""
    return root(jnp.sum(abs_sq(x), axis=(-2, -1), keepdims=True))


def _chosen(argument: str, name: str, table: Any) -> Any:
    if name not in table:
        raise ValueError(f"{argument} must be one of {[*table]}, but got {shown(name)}.")
    return table[name]


def _check_matrices(tree: Any, leaves: Sequence[Any]) -> None:
    for path, x in zip(leaf_paths(tree), leaves, strict=True):
        if jnp.ndim(x) < 2:
            raise ValueError(
                f"A rule on matrices got the leaf at {path}, whose shape is {jnp.shape(x)}; put it into jopt.matrixwise, "
                f"which makes matrices of leaves and hands the others to another optimizer."
            )


def _empty(params: Any) -> optax.EmptyState:
    return optax.EmptyState()

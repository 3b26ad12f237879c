"""What one equation of a jaxpr computes: operations of products, factorizations and transforms, and those on single elements.

A product of real numbers and its sum are two operations, of complex numbers eight. Counts are leading terms, from
[GVL] G. H. Golub and C. F. Van Loan, Matrix Computations, 4th edition, 2013;
[LAWN] S. Blackford and J. Dongarra, Installation Guide for LAPACK, LAPACK Working Note 41, 1999, appendix C; and
[VL] C. F. Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

_ARITHMETIC = set(
    "add add_any sub mul div rem neg abs sign max min clamp square sqrt rsqrt cbrt pow integer_pow exp exp2 expm1 log log1p "  # noqa: SIM905
    "logistic tanh sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh erf erfc erf_inv lgamma digamma".split()
)


def flops(equation: Any) -> float:
    """What an equation costs by itself; 0 where there is no formula, as for a loop, whose cost is in what it repeats."""
    formula = _FORMULAS.get(equation.primitive.name)
    if formula is None:
        return 0.0
    multiplied = _is_complex(equation.invars[0]) and equation.primitive.name != "fft"
    return (4.0 if multiplied else 1.0) * float(formula(equation))


def factorizes(equation: Any) -> bool:
    """Whether LAPACK carries out an equation on CPUs."""
    return equation.primitive.name in _LAPACK


def elements(equation: Any) -> float:
    """Operations on single elements, a sine as much as a sum; 0 where numbers are only moved, chosen or compared."""
    name = equation.primitive.name
    counts = name in _ARITHMETIC or name.startswith(("reduce_", "cum"))
    if not counts or not jnp.issubdtype(equation.invars[0].aval.dtype, jnp.inexact):
        return 0.0
    return float(max(math.prod(v.aval.shape) for v in (*equation.invars, *equation.outvars)))


def _is_complex(v: Any) -> bool:
    return bool(jnp.issubdtype(v.aval.dtype, jnp.complexfloating))


def _product(lhs: Any, rhs: Any, contracted: Sequence[int], batched: Sequence[int], groups: Sequence[int] = ()) -> Any:
    """Each element of the left meets each column of the right once, whichever group it belongs to: [GVL] 1.1."""
    used = {*contracted, *batched, *groups}
    return 2.0 * math.prod(lhs.shape) * math.prod(n for i, n in enumerate(rhs.shape) if i not in used)


def _dot(equation: Any) -> Any:
    (_, contracted), (_, batched) = equation.params["dimension_numbers"]
    return _product(equation.invars[0].aval, equation.invars[1].aval, contracted, batched)


def _ragged_dot(equation: Any) -> Any:
    numbers = equation.params["ragged_dot_dimension_numbers"]
    (_, contracted), (_, batched) = numbers.dot_dimension_numbers
    lhs, rhs = (v.aval for v in equation.invars[:2])
    return _product(lhs, rhs, contracted, batched, numbers.rhs_group_dimensions)


def _convolution(equation: Any) -> Any:
    """Two operations for each tap of a kernel that meets an element: neither padding nor the gaps of a dilation."""
    params, (lhs, kernel), out = equation.params, (v.aval for v in equation.invars), equation.outvars[0].aval
    numbers = params["dimension_numbers"]
    (batch, features, *places), (_, inputs, *taps) = numbers.out_spec, numbers.rhs_spec
    met = 2 * out.shape[batch] * out.shape[features] * kernel.shape[inputs]
    for i, (place, tap, source) in enumerate(zip(places, taps, numbers.lhs_spec[2:], strict=True)):
        starts = np.arange(out.shape[place]) * params["window_strides"][i] - params["padding"][i][0]
        index = starts[:, None] + np.arange(kernel.shape[tap]) * params["rhs_dilation"][i]
        gap = params["lhs_dilation"][i]
        met *= int(np.sum((index >= 0) & (index <= (lhs.shape[source] - 1) * gap) & (index % gap == 0)))
    return met


def _fft(equation: Any) -> Any:
    """5 N log₂ N for N complex numbers, half of that for real ones: [VL], chapter 1."""
    real = not all(map(_is_complex, (*equation.invars, *equation.outvars)))
    lengths = equation.params["fft_lengths"]
    many = math.prod(equation.invars[0].aval.shape[: -len(lengths)])
    return (2.5 if real else 5.0) * many * math.prod(lengths) * math.log2(max(1, math.prod(lengths)))


def _of_matrices(formula: Callable[..., Any]) -> Callable[[Any], Any]:
    """A formula of rows, columns and the equation, for each of the matrices in its first argument."""

    def each(equation: Any) -> Any:
        *many, m, n = equation.invars[0].aval.shape
        return math.prod(many) * formula(m, n, equation)

    return each


def _lu(m: int, n: int, _: Any) -> float:
    """[LAWN], GETRF; 2n³/3 where it is square."""
    k = min(m, n)
    return 2 * m * n * k - (m + n) * k**2 + 2 * k**3 / 3


def _reflectors(m: int, n: int, *_: Any) -> float:
    """Householder's R and the reflectors: [GVL] 5.2."""
    k = min(m, n)
    return 2 * k**2 * (max(m, n) - k / 3)


def _orthogonal(m: int, n: int, k: int) -> float:
    """The first n columns of the product of k reflectors of length m: [LAWN], ORGQR."""
    return 4 * m * n * k - 2 * (m + n) * k**2 + 4 * k**3 / 3


def _reflected(equation: Any) -> Any:
    """Applies k reflectors of length m to the vectors of the last argument: [LAWN], ORMQR."""
    vectors, (m, k) = equation.invars[2].aval, (equation.invars[0].aval.shape[-2], equation.invars[1].aval.shape[-1])
    return math.prod(vectors.shape) * (4 * k - 2 * k**2 / max(1, m))


def _qr(m: int, n: int, equation: Any) -> float:
    k = min(m, n)
    return _reflectors(m, n) + _orthogonal(m, m if equation.params["full_matrices"] else k, k)


def _svd(m: int, n: int, equation: Any) -> float:
    """By Golub and Reinsch: [GVL] 8.6."""
    m, n = max(m, n), min(m, n)
    if not equation.params["compute_uv"]:
        return 4 * m * n**2 - 4 * n**3 / 3
    return 4 * m**2 * n + 8 * m * n**2 + 9 * n**3 if equation.params["full_matrices"] else 14 * m * n**2 + 8 * n**3


def _eig(m: int, n: int, equation: Any) -> float:
    """25n³ with the vectors, by way of Schur's form, 10n³ without: [GVL] 7.5."""
    asked = any(value is True for name, value in equation.params.items() if "vectors" in name and name.startswith("compute"))
    return (25 if asked else 10) * n**3


def _triangular_solve(equation: Any) -> Any:
    """n² for each vector on the right: [GVL] 3.1."""
    return math.prod(equation.invars[1].aval.shape) * equation.invars[0].aval.shape[-1]


_FORMULAS: dict[str, Callable[[Any], Any]] = {
    "dot_general": _dot,
    "ragged_dot_general": _ragged_dot,
    "conv_general_dilated": _convolution,
    "cholesky": _of_matrices(lambda m, n, _: n**3 / 3),  # [GVL] 4.2
    "lu": _of_matrices(_lu),
    "qr": _of_matrices(_qr),
    "geqrf": _of_matrices(_reflectors),
    "geqp3": _of_matrices(_reflectors),
    "householder_product": _of_matrices(lambda m, n, e: _orthogonal(m, n, e.invars[1].aval.shape[-1])),
    "ormqr": _reflected,
    "eigh": _of_matrices(lambda m, n, _: 9 * n**3),  # by symmetric QR, with the vectors: [GVL] 8.3
    "eig": _of_matrices(_eig),
    "schur": _of_matrices(_eig),
    "hessenberg": _of_matrices(lambda m, n, _: 10 * n**3 / 3),  # [GVL] 7.4
    "tridiagonal": _of_matrices(lambda m, n, _: 4 * n**3 / 3),  # [GVL] 8.3
    "svd": _of_matrices(_svd),
    "triangular_solve": _triangular_solve,
    "fft": _fft,
}
_LAPACK = _FORMULAS.keys() - {"dot_general", "ragged_dot_general", "conv_general_dilated", "fft"}

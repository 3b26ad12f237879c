"""Loops that XLA on CPUs compiles to one function, instead of to calls of their operations.

A call takes some dozens of nanoseconds, and a step of Adam on a function of two variables has thirteen of them: 500 ns for
eight lanes, of which the numbers take 45. XLA makes one function by itself of loops that touch less than a kilobyte. The mark
that it leaves on these may as well be set beforehand, on a call that holds the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata

TESTED = "0.10."  # of jaxlib: the mark is XLA's own, and means nothing, or something else, to others
MARK = {"xla_cpu_small_call": "true", "inlineable": "false"}
# Compiler options: neither threads nor fusions of a library, which are calls too.
OPTIONS = {"xla_cpu_multi_thread_eigen": False, "xla_cpu_experimental_ynn_fusion_type": ""}
CARRY_BYTES, ARRAY_BYTES = 4096, 1536  # of one lane, and of any array that it works on, up to which one function is quicker
FLOPS = 600  # of a lane's matrix products in a step: with more of them, a library's calls are quicker
OPERATIONS = 500  # of a step: with more, one function takes long to compile
_NAMES = """
abs acos acosh add add_any and argmax argmin asin asinh atan atan2 atanh bitcast_convert_type broadcast_in_dim cbrt ceil
clamp complex concatenate cond convert_element_type copy cos cosh custom_jvp_call custom_vjp_call div dot_general
dynamic_slice empty2 eq erf erf_inv erfc exp exp2 expm1 floor gather ge gt imag integer_pow iota is_finite jit le log log1p
logistic lt max min mul ne neg nextafter not optimization_barrier or pad population_count pow random_bits random_fold_in
random_seed random_split random_unwrap random_wrap real reduce_and reduce_max reduce_min reduce_or reduce_precision
reduce_prod reduce_sum reduce_xor rem remat2 reshape rev round rsqrt scan select_n shift_left shift_right_arithmetic
shift_right_logical sign sin sinh slice split sqrt square squeeze stop_gradient sub tan tanh threefry2x32 transpose while xor
"""
SUPPORTED = frozenset(_NAMES.split())  # what such a function may consist of; tests/test_native.py tries each


def is_light(equations: Sequence[Any], flops: float, carry_bytes: int) -> bool:
    """Whether a loop over steps of these equations had better be one function; all numbers are of one lane and step."""
    if not metadata.version("jaxlib").startswith(TESTED) or getattr(jax.config, "jax_use_simplified_jaxpr_constants", False):
        return False  # the latter hands over constants as arguments that nobody sees
    if flops > FLOPS or carry_bytes > CARRY_BYTES:
        return False
    return len(equations) <= OPERATIONS and all(map(_is_light, equations))


def _is_light(equation: Any) -> bool:
    arrays = [v.aval for v in (*equation.invars, *equation.outvars)]
    return equation.primitive.name in SUPPORTED and all(map(_is_small, arrays))


def _is_small(x: Any) -> bool:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) and str(x.dtype) != "key<fry>":
        return False  # other generators than threefry have operations of their own
    return bool(0 < x.size * x.dtype.itemsize <= ARRAY_BYTES)


def as_one_function(function: Callable[..., tuple[Any, ...]], *args: Any) -> tuple[Any, ...]:
    """What ``function(*args)`` returns, and a number to be forgotten."""

    def using_all(*args: Any) -> Any:
        # XLA dies of an argument of such a function that nothing uses, be it that nothing is left of its use.
        return *function(*args), sum(map(_first_number, jax.tree.leaves(args)))

    return set_xla_metadata(jax.jit(using_all)(*args), **MARK)  # type: ignore[no-any-return]


def _first_number(x: Any) -> jax.Array:
    numbers = jax.random.key_data(x) if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key) else x
    return jnp.real(jnp.ravel(numbers)[:1]).astype(jnp.float32)

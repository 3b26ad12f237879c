"""Loops that XLA on CPUs compiles to one function, instead of to calls of their operations.

A call takes some dozens of nanoseconds, and a step of Adam on a function of two variables has thirteen of them: 500 ns for
eight lanes, of which the numbers take 45. XLA makes one function by itself of loops that touch less than a kilobyte. The mark
that it leaves on these may as well be set beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata

MARK = {"xla_cpu_small_call": "true", "inlineable": "false"}
OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}  # compiler options: nothing that only a library's calls can do
CARRY_BYTES, ARRAY_BYTES = 4096, 1536  # of one lane, and of any array that it works on, up to which one function is quicker
FLOPS = 600  # of a lane's matrix products in a step: with more of them, a library's calls are quicker
SUPPORTED = frozenset(  # what such a function may consist of
    [
        *("abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type", "div", "eq", "floor", "ge", "gt", "imag"),
        *("integer_pow", "is_finite", "le", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "pow", "real"),
        *(
            "rem",
            "round",
            "rsqrt",
            "select_n",
            "sign",
            "sqrt",
            "square",
            "sub",
            "xor",
            "cbrt",
            "complex",
            "exp",
            "exp2",
            "expm1",
            "log",
        ),
        *(
            "log1p",
            "logistic",
            "erf",
            "erfc",
            "erf_inv",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "atan2",
            "sinh",
            "cosh",
            "tanh",
        ),
        *("asinh", "acosh", "atanh", "shift_left", "shift_right_arithmetic", "shift_right_logical"),
        *("reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum", "dot_general"),
        *("broadcast_in_dim", "concatenate", "copy", "dynamic_slice", "gather", "iota"),
        *("pad", "reshape", "rev", "slice", "split", "squeeze", "stop_gradient", "transpose", "bitcast_convert_type", "empty2"),
        *("cond", "while", "scan", "jit", "custom_jvp_call", "custom_vjp_call"),
        *("random_bits", "random_fold_in", "random_seed", "random_split", "random_unwrap", "random_wrap", "threefry2x32"),
    ]
)


def is_light(operations: Set[str], flops: float, carry_bytes: int, array_bytes: int) -> bool:
    """Whether a loop over such steps had better be one function; all numbers are of one lane and step."""
    return operations <= SUPPORTED and flops <= FLOPS and carry_bytes <= CARRY_BYTES and array_bytes <= ARRAY_BYTES


def as_one_function(function: Callable[..., tuple[Any, ...]], *args: Any) -> tuple[Any, ...]:
    """What ``function(*args)`` returns, and a number to be forgotten."""

    def using_all(*args: Any) -> Any:
        # XLA dies of an argument of such a function that nothing uses, be it that nothing is left of its use.
        return *function(*args), sum(map(_first_number, jax.tree.leaves(args)))

    return set_xla_metadata(jax.jit(using_all)(*args), **MARK)  # type: ignore[no-any-return]


def _first_number(x: Any) -> jax.Array:
    numbers = jax.random.key_data(x) if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key) else x
    return jnp.real(jnp.ravel(numbers)[:1]).astype(jnp.float32)

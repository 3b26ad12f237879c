"""What users hand over as data, read as arrays: NumPy's, JAX's, torch's, frames, whatever has a protocol for it.

``read`` looks and does not copy; ``fitted`` puts the numbers into the type in which JAX will have them.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.values import checks

PROTOCOLS = ("to_numpy", "todense", "toarray", "__array__", "__array_interface__", "__dlpack__")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Keys:
    """Random keys while they are on the host, as the numbers that they are made of."""

    data: Any
    impl: Any = dataclasses.field(metadata={"static": True})


def is_array(x: Any) -> bool:
    """Whether something is one array, and not a tree or an iterable of them."""
    if isinstance(x, type):
        return False
    return (hasattr(x, "dtype") and hasattr(x, "shape")) or any(hasattr(x, name) for name in PROTOCOLS)


def is_opaque(x: Any) -> bool:
    """Whether JAX knows no parts of it."""
    leaves = jax.tree.leaves(x)
    return len(leaves) == 1 and leaves[0] is x


def is_sparse(x: Any) -> bool:
    """Whether it is a sparse matrix; the parts of JAX's own, which are trees, have no axis of examples."""
    return hasattr(x, "todense")


def is_keys(x: Any) -> bool:
    """Whether it is ``Keys``."""
    return isinstance(x, Keys)


def map_named(function: Callable[[str, Any], Any], what: str, tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """``function(name, leaf)`` for every leaf of some data; the name is ``what`` and the leaf's path.

    Paths take longer than to look at a leaf, so they are worked out only where something is wrong.
    """

    def named(path: Any, x: Any) -> Any:
        return function(f"{what}: the leaf at {jax.tree_util.keystr(path) or '(root)'}", x)

    try:
        return jax.tree.map(functools.partial(function, what), tree, is_leaf=is_leaf)
    except (TypeError, ValueError):
        return jax.tree_util.tree_map_with_path(named, tree, is_leaf=is_leaf)


def read(name: str, x: Any) -> Any:
    """``x`` as an array of numbers, in its own memory where that can be; JAX's arrays as they are.

    Raises:
      TypeError: Where it holds no numbers, or can't be read.
      ValueError: For a masked array.
    """
    if isinstance(x, jax.Array):
        return x
    if is_sparse(x):
        return _sparse(name, x)
    checks.not_masked(name, x)
    try:
        array = _as_numpy(x)
    except Exception as error:
        raise TypeError(
            f"{name} is a {type(x).__name__} that can't be read as an array ({error}); give a NumPy array."
        ) from error
    if not _is_numeric(array.dtype):
        raise TypeError(f"{name} is {_described(x, array.dtype)}.")
    return array


def fitted(name: str, x: Any, wide: bool) -> Any:
    """``x`` in the type that JAX will give it: this machine's order of bytes; 32 bits unless ``wide``.

    Raises:
      ValueError: Where whole numbers don't fit.
    """
    if not isinstance(x, np.ndarray) and jnp.issubdtype(x.dtype, jax.dtypes.extended):
        return x
    dtype = _target(np.dtype(x.dtype), wide)
    if dtype == x.dtype:
        return x
    array = np.asarray(x)
    checks.fits(name, array, dtype)
    with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite there, as everywhere in JAX
        return array.astype(dtype)


def on_host(x: Any) -> Any:
    """An array of JAX's as one of NumPy's, random keys as ``Keys``."""
    if not isinstance(x, jax.Array):
        return x
    with jax.transfer_guard("allow"):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return Keys(np.asarray(jax.random.key_data(x)), jax.random.key_impl(x))
        return np.asarray(x)


def as_keys(x: Any) -> Any:
    """The keys that ``Keys`` stand for; anything else as it is."""
    return jax.random.wrap_key_data(x.data, impl=x.impl) if isinstance(x, Keys) else x


def _sparse(name: str, x: Any) -> Any:
    if is_opaque(x):  # somebody else's; JAX's own are trees
        raise TypeError(
            f"{name} is a sparse matrix ({type(x).__name__}); make it dense (x.toarray()), or, where that is too large, give "
            f"an iterable that makes each batch dense."
        )
    return x


def _as_numpy(x: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _of_torch(torch, x)
    if callable(getattr(x, "to_numpy", None)):  # frames and series
        return np.asarray(x.to_numpy())
    if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def _of_torch(torch: Any, x: Any) -> np.ndarray:
    """A tensor's memory as an array; types that NumPy does not know by way of their bits."""
    if x.layout != torch.strided:
        raise ValueError("it is sparse: x.to_dense()")
    x = x.detach().cpu().resolve_conj().resolve_neg()
    narrow = getattr(jnp, str(x.dtype).removeprefix("torch."), None)
    if narrow is None or not x.dtype.is_floating_point or x.dtype in (torch.float16, torch.float32, torch.float64):
        return np.asarray(x)
    bits = torch.int16 if x.element_size() == 2 else torch.uint8
    return np.asarray(x.contiguous().view(bits)).view(np.dtype(narrow))


def _is_numeric(dtype: np.dtype) -> bool:
    if dtype.kind == "V":  # structured types, and bfloat16 and its like
        return dtype.names is None and bool(jnp.issubdtype(dtype, np.number))
    return dtype.kind in "biufc"


def _described(x: Any, dtype: np.dtype) -> str:
    """What holds no numbers, and what to give instead."""
    kind = type(x).__name__
    if isinstance(x, (str, bytes)) or dtype.kind in "SU":
        return f"text ({kind}), but data must be numbers; encode it"
    if dtype.names is not None:
        return f"a structured array with the fields {list(dtype.names)}; give a dict of them, {{name: x[name], ...}}"
    if dtype.kind == "V":
        return f"of type {dtype}, bytes that are no numbers; give x.view(...) of the type that they mean"
    if dtype.kind in "mM":
        return f"of type {dtype}, but data must be numbers; for example (x - x[0]) / np.timedelta64(1, 's')"
    if hasattr(x, "to_numpy"):
        return f"a {kind} whose columns don't make numbers of one type; try x.to_numpy(np.float32)"
    if isinstance(x, np.ndarray):
        return "an array of Python objects; try x.astype(np.float32), or np.stack(x) where it holds arrays of one shape"
    return (
        f"a {kind}, which holds no numbers: leaves must be arrays; give arrays, a function batch(key, step), or an iterable "
        f"of batches"
    )


@functools.cache
def _target(dtype: np.dtype, wide: bool) -> np.dtype:
    most = 8 if wide else 4
    if dtype.kind == "c":
        most *= 2
    if dtype.kind in "iufc" and dtype.itemsize > most:
        return np.dtype(f"{dtype.kind}{most}")
    return dtype.newbyteorder("=")

"""What was traced, and data, by names that are the same in another process: for what is kept on a disk."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from jopt.engine.compiled.identity import content
from jopt.engine.compiled.tracing import Traced
from jopt.engine.data.arrays import Keys, is_keys, on_host
from jopt.values.trees import flatten

SLICE_BYTES = 64 * 2**20  # of an array, which may be mapped from a file, that are looked at together


def of_trace(traced: Traced | None) -> str:
    """A name for what a function computes, the arrays that it closes over included.

    Functions that compiled code calls back to are told apart by their names only.
    """
    if traced is None:
        return ""
    return digest(traced.key.described(), shapes_of(traced.result), [content(x) for x in traced.arrays])


def of_arrays(tree: Any) -> str:
    """A name for what arrays hold, whoever made them."""
    leaves, structure = flatten(tree, is_leaf=is_keys)
    return digest(_without_addresses(str(structure)), [_of_array(x) for x in leaves])


def shapes_of(tree: Any) -> str:
    """A name for the structure, the shapes and the types of a tree."""
    leaves, structure = flatten(tree)
    return digest(_without_addresses(str(structure)), [(x.shape, str(x.dtype)) for x in leaves])


def digest(*parts: Any) -> str:
    """A name for what something reads like."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _of_array(x: Any) -> tuple[Any, ...]:
    x = on_host(x)
    x = x.data if isinstance(x, Keys) else np.asarray(x)
    made = hashlib.blake2b(digest_size=16)
    rows = max(1, SLICE_BYTES // max(1, x.nbytes // max(1, len(x)))) if x.ndim else 1
    for part in [x[i : i + rows] for i in range(0, len(x), rows)] if x.ndim else [x]:
        made.update(np.ascontiguousarray(part).tobytes())
    return x.shape, str(x.dtype), made.hexdigest()


def _without_addresses(text: str) -> str:
    return re.sub("0x[0-9a-f]+", "", text)

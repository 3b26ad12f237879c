"""Arrays as bytes in parts, with their type and shape."""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import jax.numpy as jnp
import numpy as np

from jopt.engine.lanes.store.database import PARTS, Database

PART_BYTES = 4 * 2**20  # of one part: what is read, checked and copied at once
_PLAIN = re.compile(r"[<|][biufcSU][1-9]\d{0,6}")  # NumPy's own types, little-endian


@functools.cache
def _narrow() -> dict[str, np.dtype[Any]]:
    """The types that JAX adds to NumPy's, such as bfloat16, by name."""
    added = [np.dtype(kind.dtype) for kind in vars(jnp).values() if isinstance(kind, type(jnp.bfloat16))]
    return {dtype.name: dtype for dtype in added if not _PLAIN.fullmatch(_plain(dtype))}


def _plain(dtype: np.dtype[Any]) -> str:
    return str(dtype.newbyteorder("<").str) if dtype.num < 256 else ""  # those above are not NumPy's own


def type_name(dtype: np.dtype[Any]) -> str:
    """A type as a file names it.

    Raises:
      TypeError: For a type that is stored otherwise or not at all: objects, records, dates.
    """
    name = dtype.name if dtype.name in _narrow() else _plain(dtype)
    if name not in _narrow() and not _PLAIN.fullmatch(name):
        raise TypeError(f"Arrays of type {dtype} are not stored.")
    return name


def type_of(name: Any) -> np.dtype[Any]:
    """The type that a file names."""
    if isinstance(name, str) and name in _narrow():
        return _narrow()[name]
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise ValueError(f"it has an array of a type that jopt does not store, {name!r:.40}")
    return np.dtype(name).newbyteorder("=")


def write(database: Database, array: np.ndarray[Any, Any]) -> list[Any]:
    """Stores an array, and returns what ``read`` needs: its type, its shape, its first part and how many there are."""
    name = type_name(array.dtype)
    flat = array.reshape(-1)
    step = max(1, PART_BYTES // array.itemsize)
    little = array.dtype if name in _narrow() else np.dtype(name)
    ids = [
        database.insert(PARTS, 0, flat[begin : begin + step].astype(little, copy=False).tobytes())
        for begin in range(0, len(flat), step)
    ]
    return [name, list(array.shape), ids[0] if ids else 0, len(ids)]


def read(database: Database, stored: Any) -> np.ndarray[Any, Any]:
    """The array that ``write`` stored; memory is taken only for what is there."""
    name, shape, first, count = stored
    dtype = type_of(name)
    if not all(type(n) is int and n >= 0 for n in [*shape, first, count]):
        raise ValueError(f"it has an array of shape {shape!r:.40}")
    size = size_of(stored)
    if database.part_lengths(first, count) != (count, size):
        raise ValueError(f"it has an array of type {name} and shape {shape!r:.40} without its bytes")
    data, filled = np.empty(size, np.uint8), 0
    for number in range(first, first + count):
        part = database.part(number)
        data[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
        filled += len(part)
    _check_values(data, dtype)
    return data.view(dtype).reshape(shape)


def _check_values(data: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> None:
    """Checks that bytes are values of a type that has not one for each pattern of bits."""
    if dtype.kind == "b" and (data > 1).any():
        raise ValueError("it has an array of bools that are none")
    if dtype.kind == "U" and (data.view(np.uint32) > 0x10FFFF).any():
        raise ValueError("it has an array of text that is none")


def size_of(stored: Any) -> int:
    """The bytes of an array that ``write`` stored."""
    name, shape, _, _ = stored
    return int(math.prod(shape)) * type_of(name).itemsize

"""Chooses the feed for the data that a sweep is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jopt.engine import machine
from jopt.engine.data import arrays
from jopt.engine.data.sources import Feed, FunctionData, HostMinibatches, Minibatches, NoData, WholeData
from jopt.engine.data.streams import Iterated
from jopt.training import same_length
from jopt.values.numbers import whole
from jopt.values.trees import is_function

DATA_SHARE = 0.5  # of a device's memory that data may take; larger arrays stay on the host


def feed_of(data: Any, batch_size: int | None, seed: int, steps: int, first: int = 0) -> Feed:
    """The feed for the ``data=`` and ``batch_size=`` of a sweep whose lanes go from step ``first`` to ``steps``."""
    if data is None or is_function(data) or _is_stream(data):
        if batch_size is not None:
            raise ValueError(f"batch_size= is for data given as arrays, but {_made_elsewhere(data)}.")
        return NoData() if data is None else FunctionData(data) if is_function(data) else Iterated(data, steps, first)
    data = arrays.map_named(_array, "data", data, arrays.is_sparse)
    examples = same_length("data", jax.tree.map(_outline, data, is_leaf=arrays.is_sparse), "examples")
    if examples == 0:
        raise ValueError("data has no examples.")
    if batch_size is None:
        if not _fits(data):
            raise ValueError(
                f"data takes {_size(data) / 1e9:.1f} GB, more than the device has to spare for it; give batch_size=, and "
                f"batches are cut on the host."
            )
        return WholeData(_fitted(data))
    if whole("batch_size", batch_size) > examples:
        raise ValueError(f"batch_size is {batch_size}, but data has only {examples} examples.")
    arrays.map_named(_has_rows, "data", data, arrays.is_sparse)
    if _fits(data):
        return Minibatches(_fitted(data), int(batch_size), seed, examples)
    return HostMinibatches(data, int(batch_size), seed, examples)


def _is_stream(data: Any) -> bool:
    """Whether batches come one after another: from a list, or from what JAX knows as no tree and can be passed over."""
    if isinstance(data, (list, Iterator)):
        return True
    known = arrays.is_array(data) or isinstance(data, (str, bytes, Mapping))
    return not known and hasattr(data, "__iter__") and arrays.is_opaque(data)


def _made_elsewhere(data: Any) -> str:
    if isinstance(data, list):
        return "a list is a stream of batches; give a tuple or a dict of arrays"
    return "there are none" if data is None else "a function or an iterable makes its own batches"


def _array(name: str, x: Any) -> Any:
    if isinstance(x, Mapping):
        raise TypeError(f"{name} is a {type(x).__name__}, which JAX does not know as a tree; give dict(x).")
    if isinstance(x, (bool, int, float, complex)):
        raise TypeError(
            f"{name} is a {type(x).__name__}; give arrays (np.asarray of a list of numbers), a function batch(key, step), or "
            f"an iterable of batches."
        )
    return arrays.read(name, x)


def _fitted(data: Any) -> Any:
    wide = bool(jax.config.values["jax_enable_x64"])
    return arrays.map_named(lambda name, x: arrays.fitted(name, x, wide), "data", data)


def _outline(x: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(x), np.float32)  # a sparse matrix of JAX's has a shape, and parts without examples


def _has_rows(name: str, x: Any) -> None:
    if arrays.is_sparse(x):
        raise TypeError(
            f"{name} is a sparse matrix ({type(x).__name__}), which can't be cut into batches; make it dense (x.todense()), or "
            f"give no batch_size."
        )


def _fits(data: Any) -> bool:
    """Whether arrays may be put on a device whole, or are there already."""
    on_device = all(isinstance(x, jax.Array) for x in jax.tree.leaves(data))
    return on_device or _size(data) <= DATA_SHARE * machine.budget(jax.local_devices()[0])


def _size(data: Any) -> int:
    return sum(x.nbytes for x in jax.tree.leaves(data))

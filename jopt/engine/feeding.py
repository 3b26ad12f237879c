"""Chooses the feed for the data that a sweep is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax

from jopt._numbers import whole
from jopt.engine import limits
from jopt.engine.sources import Feed, FunctionData, HostMinibatches, Minibatches, NoData, WholeData
from jopt.engine.streams import Iterated
from jopt.training import same_length

DATA_SHARE = 0.5  # of a device's memory that data may take; larger arrays stay on the host


def feed_of(data: Any, batch_size: int | None, seed: int, steps: int) -> Feed:
    """The feed for the ``data=`` and ``batch_size=`` of a sweep."""
    if data is None or callable(data) or _is_stream(data):
        if batch_size is not None:
            raise ValueError("batch_size= is for data given as arrays; a function or an iterable makes its own batches.")
        return NoData() if data is None else FunctionData(data) if callable(data) else Iterated(data, steps)
    _check_arrays(data)
    examples = same_length("data", data, "examples")
    if examples == 0:
        raise ValueError("data has no examples.")
    if batch_size is None:
        if not _fits(data):
            raise ValueError(
                f"data takes {_size(data) / 1e9:.1f} GB, more than the device has to spare for it; give batch_size=, and "
                f"batches are cut on the host."
            )
        return WholeData(data)
    if whole("batch_size", batch_size) > examples:
        raise ValueError(f"batch_size is {batch_size}, but data has only {examples} examples.")
    return (Minibatches if _fits(data) else HostMinibatches)(data, int(batch_size), seed, examples)


def _fits(data: Any) -> bool:
    """Whether arrays may be put on a device whole, or are there already."""
    on_device = all(isinstance(x, jax.Array) for x in jax.tree.leaves(data))
    return on_device or _size(data) <= DATA_SHARE * limits.budget(jax.local_devices()[0])


def _size(data: Any) -> int:
    return sum(x.nbytes for x in jax.tree.leaves(data))


def _is_stream(data: Any) -> bool:
    if isinstance(data, Iterator):
        return True
    leaves = jax.tree.leaves(data)
    whole = len(leaves) == 1 and leaves[0] is data
    return whole and not hasattr(data, "dtype") and hasattr(data, "__iter__") and not isinstance(data, (str, bytes))


def _check_arrays(data: Any) -> None:
    for path, x in jax.tree_util.tree_flatten_with_path(data)[0]:
        if not (hasattr(x, "dtype") and hasattr(x, "shape")) or x.dtype.kind in "OUSV":
            where = jax.tree_util.keystr(path) or "(root)"
            raise TypeError(
                f"data: the leaf at {where} is a {type(x).__name__}; give arrays, a function batch(key, step), "
                f"or an iterable of batches."
            )

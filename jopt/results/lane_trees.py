"""What is kept of lanes, as trees over a grid ``[*dims, seed, ...]`` and as rows ``[lanes, ...]`` of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jopt.engine.lanes.store.pieces import Kept
from jopt.results.ragged import Ragged
from jopt.values.trees import flatten


def rows(tree: Any, lanes: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Any]]:
    """The lanes of each tree of one structure, and the tree with leaves [lanes, ...].

    Args:
      tree: Leaves [*dims, seed, ...], or a ``Ragged``.
      lanes: [seed, *dims], the numbers of the lanes.
    """
    if not isinstance(tree, Ragged):
        yield lanes.ravel(), jax.tree.map(lambda x: _seeds_first(np.asarray(x), lanes.ndim - 1), tree)
        return
    of_setting, where = lanes.reshape(len(lanes), -1), tree.where.reshape(-1, 2)
    for i, stack in enumerate(tree.stacks):
        here = np.flatnonzero(where[:, 0] == i)
        here = here[np.argsort(where[here, 1])]
        yield of_setting[:, here].ravel(), jax.tree.map(lambda x: _seeds_first(np.asarray(x), 1), stack)


def _seeds_first(x: NDArray[Any], dims: int) -> NDArray[Any]:
    shape = x.shape[dims + 1 :]
    return np.moveaxis(x, dims, 0).reshape(int(np.prod(x.shape[: dims + 1], dtype=np.int64)), *shape)


def tree(kept: Sequence[Kept], lanes: NDArray[Any]) -> Any:
    """The tree of all lanes, leaves [*dims, seed, ...]; a ``Ragged`` where they differ in shape; None where nothing was kept.

    Args:
      kept: Of some lanes each; of what several have the last counts.
      lanes: [*dims, seed], the numbers of the lanes.
    """
    if not kept:
        return None
    for each in kept:
        _check(each)
    if len(_forms(kept)) > 1:
        return _ragged(kept, lanes)
    numbers = np.concatenate([each.lanes for each in kept])
    if len(kept) == 1:
        return jax.tree.map(lambda x: _picked(x, numbers, lanes), kept[0].tree)
    return jax.tree.map(lambda *x: _picked(np.concatenate(x), numbers, lanes), *(each.tree for each in kept))


def _ragged(kept: Sequence[Kept], lanes: NDArray[Any]) -> Ragged:
    """A stack for each form; of a lane in several of them the last one counts."""
    settings = lanes.reshape(-1, lanes.shape[-1])
    where = np.zeros((len(settings), 2), np.int64)
    stacks: list[Any] = []
    for form in _forms(kept):
        alike = [each for each in kept if _form(each.tree) == form]
        here = np.flatnonzero(np.isin(settings[:, 0], np.concatenate([each.lanes for each in alike])))
        where[here] = np.stack([np.full(len(here), len(stacks)), np.arange(len(here))], -1)
        stacks.append(tree(alike, settings[here]))
    return Ragged(stacks, where.reshape(*lanes.shape[:-1], 2))


def _picked(x: NDArray[Any], numbers: NDArray[Any], lanes: NDArray[Any]) -> NDArray[Any]:
    """Rows of lanes as an array over the grid: a view where they lie seed by seed; NaN, or 0, of lanes that have none."""
    by_seed = np.moveaxis(lanes, -1, 0)
    if np.array_equal(by_seed.ravel(), numbers):
        return np.moveaxis(x.reshape(*by_seed.shape, *x.shape[1:]), 0, lanes.ndim - 1)
    place = np.full(int(max(lanes.max(initial=-1), numbers.max(initial=-1))) + 1, -1)
    place[numbers] = np.arange(len(numbers))
    picked = place[lanes]
    made: NDArray[Any] = x[np.maximum(picked, 0)]
    made[picked < 0] = np.nan if jnp.issubdtype(x.dtype, jnp.inexact) else 0
    return made


def _forms(kept: Sequence[Kept]) -> list[Any]:
    """The different forms of some trees, each once; a user's structure need not hash."""
    found: list[Any] = []
    for each in kept:
        if (form := _form(each.tree)) not in found:
            found.append(form)
    return found


def _form(of: Any) -> Any:
    leaves, structure = flatten(of)
    return structure, tuple((x.shape[1:], x.dtype.name) for x in leaves)


def _check(each: Kept) -> None:
    for x in jax.tree.leaves(each.tree):
        if len(x) != len(each.lanes):
            raise ValueError(f"what it keeps of {len(each.lanes)} lanes has an array of shape {x.shape}")

"""Names of lanes that outlive their sweep: by what is trained, the setting's numbers and structure, and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import jax

from jopt.engine.lanes.store.encoding import encode
from jopt.spaces import Space
from jopt.values.trees import flatten


def structures_of(space: Space) -> dict[str, str]:
    """Names for what the settings of a space have in common: all but their Python numbers, and the batch size."""
    leaves, treedef = flatten(space.at(0))
    plain = treedef.unflatten([type(x)(0) if _is_number(x) else x for x in leaves])
    return {
        "optimizer": encode(plain.optimizer).digest(),
        "hyper": encode(plain.hyper).digest(),
        "batch_size": repr(space.batch_size),
    }


def names_of(space: Space, seeds: Sequence[int], problem: str = "") -> list[list[str]]:
    """The name of each lane, of each setting by seed.

    Its place in a grid is not in it, nor any address in memory. ``problem`` names what is trained, where several are kept
    together.
    """
    columns = space.columns()
    leaves = jax.tree_util.tree_flatten_with_path(space.at(0))[0]
    numbers = [
        (jax.tree_util.keystr(path), columns.get(i, [x] * space.size)) for i, (path, x) in enumerate(leaves) if _is_number(x)
    ]
    texts = [[f"{path}={value!r}" for value in values] for path, values in numbers]
    fixed = f"{problem}/{structures_of(space)}"
    each = [f"{fixed}/{';'.join(text[setting] for text in texts)}" for setting in range(space.size)]
    return [[_digest(f"{setting}/{int(seed)}") for seed in seeds] for setting in each]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)

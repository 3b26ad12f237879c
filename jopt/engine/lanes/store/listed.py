"""Settings as a table: one tree for all that differ in numbers only, and their numbers in columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jopt.engine.lanes.store.encoding import encode
from jopt.values.trees import flatten

_MOST = 2**63 - 1  # that a column of whole numbers holds


@dataclasses.dataclass(frozen=True, eq=False)
class Template:
    """Settings of one structure.

    Attributes:
      tree: The first of them.
      leaves: Which of its leaves are numbers, by their places.
      columns: For each of these its value in every setting.
    """

    tree: Any
    leaves: list[int]
    columns: list[np.ndarray[Any, Any]]

    def at(self, row: int) -> Any:
        """One of the settings."""
        return self.put([column[row].item() for column in self.columns])

    def put(self, numbers: Sequence[Any]) -> Any:
        """The tree with other numbers."""
        leaves, structure = flatten(self.tree)
        for place, number in zip(self.leaves, numbers, strict=True):
            leaves[place] = number
        return structure.unflatten(leaves)


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """Settings by number.

    Attributes:
      templates: The settings of each structure.
      where: [settings, 2], the template of each, and its row there.
    """

    templates: list[Template]
    where: np.ndarray[Any, Any]

    @classmethod
    def of(cls, at: Callable[[int], Any], count: int) -> Listed:
        """The settings ``at(0)``, ``at(1)``, ..., trees each."""
        kinds: dict[Any, int] = {}
        trees: list[Any] = []
        numbers: list[list[list[Any]]] = []
        alive: list[Any] = []  # what is told apart by identity must not make room for another
        where = np.empty((count, 2), np.int64)
        for k in range(count):
            tree = at(k)
            leaves, structure = flatten(tree)
            alive.append([x for x in leaves if type(x) not in (int, float)])
            kind = kinds.setdefault(_key(structure, leaves, k), len(kinds))
            if kind == len(trees):
                trees.append(tree)
                numbers.append([])
            where[k] = kind, len(numbers[kind])
            numbers[kind].append([x for x in leaves if _is_number(x)])
        return cls([_template(tree, rows) for tree, rows in zip(trees, numbers, strict=True)], where)

    def __len__(self) -> int:
        return len(self.where)

    def __call__(self, setting: int) -> Any:
        """One setting."""
        template, row = self.where[setting]
        return self.templates[int(template)].at(int(row))

    def names(self) -> list[str]:
        """Of each setting a name for what it says, wherever it stands."""
        outer = [encode(template.put([type(c[0].item())(0) for c in template.columns])).digest() for template in self.templates]
        return [
            f"{outer[template]}:{[column[row].item() for column in self.templates[template].columns]}"
            for template, row in self.where.tolist()
        ]


def _is_number(x: Any) -> bool:
    return type(x) is float or (type(x) is int and abs(x) <= _MOST)


def _key(structure: Any, leaves: list[Any], setting: int) -> Any:
    """What settings of one template have in common: all but the values of Python's numbers."""
    kinds = tuple(type(x).__name__ if _is_number(x) else (type(x), x) if isinstance(x, (bool, str)) else id(x) for x in leaves)
    try:
        hash(structure)
    except TypeError:  # of what a user's tree holds beside its leaves
        return setting
    return structure, kinds


def _template(tree: Any, rows: list[list[Any]]) -> Template:
    places = [i for i, x in enumerate(jax.tree.leaves(tree)) if _is_number(x)]
    return Template(tree, places, [np.asarray(column) for column in zip(*rows, strict=True)])

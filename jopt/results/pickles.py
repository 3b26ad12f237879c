"""The user's own objects inside a result that is pickled, as pickles that are undone when they are asked for."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pickled:
    """A value as its pickle, or the reason why it has none.

    The numbers of a result stay readable where the classes of its optimizer can't be pickled, or
    are no longer where they were: only who asks for the value learns of it.

    Attributes:
      stored: The pickle; empty where there is none.
      missing: Why there is none, as a sentence.
      shown: What the value reads like.
    """

    stored: bytes
    missing: str = ""
    shown: str = "<stored>"

    @classmethod
    def of(cls, known: Any, make: Callable[[], Any], what: str, shown: str = "<stored>") -> Pickled:
        """What is known, where it is a pickle, else the pickle of what ``make`` returns; an error calls it the ``what``."""
        if isinstance(known, cls):
            return known
        try:
            return cls(pickle.dumps(make()), shown=shown)
        except Exception as error:  # pickling runs code of every class inside the value
            return cls(b"", f"The {what} could not be pickled: {type(error).__name__}: {error}", shown)

    @cached_property
    def value(self) -> Any:
        """The value, made once."""
        if self.missing:
            raise ValueError(f"{self.missing}. Define its functions at the top of a module.")
        try:
            return pickle.loads(self.stored)
        except Exception as error:  # unpickling runs code of every class inside the value
            raise ValueError(
                f"A stored value could not be read back: {type(error).__name__}: {error}. "
                "Import the modules that defined it, in the versions that pickled it."
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the value: its pickle is enough, and needs none of its classes."""
        return Pickled, (self.stored, self.missing, self.shown)

    def __repr__(self) -> str:
        """What the value reads like."""
        return self.shown


@dataclass(frozen=True, eq=False)
class PickledTree:
    """A pytree of arrays whose structure is a pickle.

    Attributes:
      leaves: The arrays.
      structure: The tree with the number of each array in its place.
    """

    leaves: Sequence[NDArray[Any]]
    structure: Pickled

    @classmethod
    def of(cls, tree: Any, what: str) -> PickledTree:
        """The tree; an error calls it the ``what``."""
        if isinstance(tree, cls):
            return tree
        leaves, structure = jax.tree.flatten(tree)
        numbered = functools.partial(jax.tree.unflatten, structure, range(len(leaves)))
        return cls(leaves, Pickled.of(None, numbered, f"structure of the {what}"))

    @property
    def value(self) -> Any:
        """The tree."""
        return jax.tree.map(self.leaves.__getitem__, self.structure.value)

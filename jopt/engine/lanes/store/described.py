"""What stands in the place of something that a file can not bring back: it says so when it is used, and not before."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any, NoReturn

import jax

from jopt.values.factory import Factory

_HOW = "A file holds numbers, names and arrays, never code, and names only what is public in jopt, Optax and JAX."


@dataclasses.dataclass(frozen=True)
class Gone:
    """A function, or another object, of the user's.

    Attributes:
      name: The module and name of a function; how another object read.
      called: Whether it was a function.
    """

    name: str
    called: bool = True

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "__name__" and self.called:
            return self.name.rpartition(".")[2]
        raise AttributeError(attribute)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Says that this is no function any more."""
        raise ValueError(
            f"{self.name} was not stored, and so can't be used in what was loaded. {_HOW} Build the optimizer again with it: "
            f"trial.hyperparams has the numbers. An optimizer of Optax's is stored where it was lifted: "
            f"jopt.lift(optax.lion)(1e-4)."
        )

    def __repr__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True)
class GoneFactory:
    """The function behind an optimizer or a schedule that is none of the public ones.

    Attributes:
      home: The module and the name of the function.
      name: What the optimizer is called.
    """

    home: str
    name: str

    @property
    def __name__(self) -> str:
        return self.name

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Says that nothing can be computed with it."""
        raise ValueError(
            f"{self.name} was made by {self.home}, which was not stored, so that nothing can be computed with what was loaded. "
            f"{_HOW} Build it again by calling {self.home.rpartition('.')[2]}: trial.hyperparams has the numbers."
        )


@functools.cache
def gone_factory(function: GoneFactory, static: frozenset[str], evaluates: frozenset[str] | None) -> Factory:
    """A factory with the numbers of one that is gone."""
    return Factory(function, function.name, static=static, checked=False, evaluates=evaluates, lifted_by=gone_factory)


class Described:
    """A node of a tree, of a class of the user's: its children by name, and none of its methods.

    ``jopt.load_result(path, like=model)`` gives the class back.

    Args:
      name: The module and the name of the class.
      keys: The names of the children.
      children: The children, trees of arrays.
    """

    __slots__ = ("children", "keys", "name")

    def __init__(self, name: str, keys: tuple[str, ...], children: tuple[Any, ...]) -> None:
        self.name, self.keys, self.children = name, keys, children

    def __getitem__(self, key: str) -> Any:
        """A child by its name."""
        if key not in self.keys:
            raise KeyError(f"{self.name} has no {key!r}; it has {', '.join(self.keys)}.")
        return self.children[self.keys.index(key)]

    def __getattr__(self, key: str) -> Any:
        """A child by its name; all else is gone."""
        if not key.startswith("__") and key in self.keys:
            return self[key]
        raise AttributeError(self._gone(f"attribute {key!r}"))

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Says that this is no model any more."""
        raise ValueError(self._gone("code"))

    def _gone(self, what: str) -> str:
        return (
            f"This is a description of {self.name} with {', '.join(self.keys) or 'nothing'}, without its {what}. {_HOW} Give a "
            f"value of that class: jopt.load_result(path, like=params), with the parameters as they were given to the sweep."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Described, (self.name, self.keys, self.children)

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={child!r}" for key, child in zip(self.keys, self.children, strict=True))
        return f"<{self.name}({shown}), described>"


def _children(node: Described) -> tuple[list[tuple[Any, Any]], Any]:
    keys = [jax.tree_util.GetAttrKey(key) for key in node.keys]
    return list(zip(keys, node.children, strict=True)), (node.name, node.keys)


def _described(known: Any, children: Any) -> Described:
    name, keys = known
    return Described(name, keys, tuple(children))


jax.tree_util.register_pytree_with_keys(Described, _children, _described)

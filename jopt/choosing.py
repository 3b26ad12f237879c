"""Choosing an optimizer: all of jopt's in one table, made of their own code and docstrings.

What an optimizer says about itself stands beside its rule: its docstring has a section ``Use when:``, one sentence, and a
section ``Reference:``. Its family is the file that it is in; the size of its state, and what its ``update`` needs, are found by
tracing both on a matrix, so nothing is computed.
"""

from __future__ import annotations

import html
import inspect
import itertools
import math
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jopt import optimizers
from jopt.results import text
from jopt.values.factory import Factory

HEADER = ("optimizer", "family", "bytes", "update needs", "use when", "reference")
WIDTHS = (40, 40, 8, 12, 48, 40)  # of the columns of the text
# A matrix on which a factored state shows, in the type in which states are kept.
MATRIX = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
# What an update may be given beside the gradient and the state, as an argument of its own.
GIVEN = {"params": MATRIX, "value": jax.ShapeDtypeStruct((), jnp.float32)}


class Entry(NamedTuple):
    """One optimizer, a row of ``jopt.catalogue()``.

    Attributes:
      name: Its name: ``getattr(jopt, name)`` makes one of a learning rate.
      family: The file of ``jopt.optimizers`` that it is in.
      state_bytes: Bytes of its state per parameter, with its default arguments, for a float32 matrix of 1024 x 1024.
      needs: What its ``update`` must be given beside the gradient and the state, such as ``("params",)``.
      use_when: When to choose it, one sentence.
      reference: Where it comes from.
    """

    name: str
    family: str
    state_bytes: float
    needs: tuple[str, ...]
    use_when: str
    reference: str

    def cells(self) -> tuple[str, ...]:
        """The row as words, under ``HEADER``."""
        return (
            self.name,
            self.family,
            text.number(self.state_bytes),
            ", ".join(self.needs) or "-",
            self.use_when,
            self.reference,
        )


class Catalogue(tuple[Entry, ...]):
    """The rows of ``jopt.catalogue()``: iterate for the entries, print for the table."""

    __slots__ = ()

    def __str__(self) -> str:
        rows = [line for entry in self for line in _wrapped(entry.cells())]
        return text.printable(text.aligned(HEADER, rows))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = [_html_row("th", HEADER), *(_html_row("td", entry.cells()) for entry in self)]
        return f"<table>\n{chr(10).join(lines)}\n</table>"


def catalogue() -> Catalogue:
    """All optimizers of jopt, with what one needs to know to choose.

    Returns:
      A table whose ``str()`` is aligned text, shown as a table in notebooks. Iteration gives its rows, sorted by family and
      name, each with the fields ``name``, ``family``, ``state_bytes`` (per parameter), ``needs`` (what ``update`` must be given
      beside the gradient and the state), ``use_when`` and ``reference``.

    Example:
      >>> {row.name: (row.state_bytes, row.needs) for row in jopt.catalogue()}["adamw"]
      (8.0, ('params',))
    """
    entries = [_entry(name, make) for name, make in vars(optimizers).items() if _is_optimizer(name, make)]
    return Catalogue(sorted(entries, key=lambda entry: (entry.family, entry.name)))


def _is_optimizer(name: str, make: Any) -> bool:
    """Whether it is called with a learning rate: most building blocks are not, nor is what wraps another optimizer."""
    factory: Factory | None = getattr(make, "factory", None)
    of_a_rate = factory is not None and next(iter(factory.signature.parameters), "") == "learning_rate"
    return of_a_rate and not name.startswith("scale_by_")  # scale_by_rprop, as Optax calls it


def _entry(name: str, make: Callable[..., Any]) -> Entry:
    opt = make(0.01)
    state = jax.eval_shape(opt.init, MATRIX)
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) / math.prod(MATRIX.shape)
    doc = inspect.cleandoc(make.__doc__ or "")
    family = make.__module__.removeprefix(f"{optimizers.__name__}.")
    needs = _needs(name, opt, state)
    return Entry(name, family, round(size, 3), needs, _section(doc, "Use when"), _section(doc, "Reference"))


def _needs(name: str, opt: Any, state: Any) -> tuple[str, ...]:
    """The fewest further arguments with which the update can be traced."""
    for count in range(len(GIVEN) + 1):
        for needs in itertools.combinations(GIVEN, count):
            if _runs(opt, state, {key: GIVEN[key] for key in needs}):
                return needs
    raise NotImplementedError(f"catalogue: the update of {name} runs with none of {[*GIVEN]}; name what it needs in GIVEN.")


def _runs(opt: Any, state: Any, given: dict[str, Any]) -> bool:
    try:
        jax.eval_shape(lambda g, s, k: opt.update(g, s, **k), MATRIX, state, given)
    except (TypeError, ValueError):  # jopt's own words, or Optax's, about what is missing
        return False
    return True


def _section(doc: str, header: str) -> str:
    """The text under a header of a docstring, as one line; empty where there is none."""
    _, _, below = doc.partition(f"\n{header}:\n")
    lines = itertools.takewhile(lambda line: line.startswith(" "), below.splitlines())
    return " ".join(line.strip() for line in lines)


def _wrapped(cells: tuple[str, ...]) -> list[list[str]]:
    """One row as several lines, each cell as narrow as its column."""
    columns = [textwrap.wrap(cell, width) for cell, width in zip(cells, WIDTHS, strict=True)]
    return [list(line) for line in itertools.zip_longest(*columns, fillvalue="")]


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

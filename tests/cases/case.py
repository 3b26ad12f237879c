"""What a case is, and the ways to write one."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
import numpy as np

from tests.schedule_cases import LOOPS, ROOMS, convert


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A transformation: the factory's name, its arguments (or the parts of a chain), and whether Optax has the rule."""

    name: str
    factory: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: tuple[Case, ...] = ()
    in_optax: bool = True

    def make(self, kind: str = "jopt") -> Any:
        """The value (``kind="jopt"``) or Optax's transformation (``kind="optax"``)."""
        parts = [part.make(kind) for part in self.parts]
        if self.factory == "named_chain":
            parts = [(part.name, made) for part, made in zip(self.parts, parts, strict=True)]
        if self.factory == "partition":
            parts = [dict(enumerate(parts))]
        return getattr(ROOMS[kind], self.factory)(*parts, **convert(self.kwargs, kind))

    def reference(self, number: Any = float, **known: Any) -> Any:
        """The NumPy loop, its numbers rounded by ``number``.

        ``known`` is what a chain tells its parts: a plateau bounds the chain's learning rate.
        """
        rates = [r for p in self.parts if isinstance(r := p.kwargs.get("learning_rate"), float)]
        shared = {"learning_rate": number(rates[0])} if rates else {}
        parts = [part.reference(number, **(shared if part.name == "plateau" else {})) for part in self.parts]
        return getattr(LOOPS, self.factory)(*parts, **convert(self.kwargs, "reference", number), **known)


def case(name: str, factory: str, in_optax: bool = True, **kwargs: Any) -> Case:
    """A rule by itself."""
    return Case(name, factory, kwargs, in_optax=in_optax)


def downhill(name: str, factory: str, in_optax: bool = True, **kwargs: Any) -> Case:
    """A block whose updates grow with the parameters, as small steps downhill: by itself it would let them explode."""
    parts = (case(factory, factory, in_optax, **kwargs), case("scale", "scale", step_size=-0.01))
    return Case(name, "chain", parts=parts, in_optax=in_optax)


def of_matrices(name: str, *parts: Case) -> Case:
    """Blocks for matrices, in their place."""
    chained, scaled = Case("chain", "chain", parts=parts, in_optax=False), case("scale", "scale", step_size=-0.01)
    return Case(name, "matrixwise", {"mask": matrices_only}, (chained, scaled), in_optax=False)


def matrices_only(params: Any) -> Any:
    """A weight-decay mask: the leaves of two or more dimensions."""
    return jax.tree.map(lambda p: np.ndim(p) > 1, params)


PER_BRANCH = {"a": 0.1, "b": 0.01, "c": 0.2}
MASK = {"a": True, "b": False, "c": True}
# A second moment near the squared mean cancels, and ε must cover the rounding that is left: see test_rules.
COVERED = {"centered": True, "bias_correction": True, "eps": 1.0}


def name_of(case: Any) -> str:
    """The id of a case in the names of tests."""
    return str(case.name)


def one_of_each(cases: list[Case]) -> list[Case]:
    """A row of each rule, and all chains; what others' code makes of a rule depends little on settings. JOPT_TESTS=all: all."""
    if os.environ.get("JOPT_TESTS") == "all":
        return cases
    return list({case.name if case.parts else case.factory: case for case in reversed(cases)}.values())[::-1]

"""A function that makes rules, and what is known about its arguments."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Factory:
    """A function from hyperparameters to a rule, and what is known about its arguments.

    ``domain`` maps an argument to the interval that its concrete values must lie in; ``static`` names the
    numbers that are structure (a memory size, an unrolled count); ``lifted`` marks somebody else's factory,
    whose numbers are kept as they were given; ``wide`` marks a rule whose updates keep the type that comes in while
    its accumulators have types of their own, so that a chain may run it on float32 copies of narrower gradients.
    """

    function: Callable[..., Any]
    name: str
    domain: Mapping[str, str] = dataclasses.field(default_factory=dict)
    static: frozenset[str] = frozenset()
    wide: bool = False
    lifted_by: Callable[..., Factory] | None = None  # how a lifted factory is found again when it is unpickled

    @property
    def lifted(self) -> bool:
        return self.lifted_by is not None

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def default(self, argument: str) -> Any:
        """The default of an argument; ``inspect.Parameter.empty`` where there is none."""
        parameter = self.signature.parameters.get(argument)
        return inspect.Parameter.empty if parameter is None else parameter.default

    @functools.cached_property
    def switches(self) -> frozenset[str]:
        """The arguments that are structure even if a number is given: those declared so, and those annotated bool."""
        parameters = self.signature.parameters.values()
        return self.static | {p.name for p in parameters if p.annotation in (bool, "bool")}

    @functools.cached_property
    def takes_schedules(self) -> frozenset[str]:
        """The arguments that take a schedule themselves, as their annotation says, or as lifted factories are used to."""
        parameters = self.signature.parameters.values()
        unannotated = {"learning_rate"} & set(self.signature.parameters) if self.lifted else set()
        spelled = {p.name for p in parameters if "Schedule" in str(p.annotation) or "Callable" in str(p.annotation)}
        return frozenset(spelled | unannotated)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.lifted_by is not None:
            return self.lifted_by, (self.function, self.static)
        return _own_factory, (self.function.__module__, self.function.__qualname__)

    def __deepcopy__(self, memo: Any) -> Factory:
        return self  # one factory is one identity, and a local one can't be found again by its name


def _own_factory(module: str, qualname: str) -> Factory:
    public: Any = functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
    factory: Factory = public.factory
    return factory

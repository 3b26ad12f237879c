"""A function that makes rules, and what is known about its arguments."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jopt.values.numbers import is_number


@dataclasses.dataclass(frozen=True, eq=False)
class Factory:
    """A function from hyperparameters to a rule, and what is known about its arguments.

    ``domain`` maps an argument to the interval that its concrete values must lie in; ``static`` names the
    numbers that are structure (a memory size, an unrolled count); ``lifted`` marks somebody else's factory,
    whose numbers are kept as they were given; ``wide`` marks a rule whose updates keep the type that comes in while
    its accumulators have types of their own, so that a chain may run it on float32 copies of narrower gradients
    ("parts": one that keeps it where each of its parts does); ``checked`` marks one that is held to jopt's strictness
    about leaves and states.

    A schedule among the arguments is evaluated before the function sees it, but for the arguments that ``evaluates`` names
    (``None``: all of them), which the function evaluates itself. In those and in the ones of ``schedules`` a plain function
    is a schedule too. ``monitor`` is the argument that names an evaluation metric which ``update`` must be given.
    """

    function: Callable[..., Any]
    name: str
    domain: Mapping[str, str] = dataclasses.field(default_factory=dict)
    static: frozenset[str] = frozenset()
    wide: bool | Literal["parts"] = False
    checked: bool = True
    schedules: frozenset[str] = frozenset()
    evaluates: frozenset[str] | None = frozenset()
    monitor: str | None = None
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

    def hands_on(self, argument: str) -> bool:
        """Whether the function is given a schedule in this argument as it is."""
        return self.evaluates is None or argument in self.evaluates or argument in self.static

    def expects_number(self, argument: str) -> bool:
        """Whether an argument stands for a number, as far as its range and its default say: one without them may."""
        default = self.default(argument)
        known = argument in self.signature.parameters  # the parts of a chain are not
        return argument in self.domain or (known and (default is inspect.Parameter.empty or is_number(default)))

    def check_part(self, argument: str, x: Any) -> None:
        """Checks that what stands for a transformation is one: anything with ``init`` and ``update``."""
        parameter = self.signature.parameters.get(argument)
        if parameter is None or parameter.annotation != "optax.GradientTransformation":
            return
        if hasattr(x, "init") and hasattr(x, "update"):
            return
        hint = f"; did you forget to call {getattr(x, '__name__', 'it')}(...)?" if callable(x) else "."
        raise TypeError(f"{self.name}: {argument} is a {type(x).__name__}, not a transformation{hint}")

    def check_names(self) -> None:
        """Checks that what is declared about arguments names some."""
        declared = {*self.schedules, *(self.evaluates or ()), *([self.monitor] if self.monitor else [])}
        unknown = sorted(declared - set(self.signature.parameters))
        if unknown:
            raise ValueError(f"{self.name} has no argument {unknown[0]!r}; its arguments are {[*self.signature.parameters]}.")

    def __reduce__(self) -> tuple[Any, ...]:
        if self.lifted_by is not None:
            return self.lifted_by, (self.function, self.static, self.evaluates)
        return _own_factory, (self.function.__module__, self.function.__qualname__)

    def __deepcopy__(self, memo: Any) -> Factory:
        return self  # one factory is one identity, and a local one can't be found again by its name


def _own_factory(module: str, qualname: str) -> Factory:
    public: Any = functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
    factory: Factory = public.factory
    return factory

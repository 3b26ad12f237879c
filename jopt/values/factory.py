"""A function that makes rules, and what is known about its arguments."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from jopt.values import require
from jopt.values.numbers import Axis, is_number, whole
from jopt.values.trees import is_function


class Kept:
    """A whole number that is structure, as the default that a signature shows.

    ``optax.inject_hyperparams`` makes arrays of all ints among the defaults, and hands them on; this is none, and stays.
    """

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, Kept) else other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return repr(self.value)


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
    is a schedule too. ``monitor`` is the argument that names an evaluation metric which ``update`` must be given. ``last``
    marks a rule whose state follows the parameters, so that nothing in a chain may change its updates.
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
    last: bool = False
    lifted_by: Callable[..., Factory] | None = None  # how a lifted factory is found again when it is unpickled

    @property
    def lifted(self) -> bool:
        return self.lifted_by is not None

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @functools.cached_property
    def shown(self) -> inspect.Signature:
        """The signature that others see."""

        def kept(p: inspect.Parameter) -> inspect.Parameter:
            number = p.name in self.static and isinstance(p.default, int) and not isinstance(p.default, bool)
            return p.replace(default=Kept(p.default)) if number else p

        return self.signature.replace(parameters=[*map(kept, self.signature.parameters.values())])

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

    def annotation(self, argument: str) -> str:
        """How jopt's own function annotates an argument, without the ``None`` that it may allow; a user's may mean anything."""
        parameter = self.signature.parameters.get(argument)
        if parameter is None or not self.function.__module__.startswith("jopt."):
            return ""
        return str(parameter.annotation).removesuffix(" | None")

    def takes_none(self, argument: str) -> bool:
        """Whether an argument may be ``None``, by its default or its annotation."""
        parameter = self.signature.parameters.get(argument)
        return parameter is not None and (parameter.default is None or str(parameter.annotation).endswith("| None"))

    def is_numeric(self, argument: str) -> bool:
        """Whether an argument is annotated as one of jopt's own numbers, so that anything else there is a mistake."""
        return self.annotation(argument) in ("Numeric", "ScalarOrSchedule")

    def check_kind(self, argument: str, x: Any) -> None:
        """Checks an argument by its annotation: a switch, one of some words, a type, a mask, a function."""
        if isinstance(x, Axis):  # each of its values is checked
            return
        name, annotation = f"{self.name}: {argument}", self.annotation(argument)
        if annotation == "bool":
            require.flag(name, x)
        elif annotation.startswith("Literal["):
            require.one_of(name, x, ast.literal_eval(annotation.removeprefix("Literal")))
        elif annotation.startswith("Callable["):
            require.function(name, x)
        elif annotation == "int" and argument in self.static:
            whole(name, x, at_least=0)
        elif annotation == "str":
            require.text(name, x)
        elif annotation == "Any" and "dtype" in argument:
            require.floating(name, x)
        elif annotation == "Any" and argument.endswith("mask") and (isinstance(x, type) or not is_function(x)):
            require.choices(name, x)
        elif self.evaluates is None and (annotation == "Numeric" or (annotation == "ScalarOrSchedule" and not callable(x))):
            require.number(name, x)  # of a schedule

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


def check_declared(owner: str, factory: Any, domain: Any, names: Mapping[str, Any], name: Any) -> None:
    """Checks what a decorator is told about a factory."""
    require.function(f"{owner}: factory", factory)
    if domain is not None:
        _check_domain(owner, domain)
    for argument, given in names.items():
        if isinstance(given, Iterator):  # it would be empty afterwards
            raise TypeError(f"{owner}: {argument} must be a list of names of arguments, but got {require.shown(given)}.")
        for each in require.listed(f"{owner}: {argument}", given, "names of arguments"):
            require.text(f"{owner}: each of {argument}", each, ", the name of an argument")
    if name is not None:
        require.text(f"{owner}: name", name)


def check_switches(monitor: Any, wide: Any, checked: Any, last: Any) -> None:
    """Checks the other arguments of ``@transformation``."""
    if monitor is not None:
        require.text("transformation: monitor", monitor)
    if not (isinstance(wide, str) and wide == "parts"):
        require.flag("transformation: wide", wide)
    require.flag("transformation: checked", checked)
    require.flag("transformation: last", last)


def _check_domain(owner: str, domain: Any) -> None:
    if not isinstance(domain, Mapping):
        raise TypeError(f"{owner}: domain must be a dict from arguments to intervals, but got {require.shown(domain)}.")
    for argument, interval in domain.items():
        number = r"\s*[-+]?(inf|\d+\.?\d*(e[-+]?\d+)?)\s*"
        if not isinstance(interval, str) or not re.fullmatch(rf"(whole )?[\[(]{number},{number}[\])]", interval):
            raise ValueError(
                f"{owner}: domain of {require.shown(argument)} must be an interval such as '[0, 1)' or '(0, inf)', but got "
                f"{require.shown(interval)}."
            )

"""The pair as a value: a pure ``(init, update)`` that is also a pytree of its hyperparameters.

An optimizer is made by a *factory*: a function from hyperparameters to a pair of functions. ``@transformation`` keeps
the factory and its arguments instead of the closure that it returns: the numbers among the arguments are the leaves of a
pytree, everything else is its structure, and ``init`` and ``update`` call the factory again with whatever the leaves are
at that moment: Python numbers, tracers under ``jit``, one lane's numbers under ``vmap``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, ParamSpec, TypeVar, overload

import jax
import optax

from jopt.values import checks
from jopt.values.binding import Bound, bind
from jopt.values.factory import Factory, check_declared, check_switches
from jopt.values.pairs import is_own, made_by, pair_of
from jopt.values.replacing import replaced

P = ParamSpec("P")
Self = TypeVar("Self")


class Method:
    """``init`` or ``update`` of a bound factory: equal, and of equal hash, where the values are equal."""

    __slots__ = ("__weakref__", "bound", "kind")

    def __init__(self, kind: str, bound: Bound) -> None:
        self.kind = kind
        self.bound = bound

    @property
    def __name__(self) -> str:
        """The factory's name and the method's."""
        return f"{self.bound.spec.factory.name}.{self.kind}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the factory with its numbers as they are now, and the method of the pair that it returns."""
        checks.no_axes(self.bound)
        if self.kind == "init":
            return self._init(*args, **kwargs)
        return self._update(*args, **kwargs)

    def _init(self, params: Any) -> Any:
        if self.bound.spec.factory.checked:
            checks.params(self.bound.spec.factory.name, params)
        return pair_of(self.bound).init(params)

    def _update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        pair = pair_of(self.bound)
        checks.update(self.bound, pair.init, is_own, updates, state, params)
        checks.numbers(self.bound, updates)
        return pair.update(updates, state, params, **extra_args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and self.kind == other.kind and self.bound == other.bound

    def __hash__(self) -> int:
        return hash((self.kind, self.bound))

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.bound!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Method, (self.kind, self.bound)


class GradientTransformation(optax.GradientTransformationExtraArgs):
    """A pure ``(init, update)`` pair, and a pytree whose leaves are its numeric hyperparameters.

    It is Optax's own type, so whatever takes an Optax optimizer takes it: ``state = opt.init(params)``, then
    ``updates, state = opt.update(grads, state, params)``. As a pytree it passes through ``jax.jit`` (another learning
    rate does not recompile), ``jax.vmap`` (a sweep) and ``jax.grad`` (hypergradients). Two values with equal numbers and
    equal structure are equal and hash alike; arrays among the numbers are compared by identity.

    Made by a factory under ``@jopt.transformation`` or ``jopt.lift``, not by hand.

    Args:
      init: ``init(params) -> state``.
      update: ``update(updates, state, params=None, **extra_args) -> (updates, state)``.

    Example:
      >>> opt = jopt.adam(1e-3)
      >>> jax.tree.leaves(opt)
      [0.001, 0.9, 0.999, 1e-08, 0.0]
    """

    __slots__ = ()

    @property
    def bound(self) -> Bound | None:
        """The factory and its arguments; ``None`` for a pair that was put together by hand."""
        init: Any = self.init
        update: Any = self.update
        own = isinstance(init, Method) and isinstance(update, Method)
        return init.bound if own and init.bound is update.bound else None

    @property
    def hyperparams(self) -> dict[str, Any]:
        """The numbers by argument name; the parts of a chain by theirs."""
        return self.bound.hyperparams() if self.bound else {}

    def replace(self: Self, **changes: Any) -> Self:
        """A value with other arguments.

        Args:
          **changes: New numbers, arrays or axes, by name where it is unique (``learning_rate=3e-4``), else by path:
            ``opt.replace(**{"adam.learning_rate": 3e-4})``. The structure stays, and nothing is compiled again. Any other
            argument of a rule likewise, a schedule in the place of a rate for example, makes a value of another structure.

        Returns:
          The new value; this one is unchanged. States fit it as long as schedules stand where schedules stood.

        Raises:
          ValueError: A name that nothing has, or several have, or a number out of its range.
          TypeError: Something of another kind than the argument, or a rule in the place of one.
        """
        assert isinstance(self, GradientTransformation)
        if self.bound is None:
            raise ValueError("This pair was put together by hand and has no hyperparameters to replace.")
        bound = replaced(self.bound, changes)
        if bound.spec != self.bound.spec:
            checks.is_pair(bound.spec.factory.name, made_by(bound))
        return from_bound(bound)  # type: ignore[return-value]

    def __repr__(self) -> str:
        return repr(self.bound) if self.bound else f"GradientTransformation(init={self.init}, update={self.update})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.bound is None:
            return GradientTransformation, (self.init, self.update)
        return from_bound, (self.bound,)


def from_bound(bound: Bound) -> GradientTransformation:
    """The pair of a factory and its arguments."""
    return GradientTransformation(Method("init", bound), Method("update", bound))


def _flatten(opt: GradientTransformation) -> tuple[tuple[Any, ...], Any]:
    return (opt.bound.leaves, opt.bound.spec) if opt.bound else ((), (opt.init, opt.update))


def _flatten_with_keys(opt: GradientTransformation) -> tuple[tuple[tuple[Any, Any], ...], Any]:
    leaves, spec = _flatten(opt)
    return tuple(zip(spec.keys, leaves, strict=True)) if opt.bound else (), spec


def _unflatten(spec: Any, leaves: Iterable[Any]) -> GradientTransformation:
    if isinstance(spec, tuple):
        return GradientTransformation(*spec)
    return from_bound(Bound(spec, tuple(leaves)))


jax.tree_util.register_pytree_with_keys(GradientTransformation, _flatten_with_keys, _unflatten, _flatten)


@overload
def transformation(factory: Callable[P, Any]) -> Callable[P, GradientTransformation]: ...
@overload
def transformation(
    *,
    domain: Mapping[str, str] = ...,
    static: Iterable[str] = ...,
    schedules: Iterable[str] = ...,
    evaluates: Iterable[str] = ...,
    monitor: str | None = ...,
    name: str | None = ...,
    wide: bool | Literal["parts"] = ...,
    checked: bool = ...,
    last: bool = ...,
) -> Callable[[Callable[P, Any]], Callable[P, GradientTransformation]]: ...
def transformation(
    factory: Callable[P, Any] | None = None,
    *,
    domain: Mapping[str, str] | None = None,
    static: Iterable[str] = (),
    schedules: Iterable[str] = (),
    evaluates: Iterable[str] = (),
    monitor: str | None = None,
    name: str | None = None,
    wide: bool | Literal["parts"] = False,
    checked: bool = True,
    last: bool = False,
) -> Any:
    """Turns a factory of ``(init, update)`` pairs into one whose results are values.

    The factory is written as everybody writes it, a closure over its hyperparameters; it may return two functions or
    another transformation. It must not decide in Python on the value of a number (on ``None``, a bool, a type or a shape
    it may), because the numbers are tracers under ``jit``. A number may be given as a Python or NumPy number, an array, a
    dict that is a prefix of the parameter tree (if the rule spreads it, as ``jopt.leafwise`` does), or a jopt schedule.

    A jopt schedule is evaluated wherever it stands, at the number of updates so far, and the factory sees its value. A plain
    function is a schedule in the arguments that ``schedules`` names, and structure in those that ``static`` names or whose
    default is no number (``mask=None``); elsewhere it is an error.

    Args:
      factory: The function to decorate.
      domain: For an argument name, the interval of its allowed values, such as ``"[0, 1)"`` or ``"whole [0, inf)"``; concrete
        numbers are checked when the factory is called.
      static: Names of arguments that are structure, such as a memory size or a function that is no schedule.
      schedules: Names of the arguments in which a plain function of the step is a schedule too, such as ``("learning_rate",)``.
      evaluates: Names of the arguments whose schedules, plain functions among them, the factory is given as they are: it
        evaluates them itself, or hands them on to a rule that does (``jopt.scale_by_learning_rate``).
      monitor: The argument whose value, a string or ``None``, names an evaluation metric for which ``update`` must be called
        with ``metrics=`` and ``evaluated=``; ``jopt.sweep`` then does so.
      name: The name that ``repr`` shows; the function's own by default.
      wide: Promises that updates leave with the type that they came in with, and that no accumulator's type depends on
        theirs (``jopt.leafwise`` and ``jopt.zeros_like`` keep it): a chain of such rules computes in float32 throughout
        and rounds narrow updates once. "parts": where every transformation among the arguments promises it.
      checked: Whether ``init`` and ``update`` refuse leaves that are no floating arrays, and any state but their own. Without
        it the rule is a building block, which takes what Optax's take: any leaves, and any state where its own holds no array.
      last: Whether the updates must reach the parameters as they are, because the state follows these (an average, what
        rounding took): ``jopt.chain`` then refuses rules behind it.

    Returns:
      The factory, with the same signature, returning a ``jopt.GradientTransformation``.

    Raises:
      ValueError: From the decorator, for a name in ``schedules``, ``evaluates`` or ``monitor`` that is no argument.
      TypeError: From the factory, for a plain function where a number is expected.

    Example:
      >>> import jax, jopt
      >>> @jopt.transformation
      ... def sign_descent(learning_rate):
      ...     def init(params):
      ...         return ()
      ...
      ...     def update(updates, state, params=None, **extra_args):
      ...         return jax.tree.map(lambda g: -learning_rate * jax.numpy.sign(g), updates), state
      ...
      ...     return init, update
      >>> sign_descent(0.1)
      sign_descent(learning_rate=0.1)
    """
    if factory is None:
        given = {"domain": domain, "static": static, "schedules": schedules, "evaluates": evaluates, "monitor": monitor}
        return functools.partial(transformation, **given, name=name, wide=wide, checked=checked, last=last)
    named = {"static": static, "schedules": schedules, "evaluates": evaluates}
    check_declared("transformation", factory, domain, named, name)
    check_switches(monitor, wide, checked, last)
    spec = Factory(
        factory,
        name or factory.__name__,
        domain or {},
        frozenset(static),
        wide=wide,
        checked=checked,
        schedules=frozenset(schedules),
        evaluates=frozenset(evaluates),
        monitor=monitor,
        last=last,
    )
    spec.check_names()

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> GradientTransformation:
        bound = bind(spec, args, kwargs)
        checks.is_pair(spec.name, made_by(bound))
        return from_bound(bound)

    make.factory = spec  # type: ignore[attr-defined]
    make.__signature__ = spec.shown  # type: ignore[attr-defined]
    return make

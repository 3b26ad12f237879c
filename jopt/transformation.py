"""The pair as a value: a pure ``(init, update)`` that is also a pytree of its hyperparameters.

An optimizer is made by a *factory*: a function from hyperparameters to a pair of functions. ``@transformation`` keeps
the factory and its arguments instead of the closure that it returns: the numbers among the arguments are the leaves of a
pytree, everything else is its structure, and ``init`` and ``update`` call the factory again with whatever the leaves are
at that moment: Python numbers, tracers under ``jit``, one lane's numbers under ``vmap``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar, overload

import jax
import jax.numpy as jnp
import optax

from jopt import _checks
from jopt._leafwise import leafwise
from jopt._numbers import Axis
from jopt._probe import structural_arguments
from jopt._schedule import Schedule
from jopt._trees import flatten, is_none
from jopt._values import Bound, Factory, bind, without_axes

P = ParamSpec("P")
Self = TypeVar("Self")


class ScheduledState(NamedTuple):
    """State of a transformation one of whose numbers is a schedule: the step count and the rule's own state."""

    count: Any  # int32, the number of updates so far
    inner: Any


class Method:
    """``init`` or ``update`` of a bound factory: equal, and of equal hash, where the values are equal."""

    __slots__ = ("__weakref__", "bound", "kind")

    def __init__(self, kind: str, bound: Bound) -> None:
        self.kind = kind
        self.bound = bound

    @property
    def __name__(self) -> str:
        return f"{self.bound.spec.factory.name}.{self.kind}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _checks.no_axes(self.bound)
        if self.kind == "init":
            return self._init(*args, **kwargs)
        return self._update(*args, **kwargs)

    def _init(self, params: Any) -> Any:
        _checks.params(self.bound.spec.factory.name, params)
        return _pair(self.bound).init(params)

    def _update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        pair = _pair(self.bound)
        _checks.update(self.bound, pair.init, updates, state, params)
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

    Made by a factory under ``@jopt.transformation`` or ``jopt.lift``, never by hand.
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
        """A value of the same structure with other numbers.

        Args:
          **changes: New numbers, arrays or axes, by name where it is unique (``learning_rate=3e-4``), else by path:
            ``opt.replace(**{"adam.learning_rate": 3e-4})``.

        Returns:
          The new value; this one is unchanged.

        Raises:
          ValueError: A name that no number has, or several have, or a number out of its range.
          TypeError: Something that is no number.
        """
        assert isinstance(self, GradientTransformation)
        if self.bound is None:
            raise ValueError("This pair was put together by hand and has no hyperparameters to replace.")
        return _from_bound(self.bound.replace(changes))  # type: ignore[return-value]

    def __repr__(self) -> str:
        return repr(self.bound) if self.bound else f"GradientTransformation(init={self.init}, update={self.update})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.bound is None:
            return GradientTransformation, (self.init, self.update)
        return _from_bound, (self.bound,)


def _from_bound(bound: Bound) -> GradientTransformation:
    return GradientTransformation(Method("init", bound), Method("update", bound))


def _flatten(opt: GradientTransformation) -> tuple[tuple[Any, ...], Any]:
    return (opt.bound.leaves, opt.bound.spec) if opt.bound else ((), (opt.init, opt.update))


def _flatten_with_keys(opt: GradientTransformation) -> tuple[tuple[tuple[Any, Any], ...], Any]:
    leaves, spec = _flatten(opt)
    return tuple(zip(spec.keys, leaves, strict=True)) if opt.bound else (), spec


def _unflatten(spec: Any, leaves: Iterable[Any]) -> GradientTransformation:
    if isinstance(spec, tuple):
        return GradientTransformation(*spec)
    return _from_bound(Bound(spec, tuple(leaves)))


jax.tree_util.register_pytree_with_keys(GradientTransformation, _flatten_with_keys, _unflatten, _flatten)


@overload
def transformation(factory: Callable[P, Any]) -> Callable[P, GradientTransformation]: ...
@overload
def transformation(
    *,
    domain: Mapping[str, str] = ...,
    static: Iterable[str] = ...,
    name: str | None = ...,
    wide: bool = ...,
) -> Callable[[Callable[P, Any]], Callable[P, GradientTransformation]]: ...
def transformation(
    factory: Callable[P, Any] | None = None,
    *,
    domain: Mapping[str, str] | None = None,
    static: Iterable[str] = (),
    name: str | None = None,
    wide: bool = False,
) -> Any:
    """Turns a factory of ``(init, update)`` pairs into one whose results are values.

    The factory is written as everybody writes it, a closure over its hyperparameters; it may return two functions or
    another transformation. It must not decide in Python on the value of a number (on ``None``, a bool, a type or a shape
    it may), because the numbers are tracers under ``jit``. A number may be given as a Python or NumPy number, an array, a
    dict that is a prefix of the parameter tree (if the rule spreads it, as ``jopt.leafwise`` does), or a jopt schedule,
    which is evaluated at the number of updates so far.

    Args:
      factory: The function to decorate.
      domain: For an argument name, the interval of its allowed values, such as ``"[0, 1)"``; concrete numbers are checked
        when the factory is called.
      static: Names of numeric arguments that are structure, such as a memory size.
      name: The name that ``repr`` shows; the function's own by default.
      wide: Promises that updates leave with the type that they came in with, and that no accumulator's type depends on
        theirs (``jopt.leafwise`` and ``jopt.zeros_like`` keep it): a chain of such rules computes in float32 throughout
        and rounds narrow updates once.

    Returns:
      The factory, with the same signature, returning a ``jopt.GradientTransformation``.

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
        return functools.partial(transformation, domain=domain, static=static, name=name, wide=wide)
    spec = Factory(factory, name or factory.__name__, domain or {}, frozenset(static), wide)

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> GradientTransformation:
        bound = bind(spec, args, kwargs)
        _checks.is_pair(spec.name, bound.call(_at(bound, without_axes(bound), 0)))
        return _from_bound(bound)

    make.factory = spec  # type: ignore[attr-defined]
    return make


def lift(factory: Callable[P, Any], *, static: Iterable[str] = ()) -> Callable[P, Any]:
    """Turns somebody else's factory into one whose results are values: every Optax optimizer is a jopt value.

    ``jopt.lift(optax.lion)(1e-4)`` computes what ``optax.lion(1e-4)`` computes, and its numbers are leaves. A factory of
    schedules gives a ``jopt.Schedule``. A number that the factory needs in Python (a memory size, a count on which it
    branches) is found by a trial trace and kept as structure.

    Args:
      factory: A function from hyperparameters to an Optax transformation or a schedule, such as ``optax.lion``,
        ``optax.contrib.muon`` or ``optax.cosine_decay_schedule``.
      static: Names of numeric arguments to keep as structure without a trial.

    Returns:
      The factory, with the same signature, returning a ``jopt.GradientTransformation`` or a ``jopt.Schedule``.

    Raises:
      TypeError: When what the factory returns is neither.

    Example:
      >>> import jopt, optax
      >>> lion = jopt.lift(optax.lion)
      >>> lion(1e-4).hyperparams["b1"]
      0.9
    """
    if not callable(factory):
        raise TypeError(f"lift takes a factory such as optax.lion, not {type(factory).__name__}; lift it before you call it.")
    return _lift(_one_partial(factory), frozenset(static))


_partials: dict[Any, functools.partial[Any]] = {}


def _one_partial(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The first of all equal partials: ``optax.nadam`` is one, and unpickling makes another each time."""
    if not isinstance(factory, functools.partial):
        return factory
    try:
        return _partials.setdefault((factory.func, factory.args, frozenset(factory.keywords.items())), factory)
    except TypeError:  # an argument that has no hash
        return factory


@functools.cache
def _lift(factory: Callable[..., Any], static: frozenset[str]) -> Callable[..., Any]:
    name = getattr(factory, "__name__", type(factory).__name__)
    dynamic = Factory(factory, name, static=static, lifted_by=_lifted_factory)

    @functools.wraps(factory, assigned=(*functools.WRAPPER_ASSIGNMENTS,), updated=())
    def make(*args: Any, **kwargs: Any) -> Any:
        found = structural_arguments(dynamic, args, kwargs)
        if found - static:
            return _lift(factory, static | found)(*args, **kwargs)
        bound = bind(dynamic, args, kwargs)
        made = bound.call(_at(bound, without_axes(bound), 0))
        if hasattr(made, "init") and hasattr(made, "update"):
            return _from_bound(bound)
        if callable(made):
            return Schedule(bound)
        raise TypeError(f"lift: {name} returned {type(made).__name__}, which is neither a transformation nor a schedule.")

    make.factory = dynamic  # type: ignore[attr-defined]
    return make


def _lifted_factory(function: Callable[..., Any], static: frozenset[str]) -> Factory:
    found: Factory = _lift(_one_partial(function), static).factory  # type: ignore[attr-defined]
    return found


def _pair(bound: Bound) -> optax.GradientTransformationExtraArgs:
    """The pair that the factory makes of the arguments as they are now."""
    values = bound.spec.fill(bound.leaves)
    if not any(_varying(bound, values)):
        return as_pair(bound.call(values))

    def at(count: Any) -> optax.GradientTransformationExtraArgs:
        return as_pair(bound.call(_at(bound, values, count)))

    def init(params: Any) -> ScheduledState:
        count = jnp.zeros([], jnp.int32)
        return ScheduledState(count, at(count).init(params))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        updates, inner = at(state.count).update(updates, state.inner, params, **extra_args)
        return updates, ScheduledState(optax.safe_increment(state.count), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _varying(bound: Bound, values: list[Any]) -> list[bool]:
    """For each argument, whether it holds a schedule where the factory expects a number."""
    own = bound.spec.factory.takes_schedules
    slots = zip(bound.spec.slots, values, strict=True)
    return [name not in own and not is_transformation(v) and _schedules_in(v) for name, v in slots]


def _at(bound: Bound, values: list[Any], count: Any) -> list[Any]:
    """The arguments with every such schedule's value after ``count`` updates."""
    varying = _varying(bound, values)
    return [_evaluate(v, count) if varies else v for v, varies in zip(values, varying, strict=True)]


def is_transformation(x: Any) -> bool:
    """Whether ``x`` is an ``(init, update)`` pair of Optax's type."""
    return isinstance(x, optax.GradientTransformation)


def _is_schedule(x: Any) -> bool:
    return isinstance(x, Schedule)


def _schedules_in(value: Any) -> bool:
    return any(
        map(
            _is_schedule,
            jax.tree.leaves(value, is_leaf=lambda x: _is_schedule(x) or is_transformation(x)),
        )
    )


def _evaluate(value: Any, count: Any) -> Any:
    return jax.tree.map(lambda x: x(count) if _is_schedule(x) else x, value, is_leaf=_is_schedule)


def as_pair(made: Any) -> optax.GradientTransformationExtraArgs:
    """What a factory returned, as a pair whose ``update`` takes extra arguments."""
    init, update = (made.init, made.update) if hasattr(made, "init") else made
    if isinstance(made, optax.GradientTransformation):
        return optax.with_extra_args_support(made)
    parameters = inspect.signature(update).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return optax.GradientTransformationExtraArgs(init, update)

    def update_with_known(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        known = {name: value for name, value in extra_args.items() if name in parameters}
        return update(updates, state, params, **known)

    return optax.GradientTransformationExtraArgs(init, update_with_known)


def apply_updates(params: Any, updates: Any) -> Any:
    """Adds the updates to the parameters: ``p' = p + u``.

    The sum is taken in float32 or wider and cast to the parameter's type. A ``None`` among the updates leaves its
    parameter as it is.

    Args:
      params: A pytree of floating or complex arrays.
      updates: A pytree of the same structure and shapes, as ``update`` returns it.

    Returns:
      The new parameters, with the structure, shapes and types of ``params``.

    Raises:
      ValueError: When the trees differ in structure or in the shape of a leaf.

    Differs from:
      ``optax.apply_updates`` broadcasts leaves of unequal shape; here that is an error.

    Example:
      >>> import jax.numpy as jnp, jopt
      >>> jopt.apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([0.5, -1.0])})
      {'w': Array([1.5, 0. ], dtype=float32)}
    """
    _checks.params("apply_updates", params)
    leaves, treedef = flatten(params, is_leaf=is_none)
    try:
        changes = treedef.flatten_up_to(updates)
    except ValueError as error:
        raise _checks.structure_error("params", params, "updates", updates) from error
    whole = [p if u is None else u for p, u in zip(leaves, changes, strict=True)]
    (summed,) = leafwise(lambda p, u: (p + u,), {"params": params, "updates": treedef.unflatten(whole)})
    kept = zip(leaves, jax.tree.leaves(summed, is_leaf=is_none), changes, strict=True)
    return treedef.unflatten([p if u is None else new for p, new, u in kept])


__all__ = ["Axis", "GradientTransformation", "apply_updates", "lift", "transformation"]

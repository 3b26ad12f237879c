"""The learning rate that an optimizer is at: what schedules and plateaus have made of it, read off the state."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jopt.transforms.combining import constant_rate, rate_of_the_others
from jopt.transforms.plateau import ReduceOnPlateauState, multiplier
from jopt.values import checks, require
from jopt.values.binding import Bound, is_value
from jopt.values.names import find, key_name, shortened
from jopt.values.numbers import is_number
from jopt.values.pairs import ScheduledState, at_count, evaluate, holds_schedule, is_transformation, varies
from jopt.values.states import check_state

RATE = "learning_rate"


def learning_rate(optimizer: Any, state: Any, path: str | None = None) -> Any:
    """The learning rate of the next update, as far as it is known before its ``value``.

    ``α = α(t) · s``: the schedule at the state's step count, times what the plateaus of the chain have made of it. A plateau
    that is told a ``value`` in the next update may lower it once more, for that update already.

    A learning rate is an argument called ``learning_rate`` (or ``…_learning_rate``) of a rule. It is found in jopt's
    optimizers, in ``jopt.lift``ed ones, in chains, in what is wrapped (``jopt.flatten``, ``jopt.lift(optax.masked)``,
    ``jopt.lift(optax.apply_if_finite)``) and parted by labels (``jopt.lift(optax.partition)``). A plateau counts for all rates
    of its chain, wherever in it it stands.
    Optax's own wrappers hide what they hold: write ``jopt.lift(optax.chain)(...)``, not ``optax.chain(...)``. Of
    ``optax.inject_hyperparams`` the rate that the state holds is found, unless it is a schedule: then the state only tells
    which rate the last update used.

    Args:
      optimizer: A transformation without axes.
      state: Its state.
      path: Which of several rates, by the names that ``replace`` takes: "adam.learning_rate", or an end of such a path that
        no other rate has.

    Returns:
      The rate, a floating scalar (an array where the argument is one). Where there are several, a dict by path, without the
      steps that all paths begin with ("fast.learning_rate" in a partition, not "transforms.fast.learning_rate").
      The function is pure: it works under ``jit``, and under ``vmap`` over lanes.

    Raises:
      ValueError: Where there is no learning rate, or none of this path, and for the state of another optimizer.
      TypeError: For something that is no transformation, or that has axes.

    Example:
      >>> opt = jopt.chain(jopt.clip(1.0), jopt.sgd(jopt.linear_schedule(1.0, 0.0, 10)))
      >>> w = jnp.float32(1.0)
      >>> _, state = opt.update(w, opt.init(w))
      >>> jopt.learning_rate(opt, state)
      Array(0.9, dtype=float32)
    """
    if not is_transformation(optimizer):
        raise TypeError(
            f"learning_rate takes (optimizer, state), a transformation and its state, but got {type(optimizer).__name__}; of a "
            f"tree of optimizers ask for each one's."
        )
    if path is not None:
        require.text("learning_rate: path", path)
    if is_value(optimizer):
        check_state("learning_rate", optimizer, state)
    rates = rates_of(optimizer, state, state, whole=path is not None)
    if path is not None:
        return list(rates.values())[find(path, list(rates), "learning_rate")]
    return rates if len(rates) > 1 else next(iter(rates.values()))


def rates_of(optimizer: Any, before: Any, after: Any, *, whole: bool = False) -> dict[str, jax.Array]:
    """The learning rates by path: of schedules before an update, of plateaus as the state ``after`` it says.

    Where both states are one, what a next update would use. What all paths begin with is left out, unless ``whole``.
    """
    if is_value(optimizer):
        checks.no_axes(optimizer.bound)
    found = _look(optimizer, States(before, after), None)
    if not found.rates:
        name = optimizer.bound.spec.factory.name if is_value(optimizer) else "a pair that is no value of jopt's"
        raise ValueError(
            f"There is no learning rate in {name}: no argument of a rule in it is called {RATE!r}. Optax's own "
            f"pairs hide their numbers; lift the factory, jopt.lift(optax.lion)(1e-4), or use jopt's own."
        )
    rates = found.scaled()
    return rates if whole else shortened(rates, _names_a_rate)


def decays(optimizer: Any, steps: int) -> bool:
    """Whether every learning rate ends a run of so many steps at half of its highest or less, or a plateau may lower it.

    Where no rate can be seen, nothing speaks against it.
    """
    values = [part for part in jax.tree.leaves(optimizer, is_leaf=is_value) if is_value(part)]
    found = [rate for value in values for rate in _courses(value.bound, steps)]
    return all(rate[-1] <= 0.5 * rate.max() for rate in found) or any(_has_plateau(value.bound) for value in values)


def _courses(bound: Bound, steps: int) -> list[np.ndarray]:
    """How the learning rates in a value go over a run."""
    arguments = bound.arguments()
    when = np.unique(np.linspace(0, steps - 1, 65).round().astype(np.int32))
    own = [value for name, value in arguments.items() if _names_a_rate(name) and not is_transformation(value)]
    courses = [np.array([[float(x) for x in jax.tree.leaves(evaluate(value, t))] for t in when]) for value in own]
    inner = [part.value.bound for part in _parts(arguments).values() if is_value(part.value)]
    return [course.max(axis=1) for course in courses if course.size] + [x for each in inner for x in _courses(each, steps)]


def _has_plateau(bound: Bound) -> bool:
    parts = [part.value.bound for part in _parts(bound.arguments()).values() if is_value(part.value)]
    return bound.spec.factory.name == "reduce_on_plateau" or any(map(_has_plateau, parts))


class States(NamedTuple):
    """The state of a part of an optimizer before and after an update."""

    before: Any
    after: Any

    def inside(self, get: Callable[[Any], Any]) -> States:
        """What ``get`` finds in each of the two."""
        return States(get(self.before), get(self.after))


class Found(NamedTuple):
    """The rates of a part by path, and what its plateaus multiply all rates of their chain by."""

    rates: dict[str, Any]
    scale: Any = 1.0

    def scaled(self) -> dict[str, jax.Array]:
        """The rates as they act."""
        return {path: jnp.asarray(rate).astype(float) * self.scale for path, rate in self.rates.items()}


def _look(part: Any, states: States, told: Any) -> Found:
    """``told`` is the learning rate that the update of the part is told, for the ``min_lr`` of plateaus; or ``None``."""
    if not is_value(part):
        return _of_state(states)
    arguments, states = _evaluated(part.bound, states)
    made: Any = part.bound.call([*arguments.values()]) if RATE in arguments else None
    if is_value(made) and RATE in made.bound.arguments():  # what the rule makes of its rate, such as a warm-up
        return _look(made, states, told)
    if rates := _own(arguments, states.before):
        return Found(rates)
    if parts := _parts(arguments):
        return _of_parts(part.bound, parts, states, told)
    plateau = _first(states.after, lambda node: isinstance(node, ReduceOnPlateauState))
    if plateau is not None:
        return Found({}, multiplier(plateau.scale, arguments["min_lr"], 1.0 if told is None else told))
    return _of_state(states)


def _evaluated(bound: Bound, states: States) -> tuple[dict[str, Any], States]:
    """The arguments as the factory sees them, and the states of the rule that it makes of them."""
    values = bound.spec.fill(bound.leaves)
    if varies(bound, values):
        scheduled = states.inside(functools.partial(_first, wanted=lambda node: isinstance(node, ScheduledState)))
        if scheduled.before is None:
            raise _of_another(bound.spec.factory.name)
        values = at_count(bound, values, scheduled.before.count)
        states = scheduled.inside(lambda state: state.inner)
    return dict(zip(bound.spec.slots, values, strict=True)), states


def _own(arguments: Mapping[str, Any], state: Any) -> dict[str, Any]:
    """The rates among the arguments of a rule; one for each branch, where the argument is a tree."""
    rates = {}
    for name, value in arguments.items():
        if _names_a_rate(name) and not is_transformation(value):  # a part of a chain may be called so
            now = evaluate(value, _count(state)) if holds_schedule(value) else value
            for path, x in jax.tree_util.tree_flatten_with_path(now)[0]:
                if is_number(x):
                    rates[".".join([name, *map(key_name, path)])] = x
    return rates


def _names_a_rate(name: str) -> bool:
    return name == RATE or name.endswith(f"_{RATE}")


def _count(state: Any) -> Any:
    """The updates so far, as the state of a schedule counts them; else the first count in the state."""
    kinds: tuple[Callable[[Any], bool], ...] = (
        lambda node: isinstance(node, (ScheduledState, optax.ScaleByScheduleState)),
        lambda node: _has(node, "count"),
    )
    node = next((node for wanted in kinds if (node := _first(state, wanted)) is not None), None)
    if node is None:
        raise _of_another("the optimizer")
    return node.count


class Part(NamedTuple):
    """A transformation among the arguments of another, and the name that the state may have for it."""

    label: str
    value: Any


def _parts(arguments: Mapping[str, Any]) -> dict[str, Part]:
    """The transformations among the arguments, by path, in order."""
    return {
        ".".join([name, *map(key_name, path)]): Part(key_name(path[-1]) if path else name, x)
        for name, value in arguments.items()
        for path, x in jax.tree_util.tree_flatten_with_path(value, is_leaf=is_transformation)[0]
        if is_transformation(x)
    }


def _of_parts(bound: Bound, parts: Mapping[str, Part], states: States, told: Any) -> Found:
    """What is found side by side behind labels, in a chain, or inside a wrapper, which is a chain of one here."""
    beside = states.inside(lambda state: _by_label(state, [part.label for part in parts.values()]))
    if beside.before is None:
        return _of_chain(bound, parts, states.inside(lambda state: _in_turn(state, list(parts.values()))), told)
    rates: dict[str, Any] = {}
    for (path, part), before, after in zip(parts.items(), beside.before, beside.after, strict=True):
        found = _look(part.value, States(before, after), told)
        rates |= {f"{path}.{name}": rate for name, rate in found.scaled().items()}
    return Found(rates)


def _of_chain(bound: Bound, parts: Mapping[str, Part], states: States, told: Any) -> Found:
    constant = [constant_rate(part.value) for part in parts.values()]
    rates: dict[str, Any] = {}
    scale: Any = 1.0
    each = zip(parts.items(), states.before, states.after, strict=True)
    for i, ((path, part), before, after) in enumerate(each):
        # As ``chain`` tells it: what comes from outside goes first.
        own = is_value(part.value) and not part.value.bound.spec.factory.lifted and not bound.spec.factory.lifted
        heard = rate_of_the_others(constant, i) if told is None and own else told
        found = _look(part.value, States(before, after), heard)
        rates |= {f"{path}.{name}": rate for name, rate in found.rates.items()}
        scale = scale * found.scale
    return Found(rates, scale)


def _by_label(state: Any, labels: Sequence[str]) -> list[Any] | None:
    """The states of parts that act side by side, as ``optax.partition`` keeps them; ``None`` where it keeps none of these."""
    node = _first(state, lambda x: _has(x, "inner_states"))
    inner = {} if node is None else {str(label): x for label, x in node.inner_states.items()}
    return [inner[label] for label in labels] if set(labels) <= set(inner) else None


def _in_turn(state: Any, parts: Sequence[Part]) -> list[Any]:
    """The states of parts that act one after the other."""
    labels = {part.label for part in parts}

    def is_row(x: Any) -> bool:
        return (type(x) in (tuple, list) and len(x) == len(parts)) or (isinstance(x, Mapping) and set(x) == labels)

    if len(parts) == 1:
        return [state]
    node = _first(state, is_row)
    if node is None:  # each looks for its own; what hides its numbers would find those of another
        return [state if is_value(part.value) else None for part in parts]
    return [node[part.label] for part in parts] if isinstance(node, Mapping) else list(node)


def _of_state(states: States) -> Found:
    """What the state itself tells of a rule that hides its numbers: an injected rate, the scale of Optax's plateau."""
    node, later = states.inside(functools.partial(_first, wanted=lambda node: _has(node, "hyperparams")))
    if node is not None:
        return Found({name: _injected(name, node, later) for name in node.hyperparams if _names_a_rate(name)})
    plateau = _first(states.after, lambda node: _has(node, "plateau_count"))
    return Found({}, 1.0 if plateau is None else plateau.scale)


def _injected(name: str, node: Any, later: Any) -> Any:
    if name not in getattr(node, "hyperparams_states", {}):
        return node.hyperparams[name]
    if later is node:
        raise ValueError(
            f"The state of optax.inject_hyperparams tells which {name} the last update used, and not what its schedule "
            f"makes of it next. Give the schedule to jopt's own optimizer, or lift the factory: "
            f"jopt.lift(optax.adam)(schedule)."
        )
    return later.hyperparams[name]


def _has(node: Any, field: str) -> bool:
    return field in getattr(node, "_fields", ()) or field in getattr(node, "__dataclass_fields__", ())


def _first(tree: Any, wanted: Callable[[Any], bool]) -> Any:
    """The first node of a tree, its root included, that is wanted; ``None`` where there is none."""
    return next((x for x in jax.tree.leaves(tree, is_leaf=wanted) if wanted(x)), None)


def _of_another(name: str) -> ValueError:
    return ValueError(
        f"learning_rate: the state holds no step count, which {name} needs for its schedule; give the state that "
        f"optimizer.init(params) or update returned."
    )

"""A value with axes, expanded into the lanes of its sweep."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jopt.hyper import Hyper
from jopt.kinds import Drawn, Grid, same
from jopt.spaces import Dimension, Setting, Settings, Space
from jopt.standing import Place, places, put
from jopt.transformation import GradientTransformation
from jopt.values.binding import is_value
from jopt.values.checks import fits
from jopt.values.names import RESERVED, SAMPLE, check_groups
from jopt.values.numbers import Axis, is_number, whole
from jopt.values.pairs import is_transformation


class _Asked(NamedTuple):
    """What may hold axes, as the user gave it."""

    optimizer: Any
    hyper: Any
    batch_size: Any


def expand(
    optimizer: Any,
    samples: int | None = None,
    seed: int = 0,
    *,
    hyper: Any = None,
    batch_size: Any = None,
    shaping: Collection[Axis] = (),
    draws: Mapping[Axis, Sequence[Any]] | None = None,
) -> Settings:
    """Takes what has axes apart into the dimensions of its sweep.

    ``shaping`` are the axes of whole numbers in ``hyper`` that a program needs in Python. ``draws`` are the values of every
    axis in settings that a search has chosen, whatever kind of axis it is: then all lie along one dimension.
    """
    asked = _Asked(optimizer, hyper, batch_size)
    named = axes_of(*asked)
    values = _drawn([axis for axis, _ in named], samples, seed) if draws is None else draws
    groups: dict[Any, list[tuple[Any, str]]] = {}
    for axis, name in named:
        together = draws is not None or isinstance(axis, Drawn)
        groups.setdefault(SAMPLE if together else axis.group, []).append((axis, name))
    dimensions = []
    for key, members in groups.items():
        each = tuple((name, axis, tuple(values[axis])) for axis, name in members)
        dimensions.append(Dimension(SAMPLE if key == SAMPLE and len(members) > 1 else members[0][1], each))
    spaces = _Spaces(tuple(dimensions), frozenset(shaping))
    batch_axis = batch_size if isinstance(batch_size, Axis) else None
    return Settings(optimizer, spaces.dimensions, tuple(spaces.of(asked, np.arange(spaces.size))), batch_axis)


def axes_of(optimizer: Any, hyper: Any = None, batch_size: Any = None) -> list[tuple[Any, str]]:
    """Every axis in what a sweep is given, each once, with its name."""
    return _named(list(places(_Asked(optimizer, hyper, batch_size))), optimizer)


def _drawn(axes: Sequence[Any], samples: int | None, seed: int) -> dict[Axis, Sequence[Any]]:
    """The values of each axis; those of drawn ones are the first points of a sequence, so that more of them only add some."""
    drawn = [axis for axis in axes if isinstance(axis, Drawn)]
    if drawn and samples is None:
        raise ValueError(f"{drawn[0]!r} is drawn, so jopt.sweep needs samples=, the number of draws.")
    if samples is not None and not drawn:
        raise ValueError("samples= is for drawn axes (loguniform, uniform), but there are none.")
    points = sobol(len(drawn), samples or 0, seed)
    return {axis: axis.values for axis in axes} | {axis: axis.at(points[:, i]) for i, axis in enumerate(drawn)}


class _Spaces:
    """Settings sorted by what is compiled for them.

    Args:
      dimensions: of the sweep.
      shaping: axes of whole numbers that are structure though they stand for numbers.
    """

    def __init__(self, dimensions: tuple[Dimension, ...], shaping: frozenset[Axis]) -> None:
        self.dimensions = dimensions
        self.shaping = shaping
        shape = tuple(map(len, dimensions))
        self.size = math.prod(shape)
        grids = np.indices(shape).reshape(len(shape), self.size)
        self.values = {axis: values for d in dimensions for _, axis, values in d.members}
        self.picked = {axis: grid for d, grid in zip(dimensions, grids, strict=True) for _, axis, _ in d.members}

    def of(self, asked: _Asked, settings: np.ndarray) -> Iterator[Space]:
        """The spaces of some settings of what is asked for, an axis of structure after the other put in."""
        place = next((place for place in places(asked) if self._is_structure(place)), None)
        if place is None:
            yield self._space(asked, settings)
            return
        axis = place.axis
        if isinstance(axis, Drawn):
            raise ValueError(
                f"{'.'.join(place.path)} is structure, not a number of the computation, so it can't be drawn; give the values: "
                f"jopt.choice(...)."
            )
        values = self.values[source_of(axis)]
        first = np.asarray([next(i for i, y in enumerate(values) if same(x, y)) for x in values])  # zipped ones may repeat
        picked = first[self.picked[source_of(axis)][settings]]
        numbers = {i for i in set(picked.tolist()) if not axis.numeric and is_number(values[i])}
        # The numbers beside what is none share a program, if the argument takes them as such.
        parts = [([i], values[i]) for i in dict.fromkeys(picked.tolist()) if i not in numbers]
        if numbers:
            parts.append((sorted(numbers), _Numbers(axis, [values[i] for i in sorted(numbers)])))
        for which, new in parts:
            yield from self.of(put(asked, axis, new), settings[np.isin(picked, which)])

    def _is_structure(self, place: Place) -> bool:
        axis, within = place.axis, place.path[0]
        shapes = within == "hyper" and source_of(axis) in self.shaping and axis.numeric
        return place.structure or within == "batch_size" or not axis.numeric or shapes

    def _space(self, asked: _Asked, settings: np.ndarray) -> Space:
        value = Setting(asked.optimizer, None if asked.hyper is None else Hyper.of(asked.hyper))
        leaves, own = jax.tree.leaves(value), len(jax.tree.leaves(value.optimizer))
        varying = {i: self._numbers(x, settings, i >= own) for i, x in enumerate(leaves) if isinstance(x, Axis)}
        return Space(value, varying, asked.batch_size, settings, self.dimensions)

    def _numbers(self, axis: Axis, settings: np.ndarray, counts: bool) -> np.ndarray:
        """The numbers of an axis; whole ones stay whole where they ``counts``."""
        source = source_of(axis)
        array = np.asarray([self.values[source][i] for i in self.picked[source][settings]])
        if not (counts and np.issubdtype(array.dtype, np.integer)):
            return array.astype(np.float64)
        fits("hyper: an axis", array, np.dtype(jnp.result_type(int)))
        return array


class _Numbers(Grid):
    """The numbers of a choice that has other values beside them."""

    def __init__(self, source: Axis, values: Sequence[Any]) -> None:
        super().__init__(values, source.name, object())
        self.source = source


def source_of(axis: Axis) -> Axis:
    """An axis as the user gave it."""
    return axis.source if isinstance(axis, _Numbers) else axis


def _named(found: Sequence[Place], optimizer: Any) -> list[tuple[Any, str]]:
    """The axis objects of some places, each once, with its name."""
    owner = optimizer.bound.spec.factory.name if is_value(optimizer) else "optimizer"
    first = {place.axis: place for place in reversed(found)}
    where = {axis: first[axis] for axis in dict.fromkeys(place.axis for place in found)}
    paths = {axis: ".".join((owner if p.path[0] == "optimizer" else p.path[0], *p.path[1:])) for axis, p in where.items()}
    names = _shortest({axis: path for axis, path in paths.items() if axis.name is None})
    named = [(axis, axis.name or names[axis]) for axis in where]
    taken = [name for _, name in named]
    for name in taken:
        if taken.count(name) > 1:
            raise ValueError(f"Two axes of the sweep are called {name!r}; give one of them another name=.")
        if name in RESERVED:
            raise ValueError(f"The result of a sweep uses {name!r} itself; give the axis another name=.")
    return named


def _shortest(paths: dict[Axis, str]) -> dict[Axis, str]:
    """The shortest ends of the paths that tell them apart, are no mere place in a list, and that no result uses itself."""
    names = {}
    for axis, path in paths.items():
        parts = path.split(".")
        ends = [e for k in range(1, len(parts) + 1) if (e := ".".join(parts[-k:])) not in RESERVED and not e.isdigit()]
        others = [other for x, other in paths.items() if x is not axis]
        names[axis] = next((e for e in ends if not any(o == e or o.endswith("." + e) for o in others)), path)
    return names


def sobol(dimensions: int, samples: int, seed: int) -> np.ndarray:
    """Points of the unit cube, ``[samples, dimensions]``; more of them begin with the fewer."""
    if dimensions == 0:
        return np.zeros((0, 0))
    from scipy.stats import qmc

    sampler = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    return np.asarray(sampler.random_base2(max(0, math.ceil(math.log2(whole("samples", samples, bits=24)))))[:samples])


class Groups:
    """Different optimizers that a sweep compares, by name: what ``jopt.groups`` returns."""

    def __init__(self, optimizers: Mapping[str, Any]) -> None:
        self.optimizers = dict(optimizers)

    def __repr__(self) -> str:
        return f"groups({self.optimizers!r})"


def groups(optimizers: Mapping[str, Any]) -> Groups:
    """Different optimizers to compare, by name, in one call of ``jopt.sweep`` or ``jopt.sweep_steps``.

    They may differ in structure, so they are groups of a result rather than values along one of its dimensions. ``jopt.sweep``,
    which trains with one optimizer, takes a plain dict for the same; to the step of ``jopt.sweep_steps`` a plain dict is a tree
    of optimizers that it uses together.

    Args:
      optimizers: Name -> an optimizer with or without axes; for ``jopt.sweep_steps`` also a pytree of them.

    Returns:
      The groups, to be given in the place of an optimizer. The result is a ``jopt.GroupedResult``.

    Raises:
      ValueError: For no optimizers, or a name that is no string, is empty or holds a "/".
      TypeError: For something that is no dict of optimizers, or for groups inside it.

    Example:
      >>> compared = jopt.groups({"sgd": jopt.sgd(jopt.choice(0.1, 0.5)), "momentum": jopt.momentum(0.1)})
      >>> list(jopt.sweep(lambda w, _: w**2, jax.numpy.float32(1.0), compared, steps=3))
      ['sgd', 'momentum']
    """
    if not isinstance(optimizers, Mapping):
        raise TypeError(f"groups takes a dict, {{name: optimizer}}, but got {type(optimizers).__name__}.")
    check_groups(optimizers)
    for name, tree in optimizers.items():
        check_tree(f"groups: the optimizer {name!r}", tree)
    return Groups(optimizers)


def check_tree(which: str, tree: Any) -> None:
    """Raises unless ``tree`` is a transformation or a pytree of them; an error calls it ``which``."""
    parts = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_transformation)[0]
    for path, part in parts:
        at = f"{jax.tree_util.keystr(path)} is" if path else "got"
        if isinstance(part, Groups):
            raise TypeError(
                f"{which} must not hold groups, but {at} {part!r}; name all optimizers in one jopt.groups({{...}})."
            )
        if not is_transformation(part):
            hint = "; call the factory: jopt.adam(...)" if callable(part) else ""
            raise TypeError(f"{which} must be a transformation, or a pytree of them, but {at} {type(part).__name__}{hint}.")
    if not parts:
        raise TypeError(f"{which} must be a transformation, or a pytree of them, but {tree!r} holds none.")


def lanes(optimizer: Any) -> tuple[GradientTransformation, Any]:
    """Expands an optimizer with axes into one value with a leading lane axis, for a sweep without the engine.

    ``stacked, in_axes = jopt.lanes(opt)``; then
    ``jax.jit(jax.vmap(jopt.train, in_axes=(None, None, in_axes, None)), static_argnums=0)``, with the loss static,
    trains every lane.

    Args:
      optimizer: A transformation with grids among its numbers.

    Returns:
      The value whose swept numbers are arrays of shape ``[lanes]`` (the product of the axes, the last one fastest), and a
      value of the same structure with 0 for these and ``None`` for the others: the ``in_axes`` for ``jax.vmap``.

    Raises:
      TypeError: For something that is no jopt value.
      ValueError: For a drawn axis, and for one of structure, whose lanes are several programs.

    Example:
      >>> stacked, in_axes = jopt.lanes(jopt.sgd(jopt.choice(0.1, 0.2)))
      >>> stacked.hyperparams["learning_rate"]
      Array([0.1, 0.2], dtype=float32, weak_type=True)
    """
    if not is_value(optimizer):
        raise TypeError(f"lanes takes a jopt optimizer, but got {type(optimizer).__name__}; jopt.lift makes one of a factory.")
    for place in places(optimizer):
        if place.structure or not place.axis.numeric:
            raise ValueError(
                f"lanes: {'.'.join(place.path)} is structure, so {place.axis!r} makes several programs, and lanes share one; "
                f"give it to jopt.sweep, or one value to each call of lanes."
            )
    return expand(optimizer).spaces[0].stacked()

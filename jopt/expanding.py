"""A value with axes, expanded into the lanes of its sweep."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.axes import Drawn
from jopt.transformation import GradientTransformation
from jopt.values.binding import is_value, key_name
from jopt.values.names import RESERVED, SAMPLE, check_groups
from jopt.values.numbers import Axis, as_float, settings_of, whole
from jopt.values.pairs import is_transformation
from jopt.values.trees import flatten


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One dimension of a sweep: the leaves that walk along it, with their names and values."""

    name: str
    members: tuple[tuple[str, tuple[int, ...], tuple[float, ...]], ...]  # name, indices of leaves, values

    def __len__(self) -> int:
        return len(self.members[0][2])


@dataclasses.dataclass(frozen=True)
class Space:
    """A value with axes, taken apart into dimensions; setting k counts through their product, the last one fastest."""

    optimizer: Any
    dimensions: tuple[Dimension, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        return tuple(len(d) for d in self.dimensions)

    @property
    def size(self) -> int:
        """How many settings there are."""
        return math.prod(self.shape)

    def leaf_values(self) -> dict[int, np.ndarray]:
        """For each leaf that has an axis, its value in every setting."""
        grids = np.indices(self.shape).reshape(len(self.shape), self.size)
        return {
            leaf: np.asarray(values)[grids[d]]
            for d, dimension in enumerate(self.dimensions)
            for _, leaves, values in dimension.members
            for leaf in leaves
        }

    def at(self, setting: int) -> Any:
        """The optimizer of one setting, with Python numbers for its axes, as if it had been built with them."""
        chosen = {leaf: _alone(values, setting) for leaf, values in self.leaf_values().items()}
        leaves, treedef = flatten(self.optimizer)
        return treedef.unflatten([chosen.get(i, x) for i, x in enumerate(leaves)])

    def stacked(self, settings: Sequence[int]) -> tuple[Any, Any]:
        """The optimizers of several settings as one value with a leading axis, and its ``in_axes``."""
        varying = self.leaf_values()
        leaves, treedef = flatten(self.optimizer)
        stacks = [_stack(varying[i], settings) if i in varying else x for i, x in enumerate(leaves)]
        return treedef.unflatten(stacks), treedef.unflatten([0 if i in varying else None for i in range(len(leaves))])


def _alone(values: np.ndarray, setting: int) -> Any:
    counts = np.issubdtype(settings_of(values).dtype, np.integer)
    return as_float(int(values[setting]) if counts else float(values[setting]))


def _stack(values: np.ndarray, settings: Sequence[int]) -> jax.Array:
    # Weakly typed, as a Python number is, so that a lane computes in the types of its solo run. An array made of one
    # Python number is weakly typed, and stays so when its elements are replaced.
    chosen = settings_of(values)[np.asarray(settings)]
    return jnp.full(chosen.shape, chosen.dtype.type(0).item()).at[:].set(chosen)


def expand(optimizer: Any, samples: int | None = None, seed: int = 0) -> Space:
    """Takes a value with axes apart into the dimensions of its sweep."""
    found = _axes_of(optimizer)
    drawn = [axis for axis, _, _ in found if isinstance(axis, Drawn)]
    if drawn and samples is None:
        raise ValueError(f"{drawn[0]!r} is drawn, so jopt.sweep needs samples=, the number of draws.")
    if samples is not None and not drawn:
        raise ValueError("samples= is for drawn axes (loguniform, uniform), but the optimizer has none.")
    points = _sobol(len(drawn), samples or 0, seed)
    values = {id(axis): axis.values for axis, _, _ in found}
    values.update({id(axis): axis.at(points[:, i]) for i, axis in enumerate(drawn)})
    groups: dict[int, list[tuple[Any, str, tuple[int, ...]]]] = {}
    for axis, name, leaves in found:
        group = id(drawn) if isinstance(axis, Drawn) else id(axis.group)
        groups.setdefault(group, []).append((axis, name, leaves))
    dimensions = []
    for members in groups.values():
        together = len(members) > 1 and isinstance(members[0][0], Drawn)
        named = tuple((name, leaves, values[id(axis)]) for axis, name, leaves in members)
        dimensions.append(Dimension(SAMPLE if together else members[0][1], named))
    return Space(optimizer, tuple(dimensions))


def _axes_of(optimizer: Any) -> list[tuple[Any, str, tuple[int, ...]]]:
    """The axis objects of a value, each once, with its name and its leaves."""
    flat = jax.tree_util.tree_flatten_with_path(optimizer)[0]
    where: dict[int, tuple[Any, list[int]]] = {}
    for i, (_, leaf) in enumerate(flat):
        if isinstance(leaf, Axis):
            where.setdefault(id(leaf), (leaf, []))[1].append(i)
    paths = [".".join(map(key_name, path)) for path, _ in flat]
    owner = optimizer.bound.spec.factory.name if is_value(optimizer) else "optimizer"
    names = _shortest({leaves[0]: paths[leaves[0]] for axis, leaves in where.values() if axis.name is None}, owner)
    named = [(axis, axis.name or names[leaves[0]], tuple(leaves)) for axis, leaves in where.values()]
    taken = [name for _, name, _ in named]
    for name in taken:
        if taken.count(name) > 1:
            raise ValueError(f"Two axes of the sweep are called {name!r}; give one of them another name=.")
        if name in RESERVED:
            raise ValueError(f"The result of a sweep uses {name!r} itself; give the axis another name=.")
    return named


def _shortest(paths: dict[int, str], owner: str) -> dict[int, str]:
    """The shortest ends of the paths that tell them apart and that a result does not use itself."""
    names = {}
    for i, path in paths.items():
        parts = path.split(".")
        ends = [e for k in range(1, len(parts) + 1) if (e := ".".join(parts[-k:])) not in RESERVED]
        others = [other for j, other in paths.items() if j != i]
        whole = f"{owner}.{path}" if path in RESERVED else path
        names[i] = next((e for e in ends if not any(o == e or o.endswith("." + e) for o in others)), whole)
    return names


def _sobol(dimensions: int, samples: int, seed: int) -> np.ndarray:
    if dimensions == 0:
        return np.zeros((0, 0))
    from scipy.stats import qmc

    sampler = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    return np.asarray(sampler.random_base2(max(0, math.ceil(math.log2(whole("samples", samples)))))[:samples])


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
      ValueError: For a drawn axis.

    Example:
      >>> stacked, in_axes = jopt.lanes(jopt.sgd(jopt.choice(0.1, 0.2)))
      >>> stacked.hyperparams["learning_rate"]
      Array([0.1, 0.2], dtype=float32, weak_type=True)
    """
    if not is_value(optimizer):
        raise TypeError(f"lanes takes a jopt optimizer, but got {type(optimizer).__name__}; jopt.lift makes one of a factory.")
    space = expand(optimizer)
    stacked, in_axes = space.stacked(range(space.size))
    return stacked, in_axes

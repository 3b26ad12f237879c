"""Different transformations for different leaves: ``partition``."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import optax

from jopt.transformation import GradientTransformation, transformation
from jopt.transforms.combining import check_part
from jopt.transforms.masking import merge, select, select_alike
from jopt.transforms.matching import has_masked, matches, paths_of
from jopt.values import require
from jopt.values.leafwise import leaf_paths
from jopt.values.pairs import as_pair
from jopt.values.trees import flatten, is_none


def partition(
    transforms: Mapping[Any, optax.GradientTransformation],
    param_labels: Any = None,
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformation:
    """Applies different transformations to different leaves.

    ``uᵢ = f_label(i)(gᵢ)``, where each f sees the leaves of its own label alone

    Without labels the keys are patterns over the paths of leaves: ``"enc/*"``, ``"*/bias"``. ``*`` stands for any text, ``/``
    too; the other characters stand for themselves. A path is the keys, fields and places on the way to a leaf, joined by
    ``/``; that of a top-level leaf is its name, and of a variable of Flax's the last step, ``/value``, may be left out. The
    first pattern that matches wins, so ``"*"`` for the rest comes last.

    Args:
      transforms: Label or pattern -> transformation, jopt's or Optax's. ``jopt.set_to_zero()`` freezes.
      param_labels: A tree of labels, or a function from the parameters to one; a prefix of the parameter tree will do.
        ``None``: the keys of ``transforms`` are patterns.
      mask_compatible_extra_args: Whether extra arguments that are trees like the updates (``grad``) are parted as these are.

    Returns:
      The transformation; its state is ``optax.PartitionState``, with one ``optax.MaskedState`` for each label. Its
      ``hyperparams`` are theirs by label: ``opt.replace(**{"enc/*.learning_rate": 0.1})``.

    Raises:
      TypeError: For something else than a dict of transformations, or a pattern that is no string.
      ValueError: From ``init``: for a pattern (but ``"*"``) that gets no leaf, a leaf without a pattern, a label without a
        transformation, and labels that do not fit the tree. A pattern may
        get places that hold ``None`` alone, and under a mask from outside any number of leaves.

    Differs from:
      Optax has no patterns, and its errors name no leaf.

    Example:
      >>> opt = jopt.partition({"*/bias": jopt.sgd(0.5), "*": jopt.adam(0.1)})
      >>> tree = {"enc": {"bias": jnp.float32(1.0), "kernel": jnp.float32(1.0)}}
      >>> updates, _ = opt.update(tree, opt.init(tree), tree)
      >>> {name: round(float(u), 4) for name, u in updates["enc"].items()}
      {'bias': -0.5, 'kernel': -0.1}
    """
    if not isinstance(transforms, Mapping):
        raise TypeError(
            f"partition: transforms must be a dict, {{label: transformation}}, but got {require.shown(transforms)}."
        )
    for label, part in transforms.items():
        check_part("partition", f"the part for {label!r}", part)
        if param_labels is None and not isinstance(label, str):
            raise TypeError(
                f"partition: without param_labels the keys are patterns over the paths of leaves, so strings such as 'enc/*', "
                f"but got {require.shown(label)}; or give param_labels, a tree of labels."
            )
    # The first pattern wins, and JAX keeps the order of an OrderedDict alone.
    return _partition(OrderedDict(transforms), param_labels, mask_compatible_extra_args=mask_compatible_extra_args)


@transformation(name="partition", wide="parts", checked=False, static=("param_labels",))
def _partition(transforms: Mapping[Any, Any], param_labels: Any = None, *, mask_compatible_extra_args: bool = False) -> Any:
    pairs = {label: as_pair(part) for label, part in transforms.items()}

    def init(params: Any) -> Any:
        labels = _labels(transforms, param_labels, params)
        if param_labels is None:
            _check_patterns(list(transforms), params)
        return optax.PartitionState(
            {k: optax.MaskedState(pair.init(select("partition", _equal(labels, k), params))) for k, pair in pairs.items()}
        )

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        labels = _labels(transforms, param_labels, updates if params is None else params)
        states: dict[Any, Any] = {}
        given = updates
        for label, pair in pairs.items():
            chosen = _equal(labels, label)
            own = functools.partial(select, "partition", chosen)
            told = select_alike("partition", chosen, given, extra_args) if mask_compatible_extra_args else extra_args
            few, inner = None if params is None else own(params), state.inner_states[label].inner_state
            new, inner = pair.update(own(given), inner, few, **told)
            updates, states[label] = merge(chosen, new, updates), optax.MaskedState(inner)
        return updates, optax.PartitionState(states)

    return init, update


def _equal(labels: Any, label: Any) -> Any:
    return jax.tree.map(lambda other: other == label, labels)


def _labels(transforms: Mapping[Any, Any], param_labels: Any, tree: Any) -> Any:
    """A tree of labels, or a prefix of one, each of them a key of ``transforms``."""
    if param_labels is None:
        return _by_pattern(list(transforms), tree)
    if isinstance(param_labels, type):
        raise TypeError(
            f"partition: param_labels must be a tree of labels, or a function that makes it, but is {param_labels}."
        )
    is_tree = any(_is_label(x, transforms) for x in jax.tree.leaves(param_labels))  # a module of labels may be callable
    labels = param_labels
    if callable(param_labels) and not is_tree:
        labels = param_labels(tree) if jax.tree.leaves(tree) else ()
    for where, label in zip(leaf_paths(labels), jax.tree.leaves(labels), strict=True):
        if not _is_label(label, transforms):
            raise ValueError(
                f"partition: the label at {where} is {label!r}, for which there is no transformation; there are some for "
                f"{list(transforms)}."
            )
    return labels


def _is_label(x: Any, transforms: Mapping[Any, Any]) -> bool:
    return isinstance(x, Hashable) and x in transforms


def _by_pattern(patterns: list[str], tree: Any) -> Any:
    """The first pattern that matches the path of each leaf, as a tree."""
    labels: list[str] = []
    for names in paths_of(tree):
        label = next((p for p in patterns if matches(p, names)), None)
        if label is None:
            raise ValueError(
                f"partition: no pattern matches the leaf {names[-1]!r}; the patterns are {patterns}. Add one for it, or "
                f"'*' as the last one for all the rest (jopt.set_to_zero() freezes)."
            )
        labels.append(label)
    return flatten(tree)[1].unflatten(labels)


def _check_patterns(patterns: list[str], tree: Any) -> None:
    """Checks that every pattern gets a leaf, or a ``None`` in the place of one: others are misspelt."""
    if not jax.tree.leaves(tree) or has_masked(tree):  # nothing to judge by, or leaves that only a wrapper outside knows
        return
    places = paths_of(tree, is_none)
    taken = {next((p for p in patterns if matches(p, names)), None) for names in places}
    for pattern in patterns:
        if pattern in taken or pattern == "*":
            continue
        matched = [names[-1] for names in places if matches(pattern, names)]
        why = f"an earlier pattern takes {matched[:5]}" if matched else f"the leaves are {[n[-1] for n in places[:20]]}"
        raise ValueError(f"partition: the pattern {pattern!r} gets no leaf; {why}. The first pattern that matches wins.")

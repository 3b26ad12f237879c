"""The names that the result of a sweep uses itself, and which others may stand beside them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from jopt.values.showing import shown

V = TypeVar("V")

# The dimensions and variables that every result has, beside what was recorded.
OWN = ("seed", "step", "eval_step", "diverged_at", "steps_done", "group")
LOSS = "loss"
AXIS = "an axis"  # what the name of one is, in words
SAMPLE = "sample"  # the dimension of drawn axes
EXAMPLES = "examples_seen"  # a coordinate of the curves, where batch sizes are swept
EVALUATED_EXAMPLES = "eval_examples_seen"  # the same of the evaluations
# What an axis may not be called: neither like these, nor like the columns of a table of curves.
RESERVED = (*OWN, LOSS, SAMPLE, "metric", "value")


def in_tree(name: str) -> str:
    """A name as the tree of a grouped result writes it: there "/" parts nodes."""
    return name.replace("/", ".")


def check_names(swept: Iterable[str], recorded: Iterable[str], grouped: bool = False) -> None:
    """Checks that every name can stand beside the others in one dataset, before anything is trained.

    Args:
      swept: Names of dimensions and of hyperparameters.
      recorded: Names of the loss, the auxiliary values and the metrics.
      grouped: Whether they will stand in the tree of a grouped result, where "a/b" is written "a.b".

    Raises:
      ValueError: For a name that is the result's own, and for a recorded name that is swept or recorded twice.
    """
    swept = set(swept)
    if clash := sorted(swept.intersection(RESERVED) - {SAMPLE}):
        raise ValueError(f"An axis may not be named {clash[0]!r}, which the result uses itself; give the axis another name=.")
    written = in_tree if grouped else str
    if len(set(map(written, swept))) < len(swept):
        raise ValueError(
            f"Two of the axes {sorted(swept)} have one name in the tree of a grouped result; give one another name=."
        )
    taken = {**dict.fromkeys(OWN, "the result itself"), **dict.fromkeys(map(written, swept), AXIS)}
    for name in recorded:
        if what := taken.get(written(name)):
            or_axis = ", or give the axis another name=" if what == AXIS else ""
            raise ValueError(
                f"A recorded value may not be named {name!r}, which names {what}; "
                f"rename it in the dictionary that the loss, the step or evaluate returns{or_axis}."
            )
        taken[written(name)] = "another recorded value"


def labels(values: Sequence[Any]) -> np.ndarray:
    """The values of an axis as they stand along its dimension.

    Numbers, bools, strings and ``None`` are themselves, in an array of objects where they are mixed; all else goes by its
    name, or as it reads, and a number tells those apart that share one.
    """
    shown: list[Any] = []
    strings = [x for x in values if isinstance(x, str)]
    for i, x in enumerate(values):
        if x is None or isinstance(x, (bool, int, float, str)):
            shown.append(x)
            continue
        before = next((j for j, other in enumerate(values[:i]) if other is x), None)
        if before is not None:
            shown.append(shown[before])
        else:
            shown.append(_told_apart(getattr(x, "__name__", None) or str(x), [*shown, *strings]))
    kinds = {type(x) for x in shown}
    if len(kinds) == 1 and type(None) not in kinds:
        return np.asarray(shown)
    array = np.empty(len(shown), object)
    array[:] = shown
    return array


def _told_apart(name: str, taken: Sequence[Any]) -> str:
    name = re.sub(" at 0x[0-9a-f]+", "", name)
    return next(each for n in itertools.count(1) if (each := name if n == 1 else f"{name}_{n}") not in taken)


def check_groups(names: Iterable[str]) -> None:
    """Checks that names can label the groups of a result.

    Raises:
      ValueError: For no name, and for one that is empty, holds a "/" or is no string.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"groups takes a dict by name, but got {shown(names)}.")
    names = list(names)
    if not names:
        raise ValueError("groups takes a dict of optimizers by name, at least one, but it is empty.")
    for name in names:
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise ValueError(f"groups: the name {name!r} must be a non-empty string without '/'.")


def shortened(by_path: Mapping[str, V], stays: Callable[[str], bool]) -> dict[str, V]:
    """The same by paths without the steps that all begin with: "transforms.enc.learning_rate" is "enc.learning_rate".

    A step that ``stays`` is kept with all behind it. Each name is the end of its path and of no other, so that it stands for
    the same number wherever paths do; where that can't be, the paths stay whole.
    """
    parts = [path.split(".") for path in by_path]
    common = 0
    for steps in zip(*(each[:-1] for each in parts), strict=False):
        if len(set(steps)) > 1 or stays(steps[0]):
            break
        common += 1
    names = [".".join(each[common:]) for each in parts]
    alone = all(sum(f".{path}".endswith(f".{name}") for path in by_path) == 1 for name in names)
    return dict(zip(names, by_path.values(), strict=True)) if alone else dict(by_path)


def key_name(key: Any) -> str:
    """One step of a path as a word: a field, a key of a dict, a place in a list."""
    for field in ("name", "key", "idx"):
        if hasattr(key, field):
            return str(getattr(key, field))
    return str(key)


def named(name: str, paths: Sequence[str]) -> list[int]:
    """Which of the paths a name may mean: the one that is the name, else those that end with it."""
    exact = [i for i, path in enumerate(paths) if path == name]
    return exact or [i for i, path in enumerate(paths) if path.endswith("." + name)]


def find(name: str, paths: Sequence[str], owner: str, kind: str = "number") -> int:
    """Where a number, or another ``kind`` of thing, stands among the paths: the only one that a name may mean."""
    found = named(name, paths)
    if len(found) == 1:
        return found[0]
    what = f"names {len(found)} {kind}s: {[paths[i] for i in found]}; use a full path" if found else f"names no {kind}"
    raise ValueError(f"{owner}: {name!r} {what}. The {kind}s here are {list(paths)}.")

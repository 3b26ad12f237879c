"""The names that the result of a sweep uses itself, and which others may stand beside them."""

from __future__ import annotations

from collections.abc import Iterable

# The dimensions and variables that every result has, beside what was recorded.
OWN = ("seed", "step", "eval_step", "diverged_at", "steps_done", "group")
LOSS = "loss"
AXIS = "an axis"  # what the name of one is, in words
SAMPLE = "sample"  # the dimension of drawn axes
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


def check_groups(names: Iterable[str]) -> None:
    """Checks that names can label the groups of a result.

    Raises:
      ValueError: For no name, and for one that is empty, holds a "/" or is no string.
    """
    names = list(names)
    if not names:
        raise ValueError("groups takes a dict of optimizers by name, at least one, but it is empty.")
    for name in names:
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise ValueError(f"groups: the name {name!r} must be a non-empty string without '/'.")

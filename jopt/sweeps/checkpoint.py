"""``checkpoint=``: what a user asks for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal, get_args

from jopt.engine.files import AnyPath
from jopt.results.directory import again, newest, opened, written_in
from jopt.results.storage import explained, of_last_call
from jopt.values import require
from jopt.values.numbers import seconds

OnChange = Literal["refuse", "new"]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where a sweep is kept while it runs, so that it cannot be lost.

    The directory holds one file, ``sweep.jopt``, which ``jopt.load_result`` and ``jopt.inspect`` read at any time, from other
    processes too, and a file that says who writes.

    Args:
      path: A directory, which is made where there is none.
      every: How long what lanes have trained may be kept in memory only: "60s", "5min", "1h", or seconds.
      data: What the data are, in words, where they come from an iterable ("imagenet-64 v2"): a sweep goes on from a checkpoint
        whose data have the same name. Arrays are known by what they hold, a function ``batch(key, step)`` by what it computes.
      on_change: What to do where the directory holds a sweep with another loss, model, optimizer or data: "refuse" says which
        of them changed, in a ``ValueError``; "new" begins a second one in the same file, which keeps both.

    Raises:
      TypeError: For an argument of the wrong kind.
      ValueError: For a time or an ``on_change`` that makes no sense.

    Example:
      >>> jopt.Checkpoint("mnist", every="5min").seconds
      300.0
    """

    path: AnyPath
    every: str | float = "60s"
    data: str | None = None
    on_change: OnChange = "refuse"

    def __post_init__(self) -> None:
        require.path("Checkpoint: path", self.path)
        if self.data is not None and not isinstance(self.data, str):
            raise TypeError(f"Checkpoint: data must be a name in words, but is a {type(self.data).__name__}.")
        require.one_of("Checkpoint: on_change", self.on_change, get_args(OnChange))
        seconds("Checkpoint: every", self.every)

    @property
    def seconds(self) -> float:
        """``every`` in seconds."""
        return seconds("Checkpoint: every", self.every)

    @property
    def directory(self) -> str:
        """``path`` as text."""
        return os.fsdecode(self.path)


def checkpoint_of(checkpoint: Any) -> Checkpoint | None:
    """The argument ``checkpoint``; ``TypeError`` where it is none."""
    if checkpoint is None or isinstance(checkpoint, Checkpoint):
        return checkpoint
    if isinstance(checkpoint, (str, bytes, os.PathLike)):
        return Checkpoint(checkpoint)
    raise TypeError(f"checkpoint must be the name of a directory, or a jopt.Checkpoint, but is {require.shown(checkpoint)}.")


def last_interval(checkpoint: Checkpoint | None) -> int | None:
    """The steps between evaluations in what was kept last; None where nothing was, or nothing was evaluated."""
    return None if checkpoint is None else again(lambda: _last_interval(checkpoint.directory))


def _last_interval(directory: str) -> int | None:
    files = written_in(directory)
    if not files:
        return None
    with explained(directory if len(files) > 1 else files[0]), opened(files) as stores:
        last = of_last_call(stores[newest(stores)])
        every = last[-1][1].get("eval_every") if last else None
    return every if isinstance(every, int) else None


def saved_in(directory: str, steps: Sequence[int], first: int, whole: bool) -> str:
    """That lanes are saved in a directory, each at a step; not ``whole``: some may be saved at an earlier one."""
    furthest = max(steps, default=first)
    if furthest <= first:
        return ""
    far = f" up to step {furthest:,}{', some lanes up to less' if min(steps) < furthest else ''}" if whole else ""
    return f"the sweep is saved in {directory!r}{far}; the same call goes on from there."

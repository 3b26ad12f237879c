"""What a sweep had recorded when an error stopped it, given to the error, and where it is saved, if it is."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Protocol

from jopt.results import Result

HERE = pathlib.Path(__file__).resolve().parents[1]
JAX_FRAMES = "JAX has removed its internal frames"  # words of the note that JAX gives to whatever passes through a trace


class Kept(Protocol):
    """Whoever keeps a sweep while it runs."""

    def where(self) -> str:
        """Where it is saved, in a sentence; "" where nothing of it is."""


@contextlib.contextmanager
def partial_result(so_far: Callable[[], Result | None], kept: Kept | None) -> Iterator[None]:
    """Whatever is raised here gets ``so_far()`` as its ``partial_result``, and a note that says so where lanes were trained.

    Before it stands where it is ``kept``, which is printed for a ``SystemExit``, of which Python shows no note. Where there is
    no result yet, since an argument is wrong, nothing is added.
    """
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):  # the error itself is what must be heard, also one that takes no attributes
            _attach(error, so_far(), _where(kept))
        raise


def _where(kept: Kept | None) -> str:
    with contextlib.suppress(Exception):
        return "" if kept is None else kept.where()
    return ""


def _attach(error: BaseException, result: Result | None, saved: str) -> None:
    if result is None:
        return
    error.partial_result = result  # type: ignore[attr-defined]
    steps = result.timings.lane_steps
    if saved:
        error.add_note(f"jopt: {saved}")
        if isinstance(error, SystemExit):
            print(f"jopt: {saved}", file=sys.stderr)
    if steps:
        error.add_note(
            f"jopt: what the sweep had recorded until then, of {steps:,} lane-steps, is this error's .partial_result (at a "
            f"prompt and in a notebook: sys.last_value.partial_result)."
        )
    elif _is_ours(error):  # an argument is wrong, and nobody looks for the frames of JAX that led to it
        notes = getattr(error, "__notes__", [])
        error.__notes__ = [note for note in notes if JAX_FRAMES not in note or note.startswith("jopt:")]


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised by jopt, not by a function of the user's or by what that called."""
    where = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return HERE in pathlib.Path(where[-1]).resolve().parents

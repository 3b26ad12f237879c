"""What a sweep had recorded when an error stopped it, given to the error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from jopt.results import Result

NOTHING = "jopt: nothing had been trained yet, so this error's .partial_result has no records."


@contextlib.contextmanager
def partial_result(so_far: Callable[[], Result | None]) -> Iterator[None]:
    """Whatever is raised here gets ``so_far()`` as its ``partial_result``, and a note that says so.

    Where there is no result yet, since an argument is wrong, nothing is added.
    """
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):  # the error itself is what must be heard, also one that takes no attributes
            _attach(error, so_far())
        raise


def _attach(error: BaseException, result: Result | None) -> None:
    if result is None:
        return
    error.partial_result = result  # type: ignore[attr-defined]
    steps = result.timings.lane_steps
    error.add_note(
        f"jopt: what the sweep had recorded until then, of {steps:,} lane-steps, is this error's .partial_result (at a prompt "
        f"and in a notebook: sys.last_value.partial_result)."
        if steps
        else NOTHING
    )

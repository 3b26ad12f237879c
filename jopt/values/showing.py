"""What was given, as the sentence of an error shows it."""

from __future__ import annotations

from typing import Any

LONGEST = 200  # characters of what was given that a sentence shows


def shown(x: Any) -> str:
    """What was given, as a sentence shows it: its ``repr``, on one line and not all of a long one."""
    try:
        told = " ".join(repr(x).split())
    except Exception:  # an object of the user's, or an array that was deleted
        told = f"a {type(x).__name__}"
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}..."

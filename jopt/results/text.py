"""Numbers, settings and tables as people read them.

The words of results are ASCII, which every stream and file takes; names are the user's own.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def number(value: Any, digits: int = 3) -> str:
    """A number in three digits, "1e-5" rather than "1e-05"; integers, and what is no number, in full."""
    if value is None or isinstance(value, (int, str)):
        return str(value)
    # Of a decay rate the distance to one is what matters: 0.9999 must not read 1.
    digits += math.ceil(-math.log10(1 - value)) - 1 if 0.9 < value < 1 else 0
    shown = f"{value:.{digits}g}"
    return re.sub(r"e([+-])0*(\d)", lambda m: "e" + m[1].replace("+", "") + m[2], shown)


def apart(values: Sequence[float]) -> int:
    """In how many digits, three at least, numbers that differ do so when they are read."""
    return next((n for n in range(3, 17) if len({number(x, n) for x in values}) == len(set(values))), 17)


def listed(names: Sequence[str]) -> str:
    """Names as people list them: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(number: int, noun: str) -> str:
    """A number of things: "1 lane", "3 lanes"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def steps_trained(first: int, last: int, each: str = "") -> str:
    """The steps from one to another in words; where a sweep went on, which ones: "10 steps, from step 20 to 30"."""
    done = max(0, last - first)
    which = f", from step {first:,} to {last:,}" if first and done else ""
    return f"{done:,} step{'' if done == 1 else 's'}{each}{which}"


def setting(values: Mapping[str, Any]) -> str:
    """A setting as "learning_rate=0.001, b1=0.9"."""
    return ", ".join(f"{name}={number(value)}" for name, value in values.items()) or "the only setting"


def spread(mean: float, deviation: float, seeds: int) -> str:
    """A mean, with "+/- deviation" when there is more than one seed."""
    return f"{mean:.4g} +/- {deviation:.2g}" if seeds > 1 else f"{mean:.4g}"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain-text table: columns two spaces apart, a rule under the header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def printable(shown: str) -> str:
    """A text that can be printed: characters of names that standard output lacks are written as escapes."""
    try:
        encoding = sys.stdout.encoding or "utf-8"  # none: kept as text
        return shown.encode(encoding, "backslashreplace").decode(encoding)
    except Exception:  # no standard output, or one that has been replaced by something else
        return shown.encode("ascii", "backslashreplace").decode("ascii")

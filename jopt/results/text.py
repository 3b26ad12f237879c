"""Numbers, settings and tables as people read them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


def number(value: Any, digits: int = 3) -> str:
    """A number in a few digits, "1e-5" rather than "1e-05"; integers in full."""
    if isinstance(value, int):
        return str(value)
    return re.sub(r"e([+-])0*(\d)", lambda m: "e" + m[1].replace("+", "") + m[2], f"{value:.{digits}g}")


def count(number: int, noun: str) -> str:
    """A number of things: "1 lane", "3 lanes"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def setting(values: Mapping[str, Any]) -> str:
    """A setting as "learning_rate=0.001, b1=0.9"."""
    return ", ".join(f"{name}={number(value)}" for name, value in values.items()) or "the only setting"


def spread(mean: float, deviation: float, seeds: int) -> str:
    """A mean, with "± deviation" when there is more than one seed."""
    return f"{mean:.4g} ± {deviation:.2g}" if seeds > 1 else f"{mean:.4g}"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain-text table: columns two spaces apart, a rule under the header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )

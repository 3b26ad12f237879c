"""How good recommendations are, and when they became so."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.deciding.truth import Truth

WITHIN = 0.05  # of the least loss

Trace = Sequence[Sequence[float]]  # of (seconds, recommended rate)


def settled(trace: Trace, truth: Truth, within: float = WITHIN) -> float | None:
    """The time from which on all recommendations are within a share of the least loss; None: the last one is not."""
    since: float | None = None
    for seconds, rate in trace:
        if truth.excess(rate) > within:
            since = None
        elif since is None:
            since = seconds
    return since


def judged(run: dict[str, Any], truth: Truth) -> dict[str, Any]:
    """A run with what its recommendations are worth; as it is where there are none."""
    if not run.get("trace"):
        return run
    return {**run, "excess": truth.excess(run["trace"][-1][1]), "settled_s": settled(run["trace"], truth)}


def changes(trace: Trace) -> list[list[float]]:
    """A trace without the recommendations that are the one before again."""
    kept: list[list[float]] = []
    for seconds, rate in trace:
        if not kept or kept[-1][1] != rate:
            kept.append([round(float(seconds), 4), float(rate)])
    return kept


def median_settled(runs: Sequence[dict[str, Any]]) -> float:
    """The median time until a rival's recommendation was good for good; infinite where most never were."""
    times = [math.inf if run.get("settled_s") is None else run["settled_s"] for run in runs]
    return statistics.median(times) if times else math.inf


def median_excess(runs: Sequence[dict[str, Any]]) -> float | None:
    """The median excess of the last recommendations; None where nobody recommended anything."""
    found = [run["excess"] for run in runs if "excess" in run]
    return statistics.median(found) if found else None

"""The curves of the page: means over seeds with the lowest and highest of them, in so many points that the page stays small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.recording import RECORDS
from jopt.results import scores
from jopt.results.page import layout
from jopt.results.page.listing import Row
from jopt.results.record import SweepRecord

SETTINGS = 300  # that have curves
NUMBERS = 180_000  # in all curves
MOST, BANDED, LEAST = 400, 60, 20  # points of a curve: at most, at least for a band over seeds, and at least


class Budget(NamedTuple):
    """What there is room for.

    Attributes:
      settings: That have curves.
      metrics: Of which there are any.
      points: Of a curve.
      bands: Whether there is room for the lowest and the highest of the seeds.
    """

    settings: int
    metrics: int
    points: int
    bands: bool


def budget(settings: int, metrics: int, seeds: int) -> Budget:
    """How the room is divided."""
    settings = min(settings, SETTINGS)
    bands = seeds > 1 and NUMBERS // (settings * metrics * 3) >= BANDED
    points = NUMBERS // (settings * metrics * (3 if bands else 1))
    if points < LEAST:
        metrics, points = NUMBERS // (settings * LEAST), LEAST
    return Budget(settings, metrics, min(points, MOST), bands)


def curves(
    records: Sequence[SweepRecord], rows: Sequence[Row], ranked: scores.Ranking
) -> tuple[list[dict[str, Any]], list[str]]:
    """The curves of each metric, the ranking one first, and what the page says of what was left out."""
    names = dict.fromkeys([ranked.metric, *(name for record in records for name in (*record.metrics, *record.losses))])
    known = [name for name in names if any(_recorded(record, name) for record in records)]
    room = budget(len(rows), len(known), max(len(record.seeds) for record in records))
    shown = [_Thinned(records, name, room) for name in known[: room.metrics]]
    every = max((thinned.every for thinned in shown), default=1)
    notes = [f"Long curves are thinned: a point is the mean of up to {every} records."] if every > 1 else []
    if len(rows) > room.settings:
        notes.append(f"The first {room.settings} of {len(rows):,} settings have curves.")
    if len(known) > room.metrics:
        notes.append(f"There are curves of {room.metrics} of {len(known)} metrics.")
    if max(len(record.seeds) for record in records) > 1:
        bands = "; of a few, bands reach from the lowest to the highest seed" if room.bands else ""
        notes.append(f"Curves are means over seeds and end where the first seed did{bands}.")
    return [thinned.of(rows[: room.settings], ranked) for thinned in shown], notes


def _recorded(record: SweepRecord, name: str) -> bool:
    return name in record.metric_names and bool(len(record.step if name in record.losses else record.eval_step))


class _Thinned:
    """One metric of several groups, records averaged over so many that few points are left."""

    def __init__(self, records: Sequence[SweepRecord], name: str, room: Budget) -> None:
        self.records, self.name, self.room = records, name, room
        self.series = [record.ran(name) if _recorded(record, name) else None for record in records]
        self.every = max(-(-len(series.steps) // room.points) for series in self.series if series)
        self.values = [None if series is None else self._seeds(series.values) for series in self.series]

    def _seeds(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """[*dims, seed, points]."""
        values = np.asarray(values, np.float64)
        starts = np.arange(0, values.shape[-1], self.every)
        lengths = np.diff(starts, append=values.shape[-1])
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(np.add.reduceat(values, starts, axis=-1) / lengths)

    def of(self, rows: Sequence[Row], ranked: scores.Ranking) -> dict[str, Any]:
        """What the page draws, a line for each row."""
        mode = ranked.mode if self.name == ranked.metric else self._mode()
        with np.errstate(invalid="ignore", over="ignore"):
            means = [None if (seeds := self._of(row)) is None else seeds.mean(0) for row in rows]
        finished = [mean for row, mean in zip(rows, means, strict=True) if mean is not None and row.state != "diverged"]
        starts = [mean[np.isfinite(mean)][0] for mean in finished if np.isfinite(mean).any()]
        values = np.concatenate(finished or [mean for mean in means if mean is not None])
        banded = self.room.bands and max(len(record.seeds) for record in self.records) > 1
        return {
            "name": self.name,
            "about": RECORDS.get(self.name, self.name),
            **layout.view(values, mode, [float(np.median(starts))] if starts else ()),
            "steps": [None if series is None else self._ends(series.steps) for series in self.series],
            "lines": [_numbers(mean) for mean in means],
            "low": [_numbers(self._seed(row, np.min)) for row in rows] if banded else None,
            "high": [_numbers(self._seed(row, np.max)) for row in rows] if banded else None,
        }

    def _mode(self) -> str:
        record = next(record for record in self.records if _recorded(record, self.name))
        if self.name in record.losses:
            return "min" if self.name not in RECORDS else ""
        return scores.direction(record.maximize, self.name) or ""

    def _of(self, row: Row) -> NDArray[np.float64] | None:
        values = self.values[row.part]
        return None if values is None else values[row.where]

    def _seed(self, row: Row, pick: Any) -> NDArray[np.float64] | None:
        seeds = self._of(row)
        return None if seeds is None else np.asarray(pick(seeds, axis=0))

    def _ends(self, steps: NDArray[Any]) -> list[int]:
        last = np.append(np.arange(self.every - 1, len(steps) - 1, self.every), len(steps) - 1)
        return [int(step) for step in steps[last]]


def _numbers(values: NDArray[np.float64] | None) -> list[float | None] | None:
    """A line as JSON takes it, cut behind its last finite point; None: there is none."""
    if values is None or not np.isfinite(values).any():
        return None
    end = int(np.flatnonzero(np.isfinite(values))[-1]) + 1
    return [float(f"{x:.4g}") if math.isfinite(x) else None for x in values[:end]]

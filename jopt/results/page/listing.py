"""The settings of a result as a list, the best first: what is known of each, and the columns of the page's table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.record import SweepRecord
from jopt.results.trial import Swept

CELLS = 12_000  # of the table: more would make the page slow, and large
METRICS = 6  # beside the one that ranks, in the table
STATES = ("finished", "stopped", "not finite", "pruned", "diverged")  # in the order of the table


class Row(NamedTuple):
    """One setting.

    Attributes:
      part: Which group it is of.
      where: Its place in the grid.
      setting: Its values, by the names of what was swept.
      state: One of ``STATES``; "stopped": without a score, as the sweep was stopped before it had come to its end, or as
        others went on without it.
      at: The step at which it was pruned or diverged; else None.
      out: Of how many seeds that is said.
      steps: That were done, by the seed that did most.
      score: The mean over seeds, where there is one; of a pruned one that of the steps that it did.
      per_seed: [seed].
      stopped: Whether the sweep was stopped before the setting had come to its end, with a score or without.
    """

    part: int
    where: tuple[int, ...]
    setting: dict[str, Any]
    state: str
    at: int | None
    out: int
    steps: int
    score: float | None
    per_seed: NDArray[np.float64]
    stopped: bool

    @property
    def ended(self) -> str:
        """How it ended, for a reader, one of ``STATES``."""
        return "stopped" if self.stopped else self.state


class Column(NamedTuple):
    """One column of the table.

    Attributes:
      name: Its header.
      about: What it holds, in words.
      kind: "number", "text", or "choice": one of a few texts.
      values: What is sorted by, None for what stands last in any order.
      shown: The texts of its cells.
    """

    name: str
    about: str
    kind: str
    values: Sequence[Any]
    shown: Sequence[str]

    @property
    def choices(self) -> list[str]:
        """The texts that there are."""
        return list(dict.fromkeys(str(value) for value in self.values if value is not None))


def listed(parts: Mapping[str, Swept], ranked: scores.Ranking) -> list[Row]:
    """All settings of all groups: those with a score, the best first, then what was pruned, late before early, and diverged."""
    found = [row for i, part in enumerate(parts.values()) for row in _rows(i, part.record, ranked)]
    sign = 1.0 if ranked.mode == "min" else -1.0

    def key(row: Row) -> tuple[float, float, float]:
        score = math.inf if row.score is None else sign * row.score
        return STATES.index(row.state), -(row.at or 0), score

    return sorted(found, key=key)


def _rows(part: int, record: SweepRecord, ranked: scores.Ranking) -> list[Row]:
    scored = scores.score(record, ranked)
    diverged, pruned = record.diverged, record.pruned
    with np.errstate(invalid="ignore", over="ignore"):
        mean = scored.per_seed.mean(-1)
    rows = []
    for index in np.ndindex(record.shape):
        state = "finished" if not np.isnan(scored.mean[index]) else "not finite"
        at, out = None, 0
        for name, when, which in (
            ("stopped", record.left_at, record.left),
            ("pruned", record.pruned_at, pruned),
            ("diverged", record.diverged_at, diverged),
        ):
            if which[index].any():
                state, at, out = name, int(np.nanmin(when[index])), int(which[index].sum())
        score = float(mean[index]) if np.isfinite(mean[index]) and state in ("finished", "pruned") else None
        steps = int(record.steps_done[index].max(initial=0))
        stopped = not record.complete and at is None and bool((record.steps_done[index] < record.step.max(initial=0)).any())
        state = "stopped" if stopped and state == "not finite" else state
        rows.append(Row(part, index, record.setting(index), state, at, out, steps, score, scored.per_seed[index], stopped))
    return rows


def columns(parts: Mapping[str, Swept], rows: Sequence[Row], ranked: scores.Ranking) -> list[Column]:
    """The columns of the table, left to right."""
    records = [part.record for part in parts.values()]
    groups = [list(parts)[row.part] for row in rows]
    own = [Column("group", "the optimizer", "choice", groups, groups)] if list(parts) != [""] else []
    names = dict.fromkeys(name for record in records for name in record.coords)
    finals = [_final(records, rows, name) for name in _metrics(records, ranked)]
    return [_rank(rows), *own, *(_swept(rows, name) for name in names), *_scores(records, rows, ranked), *_ends(rows), *finals]


def _rank(rows: Sequence[Row]) -> Column:
    ranks = [i + 1 if row.state == "finished" else None for i, row in enumerate(rows)]
    return Column(
        "#", "the place among the settings that have a score", "number", ranks, ["" if r is None else str(r) for r in ranks]
    )


def _swept(rows: Sequence[Row], name: str) -> Column:
    values = [row.setting.get(name) for row in rows]
    shown = [_shown(row.setting[name]) if name in row.setting else "" for row in rows]
    numbers = all(is_number(value) for value in values if value is not None)
    if numbers and any(value is not None for value in values):
        return Column(name, "swept", "number", values, shown)
    kept = [each if name in row.setting else None for each, row in zip(shown, rows, strict=True)]
    return Column(name, "swept", "choice" if len(set(shown)) <= 12 else "text", kept, shown)


def _scores(records: Sequence[SweepRecord], rows: Sequence[Row], ranked: scores.Ranking) -> list[Column]:
    """The score, and over several seeds its spread; what was pruned has one in brackets, which is of fewer steps."""
    seeds = max(len(record.seeds) for record in records)
    about = f"{scores.moment(records[0], ranked)}, {'lower' if ranked.mode == 'min' else 'higher'} is better"
    about += f", mean of {seeds} seeds" if seeds > 1 else ""
    shown = ["" if row.score is None else f"{row.score:.4g}" for row in rows]
    marked = [f"({x})" if row.state == "pruned" and x else x for row, x in zip(rows, shown, strict=True)]
    values = [row.score if row.state == "finished" else None for row in rows]
    made = [Column(ranked.metric, about, "number", values, marked)]
    if seeds > 1:
        spreads = [scores.spread(row.per_seed) if row.score is not None else None for row in rows]
        texts = ["" if x is None else f"{x:.2g}" for x in spreads]
        made.append(Column("spread", f"standard deviation of {ranked.metric} over seeds", "number", spreads, texts))
    return made


def _metrics(records: Sequence[SweepRecord], ranked: scores.Ranking) -> list[str]:
    names = dict.fromkeys(name for record in records for name in (*record.metrics, *record.losses))
    return [name for name in names if name != ranked.metric][:METRICS]


def _final(records: Sequence[SweepRecord], rows: Sequence[Row], name: str) -> Column:
    """What a metric was at the end."""
    means = [_means(record, name) for record in records]
    values = [_finite(means[row.part][row.where]) for row in rows]
    of_loss = any(name in record.losses for record in records)
    about = f"last {'tenth of the run' if of_loss else 'evaluation'}, mean over seeds"
    return Column(name, about, "number", values, ["" if x is None else f"{x:.4g}" for x in values])


def _means(record: SweepRecord, name: str) -> NDArray[np.float64]:
    if name not in record.metric_names or not len(record.step if name in record.losses else record.eval_step):
        return np.full(record.shape, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(scores.score(record, scores.Ranking(name, "min", "last")).per_seed.mean(-1))


def _ends(rows: Sequence[Row]) -> list[Column]:
    steps = [row.steps for row in rows]
    states = [row.ended for row in rows]
    return [
        Column("steps", "that were done", "number", steps, [f"{n:,}" for n in steps]),
        Column("state", "how it ended", "choice", states, [_ended(row) for row in rows]),
    ]


def _ended(row: Row) -> str:
    seeds = len(row.per_seed)
    some = f" ({row.out} of {seeds} seeds)" if row.out < seeds else ""
    if row.stopped:
        return f"stopped at {row.steps:,}" if row.steps else "not begun"
    return row.state if row.at is None else f"{row.state} at {row.at:,}{some}"


def is_number(value: Any) -> bool:
    """Whether a value of an axis is one; a bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def label(row: Row, group: str) -> str:
    """A setting in words; the only one of a group goes by the name of that."""
    setting = ", ".join(f"{name}={_shown(value)}" for name, value in row.setting.items())
    return ": ".join(filter(None, (group, setting))) or "the only setting"


def _shown(value: Any) -> str:
    return text.number(value) if is_number(value) else str(value)


def _finite(x: Any) -> float | None:
    return float(x) if math.isfinite(x) else None

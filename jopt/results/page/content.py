"""What stands on the page of a result, as its template and its charts take it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jopt.kinds import kind_of_all
from jopt.results import report, scores, text
from jopt.results.page import layout, listing, thinning
from jopt.results.page.answer import Answer, answer
from jopt.results.page.listing import Row, label
from jopt.results.plots.profile import at_best, is_apart
from jopt.results.plots.rungs import first_of
from jopt.results.record import Saved, SweepRecord
from jopt.results.suggestion import Suggestion
from jopt.results.trial import Swept

AXES = 8  # that get a chart


def content(parts: Mapping[str, Swept], ranked: scores.Ranking, compared: str | None = None) -> dict[str, Any]:
    """The names of the template, with ``data`` for the charts; ``compared`` is a comparison of the parts, as HTML."""
    rows = listing.listed(parts, ranked)
    columns = listing.columns(parts, rows, ranked)
    told = answer(parts, rows, ranked)
    listed = min(len(rows), max(1, listing.CELLS // len(columns)))
    records = [part.record for part in parts.values()]
    curves, notes = thinning.curves(records, rows, ranked)
    axes, rungs = _axes(records, rows, told), _rungs(records)
    data = {
        "metric": ranked.metric,
        "mode": ranked.mode,
        "groups": list(parts),
        "rows": [_row(row, list(parts)[row.part]) for row in rows[:listed]],
        "columns": [{"kind": c.kind, "values": [_plain(v) for v in c.values[:listed]]} for c in columns],
        "axes": [_cut(axis, listed) for axis in axes],
        "score": _score(rows, ranked),
        "curves": [_fewer(curve, listed) for curve in curves],
        "rungs": rungs,
    }
    return {
        "answer": told,
        "comparison": compared,
        "summary": _summary(parts, rows, ranked),
        "columns": columns,
        "cells": [[column.shown[i] for column in columns] for i in range(listed)],
        "states": [row.state.replace(" ", "-") for row in rows[:listed]],
        "labels": [label(row, list(parts)[row.part]) for row in rows[:listed]],
        "unlisted": len(rows) - listed,
        "total": len(rows),
        "notes": notes,
        "axes": axes,
        "marks": _marks(rows, axes),
        "passing": any(place is None for axis in axes for place in axis["place"]),
        "unseen": _unseen(rows),
        "curves": [curve["name"] for curve in curves],
        "runs": _runs(parts),
        "saved": _saved(parts),
        "rungs": rungs,
        "environment": _environment(parts),
        "data": data,
    }


def _summary(parts: Mapping[str, Swept], rows: Sequence[Row], ranked: scores.Ranking) -> str:
    """What ran, and what became of it, in a line."""
    records = [part.record for part in parts.values()]
    lanes = sum(record.diverged.size for record in records)
    last = max(int(record.steps_done.max(initial=0)) for record in records)
    steps = text.steps_trained(records[0].first, last)
    ran = [text.count(len(parts), "optimizer")] if len(parts) > 1 else []
    ran += [text.count(len(rows), "setting"), text.count(lanes, "training run"), steps]
    ends = [row.ended for row in rows]
    ended = [f"{ends.count(end)} {end}" for end in listing.STATES if end in ends]
    better = f"{scores.moment(records[0], ranked)}, {'lower' if ranked.mode == 'min' else 'higher'} is better"
    return f"{', '.join(ran)}: {', '.join(ended)}. Ranked by {ranked.metric} ({better})."


def _axes(records: Sequence[SweepRecord], rows: Sequence[Row], told: Answer) -> list[dict[str, Any]]:
    """The axes of the charts: what has several values."""
    names = _varied(rows)[:AXES]
    order = {name: [x for r in records if name in r.coords for x in r.coords[name][1].tolist()] for name in names}
    how = {name: kind_of_all(r.kinds.get(name) for r in records if name in r.coords) for name in names}
    values = {name: [row.setting.get(name, layout.ABSENT) for row in rows] for name in names}
    return [
        {
            **layout.axis(name, values[name], order[name], how[name]),
            "suggested": [_suggested(s, values[name], how[name]) for s in told.suggestions if s.name == name],
            **_lines(records, name),
        }
        for name in names
    ]


def _suggested(found: Suggestion, values: Sequence[Any], how: str | None) -> dict[str, Any]:
    """Where the value and the interval of a suggestion stand on the axis of some values."""
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {"group": found.trial.group or "", **{end: layout.at(x, values, how) for end, x in ends.items()}}


def _lines(records: Sequence[SweepRecord], name: str) -> dict[str, Any]:
    """Which groups have a line along an axis, as ``plot.response()`` has one, and whether one is the best over other axes."""
    joined = [part for part, record in enumerate(records) if name in record.coords and not is_apart(record, name)]
    return {"joined": joined, "envelope": any(at_best(records[part], name) for part in joined)}


def _varied(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row.setting)
    return [name for name in names if len({str(row.setting[name]) for row in rows if name in row.setting}) > 1]


def _marks(rows: Sequence[Row], axes: Sequence[Mapping[str, Any]]) -> str:
    """What the signs in the charts of scores stand for, in a sentence; "" where there are none but dots."""
    states = {row.state for row in rows}
    known = {
        "the star is the best setting": len(rows) > 1 and "finished" in states,
        "bars reach from the lowest to the highest seed": any(
            np.ptp(row.per_seed) > 0 for row in rows if row.state == "finished"
        ),
        "open circles were pruned, so that their scores are of fewer steps": "pruned" in states,
        "crosses at the edge have no score": bool(states & {"diverged", "not finite"}),
        "the dashed line is a suggested value, the shade its interval": any(axis["suggested"] for axis in axes),
    }
    told = "; ".join(sign for sign, there in known.items() if there)
    return f"In charts of scores {told}." if told else ""


def _unseen(rows: Sequence[Row]) -> list[str]:
    """Axes without a chart."""
    return _varied(rows)[AXES:]


def _row(row: Row, group: str) -> dict[str, Any]:
    low, high = (None, None)
    if row.score is not None and len(row.per_seed) > 1:
        low, high = (layout.rounded(x) for x in (np.min(row.per_seed), np.max(row.per_seed)))
    score = None if row.score is None else layout.rounded(row.score)
    return {"label": label(row, group), "group": row.part, "state": row.state, "score": score, "low": low, "high": high}


def _plain(value: Any) -> Any:
    if isinstance(value, float):  # sums have other last digits where an array lies otherwise, as one that was loaded
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else str(value)


def _cut(axis: dict[str, Any], listed: int) -> dict[str, Any]:
    return {**axis, "at": axis["at"][:listed], "place": axis["place"][:listed]}


def _fewer(curve: dict[str, Any], listed: int) -> dict[str, Any]:
    return {**curve, **{name: curve[name] and curve[name][:listed] for name in ("lines", "low", "high")}}


def _score(rows: Sequence[Row], ranked: scores.Ranking) -> dict[str, Any]:
    """The axis of the scores: the part that is shown, and marks on it for the parallel coordinates."""
    found = [row.score for row in rows if row.state == "finished" and row.score is not None]
    return layout.view(found, ranked.mode)


def _runs(parts: Mapping[str, Swept]) -> list[tuple[str, dict[str, str]]]:
    """What was swept and run, how, and how long it took: what is so in all groups, then what is each group's own."""
    each = {name: report.facts(part.record, part.plan, part.timings) for name, part in parts.items()}
    first = next(iter(each.values()))
    common = {term: told for term, told in first.items() if all(facts.get(term) == told for facts in each.values())}
    own = {name: {term: told for term, told in facts.items() if term not in common} for name, facts in each.items()}
    return [("", common), *((name, facts) for name, facts in own.items() if facts)]


def _saved(parts: Mapping[str, Swept]) -> str | None:
    """What pruning saved, in a sentence; None where nothing was pruned."""
    if not any(part.record.pruned.any() for part in parts.values()):
        return None
    saved = Saved(*(sum(each) for each in zip(*(part.saved for part in parts.values()), strict=True)))
    done = sum(int((part.record.steps_done - part.record.first).sum()) for part in parts.values())
    share = saved.lane_steps / max(1, saved.lane_steps + done)
    return (
        f"Pruning saved {saved.lane_steps:,} of {saved.lane_steps + done:,} lane-steps ({share:.0%}), "
        f"about {saved.seconds:.3g} s at the pace of what ran."
    )


def _rungs(records: Sequence[SweepRecord]) -> list[dict[str, int]]:
    """The steps at which settings were pruned, each with how many of all groups train on after it."""
    pruned = np.concatenate([first_of(record.pruned_at) for record in records])
    died = np.concatenate([first_of(record.diverged_at) for record in records])
    steps = np.unique(pruned[np.isfinite(pruned)])
    return [{"step": int(step), "left": int((~(pruned <= step) & ~(died <= step)).sum())} for step in steps]


def _environment(parts: Mapping[str, Swept]) -> dict[str, str]:
    """Where and when it ran, as far as that is known."""
    first = next(iter(parts.values()))
    return {"jopt": first.version, **first.environment}

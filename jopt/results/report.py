"""Results in words: the repr, the table of the best, the reason why nothing is best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jopt.results import scores, text
from jopt.results.record import SweepRecord, Timings
from jopt.results.scores import Ranking


def no_best(records: Mapping[str, SweepRecord], metric: str) -> str:
    """Why no setting of any group is best, and what to try."""
    if len(records) > 1 or "" not in records:
        return (
            f"No setting of {', '.join(records)} is best: all diverged or have no finite {metric!r}. "
            "Try smaller learning rates, or clip the gradient."
        )
    (record,) = records.values()
    count, total = int(record.diverged.any(-1).sum()), record.diverged[..., 0].size
    if count == total:
        reason = f"all {total} settings diverged" if total > 1 else "the only setting diverged"
        return f"No setting is best: {reason}. Try smaller learning rates, or clip the gradient."
    return (
        f"No setting is best: {count} of {total} diverged, and the others have no finite "
        f"{metric!r}. Look at result.plot.curves(), or ask for another metric."
    )


def table(records: Mapping[str, SweepRecord], ranked: Ranking) -> str:
    """The best of each group as aligned text: group, setting, score, diverged lanes."""
    header = ["group", "best", _score_title(next(iter(records.values())), ranked), "diverged"]
    rows = [[name, *_best_cells(record, ranked), _diverged(record)] for name, record in records.items()]
    if list(records) == [""]:
        header, rows = header[1:], [row[1:] for row in rows]
    return text.aligned(header, rows)


def _score_title(record: SweepRecord, ranked: Ranking) -> str:
    return ranked.metric if ranked.at == "last" else f"{ranked.metric} ({scores.moment(record, ranked)})"


def _best_cells(record: SweepRecord, ranked: Ranking) -> tuple[str, str]:
    scored = scores.score(record, ranked)
    index = scored.best_index()
    if index is None:
        return "none", "-"
    mean, per_seed = float(scored.mean[index]), scored.per_seed[index]
    return text.setting(record.setting(index)), text.spread(mean, scores.spread(per_seed), len(per_seed))


def _ranking(records: Iterable[SweepRecord]) -> tuple[Ranking | None, str]:
    """What a repr ranks by, and why not by what ``best`` does: it never raises."""
    records = list(records)
    try:
        return scores.ranking(records, None, None, None), ""
    except ValueError as error:
        reason = str(error)
    try:
        return scores.ranking(records, scores.training_loss(records[0]), None, "last"), reason
    except ValueError:
        return None, reason


def _diverged(record: SweepRecord) -> str:
    lanes = record.diverged
    return f"{int(lanes.sum())} of {lanes.size}"


def describe(record: SweepRecord, plan: Any, timings: Timings) -> str:
    """A few lines: what was swept, what ran, the best, what diverged, the plan, the time."""
    told = facts(record, plan, timings)
    swept, ran = told.pop("swept"), told.pop("ran")
    return "\n".join(["SweepResult", *_indented({"swept": swept, "ran": ran, "best": _best(record), **told})])


def facts(record: SweepRecord, plan: Any, timings: Timings) -> dict[str, str]:
    """What was swept, what ran, what diverged or was pruned, the plan, the time."""
    return {
        "swept": _swept(record),
        "ran": _ran(record),
        "diverged": f"{_diverged(record)} lanes",
        **({"pruned": f"{int(record.pruned.sum())} of {record.pruned.size} lanes"} if record.pruned.any() else {}),
        **({"left behind": f"{int(record.left.sum())} of {record.left.size} lanes"} if record.left.any() else {}),
        **({"plan": str(plan)} if str(plan) else {}),
        "time": _time(timings),
    }


def _best(record: SweepRecord) -> str:
    ranked, reason = _ranking([record])
    if ranked is None:
        return f"none. {reason}"
    setting, score = _best_cells(record, ranked)
    if setting == "none":
        return f"none. {no_best({'': record}, ranked.metric)}"
    return f"{setting}: {ranked.metric} {score}" + (f" (ranked by {ranked.metric!r}. {reason})" if reason else "")


def describe_groups(records: Mapping[str, SweepRecord], timings: Timings) -> str:
    """The best of each group as a table, with the time below."""
    ranked, reason = _ranking(records.values())
    body = table(records, ranked).splitlines() if ranked else []
    lanes = sum(record.diverged.size for record in records.values())
    lines = {"best": f"none. {reason}" if ranked is None else f"ranked by {ranked.metric!r}. {reason}"} if reason else {}
    lines |= {"ran": f"{lanes} lanes in {len(records)} groups", "time": _time(timings)}
    return "\n".join([f"GroupedResult of {len(records)} optimizers", *body, *_indented(lines)])


def _indented(lines: Mapping[str, Any]) -> list[str]:
    return [f"  {name:<8}  {line}" for name, line in lines.items()]


def _swept(record: SweepRecord) -> str:
    if not record.dims:
        return "nothing: one setting"
    return "; ".join(_axis(record, dim) for dim in record.dims)


def _axis(record: SweepRecord, dim: str) -> str:
    ranges = []
    for name in record.names_along(dim):
        values = np.asarray(record.coords[name][1])
        ranges.append(f"{name} {_span(values)}")
    return f"{' with '.join(ranges)} ({text.count(record.shape[record.dims.index(dim)], 'value')})"


def _span(values: Any) -> str:
    """From where to where numbers reach; what is no number one by one, each once."""
    if values.dtype.kind not in "iuf":
        each = dict.fromkeys((type(value), value) for value in values.tolist())  # a search chooses some again
        return ", ".join(text.number(value) for _, value in each)
    low, high = text.number(values.min().item()), text.number(values.max().item())
    return f"{low} to {high}" if len(values) > 1 else low


def _ran(record: SweepRecord) -> str:
    settings, seeds = record.diverged[..., 0].size, len(record.seeds)
    last = int(record.steps_done.max(initial=0))
    how = "up to " if record.pruned.any() or record.left.any() or not record.complete else ""
    grid = f"{text.count(settings, 'setting')} x {text.count(seeds, 'seed')}"
    steps = text.steps_trained(record.first, last, each=" each")
    end = "" if record.complete else ", when it had not come to its end"
    return f"{grid} = {text.count(settings * seeds, 'lane')}, {how}{steps}{end}"


def _time(timings: Timings) -> str:
    speed = f"{timings.lane_steps_per_second:,.0f} lane-steps per second"
    parts = f"compiling {timings.compile_s:.2f} s, running {timings.run_s:.2f} s"
    return f"{timings.total_s:.2f} s ({parts}; {speed})"

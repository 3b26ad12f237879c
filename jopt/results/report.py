"""Results in words: the repr, the table of the best, the reason why nothing is best."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import scores, text
from .record import SweepRecord, Timings
from .scores import Ranking
from .trial import best_trial

if TYPE_CHECKING:
    from .groups import GroupedResult
    from .result import SweepResult


class Groups(Protocol):
    """Results by name."""

    def items(self) -> Iterable[tuple[str, "SweepResult"]]:
        """Name and result of each group; the name is empty where there is only one."""
        ...


def no_best(record: SweepRecord, metric: str) -> str:
    """Why no setting is best, and what to try."""
    count, total = int(record.diverged.any(-1).sum()), record.diverged[..., 0].size
    if count == total:
        reason = f"all {total} settings diverged" if total > 1 else "the only setting diverged"
        return f"no setting is best: {reason}. Try smaller learning rates, or clip the gradient"
    return (
        f"no setting is best: {count} of {total} diverged, and the others have no finite "
        f"{metric!r}. Look at result.plot.curves(), or ask for another metric"
    )


def no_best_of_groups(names: Sequence[str], metric: str) -> str:
    """Why no setting of any group is best, and what to try."""
    return (
        f"no setting of {', '.join(names)} is best: all diverged or have no finite {metric!r}. "
        "Try smaller learning rates, or clip the gradient"
    )


def table(groups: Groups, ranked: Ranking) -> str:
    """The best of each group as aligned text: group, setting, score, diverged lanes."""
    named = dict(groups.items())
    first = next(iter(named.values()))
    header = ["group", "best", _score_title(first.record, ranked), "diverged"]
    rows = [[name, *_best_cells(result, ranked), _diverged(result.record)] for name, result in named.items()]
    if list(named) == [""]:
        header, rows = header[1:], [row[1:] for row in rows]
    return text.aligned(header, rows)


def _score_title(record: SweepRecord, ranked: Ranking) -> str:
    return ranked.metric if ranked.at == "last" else f"{ranked.metric} ({scores.moment(record, ranked)})"


def _best_cells(result: "SweepResult", ranked: Ranking) -> tuple[str, str]:
    trial = best_trial(result, ranked)
    if trial is None:
        return "none", "-"
    return text.setting(trial.setting), text.spread(trial.score, trial.spread, len(trial.scores))


def _ranking(records: Iterable[SweepRecord]) -> tuple[Ranking | None, str]:
    """What a repr ranks by, and why not by what `best` does: it never raises."""
    records = list(records)
    try:
        return scores.ranking(records, None, None, "last"), ""
    except ValueError as error:
        reason = str(error)
    try:
        return scores.ranking(records, scores.training_loss(records[0]), None, "last"), reason
    except ValueError:
        return None, reason


def _diverged(record: SweepRecord) -> str:
    lanes = record.diverged
    return f"{int(lanes.sum())} of {lanes.size}"


def describe(result: "SweepResult") -> str:
    """A few lines: what was swept, what ran, the best, what diverged, the plan, the time."""
    record = result.record
    lines = {
        "swept": _swept(record),
        "ran": _ran(record),
        "best": _best(result),
        "diverged": f"{_diverged(record)} lanes",
        "plan": str(result.plan),
        "time": _time(result.timings),
    }
    return "\n".join(["SweepResult", *_indented(lines)])


def _best(result: "SweepResult") -> str:
    ranked, reason = _ranking([result.record])
    if ranked is None:
        return f"none: {reason}"
    trial = best_trial(result, ranked)
    if trial is None:
        return f"none: {no_best(result.record, ranked.metric)}"
    setting, score = _best_cells(result, ranked)
    return f"{setting}: {ranked.metric} {score}{_by(ranked, reason)}"


def _by(ranked: Ranking, reason: str) -> str:
    return f" (ranked by {ranked.metric!r}, for {reason})" if reason else ""


def describe_groups(result: "GroupedResult") -> str:
    """The best of each group as a table, with the time below."""
    records = [each.record for each in result.values()]
    ranked, reason = _ranking(records)
    body = table(result, ranked).splitlines() if ranked else []
    lanes = sum(record.diverged.size for record in records)
    lines = {"best": f"none: {reason}" if ranked is None else f"ranked by {ranked.metric!r}, for {reason}"} if reason else {}
    lines |= {"ran": f"{lanes} lanes in {len(result)} groups", "time": _time(result.timings)}
    return "\n".join([f"SweepResult of {len(result)} optimizers", *body, *_indented(lines)])


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
        low, high = text.number(values.min().item()), text.number(values.max().item())
        ranges.append(f"{name} {low} to {high}" if len(values) > 1 else f"{name} {low}")
    return f"{' with '.join(ranges)} ({text.count(record.shape[record.dims.index(dim)], 'value')})"


def _ran(record: SweepRecord) -> str:
    settings, seeds = record.diverged[..., 0].size, len(record.seeds)
    steps = int(record.steps_done.max(initial=0))
    grid = f"{text.count(settings, 'setting')} x {text.count(seeds, 'seed')}"
    return f"{grid} = {text.count(settings * seeds, 'lane')}, {text.count(steps, 'step')} each"


def _time(timings: Timings) -> str:
    speed = f"{timings.lane_steps_per_second:,.0f} lane-steps per second"
    parts = f"compiling {timings.compile_s:.2f} s, running {timings.run_s:.2f} s"
    return f"{timings.total_s:.2f} s ({parts}; {speed})"

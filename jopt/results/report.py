"""Results in words: the repr, the table of the best, the reason why nothing is best."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import scores, text
from .record import SweepRecord, Timings

if TYPE_CHECKING:
    from .groups import GroupedResult
    from .result import At, Mode, SweepResult


class Groups(Protocol):
    """Results by name."""

    def items(self) -> Iterable[tuple[str, "SweepResult"]]:
        """Name and result of each group; the name is empty where there is only one."""
        ...


def has_best(result: "SweepResult", metric: str, mode: str, at: str) -> bool:
    """Whether any setting is fit to be best."""
    return scores.score(result.record, metric, mode, at).best_index() is not None


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


def table(groups: Groups, metric: str, mode: "Mode", at: "At") -> str:
    """The best of each group as aligned text: group, setting, score, diverged lanes."""
    named = dict(groups.items())
    header = ["group", "best", _score_title(metric, at), "diverged"]
    rows = [[name, *_best_cells(result, metric, mode, at), _diverged(result.record)] for name, result in named.items()]
    if list(named) == [""]:
        header, rows = header[1:], [row[1:] for row in rows]
    return text.aligned(header, rows)


def _score_title(metric: str, at: str) -> str:
    return metric if at == "last" else f"{metric} (best step)"


def _best_cells(result: "SweepResult", metric: str, mode: "Mode", at: "At") -> tuple[str, str]:
    if not has_best(result, metric, mode, at):
        return "none", "-"
    trial = result.best(metric, mode, at)
    return text.setting(trial.setting), text.spread(trial.score, trial.spread, len(trial.scores))


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
    if not _scorable(result.record) or not has_best(result, "loss", "min", "last"):
        return "none: no setting has a finite loss at the end"
    setting, score = _best_cells(result, "loss", "min", "last")
    return f"{setting}: loss {score}"


def describe_groups(result: "GroupedResult") -> str:
    """The best of each group as a table, with the time below."""
    records = [each.record for each in result.values()]
    scorable = all(_scorable(record) for record in records)
    body = table(result, "loss", "min", "last").splitlines() if scorable else []
    lanes = sum(record.diverged.size for record in records)
    lines = {"ran": f"{lanes} lanes in {len(result)} groups", "time": _time(result.timings)}
    return "\n".join([f"SweepResult of {len(result)} optimizers", *body, *_indented(lines)])


def _indented(lines: Mapping[str, Any]) -> list[str]:
    return [f"  {name:<8}  {line}" for name, line in lines.items()]


def _scorable(record: SweepRecord) -> bool:
    return "loss" in record.losses and len(record.step) > 0


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

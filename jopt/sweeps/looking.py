"""What the progress says of jobs under way, worked out when somebody wants to see it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jopt.deciding import Hyperband, MedianStop, Pruner, Rung, SuccessiveHalving, TopFraction
from jopt.engine.job import Job
from jopt.engine.lanes.table import State
from jopt.engine.running.reached import Reached
from jopt.results import scores, text
from jopt.results.facts import Best, Facts
from jopt.spaces import Settings
from jopt.sweeps.outcomes import recorded


def facts_of(
    settings: Mapping[str, Settings],
    jobs: Mapping[str, Job],
    groups: Mapping[str, Sequence[str]],
    pruner: Pruner | None,
    rungs: Sequence[int],
    reached: Callable[[], Mapping[str, Reached]],
) -> Callable[[], Facts]:
    """A function that says how far the jobs of each group are.

    ``groups`` has the names of each one's jobs, ``rungs`` are where ``pruner`` decides about them.
    """

    @functools.cache
    def ahead(name: str) -> list[int]:
        return expected(pruner, settings[name].size, jobs[groups[name][0]], rungs)

    def look() -> Facts:
        found = reached()
        to_do: dict[str, float] = {}
        for name, names in groups.items():
            to_do |= _to_do({key: (jobs[key], found[key]) for key in names}, rungs, ahead(name))
        states = np.concatenate([each.states.ravel() for each in found.values()])
        ends = State.DONE, State.PRUNED, State.DEAD, State.AWAY, State.LOST
        done, pruned, dead, away, lost = (int((states == state).sum()) for state in ends)
        return Facts(
            alive=len(states) - done - pruned - dead - away - lost,
            done=done,
            pruned=pruned,
            dead=dead,
            lane_steps=sum(each.records.lane_steps for each in found.values()),
            to_do=sum(to_do.values()),
            run_s=sum(max(0.0, each.total_s - each.compile_s - each.compiling_s) for each in found.values()),
            left_s=_left_s(found, to_do),
            compiling_s=max(each.compiling_s for each in found.values()),
            best=_best(settings, jobs, groups, found),
        )

    return look


def expected(pruner: Pruner | None, settings: int, job: Job, rungs: Sequence[int]) -> list[int]:
    """How many of some settings will be left behind each rung, by a rule of jopt's own, if they keep the order that they have.

    A rule of the user's is not asked about what has not been, and under others it depends on the scores how many are left.
    """
    if pruner is None or type(pruner) not in (TopFraction, SuccessiveHalving, Hyperband, MedianStop):
        return [settings] * len(rungs)
    ranks, running = np.arange(settings, dtype=np.float64)[:, None], np.ones(settings, bool)
    left = []
    for i, rung in enumerate(rungs):
        history = np.broadcast_to(ranks, (i + 1, *ranks.shape))
        asked = Rung(rung - job.first, job.steps - job.first, ranks, running, [{}] * settings, history)
        running = running & pruner.keep(asked)
        left.append(int(running.sum()))
    return left


def _to_do(found: Mapping[str, tuple[Job, Reached]], rungs: Sequence[int], ahead: Sequence[int]) -> dict[str, float]:
    """The lane-steps to come of each job of a group, whose settings compete with each other at the rungs."""
    running = {name: each.running for name, (_, each) in found.items()}
    steps = {name: each.records.steps_done[running[name]] for name, (_, each) in found.items()}
    settings = sum(int(lanes.any(axis=1).sum()) for lanes in running.values())
    if not settings:
        return dict.fromkeys(found, 0.0)
    earliest = min(int(done.min()) for done in steps.values() if len(done))
    passed = int(np.searchsorted(rungs, earliest))  # rungs that lie behind; where lanes wait at one it may be decided or not
    shares = [1.0] * (passed + 1) + [min(1.0, count / settings) for count in ahead[passed:]]
    ends = [*rungs, next(iter(found.values()))[0].steps]
    begins = [0, *rungs]
    return {
        name: float(
            sum(
                share * np.maximum(0, end - np.maximum(done, begin)).sum()
                for share, begin, end in zip(shares, begins, ends, strict=True)
            )
        )
        for name, done in steps.items()
    }


def _left_s(found: Mapping[str, Reached], to_do: Mapping[str, float]) -> float | None:
    """The seconds to come: each job at its own pace; those that have not begun compile, too, and run at that of the others."""
    begun = [each for each in found.values() if each.records.lane_steps]
    ran_s = sum(max(0.0, each.total_s - each.compile_s) for each in begun)
    if not begun or ran_s <= 0:
        return None
    pace = sum(each.records.lane_steps for each in begun) / ran_s
    waiting = sum(1 for name, each in found.items() if to_do[name] and not each.total_s)
    compile_s = waiting * sum(each.compile_s for each in begun) / len(begun)
    return compile_s + sum(to_do[name] / (each.pace or pace) for name, each in found.items())


def _best(
    settings: Mapping[str, Settings],
    jobs: Mapping[str, Job],
    groups: Mapping[str, Sequence[str]],
    found: Mapping[str, Reached],
) -> Best | None:
    """The best setting so far as ``result.best()`` ranks; None where nothing can be ranked."""
    records = {
        name: recorded(settings[name], [jobs[key] for key in names], [found[key].records for key in names], complete=False)
        for name, names in groups.items()
        if any(found[key].records.lane_steps for key in names)
    }
    if not records:
        return None
    try:
        ranked = scores.ranking(records.values(), None, None, None)
    except ValueError:  # nobody said which values are good
        return None
    least, best = math.inf, None
    for name, record in records.items():
        scored = scores.score(record, ranked)
        index = scored.best_index()
        if index is None:
            continue
        mean = float(scored.mean[index])
        rank = mean if ranked.mode == "min" else -mean
        if rank < least:
            setting = text.setting(record.setting(index))
            least, best = rank, Best(rank, f"{name} {setting}" if name else setting, f"{ranked.metric} {mean:.4g}")
    return best

"""What happens where lanes wait for each other: a pruner decides, and callbacks are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jopt.engine.job import Job
from jopt.engine.running.reached import Decision, Reached
from jopt.hyper import check_call
from jopt.results import Progress
from jopt.results.event import Event
from jopt.spaces import Settings
from jopt.sweeps.deciding import Decider
from jopt.sweeps.outcomes import result_so_far, so_far, states_of
from jopt.values import require

Callback = Callable[[Event], Any]

LOOKS = 20  # where nothing is evaluated


def callbacks_of(callbacks: Any) -> tuple[Callback, ...]:
    """The argument ``callbacks`` as functions; ``TypeError`` where they are none."""
    listed = (callbacks,) if callable(callbacks) else callbacks
    made = tuple(require.listed("callbacks", listed, "functions of an event, or one function"))
    for i, callback in enumerate(made):
        if not callable(callback):
            raise TypeError(f"callbacks[{i}] must be a function of an event, but is {require.shown(callback)}.")
        check_call(f"callbacks[{i}]", callback, ("event",))
    return made


def looks_of(
    callbacks: Sequence[Callback], first: int, steps: int, evaluations: np.ndarray, rungs: Sequence[int], record_every: int
) -> tuple[int, ...]:
    """The steps before the last at which callbacks are told: evaluations and rungs; without evaluations twenty equal parts."""
    if not callbacks:
        return ()
    parts = np.linspace(first, steps, LOOKS + 1)[1:].round().astype(int)
    wanted = evaluations if len(evaluations) else -(-parts // record_every) * record_every
    return tuple(sorted({int(step) for step in (*wanted, *rungs) if first < step < steps}))


class Teller:
    """Acts between two steps; what ``engine.running.carry_out`` calls there.

    Args:
      decider: Who stops lanes; None: nobody does.
      callbacks: Who is told.
      jobs: By name.
      settings: Of each group.
      by_step: Whether it is for ``sweep_steps``.
      bar: Makes room for what they write.
      number: Of the round of a search.
      exchange: Called with the names of a group's jobs before it is decided about their lanes: lanes of other processes count.
    """

    def __init__(
        self,
        decider: Decider | None,
        callbacks: Sequence[Callback],
        jobs: Mapping[str, Job],
        groups: Mapping[str, Sequence[str]],
        settings: Mapping[str, Settings],
        by_step: bool,
        bar: Progress,
        number: int,
        exchange: Callable[[Iterable[str]], None] | None = None,
    ) -> None:
        self.exchange = exchange
        self.decider, self.callbacks, self.jobs, self.bar = decider, callbacks, jobs, bar
        self.settings, self.by_step, self.number = settings, by_step, number
        self.groups = list(groups.values())
        self.told: dict[str, tuple[int, int]] = {}  # of each group, when it was told of last, and lane-steps by then

    def decide(self, step: int, found: Mapping[str, Reached]) -> Mapping[str, Decision]:
        """Which lanes of the jobs of a group stop."""
        if self.decider is None:
            return {}
        if self.exchange is not None:
            self.exchange(found)
        with self.bar.aside():
            return self.decider(step, {name: (each.records, each.running_at(step)) for name, each in found.items()})

    def tell(self, step: int, found: Mapping[str, Reached]) -> None:
        """Tells callbacks of a group, unless nothing has run since they were told last and there is more to come."""
        if not self.callbacks:
            return
        group, steps = next(iter(found)).split("/")[0], self.jobs[next(iter(found))].steps
        done = sum(int(np.minimum(each.records.steps_done, step).sum()) for each in found.values())
        since, before = self.told.get(group, (-1, -1))
        if step < steps and (done == before or not sum(each.records.lane_steps for each in found.values())):
            self.told[group] = step, done  # of what an earlier call has trained they were told then
            return
        self.told[group] = step, done
        settings, jobs, reached = self.settings[group], [self.jobs[name] for name in found], list(found.values())
        result = result_so_far(so_far(settings, jobs, reached, step), self.by_step)
        event = Event(step, steps, group or None, states_of(settings, jobs, reached, step), result, since, self.number)
        with self.bar.aside():
            for callback in self.callbacks:
                callback(event)

"""What a kept sweep trains at once, and what a search has asked for in an earlier call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jopt.engine.job import Job
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.store.pieces import Piece
from jopt.engine.lanes.store.store import Store
from jopt.engine.running.writing import Place
from jopt.spaces import Settings
from jopt.sweeps.jobs import Jobs, of_group
from jopt.sweeps.searching import Rounds


class Round(NamedTuple):
    """What is trained at once, and where its lanes stand in the file."""

    settings: Mapping[str, Settings]
    jobs: Jobs
    places: dict[str, Place]
    records: Mapping[str, Records]

    def lanes(self, name: str) -> np.ndarray:
        """The lanes of a group, ``[seeds, settings]``."""
        mine = of_group(self.jobs, name)
        lanes = np.empty((len(self.jobs[mine[0]].seeds), self.settings[name].size), np.int64)
        for key in mine:
            lanes[:, self.jobs[key].space.places] = self.places[key].lanes.T
        return lanes


def asked_before(store: Store, group: str, names: list[str]) -> tuple[int | None, Rounds]:
    """The version of the problem for which settings of a group were asked for last, and the rounds of them.

    ``names`` are those of the parameters: others were asked for something else.
    """
    about = store.problems()
    found: list[tuple[int, Rounds]] = [
        (about[problem]["about"]["version"], sweep["rounds"])
        for problem, sweep in store.sweeps()
        if about[problem]["name"] == group and sweep.get("parameters") == names
    ]
    latest = [rounds for version, rounds in found if version == found[-1][0]]
    return (found[-1][0], max(latest, key=len)) if found else (None, [])


def write_parts_of_windows(store: Store, place: Place, records: Records, mine: Any) -> None:
    """The means of the windows in the midst of which lanes ended, over the steps that ran; ``mine`` are those that ran here."""
    done = records.steps_done
    windows = np.searchsorted(records.record_steps, done, side="right")
    ended = (done < records.steps) & (records.record_every > 1) & (done > records.first) & mine
    for window in np.unique(windows[ended]).tolist():
        here = ended & (windows == window)
        values = {name: x[here][:, window : window + 1].T for name, x in records.losses.items()}
        store.append(place.problem, "records", Piece(place.lanes[here], values, records.record_steps[window : window + 1]))


def setting_of(job: Job, setting: int) -> tuple[Any, Any]:
    """The optimizer of a setting, and the user's own numbers."""
    made = job.space.at(setting)
    return made.optimizer, None if made.hyper is None else made.hyper.tree

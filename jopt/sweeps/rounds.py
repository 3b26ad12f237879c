"""What a kept sweep trains at once, and what a search has asked for in an earlier call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jopt.engine.lanes.records import Records
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

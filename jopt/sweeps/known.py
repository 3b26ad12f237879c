"""What a file knows of problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

from jopt.engine.lanes.store.store import Store
from jopt.results.storage import explained
from jopt.sweeps.problems import Parts


@dataclasses.dataclass(frozen=True)
class Known:
    """Versions of what is trained, each with a problem for each group, and programs of it.

    Attributes:
      numbers: Of each version the problems by group.
      programs: Of each version the programs by group.
      latest: Of each version the last call that asked for it.
      calls: How many there were.
      written_by: The versions of what wrote last.
    """

    numbers: Mapping[int, Mapping[str, int]]
    programs: Mapping[int, Mapping[str, list[Parts]]]
    latest: Mapping[int, int]
    calls: int
    written_by: Mapping[str, str]

    @classmethod
    def of(cls, store: Store) -> Self:
        """Of a file inside a transaction."""
        numbers: dict[int, dict[str, int]] = {}
        programs: dict[int, dict[str, list[Parts]]] = {}
        latest, calls = dict[int, int](), 0
        with explained(store.database.path):
            about, writes = store.problems(), store.writes()
            for problem, sweep in store.sweeps():
                version, name = about[problem]["about"]["version"], about[problem]["name"]
                numbers.setdefault(version, {})[name] = problem
                programs.setdefault(version, {}).setdefault(name, []).extend(sweep["programs"])
                calls = latest[version] = sweep["call"]
        return cls(numbers, programs, latest, calls, writes[-1]["versions"] if writes else {})

    def versions(self) -> list[int]:
        """The one that was used last first."""
        return sorted(self.programs, key=lambda version: -self.latest[version])

    @property
    def next(self) -> int:
        """The number of a further version."""
        return max(self.programs, default=0) + 1

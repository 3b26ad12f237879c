"""``search=`` carried out: a round of settings after the other, by what came of those before."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jopt.kinds import Drawn
from jopt.sweeps.asking import Draws, Study
from jopt.sweeps.deciding import metric_of
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.sweeps.outcomes import Finished, joined, record_of
from jopt.values.numbers import whole

Recorded = Callable[[str], tuple[Sequence[str], Sequence[str]]]  # of a job: names of a step's values, and of evaluations


@dataclasses.dataclass(frozen=True)
class Part:
    """What of a call is trained at once: all of it, or a round of a search.

    Attributes:
      draws: The settings of each group that is searched, and of no other from the second round on; None: there is no search.
      number: Of the round, from 0.
      to_come: Settings of the rounds behind it, of all groups together.
      hear: Called with what jobs record, before anything is trained.
    """

    draws: Mapping[str, Draws] | None = None
    number: int = 0
    to_come: int = 0
    hear: Callable[[Recorded], None] | None = None

    def includes(self, group: str) -> bool:
        """Whether a group is trained: what is not searched is in the first round, as a whole."""
        return self.draws is None or self.number == 0 or group in self.draws


class Searching:
    """A search under way: a study for each group that has drawn axes.

    Args:
      search: What was asked for.
      axes: Of each group its axes, with their names.
      samples: Settings of each group.
      seed: Of the sweep.
      maximize: The metrics that are better the higher they are.
    """

    def __init__(
        self,
        search: OptunaSearch,
        axes: Mapping[str, Sequence[tuple[Any, str]]],
        samples: Any,
        seed: int,
        maximize: Iterable[str],
    ) -> None:
        drawn = {name: each for name, each in axes.items() if any(isinstance(axis, Drawn) for axis, _ in each)}
        if not drawn:
            raise ValueError("search= chooses the values of drawn axes (loguniform, uniform), but there are none.")
        if search.study is not None and len(drawn) > 1:
            raise ValueError(
                f"OptunaSearch: a study is of one optimizer, but {' and '.join(drawn)} are searched; leave study= out, so that "
                f"each has one in memory, or sweep one after the other, each with its study."
            )
        self.search, self.maximize = search, tuple(maximize)
        self.sizes = _sizes(whole("samples", samples), search.batch)
        self.studies = {name: Study(search, name, each, seed) for name, each in drawn.items()}

    def carry_out(self, train: Callable[[Part], Mapping[str, Finished]]) -> dict[str, Finished]:
        """What came of all rounds, by group; ``train`` carries one out."""
        found: dict[str, list[Finished]] = {}
        for number, size in enumerate(self.sizes):
            with self._asked(size) as draws:
                for name, finished in train(
                    Part(draws, number, len(self.studies) * sum(self.sizes[number + 1 :]), self._hear)
                ).items():
                    found.setdefault(name, []).append(finished)
                    if name in self.studies:
                        self.studies[name].tell(record_of(finished))
        return {name: joined(parts) for name, parts in found.items()}

    @contextlib.contextmanager
    def _asked(self, size: int) -> Iterator[dict[str, Draws]]:
        """A round of settings; where it comes to nothing, its trials have failed, so that no study waits for them."""
        try:
            yield {name: study.ask(size) for name, study in self.studies.items()}
        finally:
            for study in self.studies.values():
                study.give_up()

    def _hear(self, recorded: Recorded) -> None:
        for name, study in self.studies.items():
            _, mode = metric_of("search", self.search.metric, self.search.mode, recorded(name), self.maximize)
            study.check(mode)


def _sizes(samples: int, batch: int) -> list[int]:
    """The sizes of rounds: all alike, if there is such a size of more than half a batch; else the last is smaller."""
    if samples <= batch:
        return [samples]
    size = next((n for n in range(batch, batch // 2, -1) if samples % n == 0), batch)
    return [size] * (samples // size) + ([samples % size] if samples % size else [])

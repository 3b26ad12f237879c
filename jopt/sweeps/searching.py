"""``search=`` carried out: a round of settings after the other, by what came of those before."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jopt.kinds import Drawn
from jopt.results.storage import Refused
from jopt.sweeps.asking import Asked, Draws, Study
from jopt.sweeps.deciding import metric_of
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.sweeps.outcomes import Finished, joined, record_of
from jopt.values.numbers import whole

Rounds = Sequence[Sequence[Asked]]
Recorded = Callable[[str], tuple[Sequence[str], Sequence[str]]]  # of a job: names of a step's values, and of evaluations


class Elsewhere(Refused):
    """What an earlier call has asked for was asked for another problem."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What of a call is trained at once: all of it, or a round of a search.

    Attributes:
      draws: The settings of each group that is searched, and of no other from the second round on; None: there is no search.
      number: Of the round, from 0.
      to_come: Settings of the rounds behind it, of all groups together.
      hear: Called with what jobs record, before anything is trained.
      asked: Of each group that is searched the names of its parameters, and all that was asked for until now.
      again: Whether the same was begun before in this call, for lanes that another process has left.
    """

    draws: Mapping[str, Draws] | None = None
    number: int = 0
    to_come: int = 0
    hear: Callable[[Recorded], None] | None = None
    asked: Mapping[str, tuple[list[str], Rounds]] = dataclasses.field(default_factory=dict)
    again: bool = False

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
        self.search, self.maximize, self.samples = search, tuple(maximize), whole("samples", samples)
        self.drawn, self.seed = drawn, seed
        self._begin()

    def _begin(self) -> None:
        self.studies = {name: Study(self.search, name, each, self.seed) for name, each in self.drawn.items()}
        self.before: Mapping[str, Rounds] = {}
        self.sizes = _sizes(self.samples, self.search.batch)

    def goes_on(self, known: Callable[[str, list[str]], Rounds]) -> None:
        """Asks for what an earlier call has asked for, which ``known`` says of a group and the names of its parameters."""
        before = {name: known(name, study.names) for name, study in self.studies.items()}
        each = [list(map(len, rounds)) for rounds in before.values()]
        if all(study.can_be(before[name]) for name, study in self.studies.items()) and all(x == each[0] for x in each):
            self.before, self.sizes = before, _sizes_behind(each[0], self.samples, self.search.batch)

    def carry_out(self, train: Callable[[Part], Mapping[str, Finished]]) -> dict[str, Finished]:
        """What came of all rounds, by group; ``train`` carries one out."""
        try:
            return self._carry_out(train)
        except Elsewhere:
            self._begin()
            return self._carry_out(train)

    def _carry_out(self, train: Callable[[Part], Mapping[str, Finished]]) -> dict[str, Finished]:
        found: dict[str, list[Finished]] = {}
        for number, size in enumerate(self.sizes):
            to_come = len(self.studies) * sum(self.sizes[number + 1 :])
            with self._asked(number, size) as draws:
                asked = {name: (study.names, study.rounds) for name, study in self.studies.items()}
                for name, finished in train(Part(draws, number, to_come, self._hear, asked)).items():
                    found.setdefault(name, []).append(finished)
                    if name in self.studies:
                        self.studies[name].tell(record_of(finished))
        return {name: joined(parts) for name, parts in found.items()}

    @contextlib.contextmanager
    def _asked(self, number: int, size: int) -> Iterator[dict[str, Draws]]:
        """A round of settings; where it comes to nothing, its trials have failed, so that no study waits for them."""
        before = {name: rounds[number] for name, rounds in self.before.items() if number < len(rounds)}
        try:
            yield {name: study.ask(size, before.get(name, ())) for name, study in self.studies.items()}
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


def _sizes_behind(before: list[int], samples: int, batch: int) -> list[int]:
    """The sizes of rounds, of which an earlier call has had some."""
    sizes = _sizes(samples, batch)
    common = min(len(before), len(sizes))
    if before[:common] == sizes[:common]:
        return sizes
    had = [size for i, size in enumerate(before) if sum(before[: i + 1]) <= samples]
    left = samples - sum(had)
    return [*had, *(_sizes(left, batch) if left else [])]

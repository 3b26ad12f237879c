"""``search=``: settings chosen by Optuna, a block after the other, by what came of those before."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jopt.kinds import Choice, Drawn, Grid, same
from jopt.results import scores, studies
from jopt.results.record import SweepRecord
from jopt.sweeps.deciding import metric_of
from jopt.sweeps.outcomes import Finished, joined, record_of
from jopt.values.names import labels
from jopt.values.numbers import Axis, whole

if TYPE_CHECKING:
    import optuna

Draws = Mapping[Axis, Sequence[Any]]  # the values of each axis in the settings of a block
Recorded = Callable[[str], tuple[Sequence[str], Sequence[str]]]  # of a job: names of a step's values, and of evaluations


class OptunaSearch:
    """Lets Optuna choose the settings of a sweep, a block of them at once, by what came of those before.

    For each block the study is asked ``batch`` times, with the trials that it has not heard of yet held to be bad (a *constant
    liar*), so that they do not all ask for the same. The block is trained side by side, and each setting's mean score over
    its seeds is told, with its curve. What ``prune=`` took out is told as pruned. What diverged is told as complete with an
    infinite score (or minus infinity): Optuna's samplers look at complete and pruned trials only, so they would go on to ask
    for what had merely failed. All axes are asked for, choices and grids too, as categories.

    A block has the shape of the one before, so it compiles nothing. Where ``samples`` is no multiple of ``batch``, blocks are
    smaller and of one size if there is such a size of more than half of ``batch``; else the last is smaller. Each value of
    structure (``jopt.choice(False, True)``) is a program of its own, which blocks hold in different numbers, so that more is
    compiled.

    Args:
      sampler: Any sampler of Optuna; by default its TPE, multivariate and with a constant liar, which ``seed=`` of the sweep
        makes reproducible. A sampler is copied before it is used, so that each sweep begins with it as it was given.
      batch: Settings in a block, at least 1. Larger blocks train faster, smaller ones choose better.
      study: A study of yours, which is asked and told instead of a new one in memory; it brings its sampler, and it goes on
        from what it knows already. Its direction must be that of the metric. Its pruner is not asked: give ``prune=``.
      metric: What is told; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ImportError: Without Optuna, an extra: ``jopt[optuna]``.
      TypeError: For a sampler or a study that is none.
      ValueError: For a sampler beside a study, a study of several objectives, and a batch under 1.

    Example:
      >>> rates = jopt.loguniform(1e-3, 1.0)
      >>> search = jopt.OptunaSearch(batch=8)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, samples=16, search=search)
      >>> result.dataset.sizes["learning_rate"]
      16
    """

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler | None = None,
        batch: int = 32,
        study: optuna.study.Study | None = None,
        metric: str | None = None,
        mode: scores.Mode | None = None,
    ) -> None:
        library = studies.library()
        if sampler is not None and not isinstance(sampler, library.samplers.BaseSampler):
            raise TypeError(f"OptunaSearch: sampler must be one of optuna.samplers, such as TPESampler(), but is {sampler!r}.")
        if study is not None and not isinstance(study, library.study.Study):
            raise TypeError(f"OptunaSearch: study must be an optuna.study.Study, but is {study!r}.")
        if study is not None and sampler is not None:
            raise ValueError("OptunaSearch: a study has its sampler; give optuna.create_study(sampler=...), or sampler= alone.")
        if study is not None and len(study.directions) > 1:
            raise ValueError("OptunaSearch: the study has several objectives, but a sweep is told by one metric.")
        if mode not in ("min", "max", None):
            raise ValueError(f"OptunaSearch: mode must be 'min' or 'max', or None for the metric's own, but is {mode!r}.")
        self.sampler, self.study, self.metric, self.mode = sampler, study, metric, mode
        self.batch = whole("OptunaSearch: batch", batch)

    def __repr__(self) -> str:
        given = {name: x for name, x in vars(self).items() if x is not None}
        return f"OptunaSearch({', '.join(f'{name}={x!r}' for name, x in given.items())})"


def search_of(search: Any, samples: Any) -> OptunaSearch | None:
    """The argument ``search``, checked."""
    if search is None:
        return None
    if not isinstance(search, OptunaSearch):
        raise TypeError(f"search must be None or jopt.OptunaSearch(...), but is {search!r}.")
    if samples is None:
        raise ValueError("search= needs samples=, how many settings are tried.")
    return search


@dataclasses.dataclass(frozen=True)
class Part:
    """What of a call is trained at once: all of it, or a block of a search.

    Attributes:
      draws: The settings of each group that is searched, and of no other from the second block on; None: there is no search.
      number: Of the block, from 0.
      count: Of blocks.
      hear: Called with what jobs record, before anything is trained.
    """

    draws: Mapping[str, Draws] | None = None
    number: int = 0
    count: int = 1
    hear: Callable[[Recorded], None] | None = None

    def includes(self, group: str) -> bool:
        """Whether a group is trained: what is not searched is in the first block, as a whole."""
        return self.draws is None or self.number == 0 or group in self.draws

    @property
    def description(self) -> str:
        """A word or two before the bar."""
        return "sweep" if self.draws is None else f"block {self.number + 1} of {self.count}"


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
        self.studies = {name: _Study(search, name, each, seed) for name, each in drawn.items()}

    def carry_out(self, train: Callable[[Part], Mapping[str, Finished]]) -> dict[str, Finished]:
        """What came of all blocks, by group; ``train`` carries one out."""
        found: dict[str, list[Finished]] = {}
        for number, size in enumerate(self.sizes):
            with self._asked(size) as draws:
                for name, finished in train(Part(draws, number, len(self.sizes), self._hear)).items():
                    found.setdefault(name, []).append(finished)
                    if name in self.studies:
                        self.studies[name].tell(record_of(finished))
        return {name: joined(parts) for name, parts in found.items()}

    @contextlib.contextmanager
    def _asked(self, size: int) -> Iterator[dict[str, Draws]]:
        """A block of settings; where it comes to nothing, its trials have failed, so that no study waits for them."""
        try:
            yield {name: study.ask(size) for name, study in self.studies.items()}
        finally:
            for study in self.studies.values():
                study.give_up()

    def _hear(self, recorded: Recorded) -> None:
        for name, study in self.studies.items():
            _, mode = metric_of("search", self.search.metric, self.search.mode, recorded(name), self.maximize)
            study.check(mode)


class _Study:
    """The study of one group.

    One of our own minimizes, whatever the metric: it is asked before anybody knows what is recorded.
    """

    def __init__(self, search: OptunaSearch, group: str, axes: Sequence[tuple[Any, str]], seed: int) -> None:
        self.search, self.whose = search, {studies.GROUP: group} if group else {}
        self.parameters = _parameters(axes)
        self.distributions = {parameter.name: parameter.distribution for parameter in self.parameters}
        self.study = search.study if search.study is not None else _new_study(search, seed)
        self.asked: list[Any] = []

    def ask(self, count: int) -> dict[Axis, list[Any]]:
        """The values of each axis in so many settings."""
        draws: dict[Axis, list[Any]] = {axis: [] for parameter in self.parameters for axis in parameter.axes}
        with studies.quiet():
            for _ in range(count):
                self.asked.append(self.study.ask(self.distributions))
                for parameter in self.parameters:
                    for axis, value in parameter.values(self.asked[-1].params[parameter.name]).items():
                        draws[axis].append(value)
        return draws

    def check(self, mode: str) -> None:
        """Raises where a user's study goes the other way than the metric."""
        wanted = "maximize" if mode == "max" else "minimize"
        if self.search.study is not None and self.study.direction.name.lower() != wanted:
            raise ValueError(
                f"OptunaSearch: the study's direction is {self.study.direction.name.lower()}, but the metric is better "
                f"{'high' if mode == 'max' else 'low'}; give optuna.create_study(direction={wanted!r}), or metric= and mode=."
            )

    def tell(self, record: SweepRecord) -> None:
        """What came of the settings that were asked for."""
        ranked = scores.ranking([record], self.search.metric, self.search.mode, None)
        self.check(ranked.mode)
        sign = -1.0 if self.search.study is None and ranked.mode == "max" else 1.0
        worst = float("-inf") if self.search.study is not None and ranked.mode == "max" else float("inf")
        states = studies.library().trial.TrialState
        for told in studies.told(record, ranked):
            trial = self.asked.pop(0)
            for step, value in told.curve.items():
                trial.report(sign * value, step)
            for name, value in (self.whose | told.attributes).items():
                trial.set_user_attr(name, value)
            if told.state == "pruned":
                self.study.tell(trial, state=states.PRUNED)
            else:
                self.study.tell(trial, worst if told.state == "lost" else sign * told.score)

    def give_up(self) -> None:
        """Nothing will come of what was asked for and has not been told of."""
        while self.asked:
            self.study.tell(self.asked.pop(), state=studies.library().trial.TrialState.FAIL)


def _new_study(search: OptunaSearch, seed: int) -> Any:
    with studies.quiet() as optuna:
        if search.sampler is not None:
            return optuna.create_study(sampler=copy.deepcopy(search.sampler))
        # As Optuna 5 has it by default: the one finds numbers that go together, the other is for asking for several at once.
        return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True))


@dataclasses.dataclass(frozen=True)
class _Parameter:
    """What a study is asked for: the value of one axis, or the place in several that are walked together."""

    name: str
    axes: tuple[Any, ...]
    distribution: Any

    def values(self, suggested: Any) -> dict[Axis, Any]:
        """The value of each axis."""
        if isinstance(self.axes[0], Drawn):
            return {self.axes[0]: suggested}
        place = next(i for i, choice in enumerate(self.distribution.choices) if same(choice, suggested))
        return {axis: axis.values[place] for axis in self.axes}


def _parameters(axes: Sequence[tuple[Any, str]]) -> list[_Parameter]:
    groups: dict[Any, list[tuple[Any, str]]] = {}
    for axis, name in axes:
        groups.setdefault(axis if isinstance(axis, Drawn) else axis.group, []).append((axis, name))
    together = [([axis for axis, _ in each], each[0][1]) for each in groups.values()]
    return [_Parameter(name, tuple(members), _distribution(members)) for members, name in together]


def _distribution(axes: Sequence[Drawn | Grid | Choice]) -> Any:
    first = axes[0]
    if isinstance(first, Drawn):
        return studies.Range(*first.values, first.whole, first.log).distribution()
    shown = [labels(axis.values).tolist() for axis in axes if not isinstance(axis, Drawn)]
    return studies.categories(shown[0] if len(shown) == 1 else [", ".join(map(str, each)) for each in zip(*shown, strict=True)])


def _sizes(samples: int, batch: int) -> list[int]:
    """The sizes of blocks: all alike, if there is such a size of more than half a batch; else the last is smaller."""
    if samples <= batch:
        return [samples]
    size = next((n for n in range(batch, batch // 2, -1) if samples % n == 0), batch)
    return [size] * (samples // size) + ([samples % size] if samples % size else [])

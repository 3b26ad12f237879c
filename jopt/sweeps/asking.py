"""A study of Optuna that is asked for settings, and told what came of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jopt.expanding import sobol
from jopt.kinds import Drawn, same
from jopt.results import scores, studies
from jopt.results.record import SweepRecord
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.values.names import labels
from jopt.values.numbers import Axis

Draws = Mapping[Axis, Sequence[Any]]  # the values of each axis in the settings of a round


class Study:
    """The study of one group.

    One of our own minimizes, whatever the metric: it is asked before anybody knows what is recorded.
    """

    def __init__(self, search: OptunaSearch, group: str, axes: Sequence[tuple[Any, str]], seed: int) -> None:
        self.search, self.whose = search, {studies.GROUP: group} if group else {}
        self.parameters = _parameters(axes)
        self.study = search.study if search.study is not None else _new_study(search, seed)
        self.begins = search.study is None and search.sampler is None
        self.seed = seed
        self.asked: list[Any] = []

    def ask(self, count: int) -> dict[Axis, list[Any]]:
        """The values of each axis in so many settings."""
        draws: dict[Axis, list[Any]] = {axis: [] for parameter in self.parameters for axis in parameter.axes}
        with studies.quiet():
            if self.begins:
                self._begin(count)
            for _ in range(count):
                trial = self.study.ask()
                self.asked.append(trial)
                for parameter in self.parameters:
                    for axis, value in self._value(parameter, trial).items():
                        draws[axis].append(value)
        return draws

    def _begin(self, count: int) -> None:
        """The first settings are those that are drawn without a search, which cover the space more evenly than TPE begins.

        The median of the lowest of 64 values, over twelve quadratics of four numbers, in rounds of 16 and of 32: .010 and .017;
        of TPE alone .020 and .040, of Sobol points alone .038.
        """
        for point in sobol(len(self.parameters), count, self.seed):
            values = zip(self.parameters, point, strict=True)
            self.study.enqueue_trial({parameter.name: parameter.at(u) for parameter, u in values})
        self.begins = False

    def _value(self, parameter: Parameter, trial: Any) -> dict[Axis, Any]:
        try:
            return parameter.asked(trial)
        except ValueError as error:
            error.add_note(
                f"jopt: the study knows {parameter.name!r} as another kind of number; give the axis another name=, or another "
                f"study."
            )
            raise

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
class Parameter:
    """What a study is asked for: the value of one axis, or the place in several that are walked together."""

    name: str
    axes: tuple[Any, ...]
    choices: tuple[Any, ...]  # as a study knows them; of a drawn axis none

    @classmethod
    def of(cls, axes: Sequence[Any], name: str) -> Parameter:
        """The one for axes that are walked together, or a single one."""
        if isinstance(axes[0], Drawn):
            return cls(name, tuple(axes), ())
        shown = [labels(axis.values).tolist() for axis in axes]
        together = [", ".join(map(str, each)) for each in zip(*shown, strict=True)]
        return cls(name, tuple(axes), tuple(shown[0] if len(shown) == 1 else together))

    def at(self, u: float) -> Any:
        """The value for a point of the unit interval, as a study knows it."""
        if not self.choices:
            return self.axes[0].at(np.array([u]))[0]
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def asked(self, trial: Any) -> dict[Axis, Any]:
        """The value of each axis in a trial."""
        if not self.choices:
            (axis,) = self.axes
            suggest = trial.suggest_int if axis.whole else trial.suggest_float
            return {axis: suggest(self.name, *axis.values, log=axis.log)}
        chosen = trial.suggest_categorical(self.name, self.choices)
        place = next(i for i, choice in enumerate(self.choices) if same(choice, chosen))
        return {axis: axis.values[place] for axis in self.axes}


def _parameters(axes: Sequence[tuple[Any, str]]) -> list[Parameter]:
    groups: dict[Any, list[tuple[Any, str]]] = {}
    for axis, name in axes:
        groups.setdefault(axis if isinstance(axis, Drawn) else axis.group, []).append((axis, name))
    return [Parameter.of([axis for axis, _ in each], each[0][1]) for each in groups.values()]

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
Asked = list[float]  # a setting: of each parameter its number, or which of the choices it is


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
        self.asked: list[Any] = []  # trials, or settings of an earlier call, that are to be told of
        self.rounds: list[list[Asked]] = []

    @property
    def names(self) -> list[str]:
        """Of the parameters."""
        return [parameter.name for parameter in self.parameters]

    def ask(self, count: int, before: Sequence[Asked] = ()) -> dict[Axis, list[Any]]:
        """The values of each axis in so many settings; ``before`` are those that an earlier call has asked for here.

        A study of our own is asked all the same: a sampler that has a seed asks for the same again, and is then where it was.
        A study of the user's may know some of these settings from then.
        """
        with studies.quiet():
            if self.begins:
                self._begin(count)
            made = [] if before and self.search.study is not None else [self._ask() for _ in range(count)]
            if before and made != list(before):
                self.give_up()
                made = [self._again(setting) for setting in before]
        self.rounds.append(made)
        draws: dict[Axis, list[Any]] = {axis: [] for parameter in self.parameters for axis in parameter.axes}
        for setting in made:
            for parameter, asked in zip(self.parameters, setting, strict=True):
                for axis, value in parameter.values(asked).items():
                    draws[axis].append(value)
        return draws

    def _ask(self) -> Asked:
        trial = self.study.ask()
        self.asked.append(trial)
        return [self._value(parameter, trial) for parameter in self.parameters]

    def _again(self, setting: Asked) -> Asked:
        """A setting of an earlier call: nobody is asked for it, and who knows what came of it is not told."""
        known = {each.name: each.known(asked) for each, asked in zip(self.parameters, setting, strict=True)}
        states = studies.library().trial.TrialState
        there = self.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
        self.asked.append(None if any(known.items() <= trial.params.items() for trial in there) else known)
        return setting

    def can_be(self, rounds: Sequence[Sequence[Asked]]) -> bool:
        """Whether the settings of an earlier call are settings of these parameters."""
        return all(
            len(setting) == len(self.parameters)
            and all(each.can_be(asked) for each, asked in zip(self.parameters, setting, strict=True))
            for settings in rounds
            for setting in settings
        )

    def _begin(self, count: int) -> None:
        """The first settings are those that are drawn without a search, which cover the space more evenly than TPE begins.

        The median of the lowest of 64 values, over twelve quadratics of four numbers, in rounds of 16 and of 32: .010 and .017;
        of TPE alone .020 and .040, of Sobol points alone .038.
        """
        for point in sobol(len(self.parameters), count, self.seed):
            values = zip(self.parameters, point, strict=True)
            self.study.enqueue_trial({parameter.name: parameter.at(u) for parameter, u in values})
        self.begins = False

    def _value(self, parameter: Parameter, trial: Any) -> float:
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
        for told in studies.told(record, ranked):
            trial = self.asked.pop(0)
            curve = {step: sign * value for step, value in told.curve.items()}
            pruned, attributes = told.state == "pruned", self.whose | told.attributes
            score = worst if told.state == "lost" else sign * told.score
            if isinstance(trial, dict):
                self._add(trial, curve, attributes, None if pruned else score)
            elif trial is not None:
                for step, value in curve.items():
                    trial.report(value, step)
                for name, value in attributes.items():
                    trial.set_user_attr(name, value)
                states = studies.library().trial.TrialState
                self.study.tell(trial, state=states.PRUNED) if pruned else self.study.tell(trial, score)

    def _add(self, known: Mapping[str, Any], curve: Mapping[int, float], attributes: Any, score: float | None) -> None:
        """What came of a setting that nobody was asked for; a score of None: it was pruned."""
        kinds = studies.library().trial
        pruned = kinds.TrialState.PRUNED, next(reversed(list(curve.values())), None)
        state, value = pruned if score is None else (kinds.TrialState.COMPLETE, score)
        more = {"intermediate_values": curve, "user_attrs": attributes}
        distributions = {each.name: each.distribution() for each in self.parameters}
        made = kinds.create_trial(state=state, value=value, params=dict(known), distributions=distributions, **more)
        self.study.add_trial(made)

    def give_up(self) -> None:
        """Nothing will come of what was asked for and has not been told of."""
        while self.asked:
            trial = self.asked.pop()
            if trial is not None and not isinstance(trial, dict):
                self.study.tell(trial, state=studies.library().trial.TrialState.FAIL)


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

    def asked(self, trial: Any) -> float:
        """The number in a trial, or which of the choices it has."""
        if not self.choices:
            (axis,) = self.axes
            suggest = trial.suggest_int if axis.whole else trial.suggest_float
            number: float = suggest(self.name, *axis.values, log=axis.log)
            return number
        chosen = trial.suggest_categorical(self.name, self.choices)
        return next(i for i, choice in enumerate(self.choices) if same(choice, chosen))

    def values(self, asked: float) -> dict[Axis, Any]:
        """The value of each axis."""
        return {axis: axis.values[int(asked)] if self.choices else asked for axis in self.axes}

    def known(self, asked: float) -> Any:
        """The value as a study knows it."""
        return self.choices[int(asked)] if self.choices else asked

    def can_be(self, asked: float) -> bool:
        """Whether it may have been asked for."""
        low, high = (0, len(self.choices) - 1) if self.choices else self.axes[0].values
        return bool(low <= asked <= high)

    def distribution(self) -> Any:
        """As Optuna has it."""
        if self.choices:
            return studies.categories(self.choices)
        (axis,) = self.axes
        low, high = axis.values
        return studies.Range(low, high, axis.whole, axis.log).distribution()


def _parameters(axes: Sequence[tuple[Any, str]]) -> list[Parameter]:
    groups: dict[Any, list[tuple[Any, str]]] = {}
    for axis, name in axes:
        groups.setdefault(axis if isinstance(axis, Drawn) else axis.group, []).append((axis, name))
    return [Parameter.of([axis for axis, _ in each], each[0][1]) for each in groups.values()]

"""What the results of one optimizer and of several have in common."""

from __future__ import annotations

import abc
import copy
import html
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from jopt.engine.files import AnyPath
from jopt.results import page, report, scores, storage, studies, tables, tensorboard, text
from jopt.results.finding import find
from jopt.results.record import SweepRecord, Timings
from jopt.results.scores import At, Mode
from jopt.results.trial import Swept, Trial, best_trial, top_trials, trial_at
from jopt.values import require
from jopt.values.numbers import whole

if TYPE_CHECKING:
    import optuna
    import pandas as pd


class Result(abc.ABC):
    """What every sweep returns: a ``SweepResult``, or a ``GroupedResult`` of several optimizers."""

    @abc.abstractmethod
    def _parts(self) -> Mapping[str, Swept]:
        """What was swept, by the names of the groups; a result of one optimizer is its own part, without a name."""

    @property
    @abc.abstractmethod
    def dataset(self) -> Any:
        """Everything recorded, labelled."""

    @property
    @abc.abstractmethod
    def timings(self) -> Timings:
        """Where the time of the sweep went."""

    def _records(self) -> dict[str, SweepRecord]:
        return {name: part.record for name, part in self._parts().items()}

    @property
    def complete(self) -> bool:
        """Whether every lane has come to its end: False in a ``partial_result``, and in what callbacks are told."""
        return all(record.complete for record in self._records().values())

    def best(self, metric: str | None = None, mode: Mode | None = None, at: At | None = None) -> Trial:
        """The best setting: mean over seeds of a score, diverged settings left out.

        The score of a seed is the last evaluation of a metric, or with ``at="best"`` its best one after the first step. The
        training loss, or an auxiliary value of it, is a mean over a tenth of the run, never the loss of one minibatch: over
        the last tenth, or with ``at="best"`` over the best of ten consecutive ones (a run of at most ten steps has tenths of
        one step). A setting of which any seed diverged, or scored no finite number, is never best. Of equal settings the
        first in grid order is taken. Of several optimizers all are looked at, and ``Trial.group`` says whose setting it is.

        Args:
          metric: A metric of ``evaluate``, "loss", or an auxiliary value of the loss; ``None`` for the first metric of
            ``evaluate`` (under ``jax.jit`` a function returns its dictionary sorted), without one the training loss.
          mode: "min" or "max": which values are good; ``None``: as ``jopt.metrics(..., maximize=...)`` declared, else "min".
          at: "last" or "best"; ``None``: "best" where the sweep kept the best parameters, with ``keep="best"``, else "last".

        Returns:
          The setting as a ``Trial``.

        Raises:
          ValueError: For a metric that there is not, where every setting diverged, where groups would be ranked by different
            metrics, and where nobody said whether a metric is better high or low whose name holds accuracy, acc, score, f1,
            auc, reward or return, as in "val_accuracy".
        """
        ranked = scores.ranking(self._records().values(), metric, mode, at)
        found = [best_trial(part, ranked, name or None) for name, part in self._parts().items()]
        trials = [trial for trial in found if trial is not None]
        if not trials:
            raise ValueError(report.no_best(self._records(), ranked.metric))
        pick = min if ranked.mode == "min" else max
        return pick(trials, key=lambda trial: trial.score)

    def top(self, n: int, metric: str | None = None, mode: Mode | None = None, at: At | None = None) -> list[Trial]:
        """The n best settings, the best first, as ``best`` ranks them.

        Of equal settings the first in grid order stands first; of several optimizers all settings are ranked together, equal
        ones in the order of the groups.

        Args:
          n: How many, at least 1.
          metric: What to score, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          The settings as ``Trial``s: fewer than n where fewer are fit to be ranked (none of whose seeds diverged, or scored no
          finite number), and none where none is.

        Raises:
          ValueError: As ``best``, but for the case that every setting diverged, and for an n that is no whole number above 0.
        """
        n = whole("top: n", n)
        ranked = scores.ranking(self._records().values(), metric, mode, at)
        found = [trial for name, part in self._parts().items() for trial in top_trials(part, ranked, n, name or None)]
        return sorted(found, key=lambda trial: trial.score if ranked.mode == "min" else -trial.score)[:n]

    def trial(
        self,
        setting: Any,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        group: str | None = None,
    ) -> Trial:
        """Any setting as a ``Trial``, also one that is not the best: to look at, or to go on from.

        Args:
          setting: What was swept in it, by name, as in ``Trial.setting``, as far as that tells it from the others (numbers to
            six digits; a part of a path will do as a name); or its position in the grid.
          metric: What to score, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.
          group: Whose setting it is, in a sweep of several optimizers.

        Returns:
          The setting as a ``Trial``; the score of one that diverged, or was pruned, is what it had come to.

        Raises:
          ValueError: For a setting or a group that there is not, for a setting that is not told from others; and as ``best``.

        Example:
          >>> rates = jopt.geomspace(0.01, 1.0, 3)
          >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
          >>> result.trial({"learning_rate": 0.01}).index
          (0,)
        """
        parts = self._parts()
        part = parts[require.one_of("trial: group", group, [name or None for name in parts]) or ""]
        return trial_at(part, scores.ranking([part.record], metric, mode, at), find("trial", part, setting), group)

    def table(self, metric: str | None = None, mode: Mode | None = None, at: At | None = None) -> str:
        """The best setting, its score and the diverged lanes, as aligned plain text.

        Args:
          metric: What to score, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          The lines: a header, a rule, and a row for each optimizer.

        Raises:
          ValueError: As ``best``, but for the case that every setting diverged.
        """
        records = self._records()
        return text.printable(report.table(records, scores.ranking(records.values(), metric, mode, at)))

    def to_pandas(self, metric: str | None = None, kind: Literal["final", "curves"] = "final") -> pd.DataFrame:
        """The result as a long table.

        Args:
          metric: One metric only; ``None`` for all.
          kind: "final": a row per setting and seed, with the last value of each metric, diverged_at,
            pruned_at and steps_done. "curves": a row per setting, seed, time and metric, with columns step,
            metric and value.

        Returns:
          A ``pandas.DataFrame``, a column per swept hyperparameter first. Of several optimizers the rows stand below each
          other, with a column ``group`` in front; a hyperparameter that a group did not sweep is NaN in its rows.

        Raises:
          ValueError: For a metric or a kind that there is not.
        """
        require.one_of("kind", kind, ("final", "curves"))
        if metric is not None:
            require.text("metric", metric, ", the name of what was recorded")
        return tables.frame(self._records(), metric, kind)

    def to_tensorboard(self, directory: AnyPath) -> None:
        """Writes the result as runs for TensorBoard: ``tensorboard --logdir directory``.

        A setting is a run with the name of its numbers, "learning_rate=0.01,b1=0.9", of several optimizers below the name of
        its group, and with several seeds a run for each below that: ".../seed=0". Scalars are all recorded curves, up to where
        a lane ended. The HParams table has the swept numbers (and ``group``) and for each recorded value its last score,
        "final/loss", as ``best`` ranks them: of the training loss the mean over the last tenth. It averages seeds, shows
        settings that diverged as failed, and like those that were pruned without a score.

        Args:
          directory: A new or an empty directory. It needs tensorboardX, ``python -m pip install "jopt[tensorboard]"``, and no
            TensorFlow or PyTorch.

        Raises:
          FileExistsError: For a directory with something in it.
          ImportError: Without tensorboardX.

        Example:
          >>> rates = jopt.choice(0.01, 0.1)
          >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
          >>> result.to_tensorboard("runs")
          >>> import pathlib
          >>> sorted(run.name for run in pathlib.Path("runs").iterdir() if run.is_dir())
          ['learning_rate=0.01', 'learning_rate=0.1']
        """
        tensorboard.write(self._records(), directory)

    def to_optuna(self, metric: str | None = None, mode: Mode | None = None, at: At | None = None) -> optuna.study.Study:
        """The result as a study of Optuna in memory, a trial for each setting, for its pictures, importances and dashboard.

        A trial has the numbers that were swept with the ranges that they had, its score (the mean over seeds) and its curve at
        the evaluations, of a training loss at twenty parts of the run. What was pruned is pruned, and so is what was left
        behind where another one went on; what diverged has failed, and so has what had not come to its end when the sweep was
        stopped. ``user_attrs`` hold the ``scores`` of the seeds, their ``spread``, ``diverged_at``, ``pruned_at``,
        ``left_at``, ``stopped_at``, and the ``index`` of the setting in the grid. Several optimizers make one study with a
        parameter ``group``; a number that several of them have gets the same range in all.

        Args:
          metric: What to score, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          An ``optuna.study.Study``; ``optuna.copy_study`` puts it into a storage that a dashboard reads.

        Raises:
          ImportError: Without Optuna, an extra: ``jopt[optuna]``.
          ValueError: As ``best``, but for the case that every setting diverged.
        """
        study: optuna.study.Study = studies.to_study(self._parts(), metric, mode, at)
        return study

    def save(self, path: AnyPath) -> None:
        """Writes the result to one file, which ``jopt.load_result`` reads back.

        The file is an SQLite database that holds numbers, names and arrays, each with a digest of its own, and no pickle:
        loading one runs nothing. Optimizers and schedules of jopt's and of Optax's (lifted) are stored by name with their
        arguments, trees by their keys; see ``jopt.load_result`` for what comes back of the rest. The file appears whole or
        not at all, and is on the disk when this returns: until then it has a name of its own, in the same directory.

        Args:
          path: The name of the file, used exactly.

        Raises:
          OSError: Where it can't be written: no such directory, no right to, a full disk.
        """
        storage.save(storage.stored_of(self), path)

    def report(self, path: AnyPath, metric: str | None = None, mode: Mode | None = None, at: At | None = None) -> pathlib.Path:
        """Writes one page for a browser: the answer, a table of all settings, charts that are linked with it, how it ran.

        The page is one file, below 5 MB, and asks for nothing from elsewhere, so that it opens offline and can be sent. On top
        stands what ``suggest()`` says, or the best setting where no number was swept, and the code that makes the best
        optimizer; of several optimizers follows what ``compare()`` says. The table sorts and filters; what is pointed at there
        or in a chart is marked in both. Long curves are thinned, which the page says. It needs ``jopt[report]``.
        The file appears whole or not at all.

        Args:
          path: The name of the file, such as "report.html".
          metric: What ranks, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          The path.

        Raises:
          ValueError: As ``best``, but for the case that every setting diverged, of which the page is then.
          OSError: Where the file can not be written.
          ImportError: Where plotly or jinja2 is missing.

        Example:
          >>> rates = jopt.geomspace(0.01, 1.0, 7)
          >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
          >>> result.report("report.html").name
          'report.html'
        """
        ranked = scores.ranking(self._records().values(), metric, mode, at)
        return page.write(self._parts(), ranked, path, self._compared(ranked))

    def _compared(self, ranked: scores.Ranking) -> str | None:
        """A comparison of the parts, as HTML; None where there is nothing to compare."""
        return None

    def __copy__(self) -> Self:
        """A result of the same objects; the dataset is made again when it is asked for."""
        made = object.__new__(type(self))
        vars(made).update({name: part for name, part in vars(self).items() if name != "dataset"})
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A result of copied objects; a pickle would not do, since not every optimizer has one."""
        made = copy.copy(self)
        memo[id(self)] = made
        vars(made).update(copy.deepcopy(vars(made), memo))
        return made

    def _repr_html_(self) -> str:
        # xarray's own table folds; the lines above it are what one wants first.
        table = self.dataset._repr_html_()
        return f"<pre>{html.escape(repr(self))}</pre>{table}"

"""The result of a sweep of several optimizers: one result each, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jopt.results import report, scores, text
from jopt.results.base import Result
from jopt.results.comparison import Comparison, compare
from jopt.results.naming import is_rate
from jopt.results.plots import GroupPlots
from jopt.results.record import Saved, SweepRecord, Timings
from jopt.results.result import SweepResult
from jopt.results.scores import At, Mode
from jopt.results.suggestion import Suggestion, suggest
from jopt.results.trial import best_trial
from jopt.values import require
from jopt.values.names import check_groups, in_tree

if TYPE_CHECKING:
    import xarray as xr


class GroupedResult(Result, Mapping[str, SweepResult]):
    """What a sweep of several optimizers returns: a ``SweepResult`` of each, by name.

    It reads like a dictionary (``result["adam"]``, ``len``, iteration over names), and ``best``, ``table``, ``to_pandas``,
    ``plot`` and ``save`` are of all groups. ``dataset`` is an ``xarray.DataTree`` with a node per group; what belongs to one
    optimizer (``record``, ``plan``, ``optimizer``, ``params``) is a dictionary by name.

    Args:
      groups: Name -> the result of that optimizer.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> optimizers = {"sgd": jopt.sgd(rates), "adam": jopt.adam(rates)}
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), optimizers, steps=5, progress=False)
      >>> list(result), result.best().group in result
      (['sgd', 'adam'], True)
    """

    def __init__(self, groups: Mapping[str, SweepResult]) -> None:
        if not isinstance(groups, Mapping):
            raise TypeError(f"GroupedResult: groups must be a dict of results by name, but got {require.shown(groups)}.")
        check_groups(groups)
        for name, result in groups.items():
            if not isinstance(result, SweepResult):
                raise TypeError(f"GroupedResult: groups[{name!r}] must be a SweepResult, but got {require.shown(result)}.")
        self._groups = dict(groups)

    def _parts(self) -> dict[str, SweepResult]:
        return self._groups

    def __getitem__(self, name: str) -> SweepResult:
        """The result of one group."""
        if not isinstance(name, str) or name not in self._groups:
            raise KeyError(f"There is no group {require.shown(name)}; the groups are {', '.join(self._groups)}.")
        return self._groups[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the groups."""
        return iter(self._groups)

    def __len__(self) -> int:
        """The number of groups."""
        return len(self._groups)

    @property
    def record(self) -> dict[str, SweepRecord]:
        """Name -> the arrays of that group."""
        return {name: result.record for name, result in self.items()}

    @property
    def plan(self) -> dict[str, Any]:
        """Name -> how that group ran."""
        return {name: result.plan for name, result in self.items()}

    @property
    def saved(self) -> Saved:
        """What pruning saved in all groups."""
        return Saved(*(sum(each) for each in zip(*(result.saved for result in self.values()), strict=True)))

    def suggest(
        self, name: str | None = None, metric: str | None = None, mode: Mode | None = None, at: At | None = None
    ) -> Suggestion:
        """Which value of a number to use in the group that is best; see ``SweepResult.suggest``.

        Args:
          name: Of the number, as there.
          metric: What is scored, as there.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          A ``Suggestion``; ``.trial.group`` says whose.
        """
        group = self.best(metric, mode, at).group
        assert group is not None
        return suggest(self[group], name, metric, group, mode, at)

    def zoom(
        self, factor: float = 4, metric: str | None = None, mode: Mode | None = None, at: At | None = None
    ) -> dict[str, Any]:
        """The optimizers with narrower axes, each around its own best setting, to be swept next; see ``SweepResult.zoom``.

        Args:
          factor: How much narrower, above 1.
          metric: What ranks, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          Name -> optimizer. A sweep of them compiles nothing new.

        Raises:
          ValueError: As ``SweepResult.zoom``, for the first group that it is raised for.
        """
        ranked = scores.ranking(self._records().values(), metric, mode, at)
        return {name: result.zoom(factor, *ranked) for name, result in self.items()}

    @property
    def timings(self) -> Timings:
        """Seconds and lane-steps, summed over the groups; the groups ran one after the other."""
        every = [result.timings for result in self.values()]
        return Timings(
            compile_s=sum(t.compile_s for t in every),
            run_s=sum(t.run_s for t in every),
            total_s=sum(t.total_s for t in every),
            lane_steps=sum(t.lane_steps for t in every),
        )

    @property
    def version(self) -> str:
        """The version of jopt that ran the sweep."""
        return next(iter(self.values())).version

    @property
    def optimizer(self) -> dict[str, Any]:
        """Name -> the optimizer value with its axes."""
        return {name: result.optimizer for name, result in self.items()}

    @property
    def params(self) -> dict[str, Any]:
        """Name -> trained parameters, leaves [*dims, seed, ...]."""
        return {name: result.params for name, result in self.items()}

    @property
    def state(self) -> dict[str, Any]:
        """Name -> the optimizers' states, leaves [*dims, seed, ...], where they were kept."""
        return {name: result.state for name, result in self.items()}

    def concat(self, other: GroupedResult) -> GroupedResult:
        """This result and another of the same problem in one: groups of one name as ``SweepResult.concat``, all others beside.

        Args:
          other: Another result of several optimizers.

        Returns:
          The result of both.

        Raises:
          TypeError: For what is no ``GroupedResult``.
          ValueError: Where groups of one name do not fit together.
        """
        if not isinstance(other, GroupedResult):
            raise TypeError(
                f"concat of a GroupedResult takes another one, but got {type(other).__name__}; one group is joined by "
                f"result[name].concat(other)."
            )
        both = {name: result.concat(other[name]) if name in other else result for name, result in self.items()}
        return GroupedResult(both | {name: result for name, result in other.items() if name not in both})

    @cached_property
    def dataset(self) -> xr.DataTree:
        """An ``xarray.DataTree`` with one node per group, each as ``SweepResult.dataset``, "/" in names written "."."""
        import xarray as xr

        nodes = {name: _for_tree(result.dataset) for name, result in self.items()}
        return xr.DataTree.from_dict(nodes, name="jopt sweep")

    def compare(
        self,
        metric: str | None = None,
        mode: Mode | None = None,
        at: At | None = None,
        *,
        against: str | None = None,
        confidence: float = 0.95,
    ) -> Comparison:
        """The optimizers beside one of them, each at its own best setting, with an interval for each difference of scores.

        ``d = mean(scores) − mean(scores of the other)``. Where two groups have the same seeds, which is so in every sweep,
        scores are paired by seed, because equal seeds share initial parameters and batches: ``d ± t · sd(dᵢ) / √n`` over the n
        differences. Else the interval is Welch's, for two independent samples of unequal variance.

        The interval is for the mean difference *of these two settings* over all seeds: of a hundred such intervals of 95 %,
        some 95 hold it. It speaks of seeds, not of other data or models. The settings were chosen by the scores of the very
        seeds that are compared, so each score is a little better than it will be with others: where the difference is small,
        train the best settings again with new seeds. Intervals of several groups are not widened for being several. Where the
        best value of a number is the first or the last of its axis, a better one may lie beyond, and ``warnings`` say so.

        Args:
          metric: What to score, as in ``best``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.
          against: The group that the others are compared with; by default the best one.
          confidence: Of the intervals, in (0, 1).

        Returns:
          The comparison: its ``str()`` is a table with its warnings, ``differences`` has the numbers, and ``to_pandas()`` a
          frame. With one seed there is a difference and no interval, and the table says so.

        Raises:
          ValueError: As ``best``; for an ``against`` that is no group, or none of whose settings is fit to be ranked, and for a
            confidence out of its range.

        Example:
          >>> rates = jopt.geomspace(0.01, 1.0, 3)
          >>> optimizers = {"sgd": jopt.sgd(rates), "adam": jopt.adam(rates)}
          >>> init = lambda key: jax.random.normal(key, (2,))
          >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), init, optimizers, steps=5, seeds=3, progress=False)
          >>> comparison = result.compare()
          >>> comparison.against, comparison.differences["adam"].how
          ('sgd', 'paired over 3 seeds')
        """
        if against is not None and not (isinstance(against, str) and against in self):
            raise ValueError(f"compare: against must be a group, one of {', '.join(self)}, but is {require.shown(against)}.")
        confidence = require.between("compare: confidence", confidence, 0.0, 1.0)
        ranked = scores.ranking(self._records().values(), metric, mode, at)
        trials = {name: best_trial(part, ranked, name) for name, part in self.items()}
        needed = trials if against is None else {against: trials[against]}
        if not any(needed.values()):
            raise ValueError(report.no_best({name: self[name].record for name in needed}, ranked.metric))
        return compare(trials, ranked, against, confidence)

    def _compared(self, ranked: scores.Ranking) -> str | None:
        try:
            return self.compare(*ranked)._repr_html_() if len(self) > 1 else None
        except ValueError:  # no setting is best
            return None

    @property
    def plot(self) -> GroupPlots:
        """Pictures: ``.compare()`` in one axes, ``.curves()`` with a panel per group."""
        return GroupPlots(self.record, lambda group, name: is_rate(self[group], name))

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the groups."""
        return {"_groups": self._groups}

    def __repr__(self) -> str:
        """A table of the best of each group, and the time."""
        return text.printable(report.describe_groups(self.record, self.timings))


def _for_tree(dataset: xr.Dataset) -> xr.Dataset:
    names = {str(name) for name in (*dataset.dims, *dataset.variables)}
    return dataset.rename({name: in_tree(name) for name in names if in_tree(name) != name})

"""The result of a sweep of several optimizers: one result each, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from . import report, scores, storage, text
from .plots import GroupPlots
from .record import SweepRecord, Timings, in_tree
from .result import SweepResult
from .scores import At, Mode
from .trial import Trial, best_trial

if TYPE_CHECKING:
    import os

    import pandas as pd
    import xarray as xr


def check_group_names(names: Mapping[str, Any]) -> None:
    """Raises unless the names can label the groups of a result.

    Raises:
      ValueError: if there is no name, or one is empty, holds a "/" or is no string.
    """
    if not names:
        raise ValueError("a dictionary of optimizers must hold at least one, but it is empty")
    for name in names:
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise ValueError(f"the group name {name!r} must be a non-empty string without '/'")


class GroupedResult(SweepResult, Mapping[str, SweepResult]):
    """What `jopt.sweep` returns for a dictionary of optimizers: a SweepResult of each, by name.

    It reads like a dictionary (`result["adam"]`, `len`, iteration over names) and answers like a
    SweepResult: `best` looks at all groups, `dataset` is an `xarray.DataTree` with a node per
    group, `to_pandas` has a column `group`, and what belongs to one optimizer (`record`, `plan`,
    `optimizer`, `params`) is a dictionary by name.

    Args:
      groups: name -> the result of that optimizer.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> optimizers = {"sgd": jopt.sgd(rates), "adam": jopt.adam(rates)}
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), optimizers, steps=5, progress=False)
      >>> list(result), result.best().group in result
      (['sgd', 'adam'], True)
    """

    def __init__(self, groups: Mapping[str, SweepResult]) -> None:
        check_group_names(groups)
        self._groups = dict(groups)

    def __getitem__(self, name: str) -> SweepResult:
        """The result of one group."""
        if name not in self._groups:
            raise KeyError(f"there is no group {name!r}: the groups are {', '.join(self._groups)}")
        return self._groups[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the groups."""
        return iter(self._groups)

    def __len__(self) -> int:
        """The number of groups."""
        return len(self._groups)

    @property
    def record(self) -> dict[str, SweepRecord]:  # type: ignore[override]  # by name
        """Name -> the arrays of that group."""
        return {name: result.record for name, result in self.items()}

    @property
    def plan(self) -> dict[str, Any]:
        """Name -> how that group ran."""
        return {name: result.plan for name, result in self.items()}

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

    def optimizer_at(self, index: tuple[int, ...]) -> Any:
        """Not defined over groups: an index belongs to the grid of one of them.

        Args:
          index: one integer per dimension.

        Returns:
          Nothing: it raises.

        Raises:
          TypeError: always; choose a group first.
        """
        name = next(iter(self))
        raise TypeError(f"choose a group first, for example result[{name!r}].optimizer_at({index})")

    @property
    def params(self) -> dict[str, Any]:
        """Name -> trained parameters, leaves [*dims, seed, ...]."""
        return {name: result.params for name, result in self.items()}

    @cached_property
    def dataset(self) -> "xr.DataTree":  # type: ignore[override]  # a tree holds datasets of unlike dims
        """An `xarray.DataTree` with one node per group, each as `SweepResult.dataset`, "/" in names written "."."""
        import xarray as xr

        nodes = {name: _for_tree(result.dataset) for name, result in self.items()}
        return xr.DataTree.from_dict(nodes, name="jopt sweep")

    def best(self, metric: str | None = None, mode: Mode | None = None, at: At = "last") -> Trial:
        """The best setting of all groups; its `group` says whose it is.

        The rules are those of `SweepResult.best`; of equal scores the first group is taken.

        Args:
          metric: a metric of `evaluate`, "loss", or an auxiliary value of the loss; None: as in `SweepResult.best`.
          mode: "min" or "max": which values are good; None: as in `SweepResult.best`.
          at: "last" or "best".

        Returns:
          The setting as a `Trial`.

        Raises:
          ValueError: as `SweepResult.best`, and if the groups would be ranked by different metrics.
        """
        ranked = scores.ranking(self.record.values(), metric, mode, at)
        found = [(name, best_trial(result, ranked)) for name, result in self.items()]
        trials = [replace(trial, group=name) for name, trial in found if trial is not None]
        if not trials:
            raise ValueError(report.no_best_of_groups(list(self), ranked.metric))
        pick = min if ranked.mode == "min" else max
        return pick(trials, key=lambda trial: trial.score)

    def to_pandas(self, metric: str | None = None, kind: Literal["final", "curves"] = "final") -> "pd.DataFrame":
        """The long table of `SweepResult.to_pandas`, all groups below each other, `group` first.

        Args:
          metric: one metric only; None: all.
          kind: "final" or "curves".

        Returns:
          A `pandas.DataFrame`. A hyperparameter that a group did not sweep is NaN in its rows.
        """
        import pandas as pd

        frames = [result.to_pandas(metric, kind).assign(group=name) for name, result in self.items()]
        table = pd.concat(frames, ignore_index=True)
        return table[["group", *(column for column in table.columns if column != "group")]]

    @property
    def plot(self) -> GroupPlots:
        """Pictures: `.compare()` in one axes, `.curves()` with a panel per group."""
        return GroupPlots(self.record)

    def table(self, metric: str | None = None, mode: Mode | None = None, at: At = "last") -> str:
        """The best of each group, its score and the diverged lanes, as aligned plain text.

        Args:
          metric: what to score, as in `best`.
          mode: "min" or "max", as in `best`.
          at: "last" or "best".

        Returns:
          The lines, a row per group.

        Raises:
          ValueError: as `best`, but for the case that every setting diverged.
        """
        return text.printable(report.table(self, scores.ranking(self.record.values(), metric, mode, at)))

    def save(self, path: "str | bytes | os.PathLike[str] | os.PathLike[bytes]") -> None:
        """Writes all groups to one file; see `SweepResult.save`.

        Args:
          path: the name of the file, used exactly.
        """
        storage.save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the groups."""
        return {"_groups": self._groups}

    def __repr__(self) -> str:
        """A table of the best of each group, and the time."""
        return text.printable(report.describe_groups(self))


def _for_tree(dataset: "xr.Dataset") -> "xr.Dataset":
    names = {str(name) for name in (*dataset.dims, *dataset.variables)}
    return dataset.rename({name: in_tree(name) for name in names if in_tree(name) != name})

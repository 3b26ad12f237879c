"""The result of a sweep of several optimizers: one result each, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jopt.results import report, text
from jopt.results.base import Result
from jopt.results.plots import GroupPlots
from jopt.results.record import SweepRecord, Timings
from jopt.results.result import SweepResult
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
        check_groups(groups)
        self._groups = dict(groups)

    def _parts(self) -> dict[str, SweepResult]:
        return self._groups

    def __getitem__(self, name: str) -> SweepResult:
        """The result of one group."""
        if name not in self._groups:
            raise KeyError(f"There is no group {name!r}; the groups are {', '.join(self._groups)}.")
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

    @property
    def plot(self) -> GroupPlots:
        """Pictures: ``.compare()`` in one axes, ``.curves()`` with a panel per group."""
        return GroupPlots(self.record)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the groups."""
        return {"_groups": self._groups}

    def __repr__(self) -> str:
        """A table of the best of each group, and the time."""
        return text.printable(report.describe_groups(self.record, self.timings))


def _for_tree(dataset: xr.Dataset) -> xr.Dataset:
    names = {str(name) for name in (*dataset.dims, *dataset.variables)}
    return dataset.rename({name: in_tree(name) for name in names if in_tree(name) != name})

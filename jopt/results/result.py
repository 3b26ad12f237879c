"""The result of a sweep: labelled, plotted, saved."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from jopt.results import report, tables, text
from jopt.results.base import Result
from jopt.results.pickles import Pickled, PickledTree
from jopt.results.plots import Plots
from jopt.results.record import SweepRecord, Timings
from jopt.results.storage import Stored

if TYPE_CHECKING:
    import xarray as xr


class SweepResult(Result):
    """What ``jopt.sweep`` returns: every lane's curves, outcome and trained parameters, labelled.

    A sweep of several optimizers returns a ``GroupedResult``, which holds a SweepResult of each by name.
    Results can be pickled and copied. A pickle holds what a saved file does: where an optimizer has
    no pickle (a function defined inside another), all else comes back.

    Args:
      record: The arrays and their names.
      optimizer: The value that was swept, with its axes.
      optimizer_at: Index of a setting in the grid -> the optimizer of that setting, without axes.
      params: Trained parameters, leaves [*dims, seed, ...].
      plan: What ran and why; its str() is a sentence.
      timings: Where the time went.
      version: The jopt that ran the sweep; None: this one.

    Example:
      >>> rates = jopt.geomspace(0.01, 1.0, 3)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
      >>> result.dataset.loss.sizes["learning_rate"]
      3
      >>> round(result.best().hyperparams["learning_rate"], 6)
      0.1
    """

    def __init__(
        self,
        record: SweepRecord,
        *,
        optimizer: Any,
        optimizer_at: Callable[[tuple[int, ...]], Any] | Pickled,
        params: Any,
        plan: Any,
        timings: Timings,
        version: str | None = None,
    ) -> None:
        self._record = record
        self._plan = plan
        self._timings = timings
        self._optimizer = optimizer
        self._optimizer_at = optimizer_at
        self._params = params
        self._version = _installed_version() if version is None else version

    @property
    def record(self) -> SweepRecord:
        """The arrays and their names, as the engine handed them over."""
        return self._record

    @property
    def plan(self) -> Any:
        """How the sweep ran and why; print it."""
        return self._plan

    @property
    def timings(self) -> Timings:
        """Seconds of compiling, running and all; lane-steps, and lane-steps per second."""
        return self._timings

    @property
    def version(self) -> str:
        """The version of jopt that ran the sweep."""
        return self._version

    @property
    def optimizer(self) -> Any:
        """The optimizer value that was swept, with its axes."""
        return self._optimizer.value if isinstance(self._optimizer, Pickled) else self._optimizer

    @property
    def description(self) -> str:
        """The optimizer as text; a loaded result has it even where the optimizer cannot be read."""
        return repr(self._optimizer)

    def optimizer_at(self, index: tuple[int, ...]) -> Any:
        """The optimizer of one setting, without axes.

        Args:
          index: One integer per dimension of the grid.

        Returns:
          The optimizer value.
        """
        return self._optimizer_at.value[index] if isinstance(self._optimizer_at, Pickled) else self._optimizer_at(index)

    @property
    def params(self) -> Any:
        """Trained parameters of all lanes: leaves [*dims, seed, ...]."""
        return self._params.value if isinstance(self._params, PickledTree) else self._params

    @cached_property
    def dataset(self) -> xr.Dataset:
        """Everything recorded, as an ``xarray.Dataset``.

        Dimensions: one per axis, ``seed``, ``step`` (end of each record), ``eval_step`` (evaluations).
        Variables:
          loss, the auxiliary values of the loss, and what ``record=`` asked for (rate, grad_norm, update_norm, param_norm):
            [*axes, seed, step], means over the record.
          the metrics of evaluate: [*axes, seed, eval_step], the first of them before the first step (eval_step 0).
          diverged_at: [*axes, seed], first step whose loss was not finite, or the last one, where parameters or the
            optimizer's state ended so; NaN: never.
          steps_done: [*axes, seed].
        Hyperparameters that were walked together are coordinates along one dimension. Types that NumPy has only from
        others (bfloat16, say) are float32 here.
        """
        steps = int(self.record.steps_done.max(initial=0))
        attrs = {"title": "jopt sweep", "optimizer": self.description, "steps": steps}
        return tables.to_dataset(self.record, {**attrs, "jopt_version": self.version})

    @property
    def plot(self) -> Plots:
        """Pictures: ``.curves()``, ``.response()``, ``.heatmap()``, ``.compare()``; axes in, axes out."""
        return Plots(self.record)

    def _parts(self) -> dict[str, SweepResult]:
        return {"": self}

    def _stored(self) -> Stored:
        """What a file holds of the result: the user's own objects (optimizer, parameters) as pickles."""
        optimizer, settings, params = self._optimizer, self._optimizer_at, self._params
        if not isinstance(optimizer, Pickled):
            optimizer = Pickled.of(lambda: self._optimizer, "optimizer", self.description)
        if not isinstance(settings, Pickled):
            indices = list(np.ndindex(self.record.shape))
            settings = Pickled.of(lambda: {index: self.optimizer_at(index) for index in indices}, "optimizer")
        if not isinstance(params, PickledTree):
            params = PickledTree.of(params, "parameters")
        return Stored(self.record, optimizer, settings, params, str(self.plan), self.timings, self.version)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: what a file does, and the plan itself; the dataset is made again when it is asked for."""
        kept = {name: part for name, part in vars(self).items() if name != "dataset"}
        made = self._stored()
        return {**kept, "_optimizer": made.optimizer, "_optimizer_at": made.optimizer_at, "_params": made.params}

    def __repr__(self) -> str:
        """What was swept, what ran, the best setting, what diverged, the plan and the time."""
        return text.printable(report.describe(self.record, self.plan, self.timings))


@functools.cache
def _installed_version() -> str:
    try:
        return metadata.version("jopt")
    except metadata.PackageNotFoundError:
        return "unknown"

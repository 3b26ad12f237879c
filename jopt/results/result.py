"""The result of a sweep: labelled, plotted, saved."""

import copy
import functools
import html
from collections.abc import Callable
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from . import report, scores, storage, tables, text
from .pickles import Pickled, PickledTree
from .plots import Plots
from .record import SweepRecord, Timings
from .scores import At, Mode
from .trial import Trial, best_trial

if TYPE_CHECKING:
    import os

    import pandas as pd
    import xarray as xr


class SweepResult:
    """What `jopt.sweep` returns: every lane's curves, outcome and trained parameters, labelled.

    A sweep of several optimizers returns a `GroupedResult`, which is a SweepResult of each by name.
    Results can be pickled and copied. A pickle holds what a saved file does: where an optimizer has
    no pickle (a function defined inside another), all else comes back.

    Args:
      record: the arrays and their names.
      optimizer: the value that was swept, with its axes.
      optimizer_at: index of a setting in the grid -> the optimizer of that setting, without axes.
      params: trained parameters, leaves [*dims, seed, ...].
      plan: what ran and why; its str() is a sentence.
      timings: where the time went.
      version: the jopt that ran the sweep; None: this one.

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
          index: one integer per dimension of the grid.

        Returns:
          The optimizer value.
        """
        return self._optimizer_at.value[index] if isinstance(self._optimizer_at, Pickled) else self._optimizer_at(index)

    @property
    def params(self) -> Any:
        """Trained parameters of all lanes: leaves [*dims, seed, ...]."""
        return self._params.value if isinstance(self._params, PickledTree) else self._params

    @cached_property
    def dataset(self) -> "xr.Dataset":
        """Everything recorded, as an `xarray.Dataset`.

        Dimensions: one per axis, `seed`, `step` (end of each record), `eval_step` (evaluations).
        Variables:
          loss and the auxiliary values of the loss: [*axes, seed, step], means over the record.
          the metrics of evaluate: [*axes, seed, eval_step].
          diverged_at: [*axes, seed], first step whose loss was not finite, or the last one, where parameters or the
            optimizer's state ended so; NaN: never.
          steps_done: [*axes, seed].
        Hyperparameters that were walked together are coordinates along one dimension. Types that NumPy has only from
        others (bfloat16, say) are float32 here.
        """
        steps = int(self.record.steps_done.max(initial=0))
        attrs = {"title": "jopt sweep", "optimizer": self.description, "steps": steps}
        return tables.to_dataset(self.record, {**attrs, "jopt_version": self.version})

    def best(self, metric: str | None = None, mode: Mode | None = None, at: At = "last") -> Trial:
        """The best setting: mean over seeds of a score, diverged settings left out.

        The score of a seed is the last evaluation of a metric, or with `at="best"` its best one. The training loss, or an
        auxiliary value of it, is a mean over a tenth of the run, never the loss of one minibatch: over the last tenth, or
        with `at="best"` over the best of ten consecutive ones (a run of at most ten steps has tenths of one step). A
        setting of which any seed diverged, or scored no finite number, is never best. Of equal settings the first in grid
        order is taken.

        Args:
          metric: a metric of `evaluate`, "loss", or an auxiliary value of the loss; None: the first metric of `evaluate`
            (under `jax.jit` a function returns its dictionary sorted), without one the training loss.
          mode: "min" or "max": which values are good; None: as `jopt.metrics(..., maximize=...)` declared, else "min".
          at: "last" or "best".

        Returns:
          The setting as a `Trial`.

        Raises:
          ValueError: if there is no such metric, every setting diverged, or nobody said whether a metric is better high or
            low whose name holds accuracy, acc, score, f1, auc, reward or return, as in "val_accuracy".
        """
        ranked = scores.ranking([self.record], metric, mode, at)
        trial = best_trial(self, ranked)
        if trial is None:
            raise ValueError(report.no_best(self.record, ranked.metric))
        return trial

    def to_pandas(self, metric: str | None = None, kind: Literal["final", "curves"] = "final") -> "pd.DataFrame":
        """The result as a long table.

        Args:
          metric: one metric only; None: all.
          kind: "final": a row per setting and seed, with the last value of each metric, diverged_at
            and steps_done. "curves": a row per setting, seed, time and metric, with columns step,
            metric and value.

        Returns:
          A `pandas.DataFrame`, a column per swept hyperparameter first.
        """
        if kind not in ("final", "curves"):
            raise ValueError(f"kind is {kind!r}, but it must be 'final' or 'curves'")
        build = tables.final_frame if kind == "final" else tables.curves_frame
        return build(self.record, metric)

    @property
    def plot(self) -> Plots:
        """Pictures: `.curves()`, `.response()`, `.heatmap()`, `.compare()`; axes in, axes out."""
        return Plots(self.record)

    def table(self, metric: str | None = None, mode: Mode | None = None, at: At = "last") -> str:
        """The best setting, its score and the diverged lanes, as aligned plain text.

        Args:
          metric: what to score, as in `best`.
          mode: "min" or "max", as in `best`.
          at: "last" or "best".

        Returns:
          The lines: a header, a rule and a row.

        Raises:
          ValueError: as `best`, but for the case that every setting diverged.
        """
        return text.printable(report.table({"": self}, scores.ranking([self.record], metric, mode, at)))

    def save(self, path: "str | bytes | os.PathLike[str] | os.PathLike[bytes]") -> None:
        """Writes the result to one file, which `jopt.load_result` reads back.

        Arrays are stored as NumPy stores them; the optimizer and the structure of the parameters
        are pickled. Where pickling fails (a function defined inside another), all else is saved and
        the loaded result says so when the optimizer is asked for. The file appears whole or not at
        all: until then it has a name of its own, in the same directory.

        Args:
          path: the name of the file, used exactly.
        """
        storage.save({"": self}, path)

    def _pickles(self) -> tuple[Pickled, Pickled, PickledTree]:
        """The user's own objects as pickles: the optimizer, that of each setting by index, the parameters."""
        optimizer, settings, params = self._optimizer, self._optimizer_at, self._params
        if not isinstance(optimizer, Pickled):
            optimizer = Pickled.of(lambda: self._optimizer, "optimizer", self.description)
        if not isinstance(settings, Pickled):
            indices = list(np.ndindex(self.record.shape))
            settings = Pickled.of(lambda: {index: self.optimizer_at(index) for index in indices}, "optimizer")
        return optimizer, settings, params if isinstance(params, PickledTree) else PickledTree.of(params, "parameters")

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds; the dataset is made again when it is asked for."""
        names = ("_optimizer", "_optimizer_at", "_params")
        kept = {name: part for name, part in vars(self).items() if name != "dataset"}
        return {**kept, **dict(zip(names, self._pickles(), strict=True))}

    def __copy__(self) -> Self:
        """A result of the same objects."""
        made = object.__new__(type(self))
        vars(made).update({name: part for name, part in vars(self).items() if name != "dataset"})
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A result of copied objects; a pickle would not do, since not every optimizer has one."""
        made = copy.copy(self)
        memo[id(self)] = made
        vars(made).update(copy.deepcopy(vars(made), memo))
        return made

    def __repr__(self) -> str:
        """What was swept, what ran, the best setting, what diverged, the plan and the time."""
        return text.printable(report.describe(self))

    def _repr_html_(self) -> str:
        # xarray's own table folds; the lines above it are what one wants first.
        table = self.dataset._repr_html_()
        return f"<pre>{html.escape(repr(self))}</pre>{table}"


@functools.cache
def _installed_version() -> str:
    try:
        return metadata.version("jopt")
    except metadata.PackageNotFoundError:
        return "unknown"

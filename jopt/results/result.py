"""The result of a sweep: labelled, plotted, saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jopt.results import joining, report, tables, text
from jopt.results.base import Result
from jopt.results.kept import Kept, tree_of
from jopt.results.pickles import Pickled, PickledTree
from jopt.results.plots import Plots
from jopt.results.ran import Ran, installed_version
from jopt.results.record import Saved, SweepRecord, Timings
from jopt.results.scores import At, Mode
from jopt.results.storage import Stored, optimizer_or_words
from jopt.results.suggestion import Suggestion, suggest
from jopt.results.zooming import zoomed

if TYPE_CHECKING:
    import xarray as xr


class SweepResult(Kept, Ran, Result):
    """What ``jopt.sweep`` returns: every lane's curves, outcome and trained parameters, labelled.

    A sweep of several optimizers returns a ``GroupedResult``, which holds a SweepResult of each by name.
    Results can be pickled and copied. Where an optimizer has no pickle (a function defined inside another), all else comes
    back. A saved file is no pickle: see ``save``.

    Args:
      record: The arrays and their names.
      optimizer: The value that was swept, with its axes.
      optimizer_at: Index of a setting in the grid -> the optimizer of that setting, without axes.
      hyper_at: Index -> the user's own numbers of that setting; None: there are none.
      params: Trained parameters, leaves [*dims, seed, ...], or a ``Ragged`` of them; those that ``record.keep`` says.
      plan: What ran and why; its str() is a sentence.
      timings: Where the time went.
      version: The jopt that ran the sweep; None: this one.
      environment: Where and when the sweep ran, texts by name; None: nobody knows.
      state: The optimizers' states where they were kept, leaves [*dims, seed, ...].
      by_step: Whether it is of ``jopt.sweep_steps``, whose carries are the parameters here.
      key_kinds: For each leaf of such a carry, of which kind of random keys it is the data, or None; empty: nobody knows.

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
        hyper_at: Callable[[tuple[int, ...]], Any] | Pickled | None = None,
        params: Any,
        plan: Any,
        timings: Timings,
        version: str | None = None,
        environment: Mapping[str, str] | None = None,
        state: Any = None,
        by_step: bool = False,
        key_kinds: Sequence[Any] = (),
    ) -> None:
        self._record = record
        self._plan = plan
        self._timings = timings
        self._optimizer = optimizer
        self._optimizer_at = optimizer_at
        self._hyper_at = hyper_at
        self._params = params
        self._state = state
        self._by_step = by_step
        self._key_kinds = tuple(key_kinds)
        self._version = installed_version() if version is None else version
        self._environment = dict(environment or {})

    @property
    def record(self) -> SweepRecord:
        """The arrays and their names, as the engine handed them over."""
        return self._record

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
        index = self.record.place(index)
        return self._optimizer_at.value[index] if isinstance(self._optimizer_at, Pickled) else self._optimizer_at(index)

    def hyper_at(self, index: tuple[int, ...]) -> Any:
        """The user's own numbers of one setting, as its functions were given them.

        Args:
          index: One integer per dimension of the grid.

        Returns:
          The tree that was given as ``hyper=``, without axes; None where none was.
        """
        index = self.record.place(index)
        if isinstance(self._hyper_at, Pickled):
            return self._hyper_at.value[index]
        return None if self._hyper_at is None else self._hyper_at(index)

    @property
    def saved(self) -> Saved:
        """What pruning saved: ``.lane_steps``, and ``.seconds`` at the pace of what ran.

        Wide blocks are quicker for each lane than the few lanes that were left, so a full sweep of small models would have
        taken fewer seconds than that.
        """
        steps, pace = self.record.steps_saved, self.timings.lane_steps_per_second
        return Saved(steps, steps / pace if pace else 0.0)

    def suggest(
        self, name: str | None = None, metric: str | None = None, mode: Mode | None = None, at: At | None = None
    ) -> Suggestion:
        """Which value of a number to use, with an interval, reasons and warnings; ``print`` it for a sentence.

        The curve is that of the scores against the number, with all others as in the best setting; scores are means over seeds.
        *Value*: the mean of the minima of a parabola through the best point and its neighbours, and of Akima's curve, both on
        the logarithm of scores that have ratios; for grids coarser than a factor of 3.5 Akima's alone. *Interval*: as wide as
        these, the secants on both sides, the draws of seeds and divergence nearby make it, never beyond the neighbours of the
        best point. *Scale*: the number itself for an axis that was made evenly (``linspace``, ``uniform``), its logarithm for
        ``geomspace``, ``decades`` and ``loguniform``; of given values their logarithms where these are spaced more evenly (of
        two values: where they are twofold apart), and beside 0 where they span a decade. So 0, 0.001, 0.01 are logarithmic; 0
        and 0.9 are not.

        A 0 on a logarithmic axis is no point of the curve. Where no other value is better than 0, it is the value: the
        interval then reaches to the next one, a warning says so, and ``extend`` has values between the two.

        Numbers that changed together (drawn, searched, ``zipped``) have no curve along one of them: the value is the best
        setting's, and the interval is where the six best lie. Without a ``name`` all of them are told of, in ``beside``.

        Args:
          name: Of the number, or a part of its path that no other has, such as "learning_rate"; None: the learning rate, or the
            one number with an axis in its schedule, or the only one that was swept.
          metric: What is scored; None: what ranks in ``best()``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          A ``Suggestion``: value, low, high, reasons, warnings, the optimizer with the value in it, and the axis to run next
          where the best value is at an edge.

        Raises:
          ValueError: Where it is not clear which number is meant, it has no order or one value, or every setting diverged.
        """
        return suggest(self, name, metric, None, mode, at)

    def zoom(self, factor: float = 4, metric: str | None = None, mode: Mode | None = None, at: At | None = None) -> Any:
        """The optimizer with narrower axes around the best setting, to be swept next; its grid has the same shape.

        Each axis keeps its number of values and gets a ``factor``-th of its span, on the scale that ``suggest`` uses. A
        logarithmic one may go beyond the old ends, if these are three times apart; a linear one stays within them. The 0 of a
        logarithmic axis is left out, unless it is best: then it stays, with smaller values than before beside it.

        Args:
          factor: How much narrower, above 1.
          metric: What ranks; None: as in ``best()``.
          mode: "min" or "max", as in ``best``.
          at: "last" or "best", as in ``best``.

        Returns:
          The optimizer. A sweep of it compiles nothing new.

        Raises:
          ValueError: For a factor of at most 1, for axes that were walked together, and where no setting is best.

        Example:
          >>> rates = jopt.geomspace(0.01, 1.0, 5)
          >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, progress=False)
          >>> result.zoom()
          sgd(learning_rate=axis(0.178, 0.237, 0.316, 0.422, 0.562; 5 values))
        """
        return zoomed(self.optimizer, self.best(metric, mode, at), factor)

    @cached_property
    def dataset(self) -> xr.Dataset:
        """Everything recorded, as an ``xarray.Dataset``.

        Dimensions: one per axis, ``seed``, ``step`` (end of each record), ``eval_step`` (evaluations).
        Variables:
          loss, the auxiliary values of the loss, and what ``record=`` asked for (rate, grad_norm, update_norm, param_norm):
            [*axes, seed, step], means over the record.
          the metrics of evaluate: [*axes, seed, eval_step], the first of them before the first step (eval_step 0),
            unless the sweep goes on from another.
          diverged_at: [*axes, seed], first step whose loss was not finite, or the last one, where parameters or the
            optimizer's state ended so; NaN: never.
          pruned_at: [*axes, seed], the step at which the lane was pruned; NaN: never.
          steps_done: [*axes, seed].
        Hyperparameters that were walked together are coordinates along one dimension. Along an axis of structure stand bools
        and strings as they are, functions by name, and ``None`` beside others in an array of objects. Where batch sizes were
        swept, ``examples_seen`` stands beside ``step``, and ``eval_examples_seen`` beside ``eval_step``. Types that NumPy has
        only from others (bfloat16, say) are float32 here.
        """
        steps = int(self.record.steps_done.max(initial=0))
        attrs = {"title": "jopt sweep", "optimizer": self.description, "steps": steps}
        return tables.to_dataset(self.record, {**attrs, "jopt_version": self.version})

    @property
    def plot(self) -> Plots:
        """Pictures: ``.curves()``, ``.response()``, ``.heatmap()``, ``.rungs()`` ...; axes in, axes out."""
        return Plots(self.record)

    def concat(self, other: SweepResult) -> SweepResult:
        """This result and another of the same problem in one.

        What differs decides. Two of the same steps are joined along the one axis in which their values differ (ascending,
        where both are), or along their seeds. One that goes on from the other is joined along the steps; where it goes on
        from one setting of several, that one has the further steps; the others are left behind where they ended, which
        ``left_at`` of the dataset says, and are out.

        Args:
          other: A result with the same metrics, axes, ``seed=`` and steps, or one that goes on from this one or the reverse.

        Returns:
          The result of both; timings are sums. It keeps of the lanes what both have.

        Raises:
          TypeError: For what is no ``SweepResult``.
          ValueError: Where the two do not fit together, or have a lane in common.

        Example:
          >>> def loss(x, batch):
          ...     return (x**2).sum()
          >>> low, high = (jopt.sweep(loss, jnp.ones(2), jopt.sgd(jopt.choice(*r)), steps=5) for r in ((0.1, 0.2), (0.3, 0.4)))
          >>> low.concat(high).dataset.learning_rate.values.tolist()
          [0.1, 0.2, 0.3, 0.4]
        """
        if not isinstance(other, SweepResult):
            raise TypeError(f"concat takes another SweepResult, but got {type(other).__name__}; a group of a result is one.")
        return SweepResult(**joining.joined(self, other))

    def _parts(self) -> dict[str, SweepResult]:
        return {"": self}

    def _stored(self) -> Stored:
        """What a file holds of the result."""
        return Stored(
            record=self.record,
            optimizer=optimizer_or_words(self),
            optimizer_at=self.optimizer_at,
            hyper_at=self.hyper_at,
            params=tree_of(self._params),
            plan=str(self.plan),
            timings=self.timings,
            version=self.version,
            environment=self.environment,
            state=tree_of(self._state),
            by_step=self.by_step,
            key_kinds=self.key_kinds,
        )

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the user's own objects as pickles inside it; the dataset is made again when it is asked for."""
        kept = {name: part for name, part in vars(self).items() if name != "dataset"}
        indices = list(np.ndindex(self.record.shape))
        return {
            **kept,
            "_optimizer": Pickled.of(self._optimizer, lambda: self._optimizer, "optimizer", self.description),
            "_optimizer_at": Pickled.of(self._optimizer_at, lambda: {i: self.optimizer_at(i) for i in indices}, "optimizer"),
            "_hyper_at": Pickled.of(self._hyper_at, lambda: {i: self.hyper_at(i) for i in indices}, "hyper"),
            "_params": PickledTree.of(self._params, "parameters"),
            "_state": PickledTree.of(self._state, "state"),
        }

    def __repr__(self) -> str:
        """What was swept, what ran, the best setting, what diverged, the plan and the time."""
        return text.printable(report.describe(self.record, self.plan, self.timings))

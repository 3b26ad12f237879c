"""What an engine hands over when a sweep is finished: plain NumPy arrays and their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from jopt.engine.job import Keep
from jopt.values import require
from jopt.values.names import check_names


class Series(NamedTuple):
    """One recorded value over time.

    Attributes:
      dim: "step" or "eval_step".
      steps: Steps done at each entry, [n].
      values: [*dims, seed, n].
    """

    dim: str
    steps: NDArray[Any]
    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class SweepRecord:
    """The raw outcome of a sweep of one optimizer.

    Attributes:
      dims: Name of each axis of the grid, in order; empty for a sweep of one setting.
      coords: Hyperparameter name -> (dim, values [size of dim]). Names that were walked together
        share a dim; the name of a plain axis is its dim. Values are numbers, bools or strings (the names
        of functions), and in an array of objects ``None`` beside others.
      seeds: [seed], integers.
      step: [step], the number, from 1, of the last step that each record covers.
      eval_step: [eval_step], the steps done at each evaluation, 0 at that before the first step; may be empty.
      losses: "loss", the auxiliary values of the loss, and what ``record=`` asked for: [*dims, seed, step].
      metrics: What ``evaluate`` returned, in its order: [*dims, seed, eval_step].
      diverged_at: [*dims, seed], the step, from 1, of the first non-finite loss, or the last step where a final
        parameter or a leaf of the optimizer's state that began finite is not; NaN means never.
      steps_done: [*dims, seed], the steps that each lane has done, those before ``first`` included.
      maximize: Names of the metrics that were declared to be better the higher they are.
      examples: Where batch sizes were swept, the dim along which, and the examples of one step [size of dim].
      pruned_at: [*dims, seed], the step at which the lane was taken out by ``prune=``; NaN means never.
      first: The steps that the lanes had done before: 0, or those of the sweep that this one goes on from.
      keep: What the result keeps of the lanes beside this record: the parameters and, with "carry", the optimizer's state
        that they ended with; with "best" the parameters of each lane's best evaluation; or nothing.
      sweep_seed: The root of the keys and of the order of the data.
      left_at: [*dims, seed], the step at which the lane was left behind, where another one went on and the results were joined;
        NaN means never.
      kinds: How the axis of a number was made, by the name of the number: "linspace", "geomspace" (``decades`` too), "uniform"
        or "loguniform". A number that is missing took values that were given, or nobody knows.
      complete: Whether every lane has come to its end; False: the sweep was stopped before, and what did not run is NaN.
    """

    dims: tuple[str, ...]
    coords: Mapping[str, tuple[str, NDArray[Any]]]
    seeds: NDArray[Any]
    step: NDArray[Any]
    eval_step: NDArray[Any]
    losses: Mapping[str, NDArray[Any]]
    metrics: Mapping[str, NDArray[Any]]
    diverged_at: NDArray[Any]
    steps_done: NDArray[Any]
    maximize: tuple[str, ...] = ()
    examples: tuple[str, NDArray[Any]] | None = None
    pruned_at: NDArray[Any] = field(default_factory=lambda: np.array(np.nan))
    first: int = 0
    keep: Keep = "params"
    sweep_seed: int = 0
    complete: bool = True
    left_at: NDArray[Any] = field(default_factory=lambda: np.array(np.nan))
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks names and shapes: a mislabelled result is worse than none."""
        if self.keep not in get_args(Keep):
            raise ValueError(f"keep must be one of {list(get_args(Keep))}, but is {self.keep!r}.")
        check_names({*self.dims, *self.coords}, [*self.losses, *self.metrics])
        lanes = (*self._grid_shape(), len(self.seeds))
        for name in ("pruned_at", "left_at"):
            if not np.ndim(getattr(self, name)):  # nobody was
                object.__setattr__(self, name, np.full(lanes, float(getattr(self, name))))
        each = {name: getattr(self, name) for name in ("diverged_at", "steps_done", "pruned_at", "left_at")}
        self._check_shapes(each, lanes)
        self._check_shapes(self.losses, (*lanes, len(self.step)))
        self._check_shapes(self.metrics, (*lanes, len(self.eval_step)))

    def _grid_shape(self) -> tuple[int, ...]:
        sizes: dict[str, int] = {}
        for name, (dim, values) in self.coords.items():
            if dim not in self.dims:
                raise ValueError(f"coords[{name!r}] lies along {dim!r}, which is not one of dims {self.dims}.")
            if sizes.setdefault(dim, len(values)) != len(values):
                raise ValueError(f"coords[{name!r}] has {len(values)} values, but {dim!r} has {sizes[dim]}.")
        if missing := [dim for dim in self.dims if dim not in sizes]:
            raise ValueError(f"The dims {missing} have no coordinate; coords needs a name for each dim.")
        return tuple(sizes[dim] for dim in self.dims)

    @staticmethod
    def _check_shapes(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
        for name, array in arrays.items():
            if array.shape != shape:
                raise ValueError(f"The array {name!r} has shape {array.shape}, but dims and coords say {shape}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the grid: number of values along each of ``dims``."""
        return tuple(int(size) for size in self.diverged_at.shape[:-1])

    @property
    def last(self) -> int:
        """The last step."""
        return int(self.step[-1])

    @property
    def at(self) -> Literal["last", "best"]:
        """When the score of a seed is taken where nothing is said: when the parameters that are kept were what they are."""
        return "best" if self.keep == "best" else "last"

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """[*dims, seed]: whether the lane met a loss, or ended with parameters or a state, that are not finite."""
        return ~np.isnan(np.asarray(self.diverged_at, np.float64))

    @property
    def pruned(self) -> NDArray[np.bool_]:
        """[*dims, seed]: whether the lane was taken out by ``prune=``."""
        return ~np.isnan(np.asarray(self.pruned_at, np.float64))

    @property
    def left(self) -> NDArray[np.bool_]:
        """[*dims, seed]: whether the lane was left behind where another one went on."""
        return ~np.isnan(np.asarray(self.left_at, np.float64))

    @property
    def steps_saved(self) -> int:
        """Optimizer steps that pruned lanes did not do."""
        return int((self.steps_done.max(initial=0) - self.steps_done[self.pruned]).sum())

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of everything recorded over time: losses first, then metrics."""
        return (*self.losses, *self.metrics)

    def setting(self, index: tuple[int, ...]) -> dict[str, Any]:
        """Swept hyperparameters, name -> Python value, at one point of the grid."""
        position = dict(zip(self.dims, index, strict=True))
        return {name: _python(values[position[dim]]) for name, (dim, values) in self.coords.items()}

    def series(self, metric: str) -> Series:
        """The recorded values of one metric over time.

        Raises:
          ValueError: For a metric that there is not, and one of which nothing was recorded.
        """
        if metric not in self.metric_names:
            known = ", ".join(self.metric_names)
            raise ValueError(f"There is no metric {metric!r} in this result; it has {known}.")
        if metric in self.losses:
            series = Series("step", self.step, self.losses[metric])
        else:
            series = Series("eval_step", self.eval_step, self.metrics[metric])
        if not len(series.steps):
            raise ValueError(f"Nothing was recorded of {metric!r}; lower record_every or eval_every.")
        return series

    def ran(self, metric: str) -> Series:
        """The recorded values of one metric up to where the furthest lane came, where the sweep was stopped before its end."""
        series = self.series(metric)
        if self.complete:
            return series
        count = int(np.searchsorted(series.steps, self.steps_done.max(initial=0))) + 1
        return Series(series.dim, series.steps[:count], series.values[..., :count])

    def named(self, name: str) -> str:
        """The hyperparameter that is meant: the one called so, else the only one of whose path the name is a part.

        Raises:
          ValueError: For a name that was not swept, or that is a part of several paths.
        """
        require.text("The name of a number that was swept", name)
        if name in self.dims and name not in self.coords:
            return self.names_along(name)[0]
        found = [name] if name in self.coords else [each for each in self.coords if is_part(name, each)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"The name {name!r} stands for several numbers here: {', '.join(found)}; give more of the path.")
        known = ", ".join(self.coords) or "nothing"
        raise ValueError(f"The number {name!r} was not swept in this result; it swept {known}.")

    def coordinate(self, name: str) -> tuple[int, NDArray[Any]]:
        """Position in ``dims`` and values [n] of a swept hyperparameter (or of a dim's first one), as ``named`` finds it."""
        dim, values = self.coords[self.named(name)]
        return self.dims.index(dim), np.asarray(values)

    def place(self, index: Any) -> tuple[int, ...]:
        """The position of a setting in the grid, checked; whole numbers below 0 count from the end.

        Raises:
          TypeError: For what is no sequence of whole numbers.
          ValueError: For a position outside of the grid.
        """
        listed = [index] if isinstance(index, (int, np.integer)) else require.listed("index", index, "whole numbers")
        for x in listed:
            if not isinstance(x, (int, np.integer)) or isinstance(x, bool):
                raise TypeError(
                    f"index must be whole numbers, one for each dimension of the grid, but got {require.shown(index)}."
                )
        if len(listed) != len(self.shape) or not all(-n <= i < n for i, n in zip(listed, self.shape, strict=True)):
            raise ValueError(
                f"index must be a position in the grid, whose shape is {self.shape}, but got {require.shown(index)}."
            )
        return tuple(int(i) % n for i, n in zip(listed, self.shape, strict=True))

    def names_along(self, dim: str) -> list[str]:
        """Hyperparameters that vary along a dim, the one named like it first."""
        names = [name for name, (along, _) in self.coords.items() if along == dim]
        return sorted(names, key=lambda name: name != dim)


def is_part(name: str, path: str) -> bool:
    """Whether steps of a path are a name, as "sgd", "rate" and both are of "sgd.rate"."""
    return f".{name}." in f".{path}."


def _python(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else x  # an array of objects holds them already


class Saved(NamedTuple):
    """What pruning saved.

    Attributes:
      lane_steps: Optimizer steps that pruned lanes did not do.
      seconds: About how long they would have taken, at the pace of the others.
    """

    lane_steps: int
    seconds: float


@dataclass(frozen=True)
class Timings:
    """Where the time of a sweep went.

    Attributes:
      compile_s: Seconds in which something was traced or compiled; those of several threads at once count once.
      run_s: The other seconds of the lanes.
      total_s: Seconds of the whole call.
      lane_steps: Optimizer steps done, summed over lanes.
    """

    compile_s: float
    run_s: float
    total_s: float
    lane_steps: int

    @property
    def lane_steps_per_second(self) -> float:
        """Optimizer steps per second of ``run_s``, over all lanes; 0 if nothing was timed."""
        return self.lane_steps / self.run_s if self.run_s > 0 else 0.0

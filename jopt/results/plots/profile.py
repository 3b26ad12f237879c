"""The scores along one swept number, as a response draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.plots import style
from jopt.results.record import SweepRecord
from jopt.results.spacing import DRAWN


class Profile(NamedTuple):
    """Scores along one hyperparameter, in its order, the others at their best.

    Attributes:
      name: The hyperparameter.
      x: [n], its values; of values that are no numbers, their places.
      ticks: The names of the places of values that are no numbers, each once; () of numbers.
      mean: [n], over seeds; NaN where nothing survived.
      low: [n], lowest seed.
      high: [n], highest seed.
      best: Position of the best, or None.
      others: Hyperparameters drawn together with this one, name -> values [n].
      apart: Whether the values are points that no line joins.
      kind: How its axis was made, where that is known (see ``SweepRecord``).
      at_best: Names of the axes that are at their best.
      out: What to call values that have no score.
    """

    name: str
    x: NDArray[Any]
    ticks: tuple[str, ...]
    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    best: int | None
    others: Mapping[str, NDArray[Any]]
    apart: bool
    kind: str | None
    at_best: tuple[str, ...]
    out: str

    @property
    def where(self) -> str:
        """The value of the best."""
        assert self.best is not None
        return self.ticks[int(self.x[self.best])] if self.ticks else style.value(self.x[self.best])


def profile(record: SweepRecord, ranked: scores.Ranking, x: str | None) -> Profile:
    """The scores of a record along one hyperparameter (None: the first with several values)."""
    name = _first_swept(record) if x is None else record.named(x)
    axis, values = record.coordinate(name)
    kinds = [(type(value), value) for value in ([] if is_numeric(values) else values.tolist())]  # True is not 1
    each = list(dict.fromkeys(kinds))
    places = np.array([each.index(kind) for kind in kinds]) if each else values
    order = np.argsort(places, kind="stable")
    scored = scores.score(record, ranked)
    along = scored.at_best([axis])
    mean, per_seed = along.mean[order], along.per_seed[order]
    out = np.isnan(mean)
    index = scores.Scores(mean, per_seed, ranked.mode).best_index()
    return Profile(
        name=name,
        x=places[order],
        ticks=tuple(style.value(value) for _, value in each),
        mean=mean,
        low=np.where(out, np.nan, per_seed.min(-1)),
        high=np.where(out, np.nan, per_seed.max(-1)),
        best=None if index is None else index[0],
        others={other: np.asarray(record.coords[other][1])[order] for other in _drawn_with(record, name)},
        apart=is_apart(record, name),
        kind=record.kinds.get(name),
        at_best=at_best(record, name),
        out=style.why_out(record, np.isnan(scored.mean)),
    )


def is_apart(record: SweepRecord, name: str) -> bool:
    """Whether settings along a number are points that no line joins: it was drawn, or has values that are no numbers."""
    numeric = is_numeric(np.asarray(record.coords[name][1]))
    return not numeric or bool(_drawn_with(record, name)) or record.kinds.get(name) in DRAWN


def at_best(record: SweepRecord, name: str) -> tuple[str, ...]:
    """The axes that are at their best along a number."""
    dim = record.coords[name][0]
    return tuple(each for each, size in zip(record.dims, record.shape, strict=True) if each != dim and size > 1)


def _drawn_with(record: SweepRecord, name: str) -> list[str]:
    dim = record.coords[name][0]
    return [] if dim in record.coords else [other for other in record.names_along(dim) if other != name]


def is_numeric(values: NDArray[Any]) -> bool:
    """Whether the values of an axis are numbers."""
    return values.dtype.kind in "iuf"


def _first_swept(record: SweepRecord) -> str:
    if not record.dims:
        raise ValueError("One setting has no response to show; sweep an axis, or use plot.curves().")
    several = [dim for dim, size in zip(record.dims, record.shape, strict=True) if size > 1]
    return record.names_along((several or list(record.dims))[0])[0]

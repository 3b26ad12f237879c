"""Numbers that changed together, as draws do: the best setting's, and where the best ones lie."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.along import Turned, is_curve, points_of
from jopt.results.extending import fits
from jopt.results.record import SweepRecord
from jopt.results.suggesting import Floats

# Where scores fall off alike on both sides, six lie on one side of the best value in 2 of 64 cases. Of quadratics in three
# numbers, of 8 to 200 draws, noisy or not, up to nine times as steep on one side, the range of the six best held the best
# value in 82 to 98 % of cases, with the best in the inner six tenths of what was drawn from; that of the best quarter,
# three at least, of 12 draws in 60 to 76 %.
BEST = 6
FEW = 5  # settings of an axis below which there are too few


class Scatter(NamedTuple):
    """The scores of settings in which several numbers changed together, by one of them.

    Attributes:
      name: Of the number.
      value: That of the best setting.
      interval: From the lowest to the highest of the best settings and of both neighbours of the best one; of a number that
        rises or falls along one axis with others (``zipped``) these neighbours alone.
      edge: -1 or 1 where no setting lies beyond the best one, and the number may go there; else 0.
      settings: How many have a score.
      near: How many of them are within 5 % of the best.
      lost: Whether even the best was not finite, or ended no better than before its first step.
      turned: How scores were turned.
      together: The numbers that changed together, in order.
      drawn: Whether they were drawn, or chosen by a search; else they were walked together.
      orderly: Whether they were walked together, and this one rises or falls along the axis.
    """

    name: str
    value: float
    interval: tuple[float, float]
    edge: int
    settings: int
    near: int
    lost: bool
    turned: Turned
    together: tuple[str, ...]
    drawn: bool
    orderly: bool

    @property
    def rule(self) -> str:
        """How the value was found, in words."""
        settings = text.count(self.settings, "setting")
        if len(self.together) == 1:  # whole numbers, of which a search chose some again
            return f"the best of {settings}, of which some have the same number, so that there is no curve along it"
        return (
            f"the best of {settings} in which {text.listed(self.together)} changed together, so that there is no curve along "
            f"one of them alone"
        )

    def reasons(self, metric: str, several: bool) -> list[str]:
        """What the scores are like, sentences; whether ``several`` numbers are told of."""
        best, s = min(BEST, self.settings), "s" if several else ""
        where = f"the {best} best of them lie in the interval{s}" if best > 1 else ""
        where = f"the interval{s} end{'' if several else 's'} at the neighbours" if self.orderly else where
        near = f"{text.count(self.near, 'setting')} {'is' if self.near == 1 else 'are'} within 5 % of the best"
        return [self.rule, *([where] if where else []), f"{near} {self.turned.name(metric)}"]

    def warnings(self) -> list[str]:
        """What speaks against the value, sentences."""
        told = ["even the best is no better than before the first step"] if self.lost else []
        if self.edge:
            told.append(self.at_edge)
        if self.settings < (FEW if self.orderly else 2 * BEST):
            told.append(f"only {self.settings} settings have a score" if self.settings > 1 else "only one setting has a score")
        return told

    @property
    def at_edge(self) -> str:
        """Why the best may be none of the values."""
        end = "lowest" if self.edge < 0 else "highest"
        wider = "; draw from a wider range" if self.drawn else ""
        return f"the best {self.name} is the {end} of all, so that a better one may lie beyond{wider}"


def together_with(record: SweepRecord, name: str) -> tuple[str, ...]:
    """The numbers with several values along the dimension of a number, itself among them."""
    return tuple(each for each, (dim, values) in record.coords.items() if dim == record.coords[name][0] and _varies(values))


def scattered(record: SweepRecord) -> list[str]:
    """The numbers that have several values and no curve: drawn, searched or walked together with others."""
    return [name for name, (_, values) in record.coords.items() if _varies(values) and not is_curve(record, name)]


def _varies(values: NDArray[Any]) -> bool:
    values = np.asarray(values)
    return values.dtype.kind in "iuf" and len(np.unique(values)) > 1


def scatter(optimizer: Any, record: SweepRecord, ranked: scores.Ranking, index: tuple[int, ...], name: str) -> Scatter:
    """The scores through one setting, the best, by one of the numbers that changed together; its ``optimizer`` knows ranges."""
    points, turned = points_of(record, ranked, index, name)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.asarray(points.scores.mean(axis=1))
    along, every = record.coordinate(name)
    value, numbers = every[index[along]].item(), np.asarray(every, np.float64)
    finite = np.flatnonzero(np.isfinite(mean))
    order = finite[np.argsort(mean[finite], kind="stable")]
    least = float(mean[order[0]]) if len(order) else math.inf
    drawn = record.dims[along] not in record.coords
    orderly = not drawn and abs(int(np.sign(np.diff(every)).sum())) == len(every) - 1
    near = np.unique(points.values)
    place = int(np.searchsorted(near, value))
    near = near[max(place - 1, 0) : place + 2]
    good = near if orderly else np.append(near, points.values[order[:BEST]])
    edge = -1 if value <= np.min(numbers) else 1 if value >= np.max(numbers) else 0
    edge = edge if edge and fits(optimizer, name, numbers, _beyond(numbers, value, edge, points.log)) else 0
    return Scatter(
        name=name,
        value=value,
        interval=(float(np.min(good)), float(np.max(good))),
        edge=edge,
        settings=len(order),
        near=int((mean[order] <= least + 0.05 * abs(least)).sum()),
        lost=not least < points.before,
        turned=turned,
        together=together_with(record, name),
        drawn=drawn,
        orderly=orderly,
    )


def _beyond(every: Floats, value: float, side: int, log: bool) -> float:
    """A value as far beyond the last one as that is from the next."""
    near = np.unique(every)[::side][-2]
    return float(value**2 / near) if log and near > 0 and value > 0 else float(2 * value - near)

"""Rungs: the curves of a pruned sweep, each up to where its setting was taken out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import style
from jopt.results.plots.choosing import FEW
from jopt.results.plots.curves import Asked, Curves, draw_alone
from jopt.results.plots.hues import Hues
from jopt.results.plots.scales import Scale, View, view
from jopt.results.record import SweepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 3  # rungs whose steps the legend names
PRUNED = "0.6"
APART = 0.045  # of the width of the axes: so far apart are the middles of two counts at least


class Rungs(Curves):
    """The curves of one record, with what was pruned when.

    Attributes:
      pruned: [setting], the step at which its first seed was pruned; NaN: never.
      rungs: The steps at which any setting was, ascending.
      kept: The settings that were never pruned and did not diverge, in grid order.
    """

    def __init__(self, record: SweepRecord, ranked: scores.Ranking, asked: Asked) -> None:
        super().__init__(record, ranked, ranked.metric, asked._replace(top="all"))
        self.pruned = first_of(record.pruned_at)
        self.died = first_of(record.diverged_at)
        self.rungs = np.unique(self.pruned[np.isfinite(self.pruned)])
        self.kept = [flat for flat in self.chosen.settled if np.isnan(self.pruned[flat])]
        self.named = len(self.kept) <= FEW
        if self.named:  # colours that can be told apart; what was pruned is grey
            few = self.chosen._replace(settled=tuple(self.kept), diverged=())
            self.hues = Hues(record, few, asked.color, self.named)
        self._seen = View(Scale(), -np.inf, np.inf)

    def shown(self) -> NDArray[Any]:
        """The values of what was kept, as far as there is any: what was pruned may be anywhere."""
        rows = self._kept_rows
        return self.settled.mean[rows] if rows else super().shown()

    def starts(self) -> list[float]:
        """Where these begin."""
        return [float(value) for value in self.settled.mean[self._kept_rows, 0]] or super().starts()

    @property
    def _kept_rows(self) -> list[int]:
        return [row for row, flat in enumerate(self.chosen.settled) if flat in self.kept]

    @property
    def banded(self) -> bool:
        """There are no bands: they would hide where curves end."""
        return False

    @property
    def title(self) -> str | None:
        """How much was saved."""
        record = self.record
        whole = record.steps_saved + int((record.steps_done - record.first).sum())
        return f"saved {record.steps_saved / max(1, whole):.0%} of {whole:,} lane-steps"

    def alive(self, step: float) -> int:
        """The settings that train on after a step."""
        return int((~(self.pruned <= step) & ~(self.died <= step)).sum())

    def draw(self, ax: Axes, seen: View) -> list[style.Entry]:
        """Draws the curves, the rungs, and over the axes how many settings train between them."""
        self._seen = seen
        entries = super().draw(ax, seen)
        lines = [ax.axvline(rung, color="0.6", lw=1.0, ls=":", zorder=0.5) for rung in self.rungs]
        _count(ax, self)
        return entries + [style.Entry(line, _when(self.rungs)) for line in lines[:1]]

    def draw_settled(self, ax: Axes, row: int) -> style.Entry:
        """Draws a setting, with a dot where it was pruned; the legend names the best, and the kept where they are few."""
        flat, values = self.chosen.settled[row], self.settled.mean[row]
        kept, best = flat in self.kept, flat == self.chosen.best
        color = self.color_of(flat)
        look: dict[str, Any] = (
            {"lw": 2.2, "zorder": 3} if best else {"lw": 1.6, "zorder": 2} if kept else {"lw": 0.8, "zorder": 1.6}
        )
        dashes = "-" if best else self.hues.dashes(flat)
        (line,) = ax.plot(self.steps, values, color=color, ls=dashes, alpha=1.0 if kept else 0.7, **look)
        there = np.flatnonzero(np.isfinite(values))
        if not kept and len(there):
            end = float(self._seen.clip(values[there[-1]]))  # at the edge, where the line left the picture
            ax.plot(self.steps[there[-1]], end, "o", color=color, ms=3.5, zorder=2.5, clip_on=False)
        style.dot_the_lonely(line, values)
        label = self._name(flat, best) if best or (kept and self.named) else ""
        line.set_label(label or "_nolegend_")
        return style.Entry(line, label)

    def color_of(self, flat: int) -> Any:
        """The colour of a setting; grey for what was pruned where few were kept."""
        grey = self.named and flat not in self.kept and flat != self.chosen.best
        return PRUNED if grey else super().color_of(flat)

    def _name(self, flat: int, best: bool) -> str:
        return ("best: " if best else "kept: ") + style.setting(self.record, flat)

    def notes(self) -> list[style.Entry]:
        """What the legend says beside the lines of the best and the kept."""
        from matplotlib.lines import Line2D

        pruned = len(self.chosen.settled) - len(self.kept)
        many = [style.Entry(Line2D([], [], color="0.4", lw=1.6), f"kept ({text.count(len(self.kept), 'setting')})")]
        out = Line2D([], [], color=PRUNED if self.named else "0.4", lw=0.8, marker="o", ms=3.5)
        return [
            *([] if self.named else many),
            style.Entry(out, f"pruned ({text.count(pruned, 'setting')})"),
            *super().notes(),
        ]


def first_of(at: NDArray[Any]) -> NDArray[np.float64]:
    """[setting], the first step of its seeds; NaN: never."""
    fmin: np.ufunc = np.fmin
    return np.asarray(fmin.reduce(np.asarray(at, np.float64), axis=-1)).ravel()


def _when(rungs: NDArray[np.float64]) -> str:
    steps = [f"{int(rung):,}" for rung in rungs]
    if len(steps) > NAMED:
        return f"{len(steps)} rungs, after {steps[0]} to {steps[-1]} steps"
    return f"{'rung' if len(steps) == 1 else 'rungs'}: after {' and '.join(steps)} steps"


def _count(ax: Axes, curves: Rungs) -> None:
    """Over the axes, between the rungs, how many settings train there; as many counts as have room."""
    low, high = ax.get_xlim()
    edges = [low, *curves.rungs, float(curves.steps[-1])]
    places: list[float] = []
    labels: list[str] = []
    for begin, end in itertools.pairwise(edges):
        middle = (begin + end) / 2
        if end > begin and (not places or middle - places[-1] >= APART * (high - low)):
            places.append(middle)
            labels.append(str(curves.alive(begin)))
    top = ax.secondary_xaxis("top")
    top.set_xticks(places, labels)
    top.tick_params(length=0)
    top.set_xlabel("settings in training")


def check_pruned(records: Iterable[SweepRecord]) -> None:
    """Raises where nothing was pruned in any of some records."""
    if not any(record.pruned.any() for record in records):
        raise ValueError(
            "rungs: nothing was pruned in this result. Give the sweep a rule, prune='auto' or jopt.SuccessiveHalving(); lanes "
            "that jopt.EarlyStop ended have come to their end, and plot.curves() shows them."
        )


def draw_rungs(record: SweepRecord, ranked: scores.Ranking, asked: Asked, ax: Axes | None) -> Axes:
    """One record in one axes."""
    check_pruned([record])
    curves = Rungs(record, ranked, asked)
    return draw_alone(curves, asked, ax, view(curves.shown(), ranked.mode, curves.starts()))

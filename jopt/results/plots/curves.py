"""Curves: a recorded value against steps, a line per setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import choosing, edges, style
from jopt.results.plots.choosing import FEW, Top
from jopt.results.plots.hues import Hues
from jopt.results.plots.scales import View, frame_steps, view, view_of_rates
from jopt.results.record import SweepRecord
from jopt.values import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

X = Literal["step", "examples_seen"]
ENDS = 6  # dashed lines that lead to the crosses of diverged settings; the other crosses stand alone


class Asked(NamedTuple):
    """What a user asked a picture of curves to show; the fields are arguments of ``Plots.curves``."""

    top: Top | None = None
    select: Mapping[str, Any] | None = None
    smooth: float | None = None
    color: str | None = None
    legend: bool = True
    x: X = "step"

    @classmethod
    def of(cls, **given: Any) -> Asked:
        """The same, checked as far as no result is needed."""
        made = cls(**given)
        if made.color is not None:
            require.text("color", made.color, ", the name of a number that was swept")
        if made.select is not None and not isinstance(made.select, Mapping):
            raise TypeError(f"select must be a dict from names to values, but got {require.shown(made.select)}.")
        for name in made.select or ():
            require.text("select: each key", name, ", the name of a number that was swept")
        require.flag("legend", made.legend)
        require.one_of("x", made.x, get_args(X))
        return made


class Lines(NamedTuple):
    """One recorded value of some settings, over seeds.

    Attributes:
      raw: [setting, n], the mean.
      mean: [setting, n], smoothed where that was asked for.
      low: [setting, n], smoothed as the mean.
      high: [setting, n], smoothed as the mean.
      each: [setting, seed, n], smoothed as the mean.
    """

    raw: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    each: NDArray[np.float64]


def _lines(values: NDArray[Any], smooth: float | None) -> Lines:
    values = np.asarray(values, np.float64)
    even = values if smooth is None else choosing.smoothed(values, smooth)
    with np.errstate(invalid="ignore", over="ignore"):
        return Lines(values.mean(1), even.mean(1), even.min(1), even.max(1), even)


class Curves:
    """The curves of one record that a picture shows, ready to draw.

    Attributes:
      chosen: Which settings.
      steps: [n].
      per_step: [setting], how much of what is drawn to the right a step is: 1, or the examples of a batch.
      settled: Those that did not diverge, in the order of ``chosen``.
      diverged: Those that did.
      ended: [diverged], the step at which the first seed diverged.
      named: Whether the legend has a line for each; else colours stand for a hyperparameter.
      hues: The colours.
      by_seed: Whether each seed has a line of its own where they differ: a mean of rates is one at which none ran.
    """

    def __init__(self, record: SweepRecord, ranked: scores.Ranking, name: str, asked: Asked) -> None:
        self.record, self.mode, self.name, self.smooth = record, ranked.mode, name, asked.smooth
        self.across, self.per_step = asked.x, _per_step(record, asked.x)
        self.by_seed = name.split(".")[0] == "rate"
        self.chosen = choosing.choose(record, ranked, asked.top, asked.select)
        _, self.steps, values = record.ran(name)
        values = values.reshape(-1, len(record.seeds), len(self.steps))
        self.settled = _lines(values[list(self.chosen.settled)], asked.smooth)
        self.diverged = _lines(values[list(self.chosen.diverged)], None)
        fmin: np.ufunc = np.fmin
        ended = fmin.reduce(np.asarray(record.diverged_at, np.float64), axis=-1).ravel()
        self.ended = ended[list(self.chosen.diverged)]
        self.named = len(self.chosen.settled) <= FEW
        self.hues = Hues(record, self.chosen, asked.color, self.named)

    def shown(self) -> NDArray[Any]:
        """All values of the settings that did not diverge; where all did, theirs until they did."""
        if not self.chosen.settled:
            return np.where(self.steps < self.ended[:, None], self.diverged.raw, np.nan)
        ends = [self.settled.low, self.settled.high] if self.banded or self.by_seed else [self.settled.mean]
        return np.stack([*ends, self.settled.raw])

    def starts(self) -> list[float]:
        """Where the settings that did not diverge start; where all did, these."""
        lines = self.settled if self.chosen.settled else self.diverged
        return [float(value) for value in lines.raw[:, 0]]

    @property
    def banded(self) -> bool:
        """Whether there are bands: of a few lines, and where seeds differ."""
        return self.named and self.differing and not self.by_seed

    @property
    def differing(self) -> bool:
        """Whether seeds differ in any setting that did not diverge."""
        return bool((self.settled.low < self.settled.high).any())

    def lines_of(self, row: int) -> NDArray[Any]:
        """[lines, n], what is drawn of a setting that did not diverge: the mean; of a rate each seed, where they differ."""
        own = self.by_seed and bool((self.settled.low[row] < self.settled.high[row]).any())
        return self.settled.each[row] if own else self.settled.mean[row : row + 1]

    @property
    def title(self) -> str | None:
        """What stands over the legend."""
        return self.chosen.title

    def at(self, flat: int) -> NDArray[Any]:
        """[n], where the records of a setting stand: steps, or examples seen."""
        return np.asarray(self.steps * self.per_step[flat])

    def draw(self, ax: Axes, seen: View) -> list[style.Entry]:
        """Draws every setting, the diverged below, the best above the others; returns what the legend says of them."""
        seen.apply(ax)
        for row in range(len(self.chosen.diverged)):
            self._draw_diverged(ax, row, seen)
        entries = [self.draw_settled(ax, row) for row in range(len(self.chosen.settled))]
        gone = [self._mark_exits(ax, row, seen) for row in range(len(self.chosen.settled))]
        style.label_axes(ax, style.words(self.across), style.words(self.name) + choosing.smoothing(self.smooth))
        shown = [*self.chosen.settled, *self.chosen.diverged]
        frame_steps(ax, self.steps, self.per_step[shown] if shown else self.per_step)
        return [*(entry for entry in entries if entry.label), *edges.entry(any(gone))]

    def _mark_exits(self, ax: Axes, row: int, seen: View) -> bool:
        flat = self.chosen.settled[row]
        color, size = self.color_of(flat), 5.0 if self.named else 3.0
        return sum(edges.mark_exits(ax, self.at(flat), line, seen, color, size=size) for line in self.lines_of(row)) > 0

    def color_of(self, flat: int) -> Any:
        """The colour of a setting that did not diverge."""
        return style.BEST if flat == self.chosen.best else self.hues.color(flat)

    def draw_settled(self, ax: Axes, row: int) -> style.Entry:
        """Draws one that did not diverge; returns what the legend says of it."""
        flat, role = self.chosen.settled[row], self.chosen.roles[row]
        best = flat == self.chosen.best
        steps = self.at(flat)
        color = self.color_of(flat)
        lines = self.lines_of(row)
        look: dict[str, Any] = {"color": color, "zorder": 3 if best else 2, "ls": "-" if best else self.hues.dashes(flat)}
        width = (2.2 if best else 1.3 if self.named else 0.9) * (1.0 if len(lines) == 1 else 0.6)
        if self.smooth is not None:
            ax.plot(steps, self.settled.raw[row], color=color, lw=0.7, alpha=0.3, zorder=1.2)
        for values in lines[::-1]:  # the last one drawn is the first, and the one that the legend shows
            (line,) = ax.plot(steps, values, lw=width, label="_nolegend_", **look)
            style.dot_the_lonely(line, values)
        if self.banded:
            ax.fill_between(steps, self.settled.low[row], self.settled.high[row], color=color, alpha=0.13, lw=0)
        label = self._label(flat, role) if self.named or best else ""
        line.set_label(label or "_nolegend_")
        return style.Entry(line, label)

    def _label(self, flat: int, role: str) -> str:
        if self.chosen.size == 1:
            return self._alone(flat)
        name = style.setting(self.record, flat) + self._end_of(flat)
        return f"{role}: {name}" if role else name

    def _alone(self, flat: int) -> str:
        """What the legend says of the line of a sweep of one setting: it needs no name."""
        seeds = len(self.record.seeds)
        mean = [f"mean of {seeds} seeds"] if seeds > 1 and not (self.by_seed and self.differing) else []
        return ", ".join([*mean, *(["smoothed"] if self.smooth is not None else [])]) + self._end_of(flat)

    def _end_of(self, flat: int) -> str:
        """How a setting ended, where that is not the end of the run."""
        if self.record.pruned.any(-1).ravel()[flat]:
            return ", pruned"
        if self.record.left.any(-1).ravel()[flat]:
            return ", left behind"
        return ", not finite at the end" if flat in self.chosen.lost else ""

    def _draw_diverged(self, ax: Axes, row: int, seen: View) -> None:
        # The line ends where it leaves the picture, at the latest where a seed diverged: what is
        # evaluated after that is finite but means nothing.
        flat = self.chosen.diverged[row]
        first = int(np.nanargmin(self.record.diverged_at.reshape(-1, len(self.record.seeds))[flat]))
        line, steps = self.diverged.each[row, first] if self.by_seed else self.diverged.raw[row], self.at(flat)
        over = ~np.isfinite(line) | (self.steps >= self.ended[row])
        length = int(np.argmax(over)) if over.any() else len(line)
        gone = (line[:length] > seen.high) | (line[:length] < seen.low)
        end = int(np.argmax(gone)) if gone.any() else max(length - 1, 0)
        shown = slice(0, min(end + 1, length))
        if row in self._led():
            ax.plot(steps[shown], line[shown], color=style.OUT, lw=1.0, ls="--", zorder=1.5)
        bad_edge = seen.high if self.mode == "min" else seen.low
        height = seen.clip(line[end]) if length else bad_edge
        color = style.OUT if self.named else self.hues.color(self.chosen.diverged[row])
        ax.plot(steps[end], height, "x", color=color, ms=6, mew=1.6, clip_on=False, zorder=4)

    def _led(self) -> set[int]:
        """The diverged settings, evenly picked, to whose crosses a line leads."""
        count = len(self.chosen.diverged)
        return {round(place) for place in np.linspace(0, count - 1, min(count, ENDS))}

    def notes(self) -> list[style.Entry]:
        """What the legend says beside the lines."""
        count = len(self.chosen.diverged)
        label = f"diverged ({text.count(count, 'setting')})"
        out = [style.diverged_entry(label, line=True)] if count else []
        return [*self._of_seeds(), *(style.raw_entry() if self.smooth is not None and self.chosen.settled else []), *out]

    def _of_seeds(self) -> list[style.Entry]:
        """What the legend says of several seeds that differ."""
        seeds = len(self.record.seeds)
        if self.banded:
            return [style.range_entry(seeds)]
        if not self.differing:
            return []
        if self.by_seed:
            return [style.line_entry(f"{seeds} thin lines: a seed each, where seeds differ")]
        return [style.line_entry(f"each line: mean of {seeds} seeds")] if self.chosen.size > 1 else []


def _per_step(record: SweepRecord, x: X) -> NDArray[Any]:
    """[setting], how much of ``x`` a step is."""
    if x not in get_args(X):
        raise ValueError(f"x must be one of {list(get_args(X))}, but is {x!r}.")
    if x == "step":
        return np.ones(math.prod(record.shape), int)
    if record.examples is None:
        raise ValueError(
            'x="examples_seen" is for a sweep of batch sizes, batch_size=jopt.choice(16, 64); here every setting sees '
            'as many examples in a step as the others, so draw against the steps, x="step".'
        )
    dim, each = record.examples
    shape = [len(each) if name == dim else 1 for name in record.dims]
    return np.broadcast_to(np.reshape(each, shape), record.shape).ravel()


def draw_curves(record: SweepRecord, ranked: scores.Ranking, asked: Asked, ax: Axes | None) -> Axes:
    """One record in one axes."""
    choosing.check_smooth(asked.smooth)
    curves = Curves(record, ranked, ranked.metric, asked)
    return draw_alone(curves, asked, ax, view(curves.shown(), ranked.mode, curves.starts()))


def draw_rate(record: SweepRecord, ranked: scores.Ranking, asked: Asked, ax: Axes | None) -> Axes:
    """The learning rate of one record as it ran."""
    curves = Curves(record, ranked, rate_of(record), asked)
    return draw_alone(curves, asked, ax, view_of_rates(curves.shown()))


def rate_of(record: SweepRecord) -> str:
    """The name of the one rate that was recorded."""
    if "rate" not in record.metric_names:
        several = [name for name in record.losses if name.startswith("rate.")]
        if several:
            raise ValueError(f"There are several rates; draw one of them by its name: plot.curves({several[0]!r}).")
        raise ValueError('The rate was not recorded; ask the sweep for it: jopt.sweep(..., record=("rate",)).')
    return "rate"


def draw_alone(curves: Curves, asked: Asked, ax: Axes | None, seen: View) -> Axes:
    """The curves in one axes, with legend and colour bar."""
    ax = style.axes(ax, 9.0 if curves.named and asked.legend else 7.6)
    entries = [*curves.draw(ax, seen), *curves.notes(), *curves.hues.entries()]
    if curves.hues.bar:
        curves.hues.add_bar(ax)
    if asked.legend:
        style.legend(ax, entries, under=curves.hues.bar, title=curves.title)
    return ax

"""Curves: a recorded value against steps, a line per setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores, text
from jopt.results.plots import style
from jopt.results.record import SweepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 6  # values that a legend names better than a colour bar


class Curves:
    """The curves of one record, ready to draw.

    Attributes:
      steps: [n].
      mean: [setting, n], over seeds.
      low: [setting, n], over seeds.
      high: [setting, n], over seeds.
      diverged: [setting].
      ended: [setting], the step at which the first seed diverged.
      best: The best setting at the end, or None.
      hue: Name of the hyperparameter that the colours stand for, or None.
      values: Its different values, ascending.
      shades: [setting], what the colours stand for: its values, or their ranks where they are few.
    """

    def __init__(self, record: SweepRecord, ranked: scores.Ranking, color: str | None) -> None:
        _, self.steps, values = record.series(ranked.metric)
        values = np.asarray(values, np.float64).reshape(-1, len(record.seeds), len(self.steps))
        with np.errstate(invalid="ignore", over="ignore"):
            self.mean = values.mean(1)
        self.low, self.high = values.min(1), values.max(1)
        self.metric, self.mode = ranked.metric, ranked.mode
        self.seeds = len(record.seeds)
        self.diverged = record.diverged.any(-1).ravel()
        fmin: np.ufunc = np.fmin
        self.ended = fmin.reduce(np.asarray(record.diverged_at, np.float64), axis=-1).ravel()
        self.shape, self.record = record.shape, record
        self.best = scores.score(record, ranked).best_index()
        self.hue = _hue(record) if color is None else color
        shades = self._shades()
        self.values, ranks = np.unique(shades, return_inverse=True)
        # A few values get colours evenly apart, however close they lie: 0.9, 0.95, 0.99.
        self.shades = shades if len(self.values) > FEW else ranks.astype(float)

    def _shades(self) -> NDArray[Any]:
        if self.hue is None:
            return np.zeros(self.diverged.size)
        axis, values = self.record.coordinate(self.hue)
        shades: NDArray[Any] = values[np.indices(self.shape)[axis].ravel()]
        return shades

    def kept(self) -> NDArray[Any]:
        """All values of the settings that did not diverge."""
        return np.stack([self.low[~self.diverged], self.high[~self.diverged]])

    def starts(self) -> list[float]:
        """Where the settings that did not diverge start."""
        return [float(value) for value in self.mean[~self.diverged, 0]]

    def draw(self, ax: Axes, view: style.View, norm: Any) -> None:
        """Draws every setting, the diverged below, the best above the others."""
        cmap = style.colormap()
        view.apply(ax)
        for setting, out in enumerate(self.diverged):
            color = cmap(norm(self.shades[setting]))
            if out:
                self._draw_diverged(ax, setting, view, color)
            else:
                self._draw_settled(ax, setting, color)
        if self.best is not None:
            self._draw_best(ax, self.best)
        ax.set(xlabel="step", ylabel=style.words(self.metric))

    def _draw_settled(self, ax: Axes, setting: int, color: Any) -> None:
        ax.plot(self.steps, self.mean[setting], color=color, lw=1.3)
        if self.seeds > 1:
            ax.fill_between(self.steps, self.low[setting], self.high[setting], color=color, alpha=0.13, lw=0)

    def _draw_diverged(self, ax: Axes, setting: int, view: style.View, color: Any) -> None:
        # The line ends where it leaves the picture, at the latest where a seed diverged: what is
        # evaluated after that is finite but means nothing.
        line = self.mean[setting]
        over = ~np.isfinite(line) | (self.steps >= self.ended[setting])
        length = int(np.argmax(over)) if over.any() else len(line)
        gone = (line[:length] > view.high) | (line[:length] < view.low)
        end = int(np.argmax(gone)) if gone.any() else max(length - 1, 0)
        shown = slice(0, min(end + 1, length))
        ax.plot(self.steps[shown], line[shown], color=style.OUT, lw=1.0, ls="--", zorder=1.5)
        bad_edge = view.high if self.mode == "min" else view.low
        height = view.clip(line[end]) if length else bad_edge
        ax.plot(self.steps[end], height, "x", color=color, ms=6, mew=1.6, clip_on=False, zorder=4)

    def _draw_best(self, ax: Axes, index: tuple[int, ...]) -> None:
        flat = int(np.ravel_multi_index(index, self.shape)) if index else 0
        label = f"best: {text.setting(self.record.setting(index))}"
        ax.plot(self.steps, self.mean[flat], color=style.BEST, lw=2.2, label=label, zorder=3)


def _hue(record: SweepRecord) -> str | None:
    """The hyperparameter that colours stand for: the first with several values."""
    several = [dim for dim, size in zip(record.dims, record.shape, strict=True) if size > 1]
    return record.names_along(several[0])[0] if several else None


def draw_curves(record: SweepRecord, ranked: scores.Ranking, color: str | None, ax: Axes | None) -> Axes:
    """One record in one axes."""
    curves = Curves(record, ranked, color)
    ax = style.axes(ax)
    _draw_panel(ax, curves, style.view(curves.kept(), ranked.mode, curves.starts()))
    return ax


def draw_panels(
    records: dict[str, SweepRecord],
    ranked: scores.Ranking,
    panels: Sequence[Axes] | NDArray[Any] | None,
) -> NDArray[Any]:
    """A panel per group, all with the same view."""
    every = {name: Curves(record, ranked, None) for name, record in records.items()}
    shown = _grid(len(every)) if panels is None else np.asarray(panels).ravel()
    if len(shown) != len(every):
        raise ValueError(f"curves: {len(every)} groups need as many axes, but {len(shown)} were given.")
    values = np.concatenate([curves.kept().ravel() for curves in every.values()])
    view = style.view(values, ranked.mode, [y for curves in every.values() for y in curves.starts()])
    for ax, (name, curves) in zip(shown, every.items(), strict=True):
        _draw_panel(ax, curves, view)
        ax.set_title(name)
    return shown


def _grid(count: int) -> NDArray[Any]:
    columns = min(count, 2)
    rows = -(-count // columns)
    figure, panels = style.pyplot().subplots(
        rows, columns, figsize=(6.0 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    for spare in panels.ravel()[count:]:
        figure.delaxes(spare)
    return np.asarray(panels.ravel()[:count])


def _draw_panel(ax: Axes, curves: Curves, view: style.View) -> None:
    norm = style.norm(curves.shades)
    curves.draw(ax, view, norm)
    handles = list(ax.get_legend_handles_labels()[0])
    if curves.hue is not None and len(curves.values) > FEW:
        _add_colorbar(ax, curves, norm)
    elif curves.hue is not None:
        handles += [_proxy(curves, norm, rank) for rank in range(len(curves.values))]
    if curves.diverged.any():
        handles.append(_diverged_proxy(int(curves.diverged.sum())))
    if handles:
        ax.legend(handles=handles, fontsize="small", framealpha=0.85)


def _add_colorbar(ax: Axes, curves: Curves, norm: Any) -> None:
    from matplotlib.cm import ScalarMappable

    assert curves.hue is not None
    mappable = ScalarMappable(norm, style.colormap())
    ax.figure.colorbar(mappable, ax=ax, label=style.words(curves.hue))


def _proxy(curves: Curves, norm: Any, rank: int) -> Any:
    from matplotlib.lines import Line2D

    color, value = style.colormap()(norm(rank)), curves.values[rank]
    return Line2D([], [], color=color, label=f"{curves.hue}={text.number(value.item())}")


def _diverged_proxy(count: int) -> Any:
    from matplotlib.lines import Line2D

    label = f"diverged ({text.count(count, 'setting')})"
    return Line2D([], [], color=style.OUT, ls="--", marker="x", label=label)

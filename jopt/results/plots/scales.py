"""How numbers are laid out along an axis, and which part of a value axis is shown: a diverging lane cannot spoil it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import text
from jopt.results.spacing import is_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_SPAN = 1.5  # decades from which scores read better on a log scale than on a linear one
NARROW = 0.7  # decades in which 1, 2 and 5 are too few ticks
POWERS = 2.0  # decades from which there are two powers of ten at least, which are ticks enough
GAP = 0.5  # decades between the place of zero and the smallest number, at least
GAP_SHARE = 0.1  # of the decades above: so much that the labels of both fit
FENCE = 3.0  # interquartile ranges beyond the quartiles: Tukey's "far out"
HUGE = 1e300  # limits stay under it, so that their distance is a float


class Scale(NamedTuple):
    """A layout of numbers, and the same as matplotlib is told it.

    Attributes:
      kind: "linear", "log", or "zero": logarithmic from ``least`` on, and zero at a place of its own before it.
      least: The power of ten under the smallest positive number.
      gap: Decades between it and zero.
    """

    kind: str = "linear"
    least: float = 1.0
    gap: float = GAP

    def forward(self, values: Any) -> NDArray[Any]:
        """Numbers to places, in decades where the scale is not linear."""
        x: NDArray[Any] = np.asarray(values, np.float64)
        if self.kind == "linear":
            return x
        if self.kind == "log":
            return np.asarray(np.log10(x))
        high = self.gap + np.log10(np.maximum(x, self.least)) - np.log10(self.least)
        return np.where(x >= self.least, high, self.gap * x / self.least)

    def inverse(self, places: Any) -> NDArray[Any]:
        """Places to numbers."""
        x: NDArray[Any] = np.asarray(places, np.float64)
        if self.kind == "linear":
            return np.asarray(np.clip(x, -HUGE, HUGE))
        if self.kind == "log":
            return np.asarray(10.0 ** np.clip(x, -300.0, 300.0))
        high = self.least * np.power(10.0, np.clip(x - self.gap, 0.0, 300.0 - np.log10(self.least)))
        return np.asarray(np.where(x >= self.gap, high, self.least * x / self.gap))

    def options(self) -> dict[str, Any]:
        """The arguments of ``set_xscale`` and ``set_yscale``."""
        if self.kind == "zero":
            # Of a symmetrical log scale only half is used; it makes its linear part 10/9 as long as it is told.
            return {"value": "symlog", "linthresh": self.least, "linscale": 0.9 * self.gap}
        return {"value": self.kind}

    def norm(self, low: float, high: float) -> Any:
        """Numbers from ``low`` to ``high`` as shares of a colour map."""
        from matplotlib.colors import LogNorm, Normalize, SymLogNorm

        if self.kind == "zero":
            return SymLogNorm(linthresh=self.least, linscale=0.9 * self.gap, vmin=low, vmax=high, base=10)
        return (LogNorm if self.kind == "log" else Normalize)(low, high)

    def tick(self, values: Any) -> dict[str, Any]:
        """Locator and formatter of an axis of some numbers, as ``colorbar`` takes them; none where matplotlib's own do.

        Matplotlib labels 2, 3, 4, 6 beside a single power of ten, each as a product, and such labels run into each other.
        """
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

        if self.kind != "log" or (decades := _decades(values)) >= POWERS:
            return {}
        locator = LogLocator(subs=(1, 2, 5)) if decades >= NARROW else MaxNLocator(6, steps=[1, 2, 5, 10])
        return {"ticks": locator, "format": FuncFormatter(lambda x, _: text.number(float(f"{x:.12g}")))}

    def lay_out(self, ax: Axes, values: Any) -> None:
        """Makes it the scale of the x axis, with ticks that read well."""
        ax.set_xscale(**self.options())
        self.label(ax.xaxis, values)
        self.mark_gap(ax)

    def label(self, axis: Any, values: Any) -> None:
        """Gives an axis of some numbers, on this scale already, its ticks."""
        from matplotlib.ticker import NullFormatter

        for name, made in self.tick(values).items():
            (axis.set_major_locator if name == "ticks" else axis.set_major_formatter)(made)
        axis.set_minor_formatter(NullFormatter())

    def mark_gap(self, ax: Axes) -> None:
        """A dotted line of the x axis between zero's own place and the smallest number."""
        if self.kind == "zero":
            ax.axvline(float(self.inverse(self.gap / 2)), color="0.75", lw=0.8, ls=":", zorder=0)


def _decades(values: Any) -> float:
    return float(np.log10(np.max(values)) - np.log10(np.min(values)))


def scale_of_axis(values: Any, kind: str | None = None) -> Scale:
    """The scale of the numbers of an axis, made as ``kind`` says: that on which they are suggested and zoomed, too."""
    values = np.asarray(values, np.float64)
    return _by_magnitude(values[np.isfinite(values)]) if is_log(values, kind) else Scale()


def scale_of(values: Any) -> Scale:
    """The scale on which some scores read best: by magnitude where the positive ones span ``LOG_SPAN`` decades."""
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        return Scale()
    finite = values[np.isfinite(values)].astype(np.float64)
    positive = finite[finite > 0]
    if (finite < 0).any() or positive.size < 2:
        return Scale()
    return Scale() if _decades(positive) < LOG_SPAN else _by_magnitude(finite)


def _by_magnitude(finite: NDArray[Any]) -> Scale:
    """Logarithmic, with a place of its own for zero where it is among the numbers."""
    positive = finite[finite > 0]
    least, decades = float(positive.min()), _decades(positive)
    if positive.size == finite.size:
        return Scale("log", least)
    # A whole power of ten, so that no tick stands between it and zero.
    return Scale("zero", 10.0 ** np.floor(np.log10(least)), max(GAP, GAP_SHARE * decades))


class View(NamedTuple):
    """The part of a value axis that is shown."""

    scale: Scale
    low: float
    high: float

    def apply(self, ax: Axes) -> None:
        """Sets scale and limits of the y axis."""
        ax.set_yscale(**self.scale.options())
        ax.set_ylim(self.low, self.high)
        self.scale.label(ax.yaxis, [self.low, self.high])

    def clip(self, values: Any) -> Any:
        """Values moved to the nearest edge of the view."""
        return np.clip(values, self.low, self.high)

    def widened(self, mode: str, share: float) -> View:
        """The view with some more of it, as a share of the whole, at its bad edge."""
        low, high = (float(place) for place in self.scale.forward([self.low, self.high]))
        extra = share / (1 - share) * (high - low)
        low, high = (low, high + extra) if mode == "min" else (low - extra, high)
        return _view(self.scale, low, high)


def _view(scale: Scale, low: float, high: float) -> View:
    edges = scale.inverse([low, high])
    return View(scale, float(edges[0]), float(edges[1]))


def view(values: NDArray[Any], mode: str, keep: Iterable[float] = ()) -> View:
    """The view of some scores: far outliers on the bad side are cut off, the good side is whole.

    Args:
      values: Everything drawn of settings that did not diverge.
      mode: "min" or "max": which side is good.
      keep: Values that are shown in any case, such as where the curves start.
    """
    finite: NDArray[Any] = values[np.isfinite(values)].astype(np.float64)
    # A share that is good when high, such as an accuracy, is not read by magnitude.
    share = mode == "max" and finite.size and 0 <= float(finite.min()) <= float(finite.max()) <= 1
    return _framed(finite, Scale() if share else scale_of(finite), mode, keep)


def view_of_rates(lines: NDArray[Any]) -> View:
    """The whole of some learning rates [..., n]: by magnitude where their peaks span decades, or most of each, as no cosine."""
    finite: NDArray[Any] = lines[np.isfinite(lines)].astype(np.float64)
    positive = finite[finite > 0]
    middle = np.quantile(positive, [0.25, 0.75]) if positive.size else positive
    peaks = np.where(np.isfinite(lines), lines, 0.0).max(-1)
    by_magnitude = any(scale_of(some[some > 0]).kind == "log" for some in (middle, peaks))
    return _framed(finite, scale_of(finite) if by_magnitude else Scale(), "", ())


def _framed(finite: NDArray[Any], scale: Scale, mode: str, keep: Iterable[float]) -> View:
    if not finite.size:
        return View(Scale(), 0.0, 1.0)
    kept = [float(scale.forward(value)) for value in keep if np.isfinite(value)]
    low, high = _fenced(scale.forward(finite), mode, kept)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return _view(scale, low - margin, high + margin)


def _fenced(places: NDArray[Any], mode: str, kept: list[float]) -> tuple[float, float]:
    first, third = np.quantile(places, [0.25, 0.75])
    reach = FENCE * (third - first)
    low, high = float(places.min()), float(places.max())
    if reach > 0 and mode == "min":
        high = max([min(high, float(third + reach)), *kept])
    if reach > 0 and mode == "max":
        low = min([max(low, float(first - reach)), *kept])
    return low, high


def frame_steps(ax: Axes, steps: NDArray[Any], per_step: NDArray[Any]) -> None:
    """The steps from where the first record begins; whole numbers, and no empty width where there is one of them."""
    from matplotlib.ticker import MaxNLocator

    spacing = steps[1] - steps[0] if len(steps) > 1 else steps[0]
    low = max(0, steps[0] - spacing) * per_step.min()
    high = max(steps[-1], 1) * per_step.max()
    ax.set_xlim(low, high + 0.02 * (high - low))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))

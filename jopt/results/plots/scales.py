"""How numbers are laid out along an axis, and which part of a value axis is shown: a diverging lane cannot spoil it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_SPAN = 1.5  # decades from which a log scale reads better than a linear one
GAP = 0.5  # decades between the place of zero and the smallest number
FENCE = 3.0  # interquartile ranges beyond the quartiles: Tukey's "far out"
HUGE = 1e300  # limits stay under it, so that their distance is a float


class Scale(NamedTuple):
    """A layout of numbers, and the same as matplotlib is told it.

    Attributes:
      kind: "linear", "log", or "zero": logarithmic from ``least`` on, and zero at a place of its own before it.
      least: The smallest positive number.
    """

    kind: str = "linear"
    least: float = 1.0

    def forward(self, values: Any) -> NDArray[np.float64]:
        """Numbers to places, in decades where the scale is not linear."""
        values = np.asarray(values, np.float64)
        if self.kind == "linear":
            return values
        if self.kind == "log":
            return np.log10(values)
        high = np.log10(np.maximum(values, self.least)) - np.log10(self.least)
        return np.where(values >= self.least, GAP + high, GAP * values / self.least)

    def inverse(self, places: Any) -> NDArray[np.float64]:
        """Places to numbers."""
        places = np.asarray(places, np.float64)
        if self.kind == "linear":
            return np.clip(places, -HUGE, HUGE)
        if self.kind == "log":
            return 10.0 ** np.clip(places, -300.0, 300.0)
        high = self.least * 10.0 ** np.clip(places - GAP, 0.0, 300.0 - np.log10(self.least))
        return np.where(places >= GAP, high, self.least * places / GAP)

    def options(self) -> dict[str, Any]:
        """The arguments of ``set_xscale`` and ``set_yscale``."""
        if self.kind == "zero":
            # Of a symmetrical log scale only half is used; it makes its linear part 10/9 as long as it is told.
            return {"value": "symlog", "linthresh": self.least, "linscale": 0.9 * GAP}
        return {"value": self.kind}

    def norm(self, low: float, high: float) -> Any:
        """Numbers from ``low`` to ``high`` as shares of a colour map."""
        from matplotlib.colors import LogNorm, Normalize, SymLogNorm

        if self.kind == "zero":
            return SymLogNorm(linthresh=self.least, linscale=0.9 * GAP, vmin=low, vmax=high, base=10)
        return (LogNorm if self.kind == "log" else Normalize)(low, high)

    def mark_gap(self, ax: Axes) -> None:
        """A dotted line of the x axis between zero's own place and the smallest number."""
        if self.kind == "zero":
            ax.axvline(float(self.inverse(GAP / 2)), color="0.75", lw=0.8, ls=":", zorder=0)


def scale_of(values: Any) -> Scale:
    """The scale on which some numbers read best: by magnitude where the positive ones span ``LOG_SPAN`` decades."""
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        return Scale()
    finite = values[np.isfinite(values)].astype(np.float64)
    positive = finite[finite > 0]
    if (finite < 0).any() or positive.size < 2:
        return Scale()
    least, most = float(positive.min()), float(positive.max())
    if np.log10(most) - np.log10(least) < LOG_SPAN:
        return Scale()
    return Scale("log" if positive.size == finite.size else "zero", least)


class View(NamedTuple):
    """The part of a value axis that is shown."""

    scale: Scale
    low: float
    high: float

    def apply(self, ax: Axes) -> None:
        """Sets scale and limits of the y axis."""
        ax.set_yscale(**self.scale.options())
        ax.set_ylim(self.low, self.high)

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
    finite = values[np.isfinite(values)].astype(np.float64)
    # A share that is good when high, such as an accuracy, is not read by magnitude.
    share = mode == "max" and finite.size and finite.min() >= 0 and finite.max() <= 1
    return _framed(finite, Scale() if share else scale_of(finite), mode, keep)


def view_of_rates(values: NDArray[Any]) -> View:
    """The whole of some learning rates: by magnitude where the middle half of them spans decades, as no cosine's does."""
    finite = values[np.isfinite(values)].astype(np.float64)
    positive = finite[finite > 0]
    middle = np.quantile(positive, [0.25, 0.75]) if positive.size else positive
    by_magnitude = scale_of(middle).kind == "log"
    return _framed(finite, scale_of(finite) if by_magnitude else Scale(), "", ())


def _framed(finite: NDArray[np.float64], scale: Scale, mode: str, keep: Iterable[float]) -> View:
    if not finite.size:
        return View(Scale(), 0.0, 1.0)
    kept = [float(scale.forward(value)) for value in keep if np.isfinite(value)]
    low, high = _fenced(scale.forward(finite), mode, kept)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return _view(scale, low - margin, high + margin)


def _fenced(places: NDArray[np.float64], mode: str, kept: list[float]) -> tuple[float, float]:
    first, third = np.quantile(places, [0.25, 0.75])
    reach = FENCE * (third - first)
    low, high = float(places.min()), float(places.max())
    if reach > 0 and mode == "min":
        high = max([min(high, float(third + reach)), *kept])
    if reach > 0 and mode == "max":
        low = min([max(low, float(first - reach)), *kept])
    return low, high

"""What the pictures share: axes, scales, limits that a diverging lane cannot spoil, colours."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_SPAN = 1.5  # decades from which a log scale reads better than a linear one
FENCE = 3.0  # interquartile ranges beyond the quartiles: Tukey's "far out"
OUT = "0.55"  # the grey of what diverged
BEST = "#d62728"
# Okabe and Ito's colours, told apart by colour-blind readers; without yellow, too faint on white.
GROUPS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")


def pyplot() -> ModuleType:
    """matplotlib.pyplot, or a sentence that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Plots need matplotlib: python -m pip install "jopt[plot]".') from error
    return plt


def axes(ax: Axes | None, width: float = 7.0, height: float = 4.4) -> Axes:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    new: Axes = pyplot().subplots(figsize=(width, height), layout="constrained")[1]
    return new


def is_log(values: NDArray[Any]) -> bool:
    """Whether values read better on a log scale: finite ones positive, over ``LOG_SPAN`` decades."""
    finite = values[np.isfinite(values)]
    if finite.size < 2 or finite.min() <= 0:
        return False
    return bool(np.log10(float(finite.max())) - np.log10(float(finite.min())) >= LOG_SPAN)


class View(NamedTuple):
    """The part of a value axis that is shown."""

    log: bool
    low: float
    high: float

    def apply(self, ax: Axes) -> None:
        """Sets scale and limits of the y axis."""
        ax.set_yscale("log" if self.log else "linear")
        ax.set_ylim(self.low, self.high)

    def clip(self, values: Any) -> Any:
        """Values moved to the nearest edge of the view."""
        return np.clip(values, self.low, self.high)


def view(values: NDArray[Any], mode: str, keep: Iterable[float] = ()) -> View:
    """The view of some values: far outliers on the bad side are cut off, the good side is whole.

    Args:
      values: Everything drawn of settings that did not diverge.
      mode: "min" or "max": which side is good.
      keep: Values that are shown in any case, such as where the curves start.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return View(False, 0.0, 1.0)
    log = is_log(finite)
    scaled = np.log10(finite) if log else finite
    kept = [float(np.log10(v) if log else v) for v in keep if np.isfinite(v)]
    low, high = _fenced(scaled, mode, kept)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    low, high = low - margin, high + margin
    return View(True, 10**low, 10**high) if log else View(False, low, high)


def _fenced(values: NDArray[Any], mode: str, kept: list[float]) -> tuple[float, float]:
    first, third = np.quantile(values, [0.25, 0.75])
    reach = FENCE * (third - first)
    low, high = float(values.min()), float(values.max())
    if reach > 0 and mode == "min":
        high = max([min(high, float(third + reach)), *kept])
    if reach > 0 and mode == "max":
        low = min([max(low, float(first - reach)), *kept])
    return low, high


def colormap() -> Any:
    """Viridis without its palest part, which is lost on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def norm(values: NDArray[Any]) -> Any:
    """Values to colours: by magnitude where they span decades."""
    from matplotlib.colors import LogNorm, Normalize

    kind = LogNorm if is_log(values) else Normalize
    return kind(float(values.min()), float(values.max()))


def star(ax: Axes, x: float, y: float, color: str, label: str | None) -> None:
    """Marks the best."""
    ax.plot(x, y, "*", color=color, ms=14, mec="white", ls="", label=label, zorder=4)


def words(name: str) -> str:
    """A name as an axis label."""
    return name.replace("_", " ")

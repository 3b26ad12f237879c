"""What ``jopt.lr_range_test`` returns: a curve of losses against a growing rate, and four readings of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results import text
from jopt.results.plots import style
from jopt.results.plots.scales import scale_of_axis
from jopt.values import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHING = 0.98  # of the running mean of the losses
TOO_HIGH = 4.0  # times the lowest smoothed loss: what comes after is not looked at
LAST = 5  # points at the end that are left out; of those at the beginning a tenth is
APART = 15  # points between the two ends of a slide
FLAT = 0.005  # difference of slopes, per point, at which a slide ends


@dataclass(frozen=True, eq=False)
class RangeTest:
    """Losses of one run whose learning rate grows at each step, and what four rules read off it.

    Take ``valley`` first, and distrust a test whose rules are far apart: ``slide`` looks at the slope alone, ``steepest`` is
    the noisiest. All rules work on smoothed losses without the first tenth of the steps and the last five, as fastai's. They
    answer what rate a run bears at its beginning, which is not the best for a whole run: ``jopt.sweep(...).suggest()``
    measures that.

    Attributes:
      rates: [steps], those of the steps before the smoothed loss was four times its lowest, or not finite.
      losses: [steps], of the batch of each step.
      smoothed: [steps], their running mean, ``sₜ = 0.98 sₜ₋₁ + 0.02 lossₜ``, over ``1 − 0.98ᵗ``.
      first: The steps at the beginning that rules leave out.

    Example:
      >>> found = jopt.lr_range_test(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(0.1), steps=60)
      >>> 1e-7 < found.valley < found.minimum * 10 <= 10
      True
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    first: int

    @classmethod
    def of(cls, rates: NDArray[np.float64], losses: NDArray[np.float64]) -> RangeTest:
        """The test of a run, up to where its loss was too high.

        Args:
          rates: [steps].
          losses: [steps].

        Returns:
          The test.

        Raises:
          ValueError: Where too few losses are left to read anything off.
        """
        rates, losses = (numbers("RangeTest.of", name, x) for name, x in (("rates", rates), ("losses", losses)))
        steps = len(losses)
        if len(rates) != steps:
            raise ValueError(f"RangeTest.of: rates and losses must be of one length, but are of {len(rates)} and {steps}.")
        with np.errstate(invalid="ignore", over="ignore"):
            smoothed = smooth(losses)
            too_high = ~np.isfinite(smoothed) | (smoothed > TOO_HIGH * np.fmin.accumulate(smoothed))
        end = int(np.argmax(too_high)) if too_high.any() else steps
        first = steps // 10
        if end - first - LAST < 3:
            raise ValueError(
                f"lr_range_test: the loss was more than {TOO_HIGH:g} times its lowest, or not finite, after {end} of {steps} "
                f"steps, which leaves too few to read a rate off; give a lower low=, or more steps=."
            )
        return cls(rates[:end], losses[:end], smoothed[:end], first)

    @property
    def _read(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        used = slice(self.first, len(self.rates) - LAST)
        return self.rates[used], self.smoothed[used]

    @property
    def minimum(self) -> float:
        """A tenth of the rate with the lowest loss."""
        rates, losses = self._read
        return float(rates[np.argmin(losses)]) / 10

    @property
    def steepest(self) -> float:
        """The rate where the loss falls most steeply against the logarithm of the rate."""
        rates, losses = self._read
        return float(rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))])

    @property
    def valley(self) -> float:
        """The rate half-way through the longest valley: the longest sequence of losses, not all neighbours, that only falls."""
        rates, losses = self._read
        lengths = np.ones(len(losses), int)
        for i in range(1, len(losses)):
            higher = losses[:i] > losses[i]
            lengths[i] = 1 + lengths[:i][higher].max(initial=0)
        end = int(np.argmax(lengths))
        begin = end - int(lengths[end])
        third = (end - begin) / 3
        return float(rates[max(0, begin + int(third) + int(third / 2))])

    @property
    def slide(self) -> float:
        """The rate before the climb to divergence: from the end backwards, until slopes fifteen points apart are alike."""
        rates, losses = self._read
        slopes = np.gradient(losses)
        right = len(losses) - 1
        left = max(0, right - APART)
        found = rates[left]
        while left >= 0 and abs(slopes[right] - slopes[left]) > FLAT:
            found = rates[left]
            left, right = left - 1, right - 1
        return float(found)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The losses against the rate, the smoothed ones above them, and the four rates.

        Args:
          ax: Where to draw; None: a new figure.

        Returns:
          The axes.
        """
        ax = style.axes(ax)
        ax.plot(self.rates, self.losses, color=style.OUT, linewidth=0.8, label="loss of each batch")
        ax.plot(self.rates, self.smoothed, color="black", label="smoothed")
        for name, color in zip(("valley", "slide", "steepest", "minimum"), style.GROUPS, strict=False):
            rate = getattr(self, name)
            height = np.interp(np.log(rate), np.log(self.rates), self.smoothed)
            ax.plot(rate, height, "o", color=color, label=f"{name}, {text.number(rate)}")
        # Single batches may be far above, where the run blows up; below is how far the loss really fell.
        low, high = float(np.min(self.losses)), float(np.max(self.smoothed))
        margin = 0.1 * (high - low or 1.0)
        ax.set_ylim(low - margin, high + margin)
        shown = [self.minimum, *self.rates]  # a tenth of a rate may lie below all of them
        scale_of_axis(shown, "geomspace").lay_out(ax, shown)
        ax.set(xlabel="learning rate", ylabel="loss")
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        """The four rates."""
        rules = ", ".join(f"{name} {text.number(getattr(self, name))}" for name in ("valley", "slide", "steepest", "minimum"))
        return f"RangeTest({rules}; {len(self.rates)} steps)"


def numbers(owner: str, name: str, x: Any) -> NDArray[np.float64]:
    """Numbers in a row, as an array; an error that names what is none."""
    try:
        array = np.asarray(x, np.float64)
    except Exception:
        array = None
    if array is None or array.ndim != 1 or isinstance(x, str):
        raise TypeError(f"{owner}: {name} must be numbers, one for each step, but got {require.shown(x)}.")
    return array


def smooth(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The running mean of losses, unbiased."""
    mean, made = 0.0, []
    for t, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * float(loss)
        made.append(mean / (1 - SMOOTHING**t))
    return np.array(made)

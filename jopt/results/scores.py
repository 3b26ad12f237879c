"""One number per setting: how a recorded curve becomes a score, and which setting is best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .record import SweepRecord


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a grid of settings.

    Attributes:
      mean: [*dims], mean over seeds; NaN where the setting is out: a seed diverged or scored no
        finite number.
      per_seed: [*dims, seed], as recorded.
      mode: "min" or "max".
    """

    mean: NDArray[np.float64]
    per_seed: NDArray[np.float64]
    mode: str

    def best_index(self) -> tuple[int, ...] | None:
        """Where the best mean stands (the first of equals in grid order); None if all are out."""
        if np.isnan(self.mean).all():
            return None
        flat = np.argmin(_ranked(self.mean, self.mode))
        return tuple(int(i) for i in np.unravel_index(flat, self.mean.shape))

    def at_best(self, kept: Sequence[int]) -> "Scores":
        """The scores over some axes of the grid, in that order, the others at their best value."""
        others = [axis for axis in range(self.mean.ndim) if axis not in kept]
        shape = tuple(self.mean.shape[axis] for axis in kept)
        mean = self.mean.transpose(*kept, *others).reshape(*shape, -1)
        per_seed = self.per_seed.transpose(*kept, *others, -1).reshape(*mean.shape, -1)
        pick = np.argmin(_ranked(mean, self.mode), axis=-1)[..., None]
        return Scores(
            np.take_along_axis(mean, pick, -1)[..., 0],
            np.take_along_axis(per_seed, pick[..., None], -2)[..., 0, :],
            self.mode,
        )


def score(record: SweepRecord, metric: str, mode: str, at: str) -> Scores:
    """Scores each setting of a record; the arguments are those of `SweepResult.best`."""
    if mode not in ("min", "max"):
        raise ValueError(f"mode is {mode!r}, but it must be 'min' or 'max'")
    if at not in ("last", "best"):
        raise ValueError(f"at is {at!r}, but it must be 'last' or 'best'")
    values = record.series(metric).values
    per_seed = _last(values) if at == "last" else _best_over_time(values, mode)
    out = record.diverged.any(-1) | ~np.isfinite(per_seed).all(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(out, np.nan, per_seed.mean(-1))
    return Scores(np.where(np.isfinite(mean), mean, np.nan), per_seed, mode)


def _last(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values[..., -1], np.float64)


def _best_over_time(values: NDArray[Any], mode: str) -> NDArray[np.float64]:
    # fmin and fmax pass over NaN, which stands where a metric was not defined.
    best: np.ufunc = np.fmin if mode == "min" else np.fmax
    return np.asarray(best.reduce(values, axis=-1), np.float64)


def _ranked(mean: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    """The mean as something to minimize, infinite where the setting is out."""
    return np.where(np.isnan(mean), np.inf, mean if mode == "min" else -mean)

"""Which settings a picture of curves shows, and curves smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.plots import style
from jopt.results.record import SweepRecord
from jopt.values import require
from jopt.values.numbers import Axis

Top = int | Literal["all"]

EVERY = (-np.inf, np.inf)
FEW = 7  # lines that a reader can tell apart, and that a legend can name
ROLES = ("best", "1st quartile", "median", "3rd quartile", "worst")


class Chosen(NamedTuple):
    """The settings that are shown, by their flat position in the grid.

    Attributes:
      settled: Those that did not diverge, in the order of the legend.
      roles: What each of them stands for ("median"), or "".
      best: The best of several, or None.
      lost: Those that did not diverge, and yet have no score that is finite.
      diverged: Those that diverged.
      total: How many there were to choose from.
      size: How many the sweep has.
      told: What was selected, in words.
    """

    settled: tuple[int, ...]
    roles: tuple[str, ...]
    best: int | None
    lost: tuple[int, ...]
    diverged: tuple[int, ...]
    total: int
    size: int
    told: str = ""

    @property
    def title(self) -> str | None:
        """What the legend says of settings that are not shown."""
        shown = len(self.settled) + len(self.diverged)
        if shown == self.size:
            return None
        if not self.told:
            return f"{len(self.settled)} of {self.size} settings"
        if shown == self.total:
            return f"{shown} of {self.size} settings: {self.told}"
        return f"{len(self.settled)} of the {self.total} settings with {self.told}"


def choose(
    record: SweepRecord,
    ranked: scores.Ranking,
    top: Top | None,
    select: Mapping[str, Any] | None,
) -> Chosen:
    """All of a few settings, the best, quartiles and worst of many; or what is asked for."""
    whole = isinstance(top, (int, np.integer)) and not isinstance(top, bool) and top >= 1
    if top is not None and not whole and not (isinstance(top, str) and top == "all"):
        raise ValueError(f'top must be how many of the best to show, at least 1, or "all", but is {require.shown(top)}.')
    scored = scores.score(record, ranked).mean.ravel()
    among = _selected(record, select or {})
    if not among.any():
        raise ValueError(f"select={require.shown(select)} leaves no setting to show.")
    out = record.diverged.any(-1).ravel()
    order = np.argsort(scored if ranked.mode == "min" else -scored, kind="stable")
    order = order[(among & ~np.isnan(scored))[order]]  # best first
    settled, diverged = np.flatnonzero(among & ~out), np.flatnonzero(among & out)
    roles: tuple[str, ...] = ()
    if isinstance(top, (int, np.integer)):
        settled, diverged = order[:top], diverged[:0]
    elif top is None and select is None and len(settled) > FEW and len(order):
        settled, roles = _handful(order)
    best = int(order[0]) if len(order) and among.sum() > 1 else None
    roles = roles or tuple("best" if flat == best else "" for flat in settled)
    lost = np.flatnonzero(among & ~out & np.isnan(scored))
    told = "; ".join(_told(record, name, wanted) for name, wanted in (select or {}).items())
    return Chosen(_ints(settled), roles, best, _ints(lost), _ints(diverged), int(among.sum()), among.size, told)


def _handful(order: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    if len(order) <= FEW:
        return order, ("best",) + ("",) * (len(order) - 1)
    places = np.rint(np.linspace(0, len(order) - 1, len(ROLES))).astype(int)
    return order[places], ROLES


def _ints(found: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(flat) for flat in found)


def _selected(record: SweepRecord, select: Mapping[str, Any]) -> NDArray[np.bool_]:
    kept = np.ones(record.shape, bool)
    for name, wanted in select.items():
        axis, values = record.coordinate(name)
        shape = [1] * len(record.dims)
        shape[axis] = -1
        kept &= _matching(name, values, wanted).reshape(shape)
    return kept.ravel()


def _told(record: SweepRecord, name: str, wanted: Any) -> str:
    """What of one axis was selected, in words."""
    _, values = record.coordinate(name)
    if isinstance(wanted, slice) and _numeric(values):
        ends = [None if end is None else style.value(end) for end in (wanted.start, wanted.stop)]
        return (
            f"{name} {ends[0]} to {ends[1]}" if all(ends) else f"{name} from {ends[0]}" if ends[0] else f"{name} to {ends[1]}"
        )
    found = dict.fromkeys(style.value(value) for value in values[_matching(name, values, wanted)])
    return f"{name}={', '.join(found)}"


def _matching(name: str, values: NDArray[Any], wanted: Any) -> NDArray[np.bool_]:
    """Which values of an axis are wanted: one, several, or those between two ends."""
    if isinstance(wanted, slice) and _numeric(values):
        low = (
            -np.inf
            if wanted.start is None
            else require.between(f"select: the start of {name}", wanted.start, *EVERY, ends="[]")
        )
        high = np.inf if wanted.stop is None else require.between(f"select: the stop of {name}", wanted.stop, *EVERY, ends="[]")
        return np.asarray((values >= low) & (values <= high))
    several = wanted.values if isinstance(wanted, Axis) else wanted
    if isinstance(several, (list, tuple, set, range)) or hasattr(several, "dtype"):
        try:
            listed = list(np.ravel(np.asarray(several)) if hasattr(several, "dtype") else several)
        except Exception:  # an array that was deleted, or one of what NumPy does not know
            raise TypeError(f"select: the values of {name} can't be read: {require.shown(several)}.") from None
    else:
        listed = [several]
    if not listed:
        raise ValueError(f"select: there is no value of {name} in {require.shown(wanted)}.")
    return np.asarray(np.any([_equal(name, values, found) for found in listed], axis=0))


def _equal(name: str, values: NDArray[Any], wanted: Any) -> NDArray[np.bool_]:
    """Which values are this one; a number that is none of them is looked for as it is shown."""
    if _numeric(values) and isinstance(wanted, (int, float, np.number)):
        exact = np.isclose(values, require.real(wanted) or 0.0, rtol=1e-6, atol=0.0)
        if exact.any():
            return np.asarray(exact)
    shown = [style.value(found) for found in values]
    if style.value(wanted) not in shown:
        raise ValueError(f"select: no {name} of this result is {style.value(wanted)}; it has {', '.join(shown)}.")
    return np.array([found == style.value(wanted) for found in shown])


def _numeric(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "iuf"


def check_smooth(smooth: float | None) -> None:
    """Raises for a smoothing that is neither a window nor a weight."""
    window = isinstance(smooth, (int, np.integer)) and not isinstance(smooth, bool) and smooth >= 1
    if smooth is not None and not window and not (isinstance(smooth, float) and 0 < smooth < 1):
        raise ValueError(
            "smooth must be a whole number, the records that are averaged, or a number between 0 and 1, "
            f"the weight of the past in an exponential mean, but is {require.shown(smooth)}."
        )


def smoothing(smooth: float | None) -> str:
    """The smoothing in words, for the label of an axis."""
    if smooth is None or smooth == 1:
        return ""
    return f" (mean of {smooth} records)" if isinstance(smooth, (int, np.integer)) else f" (exponential mean, {smooth:g})"


def smoothed(values: NDArray[Any], smooth: float) -> NDArray[np.float64]:
    """Values [..., n] averaged over the past; what is not finite counts for nothing and stays NaN."""
    found = np.where(np.isfinite(values), values, np.nan)
    means = _window(found, int(smooth)) if isinstance(smooth, (int, np.integer)) else _exponential(found, smooth)
    return np.where(np.isnan(found), np.nan, means)


def _window(values: NDArray[Any], length: int) -> NDArray[Any]:
    length = min(length, values.shape[-1])  # a longer one would hold nothing more
    before = np.full((*values.shape[:-1], length - 1), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, values], -1), length, -1)
    count = np.isfinite(windows).sum(-1)
    return np.asarray(np.nansum(windows, -1) / np.maximum(count, 1))


def _exponential(values: NDArray[Any], weight: float) -> NDArray[Any]:
    total, mass = np.zeros(values.shape[:-1]), np.zeros(values.shape[:-1])
    means = np.empty(values.shape)
    for i in range(values.shape[-1]):
        now = values[..., i]
        seen = ~np.isnan(now)
        total = np.where(seen, weight * total + (1 - weight) * np.where(seen, now, 0.0), total)
        mass = np.where(seen, weight * mass + (1 - weight), mass)
        means[..., i] = total / np.where(mass > 0, mass, 1.0)
    return means

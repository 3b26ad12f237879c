"""The colours of a picture's lines: a place in the legend, or the value of a hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jopt.kinds import kind_of_all
from jopt.results.plots import style
from jopt.results.plots.choosing import FEW, Chosen
from jopt.results.plots.scales import Scale, scale_of_axis
from jopt.results.record import SweepRecord

DASHES = ("-", "--", ":", "-.")


class Hues:
    """Colours for the settings that a picture shows.

    Lines that the legend names have colours evenly apart; of more lines the colours stand for the values of one
    hyperparameter, which a colour bar shows, or the legend where there are few. Then the dashes of lines stand for another one
    that has up to four values, and the legend says which others nothing stands for.

    Attributes:
      name: The hyperparameter, or None where nothing was swept.
      bar: Whether a colour bar is needed.
    """

    def __init__(self, record: SweepRecord, chosen: Chosen, color: str | None, named: bool) -> None:
        self.name = _first(record) if color is None else color
        self._shown = [*chosen.settled, *chosen.diverged]
        self._named = named
        found = self._values(record)
        self._levels: list[Any] = _ordered(found)
        self.bar = not named and found.dtype.kind in "iuf" and len(self._levels) > FEW
        self._kind = record.kinds.get(self.name or "")
        self._scale, self._ends = Scale(), (0.0, max(len(self._levels) - 1.0, 1.0))
        self._shades = dict(zip(self._shown, map(self._levels.index, found.tolist()), strict=True))
        if self.bar:
            self._scale, self._ends = scale_of_axis(found, self._kind), (float(found.min()), float(found.max()))
            self._shades = dict(zip(self._shown, found.tolist(), strict=True))
        elif named and color is None:
            self._spread(chosen.settled)
        self._dashed: tuple[str, list[Any]] = ("", [])
        self._dashes: dict[int, str] = {}
        self._untold: list[str] = []
        if len({self._shades[flat] for flat in chosen.settled}) < len(chosen.settled):
            self._tell_apart(record, chosen.settled)

    def _values(self, record: SweepRecord) -> NDArray[Any]:
        if self.name is None:
            return np.zeros(len(self._shown))
        axis, values = record.coordinate(self.name)
        return np.asarray(values[np.unravel_index(self._shown, record.shape)[axis]]) if self._shown else values[:0]

    def _spread(self, settled: Sequence[int]) -> None:
        """Gives each line of the legend a colour of its own, in the order of its number where it has one to itself."""
        shades = [self._shades[flat] for flat in settled]
        order = np.argsort(shades, kind="stable") if len(set(shades)) == len(shades) else np.arange(len(shades))
        self._shades.update({settled[place]: rank for rank, place in enumerate(order)})
        self._ends = (0.0, max(len(shades) - 1.0, 1.0))

    def _tell_apart(self, record: SweepRecord, settled: Sequence[int]) -> None:
        """Gives the lines of one colour dashes, by the first other hyperparameter with few values."""
        for dim, at in zip(record.dims, np.unravel_index(np.asarray(settled), record.shape), strict=True):
            names = record.names_along(dim)
            values = np.asarray(record.coords[names[0]][1])[at]
            levels = _ordered(values)
            if self.name in (dim, *names) or len(levels) < 2:
                continue
            if self._dashes or len(levels) > len(DASHES):
                self._untold.append(names[0])
                continue
            self._dashed = names[0], levels
            dashes = [DASHES[levels.index(value)] for value in values.tolist()]
            self._dashes = dict(zip(settled, dashes, strict=True))

    def dashes(self, flat: int) -> str:
        """The dashes of the line of a setting."""
        return self._dashes.get(flat, "-")

    def color(self, flat: int) -> Any:
        """The colour of a setting."""
        return style.colormap()(self._scale.norm(*self._ends)(self._shades[flat]))

    def entries(self) -> list[style.Entry]:
        """What the legend says of colours that stand for a few values, of dashes, and of what neither stands for."""
        from matplotlib.lines import Line2D

        if self._named or self.name is None:
            return []
        name, levels = self._dashed
        colors = [] if self.bar else [self._entry(rank) for rank in range(len(self._levels))]
        dashed = [Line2D([], [], color="0.4", ls=dashes) for dashes, _ in zip(DASHES, levels, strict=False)]
        told = [style.Entry(line, f"{name}={style.value(level)}") for line, level in zip(dashed, levels, strict=True)]
        untold = [style.Entry(Line2D([], [], ls=""), f"not told apart: {', '.join(self._untold)}")] if self._untold else []
        return [*colors, *told, *untold]

    def _entry(self, rank: int) -> style.Entry:
        from matplotlib.lines import Line2D

        color = style.colormap()(self._scale.norm(*self._ends)(rank))
        return style.Entry(Line2D([], [], color=color), f"{self.name}={style.value(self._levels[rank])}")

    def add_bar(self, axes: Any) -> None:
        """The colour bar, beside axes or beside several."""
        from matplotlib.cm import ScalarMappable

        assert self.name is not None
        shown = ScalarMappable(self._scale.norm(*self._ends), style.colormap())
        style.colorbar(shown, axes, self.name, **self._scale.tick(self._ends))

    @staticmethod
    def unite(several: Sequence[Hues]) -> bool:
        """Gives colours that stand for the same hyperparameter the same scale; whether they do."""
        if len({hues.name for hues in several}) > 1:
            return False
        kind = kind_of_all(hues._kind for hues in several)
        values = np.array([shade for hues in several for shade in hues._shades.values()])
        for hues in several:
            hues._scale, hues._ends = scale_of_axis(values, kind), (float(values.min()), float(values.max()))
        return True


def _first(record: SweepRecord) -> str | None:
    """The hyperparameter that colours stand for: the first with several values."""
    several = [dim for dim, size in zip(record.dims, record.shape, strict=True) if size > 1]
    return record.names_along(several[0])[0] if several else None


def _ordered(values: NDArray[Any]) -> list[Any]:
    """The different values, numbers ascending, others in the order of their axis."""
    return np.unique(values).tolist() if values.dtype.kind in "iuf" else list(dict.fromkeys(values.tolist()))

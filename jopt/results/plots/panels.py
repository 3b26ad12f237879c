"""A panel for each group, all with the same vertical axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.results import scores
from jopt.results.plots import choosing, style
from jopt.results.plots.curves import Asked, Curves, rate_of
from jopt.results.plots.hues import Hues
from jopt.results.plots.rungs import Rungs, check_pruned
from jopt.results.plots.scales import View, view, view_of_rates
from jopt.results.record import SweepRecord
from jopt.values import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panels = Sequence["Axes"] | NDArray[Any] | None
Records = Mapping[str, SweepRecord]
Make = Callable[[SweepRecord, Asked], Curves]


def curve_panels(records: Records, ranked: scores.Ranking, asked: Asked, panels: Panels) -> NDArray[Any]:
    """The curves of each group of what ranks."""
    choosing.check_smooth(asked.smooth)
    every = _every(records, asked, lambda record, mine: Curves(record, ranked, ranked.metric, mine))
    return _draw(every, _common_view(every, ranked.mode), asked.legend, _axes("curves", every, asked.legend, panels))


def rate_panels(records: Records, ranked: scores.Ranking, asked: Asked, panels: Panels) -> NDArray[Any]:
    """The learning rates of each group as they ran."""
    every = _every(records, asked, lambda record, mine: Curves(record, ranked, rate_of(record), mine))
    length = max(len(curves.steps) for curves in every.values())
    seen = view_of_rates(np.concatenate([_filled(curves.shown(), length) for curves in every.values()]))
    return _draw(every, seen, asked.legend, _axes("rate", every, asked.legend, panels))


def rung_panels(records: Records, ranked: scores.Ranking, asked: Asked, panels: Panels) -> NDArray[Any]:
    """The rungs of each group."""
    check_pruned(records.values())
    every = _every(records, asked, lambda record, mine: Rungs(record, ranked, mine))
    return _draw(every, _common_view(every, ranked.mode), asked.legend, _axes("rungs", every, asked.legend, panels))


def _every(records: Records, asked: Asked, make: Make) -> dict[str, Curves]:
    return {name: make(record, _of_group(asked, record, records)) for name, record in records.items()}


def _of_group(asked: Asked, record: SweepRecord, records: Records) -> Asked:
    """What is asked of one group: only names that it swept, unless no group did."""
    swept = {name for each in records.values() for name in (*each.coords, *each.dims)}
    mine = {*record.coords, *record.dims} | ({*(asked.select or {})} - swept)
    select = None if asked.select is None else {name: asked.select[name] for name in asked.select if name in mine}
    color = asked.color if asked.color in mine or asked.color not in swept else None
    return asked._replace(select=select, color=color)


def _common_view(every: Mapping[str, Curves], mode: str) -> View:
    values = np.concatenate([curves.shown().ravel() for curves in every.values()])
    return view(values, mode, [start for curves in every.values() for start in curves.starts()])


def _filled(lines: NDArray[Any], length: int) -> NDArray[Any]:
    """Lines [..., n] as rows of one length."""
    rows = lines.reshape(-1, lines.shape[-1])
    return np.pad(rows, [(0, 0), (0, length - rows.shape[1])], constant_values=np.nan)


def _axes(what: str, every: Mapping[str, Curves], legend: bool, panels: Panels) -> NDArray[Any]:
    beside = legend and any(curves.named for curves in every.values())
    return panels_for(what, len(every), panels, 8.0 if beside else 6.0)


def panels_for(what: str, count: int, panels: Panels, width: float, columns: int = 2, height: float = 3.8) -> NDArray[Any]:
    """The axes that were given, as many as there are groups; or those of a new figure."""
    if panels is None:
        return _grid(count, width, min(count, columns), height)
    flat = panels.ravel() if isinstance(panels, np.ndarray) else panels
    given = require.listed(f"{what}: ax", flat, "axes") if isinstance(flat, Iterable) else [flat]
    shown = np.empty(len(given), object)
    shown[:] = [style.checked(ax) for ax in given]
    if len(shown) != count:
        raise ValueError(f"{what}: {count} groups need as many axes, but {len(shown)} were given.")
    return shown


def _grid(count: int, width: float, columns: int, height: float) -> NDArray[Any]:
    rows = -(-count // columns)
    size = (width * columns, height * rows)
    figure, panels = style.pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for spare in panels.ravel()[count:]:
        figure.delaxes(spare)
    return np.asarray(panels.ravel()[:count])


def _draw(every: Mapping[str, Curves], seen: View, legend: bool, shown: NDArray[Any]) -> NDArray[Any]:
    barred = [curves.hues for curves in every.values() if curves.hues.bar]
    shared = len(barred) > 1 and Hues.unite(barred)
    for ax, (name, curves) in zip(shown, every.items(), strict=True):
        entries = [*curves.draw(ax, seen), *curves.notes(), *curves.hues.entries()]
        ax.set_title(name, parse_math=False)
        if curves.hues.bar and not shared:
            curves.hues.add_bar(ax)
        if legend:
            style.legend(ax, entries, under=curves.hues.bar, title=curves.title)
    if shared:
        barred[0].add_bar([ax for ax, curves in zip(shown, every.values(), strict=True) if curves.hues.bar])
    return shown

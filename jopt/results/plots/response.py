"""Response: the score against one swept number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jopt.kinds import kind_of_all
from jopt.rates import RATE
from jopt.results import scores, text
from jopt.results.along import capped
from jopt.results.plots import edges, style
from jopt.results.plots.profile import Profile, is_numeric, profile
from jopt.results.plots.scales import Scale, View, scale_of_axis, view
from jopt.results.plots.suggested import draw_suggestion, fit_of
from jopt.results.record import SweepRecord
from jopt.values import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VARIOUS = "the number that the legend names"


def draw_response(
    record: SweepRecord, ranked: scores.Ranking, x: str | None, color: str | None, suggestion: bool, ax: Axes | None
) -> Axes:
    """One record: line, or points where settings were drawn; the spread of seeds, the best, what diverged, the suggestion."""
    require.flag("suggestion", suggestion)
    line = profile(record, ranked, x)
    ax = style.axes(ax, 8.0)
    seen, scale = _set_scales(ax, [line], [record], ranked, style.words(line.name))
    if line.others:
        other = _color_of(line, color)
        entries = _draw_points(ax, line, other, record.kinds.get(other))
    else:
        _no_color(line, color)
        entries = _draw_line(ax, line, style.GROUPS[0], _about(line, len(record.seeds)) if line.best is not None else "")
    entries += [*_range(line, len(record.seeds)), *edges.entry(_mark_beyond(ax, line, seen, scale, style.GROUPS[0]))]
    entries += _draw_diverged(ax, line, style.OUT, _row_height(1) / 2, ranked.mode)
    if line.best is not None:
        score = float(line.mean[line.best])
        label = f"best: {line.name}={line.where}, {ranked.metric} {text.number(score)}"
        entries.insert(0, style.Entry(style.star(ax, line.x[line.best], score, style.BEST), label))
    fit = fit_of(record, ranked, line.name) if suggestion else None
    if fit is not None:
        entries += draw_suggestion(ax, fit, record, ranked, line.mean[np.isin(line.x, fit.values)])
    style.legend(ax, entries, under=True)
    return ax


def _about(line: Profile, seeds: int) -> str:
    parts = [f"mean of {seeds} seeds"] if seeds > 1 else []
    parts += [f"{', '.join(line.at_best)} at best"] if line.at_best else []
    return "; ".join(parts)


def _color_of(line: Profile, color: str | None) -> str:
    if color is None:
        return next((name for name, values in line.others.items() if is_numeric(values)), next(iter(line.others)))
    if color not in line.others:
        known = ", ".join(line.others)
        raise ValueError(f"response: the number {color!r} was not drawn together with {line.name!r}; {known} was.")
    return color


def _no_color(line: Profile, color: str | None) -> None:
    if color is not None:
        raise ValueError(
            f"response: color= is for numbers that were drawn together, but {line.name!r} was drawn with no other; "
            f"plot.curves(color={color!r}) colours the curves, and plot.heatmap() shows two axes of a grid."
        )


def draw_compare(
    records: dict[str, SweepRecord],
    ranked: scores.Ranking,
    x: str | None,
    is_rate: Callable[[str, str], bool],
    ax: Axes | None,
) -> Axes:
    """The response of each group in one axes; a group of one setting is a level line.

    ``is_rate`` says of a group and a number whether that is a learning rate.
    """
    lines = {name: profile(r, ranked, x) for name, r in records.items() if r.dims}
    ax = style.axes(ax, 9.0)
    single = {n: scores.score(r, ranked) for n, r in records.items() if not r.dims}
    levels = np.array([float(scored.mean) for scored in single.values()])
    shared = _shared(lines, is_rate)
    seen, scale = _set_scales(ax, list(lines.values()), records.values(), ranked, shared or VARIOUS, levels)
    gone = False
    entries = []
    for row, name in enumerate(records):
        color = style.GROUPS[row % len(style.GROUPS)]
        height = _row_height(len(records)) * (row + 0.5)
        if name in lines:
            entries += _draw_group(ax, name, lines[name], color, height, ranked.mode, named=not shared)
            gone |= _mark_beyond(ax, lines[name], seen, scale, color)
        else:
            entries += _draw_level(ax, name, float(single[name].mean), color)
    style.legend(ax, [*entries, *_compare_notes(list(lines.values()), records), *edges.entry(gone)])
    return ax


def _shared(lines: Mapping[str, Profile], is_rate: Callable[[str, str], bool]) -> str:
    """What all groups have along the x axis, in words; "" where they have different things there."""
    names = {line.name for line in lines.values()}
    if len(names) > 1:
        return style.words(RATE) if all(is_rate(group, line.name) for group, line in lines.items()) else ""
    return style.words(names.pop()) if names else VARIOUS


def _draw_group(ax: Axes, name: str, line: Profile, color: str, height: float, mode: str, named: bool) -> list[style.Entry]:
    label = f"{name}: all diverged" if line.out == "diverged" else f"{name}: {line.out}"
    if line.best is not None:
        score = float(line.mean[line.best])
        others = f", {', '.join(line.at_best)} at best for each point" if line.at_best else ""
        label = f"{name}: {text.number(score)} at {f'{line.name}=' if named else ''}{line.where}{others}"
        style.star(ax, line.x[line.best], score, color)
    entries = _draw_line(ax, line, color, label)
    _draw_diverged(ax, line, color, height, mode)
    return entries


def _draw_level(ax: Axes, name: str, score: float, color: str) -> list[style.Entry]:
    if np.isfinite(score):
        label = f"{name}: {text.number(score)}"
        handle: Any = ax.axhline(score, color=color, ls=":", label=label)
    else:
        label = f"{name}: diverged"
        (handle,) = ax.plot([], [], "x", color=color, label=label)
    return [style.Entry(handle, label)]


def _compare_notes(lines: Sequence[Profile], records: Mapping[str, SweepRecord]) -> list[style.Entry]:
    seeds = max(len(record.seeds) for record in records.values())
    notes = [*next((_range(line, seeds) for line in lines if _differs(line)), [])]
    out = [line.out for line in lines if np.isnan(line.mean).any()]
    notes += [style.star_entry("star: the best of each")] if any(line.best is not None for line in lines) else []
    return [*notes, *([style.diverged_entry(max(out, key=len), line=False)] if out else [])]


def _set_scales(
    ax: Axes,
    lines: Sequence[Profile],
    records: Collection[SweepRecord],
    ranked: scores.Ranking,
    across: str,
    more: NDArray[Any] | None = None,
) -> tuple[View, Scale]:
    values = np.concatenate([*[np.concatenate([line.low, line.high]) for line in lines], [] if more is None else more])
    crossed = any(np.isnan(line.mean).any() for line in lines)
    rows = len(records)
    seen = view(capped(values, records, ranked), ranked.mode)
    seen = seen.widened(ranked.mode, _row_height(rows) * rows if crossed else 0.0)
    seen.apply(ax)
    style.label_axes(ax, across, f"{style.words(ranked.metric)} ({scores.moment(next(iter(records)), ranked)})")
    scale = _lay_out(ax, lines)
    if not np.isfinite(values).any():
        ax.set_yticks([])  # no score, so no scale
    return seen, scale


def _mark_beyond(ax: Axes, line: Profile, seen: View, scale: Scale, color: str) -> bool:
    """Marks where scores lie beyond the frame; whether any does."""
    if line.apart:
        return edges.mark_points(ax, line.x, line.mean, seen, color)
    return edges.mark_exits(ax, line.x, line.mean, seen, color, across=scale)


def _lay_out(ax: Axes, lines: Sequence[Profile]) -> Scale:
    named = [line for line in lines if line.ticks]
    if named:
        ax.set_xticks(range(len(named[0].ticks)), list(map(style.wrapped_tick, named[0].ticks)), parse_math=False)
        ax.margins(x=0.1)
    if named or not lines:
        return Scale()
    values = np.concatenate([line.x for line in lines])
    scale = scale_of_axis(values, kind_of_all(line.kind for line in lines))
    scale.lay_out(ax, values)
    return scale


def _row_height(rows: int) -> float:
    """Height of a row of crosses, as a share of the axes; all rows take a third at most."""
    return min(0.045, 1 / (3 * max(rows, 1)))


def _draw_line(ax: Axes, line: Profile, color: str, label: str) -> list[style.Entry]:
    if line.apart:
        (drawn,) = ax.plot(line.x, line.mean, "o", color=color, ms=4.5, label=label)
        _draw_bars(ax, line, color)
    else:
        (drawn,) = ax.plot(line.x, line.mean, "o-", color=color, ms=3.5, lw=1.5, label=label)
        if _differs(line):
            ax.fill_between(line.x, line.low, line.high, color=color, alpha=0.18, lw=0)
    return [style.Entry(drawn, label)] if label else []


def _draw_points(ax: Axes, line: Profile, other: str, kind: str | None) -> list[style.Entry]:
    shades = line.others[other]
    places = np.column_stack([line.x, line.mean])
    ax.update_datalim(places[np.isfinite(places).all(axis=1)])  # Matplotlib 3.9 scales a scatter before it knows where it lies
    _draw_bars(ax, line, "0.7")
    if not is_numeric(shades):
        return _draw_kinds(ax, line, other)
    scale = scale_of_axis(shades, kind)
    norm = scale.norm(float(shades.min()), float(shades.max()))
    points = ax.scatter(line.x, line.mean, c=shades, cmap=style.colormap(), norm=norm, s=26, zorder=3)
    style.colorbar(points, ax, other, **scale.tick(shades))
    return []


def _draw_kinds(ax: Axes, line: Profile, other: str) -> list[style.Entry]:
    """Points in a colour for each choice that was made beside the number."""
    entries = []
    for i, kind in enumerate(dict.fromkeys(line.others[other].tolist())):
        here = np.array([value == kind for value in line.others[other].tolist()])
        color, label = style.GROUPS[i % len(style.GROUPS)], f"{other}={style.value(kind)}"
        (points,) = ax.plot(line.x[here], line.mean[here], "o", color=color, ms=5, zorder=3, label=label)
        entries.append(style.Entry(points, label))
    return entries


def _draw_bars(ax: Axes, line: Profile, color: str) -> None:
    if _differs(line):
        ax.vlines(line.x, line.low, line.high, color=color, lw=1.0, alpha=0.6, zorder=1.5)


def _differs(line: Profile) -> bool:
    return bool((line.low < line.high).any())


def _range(line: Profile, seeds: int) -> list[style.Entry]:
    return [style.range_entry(seeds, bars=line.apart)] if _differs(line) else []


def _draw_diverged(ax: Axes, line: Profile, color: str, height: float, mode: str) -> list[style.Entry]:
    out = line.x[np.isnan(line.mean)]
    if not len(out):
        return []
    heights = np.full(len(out), 1 - height if mode == "min" else height)
    place = ax.get_xaxis_transform()  # x in data, y as a share of the axes
    (crosses,) = ax.plot(out, heights, "x", color=color, ms=6, mew=1.6, transform=place)
    return [style.Entry(crosses, line.out)]

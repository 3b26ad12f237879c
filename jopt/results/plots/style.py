"""What the pictures share: axes, colours, legends, and text that stays text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jopt.results import text
from jopt.results.record import SweepRecord
from jopt.values import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUT = "0.55"  # the grey of what diverged
BEST = "#d62728"
# Okabe and Ito's colours, told apart by colour-blind readers; without yellow, too faint on white.
GROUPS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
WIDEST = 44  # characters of a legend's line
UNDER = 38 / 72  # inches under the axes that tick labels and the axis label need
LINE = 12 / 72  # inches of one more line of tick labels
TICK = 16  # characters of a line of them


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
        return checked(ax)
    new: Axes = pyplot().subplots(figsize=(width, height), layout="constrained")[1]
    return new


def checked(ax: Any) -> Axes:
    """``ax`` where it is one of matplotlib's axes; else a ``TypeError``."""
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be one of matplotlib's axes, plt.subplots()[1], but got {require.shown(ax)}.")
    return ax


def colormap() -> Any:
    """Viridis without its palest part, which is lost on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def star(ax: Axes, x: float, y: float, color: str) -> Any:
    """Marks the best."""
    return ax.plot(x, y, "*", color=color, ms=14, mec="white", ls="", zorder=4, clip_on=False)[0]


def dot_the_lonely(line: Any, values: NDArray[Any]) -> None:
    """Dots where a value has no neighbour that a line could join it to."""
    there = np.isfinite(values)
    before, after = np.append(False, there[:-1]), np.append(there[1:], False)
    lonely = np.flatnonzero(there & ~before & ~after)
    if len(lonely):
        line.set(marker="o", markersize=4, markevery=lonely.tolist())


# Text. Names are the user's own: no "$" of theirs is mathematics, and no leading "_" hides a label.


def words(name: str) -> str:
    """A name as an axis label."""
    return name.replace("_", " ").strip() or name


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Labels both axes, as text."""
    ax.set_xlabel(x, parse_math=False)
    ax.set_ylabel(y, parse_math=False)


def colorbar(mappable: Any, axes: Any, name: str, **options: Any) -> Any:
    """A colour bar beside axes, or beside several that share it."""
    from matplotlib.ticker import NullFormatter

    every = np.ravel(axes)
    bar = every[0].figure.colorbar(mappable, ax=list(every), **options)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.set_label(words(name), parse_math=False)
    return bar


def value(found: Any) -> str:
    """One value of an axis, as legends and ticks show it; an axis of structure has values that are no numbers."""
    found = found.item() if isinstance(found, np.generic) else found
    return text.number(found) if isinstance(found, (int, float)) else str(found)


def setting(record: SweepRecord, flat: int) -> str:
    """What tells a setting from the others: the numbers of which there are several values."""
    index = np.unravel_index(flat, record.shape) if record.shape else ()
    position = dict(zip(record.dims, index, strict=True))
    several = {name: values[position[dim]] for name, (dim, values) in record.coords.items() if len(values) > 1}
    return ", ".join(f"{name}={value(found)}" for name, found in several.items()) or "the only setting"


class Entry(NamedTuple):
    """A line of a legend."""

    handle: Any
    label: str


def legend(ax: Axes, entries: Sequence[Entry], *, under: bool = False, title: str | None = None) -> None:
    """The legend, outside of the data: beside the axes, or under them where a colour bar stands beside.

    A figure with a layout makes room for it; in one without, the axes themselves do, as for a colour bar.
    """
    if not entries:
        return
    if ax.figure.get_layout_engine() is not None:
        _place(ax, entries, title, _below(ax, 2) if under else _BESIDE)
        return
    made = _place(ax, entries, title, _below(ax, 2))
    if made.get_window_extent().width > ax.get_window_extent().width:
        made = _place(ax, entries, title, _below(ax, 1))
    _make_room(ax, made.get_window_extent().height)


_OUTSIDE: dict[str, Any] = {"loc": "upper left", "frameon": False, "borderaxespad": 0.4, "alignment": "left"}
_BESIDE = {**_OUTSIDE, "bbox_to_anchor": (1.0, 1.0)}


def _below(ax: Axes, columns: int) -> dict[str, Any]:
    from matplotlib.transforms import ScaledTranslation

    lower = ax.transAxes + ScaledTranslation(0, -_label_height(ax), ax.figure.dpi_scale_trans)
    return {**_OUTSIDE, "bbox_to_anchor": (0.0, 0.0), "bbox_transform": lower, "ncols": columns}


def _label_height(ax: Axes) -> float:
    """Inches under the axes that tick labels and the axis label need."""
    more = max([label.get_text().count("\n") for label in ax.get_xticklabels()], default=0)
    return UNDER + more * LINE


def _place(ax: Axes, entries: Sequence[Entry], title: str | None, place: dict[str, Any]) -> Any:
    # The labels are set afterwards, because one that begins with "_" would be left out.
    made = ax.legend([entry.handle for entry in entries], ["."] * len(entries), fontsize="small", title=title, **place)
    made.get_title().set(text=_wrapped(title or "", place.get("ncols", 1)), fontsize="small", parse_math=False)
    for shown, entry in zip(made.get_texts(), entries, strict=True):
        shown.set(text=_wrapped(entry.label), parse_math=False)
    return made


def _make_room(ax: Axes, pixels: float) -> None:
    """Shortens axes from below by the height of a legend and of what stands between, to a third of them at most."""
    box, figure = ax.get_position(), ax.figure
    inch = figure.dpi / figure.bbox.height
    room = inch * (pixels / figure.dpi + _label_height(ax) + LINE / 2) - min(inch * UNDER, box.y0)
    height = max(box.height - room, box.height / 3)
    ax.set_position((box.x0, box.y1 - height, box.width, height))


def wrapped_tick(label: str) -> str:
    """The name of a value under an axis, on several lines where it is long."""
    return "\n".join(textwrap.wrap(label, TICK, break_on_hyphens=False)) or label


def _wrapped(label: str, columns: int = 1) -> str:
    return "\n".join(textwrap.wrap(label, WIDEST * columns, break_on_hyphens=False)) or label


def diverged_entry(label: str, line: bool) -> Entry:
    """What a legend shows of the diverged: their cross, with the line that leads to it."""
    from matplotlib.lines import Line2D

    return Entry(Line2D([], [], color=OUT, ls="--" if line else "", marker="x"), label)


def range_entry(seeds: int, bars: bool = False) -> Entry:
    """What a legend says of the bands, or bars, over seeds."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handle = Line2D([], [], color="0.7", ls="", marker="|", ms=10) if bars else Patch(color="0.5", alpha=0.25, lw=0)
    return Entry(handle, f"{'bar' if bars else 'band'}: lowest to highest of {text.count(seeds, 'seed')}")


def star_entry(label: str) -> Entry:
    """What a legend says of stars of any colour."""
    from matplotlib.lines import Line2D

    return Entry(Line2D([], [], color="0.4", ls="", marker="*", ms=9), label)


def line_entry(label: str) -> Entry:
    """What a legend says of lines of any colour."""
    from matplotlib.lines import Line2D

    return Entry(Line2D([], [], color="0.4", lw=0.9), label)


def raw_entry() -> list[Entry]:
    """What a legend says of the faint lines behind smoothed ones."""
    from matplotlib.lines import Line2D

    return [Entry(Line2D([], [], color="0.4", lw=0.7, alpha=0.4), "faint: as it was recorded")]


def why_out(record: SweepRecord, out: NDArray[np.bool_]) -> str:
    """What to call settings without a score: they diverged, were pruned or left, or end with what is not finite."""
    diverged, pruned = out & record.diverged.any(-1), out & record.pruned.any(-1)
    left = out & record.left.any(-1) & ~diverged & ~pruned
    why = {"diverged": diverged, "pruned": pruned & ~diverged, "left behind": left}
    why["not finite"] = out & ~diverged & ~pruned & ~left
    return ", or ".join(name for name, settings in why.items() if settings.any()) or "diverged"

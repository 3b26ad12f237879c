"""A picture of each result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common, tables
from benchmarks.deciding import figures


def sweep(saved: dict[str, Any]) -> Any:
    """How many times faster than each rival, and lane efficiency against the number of lanes, where it was measured."""
    from matplotlib import pyplot as plt

    panels = 2 if saved["efficiency"] else 1
    size = (6.5 * panels, 0.3 * len(saved["rows"]) + 3)
    figure, axes = plt.subplots(1, panels, figsize=size, layout="constrained", squeeze=False)
    left, right = axes[0, 0], axes[0, -1]
    labels = [f"{row['model']} × {row['lanes']}" for row in saved["rows"]]
    for name in saved["rows"][0]["gain"]:
        left.plot([row["gain"][name] for row in saved["rows"]], labels, "o", label=tables.RIVALS[name])
    left.axvline(1.0, color="0.5", linewidth=1)
    left.set(xscale="log", xlabel="times faster with jopt.sweep (warm)", title="Against what people do today")
    left.invert_yaxis()
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    if panels == 1:
        return figure
    for curve in saved["efficiency"]:
        right.plot(curve["lanes"], curve["efficiency"], "o-", label=curve["model"])
    right.set(xscale="log", yscale="log", xlabel="lanes K", ylabel="K t(1) / t(K)", title="Lane efficiency")
    right.legend()
    return figure


def update(saved: dict[str, Any]) -> Any:
    """Bytes per second of the update step, as a share of the triad's."""
    return _bars(
        [f"{r['optimizer']}, {r['leaves']} × {r['elements']:,} {r['dtype']}" for r in saved["rows"]],
        {"of the triad's bandwidth": [r["of_triad"] for r in saved["rows"]]},
        f"The update step: ideal bytes over time, against a triad of {saved['triad_gb_per_s']:.0f} GB/s",
    )


def matrices(saved: dict[str, Any]) -> Any:
    """The sweep, and vmap alone, against eight runs one after another."""
    from matplotlib import pyplot as plt

    labels = [f"{row['optimizer']}, {row['side']} × {row['side']}" for row in saved["rows"]]
    figure, ax = plt.subplots(figsize=(8, 0.35 * len(labels) + 1.8), layout="constrained")
    ax.plot([row["gain"]["one_after_another"] for row in saved["rows"]], labels, "o", label="jopt.sweep, two workers")
    ax.plot([row["vmap_alone"] for row in saved["rows"]], labels, "s", label="jit(vmap(scan))")
    ax.axvline(1.0, color="0.5", linewidth=1)
    ax.axvline(1.5, color="0.5", linewidth=1, linestyle=":")
    ax.set(xlabel="times faster than eight jitted runs one after another", title="Rules on matrices, eight lanes")
    ax.invert_yaxis()
    ax.legend()
    return figure


def overhead(saved: dict[str, Any]) -> Any:
    """The sweep against its own plan by hand."""
    return _against_hand(saved, "Speed of jopt.sweep relative to its own plan written by hand")


def search(saved: dict[str, Any]) -> Any:
    """The sweep against the best plan found."""
    return _against_hand(saved, "Speed of jopt.sweep relative to the best plan found by hand")


def memory(saved: dict[str, Any]) -> Any:
    """Peak memory against what the live lanes need."""
    labels = [f"{r['parameters']:,} parameters × {r['lanes']:,}, width {r['width']}" for r in saved["rows"]]
    return _bars(labels, {"ratio": [r["ratio"] for r in saved["rows"]]}, "Peak memory relative to what the live lanes need")


def checkpoint(saved: dict[str, Any]) -> Any:
    """A sweep that is kept against one that is not."""
    labels = [r["model"] for r in saved["rows"]]
    values = {"ratio": [r["ratio"] for r in saved["rows"]]}
    return _bars(labels, values, f"Time of a sweep saved every {saved['every_s']:.0f} s, relative to one without a checkpoint")


def decide(saved: dict[str, Any]) -> Any:
    """When each rival's recommendation was within 5 % for good; at the right edge where it never was."""
    from matplotlib import pyplot as plt

    rows = saved["rows"]
    runs = [(name, run) for row in rows for name, each in row["rivals"].items() for run in each if "why" not in run]
    names = list(dict.fromkeys(name for name, _ in runs))
    edge = 2 * max(run.get("settled_s") or run["budget_s"] for _, run in runs)
    figure, ax = plt.subplots(figsize=(10, 0.55 * len(rows) + 2.5), layout="constrained")
    for k, (name, marker) in enumerate(zip(names, itertools.cycle("osD^v<>Pp*"), strict=False)):
        times = [figures.median_settled(row["rivals"].get(name, [])) for row in rows]
        heights = [i + 0.6 * (k / max(1, len(names) - 1) - 0.5) for i in range(len(rows))]
        shown = [edge if math.isinf(time) else time for time in times]
        ax.plot(shown, heights, marker, color=f"C{k}", label=name, alpha=0.9)
    ax.axvline(edge / 1.4, color="0.6", linewidth=1, linestyle=":")
    ax.text(edge, 1.0, "never", ha="center", va="bottom", fontsize="small", transform=ax.get_xaxis_transform())
    ax.set_yticks(range(len(rows)), [row["problem"] for row in rows])
    ax.set(xscale="log", xlabel="seconds until the recommendation is within 5 % of the least loss for good (median)")
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def replay(saved: dict[str, Any]) -> Any:
    """The fine grids that everything is judged by."""
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    curves = saved["curves"]
    columns = min(4, len(curves))
    shape = -(-len(curves) // columns), columns
    figure, axes = plt.subplots(*shape, figsize=(3.2 * columns, 2.6 * shape[0]), layout="constrained", squeeze=False)
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    for ax, (name, curve) in zip(axes.flat, curves.items(), strict=False):
        ax.plot(curve["rates"], curve["means"], ".", color="0.6", markersize=4)
        ax.plot(curve["rates"], curve["smoothed"], color="C0")
        ax.axvline(curve["best"], color="C1", linewidth=1)
        low, high = min(curve["smoothed"]), max(curve["smoothed"])
        ax.set(title=name, xscale="log", yscale="log", ylim=(0.8 * low, 1.3 * high))
        ax.title.set_fontsize("medium")
        ax.yaxis.set_minor_locator(ticker.LogLocator(subs=(2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.tick_params(which="both", labelsize="small")
    figure.supxlabel("learning rate")
    figure.supylabel("loss of the last tenth")
    return figure


def _against_hand(saved: dict[str, Any], title: str) -> Any:
    labels = [f"{row['model']} × {row['lanes']}" for row in saved["rows"]]
    return _bars(labels, {"ratio": [row["ratio"] for row in saved["rows"]]}, title)


def _bars(labels: list[str], values: dict[str, list[float]], title: str) -> Any:
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(9, 0.3 * len(labels) + 1.5), layout="constrained")
    for name, numbers in values.items():
        ax.barh(labels, numbers, label=name)
    ax.axvline(1.0, color="0.5", linewidth=1)
    ax.set(title=title)
    ax.invert_yaxis()
    return figure


def scale(saved: dict[str, Any]) -> Any:
    """Seconds and memory against the number of lanes."""
    from matplotlib import pyplot as plt

    rows = [row for row in saved["rows"] if row["case"] == "lanes"]
    lanes = [row["lanes"] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for key, label in (
        ("again_s", "a sweep, by the clock"),
        ("again_cpu_s", "a sweep, CPU"),
        ("read_cpu_s", "best() and a table, CPU"),
    ):
        left.loglog(lanes, [row[key] for row in rows], "o-", label=label)
    left.set(xlabel="lanes of two parameters, 100 steps", ylabel="seconds")
    left.set_ylim(top=100)
    left.legend()
    right.loglog(lanes, [row["peak_mb"] for row in rows], "o-", label="peak above the process")
    right.loglog(lanes, [row["losses_mb"] for row in rows], "o-", label="of it the losses")
    right.set(xlabel="lanes", ylabel="MB")
    right.legend()
    return figure


PLOTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "sweep": sweep,
    "update": update,
    "matrices": matrices,
    "overhead": overhead,
    "search": search,
    "memory": memory,
    "checkpoint": checkpoint,
    "scale": scale,
    "decide": decide,
    "replay": replay,
}


def draw(path: Path) -> Path:
    """Draws a saved result beside its JSON."""
    from matplotlib import pyplot as plt

    saved = common.load(path)
    figure = PLOTS[saved["benchmark"]](saved)
    picture = path.with_suffix(".png")
    figure.savefig(picture, dpi=110)
    plt.close(figure)
    return picture

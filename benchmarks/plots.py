"""A picture of each result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common, tables


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
    left.legend()
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


PLOTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "sweep": sweep,
    "update": update,
    "overhead": overhead,
    "search": search,
    "memory": memory,
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

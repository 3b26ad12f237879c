"""The saved results as Markdown, and the README made from them."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.deciding import figures

RIVALS = {
    "python_loop": "(a) loop",
    "rebuilt": "(b) rebuilt",
    "vmapped_scan": "(c) jit(vmap(scan))",
    "hyperoptax": "(d) hyperoptax",
    "pytorch": "(e) PyTorch",
}
BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def sweep(saved: dict[str, Any]) -> str:
    """How many times faster than each rival, with the geometric means."""
    rows = saved["rows"]
    names = list(rows[0]["gain"])
    lines = [
        [
            r["model"],
            str(r["lanes"]),
            f"{r['warm_s']['jopt']:.3f}",
            f"{r['lane_step_us']:.3g}",
            *(f"{r['gain'][name]:.2f}" for name in names),
            f"{r['cold_s']['jopt']:.2f}",
            f"{r['cold_ratio']:.2f}",
        ]
        for r in rows
    ]
    means = [f"{common.geometric_mean([r['gain'][name] for r in rows]):.2f}" for name in names]
    lines.append(["geometric mean", "", "", "", *means, "", ""])
    head = ["model", "lanes", "jopt, s", "µs per lane-step", *(RIVALS[name] for name in names), "cold, s", "cold / (c) cold"]
    return markdown(head, lines)


def update(saved: dict[str, Any]) -> str:
    """Milliseconds, gains and bandwidth of the update step."""
    named = {name for row in saved["rows"] for name in row["gain"]}
    names = [name for name in ("optax", "optax.flatten", "pytorch") if name in named]
    head = ["optimizer", "leaves", "elements", "type", "jopt, ms", *(f"{n} / jopt" for n in names)]
    lines = [
        [
            r["optimizer"],
            str(r["leaves"]),
            f"{r['elements']:,}",
            r["dtype"],
            f"{r['update_s']['jopt'] * 1e3:.3f}",
            *(f"{r['gain'][name]:.2f}" if name in r["gain"] else "" for name in names),
            "yes" if r["same_code"] else "",
            f"{r['ideal_bytes_per_parameter']:.0f}",
            f"{r['achieved_gb_per_s']:.1f}",
            f"{r['of_triad']:.2f}",
        ]
        for r in saved["rows"]
    ]
    table = markdown([*head, "Optax's code", "ideal bytes", "GB/s", "of triad"], lines)
    return f"Measured triad: {saved['triad_gb_per_s']:.1f} GB/s.\n\n{table}"


def matrices(saved: dict[str, Any]) -> str:
    """Rules on matrices: the sweep against runs one after another, and ``vmap`` alone against these."""
    lines = [
        [
            r["optimizer"],
            f"{r['side']} x {r['side']}",
            *(f"{r['seconds'][name]:.3f}" for name in ("sweep", "one_after_another", "vmap")),
            f"{r['lane_step_us']:.0f}",
            f"{r['gain']['one_after_another']:.2f}",
            f"{r['vmap_alone']:.2f}",
        ]
        for r in saved["rows"]
    ]
    head = ["optimizer", "matrices", "sweep, s", "one after another, s", "vmap, s", "µs per lane-step"]
    return markdown([*head, "sweep: times faster", "vmap alone: times faster"], lines)


def search(saved: dict[str, Any]) -> str:
    """The best plan by hand, and how jopt's choice compares."""
    return _against_hand(saved, "best_plan")


def overhead(saved: dict[str, Any]) -> str:
    """The sweep against its own plan by hand, and the way to the first result."""
    first = ", ".join(f"{name.removesuffix('_s').replace('_', ' ')} {s:.2f} s" for name, s in saved["first_result"].items())
    calls = ", ".join(f"{r['model']} {r['call_ms']:.0f}" for r in saved["rows"] if "call_ms" in r)
    fixed = f"\n\nWhat a call costs whatever its steps (a warm call with two steps), ms: {calls}." if calls else ""
    return f"{_against_hand(saved, 'plan')}{fixed}\n\nIn a fresh process: {first}."


def memory(saved: dict[str, Any]) -> str:
    """The peak of each case against what its live lanes need."""
    head = ["parameters", "lanes", "width", "needed, MB", "of it results", "peak, MB", "peak / needed"]
    lines = [
        [
            f"{r['parameters']:,}",
            f"{r['lanes']:,}",
            str(r["width"]),
            *(f"{r[name]:.0f}" for name in ("needed_mb", "of_it_result_mb", "peak_mb")),
            f"{r['ratio']:.2f}",
        ]
        for r in saved["rows"]
    ]
    return markdown(head, lines)


def checkpoint(saved: dict[str, Any]) -> str:
    """A sweep that is kept against one that is not, and what that is at the default interval."""
    head = ["states", "steps", "without, s", "kept, s", "kept / without", "best", "CPU time", "at 60 s, %", "best, %"]
    names = {"steps": ",", "plain_s": ".2f", "kept_s": ".2f", "ratio": ".3f", "best_ratio": ".3f", "cpu_ratio": ".3f"}
    names |= {"default_percent": ".2f", "default_best_percent": ".2f"}
    lines = [[r["model"], *(format(r[name], how) for name, how in names.items())] for r in saved["rows"]]
    return f"Saved every {saved['every_s']:.0f} s.\n\n{markdown(head, lines)}"


def decide(saved: dict[str, Any]) -> str:
    """How soon each rival's recommendation was within 5 % for good, and what pruning saves when nothing has to be compiled."""
    rows = saved["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["rivals"]))
    lines = [[row["problem"], *_settled(row, names)] for row in rows]
    title = "Seconds until a recommendation was within 5 % of the least loss for good (its excess at the end), medians:"
    table = f"{title}\n\n{markdown(['problem', *names], lines)}"
    whys = {name: run["why"] for row in rows for name, runs in row["rivals"].items() for run in runs if "why" in run}
    told = "".join(f"\n\n{name} could not run: {why}." for name, why in whys.items())
    head = ["warm", "full sweep, s", "auto, s", "auto / full", "lane-steps", "cold: full sweep, s", "auto, s"]
    warm = [_warm(row) for row in rows if row["warm_s"]]
    return f"{table}{told}\n\n{markdown(head, warm)}" if warm else table + told


def _settled(row: dict[str, Any], names: list[str]) -> list[str]:
    """A cell for each rival; bold where it is the first, or within a tenth of the first."""
    times = {name: figures.median_settled(row["rivals"].get(name, [])) for name in names}
    first = min(times.values())
    cells = []
    for name in names:
        excess = figures.median_excess(row["rivals"].get(name, []))
        if excess is None:
            cells.append("nothing" if any("why" not in run for run in row["rivals"].get(name, [])) else "")
            continue
        shown = "never" if math.isinf(times[name]) else f"{times[name]:.1f}"
        bold = "**" if times[name] <= 1.1 * first < math.inf else ""
        cells.append(f"{bold}{shown}{bold} ({excess:.1%})")
    return cells


def _warm(row: dict[str, Any]) -> list[str]:
    warm = row["warm_s"]
    runs = ([run for run in row["rivals"].get(name, []) if run.get("trace")] for name in ("full sweep", "auto"))
    cold = [statistics.median([run["trace"][-1][0] for run in each] or [math.nan]) for each in runs]
    numbers = (warm["full sweep"], warm["auto"], warm["ratio"], warm["lane_steps"], *cold)
    return [row["problem"], *(f"{number:.2f}" for number in numbers)]


def replay(saved: dict[str, Any]) -> str:
    """What rules keep and what suggestions are worth, on the true curves."""
    rules = list(dict.fromkeys(row["rule"] for row in saved["rows"]))
    lines = []
    for rule, kind in itertools.product(rules, ("decays", "constant")):
        rows = [r for r in saved["rows"] if r["rule"] == rule and ("constant" in r["problem"]) == (kind == "constant")]
        if rows:
            worst = max(rows, key=lambda r: r["regret_95"])
            lines.append([f"{rule}, rate {kind}", *_means(rows), f"{worst['regret_95']:.2f} ({worst['problem']})"])
    head = ["rule", "of all steps", "of the full sweep's", "same pick", "regret", "excess of .suggest()", "worst regret, 95 %"]
    suggestions = saved["suggestions"]
    keys = list(dict.fromkeys((row["seeds"], row["factor"]) for row in suggestions))
    pooled = []
    for seeds, factor in keys:
        rows = [r for r in suggestions if (r["seeds"], r["factor"]) == (seeds, factor)]
        worst = min(rows, key=lambda r: r["inside"])
        inside, width, excess, argmin = (statistics.mean(r[n] for r in rows) for n in ("inside", "width", "excess", "argmin"))
        least = f"{worst['inside']:.0%} ({worst['problem']})"
        pooled.append([factor, str(seeds), f"{inside:.0%}", least, f"{width:.2f}", f"{excess:.1%}", f"{argmin:.1%}"])
    titles = [
        "grid factor",
        "seeds",
        "best rate inside",
        "least of a problem",
        "width, grid steps",
        "excess",
        "argmin's excess",
    ]
    return f"{markdown(head, lines)}\n\n{markdown(titles, pooled)}"


def _means(rows: list[dict[str, Any]]) -> list[str]:
    steps, of_full, same, regret, excess = (
        statistics.mean(row[name] for row in rows) for name in ("steps", "of_full", "same", "regret", "excess")
    )
    return [f"{steps:.2f}", f"{of_full:.2f}", f"{same:.0%}", f"{regret:.2f}", f"{excess:.1%}"]


def _against_hand(saved: dict[str, Any], plan: str) -> str:
    lines = [
        [r["model"], str(r["lanes"]), r[plan], f"{r['jopt_s']:.3f}", f"{r['by_hand_s']:.3f}", f"{r['ratio']:.2f}"]
        for r in saved["rows"]
    ]
    return markdown(["model", "lanes", "plan by hand", "jopt, s", "by hand, s", "by hand / jopt"], lines)


def scale(saved: dict[str, Any]) -> str:
    """Seconds and memory against lanes, steps and processes, and the blocks per second of the driver."""
    rows = saved["rows"]
    sweeps = [
        [
            f"{r['lanes']:,} x {r['steps']:,}",
            f"{r['first_s']:.2f}",
            f"{r['again_s']:.2f}",
            f"{r['again_cpu_s']:.2f}",
            f"{r['lane_steps_per_cpu_s'] / 1e6:.2g}",
            f"{r['read_cpu_s']:.2f}",
            f"{r['peak_mb']:.0f}",
            f"{r['losses_mb']:.1f}",
            f"{r['load']:.0f}",
        ]
        for r in rows
        if r["case"] in ("lanes", "steps")
    ]
    head = ["lanes x steps", "first call, s", "again, s", "again, CPU s", "million lane-steps per CPU s"]
    head += ["best and table, CPU s", "peak, MB"]
    shared = [
        [
            str(r["processes"]),
            f"{r['lanes']:,}",
            f"{r['wall_s']:.1f}",
            f"{r['longest_s']:.1f}",
            f"{r['cpu_s']:.1f}",
            f"{r['load']:.0f}",
        ]
        for r in rows
        if r["case"] == "processes"
    ]
    driver = [
        [
            str(r["workers"]),
            str(r["width"]),
            f"{r['blocks']:,}",
            f"{r['seconds']:.1f}",
            f"{r['blocks_per_cpu_s']:,.0f}",
            f"{r['load']:.0f}",
        ]
        for r in rows
        if r["case"] == "driver"
    ]
    return "\n\n".join(
        [
            markdown([*head, "of it losses, MB", "load"], sweeps),
            markdown(
                ["processes", "lanes together", "from start to end, s", "longest sweep, s", "CPU s of all sweeps", "load"],
                shared,
            ),
            markdown(["simulated workers", "lanes of a block", "blocks", "s", "blocks per CPU s", "load"], driver),
        ]
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "sweep": sweep,
    "search": search,
    "update": update,
    "matrices": matrices,
    "overhead": overhead,
    "memory": memory,
    "checkpoint": checkpoint,
    "scale": scale,
    "decide": decide,
    "replay": replay,
}


def section(path: Path) -> str:
    """A saved result as a section: where it was measured, the table, the picture."""
    saved = common.load(path)
    machine = saved["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    hardware = f"{machine['device']}, {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB"
    stolen = machine.get("stolen")  # None where the system does not say
    taken = "" if stolen is None else f", {stolen:.1%} of processor time taken by the host"
    where = f"{hardware}; {versions}; load average when the run ended {machine['load']}{taken}."
    picture = path.with_suffix(".png")
    image = f"\n\n![{saved['benchmark']}](results/{picture.name})" if picture.exists() else ""
    return (
        f"### {saved['benchmark'].capitalize()} ({machine['device']})\n\n{where}\n\n{TABLES[saved['benchmark']](saved)}{image}"
    )


def write(readme: Path, results: Path) -> None:
    """Puts the tables of all saved results between the marks of the README."""
    sections = [section(path) for name in TABLES for path in sorted(results.glob(f"{name}-*.json"))]
    text = readme.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(sections) + f"\n\n{END}{after}")

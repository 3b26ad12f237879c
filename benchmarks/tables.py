"""The saved results as Markdown, and the README made from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common

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


def _against_hand(saved: dict[str, Any], plan: str) -> str:
    lines = [
        [r["model"], str(r["lanes"]), r[plan], f"{r['jopt_s']:.3f}", f"{r['by_hand_s']:.3f}", f"{r['ratio']:.2f}"]
        for r in saved["rows"]
    ]
    return markdown(["model", "lanes", "plan by hand", "jopt, s", "by hand, s", "by hand / jopt"], lines)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "sweep": sweep,
    "search": search,
    "update": update,
    "overhead": overhead,
    "memory": memory,
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

"""``python -m benchmarks [sweep|search|update|overhead|memory|all] [--quick] [--device cpu|gpu] [--out DIR]``."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

PARTS = ("sweep", "search", "update", "overhead", "memory")
HERE = Path(__file__).parent


def main(argv: list[str] | None = None) -> None:
    """Runs the parts asked for; keeps JSON and pictures, and brings the README's tables up to date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, 16 lanes: to see that it works")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="by default what JAX chooses")
    parser.add_argument("--out", type=Path, help="where results go; by default benchmarks/results, and the README is rewritten")
    parser.add_argument("--times", type=int, help="runs of each case; by default 5, 3 with --quick")
    parser.add_argument(
        "--rows", nargs="+", default=[], help='of sweep, search and update: rows such as "CNN 8x8 x 128", the others kept'
    )
    options = parser.parse_args(argv)
    if options.device:
        os.environ["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(options.device, "cpu")  # before JAX starts
    from benchmarks import common, plots, tables

    out = options.out or (HERE.parent / "build" / "benchmarks" if options.quick else HERE / "results")
    times = options.times or (3 if options.quick else 5)
    if not options.quick:
        common.warm_memory()
    for part in PARTS if options.part == "all" else [options.part]:
        given = {"only": options.rows} if part in ("sweep", "search", "update") else {}
        path = importlib.import_module(f"benchmarks.{part}").main(options.quick, out, times, **given)
        print(f"{tables.section(path)}\n\n{path}\n{plots.draw(path)}\n")
    if out == HERE / "results":
        tables.write(HERE / "README.md", out)


if __name__ == "__main__":
    main()

"""``python -m benchmarks [PART|all] [--quick] [--device cpu|gpu] [--out DIR]``, where PART is one of ``PARTS``."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

PARTS = ("sweep", "search", "update", "matrices", "overhead", "memory", "checkpoint", "scale", "decide")
HERE = Path(__file__).parent


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, 16 lanes: to see that it works")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="by default what JAX chooses")
    parser.add_argument("--out", type=Path, help="where results go; by default benchmarks/results, and the README is rewritten")
    parser.add_argument("--times", type=int, help="runs of each case; by default 5, 3 of decide and with --quick")
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        help='of sweep, search, update and matrices: rows such as "CNN 8x8 x 128"; of decide: problems; the others kept',
    )
    parser.add_argument("--budget", type=float, help="of decide: seconds that each rival has at most, by default 60")
    parser.add_argument("--fresh", action="store_true", help="of decide: forget what is there of these problems")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--truth", action="store_true", help="of decide: train the fine grids that are not there yet, no more")
    only.add_argument("--replay", action="store_true", help="of decide: pruners and suggestions on the fine grids, no timing")
    return parser.parse_args(argv)


def _decide(options: argparse.Namespace, out: Path) -> Path | None:
    from benchmarks import decide

    asked = options.quick, out
    if options.truth:
        decide.find_truth(*asked, options.rows, options.fresh)
        return None
    if options.replay:
        return decide.replay(*asked, options.rows)
    return decide.main(*asked, options.times, options.rows, options.budget, options.fresh)


def main(argv: list[str] | None = None) -> None:
    """Runs the parts asked for; keeps JSON and pictures, and brings the README's tables up to date."""
    options = _options(argv)
    if options.device:
        os.environ["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(options.device, "cpu")  # before JAX starts
    from benchmarks import common, plots, tables

    out = options.out or (HERE.parent / "build" / "benchmarks" if options.quick else HERE / "results")
    times = options.times or (3 if options.quick else 5)
    if not (
        options.quick or options.truth or options.replay or options.part == "scale"
    ):  # scale measures in processes of its own
        common.warm_memory()
    for part in PARTS if options.part == "all" else [options.part]:
        given = {"only": options.rows} if part in ("sweep", "search", "update", "matrices") else {}
        if part == "decide":
            path = _decide(options, out)
        else:
            path = importlib.import_module(f"benchmarks.{part}").main(options.quick, out, times, **given)
        if path is not None:
            print(f"{tables.section(path)}\n\n{path}\n{plots.draw(path)}\n")
    if out == HERE / "results":
        tables.write(HERE / "README.md", out)


if __name__ == "__main__":
    main()

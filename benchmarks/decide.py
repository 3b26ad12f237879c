"""Which rate to use, and how soon that is known: pruned and full sweeps against range tests, Optuna and Ray, on eight problems.

What everything is judged by is a fine grid with eight seeds (``--truth``), kept in ``results/decide``. Every run of a rival is
kept as soon as it is done, and not run again, so an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.deciding import figures, replays, rivals, truth
from benchmarks.deciding.problems import Problem, all_problems

NAME, REPLAY = "decide", "replay"
BUDGET = 60.0  # seconds that each rival has at most


def problems(quick: bool, only: Sequence[str] = ()) -> list[Problem]:
    """Those that were asked for."""
    every = [problem.small() if quick else problem for problem in all_problems()]
    unknown = set(only) - {problem.name for problem in every}
    if unknown:
        raise SystemExit(f"--rows: there is no {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in every)}.")
    return [problem for problem in every if problem.name in only or not only]


def find_truth(quick: bool, out: Path, only: Sequence[str] = (), fresh: bool = False) -> None:
    """Trains the fine grids that are not there yet."""
    for name, found in truth.find(problems(quick, only), out, fresh).items():
        best = found.best
        print(f"{name}: the best rate is {best.rate:.3g}, with a loss of {best.loss:.3g} ± {best.deviation:.1g}")


def replay(quick: bool, out: Path, only: Sequence[str] = ()) -> Path:
    """Plays pruners and suggestions again on the true curves."""
    truths = truth.find(problems(quick, only), out)
    more = {"suggestions": replays.suggestions(truths), "curves": replays.curves(truths)}
    return common.save(REPLAY, replays.pruners(truths), out, **more)


class Kept:
    """The runs that are there, by problem; written down after each.

    Args:
      path: The file.
      every: All problems, in order. A row of another number of steps is of another problem, and is left out.
      fresh: The problems whose runs are to be forgotten.
    """

    def __init__(self, path: Path, every: Sequence[Problem], fresh: Sequence[str] = ()) -> None:
        self.path, self.order = path, [problem.name for problem in every]
        steps = {problem.name: problem.steps for problem in every}
        saved = common.load(path)["rows"] if path.exists() else []
        self.rows = {row["problem"]: row for row in saved if steps.get(row["problem"]) == row["steps"]}
        for name in fresh:
            self.rows.pop(name, None)

    def row(self, problem: Problem) -> dict[str, Any]:
        """A problem's row, an empty one where there is none."""
        empty = {"problem": problem.name, "steps": problem.steps, "rivals": {}, "warm_s": {}}
        return self.rows.setdefault(problem.name, empty)

    def save(self) -> None:
        """Writes all of them down."""
        common.save(NAME, [self.rows[name] for name in self.order if name in self.rows], self.path.parent)


def missing(row: dict[str, Any], times: int) -> Iterator[tuple[str, int]]:
    """The runs of a problem that are not there: rivals, and which repetition. One that could not run is tried again."""
    for name in rivals.RIVALS:
        done = [run for run in row["rivals"].get(name, []) if "why" not in run]
        yield from ((name, repeat) for repeat in range(len(done), times))


def left(kept: Kept, todo: Sequence[Problem], times: int, budget: float) -> str:
    """What is left to do, and about how long that takes."""
    runs = [(problem.name, rival) for problem in todo for rival, _ in missing(kept.row(problem), times)]
    runs += [(problem.name, "warm") for problem in todo if not kept.row(problem)["warm_s"]]
    long = sum(rivals.NEEDED.get(rival, "jopt") != "jopt" for _, rival in runs)
    if not runs:
        return "Nothing is left to do."
    names = ", ".join(dict.fromkeys(name for name, _ in runs))
    minutes = (long * budget + (len(runs) - long) * min(budget, 10)) / 60
    return f"{len(runs)} runs are left, some {minutes:.0f} minutes at most: {names}."


def run_rival(problem: Problem, found: truth.Truth, name: str, repeat: int, budget: float) -> dict[str, Any]:
    """One run of a rival, cold: nothing that was compiled or measured before is found again."""
    library = rivals.NEEDED.get(name)
    if library and importlib.util.find_spec(library) is None:
        return {"why": f"{library} is not installed"}
    common.forget_compiled()
    common.warm_memory(common.TOUCHED)
    try:
        with common.no_plans():
            trace = rivals.RIVALS[name](problem, repeat, budget)
    except Exception as error:
        return {"why": f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"}
    run = {"trace": figures.changes(trace), "budget_s": budget}
    return figures.judged(run, found)


def warm(problem: Problem, times: int) -> dict[str, Any]:
    """The full and the pruned sweep in turn, compiled and planned before."""
    cases = {name: lambda name=name: rivals.swept(problem, rivals.PRUNERS[name]).record for name in ("full sweep", "auto")}
    results = {name: run() for name, run in cases.items()}
    steps = {name: float(np.nansum(record.steps_done)) for name, record in results.items()}
    taken = common.interleave({name: lambda run=run: run().losses["loss"] for name, run in cases.items()}, times)
    return {
        **{name: statistics.median(seconds) for name, seconds in taken.items()},
        "ratio": common.ratio(taken["auto"], taken["full sweep"]),
        "lane_steps": steps["auto"] / steps["full sweep"],
    }


def main(
    quick: bool, out: Path, times: int | None = None, only: Sequence[str] = (), budget: float | None = None, fresh: bool = False
) -> Path:
    """Runs what is not there yet; ``fresh`` forgets the runs of these problems first."""
    times = times or (1 if quick else 3)
    budget = budget or (2.0 if quick else BUDGET)
    todo = problems(quick, only)
    path = common.result_path(NAME, out)
    kept = Kept(path, problems(quick), [problem.name for problem in todo] if fresh else ())
    print(left(kept, todo, times, budget), file=sys.stderr, flush=True)
    rivals.import_all()
    try:
        for problem in todo:
            _run(problem, kept, times, budget, out)
    finally:
        kept.save()
        print(left(kept, todo, times, budget), file=sys.stderr, flush=True)
    return path


def _run(problem: Problem, kept: Kept, times: int, budget: float, out: Path) -> None:
    found = truth.find([problem], out)[problem.name]
    row = kept.row(problem)
    for name, repeat in list(missing(row, times)):
        begin = time.perf_counter()
        run = run_rival(problem, found, name, repeat, budget)
        before = [each for each in row["rivals"].get(name, []) if "why" not in each]
        row["rivals"][name] = (before or [run]) if "why" in run else [*before, run]
        kept.save()
        print(f"{problem.name}: {name}: {_told(run)}; {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
    for name, runs in row["rivals"].items():  # of an older truth, maybe
        row["rivals"][name] = [figures.judged(run, found) for run in runs]
    if not row["warm_s"]:
        row["warm_s"] = warm(problem, times)
    kept.save()


def _told(run: dict[str, Any]) -> str:
    if "why" in run:
        return run["why"]
    if "excess" not in run:
        return "recommended nothing"
    since = "not within 5 %" if run["settled_s"] is None else f"within 5 % since {run['settled_s']:.2f} s"
    return f"{since}, {run['excess']:.1%} above the least at the end"

"""Calls every public function of jopt with good and bad arguments: ``python -m tests.bad_input --cases 20000``.

Each call must end with a right result or with an error that jopt raised on purpose, in words that name the argument; see
``judging``. Cases are drawn by Hypothesis, in rounds: a round has some of each function, and is drawn anew, and the same, from
``--seed`` and its number, so that a run that was ended goes on with ``--round``. A table says what came of them. Failures are
shown by kind, each with a call: ``python -m tests.bad_input --call "jopt.sgd(0.1, nesterov='no')"`` makes one call alone. Ends
with 1 where there was one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import math
import os
import re
import shutil
import sys
import tempfile
import time

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["JOPT_CACHE_DIR"] = tempfile.mkdtemp(prefix="jopt-bad-input-")

import hypothesis
import jax
from hypothesis import HealthCheck, Phase

from tests.bad_input import cases, judging, values
from tests.bad_input.table import Row, rows
from tests.fuzz_files import resident

A_ROUND = 12  # cases of a function of weight 1
SLOW_S = 10.0  # a case that takes longer is shown
MOST_MEMORY = 2 * 2**30  # compiled code is thrown away above it


class Tally:
    """What came of the cases of each function."""

    def __init__(self, trace: bool = False) -> None:
        self.trace = trace
        self.seen: set[str] = set()
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.faults: dict[str, list[str]] = collections.defaultdict(list)
        self.longest = (0.0, "")

    def take(self, row: Row, case: cases.Case) -> None:
        """Runs one case, unless it has been."""
        text = str(case)
        if text in self.seen:
            return
        self.seen.add(text)
        if self.trace:
            print(text, flush=True)
        begin = time.perf_counter()
        try:
            what = cases.run(row, case)
        except judging.Fault as fault:
            what = "FAULT"
            found = self.faults[_kind(str(fault))]
            found.append(f"{text}\n      {fault}")
            if len(found) == 1:
                print(f"FAULT {text[:900]}\n      {str(fault)[:900]}", flush=True)
        if what is not None:
            self.counts[title(row)][what] += 1
        took = time.perf_counter() - begin
        self.longest = max(self.longest, (took, text))
        if took > SLOW_S:
            print(f"{took:.0f} s: {text[:500]}", flush=True)

    @property
    def done(self) -> int:
        """How many cases have been run."""
        return sum(sum(each.values()) for each in self.counts.values())

    def table(self) -> str:
        """A line for each function."""
        kinds = collections.Counter[str]()
        lines = [f"{'':44} {'cases':>6} {'results':>8} {'errors':>7} {'faults':>7}"]
        for name, counts in self.counts.items():
            kinds += counts
            lines.append(_line(name, counts))
        return "\n".join([*lines, _line("all", kinds), f"errors by type: {dict(kinds.most_common())}"])


def _line(name: str, counts: collections.Counter[str]) -> str:
    cases_, results, faults = sum(counts.values()), counts["result"], counts["FAULT"]
    return f"{name:44} {cases_:6} {results:8} {cases_ - results - faults:7} {faults:7}"


def title(row: Row) -> str:
    """What a row is called."""
    return row.title or row.name


def _kind(fault: str) -> str:
    """A fault without what differs from case to case: its sort, and where."""
    sort = fault.split(":")[0]
    error = re.match(r"[\w ]+(?:\[.*\])?: (\w+):", fault)
    return f"{sort} {error[1] if error else ''} {fault.partition(' at ')[2][-120:] or fault[:80]}"


def play(row: Row, tally: Tally, count: int, seed: int) -> None:
    """About ``count`` cases of a row."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(cases.cases(row))
    def one(case: cases.Case) -> None:
        tally.take(row, case)

    one()


def tidy() -> None:
    """Gives back what cases left: figures, files, compiled code."""
    values.plt.close("all")
    with os.scandir(values.folder()) as entries:
        left = [entry for entry in entries if entry.name[0].isdigit()]
    with os.scandir() as entries:  # main() has made a directory for this process to work in: a path may be any word
        left += entries
    for entry in left:
        shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.remove(entry.path)
    gc.collect()
    if resident() > MOST_MEMORY:
        jax.clear_caches()


def main(arguments: list[str] | None = None) -> int:
    """Plays rounds until there are as many cases as are asked for; 1 where one was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.bad_input", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=int, default=0, help="the first one")
    parser.add_argument("--only", default="", help="functions whose name has this in it")
    parser.add_argument("--trace", action="store_true", help="shows each call before it is made, for one that ends the process")
    parser.add_argument("--call", help="one call, judged alone")
    asked = parser.parse_args(arguments)
    chosen = [row for row in rows() if asked.only in title(row)]
    with tempfile.TemporaryDirectory() as here, contextlib.chdir(here):
        return _one_call(chosen, asked.call) if asked.call is not None else _rounds(chosen, asked)


def _rounds(chosen: list[Row], asked: argparse.Namespace) -> int:
    tally, number = Tally(asked.trace), asked.round
    while tally.done < asked.cases:
        before = tally.done
        for i, row in enumerate(chosen):
            count = max(1, math.ceil(A_ROUND * row.weight))
            play(row, tally, count, hash((asked.seed, number, i)))
            tidy()
        faults = sum(map(len, tally.faults.values()))
        print(f"round {number}: {tally.done} cases, {faults} faults, {resident() / 2**20:.0f} MB", flush=True)
        number += 1
        if tally.done == before:
            break
    print(tally.table())
    print(f"longest: {tally.longest[0]:.1f} s, {tally.longest[1][:300]}")
    for kind, found in sorted(tally.faults.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(found)} x {kind}")
        for each in found[:3]:
            print(f"    {each[:900]}")
    return 1 if tally.faults else 0


def _one_call(chosen: list[Row], text: str) -> int:
    target, _, rest = text.partition("(")
    row = next((row for row in chosen if row.name == target), None)
    if row is None:  # a method
        row = max(
            (r for r in chosen if any(text.startswith(r.name.format(of) + "(") for of in r.of)), key=lambda r: len(r.name)
        )
        target = next(row.name.format(of) for of in row.of if text.startswith(row.name.format(of) + "("))
        rest = text[len(target) + 1 :]
    print(cases.run(row, cases.Case(target, rest.rpartition(")")[0], tuple(p.name for p in row.parameters))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

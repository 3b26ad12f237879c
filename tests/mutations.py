"""Mutations of the update rules, each met by the rule's own tests: ``python tests/mutations.py``.

A mutation is one change in a file of ``jopt/optimizers`` or ``jopt/transforms`` (``tests/mutating.py``): another sign or
operator, a term, a factor or a function left out, another constant or default, the other branch of a choice, a comparison that
counts its end differently. For each, a fork of this process puts the change in place and looks whether anything tells.

First all of them meet the loops: the cases of ``tests/cases`` that name the file's functions, 200 steps in float64 beside
their loops in NumPy, which this process has run once. That is ``test_rules.py``'s first test without pytest. What they do not
tell then meets the tests that name the file's functions, until one fails. What survives is printed, and must stand in
``tests/survivors.py`` with the reason why it changes no number.

Results are kept in ``build/mutations.json`` as long as the file that they are about stays as it is: a run that was cut goes on
where it was. The order is spread evenly over all mutations, so that a run that was cut is a sample. ``--again`` tries once more
what has survived. Arguments are parts of the names of files (``lion``); without any, all are gone through. This is no part of
CI. It needs a system that can fork; this process never starts JAX's threads, so that its forks may.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import json
import os
import re
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# A step of a few numbers: nothing to optimize, and one thread is enough.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import jax
import numpy as np

from tests import agreement, cases
from tests.mutating import ROOT, Mutation, apply, digest, files, functions_of, mutations
from tests.survivors import SURVIVORS

LOG = ROOT / "build" / "mutations.json"
COMPILED = ROOT / "build" / "compiled"
LEAST = 0.95  # of all mutations must be killed
SECONDS = 300  # of CPU time for one mutation; a rule that never ends is killed too
# The tests of a family, whole; then those of all, of which only the ones run that name a function of the file.
OWN = {
    "accumulation": ["accumulate", "wrappers"],
    "ademamix": ["winners"],
    "averaging": ["winners", "averages"],
    "clipping": ["clipping"],
    "combining": ["building_blocks", "wrappers", "precision"],
    "decay": ["winners"],
    "flattening": ["flatten"],
    "guarding": ["accumulate", "wrappers"],
    "kron": ["soap"],
    "kron_factors": ["soap"],
    "shampoo": ["soap"],
    "soap": ["soap"],
    "hyperball": ["winners"],
    "mars": ["winners"],
    "masking": ["wrappers", "partition"],
    "matrices": ["matrixwise"],
    "muon": ["muon"],
    "normuon": ["muon"],
    "orthogonal": ["muon"],
    "partitioning": ["partition", "wrappers"],
    "plateau": ["plateau"],
    "prodigy": ["winners"],
    "schedule_free": ["winners"],
    "precision": ["low_precision"],
    "state_precision": ["low_precision"],
}
SHARED = [
    "defaults",
    "modern_rules",
    "classics",
    "precision",
    "building_blocks",
    "memory_of_states",
    "rules",
    "contracts",
    "parity",
]
PYTEST = ["-x", "-q", "-o", "addopts=", "-p", "no:xdist", "-p", "no:cacheprovider", "--assert=plain", "--tb=no", "--no-header"]
# The rules that a file without any serves.
SERVED = {"kron_factors": {"scale_by_kron", "psgd_kron"}}
# What tests of a file are called, besides the names of its functions.
CALLED = {
    "blocks": ["lamb", "lars", "adafactor"],
    "descent": ["decay", "decoupled"],
    "decay": ["decay", "mask"],
    "kron_factors": ["kron"],
    "orthogonal": ["muon"],
    "plateau": ["plateau"],
}
# A test that holds where XLA optimizes, and not here: decompositions, and quotients of small numbers, answer to the last bits.
ELSEWHERE = "inside_of_optaxs_wrappers"
LOOPS, TESTS, OPEN, NOTHING = "the loops", "the tests", "not the loops", "nothing"  # what told a mutation


# In a fork


def _forked(work: Callable[[], bool]) -> int:
    """Starts a fork that ends with 1 where the work says so or fails; its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of forks; no backend runs in this process
        child = os.fork()
    if child:
        return child
    code = 1
    with contextlib.suppress(BaseException):
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = int(work())
    os._exit(code)


def _keep_compiled(write: bool) -> None:
    """What the changed function is no part of is compiled once, without a mutation, and read from there."""
    jax.config.update("jax_compilation_cache_dir", str(COMPILED))
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0 if write else float(SECONDS))


def _told_by_loops(path: Path, mutation: Mutation | None) -> bool:
    _keep_compiled(write=mutation is None)
    if mutation is not None:
        apply(mutation)
    jax.config.update("jax_enable_x64", True)
    for case in cases_of(path):
        found = agreement.found(case, cases.SHAPES, 0, np.float64)
        if not agreement.error(found, expected(case)) < agreement.tolerance(case):
            return True
    return False


def _told_by_tests(path: Path, mutation: Mutation | None) -> bool:
    import pytest

    _keep_compiled(write=mutation is None)
    if mutation is not None:
        apply(mutation)
    chosen = cases_of(path)
    for table in (cases.OPTIMIZERS, cases.BLOCKS, cases.WRAPPERS, cases.CASES):
        table[:] = [case for case in table if case in chosen]
    own, shared = ([f"tests/test_{name}.py" for name in names] for names in (OWN.get(path.stem, []), SHARED))
    runs = [(own, [])] if own else []
    runs.append((shared, [Naming([*functions_of(path), *CALLED.get(path.stem, [])])]))
    return any(pytest.main([*PYTEST, *files], plugins) != pytest.ExitCode.OK for files, plugins in runs)


class Naming:
    """A plugin of pytest's that keeps the tests in whose names one of the given ones stands, as words of their own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.pattern = re.compile(f"(?<![a-z0-9])({'|'.join(names)})(?![a-z0-9])")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if self.pattern.search(item.name) and ELSEWHERE not in item.name]


# What a fork is given


@functools.cache
def cases_of(path: Path) -> list[cases.Case]:
    """The cases that name a function of a file; for the decay beside a step, those that decay."""
    names = {*functions_of(path), *SERVED.get(path.stem, ())}
    if path.stem in ("descent", "decay"):
        return [c for c in cases.CASES if _factories(c) & names or {"weight_decay", "weight_decay_rate"} & {*c.kwargs}]
    return [case for case in cases.CASES if _factories(case) & names]


def _factories(case: cases.Case) -> set[str]:
    return {case.factory}.union(*map(_factories, case.parts))


@functools.cache
def expected(case: cases.Case) -> np.ndarray:
    """The updates of a case's loop."""
    return agreement.expected(case, cases.SHAPES, 0, np.float64)


# The run


class Results:
    """What told each mutation, kept in a file: by the text of the mutation and the state of its file."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        self.known |= json.loads(LOG.read_text("utf-8")) if LOG.exists() else {}

    def __getitem__(self, mutation: Mutation) -> str | None:
        return self.known.get(f"{mutation} [{digest(mutation.path)}]")

    def __setitem__(self, mutation: Mutation, told: str) -> None:
        self._read()  # another run may have found something meanwhile
        self.known[f"{mutation} [{digest(mutation.path)}]"] = told
        LOG.parent.mkdir(exist_ok=True)
        partial = LOG.with_suffix(".partial")
        partial.write_text(json.dumps(self.known, indent=0), "utf-8")
        partial.replace(LOG)


def spread(items: Sequence[Any]) -> list[Any]:
    """The items in an order whose every beginning is spread evenly over them: multiples of the golden ratio."""
    return [items[i] for i in sorted(range(len(items)), key=lambda i: i * 0.6180339887498949 % 1.0)]


def _meet(
    waiting: list[Mutation], processes: int, work: Callable[[Path, Mutation | None], bool]
) -> Iterator[tuple[Mutation, bool]]:
    """Each mutation, and whether it was told; ValueError where the work tells a file that is as it was."""
    running: dict[int, Mutation] = {}
    queue, sound = collections.deque(waiting), set[Path]()
    while queue or running:
        while queue and len(running) < processes:
            mutation = queue.popleft()
            for case in cases_of(mutation.path):
                expected(case)
            if mutation.path not in sound:
                _check_sound(mutation.path, work)
                sound.add(mutation.path)
            running[_forked(functools.partial(work, mutation.path, mutation))] = mutation
        child, status = os.wait()
        yield running.pop(child), status != 0


def _check_sound(path: Path, work: Callable[[Path, Mutation | None], bool]) -> None:
    child = _forked(functools.partial(work, path, None))
    if os.waitpid(child, 0)[1]:
        raise ValueError(f"{path.name}: the tests fail without a mutation, or there are none")


def run(chosen: list[Mutation], processes: int, again: bool) -> int:
    """Goes through the mutations, prints what survives, and the score; 1 where it is too low or a survivor unexplained."""
    results = Results()
    for mutation, told in _meet([m for m in chosen if results[m] is None], processes, _told_by_loops):
        results[mutation] = LOOPS if told else OPEN
    left = [m for m in chosen if results[m] == OPEN or (again and results[m] == NOTHING)]
    print(f"{len(chosen) - len(left)} of {len(chosen)} are known; {len(left)} meet the tests", flush=True)
    for mutation, told in _meet(left, processes, _told_by_tests):
        results[mutation] = TESTS if told else NOTHING
        if not told:
            print(f"survived: {_line(mutation)}", flush=True)
    return _report(chosen, results)


def _line(mutation: Mutation) -> str:
    return f"line {mutation.line}: {mutation}  [{SURVIVORS.get(str(mutation), 'UNEXPLAINED')}]"


def _report(chosen: list[Mutation], results: Results) -> int:
    counts: dict[str, collections.Counter[str | None]] = collections.defaultdict(collections.Counter)
    for mutation in chosen:
        counts[mutation.file][results[mutation]] += 1
        counts["together"][results[mutation]] += 1
    for name, count in counts.items():
        killed, tried = count[LOOPS] + count[TESTS], count.total() - count[None] - count[OPEN]
        print(f"{name}: {killed} of {tried} killed, {killed / max(tried, 1):.1%}; {count[LOOPS]} by the loops")
    survivors = [m for m in chosen if results[m] == NOTHING]
    print(*map(_line, survivors), sep="\n")
    total = counts["together"]
    return int(any(str(m) not in SURVIVORS for m in survivors) or len(survivors) > (1 - LEAST) * total.total())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="parts of the names of files; all by default")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--step", type=int, default=1, help="take every n-th mutation only")
    parser.add_argument("--again", action="store_true", help="try once more what has survived")
    parser.add_argument("--list", action="store_true", help="print the mutations and run nothing")
    parser.add_argument("--report", action="store_true", help="print what is known and run nothing")
    given = parser.parse_args()
    os.chdir(ROOT)
    paths = [path for path in files() if not given.parts or any(part in path.stem for part in given.parts)]
    chosen = [m for path in paths for m in mutations(path)][:: given.step]
    if given.list:
        print(*(f"line {m.line}: {m}" for m in chosen), sep="\n")
        return 0
    if given.report:
        return _report(chosen, Results())
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:  # what the tests leave behind
        os.environ["TMPDIR"], tempfile.tempdir = scratch, None
        code = run(spread(chosen), given.processes, given.again)
    print(f"in {(time.monotonic() - start) / 60:.0f} minutes with {given.processes} processes")
    return code


if __name__ == "__main__":
    sys.exit(main())

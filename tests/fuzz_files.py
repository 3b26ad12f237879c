"""Damages files of results for a while: ``python tests/fuzz_files.py --minutes 60``.

Each input is a file with changed, missing, doubled or exchanged bytes, or with rows whose text was changed and whose digests
fit again: of a result, of one with groups, and of a checkpoint under way. Loading it, or looking into it, must end with a
ValueError or with exactly what was saved (where digests fit, with some result), within seconds, and at no moment with more
memory above an idle process than three times the file and 32 MB. Ends with 1 at the first input where it does not, and keeps
that file.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np

import jopt
from tests.damage import altered, contents, mutated, rewritten, trained, under_way
from tests.test_results_record import grouped

LONGEST_S = 10.0  # of one input
MEMORY = 32 * 2**20  # above three times the file


def resident() -> int:
    """The memory of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget_peak() -> None:
    """Has the system measure the peak of this process's memory anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak() -> int:
    """The most memory that this process had at once since ``forget_peak``, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


class Fuzzer:
    """Files that are damaged one after the other.

    Args:
      folder: where they stand.
      seed: of the damages.
    """

    def __init__(self, folder: pathlib.Path, seed: int) -> None:
        self.path = folder / "some.jopt"
        self.random = np.random.default_rng(seed)
        self.files = []
        for made in (trained(), grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0])):
            made.save(self.path)
            self.files.append((self.path.read_bytes(), contents(jopt.load_result(self.path))))
        self.path.write_bytes(under_way(folder))
        self.files.append((self.path.read_bytes(), contents(jopt.load_result(self.path))))
        self.counts: collections.Counter[str] = collections.Counter()
        self.highest = 0  # bytes above an idle process and three times the file
        self.idle = resident()

    def input(self) -> str | None:
        """Makes the next input; what must come of it, or None where any result may."""
        whole, expected = self.files[int(self.random.integers(len(self.files)))]
        if self.random.random() < 0.8:
            self.path.write_bytes(mutated(whole, self.random))
            return expected
        self.path.write_bytes(whole)
        tables = ("problems", "sweeps", "settings", "lanes", "records", "evaluations", "outcomes", "states", "writes")
        table = tables[int(self.random.integers(len(tables)))]
        rewritten(self.path, table, lambda text: json.dumps(altered(json.loads(text), self.random)))
        return None

    def once(self) -> None:
        """One input, loaded, and looked into now and then."""
        expected = self.input()
        forget_peak()
        begin = time.perf_counter()
        try:
            back = jopt.load_result(self.path)
        except ValueError:
            self.counts["errors"] += 1
        else:
            self.counts["results"] += 1
            if expected is not None:
                assert contents(back) == expected, "another result than was saved"
        if self.random.random() < 0.1:
            try:
                str(jopt.inspect(self.path))
            except ValueError:
                self.counts["not inspected"] += 1
        assert time.perf_counter() - begin < LONGEST_S, "too long"
        taken = peak() - self.idle - 3 * self.path.stat().st_size
        self.highest = max(self.highest, taken)
        assert taken < MEMORY, f"{taken / 2**20:.0f} MB more than three times the file"


def main(arguments: list[str] | None = None) -> int:
    """Damages files until the time is over; 1 at the first that is not dealt with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--most", type=int, default=1_000_000, help="inputs at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(pathlib.Path(folder), given.seed)
        end = time.monotonic() + 60.0 * given.minutes
        count = 0
        while time.monotonic() < end and count < given.most:
            count += 1
            try:
                fuzzer.once()
            except Exception as error:
                shutil.copy(fuzzer.path, f"fuzzed-{given.seed}-{count}.jopt")
                print(f"input {count}: {type(error).__name__}: {error}; kept as fuzzed-{given.seed}-{count}.jopt")
                raise
        print(
            f"{count} inputs: {dict(fuzzer.counts)}; in the end {(resident() - fuzzer.idle) / 2**20:.1f} MB above the "
            f"beginning, at most {fuzzer.highest / 2**20:.1f} MB more than that and three times the file"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

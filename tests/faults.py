"""Faults at each change that a sweep makes to its directory: ``python -m tests.faults [CASE ...]``.

``faults.c`` counts what a process does to the files of a folder (a name made, a write, a truncation, a sync, a rename, a
name removed) and at a given one of these kills it, cuts the power or lets it fail. The sweeps run in children of one process
that has imported everything and begun nothing, so that each takes a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings

import numpy as np

import jopt
from jopt.engine.running.writing import Writer
from tests import kept

KILL, TORN, CUT, FAILS, BROKEN = "ktcef"
ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST_S = 300


def compiled(folder):
    """The library, compiled; None where that can not be."""
    made, compiler = pathlib.Path(folder) / "faults.so", shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        return None
    source = ROOT / "tests" / "faults.c"
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl", "-lpthread"], capture_output=True)
    return made if done.returncode == 0 else None


def small(case, directory):
    """A sweep of a kind of ``kept``, so small that it changes its files at most 400 times."""
    more = {"plain": {"seeds": 1, "record_every": 7}, "pruned": {"rates": 3}, "grouped": {}}[case]
    every = {"plain": 40, "pruned": 70, "grouped": 100}[case]
    evaluated = {"evaluate": kept.evaluate, "eval_every": every, "callbacks": repr}  # lanes wait, and are saved, at each
    return kept.CASES[case](directory, steps=100, every=0, **evaluated, **more)


def digest(result):
    """All that a result is, in a few letters."""
    found = hashlib.blake2b(digest_size=12)
    for array in kept.arrays_of(result).values():
        found.update(np.ascontiguousarray(np.nan_to_num(array, nan=-7.0)).tobytes())
    return found.hexdigest()


# In the children


def _acknowledging(path):
    """Has each commit noted: how many lane-steps are in the file by then."""
    latest, write = {}, Writer._write
    note = os.open(path, os.O_CREAT | os.O_WRONLY)

    def noted(writer, items):
        write(writer, items)
        for job, saved in items:
            done = np.fmin(saved.outcomes["steps_done"], saved.outcomes["diverged_at"])
            latest.update({(job, *lane): int(steps) for lane, steps in zip(saved.lanes, done, strict=True)})
        os.pwrite(note, b"%20d" % sum(latest.values()), 0)

    Writer._write = noted


def _child(asked, armed):
    """Runs a sweep with a fault, and writes what came of it."""
    # SQLite asks for the real path, and so does the library.
    folder = os.path.realpath(asked["directory"])
    _acknowledging(asked["note"])
    log = os.open(asked["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC) if asked.get("log") else -1
    armed.faults_arm(os.fsencode(folder), ord(asked["how"]), asked["at"], asked["error"], log)
    answer = {"result": None, "error": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer["result"] = digest(small(asked["case"], folder))
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
    answer["warnings"] = [str(each.message) for each in caught]
    answer["seen"] = armed.faults_seen()
    pathlib.Path(asked["answer"]).write_text(json.dumps(answer))


def serve():
    """Runs what is asked for, a line of JSON each, in a child each; answers with how it ended."""
    armed = ctypes.CDLL(os.environ["LD_PRELOAD"])
    armed.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    armed.faults_seen.restype = ctypes.c_long
    jopt.enable_compilation_cache(sys.argv[1])
    for line in sys.stdin:
        process = os.fork()
        if not process:
            signal.alarm(LONGEST_S)  # what hangs is killed, and shows as another signal
            _child(json.loads(line), armed)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


# In the process that looks at what they leave


class Faults:
    """Runs sweeps with faults, inside ``with``.

    Args:
      case: which kind of sweep.
    """

    def __init__(self, case):
        self.case = case

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="jopt-faults-"))
        library = compiled(self.folder)
        if library is None:
            raise OSError("There is no Linux, or no C compiler.")
        command = [sys.executable, "-c", "from tests import faults; faults.serve()", str(self.folder / "cache")]
        environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *sys.path]))}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)
        self.expected = small(self.case, None)
        self.total = kept.lane_steps(self.expected)
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(timeout=LONGEST_S)
        self.server.stdout.close()
        shutil.rmtree(self.folder)

    def run(self, directory, how, at, error=0, log=None):
        """A sweep with a fault; its exit code, and what it said (None: it was killed)."""
        answer, note = self.folder / "answer", self.folder / "note"
        for path in (answer, note):
            path.unlink(missing_ok=True)
        asked = {"directory": str(directory), "case": self.case, "how": how, "at": at, "error": error, "log": log}
        self.server.stdin.write(json.dumps({**asked, "answer": str(answer), "note": str(note)}) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        self.acknowledged = int(note.read_text() or 0) if note.exists() else 0
        return code, json.loads(answer.read_text()) if answer.exists() else None

    def changes(self):
        """What a sweep without a fault does to its files, one after the other."""
        with self.directory() as directory:
            log = self.folder / "log"
            code, answer = self.run(directory, KILL, 0, log=str(log))
            assert (code, answer["result"]) == (0, digest(self.expected)), (code, answer)
            return [line.split(" ", 1)[1] for line in log.read_text().splitlines()]

    @contextlib.contextmanager
    def directory(self):
        """A directory that is not there yet."""
        with tempfile.TemporaryDirectory(prefix="jopt-kept-") as folder:
            yield pathlib.Path(os.path.realpath(folder)) / "deep" / "checkpoint"

    def ended(self, how, at):
        """What is wrong after a sweep was ended at a change, and whether it came so far; see ``KILL``, ``TORN``, ``CUT``."""
        with self.directory() as directory:
            directory.parent.mkdir()
            code, _ = self.run(directory, how, at)
            reached = code == -signal.SIGKILL
            wrong = [] if reached or code == 0 else [f"it ended with {code}"]
            return wrong + self.left(directory, exact=how != CUT), reached

    def failing(self, how, at, error):
        """What is wrong where a change fails, and how that showed: "nothing", "a warning" or "an error"."""
        with self.directory() as directory:
            directory.parent.mkdir()
            code, answer = self.run(directory, how, at, error)
            if answer is None:
                return [f"it ended with {code}"], "nothing"
            wrong = []
            if answer["error"] is None and answer["result"] != digest(self.expected):
                wrong.append("it came to another result")
            said = answer["error"] or "".join(answer["warnings"])
            # Of a sync that fails SQLite does not say why.
            if said and os.strerror(error) not in said and os.strerror(errno.EIO) not in said:
                wrong.append(f"it says {said}")
            shown = "an error" if answer["error"] else "a warning" if answer["warnings"] else "nothing"
            return wrong + self.left(directory), shown

    def left(self, directory, exact=True):
        """What is wrong with what stands in a directory, and with what the same call comes to."""
        file = directory / "sweep.jopt"
        damage = jopt.inspect(file).damage if file.exists() else []
        result = small(self.case, directory)
        wrong = [f"damaged: {line}" for line in damage] + kept.differences(result, self.expected)
        lost = self.acknowledged + kept.lane_steps(result) - self.total
        if lost > 0 and exact:
            wrong.append(f"{lost} lane-steps of what had been committed are lost")
        if kept.differences(jopt.load_result(directory), self.expected):
            wrong.append("the file has another result")
        return wrong


ENDS = {KILL: "killed before", TORN: "killed in the midst of", CUT: "without power from"}
ERRORS = ((FAILS, errno.EIO), (FAILS, errno.ENOSPC), (BROKEN, errno.EIO), (BROKEN, errno.ENOSPC))


def every_write(cases):
    """Ends sweeps at every change, and lets every change of the first kind of sweep fail; how many came to a wrong end."""
    wrong = 0
    for case in cases:
        with Faults(case) as faults:
            changes = faults.changes()
            kinds = {what: sum(line.startswith(what) for line in changes) for what in sorted({x.split()[0] for x in changes})}
            print(f"{case}: {len(changes)} changes: {kinds}", flush=True)
            places = range(1, 1 + len(changes))
            first = case == "plain"
            wrong += sum(_ended_at_each(faults, how, places) for how in (ENDS if first else [KILL]))
            wrong += sum(_failing_at_each(faults, how, error, places) for how, error in (ERRORS if first else ()))
    return wrong


def _ended_at_each(faults, how, places):
    found = {at: faults.ended(how, at) for at in places}
    reached = sum(reached for _, reached in found.values())
    return _tell(f"{ENDS[how]} each ({reached} were reached)", {at: each for at, (each, _) in found.items()})


def _failing_at_each(faults, how, error, places):
    shown = {at: faults.failing(how, at, error) for at in places}
    ways = [way for _, way in shown.values()]
    words = f"{errno.errorcode[error]} at each{' and from there on' if how == BROKEN else ''}"
    counts = {way: ways.count(way) for way in sorted(set(ways))}
    return _tell(f"{words}, which showed as {counts}", {at: each for at, (each, _) in shown.items()})


def _tell(words, found):
    wrong = {at: each for at, each in found.items() if each}
    print(f"{words}: {len(found) - len(wrong)} of {len(found)} as promised", flush=True)
    for at, each in wrong.items():
        print(f"  at {at}: {each}", flush=True)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(min(1, every_write(sys.argv[1:] or kept.CASES)))

"""Slices in processes of their own, of which one ends itself at a given point: ``python -m tests.sliced DIRECTORY I N PHASE``.

``python -m tests.sliced --all`` does that in every phase with two and with three processes, each time the first and the last of
them, and compares what the rerun comes to with the sweep of one process; it ends with 1 where they differ.
"""

import functools
import itertools
import os
import signal
import subprocess
import sys
import tempfile

import jopt
from jopt.engine.lanes.store.published import Published
from jopt.engine.running.compiling import Compiler
from jopt.engine.running.writing import Writer
from jopt.sweeps.sharing import Sharing
from tests import kept

STEPS = 400
PHASES = ("start", "compile", "run", "commit", "copy", "save")


def swept(directory, **more):
    """Three rates and two seeds, saved as often as may be, and without pauses in which more than one turn is done."""
    checkpoint = None if directory is None else jopt.Checkpoint(directory, every=0)
    given = {"seeds": 2, "evaluate": kept.evaluate, "eval_every": 100, "batch_size": 3, "steps": STEPS, **more}
    rates = jopt.adam(jopt.choice(0.01, 0.02, 0.03))
    return jopt.sweep(kept.loss, kept.init, rates, kept.DATA, plan=kept.PLAN, progress=False, checkpoint=checkpoint, **given)


@functools.cache
def alone():
    """The sweep of one process."""
    return swept(None)


def end(*_, **__):
    """This process ends here, as a machine does."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(function, calls):
    """The function, which ends the process when it has been called so many times."""
    left = [calls]

    def called(*given, **named):
        made = function(*given, **named)
        left[0] -= 1
        if left[0] <= 0:
            end()
        return made

    return called


def arm(phase):
    """Ends the process in a phase: before anything is known, in the first compilation, after some commits, ..."""
    if phase == "start":
        Sharing.begin = end
    elif phase == "compile":
        Compiler.get = end
    elif phase == "run":
        Writer._write = after(Writer._write, 2)  # trained, committed, published
    elif phase == "commit":
        Writer._put = after(Writer._put, 3)  # in the midst of a transaction
    elif phase == "copy":
        copied = Published.publish

        def publish(self):
            self.database.copy = after(self.database.copy, 1) if Writer.written > 1 else self.database.copy
            copied(self)

        Writer.written, write = 0, Writer._write

        def counted(self, items):
            Writer.written += 1
            write(self, items)

        Published.publish, Writer._write = publish, counted
    elif phase == "save":
        Sharing.finish = end  # all has run; the result is to be written
    else:
        assert not phase


def begin(directory, index, count, phase=""):
    """A slice in a process of its own."""
    command = [sys.executable, "-m", "tests.sliced", str(directory), str(index), str(count), phase]
    return subprocess.Popen(command, cwd=kept.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def missing(directory):
    """The lane-steps that the files of a directory do not hold."""
    try:
        done = jopt.load_result(directory).record.steps_done
    except FileNotFoundError:  # nobody has come so far as to write something
        return 6 * STEPS
    return int((STEPS - done).sum())


def killed(directory, count, index, phase):
    """What is wrong after slice ``index`` was killed in a phase, the others ended, and it was started again; nothing: ""."""
    processes = [begin(directory, i, count, phase if i == index else "") for i in range(count)]
    codes = []
    for process in processes:
        _, error = process.communicate(timeout=600)
        codes.append(process.returncode)
        if process.returncode not in (0, -signal.SIGKILL):
            return error
    if codes[index] != -signal.SIGKILL:
        return f"slice {index} was not killed"
    return rerun(directory, index, count)


def rerun(directory, index, count):
    """What is wrong when the slice that is missing has been started again; nothing: ""."""
    left = missing(directory)
    part = swept(directory, workers=jopt.Slice(index, count))
    if part.timings.lane_steps != left:
        return f"{part.timings.lane_steps} lane-steps were trained of {left} that were missing"
    if not part.complete or missing(directory):
        return "it is not complete"
    whole = alone()
    return str(kept.differences(part, whole) + kept.differences(jopt.load_result(directory), whole) or "")


def all_phases():
    """Each phase, with two and three processes, the first and the last of them; how many went wrong."""
    wrong = 0
    for count, phase in itertools.product((2, 3), PHASES):
        for index in (0, count - 1):
            with tempfile.TemporaryDirectory() as directory:
                found = killed(directory, count, index, phase)
            wrong += bool(found)
            print(f"{index} of {count} killed in phase {phase!r}: {found or 'the same'}", flush=True)
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "--all":
        sys.exit(min(1, all_phases()))
    where, which, many, when = sys.argv[1:]
    arm(when)
    swept(where, workers=jopt.Slice(int(which), int(many)))

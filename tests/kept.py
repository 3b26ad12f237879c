"""A sweep that is kept, in a process of its own that somebody may end: ``python -m tests.kept DIRECTORY CASE STEPS``.

``python -m tests.kept --kill 200`` kills such processes at 200 random times, and compares what each directory comes to with the
sweep that nobody ended; it ends with 1 where they differ. ``tests.faults`` ends small ones at each single change to
their files.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jopt

ROOT = Path(__file__).resolve().parent.parent
PLAN = jopt.Plan(width=2, loop="host", chunk=50, workers=2)  # slow enough to be ended in the midst
EVERY_S = 0.05


def loss(params, batch, key):
    """Noisy and cheap."""
    noise = jax.random.normal(key, params["w"].shape)
    return (
        ((params["w"] - batch.mean()) ** 2).sum()
        + 0.1 * (noise * params["w"]).sum()
        + (params["b"].astype(jnp.float32) ** 2).sum()
    )


def init(key):
    """Each seed's own parameters, some of them narrow."""
    return {"w": jax.random.normal(key, (3,)), "b": jnp.ones(2, jnp.bfloat16)}


def evaluate(params):
    """One metric."""
    return {"distance": (params["w"] ** 2).sum()}


DATA = np.linspace(-1, 1, 12, dtype=np.float32)


def plain(directory, steps=3000, **more):
    """Three rates and two seeds, with minibatches and evaluations."""
    given = {"seeds": 2, "evaluate": evaluate, "eval_every": 700, "batch_size": 3, **more}
    return _swept(directory, jopt.adam(jopt.choice(0.01, 0.02, 0.03)), steps, **given)


def pruned(directory, steps=3000, rates=8, **more):
    """Eight rates of which most are pruned."""
    rates = jopt.cosine_decay_schedule(jopt.geomspace(0.001, 0.1, rates), steps)
    return _swept(directory, jopt.sgd(rates), steps, batch_size=3, prune=jopt.SuccessiveHalving(), **more)


def grouped(directory, steps=3000, **more):
    """Two optimizers, one of them with an axis of structure, windows of 7 steps, and a rate that dies."""
    optimizers = {
        "sgd": jopt.momentum(jopt.choice(0.01, 1e30), 0.9, nesterov=jopt.choice(False, True)),
        "plateau": jopt.adam(jopt.choice(0.01, 0.02)),
    }
    return _swept(directory, optimizers, steps, batch_size=3, record_every=7, **more)


CASES = {"plain": plain, "pruned": pruned, "grouped": grouped}


def _swept(directory, optimizer, steps, every=EVERY_S, **more):
    kept = None if directory is None else jopt.Checkpoint(directory, every=every)
    return jopt.sweep(loss, init, optimizer, DATA, steps=steps, plan=PLAN, progress=False, checkpoint=kept, **more)


def begin(directory, case="plain", steps=3000):
    """The sweep in a process of its own."""
    command = [sys.executable, "-m", "tests.kept", str(directory), case, str(steps)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trained(directory):
    """How many steps the lane has done that stands where most are, as far as a file says."""
    with contextlib.suppress(OSError, ValueError):
        parts = jopt.inspect(directory).sweeps
        return max((part.steps_done[1] for part in parts), default=0)
    return 0


def wait_for(directory, process, steps, seconds=120):
    """Waits until some lane has come to a step."""
    until = time.monotonic() + seconds
    while trained(directory) < steps and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)


def end(process, how=signal.SIGKILL):
    """Ends it, and says how it ended and what it wrote."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, how)
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def parts_of(result):
    """A result's own, by group."""
    return dict(result) if isinstance(result, jopt.GroupedResult) else {"": result}


def lane_steps(result):
    """What a call has trained."""
    return sum(part.timings.lane_steps for part in parts_of(result).values())


def arrays_of(result):
    """All arrays of a result that are the same whoever ran it, by name."""
    found = {}
    for name, part in parts_of(result).items():
        record = part.record
        arrays = {n: getattr(record, n) for n in ("steps_done", "diverged_at", "pruned_at")} | record.losses | record.metrics
        if record.complete:
            live = np.isnan(record.diverged_at)  # when a lane is seen to be dead, and so how dead it is, hangs on the clock
            arrays |= {f"params {i}": np.float64(x)[live] for i, x in enumerate(jax.tree.leaves(part.params))}
        found |= {f"{name} {what}": array for what, array in arrays.items()}
    return found


def differences(one, other):
    """Which arrays of two results differ."""
    ours, theirs = arrays_of(one), arrays_of(other)
    return [
        name
        for name in {**ours, **theirs}
        if name not in ours or name not in theirs or not np.array_equal(ours[name], theirs[name], equal_nan=True)
    ]


def killed(directory, case, steps, times, random):
    """Kills sweeps of one directory at random times, and returns what is different of the one that was let go on."""
    for _ in range(times):
        process = begin(directory, case, steps)
        began = trained(directory)
        if random.random() < 0.7:
            wait_for(directory, process, began + 1)
        time.sleep(float(random.random()) * 2)
        end(process)
    return differences(CASES[case](directory, steps), CASES[case](None, steps))


def kill(count, steps=20_000):
    """Kills so many sweeps, five of each directory; the number of directories that came to another result."""
    random, wrong, done = np.random.default_rng(0), 0, 0
    while done < count:
        case, times = list(CASES)[done // 5 % len(CASES)], min(5, count - done)
        with tempfile.TemporaryDirectory() as directory:
            found = killed(directory, case, steps, times, random)
        done, wrong = done + times, wrong + bool(found)
        print(f"{done} killed, the last {times} of {case}: {found or 'the same'}", flush=True)
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "--kill":
        sys.exit(min(1, kill(int(sys.argv[2]))))
    CASES[sys.argv[2]](sys.argv[1], int(sys.argv[3]))

"""A sweep that is kept, in a process of its own that somebody may end: ``python -m tests.kept DIRECTORY [CASE] [STEPS]``."""

import contextlib
import os
import signal
import subprocess
import sys
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
    return ((params["w"] - batch.mean()) ** 2).sum() + 0.1 * (noise * params["w"]).sum() + (params["b"].astype(jnp.float32) ** 2).sum()


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


def pruned(directory, steps=3000, **more):
    """Eight rates of which most are pruned."""
    rates = jopt.cosine_decay_schedule(jopt.geomspace(0.001, 0.1, 8), 3000)
    return _swept(directory, jopt.sgd(rates), steps, batch_size=3, prune=jopt.SuccessiveHalving(), **more)


def grouped(directory, steps=3000, **more):
    """Two optimizers, one of them with an axis of structure, windows of 7 steps, and a rate that dies."""
    optimizers = {
        "sgd": jopt.momentum(jopt.choice(0.01, 1e30), 0.9, nesterov=jopt.choice(False, True)),
        "plateau": jopt.adam(jopt.choice(0.01, 0.02)),
    }
    return _swept(directory, optimizers, steps, batch_size=3, record_every=7, **more)


CASES = {"plain": plain, "pruned": pruned, "grouped": grouped}


def _swept(directory, optimizer, steps, **more):
    kept = None if directory is None else jopt.Checkpoint(directory, every=EVERY_S)
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


if __name__ == "__main__":
    CASES[sys.argv[2]](sys.argv[1], int(sys.argv[3]))

"""The memory of a process that sweeps again and again: ``python -m tests.resident [CALLS]``, by default 1,000."""

import gc
import os
import sys

import jax.numpy as jnp
import numpy as np

import jopt

FIRST = 0.1  # of the calls, after which memory is looked at for the first time
DATA = np.linspace(-1, 1, 64, dtype=np.float32)


def once(k):
    """A sweep as a user makes it in a loop: the loss is a new function each time, and closes over an array of its own."""
    target = np.full(100, k, np.float32)

    def loss(w, batch):
        return jnp.mean((w - target) ** 2) + 0 * batch.mean()

    options = {"steps": 20, "batch_size": 8, "evaluate": lambda w: {"size": jnp.sum(w**2)}, "progress": False}
    result = jopt.sweep(loss, jnp.zeros(100), jopt.adam(jopt.geomspace(1e-3, 1e-1, 4)), DATA, **options)
    return result.best().score


def resident():
    """The memory of this process, in MB."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def grown(calls):
    """How many MB a process has more after so many calls than after a tenth of them."""
    begin = 0.0
    for k in range(1, calls + 1):
        once(k)
        if k == int(FIRST * calls):
            begin = resident()
    return resident() - begin


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    more = grown(count)
    print(f"{more:.1f} MB more after {count} calls than after {int(FIRST * count)}")
    sys.exit(more > 20)

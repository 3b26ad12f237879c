"""Nothing holds the caller of a sweep up: Ctrl-C is heard in every phase, and sweeps do not wait for one another."""

import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

import jopt

COMMON = """
import os, signal, sys, threading, time
import jax, jax.numpy as jnp, numpy as np
import jopt

# A process that was started in the background may have been told to pass over it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt(seconds):
    def send():
        time.sleep(seconds)
        print("sent", time.monotonic(), flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()

def run(*args, **options):
    try:
        jopt.sweep(*args, progress=False, **options)
    except KeyboardInterrupt:
        print("heard", time.monotonic(), flush=True)
    time.sleep(2.0)
    print("left", [t.name for t in threading.enumerate() if t.name.startswith("jopt-") and t.name != "jopt-data"], flush=True)
    os._exit(0)

rates = jopt.sgd(jopt.geomspace(1e-4, 1e-3, 4))
workers = int(sys.argv[1])
"""
PHASES = {
    "scan": """
interrupt(4.0)
run(lambda w, _: jnp.sum(w**2), jnp.ones(300_000), rates, steps=10**6, record_every=1000,
    plan=jopt.Plan(width=1, loop="scan", workers=workers))
""",
    "host": """
x = np.random.default_rng(0).normal(size=(64, 1, 28, 28)).astype(np.float32)
def loss(k, batch):
    y = jax.lax.conv(batch, k, (1, 1), "SAME")
    return jnp.mean(jax.nn.relu(y) ** 2)
interrupt(5.0)
run(loss, jnp.ones((16, 1, 5, 5)), rates, x, batch_size=32, steps=10**5, plan=jopt.Plan(width=1, loop="host", workers=workers))
""",
    "loader": """
def batches():
    for i in range(40):
        yield np.full(3, float(i), np.float32)
    threading.Event().wait()
interrupt(3.0)
run(lambda w, x: jnp.sum((w - x) ** 2), jnp.ones(3), rates, batches(), steps=1000,
    plan=jopt.Plan(width=1, loop="scan", workers=workers))
""",
    "compile": """
def loss(w, _):
    for i in range(400):
        w = jnp.sin(w @ w + i)
    return jnp.sum(w)
interrupt(float(sys.argv[2]))
run(loss, jnp.ones((8, 8)), rates, steps=10, plan=jopt.Plan(width=2, loop="scan", workers=workers))
""",
}


@pytest.mark.parametrize(("phase", "workers"), [*((phase, 2) for phase in PHASES), ("scan", 1), ("compile", 1)])
def test_ctrl_c_is_heard_within_two_seconds_and_no_worker_is_left(phase, workers):
    code = COMMON + PHASES[phase]
    command = [sys.executable, "-c", code, str(workers), "6.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert "heard" in said, done.stdout + done.stderr
    assert float(said["heard"]) - float(said["sent"]) < 2.0
    if phase != "compile":  # which can not be stopped; its thread ends with it
        assert said["left"] == "[]"


def test_a_program_that_ends_while_something_compiles_ends_as_others_do():
    code = """
import os, signal, threading, jax.numpy as jnp, jopt
def loss(w, _):
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    for i in range(100):
        w = jnp.sin(w @ w + i)
    return jnp.sum(w)
try:
    jopt.sweep(loss, jnp.ones((8, 8)), jopt.sgd(jopt.choice(0.1, 0.2)), steps=10, progress=False)
except KeyboardInterrupt:
    print("heard")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")


def quick(seed=0):
    return jopt.sweep(
        lambda w, _: jnp.sum(w**2), jnp.ones(3), jopt.sgd(jopt.choice(0.1, 0.2)), steps=3, seed=seed, progress=False
    )


def test_a_sweep_inside_a_data_generator_does_not_wait_for_the_sweep_around_it():
    def batches():
        for i in range(6):
            quick(i)
            yield np.full(3, float(i), np.float32)

    made = []

    def outer():
        optimizer = jopt.sgd(jopt.choice(0.1, 0.2))
        made.append(jopt.sweep(lambda w, x: jnp.sum((w - x) ** 2), jnp.ones(3), optimizer, batches(), steps=6, progress=False))

    thread = threading.Thread(target=outer, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert made, "the two sweeps wait for each other"


def test_a_slow_generator_stops_no_sweep_in_another_thread():
    begun, go_on = threading.Event(), threading.Event()

    def batches():
        begun.set()
        go_on.wait(60)
        yield from (np.ones(3, np.float32) for _ in range(3))

    def sweep():
        optimizer = jopt.sgd(jopt.choice(0.1, 0.2))
        jopt.sweep(lambda w, x: jnp.sum((w - x) ** 2), jnp.ones(3), optimizer, batches(), steps=3, progress=False)

    slow = threading.Thread(target=sweep, daemon=True)
    slow.start()
    assert begun.wait(60)
    done = threading.Thread(target=quick, daemon=True)
    done.start()
    done.join(timeout=60)
    assert not done.is_alive()
    go_on.set()
    slow.join(timeout=60)
    assert not slow.is_alive()


def test_an_iterator_that_blocks_does_not_hold_up_an_error_of_the_loss():
    def batches():
        yield np.ones(3, np.float32)
        threading.Event().wait()

    def fails(w, x):
        raise ZeroDivisionError("of the user's own")

    begin = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        jopt.sweep(fails, jnp.ones(3), jopt.sgd(jopt.choice(0.1, 0.2)), batches(), steps=50, progress=False)
    assert time.monotonic() - begin < 20  # and not for ever

"""Workers of Ray that die, stop or get stuck: ``python -m tests.ray_faults [ROUNDS or CASE]`` tries every way, and counts.

Each sweep comes to an end, and is compared bit for bit with the one that threads trained at the same width. It ends with 1
where one differs. In a worker, what a fault needs is put in place when the loss is traced there.
"""

import dataclasses
import functools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np

import jopt
from jopt.engine.compiled.executables import Executables
from jopt.engine.lanes.blocks import Block
from jopt.engine.running.worker import LocalWorker
from jopt.engine.running.writing import Writer
from tests.kept import differences

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLAN = jopt.Plan(width=2, chunk=20, loop="scan", workers=2)
STEPS = 400
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype(np.float32)
Y = (X @ np.float32([1.0, -2.0, 0.5])).astype(np.float32)


def kill():
    """As the system does where memory is short, or a machine is gone."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop():
    """Nothing moves any more, and nobody is told."""
    os.kill(os.getpid(), signal.SIGSTOP)


def hang():
    """A deadlock: other threads answer."""
    threading.Event().wait()


HOW = {"kill": kill, "stop": stop, "hang": hang}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong, where, and how often; each time leaves a file.

    Attributes:
      how: of ``HOW``.
      where: "start", "compile", "run" or "save" (where a block is brought home).
      directory: for the files.
      times: how often.
    """

    how: str
    where: str
    directory: str
    times: int = 1

    def happen(self):
        """Once more, if it is not enough."""
        for i in range(self.times):
            try:
                os.close(os.open(f"{self.directory}/{self.how}-{self.where}-{i}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            HOW[self.how]()

    def put_in_place(self):
        """In a worker, when the loss is traced."""
        if self.where == "start":
            self.happen()
        elif self.where == "compile":
            _before(Executables, "get", lambda *_: self.happen())
        elif self.where == "run":
            _before(LocalWorker, "_dispatch", lambda _, block, *__: block.step > STEPS // 4 and self.happen())
        else:
            _before(Block, "on_host", lambda block: self.happen())


def _before(owner, name, act):
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args, **kwargs):
        act(*args)
        return real(*args, **kwargs)

    setattr(owner, name, wrapped)


@dataclasses.dataclass(frozen=True)
class Loss:
    """The mean square; whoever traces it in another process than ``driver`` meets ``faults`` there."""

    driver: int = 0
    faults: tuple[Fault, ...] = ()

    def __call__(self, w, batch):
        if os.getpid() != self.driver and not hasattr(Loss, "met"):
            Loss.met = True
            for fault in self.faults:
                fault.put_in_place()
        x, y = batch
        return jnp.mean((x @ w - y) ** 2)


def init(key):
    """Each seed's own."""
    return jax.random.normal(key, (3,))


def evaluate(w):
    """One metric."""
    return {"error": jnp.mean(jnp.abs(jnp.asarray(X) @ w - jnp.asarray(Y)))}


def swept(faults=(), steps=STEPS, **more):
    """Three rates, one of which diverges, and two seeds, in three blocks."""
    options = {"batch_size": 8, "seeds": 2, "evaluate": evaluate, "record_every": 3, "plan": PLAN, "progress": False, **more}
    rates = jopt.choice(1e-3, 1e-2, 1e30)
    return jopt.sweep(Loss(os.getpid(), tuple(faults)), init, jopt.sgd(rates), (X, Y), steps=steps, **options)


def workers_of(driver):
    """The processes of workers whose raylet a process has begun."""
    raylets = raylets_of(driver)
    return [pid for pid, (parent, words) in _processes().items() if parent in raylets and "BlockWorker" in words]


def raylets_of(parent):
    """Ray's own process for a machine, if another process has begun it."""
    return [pid for pid, (above, words) in _processes().items() if above == parent and "raylet/raylet" in words]


def _processes():
    return {int(p.name): _of(p) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()}


def _of(process):
    """Its parent, and how it was begun."""
    try:
        status, words = (process / "status").read_text(), (process / "cmdline").read_bytes()
    except OSError:
        return -1, ""
    return int(status.partition("PPid:")[2].split()[0]), words.decode(errors="replace")


def tried(how, where, directory):
    """What differs of what threads train, where a sweep meets a fault; and how often it met it."""
    fault = Fault(how, where, directory)
    found = swept([fault], workers=jopt.RayWorkers(heartbeat="60s" if how == "kill" else "3s"))
    return differences(found, swept()), len(os.listdir(directory))


def tried_while_saving(directory):
    """The same, where all workers are killed each time that something is written down, three times."""
    left = [3]

    def strike(*_):
        if left[0]:
            left[0] -= 1
            for pid in workers_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)

    real = Writer._write
    _before(Writer, "_write", strike)
    try:
        kept = jopt.Checkpoint(directory, every=0.2)
        found = swept(steps=20 * STEPS, workers=jopt.RayWorkers(retries=5), checkpoint=kept)
    finally:
        Writer._write = real
    return differences(found, swept(steps=20 * STEPS)), 3 - left[0]


def tried_at_birth(directory):
    """The same, where the first processes are killed as soon as they are there."""
    killed = []

    def watch():
        while len(killed) < 2:
            for pid in workers_of(os.getpid()):
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    return differences(swept(workers=jopt.RayWorkers()), swept()), len(killed)


def tried_by_address(directory):
    """The same, on a Ray that was begun before and has its token in a file, whose workers are killed in the midst."""
    port, token = _free_port(), pathlib.Path(directory, "token")
    token.write_text("0123456789abcdef" * 4)
    names = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    quiet = {"env": {**os.environ, **names}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    options = ["--head", "--block", "--num-cpus=2", f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"]
    head = subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "ray"), "start", *options], **quiet)
    try:
        _wait_until(lambda: _listens(port))
        time.sleep(10)  # its other servers
        ours = [sys.executable, "-m", "tests.ray_faults", "--kept", f"{directory}/kept", f"127.0.0.1:{port}"]
        driver = subprocess.Popen(ours, **quiet)
        _wait_until(lambda: _done(f"{directory}/kept") > STEPS or driver.poll() is not None)
        there = workers_of(head.pid)
        for pid in there:
            os.kill(pid, signal.SIGKILL)
        done = driver.wait(timeout=300)
        return differences(jopt.load_result(f"{directory}/kept"), swept(steps=20 * STEPS)) + [done] * (done != 0), len(there)
    finally:
        head.terminate()
        head.wait()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(done, seconds=120):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.1)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tried_without_a_driver(directory, how=signal.SIGKILL):
    """The same, where the driver is ended in the midst, and the same call made again; no process of Ray may be left."""
    ours = [sys.executable, "-m", "tests.ray_faults", "--kept", directory]
    driver = subprocess.Popen(ours, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: _done(directory) > STEPS or driver.poll() is not None)
    workers = workers_of(driver.pid)
    driver.send_signal(how)
    ended = driver.wait()
    _wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), 30)
    left = [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
    found = kept(directory)
    more = [] if found.timings.lane_steps < 6 * 20 * STEPS else ["nothing had been saved"]
    more += [] if ended == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: -2}[how] else [f"ended by {ended}"]
    return differences(found, swept(steps=20 * STEPS)) + left + more, 1


def _done(directory):
    try:
        return max((part.steps_done[1] for part in jopt.inspect(directory).sweeps), default=0)
    except (OSError, ValueError):
        return 0


def kept(directory, address=None):
    """A longer sweep that is kept."""
    return swept(steps=20 * STEPS, workers=jopt.RayWorkers(address), checkpoint=jopt.Checkpoint(directory, every=0.2))


CASES = {
    **{
        f"{how} in {where}": functools.partial(tried, how, where)
        for how in HOW
        for where in ("start", "compile", "run", "save")
    },
    "killed at birth": tried_at_birth,
    "all killed while saving": tried_while_saving,
    "driver killed": tried_without_a_driver,
    "driver ended by SIGTERM": functools.partial(tried_without_a_driver, how=signal.SIGTERM),
    "driver ended by Ctrl-C": functools.partial(tried_without_a_driver, how=signal.SIGINT),
    "at an address": tried_by_address,
}


def main(rounds):
    """Tries all, so many times."""
    wrong = sum(_tried(name) for _ in range(rounds) for name in CASES)
    tries = rounds * len(CASES)
    print(f"{tries - wrong} of {tries} came to the same")
    return int(wrong > 0)


def _tried(name):
    """Whether something was not as it should be."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        differ, met = CASES[name](directory)
    print(
        f"{name}: {'differs: ' + str(differ) if differ else 'the same'}, met {met}, {time.monotonic() - begin:.0f} s",
        flush=True,
    )
    return bool(differ or not met)


if __name__ == "__main__":
    os.environ.setdefault("RAY_worker_niceness", "0")  # else all others go first, and on a busy machine nothing moves
    if sys.argv[1:2] == ["--kept"]:
        kept(*sys.argv[2:])
    elif sys.argv[1:2] and sys.argv[1] in CASES:
        sys.exit(_tried(sys.argv[1]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))

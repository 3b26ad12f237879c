"""A first sweep is mostly compiling: what is kept on disk, what is compiled side by side, and what the bar says meanwhile."""

import os
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import pytest

import jopt
from jopt.engine.compiled import executables

CODE = """
import jax, jax.numpy as jnp, sys
import jopt
from jax import monitoring

hits = []
monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
folder = jopt.enable_compilation_cache(sys.argv[1] if len(sys.argv) > 1 else None)
result = jopt.sweep(lambda w, _: jnp.sum(jnp.sin(w) ** 2), jnp.ones(3), jopt.adam(jopt.choice(0.1, 0.2, 0.3)), steps=20,
                    evaluate=lambda w: {"size": jnp.sum(w)}, plan=jopt.Plan(width=3, loop="scan", workers=1), progress=False)
print(len(hits), len(list(folder.iterdir())), float(result.best().score), folder)
"""


COUNTED = """
import jax, jax.numpy as jnp, numpy as np
import jopt
from jax import monitoring

params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
x = np.ones((20, 3), np.float32)
compiled = []
monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(event) if event.endswith("backend_compile_duration") else None
)
jopt.sweep(lambda p, x: jnp.mean((x @ p["w"] + p["b"]) ** 2), params, jopt.adam(jopt.geomspace(1e-3, 1e-1, 6)), x,
           steps=30, batch_size=4, seeds=2, evaluate=lambda p: {"size": jnp.sum(p["b"])}, progress=False,
           plan=jopt.Plan(width=6, loop="scan", workers=2))
print(len(compiled))
"""


def test_a_first_sweep_compiles_its_start_its_step_and_its_evaluation_and_nothing_else(tmp_path):
    env = {**os.environ, "JOPT_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True, env=env)
    assert int(done.stdout) == 3


RESUMED = """
import sys, jax, jax.numpy as jnp, numpy as np
import jopt
from jax import monitoring

counts = {"cache_hits": 0, "cache_misses": 0}

def heard(event, **_):
    name = event.rsplit("/", 1)[-1]
    if name in counts:
        counts[name] += 1

monitoring.register_event_listener(heard)
jopt.enable_compilation_cache(sys.argv[1] + "/cache")

def stop(event):
    if sys.argv[2] == "stop" and event.step >= 10:
        raise InterruptedError

try:
    jopt.sweep(lambda w, x: jnp.mean((x @ w["w"]) ** 2), lambda key: {"w": jax.random.normal(key, (3,))},
               jopt.adam(jopt.choice(0.1, 0.2, 0.3), nesterov=jopt.choice(False, True)), np.ones((20, 3), np.float32), steps=20,
               batch_size=4, evaluate=lambda w: {"size": jnp.sum(w["w"])}, eval_every=5, callbacks=stop, progress=False,
               plan=jopt.Plan(width=3, loop="scan", workers=2), checkpoint=jopt.Checkpoint(sys.argv[1] + "/kept", every=0))
except InterruptedError:
    pass
print(counts["cache_hits"], counts["cache_misses"])
"""


def test_a_resumed_sweep_in_a_new_process_has_a_hit_for_every_executable(tmp_path):
    found = []
    for how in ("stop", "go on"):
        command = [sys.executable, "-c", RESUMED, str(tmp_path), how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(tuple(map(int, done.stdout.split())))
    (_, missed), (hits, misses) = found
    assert missed > 0
    assert (hits > 0, misses) == (True, 0)


def process(*arguments, env=None):
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True, env=env)
    hits, files, score, folder = done.stdout.split(maxsplit=3)
    return int(hits), int(files), float(score), folder.strip()


def test_a_second_process_takes_its_programs_from_the_cache_and_finds_the_same(tmp_path):
    first, second = process(str(tmp_path / "cache")), process(str(tmp_path / "cache"))
    assert first[1] > 0
    assert second[0] > first[0]
    assert second[1] == first[1]  # nothing new had to be kept
    assert second[2] == first[2]


def test_the_cache_lies_in_jopts_own_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("JOPT_CACHE_DIR", str(tmp_path))
    assert process()[3] == str(tmp_path / "xla")


@pytest.mark.usefixtures("own_compilation_cache")
def test_a_cache_directory_that_can_not_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        jopt.enable_compilation_cache(tmp_path / "file" / "below")


def test_start_and_evaluation_are_compiled_beside_the_step(monkeypatch):
    begun, real = [], executables._compile
    both = threading.Barrier(2)

    def compile_beside(lowered, options):
        name = threading.current_thread().name
        begun.append(name)
        if begun.count(name) == 1:
            both.wait(timeout=60)  # passes only where another compilation is under way
        return real(lowered, options)

    monkeypatch.setattr(executables, "_compile", compile_beside)
    plan = jopt.Plan(width=2, loop="scan", workers=1)
    optimizer = jopt.sgd(jopt.choice(0.1, 0.2))
    result = jopt.sweep(
        lambda w, _: jnp.sum(jnp.cos(w) ** 3),
        jnp.ones(7),
        optimizer,
        steps=8,
        evaluate=lambda w: {"size": jnp.sum(jnp.tan(w))},
        plan=plan,
        progress=False,
    )
    assert sorted(begun) == ["jopt-0", "jopt-0", "jopt-compile"]
    assert jnp.isfinite(result.best().score)


class Shown:
    every_s = 0.0
    width = 200

    def __init__(self):
        self.lines = []

    def show(self, line):
        self.lines.append(line)

    stop = show

    def hide(self):
        pass


def test_the_progress_says_for_how_long_something_is_being_compiled(monkeypatch):
    from jopt.results import progress

    shown, real = Shown(), executables._compile
    monkeypatch.setattr(progress, "_display", lambda enabled: shown)

    def slow(lowered, options):
        time.sleep(1.6)
        return real(lowered, options)

    monkeypatch.setattr(executables, "_compile", slow)
    jopt.sweep(lambda w, _: jnp.sum(jnp.exp(w)), jnp.ones(5), jopt.sgd(jopt.choice(0.1, 0.2)), steps=4, progress=True)
    assert any("compiling for 1 s" in line or "compiling for 2 s" in line for line in shown.lines)
    assert "compiling" not in shown.lines[-1]
    assert "lane-steps/s" in shown.lines[-1]

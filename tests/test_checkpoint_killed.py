"""``checkpoint=`` where processes end: killed at random times, by signals, two of them at once."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import jopt
from tests import kept

STEPS = 8000  # some seconds

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system without SIGKILL")


@pytest.mark.parametrize("case", kept.CASES)
def test_a_sweep_that_is_killed_goes_on_to_the_same_result(tmp_path, case):
    # python -m tests.kept --kill 200 does more
    assert kept.killed(tmp_path, case, STEPS, 2, np.random.default_rng(0)) == []
    assert kept.differences(jopt.load_result(tmp_path), kept.CASES[case](tmp_path, STEPS)) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_process_that_hears_a_signal_saves_and_ends(tmp_path, number, code):
    process = kept.begin(tmp_path, steps=STEPS * 10)
    kept.wait_for(tmp_path, process, 1)
    before = kept.trained(tmp_path)
    ended, output = kept.end(process, number)
    assert ended == code, output
    part = jopt.load_result(tmp_path)
    assert not part.record.complete
    assert part.record.steps_done.max() > before
    assert jopt.inspect(tmp_path).damage == []


def test_a_second_process_hears_who_holds_the_directory_and_a_lock_dies_with_its_owner(tmp_path):
    process = kept.begin(tmp_path, steps=STEPS * 10)
    try:
        kept.wait_for(tmp_path, process, 1)
        with pytest.raises(BlockingIOError, match=rf"process {process.pid} on "):
            kept.plain(tmp_path)
    finally:
        kept.end(process)
    process = kept.begin(tmp_path, steps=STEPS * 10)
    before = kept.trained(tmp_path)
    kept.wait_for(tmp_path, process, before + 1)
    kept.end(process)
    assert kept.trained(tmp_path) > before


HOLDS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(file, fcntl.LOCK_EX)
os.write(file, sys.argv[2].encode())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("text", ["process 7 on another-machine, since 2026-01-01T00:00:00+00:00", ""], ids=["named", "empty"])
def test_a_holder_elsewhere_is_named_and_one_that_is_killed_leaves_the_directory_free(tmp_path, text):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path / "lock"), text], text=True, **pipes)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=re.escape(text or "another process")):
            kept.plain(tmp_path, 50)
    finally:
        kept.end(process)
    assert kept.plain(tmp_path, 50).complete
    assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")


FULL = """
import resource, sys, warnings
from tests import kept
warnings.simplefilter("always")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
kept.plain(sys.argv[1], 3000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit for the size of files")
def test_where_no_more_can_be_written_training_goes_on_and_what_was_saved_stays(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, cwd=kept.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "checkpoint: what was trained could not be saved" in done.stderr
    assert jopt.inspect(tmp_path).damage == []
    assert kept.differences(kept.plain(tmp_path), kept.plain(None)) == []


NAMES = """
import sys, jax.numpy as jnp, numpy as np, jopt
from tests import kept, test_checkpoint
swept = test_checkpoint.swept
result = swept(sys.argv[1], **eval(sys.argv[2], vars(test_checkpoint)))
print(sum(part.timings.lane_steps for part in kept.parts_of(result).values()))
"""
FORMS = {
    "plain": "{}",
    "a mask": "{'optimizer': jopt.masked(jopt.adam(jopt.choice(*RATES)), lambda tree: {'w': True, 'b': False})}",
    "a plateau": "SWEEPS['plateau']",
    "groups": "SWEEPS['groups']",
    "structure": "SWEEPS['structure']",
    "a function": "{'data': lambda key, step: jax.random.normal(key, (3, 1)), 'batch_size': None}",
    "control flow": "{'loss': lambda w, b, key: jax.lax.cond(b.mean() > 0, jnp.sin, jax.nn.relu, "
    "jax.lax.fori_loop(0, 3, lambda i, x: x + jnp.dot(w['w'], w['w'] * DATA[:3]), 0.0))}",
}


@pytest.mark.parametrize("form", FORMS)
def test_another_process_knows_what_it_finds(tmp_path, form):
    for seed, trained in (("1", None), ("2", "0")):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", NAMES, str(tmp_path), FORMS[form].replace("DATA", "kept.DATA")]
        done = subprocess.run(command, cwd=kept.ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert trained is None or done.stdout.strip() == trained

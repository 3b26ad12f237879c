"""Printing never fails: results under narrow encodings, progress on whatever stands for standard error."""

import io
import os
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import pytest

import jopt
from jopt.results import Progress, text
from jopt.results.facts import Best, Facts

FACTS = Facts(done=2, lane_steps=10, run_s=1.0, best=Best(0.1, "точность=0.25", "ошибка 0.1"))
ENCODINGS = ["ascii", "cp1251", "cp437", "latin-1", "utf-8"]


def stream(encoding, kind=io.TextIOWrapper):
    return kind(io.BytesIO(), encoding=encoding)


def written(out):
    out.flush()
    return out.buffer.getvalue().decode(out.encoding)


def swept(optimizer):
    def loss(w, batch):
        return jnp.sum(w**2), {"точность": w[0], "ошибка": w[1]}

    start = jnp.ones(2)
    options = {"steps": 3, "seeds": 2, "has_aux": True, "evaluate": lambda w: {"值": w[0]}, "progress": False}
    return jopt.sweep(loss, start, optimizer, **options)


RATES = jopt.choice(0.1, 0.2)


@pytest.fixture(scope="module")
def results():
    """A result with plain names, and one of groups whose names no narrow encoding has."""
    return swept(jopt.sgd(RATES)), swept({"学": jopt.sgd(jopt.choice(0.1, 0.2, name="η")), "адам": jopt.adam(RATES)})


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_results_trials_plans_and_tables_print_under_every_encoding(monkeypatch, results, encoding):
    plain, groups = results
    monkeypatch.setattr(sys, "stdout", stream(encoding))
    for each in (plain, groups):
        print(each, each.best(), each.table(), each.timings, sep="\n")
    print(plain.plan, groups["学"], groups["学"].best(), groups.table("точность"), groups.best("值"), sep="\n")
    shown = written(sys.stdout)
    assert "+/-" in shown
    assert "2 settings x 2 seeds" in shown
    assert ("адам" in shown) is (encoding in ("utf-8", "cp1251"))
    assert ("η" in shown) is (encoding == "utf-8")
    assert ("\\u03b7=0.2" in shown) is (encoding != "utf-8")


def test_the_words_of_results_are_ascii_so_that_any_file_takes_them(results):
    plain = results[0]
    for shown in (repr(plain), repr(plain.best()), plain.table(), str(plain.plan), repr(plain.plan)):
        assert shown.replace("值", "a name of the user's").isascii(), shown


@pytest.mark.parametrize("encoding", ["ascii"])
def test_a_process_with_a_narrow_encoding_prints_a_result(encoding):
    code = """
        import jax.numpy as jnp, jopt
        rate = jopt.choice(0.1, 0.2, name="скорость")
        options = {"steps": 3, "seeds": 2, "progress": True}
        result = jopt.sweep(lambda w, _: w**2, jnp.float32(1), {"адам": jopt.adam(rate), "學": jopt.sgd(rate)}, **options)
        print(result, result.best(), result.table(), *result.plan.values(), result["學"], sep="\\n")
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert b"lanes in 2 groups" in done.stdout
    assert b"100%" in done.stderr


class NoEncoding:
    def write(self, shown):
        pass


@pytest.mark.parametrize("out", [None, NoEncoding(), object()], ids=["none", "no encoding", "nothing"])
def test_without_a_standard_output_names_are_escaped(monkeypatch, out):
    monkeypatch.setattr(sys, "stdout", out)
    assert text.printable("η=1") == "\\u03b7=1"


def test_a_text_stream_and_lone_surrogates_keep_what_they_can(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert text.printable("η=1") == "η=1"
    monkeypatch.setattr(sys, "stdout", stream("utf-8"))
    assert text.printable("η\udcff") == "η\\udcff"
    print(text.printable("η\udcff"))


class Terminal(io.TextIOWrapper):
    """A standard error with an encoding of its own that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_progress_shows_under_every_encoding(monkeypatch, encoding):
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(sys, "stderr", stream(encoding, Terminal))
    with Progress(None) as bar:
        bar.watch(lambda: FACTS)
        bar.tick()
    shown = written(sys.stderr)
    assert "100%" in shown
    assert "best " in shown
    assert "=0.25" in shown


class Closed:
    closed = True

    def isatty(self):
        raise ValueError("closed")


class WriteOnly:
    """What some notebooks and services put in the place of standard error."""

    def __init__(self):
        self.text = ""

    def write(self, shown):
        self.text += shown


class Failing(Terminal):
    def write(self, shown):
        raise OSError("gone")


class Odd(WriteOnly):
    closed = property(lambda self: 1 / 0)
    isatty = property(lambda self: 1 / 0)
    encoding = property(lambda self: 1 / 0)


ODD_STREAMS = {
    "none": lambda: None,
    "closed": Closed,
    "write only": WriteOnly,
    "odd": Odd,
    "nothing": object,
    "failing": lambda: stream("utf-8", Failing),
    "lies": lambda: type("Lies", (), {"isatty": lambda self: True})(),
}


@pytest.mark.parametrize("progress", [None, True, False])
@pytest.mark.parametrize("kind", ODD_STREAMS)
def test_a_sweep_runs_whatever_stands_for_standard_error(monkeypatch, kind, progress):
    monkeypatch.setattr(sys, "stderr", ODD_STREAMS[kind]())
    before = sys.stdout, sys.stderr
    with Progress(progress) as bar:
        bar.watch(lambda: FACTS)
        bar.tick()
    assert (sys.stdout, sys.stderr) == before
    result = jopt.sweep(lambda w, _: w**2, jnp.float32(1), jopt.sgd(RATES), steps=3, progress=progress)
    assert result.best().setting == {"learning_rate": 0.2}

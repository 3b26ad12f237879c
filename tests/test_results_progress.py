"""Progress: shown on a terminal only, cheap, and never in the way."""

import contextlib
import io
import subprocess
import sys
import threading

import pytest

from jopt.results import Progress, progress


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    # rich takes its width and its powers from these.
    for name, value in {"COLUMNS": "140", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def terminal():
    """Makes standard error a terminal, inside the test: pytest sets its own after the fixtures."""
    return contextlib.redirect_stderr(Terminal())


def run(enabled, **kwargs):
    with Progress(enabled, total_lane_steps=100, lanes=7, description="adam", **kwargs) as bar:
        bar.advance(60, best=0.5)
        bar.advance(40, best=0.25)


def test_a_terminal_shows_steps_lanes_best_and_speed():
    with terminal() as stream:
        run(None)
    shown = stream.getvalue()
    for words in ("adam", "100%", "7 lanes", "best 0.25", "lane-steps/s", "left"):
        assert words in shown


def test_off_a_terminal_nothing_is_shown(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    run(None)
    assert stream.getvalue() == ""


def test_false_is_silent_on_a_terminal():
    with terminal() as stream:
        run(False)
    assert stream.getvalue() == ""


def test_true_shows_where_there_is_no_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    run(True)
    assert "100%" in stream.getvalue()


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_missing_or_closed_standard_error_is_no_terminal(stream, monkeypatch):
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    run(None)


def test_silence_imports_nothing():
    code = (
        "import sys\nfrom jopt.results.progress import Progress\n"
        "with Progress(None, total_lane_steps=1, lanes=1) as bar: bar.advance(1)\n"
        "print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_display_that_breaks_does_not_end_the_sweep(monkeypatch):
    with terminal(), Progress(None, total_lane_steps=100, lanes=1) as bar:
        monkeypatch.setattr(bar._display, "show", lambda *_: 1 / 0)
        monkeypatch.setattr(progress, "REFRESH_S", 0.0)
        bar.advance(10)
        bar.advance(10)


def test_an_error_of_the_sweep_passes_through():
    with terminal(), pytest.raises(KeyError), Progress(None, total_lane_steps=1, lanes=1):
        raise KeyError


def test_advances_from_several_threads_are_all_counted():
    with terminal() as stream, Progress(None, total_lane_steps=4000, lanes=4) as bar:
        workers = [threading.Thread(target=lambda: [bar.advance(1, best=1.0) for _ in range(1000)]) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert "100%" in stream.getvalue()


def test_an_unknown_best_changes_nothing():
    with terminal() as stream, Progress(None, total_lane_steps=3, lanes=1) as bar:
        for best in (0.5, float("nan"), None):
            bar.advance(1, best=best)
    assert "best 0.5" in stream.getvalue()


def test_the_display_is_refreshed_at_most_ten_times_a_second(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = []
    with terminal(), Progress(True, total_lane_steps=1000, lanes=1) as bar:
        monkeypatch.setattr(bar._display, "show", lambda *facts: shown.append(facts))
        for _ in range(1000):
            clock[0] += 0.001
            bar.advance(1)
        assert 8 <= len(shown) <= 10


@pytest.fixture
def _without_rich(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)  # so that importing it fails


@pytest.mark.usefixtures("_without_rich")
def test_without_rich_a_terminal_shows_one_line_that_counts(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_S", 0.0)
    with terminal() as stream:
        run(None)
    *begun, last, rest = stream.getvalue().replace("\n", "\r").split("\r")
    assert [line for line in begun if "adam  60%, 7 lanes, best 0.5" in line]
    assert "adam 100%, 7 lanes, best 0.25" in last
    assert rest == ""
    assert len(last) >= len(begun[-1].rstrip())  # nothing of a longer line is left behind it


@pytest.mark.usefixtures("_without_rich")
def test_the_line_is_no_wider_than_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with terminal() as stream:
        run(None)
    assert max(map(len, stream.getvalue().replace("\n", "\r").split("\r"))) < 20


@pytest.mark.usefixtures("_without_rich")
def test_without_rich_and_off_a_terminal_the_last_line_alone_is_written(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    run(None)
    assert stream.getvalue() == ""
    run(True)
    assert stream.getvalue().startswith("adam 100%, 7 lanes, best 0.25")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.usefixtures("_without_rich")
def test_without_rich_a_stream_that_breaks_does_not_end_the_sweep(monkeypatch):
    with terminal() as stream:
        monkeypatch.setattr(stream, "write", lambda _: 1 / 0)
        run(None)

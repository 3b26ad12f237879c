"""Progress: one line that fits, says the truth, is shown where somebody looks, and is never in the way."""

import contextlib
import io
import math
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jopt
from jopt.results import Progress, progress
from jopt.results.facts import Best, Facts, columns, cut, duration, line
from jopt.sweeps import looking, running

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 5)).astype(np.float32)
Y = (X @ RANDOM.normal(size=5) + 0.3 * RANDOM.normal(size=64)).astype(np.float32)
BEST = Best(0.0123, "learning_rate=0.0032", "val_loss 0.0123")
SOME = Facts(alive=24, pruned=3, dead=1, lane_steps=340, to_do=660, run_s=0.0276, left_s=12.0, best=BEST)  # 12,319 lane-steps/s


HEAD = "sweep  34%, 12 s left, 24 alive"


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def cosine(count=28, steps=90):
    return jopt.sgd(jopt.cosine_decay_schedule(jopt.geomspace(1e-4, 0.3, count), steps))


def swept(optimizer, **options):
    options = {"steps": 90, "batch_size": 8, **options}
    return jopt.sweep(loss, jnp.zeros(5), optimizer, (X, Y), **options)


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def _often(monkeypatch):
    """A line each time that there is news."""
    monkeypatch.setattr(progress.Line, "every_s", 0.0)
    monkeypatch.setattr(progress, "SHARE", math.inf)


def terminal():
    """Makes standard error a terminal, inside the test: pytest sets its own after the fixtures."""
    return contextlib.redirect_stderr(Terminal())


def lines(shown):
    """What stood on a terminal's line, time after time."""
    return [each.rstrip() for each in shown.replace("\n", "\r").split("\r") if each.strip()]


def run(enabled, *each):
    each = each or (SOME,)
    now = [each[0]]
    with Progress(enabled, description="adam") as bar:
        bar.watch(lambda: now[0])
        for now[0] in each:
            bar.tick()


# The line.


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (119, f"{HEAD}, 3 pruned, 1 dead, best learning_rate=0.0032: val_loss 0.0123, 12,319 lane-steps/s"),
        (79, f"{HEAD}, 3 pruned, 1 dead, best learning_rate=0.0032"),
        (59, f"{HEAD}, best learning_rate=0.0032"),
        (40, HEAD),
        (9, "sweep ..."),
    ],
)
def test_a_line_says_as_much_as_fits(width, expected):
    assert line("sweep", SOME, 6.0, width=width) == expected


def test_a_setting_that_is_too_long_is_cut():
    long = Best(0.0, ", ".join(f"number_{i}=0.{i}" for i in range(9)), "loss 1")
    made = line("sweep", Facts(alive=24, lane_steps=1, to_do=1, left_s=12.0, best=long), 6.0, width=79)
    assert made == "sweep  50%, 12 s left, 24 alive, best number_0=0.0, number_1=0.1, number_2=0..."


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=90)


@given(
    st.integers(3, 200),
    st.builds(
        Facts,
        **{name: st.integers(0, 10**6) for name in ("alive", "done", "pruned", "dead", "lane_steps", "to_do")},
        run_s=st.floats(0, 1e6),
        left_s=st.none() | st.floats(0, 1e6),
        compiling_s=st.floats(0, 1e4),
        best=st.none() | st.builds(Best, st.floats(), NAMES, NAMES),
    ),
    st.booleans(),
)
def test_no_line_is_wider_than_its_room(width, facts, over):
    assert columns(line("sweep", facts, 3.0, over, width)) <= width


def test_a_wide_character_takes_two_columns_and_a_combining_one_none():
    assert (columns("a好"), columns("e\u0301")) == (3, 1)
    assert cut("好好好好", 7) == "好好..."


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0 s"), (99.4, "99 s"), (100, "2 min"), (3600, "60 min"), (7500, "2 h 5 min"), (360_000, "100 h 0 min")],
)
def test_durations_read_as_people_say_them(seconds, expected):
    assert duration(seconds) == expected


def test_a_log_says_how_long_it_took_until_now():
    assert line("sweep", SOME, 6.0).startswith("sweep  34%, after 6 s, 12 s left, 24 alive, ")


def test_the_last_line_says_how_it_ended():
    ended = Facts(done=7, pruned=20, dead=1, lane_steps=840, run_s=1.0, best=BEST)
    expected = "after 2 s, 7 done, 20 pruned, 1 dead, best learning_rate=0.0032: val_loss 0.0123, 840 lane-steps/s"
    assert line("sweep", ended, 2.0, over=True) == f"sweep 100%, {expected}"
    assert line("sweep", SOME, 2.0, over=True).startswith("sweep  34%, stopped after 2 s, 24 alive")


def test_all_is_not_done_before_the_end():
    assert line("sweep", Facts(alive=1, lane_steps=10**6, to_do=1), 1.0).startswith("sweep  99%")


def test_compiling_is_said_where_it_lasts():
    assert "compiling for 3 s, 28 alive" in line("sweep", Facts(alive=28, to_do=9, compiling_s=3.2), 4.0, width=79)
    assert "compiling" not in line("sweep", Facts(alive=28, to_do=9, compiling_s=0.4), 4.0, width=79)


# Where it is shown.


def test_a_terminal_shows_one_line_that_is_rewritten():
    with terminal() as stream:
        run(None)
    first, last = lines(stream.getvalue())
    assert first.startswith("adam  34%, 12 s left, 24 alive, 3 pruned, 1 dead, best learning_rate=0.0032")
    assert last.startswith("adam  34%, stopped after 0 s")
    assert stream.getvalue().endswith("\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.usefixtures("_often")
def test_nothing_of_a_longer_line_is_left_behind_a_shorter_one():
    with terminal() as stream:
        run(None, SOME, Facts(alive=1, to_do=9))
    _, shorter, *_ = stream.getvalue().split("\r")[1:]
    assert shorter.startswith("adam   0%, 1 alive")
    assert len(shorter) >= 100


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_wraps(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    optimizers = {"sgd": cosine(), "adam with a long name": jopt.adam(jopt.geomspace(1e-4, 0.1, 5), b1=jopt.choice(0.9, 0.99))}
    with terminal() as stream, pytest.warns(UserWarning, match="decay"):
        swept(optimizers, prune="auto", seeds=2)
    shown = stream.getvalue().split("\r")
    assert len(shown) > 3
    assert max(len(each.rstrip("\n")) for each in shown) < width


@pytest.mark.parametrize("columns", ["0", "3"])
def test_a_terminal_that_says_it_has_no_width_is_taken_for_80_columns(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    with terminal() as stream:
        run(None)
    assert 60 < max(map(len, lines(stream.getvalue()))) < 80


def test_a_line_break_in_a_name_breaks_no_line():
    odd = Best(0.0, "a\nb\x1b[2J=1", "loss 1")
    with terminal() as stream:
        run(None, Facts(alive=1, to_do=9, best=odd))
    assert "a?b?[2J=1" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_off_a_terminal_a_short_sweep_is_silent(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    run(None)
    assert stream.getvalue() == ""


def test_off_a_terminal_a_long_sweep_writes_a_line_each_half_minute_and_one_at_the_end(monkeypatch):
    clock, stream = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress() as bar:
        bar.watch(lambda: SOME)
        for second in range(75):
            clock[0] = float(second)
            bar.tick()
            with bar.aside():
                pass
    written = stream.getvalue().splitlines()
    assert [re.search(r"after (\d+ s)", each)[1] for each in written] == ["30 s", "60 s", "74 s"]


def test_true_writes_a_last_line_where_there_is_no_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    swept(jopt.sgd(jopt.choice(0.1, 0.2)), steps=5, progress=True)
    assert re.fullmatch(r"sweep 100%, after \d+ s, 2 done, best learning_rate=0\.[12]: loss .*\n", stream.getvalue())


def test_false_is_silent_on_a_terminal():
    with terminal() as stream:
        run(False)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "closed"])
def test_a_missing_or_closed_standard_error_is_no_terminal(stream, monkeypatch):
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    run(None)
    run(True)


def test_silence_imports_nothing():
    code = (
        "import sys\nfrom jopt.results.progress import Progress\n"
        "with Progress() as bar: bar.tick()\n"
        "print([name for name in ('rich', 'IPython', 'ipywidgets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Never in the way.


def test_nobody_asks_for_facts_where_nothing_is_shown():
    def look():
        raise AssertionError("asked")

    with Progress(False) as bar:
        bar.watch(look)
        bar.tick()


def test_facts_that_are_dear_are_asked_for_seldom(monkeypatch):
    clock, worked = [0.0], [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress.time, "thread_time", lambda: worked[0])
    asked = []

    def look():
        asked.append(clock[0])
        worked[0] += 0.02  # seconds of processor time
        return SOME

    with terminal(), Progress(True) as bar:
        bar.watch(look)
        for _ in range(100):
            bar.tick()
            clock[0] += 0.1
    assert np.diff(asked[:-1]).min() >= 2.0  # a hundredth of the time
    assert len(asked) >= 5


def test_the_line_is_rewritten_at_most_ten_times_a_second(monkeypatch):
    clock, shown = [0.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress.time, "thread_time", lambda: 0.0)
    with terminal(), Progress(True) as bar:
        bar.watch(lambda: SOME)
        monkeypatch.setattr(bar._display, "show", shown.append)
        for _ in range(1000):
            clock[0] += 0.001
            bar.tick()
        assert 8 <= len(shown) <= 10


def test_a_display_that_breaks_does_not_end_the_sweep(monkeypatch):
    with terminal() as stream:
        monkeypatch.setattr(stream, "write", lambda _: 1 / 0)
        run(None, SOME, SOME)


def test_an_error_of_the_sweep_passes_through_and_leaves_a_whole_line():
    def fails():
        with Progress() as bar:
            bar.watch(lambda: SOME)
            bar.tick()
            raise KeyError

    with terminal() as stream, pytest.raises(KeyError):
        fails()
    assert stream.getvalue().endswith("\n")


def test_while_somebody_else_writes_the_line_is_away():
    with terminal() as stream, Progress() as bar:
        bar.watch(lambda: SOME)
        bar.tick()
        with bar.aside():
            assert re.search(r"\r +\r$", stream.getvalue())
            stream.write("mine\n")
        bar.tick()
    assert "\rmine\n\rsweep  34%" in stream.getvalue()


@pytest.mark.usefixtures("_often")
def test_blocks_that_follow_each_other_have_one_line():
    first = Facts(done=2, lane_steps=100, run_s=1.0, best=Best(2.0, "a=1", "loss 2"))
    then = Facts(alive=2, lane_steps=50, to_do=50, run_s=1.0, left_s=1.0, best=Best(3.0, "a=2", "loss 3"))
    with terminal() as stream, Progress() as bar:
        bar.watch(lambda: first, to_come=(4, 200))
        bar.tick()
        bar.watch(lambda: then, to_come=(2, 100))
        bar.tick()
    begun, after, *_ = lines(stream.getvalue())
    assert begun.startswith("sweep  33%, 4 alive, 2 done, best a=1")
    assert after.startswith("sweep  50%, 2 s left, 4 alive, 2 done, best a=1: loss 2")


# The facts.


@pytest.fixture
def seen(monkeypatch):
    """The facts each time that there was news."""
    found = []

    class Watched(Progress):
        def watch(self, look, to_come=(0, 0)):
            super().watch(look, to_come)
            found.append(look())

        def tick(self):
            found.append(self._look())

        def __exit__(self, *error):
            found.append(self._look())
            super().__exit__(*error)

    monkeypatch.setattr(running, "Progress", Watched)
    return found


@pytest.mark.parametrize(
    ("pruner", "left"),
    [
        (None, [28, 28]),
        (jopt.TopFraction(), [7]),
        (jopt.SuccessiveHalving(), [10, 4]),
        (jopt.EarlyStop(0), [28, 28]),
        (jopt.MedianStop(after=0.5), [14]),
    ],
)
def test_what_a_rule_leaves_is_known_beforehand(pruner, left):
    class Job:
        first, steps = 0, 90

    rungs = [10, 30][: len(left)]
    assert looking.expected(pruner, 28, Job, rungs) == left


def test_a_rule_of_the_users_is_not_asked_about_what_has_not_been():
    class Mine:
        metric = mode = None

        def rungs(self, steps):
            return [10]

        def keep(self, rung):
            raise AssertionError("asked")

    class Job:
        first, steps = 0, 90

    assert looking.expected(Mine(), 28, Job, [10]) == [28]


@pytest.mark.parametrize("prune", [None, "auto", jopt.SuccessiveHalving(), jopt.Hyperband()], ids=repr)
@pytest.mark.parametrize("plan", [jopt.Plan(width=4), jopt.Plan(width=28)], ids=["narrow", "wide"])
def test_what_is_to_be_done_is_known_from_the_beginning(seen, prune, plan):
    result = swept(cosine(), prune=prune, plan=plan)
    whole = result.timings.lane_steps
    assert seen[0].to_do == whole
    assert {round(now.lane_steps + now.to_do) for now in seen} == {whole}
    assert (seen[-1].lane_steps, seen[-1].to_do, seen[-1].alive) == (whole, 0, 0)


def test_lanes_are_counted_by_what_became_of_them(seen):
    rates = jopt.sgd(jopt.cosine_decay_schedule(jopt.choice(0.01, 0.02, 0.05, 0.1, 1e30), 90))
    result = swept(rates, prune=jopt.TopFraction(keep=0.4), seeds=2)
    assert (seen[0].alive, seen[0].dead, seen[0].pruned, seen[0].done) == (10, 0, 0, 0)
    last = seen[-1]
    assert (last.alive, last.done, last.pruned) == (0, 4, int(result.record.pruned.sum()))
    assert last.dead == 2
    assert all(now.alive + now.done + now.pruned + now.dead == 10 for now in seen)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (cosine(9), {}),
        (cosine(9), {"seeds": 3, "prune": "auto"}),
        (cosine(9), {"evaluate": lambda w: {"accuracy": -jnp.sum(w**2)}, "maximize": True}),
        (cosine(9), {"evaluate": lambda w: {"error": jnp.sum(w**2)}, "keep": "best"}),
        (jopt.sgd(jopt.geomspace(1e-3, 0.3, 5), nesterov=jopt.choice(False, True), momentum=0.5), {"record_every": 7}),
        ({"sgd": cosine(3), "adam": jopt.adam(jopt.geomspace(1e-3, 0.3, 5))}, {"seeds": 2}),
    ],
    ids=["loss", "seeds and pruning", "a metric that is better high", "the best evaluation", "structure", "groups"],
)
def test_the_best_at_the_end_is_the_best_of_the_result(seen, optimizer, options):
    options = dict(options)
    if options.pop("maximize", False):
        options["evaluate"] = jopt.metrics(options["evaluate"], maximize="accuracy")
    best = swept(optimizer, **options).best()
    shown = seen[-1].best
    named = ", ".join(f"{name}={jopt.results.text.number(value)}" for name, value in best.setting.items())
    assert shown.setting == (f"{best.group} {named}" if best.group else named)
    assert shown.score == f"{best.metric} {best.score:.4g}"


def test_nothing_is_called_best_where_nobody_said_which_values_are_good(seen):
    swept(cosine(3), evaluate=lambda w: {"accuracy": jnp.sum(w)})
    assert seen[-1].best is None


def test_the_best_so_far_is_a_mean_over_seeds_that_have_all_begun(seen):
    swept(cosine(3), seeds=4, plan=jopt.Plan(width=1, workers=1), steps=40)
    # One lane after the other, seed by seed: before the last seed has begun nothing has a mean.
    assert [now.best for now in seen if now.done < 9] == [None] * sum(now.done < 9 for now in seen)
    assert seen[-1].best is not None


def test_the_time_left_counts_what_has_not_been_compiled_yet(seen):
    jobs = {"a": (0.5, 2.0, 1.0, 100), "b": (0.0, 0.0, 0.0, 0)}

    class Records:
        def __init__(self, lane_steps):
            self.lane_steps = lane_steps

    class Known:
        def __init__(self, compile_s, total_s, pace, lane_steps):
            self.compile_s, self.total_s, self.pace, self.records = compile_s, total_s, pace, Records(lane_steps)

    found = {name: Known(*each) for name, each in jobs.items()}
    left = looking._left_s(found, {"a": 0.0, "b": 100.0})
    assert left == pytest.approx(0.5 + 100 / (100 / 1.5))
    assert looking._left_s({"b": found["b"]}, {"b": 100.0}) is None


def test_a_sweep_that_is_stopped_says_so_and_leaves_the_terminal_clean():
    def stops(event):
        if event.step >= 45:
            raise KeyboardInterrupt

    swept(cosine(3), callbacks=lambda event: None, progress=False)  # compiled, so that turns are short
    with terminal() as stream, pytest.raises(KeyboardInterrupt):
        swept(cosine(3), callbacks=stops)
    assert lines(stream.getvalue())[-1].startswith("sweep  50%, stopped after ")
    assert stream.getvalue().endswith("\n")

"""An error that stops a sweep brings what was recorded until then."""

import functools
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 5)).astype(np.float32)
Y = (X @ RANDOM.normal(size=5) + 0.3 * RANDOM.normal(size=64)).astype(np.float32)
STEPS = 40
RATES = jopt.cosine_decay_schedule(jopt.geomspace(1e-3, 0.3, 6), STEPS)


class Mine(Exception):
    """Of the user's own."""


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def error(w):
    return {"error": jnp.mean(jnp.abs(X @ w - Y))}


def swept(loss=loss, params=None, optimizer=None, data=(X, Y), **options):
    options = {"steps": STEPS, "seeds": 2, "progress": False, "evaluate": error, "eval_every": 10, **options}
    if isinstance(data, tuple):
        options.setdefault("batch_size", 8)
    return jopt.sweep(loss, jnp.zeros(5) if params is None else params, optimizer or jopt.sgd(RATES), data, **options)


def stopped(kind=Mine, **options):
    with pytest.raises(kind) as caught:
        swept(**options)
    return caught.value


def batches(count=STEPS):
    for i in range(count):
        rows = np.arange(8) + 8 * (i % 8)
        yield X[rows], Y[rows]
    raise Mine


def at(step, kind=Mine):
    def callback(event):
        if event.step == step:
            raise kind

    return callback


class Breaks(jopt.TopFraction):
    """A pruner that fails when it is asked."""

    def keep(self, rung):
        raise Mine


class After:
    """A function that fails when it has been called a number of times; under ``jax.disable_jit`` that is at a step."""

    def __init__(self, function, calls):
        self.function, self.left = function, calls
        functools.update_wrapper(self, function)  # jopt looks at the arguments

    def __call__(self, *args):
        self.left -= 1
        if self.left < 0:
            raise Mine
        return self.function(*args)


def rows(key, step):
    return X[:8], Y[:8]


COMPILED = {
    "a callback": {"callbacks": at(20)},
    "a pruner": {"prune": Breaks(at=0.5)},
    "an iterator": {"data": batches(25), "plan": jopt.Plan(width=3, chunk=5)},
}
IN_PYTHON = {
    "the loss": lambda: {"loss": After(loss, 30)},
    "evaluate": lambda: {"evaluate": After(error, 4)},
    "a batch": lambda: {"data": After(rows, 30), "batch_size": None},
    "init": lambda: {"params": After(lambda key: jnp.zeros(5), 3)},
}


def check(partial, whole):
    """It has the beginning of each curve, and NaN behind."""
    record, expected = partial.record, whole.record
    done = record.steps_done
    ran = record.step <= done[..., None]
    np.testing.assert_allclose(record.losses["loss"][ran], expected.losses["loss"][ran], rtol=2e-5)
    assert np.isnan(record.losses["loss"][~ran]).all()
    evaluated = ~np.isnan(record.metrics["error"])
    np.testing.assert_allclose(record.metrics["error"][evaluated], expected.metrics["error"][evaluated], rtol=2e-5)
    assert not (evaluated & (record.eval_step > done[..., None])).any()


@pytest.mark.parametrize("who", COMPILED)
def test_an_error_brings_what_was_recorded(who):
    options = COMPILED[who]
    found = stopped(**options)
    partial = found.partial_result
    assert isinstance(partial, jopt.SweepResult)
    assert not partial.complete
    assert [note for note in found.__notes__ if ".partial_result" in note and "lane-steps" in note]
    assert (partial.record.steps_done >= 15).all()
    assert partial.timings.lane_steps == partial.record.steps_done.sum()
    check(partial, swept(data=list(batches_without_end()) if who == "an iterator" else (X, Y)))


@pytest.mark.parametrize("who", COMPILED)
def test_what_an_error_brings_is_kept_too(tmp_path, who):
    options = {**COMPILED[who], **({"data": batches(25)} if who == "an iterator" else {})}
    found = stopped(**options, checkpoint=jopt.Checkpoint(tmp_path, every=0, data="mine"))
    kept = jopt.load_result(tmp_path)
    assert not kept.complete
    ours, theirs = kept.record, found.partial_result.record
    if who != "an iterator":  # blocks that were under way when it failed are kept as they were saved last
        np.testing.assert_array_equal(ours.steps_done, theirs.steps_done)
    assert ((ours.steps_done > 0) & (ours.steps_done <= theirs.steps_done)).all()
    ran = ours.step <= ours.steps_done[..., None]
    np.testing.assert_array_equal(ours.losses["loss"][ran], theirs.losses["loss"][ran])
    evaluated = ours.eval_step <= ours.steps_done[..., None]
    np.testing.assert_array_equal(ours.metrics["error"][evaluated], theirs.metrics["error"][evaluated])


class Broken:
    """A stream that nobody can write to."""

    def isatty(self):
        return True

    def write(self, text):
        raise OSError("no")

    flush = fileno = isatty


def test_a_progress_that_can_not_be_written_ends_no_sweep(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken())
    assert swept(progress=True).complete


def batches_without_end():
    for i in range(STEPS):
        rows = np.arange(8) + 8 * (i % 8)
        yield X[rows], Y[rows]


@pytest.mark.parametrize("who", IN_PYTHON)
def test_so_does_one_of_a_function_that_is_not_compiled(who):
    common = {"optimizer": jopt.sgd(jopt.choice(0.01, 0.1)), "steps": 20}
    with jax.disable_jit():
        found = stopped(**common, **IN_PYTHON[who]())
    partial = found.partial_result
    assert 20 <= partial.timings.lane_steps < 80
    check(partial, swept(**common, **({"data": rows, "batch_size": None} if who == "a batch" else {})))


FUNCTIONS = {"loss": loss, "params": lambda key: jnp.zeros(5), "evaluate": error, "data": rows}


@pytest.mark.parametrize("argument", FUNCTIONS)
def test_a_function_that_fails_at_once_brings_a_result_without_records(argument):
    options = {"batch_size": None} if argument == "data" else {}
    found = stopped(**{argument: After(FUNCTIONS[argument], 0)}, **options)
    partial = found.partial_result
    assert partial.timings.lane_steps == 0
    assert not partial.complete
    assert partial.record.steps_done.max() == 0
    assert not [note for note in getattr(found, "__notes__", []) if note.startswith("jopt:")]
    assert "none" in repr(partial)


def test_ctrl_c_brings_it_too():
    found = stopped(KeyboardInterrupt, callbacks=at(30, KeyboardInterrupt))
    assert (found.partial_result.record.steps_done == 30).all()
    assert found.partial_result.best().metric == "error"


CTRL_C = """
import os, signal
import jax.numpy as jnp, jopt
from jopt.engine.lanes.records import Records

signal.signal(signal.SIGINT, signal.default_int_handler)
take, taken = Records.take, []

def counted(self, outcome):
    take(self, outcome)
    taken.append(outcome)
    if len(taken) == 12:
        os.kill(os.getpid(), signal.SIGINT)

Records.take = counted
try:
    jopt.sweep(lambda w, _: jnp.sum(w**2), jnp.ones(300_000), jopt.sgd(jopt.geomspace(1e-4, 1e-3, 4)), steps=10**6,
               record_every=100, progress=False, plan=jopt.Plan(width=1, workers=2))
except KeyboardInterrupt as stop:
    partial = stop.partial_result
    done = partial.record.steps_done
    losses = partial.record.losses["loss"]
    print(int(done.max()) > 0, bool((losses[partial.record.step <= done[..., None]] > 0).all()), partial.complete)
"""


def test_ctrl_c_in_the_middle_of_compiled_code_loses_little():
    done = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["True", "True", "False"], done.stderr


def test_the_best_of_what_was_recorded_is_named():
    partial = stopped(callbacks=at(20)).partial_result
    scores = swept().dataset.error.sel(eval_step=20).mean("seed")
    assert partial.best().index == (int(np.argmin(scores.values)),)
    assert partial.best().score == pytest.approx(float(scores.min()), rel=1e-5)
    assert "when it had not come to its end" in repr(partial)
    assert partial.to_pandas().shape[0] == 12


def test_a_score_is_of_what_each_lane_has_done():
    """Lane after lane: three are at their end when the error comes, one is in the middle, others have not begun."""
    common = {"optimizer": jopt.sgd(jopt.choice(0.01, 0.02, 0.05)), "steps": 20, "evaluate": None, "eval_every": None}
    with jax.disable_jit():
        partial = stopped(**common, loss=After(loss, 70)).partial_result
    assert partial.record.steps_done.tolist() == [[20, 20], [20, 10], [0, 0]]
    losses = swept(**common).record.losses["loss"]
    expected = [losses[0, :, 18:].mean(-1), np.array([losses[1, 0, 18:].mean(), losses[1, 1, 9]])]
    best = partial.best()
    assert best.index == (int(np.argmin([each.mean() for each in expected])),)
    np.testing.assert_allclose(best.scores, expected[best.index[0]], rtol=1e-4)
    np.testing.assert_allclose(partial.top(3)[1].score, max(each.mean() for each in expected), rtol=1e-4)
    assert len(partial.top(3)) == 2


def test_it_has_no_parameters_and_says_so():
    partial = stopped(callbacks=at(20)).partial_result
    with pytest.raises(ValueError, match="had not come to its end"):
        _ = partial.params
    with pytest.raises(ValueError, match="had not come to its end"):
        _ = partial.best().params
    carried = stopped(callbacks=at(20), keep="carry").partial_result
    with pytest.raises(ValueError, match="had not come to its end"):
        _ = carried.state


def test_it_can_be_saved_loaded_and_pickled(tmp_path):
    partial = stopped(callbacks=at(20)).partial_result
    partial.save(tmp_path / "some.sweep")
    for again in (jopt.load_result(tmp_path / "some.sweep"), pickle.loads(pickle.dumps(partial))):
        assert not again.complete
        np.testing.assert_array_equal(again.record.losses["loss"], partial.record.losses["loss"])
        assert again.best().setting == partial.best().setting


def test_groups_that_had_not_begun_are_in_it():
    optimizers = {"sgd": jopt.sgd(jopt.choice(0.01, 0.1)), "adam": jopt.adam(jopt.choice(0.01, 0.1))}

    def fails(event):
        if event.group == "adam":
            raise Mine

    partial = stopped(optimizer=optimizers, callbacks=fails).partial_result
    assert isinstance(partial, jopt.GroupedResult)
    assert (partial["sgd"].record.steps_done == STEPS).all()
    assert (partial["adam"].record.steps_done == 10).all()
    first = stopped(optimizer=optimizers, callbacks=at(10)).partial_result
    assert (first["adam"].record.steps_done == 0).all()
    assert first.best().group == "sgd"


def test_a_window_that_was_cut_short_is_the_mean_of_its_steps():
    whole = swept(record_every=1, eval_every=20)
    partial = stopped(record_every=15, eval_every=20, callbacks=at(20)).partial_result
    kept, each = partial.record.losses["loss"], whole.record.losses["loss"]
    np.testing.assert_allclose(kept[..., 0], each[..., :15].mean(-1), rtol=1e-5)
    np.testing.assert_allclose(kept[..., 1], each[..., 15:20].mean(-1), rtol=1e-5)
    assert np.isnan(kept[..., 2]).all()


def test_pruned_lanes_are_pruned_in_it_too():
    partial = stopped(prune="auto", callbacks=at(40)).partial_result
    np.testing.assert_array_equal(partial.record.pruned_at, swept(prune="auto").record.pruned_at)


def test_a_wrong_argument_brings_nothing():
    with pytest.raises(ValueError, match="steps") as caught:
        swept(steps=0)
    assert not hasattr(caught.value, "partial_result")
    assert not hasattr(caught.value, "__notes__")


def test_a_wrong_argument_that_shows_in_a_trace_has_no_notes():
    for options in (
        {"loss": lambda w: w.sum()},
        {"evaluate": lambda w: {"loss": w.sum()}},
        {"loss": lambda w, batch: w},
        {"prune": jopt.TopFraction(metric="none")},
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            swept(**options)
        assert not getattr(caught.value, "__notes__", []), options


def test_an_error_that_takes_no_attributes_is_raised_all_the_same():
    class Frozen(Exception):
        def __setattr__(self, name, value):
            if name in ("partial_result", "__notes__"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    def fails(event):
        raise Frozen("mine")

    assert str(stopped(Frozen, callbacks=fails)) == "mine"


def test_the_result_is_of_the_sweep_that_was_called():
    def inner(event):
        jopt.sweep(loss, jnp.zeros(5), jopt.sgd(0.1), (X, Y), steps=3, progress=False, callbacks=at(2))

    partial = stopped(callbacks=inner).partial_result
    assert partial.record.steps_done.shape == (6, 2)

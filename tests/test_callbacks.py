"""Callbacks: told at the same steps under every plan, of all that is new, and in nobody's way."""

import contextlib
import io
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import jopt

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 5)).astype(np.float32)
Y = (X @ RANDOM.normal(size=5) + 0.3 * RANDOM.normal(size=64)).astype(np.float32)
STEPS = 40
PLANS = [
    jopt.Plan(width=1, loop="scan"),
    jopt.Plan(width=3, chunk=7, loop="scan"),
    jopt.Plan(width=12, loop="scan", workers=1),
    jopt.Plan(width=2, loop="host"),
    "auto",
]


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def cosine(count=6, steps=STEPS):
    return jopt.sgd(jopt.cosine_decay_schedule(jopt.geomspace(1e-3, 0.3, count), steps))


def error(w):
    return {"error": jnp.mean(jnp.abs(X @ w - Y))}


def told(optimizer=None, data=(X, Y), callbacks=None, **options):
    """The events of a sweep, and its result."""
    events = []
    options = {"steps": STEPS, "seeds": 2, "progress": False, "callbacks": callbacks or events.append, **options}
    if not callable(getattr(data, "__next__", None)) and "batch_size" not in options:
        options["batch_size"] = 8
    return events, jopt.sweep(loss, jnp.zeros(5), cosine() if optimizer is None else optimizer, data, **options)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_lane_has_come_to_the_next_evaluation_whatever_the_plan(plan):
    events, result = told(plan=plan, evaluate=error, eval_every=15)
    assert [event.step for event in events] == [15, 30, 40]
    for event in events:
        ends = event.step if event.step < STEPS else STEPS
        assert (event.so_far.record.steps_done == ends).all()
        assert np.isfinite(event.new.loss).all()
    assert events[-1].steps == events[-1].step == STEPS
    assert events[0].new.eval_step.values.tolist() == [0, 15]
    assert result.record.steps_done.min() == STEPS


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("prune", [None, "auto"])
def test_what_was_new_is_all_that_there_is_in_the_end(plan, prune):
    events, result = told(plan=plan, evaluate=error, eval_every=15, prune=prune, record_every=3)
    for names, along in ((("loss",), "step"), (("error",), "eval_step")):
        for name in names:
            joined = xr.concat([event.new[name] for event in events], along)
            xr.testing.assert_allclose(joined, result.dataset[name], rtol=1e-6)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_sweep_is_what_it_is_without_callbacks(plan):
    _, result = told(plan=plan, evaluate=error)
    expected = jopt.sweep(
        loss, jnp.zeros(5), cosine(), (X, Y), steps=STEPS, seeds=2, batch_size=8, evaluate=error, plan=plan, progress=False
    )
    np.testing.assert_allclose(result.record.losses["loss"], expected.record.losses["loss"], rtol=2e-5)
    np.testing.assert_allclose(result.params, expected.params, rtol=1e-4, atol=1e-6)
    assert result.complete


def test_at_the_same_width_it_is_so_bit_for_bit():
    plan = jopt.Plan(width=6, loop="scan")
    _, result = told(plan=plan, evaluate=error)
    _, expected = told(plan=plan, evaluate=error, callbacks=())
    np.testing.assert_array_equal(result.record.losses["loss"], expected.record.losses["loss"])
    np.testing.assert_array_equal(result.params, expected.params)


def test_without_evaluations_there_are_twenty_events():
    events, _ = told(steps=200, optimizer=cosine(steps=200))
    assert [event.step for event in events] == list(range(10, 201, 10))
    few, _ = told(steps=3)
    assert [event.step for event in few] == [1, 2, 3]


def test_events_are_at_the_ends_of_what_is_recorded():
    events, _ = told(cosine(steps=100), steps=100, record_every=30)
    assert [event.step for event in events] == [30, 60, 90, 100]
    assert [event.new.step.values.tolist() for event in events] == [[30], [60], [90], [100]]


def test_where_a_pruner_has_decided_an_event_shows_it():
    events, result = told(prune=jopt.TopFraction(at=0.3, keep=0.5), evaluate=error, eval_every=20)
    assert [event.step for event in events] == [12, 20, 40]
    first, _, last = events
    np.testing.assert_array_equal(first.lanes == "pruned", result.record.pruned)
    assert set(first.lanes.values[~result.record.pruned]) == {"running"}
    assert set(last.lanes.values.ravel()) == {"pruned", "done"}
    assert np.isnan(last.new.loss.values[result.record.pruned]).all()


def test_lanes_are_labelled_by_their_setting():
    events, _ = told(jopt.sgd(jopt.choice(0.05, 1e30), nesterov=False), evaluate=error, eval_every=20)
    lanes = events[0].lanes
    assert lanes.dims == ("learning_rate", "seed")
    assert set(lanes.sel(learning_rate=0.05).values) == {"running"}
    assert set(lanes.sel(learning_rate=1e30).values) == {"dead"}
    assert set(events[-1].lanes.sel(learning_rate=0.05).values) == {"done"}


def test_the_best_is_that_of_all_until_then():
    events, result = told(evaluate=error, eval_every=10)
    last, best = events[-1].best, result.best()
    assert (last.setting, last.score, last.metric) == (best.setting, best.score, "error")
    for event in events:
        scores = result.dataset.error.sel(eval_step=event.step).mean("seed")
        assert event.best.index == (int(np.argmin(scores.values)),)
        assert event.best.score == pytest.approx(float(scores.min()), rel=1e-6)
    assert events[0].best.optimizer.hyperparams == result.optimizer_at(events[0].best.index).hyperparams


def test_nothing_is_best_where_nothing_can_be():
    events, _ = told(jopt.sgd(jopt.choice(1e30)), steps=5)
    assert events[-1].best is None
    assert "best" not in repr(events[-1])


def test_each_optimizer_of_several_has_its_own_events():
    optimizers = {"sgd": cosine(3), "adam": jopt.adam(jopt.geomspace(1e-3, 0.1, 4))}
    events, result = told(optimizers, evaluate=error, eval_every=20)
    assert [(event.group, event.step) for event in events] == [("sgd", 20), ("sgd", 40), ("adam", 20), ("adam", 40)]
    assert [len(event.new.loss) for event in events] == [3, 3, 4, 4]
    assert events[-1].best.group == "adam"
    assert events[-1].best.score == result["adam"].best().score


def test_settings_that_differ_in_structure_are_told_of_together():
    optimizer = jopt.sgd(jopt.choice(0.01, 0.1), momentum=0.9, nesterov=jopt.choice(False, True))
    events, result = told(optimizer, evaluate=error, eval_every=20)
    assert [event.step for event in events] == [20, 40]
    assert events[0].lanes.shape == (2, 2, 2)
    assert events[-1].best.score == result.best().score
    xr.testing.assert_allclose(xr.concat([e.new.loss for e in events], "step"), result.dataset.loss, rtol=1e-6)


def test_a_sweep_that_goes_on_goes_on_counting():
    first = jopt.sweep(loss, jnp.zeros(5), jopt.sgd(jopt.choice(0.01, 0.1)), (X, Y), steps=20, keep="carry", progress=False)
    best, events = first.best(), []
    jopt.sweep(
        loss, best, best.optimizer, (X, Y), steps=10, evaluate=error, eval_every=5, callbacks=events.append, progress=False
    )
    assert [event.step for event in events] == [25, 30]
    assert events[0].new.step.values.tolist() == [21, 22, 23, 24, 25]


def batches():
    for i in range(STEPS):
        rows = np.arange(8) + 8 * (i % 8)
        yield X[rows], Y[rows]


def test_batches_that_come_once_are_told_of_too():
    events, result = told(data=batches(), batch_size=None, evaluate=error, eval_every=20)
    assert [event.step for event in events] == [20, 40]
    xr.testing.assert_allclose(xr.concat([e.new.loss for e in events], "step"), result.dataset.loss, rtol=1e-6)


def test_a_sweep_that_is_not_compiled_tells_the_same():
    compiled, _ = told(cosine(2, 6), steps=6, seeds=1, evaluate=error, eval_every=4, prune="auto")
    with jax.disable_jit():
        found, _ = told(cosine(2, 6), steps=6, seeds=1, evaluate=error, eval_every=4, prune="auto")
    assert [event.step for event in found] == [event.step for event in compiled]
    for ours, theirs in zip(found, compiled, strict=True):
        xr.testing.assert_allclose(ours.new, theirs.new, rtol=1e-4)
        np.testing.assert_array_equal(ours.lanes, theirs.lanes)
        assert ours.best.setting == theirs.best.setting


def test_groups_that_are_not_compiled_are_told_of_one_after_the_other():
    groups = {"a": jopt.sgd(jopt.choice(0.01, 0.1)), "b": jopt.adam(0.1)}
    compiled, _ = told(groups, steps=4, seeds=1, evaluate=error, eval_every=2)
    with jax.disable_jit():
        found, _ = told(groups, steps=4, seeds=1, evaluate=error, eval_every=2)
    order = [(event.group, event.step) for event in found]
    assert order == [(event.group, event.step) for event in compiled] == [("a", 2), ("a", 4), ("b", 2), ("b", 4)]


def test_a_step_of_the_users_own_tells_too():
    def init(optimizer, key):
        return jnp.float32(1.0), optimizer.init(jnp.float32(1.0))

    def step(optimizer, carry, batch, key):
        w, state = carry
        updates, state = optimizer.update(2 * w, state, w)
        return (w + updates, state), {"loss": w**2}

    events = []
    jopt.sweep_steps(init, step, jopt.sgd(jopt.choice(0.1, 0.2)), steps=3, callbacks=events.append, progress=False)
    assert [event.step for event in events] == [1, 2, 3]
    assert events[-1].best.setting == {"learning_rate": 0.2}


def test_callbacks_are_called_in_order_in_the_callers_thread_and_what_they_return_counts_for_nothing():
    called = []
    each = [lambda event, i=i: called.append((i, event.step, threading.current_thread())) or True for i in range(2)]
    told(callbacks=each, steps=2)
    assert called == [(i, step, threading.main_thread()) for step in (1, 2) for i in range(2)]


def test_an_event_that_is_kept_stays_what_it_was():
    events, _ = told(evaluate=error, eval_every=10)
    first = events[0]
    assert first.new.step.values[-1] == 10
    assert set(first.lanes.values.ravel()) == {"running"}
    assert np.isfinite(first.new.loss).all()
    assert not first.so_far.complete


def test_an_event_reads_as_one_line():
    events, _ = told({"one": cosine(3)}, evaluate=error, eval_every=20)
    shown = repr(events[0])
    assert shown.startswith("Event(one: step 20 of 40, 6 running, best init_value=0.3: error ")
    assert "\n" not in shown


def test_a_sweep_inside_a_callback_does_not_disturb_the_one_around_it():
    scores = []

    def again(event):
        scores.append(jopt.sweep(loss, jnp.zeros(5), jopt.sgd(0.1), (X, Y), steps=2, progress=False).best().score)

    _, result = told(callbacks=again, evaluate=error, eval_every=20)
    assert len(set(scores)) == 1
    assert result.record.steps_done.min() == STEPS


def test_what_a_callback_prints_stands_on_lines_of_its_own(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    with contextlib.redirect_stderr(Terminal()) as stream:
        told(callbacks=lambda event: stream.write(f"step {event.step}\n"), progress=None, evaluate=error, eval_every=20)
    shown = stream.getvalue()
    assert "\rstep 20\n" in shown or shown.startswith("step 20\n")
    assert "\rstep 40\n" in shown


def test_trials_of_plans_pass_looks_but_no_event_shows_it():
    """Where a plan is measured some lanes are further than the others; an event is of its own step."""
    events, result = told(cosine(24, 200), steps=200, evaluate=error, eval_every=1)
    assert [event.step for event in events] == list(range(1, 201))
    for event in events[:30]:
        assert (event.so_far.record.steps_done == event.step).all()
        assert event.new.step.values.tolist() == [event.step]
    assert result.best().score == events[-1].best.score


@pytest.mark.parametrize("callbacks", [3, "print", [print, 3], {"a": print}], ids=["number", "text", "one of two", "dict"])
def test_what_is_no_function_is_refused(callbacks):
    with pytest.raises(TypeError, match="callbacks"):
        told(callbacks=callbacks)

"""``checkpoint=`` in one process: what is kept, goes on, is refused. Killed processes: ``test_checkpoint_killed``."""

import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.sweeps.holding import Held
from tests import kept

RATES = (0.01, 0.02, 0.03)
STEPS = 60


def assert_same(a, b):
    """Two results are the same, bit for bit."""
    parts = zip(a.values(), b.values(), strict=True) if isinstance(a, jopt.GroupedResult) else [(a, b)]
    for one, other in parts:
        for name in ("losses", "metrics"):
            first, second = (getattr(x.record, name) for x in (one, other))
            assert first.keys() == second.keys()
            for key in first:
                np.testing.assert_array_equal(first[key], second[key], err_msg=key)
        for name in ("steps_done", "diverged_at", "pruned_at"):
            np.testing.assert_array_equal(getattr(one.record, name), getattr(other.record, name), err_msg=name)
        if one.record.complete and other.record.complete and one.record.keep != "none":
            for index in np.ndindex(one.record.shape):
                jax.tree.map(_assert_equal, one.params_at(index), other.params_at(index))


def _assert_equal(x, y):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(np.asarray(x, np.float64), np.asarray(y, np.float64))  # NumPy's NaN is none in bfloat16


def lane_steps(result):
    """What a call trained."""
    parts = result.values() if isinstance(result, jopt.GroupedResult) else [result]
    return sum(part.timings.lane_steps for part in parts)


def swept(directory=None, rates=RATES, steps=STEPS, **more):
    """A small sweep, kept where a directory is given."""
    given = {"optimizer": jopt.adam(jopt.choice(*rates)), "seeds": 2, "batch_size": 3, "evaluate": kept.evaluate, **more}
    optimizer, loss, init = given.pop("optimizer"), given.pop("loss", kept.loss), given.pop("init", kept.init)
    checkpoint = None if directory is None else given.pop("checkpoint", jopt.Checkpoint(directory, every=0))
    data, plan = given.pop("data", kept.DATA), given.pop("plan", kept.PLAN)
    return jopt.sweep(loss, init, optimizer, data, steps=steps, plan=plan, progress=False, checkpoint=checkpoint, **given)


class Stop(Exception):
    """What a callback raises."""


def stopped_at(step):
    """A callback that ends a sweep at the first event behind a step."""

    def callback(event):
        if event.step >= step:
            raise Stop

    return callback


def interrupted(directory, step=30, **more):
    """A sweep that is ended in its midst, by a callback; returns what that raised."""
    with pytest.raises(Stop) as raised:
        swept(directory, callbacks=stopped_at(step), **more)
    return raised.value


# Going on


def test_the_same_call_again_trains_nothing_and_has_the_same_result(tmp_path):
    first = swept(tmp_path)
    again = swept(tmp_path)
    assert lane_steps(first) == 6 * STEPS
    assert lane_steps(again) == 0
    assert_same(first, again)


def test_a_sweep_that_is_kept_is_the_sweep_that_is_not(tmp_path):
    assert_same(swept(), swept(tmp_path))


def test_a_name_of_a_directory_is_enough(tmp_path):
    rates = jopt.sgd(jopt.choice(0.1, 0.2))
    for directory in (tmp_path / "a", str(tmp_path / "b")):
        jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), rates, steps=3, checkpoint=directory, progress=False)
        assert jopt.load_result(directory).record.complete


SWEEPS = {
    "plain": {},
    "carry": {"keep": "carry"},
    "best": {"keep": "best"},
    "nothing": {"keep": "none"},
    "windows": {"record_every": 7},
    "all data": {"batch_size": None},
    "batch sizes": {"batch_size": jopt.choice(2, 3)},
    "a function": {"data": lambda key, step: jax.random.normal(key, (3, 1)), "batch_size": None},
    "structure": {
        "optimizer": jopt.momentum(jopt.choice(*RATES), 0.9, nesterov=jopt.choice(False, True)),
        "record_every": 7,
    },
    "groups": {
        "optimizer": {"a": jopt.adam(jopt.choice(*RATES)), "b": jopt.sgd(jopt.choice(0.01, 1e30))},
        "record_every": 7,
    },
    "drawn": {"optimizer": jopt.adam(jopt.loguniform(0.001, 0.1)), "samples": 3},
    "plateau": {
        "optimizer": jopt.chain(jopt.adam(jopt.choice(*RATES)), jopt.reduce_on_plateau(patience=1, monitor="distance"))
    },
    "narrow states": {"optimizer": jopt.adam(jopt.choice(*RATES), mu_dtype=jnp.bfloat16)},
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_that_was_ended_goes_on_to_the_same_result(tmp_path, name):
    more = SWEEPS[name]
    interrupted(tmp_path, **more)
    on = swept(tmp_path, **more)
    whole = swept(**more)
    assert_same(on, whole)
    assert 0 < lane_steps(on) < lane_steps(whole)
    assert_same(jopt.load_result(tmp_path), whole)


def test_a_plan_that_was_measured_is_kept_and_goes_on(tmp_path):
    interrupted(tmp_path, plan="auto")
    on = swept(tmp_path, plan="auto")
    assert "as the checkpoint has it" in str(on.plan)
    assert on.plan.width is not None
    np.testing.assert_allclose(on.params["w"], swept().params["w"], rtol=1e-5)
    assert 0 < lane_steps(on) < 6 * STEPS


def test_carries_of_steps_of_ones_own_with_random_keys_go_on(tmp_path):
    def init(optimizer, key):
        w = jnp.ones(2)
        return {"w": w, "state": optimizer.init(w), "key": key}

    def step(optimizer, carry, batch, key):
        own, noise = jax.random.split(carry["key"])
        grads = carry["w"] + 0.1 * jax.random.normal(noise, (2,))
        updates, state = optimizer.update(grads, carry["state"], carry["w"])
        return {"w": carry["w"] + updates, "state": state, "key": own}, {"loss": (carry["w"] ** 2).sum()}

    def run(checkpoint, **more):
        rates = jopt.adam(jopt.choice(*RATES))
        return jopt.sweep_steps(init, step, rates, steps=STEPS, plan=kept.PLAN, checkpoint=checkpoint, progress=False, **more)

    with pytest.raises(Stop):
        run(tmp_path, callbacks=stopped_at(30))
    on = run(tmp_path)
    assert 0 < lane_steps(on) < 3 * STEPS
    assert_same(on, run(None))
    first = on.best()
    further = jopt.sweep_steps(first, step, first.optimizer, steps=5, progress=False)
    assert further.record.last == STEPS + 5


def test_a_sweep_that_goes_on_from_a_trial_is_kept_too(tmp_path):
    first = swept(keep="carry").best()

    def run(directory, **more):
        return swept(directory, init=first, optimizer=first.optimizer, seeds=1, **more)

    with pytest.raises(Stop):
        run(tmp_path, callbacks=stopped_at(STEPS + 30))
    assert_same(run(tmp_path), run(None))


def test_batches_of_an_iterable_are_passed_over_again(tmp_path):
    batches = [np.float32([i, -i, 0.5 * i]) / 10 for i in range(7)]

    def run(directory, **more):
        checkpoint = jopt.Checkpoint(tmp_path, every=0, data="seven batches")
        given = {"checkpoint": checkpoint} if directory else {}
        return swept(directory, data=list(batches), batch_size=None, **given, **more)

    with pytest.raises(Stop):
        run(tmp_path, callbacks=stopped_at(30))
    on = run(tmp_path)
    assert 0 < lane_steps(on) < 6 * STEPS
    assert_same(on, run(None))


def test_an_iterable_needs_a_name(tmp_path):
    with pytest.raises(ValueError, match=r'jopt.Checkpoint\(path, data="imagenet-64 v2"\)'):
        swept(tmp_path, data=[np.ones(3, np.float32)], batch_size=None)


def test_dead_lanes_stay_dead_and_are_not_run_again(tmp_path):
    rates = {"optimizer": jopt.sgd(jopt.choice(0.01, 1e30)), "record_every": 7}
    interrupted(tmp_path, **rates)
    on = swept(tmp_path, **rates)
    assert_same(on, swept(**rates))
    assert lane_steps(on) < 2 * STEPS
    assert_same(jopt.load_result(tmp_path), on)


def test_callbacks_are_not_told_again_of_what_an_earlier_call_has_trained(tmp_path):
    interrupted(tmp_path, eval_every=10, step=30)
    told = []
    swept(tmp_path, eval_every=10, callbacks=lambda event: told.append((event.step, event.new.step.values[0].item())))
    assert told == [(40, 31), (50, 41), (60, 51)]


# Extension


def test_further_settings_and_seeds_run_alone(tmp_path):
    swept(tmp_path)
    more = swept(tmp_path, rates=(0.01, 0.015, 0.02, 0.03), seeds=3)
    assert lane_steps(more) == (4 * 3 - 3 * 2) * STEPS
    assert_same(more, swept(rates=(0.01, 0.015, 0.02, 0.03), seeds=3))
    fewer = swept(tmp_path, rates=(0.02,), seeds=[2])
    assert lane_steps(fewer) == 0
    assert_same(fewer, swept(rates=(0.02,), seeds=[2]))


def test_an_axis_where_a_number_stood_runs_what_is_new(tmp_path):
    swept(tmp_path)
    wider = swept(tmp_path, optimizer=jopt.adam(jopt.choice(*RATES), b1=jopt.choice(0.8, 0.9)))
    assert lane_steps(wider) == 6 * STEPS
    assert_same(wider, swept(optimizer=jopt.adam(jopt.choice(*RATES), b1=jopt.choice(0.8, 0.9))))


@pytest.mark.parametrize("more", [{}, {"keep": "best"}, {"eval_every": 20}], ids=lambda more: "-".join(more) or "plain")
def test_lanes_go_on_for_further_steps_and_keep_their_steps_of_evaluation(tmp_path, more):
    first = swept(tmp_path, **more)
    longer = swept(tmp_path, steps=STEPS + 40, **more)
    assert lane_steps(longer) == 6 * 40
    assert longer.record.eval_step[:4].tolist() == first.record.eval_step[:4].tolist()
    every = int(first.record.eval_step[1])
    assert_same(longer, swept(steps=STEPS + 40, **{**more, "eval_every": every}))


def test_windows_in_the_midst_of_which_lanes_ended_are_filled_by_further_steps(tmp_path):
    swept(tmp_path, record_every=8)  # 60 = 7 * 8 + 4
    longer, whole = swept(tmp_path, steps=100, record_every=8, eval_every=3), swept(steps=100, record_every=8, eval_every=3)
    np.testing.assert_array_equal(longer.record.losses["loss"], whole.record.losses["loss"])


def test_fewer_steps_are_refused(tmp_path):
    swept(tmp_path)
    with pytest.raises(ValueError, match="lanes have done 60 steps there, more than the 30 that are asked for"):
        swept(tmp_path, steps=30)


def test_another_value_of_structure_and_another_optimizer_run_alone(tmp_path):
    both = jopt.momentum(0.01, 0.9, nesterov=jopt.choice(False, True))
    swept(tmp_path / "a", optimizer=jopt.momentum(0.01, 0.9, nesterov=False))
    assert lane_steps(swept(tmp_path / "a", optimizer=both)) == 2 * STEPS
    one = {"adam": jopt.adam(jopt.choice(*RATES))}
    two = {**one, "sgd": jopt.sgd(0.01)}
    swept(tmp_path / "b", optimizer=one)
    wider = swept(tmp_path / "b", optimizer=two)
    assert lane_steps(wider) == 2 * STEPS
    assert_same(wider, swept(optimizer=two))


# Pruning


def pruning(directory, **more):
    rates = jopt.cosine_decay_schedule(jopt.geomspace(0.001, 0.1, 8), STEPS)
    return swept(directory, optimizer=jopt.sgd(rates), seeds=1, **{"prune": jopt.SuccessiveHalving(), **more})


def test_a_pruned_sweep_that_was_ended_prunes_the_same_lanes(tmp_path):
    whole = pruning(None)
    rungs = np.unique(whole.record.pruned_at[~np.isnan(whole.record.pruned_at)]).astype(int)
    with pytest.raises(Stop):
        pruning(tmp_path, callbacks=stopped_at(int(rungs[-1])))
    on = pruning(tmp_path)
    assert 0 < lane_steps(on) < lane_steps(whole)
    assert_same(on, whole)
    again = pruning(tmp_path)
    assert lane_steps(again) == 0
    assert_same(again, whole)
    assert_same(jopt.load_result(tmp_path), whole)


def test_without_pruning_the_pruned_lanes_go_on_from_where_they_were(tmp_path):
    pruned = pruning(tmp_path)
    full = pruning(tmp_path, prune=None)
    assert lane_steps(full) == 8 * STEPS - int(pruned.record.steps_done.sum())
    whole = pruning(None, prune=None)
    np.testing.assert_array_equal(full.params["w"], whole.params["w"])
    np.testing.assert_array_equal(full.record.losses["loss"], whole.record.losses["loss"])
    assert not full.record.pruned_at[~np.isnan(full.record.pruned_at)].size


# What has changed


def other_loss(params, batch, key):
    return 2 * kept.loss(params, batch, key)


def other_init(key):
    return {"w": jax.random.uniform(key, (3,)), "b": jnp.ones(2, jnp.bfloat16)}


def wider_init(key):
    return {"w": jax.random.normal(key, (4,)), "b": jnp.ones(2, jnp.bfloat16)}


CHANGES = {
    "loss": ({"loss": other_loss}, "the loss is"),
    "init": ({"init": other_init}, "init .* is"),
    "shapes": ({"init": wider_init}, "init .* is"),
    "params": (
        {"init": {"w": jnp.ones(3), "b": jnp.ones(2, jnp.bfloat16)}},
        "the initial parameters are|the initial parameters is",
    ),
    "evaluate": ({"evaluate": lambda params: {"distance": (params["w"] ** 4).sum()}}, "evaluate= is"),
    "optimizer": ({"optimizer": jopt.sgd(jopt.choice(*RATES))}, "the optimizer is"),
    "structure": ({"optimizer": jopt.adam(jopt.choice(*RATES), nesterov=True)}, "the optimizer is"),
    "data": ({"data": kept.DATA * 2}, "the data are"),
    "more data": ({"data": np.concatenate([kept.DATA, kept.DATA])}, "the data are"),
    "batch_size": ({"batch_size": 4}, "batch_size= is"),
    "seed": ({"seed": 1}, "seed= is"),
    "record": ({"record": "grad_norm"}, "what is recorded is"),
    "record_every": ({"record_every": 3}, "record_every= is"),
    "keep": ({"keep": "best"}, "keep= .* is"),
    "names": ({"optimizer": {"adam": jopt.adam(jopt.choice(*RATES))}}, "the optimizer is"),
}


@pytest.mark.parametrize("part", CHANGES)
def test_what_has_changed_is_named_and_refused_and_nothing_is_lost(tmp_path, part):
    more, named = CHANGES[part]
    first = swept(tmp_path)
    with pytest.raises(ValueError, match=f"holds another sweep: ({named}) not what it was there"):
        swept(tmp_path, **more)
    assert_same(jopt.load_result(tmp_path), first)
    assert lane_steps(swept(tmp_path)) == 0


def test_arrays_that_a_loss_closes_over_are_part_of_it(tmp_path):
    def loss_of(target):
        return lambda params, batch, key: ((params["w"] - target) ** 2).sum()

    swept(tmp_path, loss=loss_of(jnp.zeros(3)))
    assert lane_steps(swept(tmp_path, loss=loss_of(jnp.zeros(3)))) == 0
    with pytest.raises(ValueError, match="the loss is not what it was"):
        swept(tmp_path, loss=loss_of(jnp.ones(3)))


def test_a_second_problem_in_the_same_file_leaves_the_first_one_as_it_is(tmp_path):
    new = jopt.Checkpoint(tmp_path, on_change="new")
    first = swept(tmp_path)
    second = swept(tmp_path, loss=other_loss, checkpoint=new)
    assert_same(jopt.load_result(tmp_path), second)
    assert lane_steps(swept(tmp_path, loss=other_loss)) == 0
    again = swept(tmp_path)
    assert lane_steps(again) == 0
    assert_same(jopt.load_result(tmp_path), first)


def test_an_upgrade_is_named_where_something_has_changed(tmp_path, monkeypatch):
    swept(tmp_path)
    monkeypatch.setattr("jopt.sweeps.problems.versions", lambda: {"jax": "99.0"})
    with pytest.raises(ValueError, match=rf"written by .*jax {jax.__version__} \(here it is 99.0\)"):
        swept(tmp_path, loss=other_loss)


# Under way


def test_a_result_under_way_is_read_while_the_sweep_runs(tmp_path):
    seen = []

    def look(event):
        part = jopt.load_result(tmp_path)
        seen.append((part.record.complete, part.record.shape, jopt.inspect(tmp_path).damage))

    swept(tmp_path, callbacks=look)
    assert seen
    assert all(each == (False, (3,), []) for each in seen)


def test_a_result_under_way_has_what_the_error_has(tmp_path):
    with pytest.raises(Stop) as raised:
        swept(tmp_path, callbacks=stopped_at(30), eval_every=10)
    part, told = jopt.load_result(tmp_path), raised.value.partial_result
    np.testing.assert_array_equal(part.record.losses["loss"], told.record.losses["loss"])
    np.testing.assert_array_equal(part.record.steps_done, told.record.steps_done)
    assert part.best().hyperparams == told.best().hyperparams


# Signals


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_finishes_the_chunk_and_saves_and_says_where(tmp_path, capsys, number, error):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def send(event):
        if event.step == 30:
            os.kill(os.getpid(), number)

    with pytest.raises(error) as raised:
        swept(tmp_path, eval_every=10, callbacks=send)
    assert error is not SystemExit or raised.value.code == 143
    said = f"jopt: the sweep is saved in {str(tmp_path)!r} up to step 30; the same call goes on from there."
    assert raised.value.__notes__[0] == said
    assert (said in capsys.readouterr().err) == (error is SystemExit)  # of which Python shows no note
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    part = jopt.load_result(tmp_path)
    assert (part.record.steps_done >= 30).all()
    assert_same(swept(tmp_path, eval_every=10), swept(eval_every=10))


def test_the_users_own_handler_is_called_and_put_back(tmp_path):
    heard = []

    def handler(number, frame):
        heard.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(SystemExit):
            swept(tmp_path, callbacks=lambda event: os.kill(os.getpid(), signal.SIGTERM))
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    stopped = []

    def twice(event):
        os.kill(os.getpid(), signal.SIGINT)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            stopped.append(event.step)
            raise

    with pytest.raises(KeyboardInterrupt) as raised:
        swept(tmp_path, callbacks=twice)
    assert len(stopped) == 1
    assert not any("up to step" in note for note in raised.value.__notes__)  # nobody knows how much of it was written
    for thread in threading.enumerate():
        if thread.name == "jopt-closing":
            thread.join()
    assert_same(swept(tmp_path), swept())


def test_in_another_thread_no_signal_is_touched(tmp_path):
    found = []
    before = signal.getsignal(signal.SIGTERM)

    def work():
        swept(tmp_path, callbacks=lambda event: found.append(signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found
    assert all(found)


# One writer at a time


def test_two_sweeps_of_one_process_do_not_share_a_directory(tmp_path):
    def inner(event):
        swept(tmp_path)

    with pytest.raises(BlockingIOError, match="another sweep of this process"):
        swept(tmp_path, callbacks=inner)
    assert_same(swept(tmp_path), swept())


def test_a_directory_is_free_when_its_holder_has_let_go(tmp_path):
    first = Held(str(tmp_path))
    first.release()
    first.release()
    Held(str(tmp_path)).release()


# What goes wrong


def test_a_file_in_the_place_of_the_directory_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="but this is a file"):
        swept(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_not_be_written_is_an_error_before_anything_is_trained(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            swept(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_of_something_else_is_an_error_and_stays(tmp_path):
    (tmp_path / "sweep.jopt").write_text("something else")
    with pytest.raises(ValueError, match="damaged or not a result"):
        swept(tmp_path)
    assert (tmp_path / "sweep.jopt").read_text() == "something else"


@pytest.mark.parametrize("code", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_in_between_costs_a_warning_and_nothing_that_was_saved(tmp_path, monkeypatch, code):
    import errno

    from jopt.engine.running import writing

    monkeypatch.setattr(writing, "AGAIN_S", 0.05)
    fails, write = [True] * 2, writing.Writer._write

    def failing(self, items):
        if fails and jopt.load_result(tmp_path).record.steps_done.max() > 0:
            fails.pop()
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        write(self, items)

    monkeypatch.setattr(writing.Writer, "_write", failing)
    with pytest.warns(RuntimeWarning, match="could not be saved"):
        swept(tmp_path, eval_every=5, callbacks=lambda event: threading.Event().wait(0.1))
    assert not fails
    assert_same(swept(tmp_path, eval_every=5), swept(eval_every=5))


def test_a_disk_that_stays_full_leaves_the_result_and_what_was_saved(tmp_path, monkeypatch):
    from jopt.engine.running import writing

    monkeypatch.setattr(writing, "AGAIN_S", 0.05)

    def failing(self, items):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.Writer, "_write", failing)
    with pytest.warns(RuntimeWarning, match="could not be saved"):
        result = swept(tmp_path)
    assert_same(result, swept())
    monkeypatch.undo()
    assert_same(swept(tmp_path), result)


def test_a_raising_evaluation_loses_nothing_and_the_error_says_where_it_is_saved(tmp_path):
    notes = interrupted(tmp_path).__notes__
    kept = jopt.load_result(tmp_path).record.steps_done
    assert kept.min() >= 30
    less = ", some lanes up to less" if kept.min() < kept.max() else ""
    assert notes[0].startswith(f"jopt: the sweep is saved in {str(tmp_path)!r} up to step {kept.max()}{less}; the same call")


def test_an_error_before_the_first_step_does_not_say_that_anything_is_saved(tmp_path):
    with pytest.raises(ValueError, match="batch_size") as wrong:
        swept(tmp_path, batch_size=-1)
    assert not any("saved" in note for note in getattr(wrong.value, "__notes__", []))


# What is not there yet, and arguments


def test_what_does_not_go_together_says_so(tmp_path):
    with jax.disable_jit(), pytest.raises(ValueError, match="leave it out"):
        swept(tmp_path)


@pytest.mark.parametrize(("every", "seconds"), [("60s", 60), ("5min", 300), ("1.5h", 5400), ("100 ms", 0.1), (7, 7), (0, 0)])
def test_times_are_read(every, seconds):
    assert jopt.Checkpoint("a", every=every).seconds == seconds


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"every": "soon"}, ValueError, "every must be a time"),
        ({"every": -1}, ValueError, "every must be a time"),
        ({"every": float("nan")}, ValueError, "every must be a time"),
        ({"every": True}, ValueError, "every must be a time"),
        ({"on_change": "ignore"}, ValueError, "on_change must be"),
        ({"data": 3}, TypeError, "data must be a name"),
        ({"path": 3}, TypeError, "path must be the name of a file or a directory"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_errors(more, error, match):
    with pytest.raises(error, match=match):
        jopt.Checkpoint(**{"path": "a", **more})


def test_a_checkpoint_is_a_name_or_a_checkpoint():
    with pytest.raises(TypeError, match="checkpoint must be the name of a directory"):
        swept("a", checkpoint=3)

"""A block that meets a fault of the system runs again from its last state; one that fails again and again is given up alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.planning import planner
from jopt.engine.running.retrying import RETRIES
from jopt.engine.running.worker import LocalWorker
from tests.kept import differences

STEPS = 60
FAULT = jax.errors.JaxRuntimeError("INTERNAL: the device has fallen off the bus")
PLAN = jopt.Plan(width=2, chunk=5, loop="scan", workers=1)
DATA = np.linspace(-1, 1, 12, dtype=np.float32)


def loss(w, batch, key):
    return ((w - batch.mean()) ** 2).sum() + 0.1 * (jax.random.normal(key, w.shape) * w).sum()


def init(key):
    return jax.random.normal(key, (3,))


def run(**more):
    options = {"steps": STEPS, "batch_size": 3, "seeds": 2, "plan": PLAN, "progress": False, **more}
    metrics = {"evaluate": lambda w: {"norm": (w**2).sum()}, "eval_every": 10}  # chunks of 5 steps end at it
    return jopt.sweep(loss, init, jopt.adam(jopt.choice(0.01, 0.02, 0.03, 0.04)), DATA, **metrics, **options)


def failing(monkeypatch, error, when):
    """Workers that lose what they have computed in some turns: ``when(block)`` is asked before each chunk."""
    real, failed = LocalWorker._dispatch, []

    def dispatch(self, block, *args):
        if when(block, len(failed)):
            failed.append(block.step)
            for x in block.carry:  # as after a call to which the carry was handed over
                x.delete()
            raise error
        return real(self, block, *args)

    monkeypatch.setattr(LocalWorker, "_dispatch", dispatch)
    monkeypatch.setattr("jopt.engine.running.worker.TURN_S", 0.0)  # a turn is a chunk
    return failed


@pytest.mark.parametrize("error", [FAULT, MemoryError("no room"), jax.errors.JaxRuntimeError("UNAVAILABLE: gone")], ids=repr)
@pytest.mark.parametrize("record_every", [1, 4])
def test_a_block_that_meets_a_fault_runs_again_and_comes_to_the_same(monkeypatch, error, record_every):
    plan = jopt.Plan(width=1, chunk=5, loop="scan", workers=1)  # where memory is short, wider blocks are halved first
    expected = run(record_every=record_every, plan=plan)
    failed = failing(monkeypatch, error, lambda block, count: block.step >= 10 * count and count < RETRIES)
    found = run(record_every=record_every, plan=plan)
    assert failed == [0, 10, 20]
    assert found.complete
    assert differences(found, expected) == []
    assert found.timings.lane_steps == 8 * STEPS


@pytest.mark.parametrize("record_every", [1, 4])
def test_a_block_that_is_kept_goes_back_to_what_was_kept_last(monkeypatch, tmp_path, record_every):
    expected = run(record_every=record_every)
    failed = failing(monkeypatch, FAULT, lambda block, count: block.step == 40 and count < 2)
    begun = []
    take = LocalWorker.__call__

    def called(self, block, *args):
        begun.append(block.step)
        return take(self, block, *args)

    monkeypatch.setattr(LocalWorker, "__call__", called)
    found = run(record_every=record_every, checkpoint=jopt.Checkpoint(tmp_path, every=0.0))
    assert failed == [40, 40]
    assert begun.count(0) < 4 + len(failed), "a block that was kept does not begin anew"
    assert differences(found, expected) == []


def test_a_block_that_goes_on_from_a_file_goes_back_to_what_the_file_has(monkeypatch, tmp_path):
    expected = run(steps=STEPS + 30, record_every=4)
    run(record_every=4, checkpoint=tmp_path)
    failed = failing(monkeypatch, FAULT, lambda block, count: block.step == STEPS + 5 and count < 1)
    found = run(steps=STEPS + 30, record_every=4, checkpoint=tmp_path)
    assert failed == [STEPS + 5]
    assert differences(found, expected) == []
    assert found.timings.lane_steps == 8 * 30


def test_a_block_that_fails_again_and_again_is_named_and_the_others_finish(monkeypatch, tmp_path):
    expected = run()
    failed = failing(monkeypatch, FAULT, lambda block, _: (2, 1) in block.lanes and block.step == 20)
    what = r"^2 of 8 lanes did not come .* learning_rate=0.03, seed 1 at step 20 \(JaxRuntimeError: INTERNAL: the device"
    with pytest.warns(RuntimeWarning, match=what):
        found = run()
    assert len(failed) == 1 + RETRIES
    assert not found.complete
    np.testing.assert_array_equal(found.dataset.steps_done, [[STEPS, STEPS], [STEPS, STEPS], [STEPS, 20], [STEPS, 20]])
    assert np.isnan(found.dataset.loss[2:, 1, 20:]).all()
    np.testing.assert_array_equal(found.dataset.loss[2:, 1, :20], expected.dataset.loss[2:, 1, :20])
    np.testing.assert_array_equal(found.dataset.loss[:2], expected.dataset.loss[:2])
    np.testing.assert_array_equal(found.params[:2], expected.params[:2])
    np.testing.assert_array_equal(found.params[2:, 0], expected.params[2:, 0])
    assert np.isnan(found.params[2:, 1]).all()
    assert found.best().hyperparams["learning_rate"] in (0.01, 0.02)
    found.save(tmp_path / "lost.jopt")
    loaded = jopt.load_result(tmp_path / "lost.jopt")
    assert not loaded.complete
    np.testing.assert_array_equal(loaded.params, found.params)


def test_lanes_that_were_given_up_run_again_in_the_same_call(monkeypatch, tmp_path):
    expected = run()
    with monkeypatch.context() as patch:
        failing(patch, FAULT, lambda block, _: (2, 1) in block.lanes and block.step == 20)
        with pytest.warns(RuntimeWarning, match="2 of 8 lanes"):
            run(checkpoint=tmp_path)
    found = run(checkpoint=tmp_path)
    assert found.complete
    assert differences(found, expected) == []
    assert found.timings.lane_steps <= 2 * STEPS


def test_where_every_block_fails_the_error_is_raised(monkeypatch):
    failing(monkeypatch, FAULT, lambda *_: True)
    with pytest.raises(jax.errors.JaxRuntimeError, match="fallen off the bus") as caught:
        run()
    assert any("no lane has come to its end" in note for note in caught.value.__notes__)
    assert caught.value.partial_result.timings.lane_steps == 0


@pytest.mark.parametrize(
    "error", [ValueError("mine"), RuntimeError("mine"), jax.errors.JaxRuntimeError("INVALID_ARGUMENT: mine")]
)
def test_an_error_of_the_users_own_stops_the_sweep_at_once(monkeypatch, error):
    failed = failing(monkeypatch, error, lambda block, _: block.step == 20)
    with pytest.raises(type(error), match=re.escape(str(error))) as caught:
        run()
    assert failed == [20]
    assert caught.value.partial_result.timings.lane_steps > 0


def test_what_a_callback_in_compiled_code_raises_is_the_users_own():
    def called(value):
        raise ValueError("mine")

    def batch(key, step):
        return jax.pure_callback(called, jax.ShapeDtypeStruct((), jnp.float32), step)

    with pytest.raises(jax.errors.JaxRuntimeError, match="ValueError: mine"):
        jopt.sweep(lambda w, x: ((w - x) ** 2).sum(), jnp.zeros(3), jopt.adam(0.01), batch, steps=3, progress=False)


def test_a_fault_while_plans_are_measured_is_tried_again(monkeypatch):
    candidates = [jopt.Plan(width=6, loop="scan"), jopt.Plan(width=2, loop="scan")]
    monkeypatch.setattr(planner, "propose", lambda problem, base, measure: candidates)
    failed = failing(monkeypatch, FAULT, lambda block, count: block.step == 2 and count < 1)
    expected = run(plan=jopt.Plan(width=6, loop="scan"))
    found = run(plan="auto")
    assert len(failed) == 1
    assert found.complete
    np.testing.assert_allclose(found.dataset.loss, expected.dataset.loss, rtol=1e-5)

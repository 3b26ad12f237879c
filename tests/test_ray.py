"""Blocks in processes of Ray: results equal those of threads, whatever becomes of a worker.

Every way to fail, in every phase, is ``python -m tests.ray_faults``.
"""

import importlib
import os
import sys
import threading

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.running.on_ray import session
from tests.kept import differences
from tests.ray_faults import STEPS, Fault, Loss, X, Y, evaluate, init, swept, workers_of

ALONE = jopt.Plan(width=1, chunk=20, loop="scan", workers=2)  # pruning makes blocks narrower when the clock says that it pays
BUSY = {"RAY_worker_niceness": "0"}  # Ray's workers let all others go first, and beside other tests would take long


@pytest.fixture(scope="module")
def ray():
    """One Ray for all tests here, which ends with them."""
    pytest.importorskip("ray")
    with session._environment(BUSY), session._ray(jopt.RayWorkers(), 2) as ray:
        yield ray
    assert not ray.is_initialized()


def small(**more):
    return jopt.sweep(Loss(), jnp.zeros(3), jopt.sgd(jopt.choice(0.01, 0.1)), (X, Y), steps=5, progress=False, **more)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'python -m pip install "jopt\[ray\]"'):
        small(workers=jopt.RayWorkers())
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.parametrize(
    ("given", "error", "what"),
    [
        ({"address": 8265}, TypeError, r'address must be None, "auto" or "host:port", but is 8265'),
        ({"num_cpus": -1}, ValueError, "num_cpus must be a number of at least 0, but is -1"),
        ({"num_gpus": "all"}, ValueError, "num_gpus must be a number of at least 0, but is 'all'"),
        ({"num_cpus": 0}, ValueError, "give num_cpus or num_gpus above 0"),
        ({"retries": 1.5}, ValueError, "retries must be a whole number of at least 0"),
        ({"heartbeat": "soon"}, ValueError, 'heartbeat must be a time such as "60s"'),
        ({"heartbeat": 0}, ValueError, "heartbeat must be a time above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(given, error, what):
    with pytest.raises(error, match=what):
        jopt.RayWorkers(**given)


def test_all_that_a_sweep_does_is_the_same_in_processes_of_ray(ray, tmp_path):
    def run(**more):
        told = []
        rates = jopt.cosine_decay_schedule(jopt.choice(1e-3, 1e-2, 3e-2, 1e30), STEPS)
        optimizers = {"adam": jopt.adam(rates), "sgd": jopt.momentum(rates, 0.9, nesterov=jopt.choice(False, True))}
        options = {"batch_size": 8, "seeds": 2, "evaluate": evaluate, "eval_every": 100, "plan": ALONE, "progress": False}
        events = lambda event: told.append((event.step, event.group, float(event.best.score)))  # noqa: E731
        rule = jopt.SuccessiveHalving(factor=2, first=1 / 4)
        found = jopt.sweep(
            Loss(), init, optimizers, (X, Y), steps=STEPS, prune=rule, callbacks=events, **options, keep="carry", **more
        )
        return found, told

    kept = jopt.Checkpoint(tmp_path, every=0.1)
    found, heard = run(workers=jopt.RayWorkers(), checkpoint=kept)
    expected, told = run()
    assert heard == told
    assert any(part.record.pruned.any() for part in expected.values())
    assert all(part.record.diverged[..., -1, :].any() for part in expected.values())
    assert differences(found, expected) == []
    again, _ = run(checkpoint=kept)
    assert sum(part.timings.lane_steps for part in again.values()) == 0, "what Ray's workers trained is kept"
    assert not workers_of(os.getpid()), "workers end with their sweep"


def test_workers_that_die_or_stop_change_nothing(ray, tmp_path):
    faults = [Fault(how, "run", str(tmp_path)) for how in ("kill", "stop")]
    found = swept(faults, workers=jopt.RayWorkers(heartbeat="2s", retries=9))
    assert len(list(tmp_path.iterdir())) == len(faults)
    assert found.complete
    assert differences(found, swept()) == []


def test_a_block_whose_workers_die_too_often_is_named_and_the_others_finish(ray, tmp_path):
    fault = Fault("kill", "run", str(tmp_path))
    with pytest.warns(
        RuntimeWarning, match=r"1 of 6 lanes did not .* seed 0 at step \d+ \(WorkerLost: A worker of Ray was lost"
    ):
        found = swept([fault], workers=jopt.RayWorkers(retries=0))
    assert not found.complete
    done = np.asarray(found.dataset.steps_done)
    alive = done == STEPS
    np.testing.assert_array_equal(found.params[alive], swept().params[alive])


def test_what_the_users_functions_raise_on_a_worker_stops_the_sweep(ray):
    driver = os.getpid()

    def picky(w, batch):
        if os.getpid() != driver:
            raise KeyError("not there")
        return jnp.sum(w**2)

    with pytest.raises(KeyError, match="not there") as caught:
        jopt.sweep(picky, jnp.zeros(3), jopt.sgd(0.1), (X, Y), steps=5, progress=False, workers=jopt.RayWorkers())
    assert caught.value.partial_result.timings.lane_steps == 0
    assert any("on a worker of Ray" in note for note in caught.value.__notes__)


def test_what_can_not_travel_is_refused_before_training(ray):
    lock = threading.Lock()

    def locked(w, batch):
        with lock:
            return jnp.sum(w**2)

    with pytest.raises(TypeError, match=r"can not travel to another process \(TypeError: cannot pickle"):
        jopt.sweep(locked, jnp.zeros(3), jopt.sgd(0.1), (X, Y), steps=5, progress=False, workers=jopt.RayWorkers())
    with pytest.raises(ValueError, match="an iterable of batches can not travel"):
        jopt.sweep(Loss(), jnp.zeros(3), jopt.sgd(0.1), [(X, Y)], steps=1, progress=False, workers=jopt.RayWorkers())


def test_where_no_worker_has_room_or_ray_is_elsewhere_it_is_said(ray):
    with pytest.raises(ValueError, match="each worker needs CPU 1000, but all of Ray's machines together have CPU"):
        small(workers=jopt.RayWorkers(num_cpus=1000))
    with pytest.raises(ValueError, match=r"address is .*, but Ray is connected to"):
        small(workers=jopt.RayWorkers(address="10.0.0.1:6379"))


def test_the_example_comes_to_what_threads_train(ray):
    pytest.importorskip("sklearn")
    found, threads = importlib.import_module("examples.ray_sweep").main(steps=20, rates=4)
    assert found.complete
    assert differences(found, threads) == []

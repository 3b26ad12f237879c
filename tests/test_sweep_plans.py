"""Every plan gives the same result: how the lanes are run changes no lane."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.solo import CLOSE, assert_same_run, lane, run_alone

STEPS = 11
RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def loss(params, batch, key):
    keep = jax.random.bernoulli(key, 0.8, (4,))
    hidden = jnp.tanh(batch @ params["w"]) * keep
    return jnp.mean((hidden @ params["v"] - batch[:, 0]) ** 2), {"first": batch[0, 0], "kept": keep.sum()}


def init(key):
    k1, k2 = jax.random.split(key)
    return {"w": jax.random.normal(k1, (3, 4)), "v": jax.random.normal(k2, (4,))}


def evaluate(params):
    return {"norm": sum(jnp.sum(p**2) for p in jax.tree.leaves(params))}


def swept(plan, rates=RATES, **kwargs):
    """Five rates with three seeds: fifteen lanes, which no width below divides."""
    settings = {"steps": STEPS, "batch_size": 4, "seeds": 3, "has_aux": True, "evaluate": evaluate, "eval_every": 4}
    return jopt.sweep(loss, init, jopt.adam(jopt.choice(*rates)), X, plan=plan, **{**settings, **kwargs})


@pytest.fixture(scope="module")
def wanted():
    return swept(jopt.Plan(width=15, loop="scan", workers=1))


def assert_same_result(found, wanted):
    for table in ("losses", "metrics"):
        ours, theirs = getattr(found.record, table), getattr(wanted.record, table)
        assert list(ours) == list(theirs)
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], err_msg=name, **CLOSE)
    jax.tree.map(lambda f, w: np.testing.assert_allclose(f, w, **CLOSE), found.params, wanted.params)
    for field in ("seeds", "step", "eval_step", "steps_done", "diverged_at"):
        np.testing.assert_array_equal(getattr(found.record, field), getattr(wanted.record, field))


PLANS = [
    jopt.Plan(),
    jopt.Plan(width=1),
    jopt.Plan(width=1, loop="host"),
    jopt.Plan(width=2, workers=2),
    jopt.Plan(width=2, chunk=3, loop="host", workers=1),
    jopt.Plan(width=3, chunk=1),
    jopt.Plan(width=4, chunk=5, workers=2),
    jopt.Plan(width=5, loop="host", workers=2),
    jopt.Plan(width=7, workers=1),
    jopt.Plan(width=8, chunk=2, workers=2),
    jopt.Plan(width=15, loop="host"),
    jopt.Plan(width=100, chunk=100, workers=2),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.width}-{p.chunk}-{p.loop}-{p.workers}")
def test_every_plan_gives_the_same_result(plan, wanted):
    found = swept(plan)
    assert_same_result(found, wanted)
    for name in ("width", "chunk", "loop", "workers"):
        asked = getattr(plan, name)
        if asked is not None and name in ("loop", "workers"):
            assert getattr(found.plan, name) == asked


def test_batches_and_keys_are_the_same_to_the_bit_under_every_plan(wanted):
    found = swept(jopt.Plan(width=2, chunk=3, loop="host", workers=2))
    for name in ("first", "kept"):  # no arithmetic on them: any difference is another batch or key
        np.testing.assert_array_equal(found.record.losses[name], wanted.record.losses[name])


def test_the_planner_gives_the_same_result(wanted):
    found = swept("auto")
    assert_same_result(found, wanted)
    assert isinstance(found.plan, jopt.Plan)
    assert str(found.plan)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_may_be_given_without_a_plan(workers, wanted):
    found = swept("auto", workers=workers)
    assert_same_result(found, wanted)


def test_one_lane_has_a_plan_too(wanted):
    for plan in (jopt.Plan(width=4, workers=2), jopt.Plan(loop="host"), "auto"):
        found = swept(plan, rates=(0.1,), seeds=[2])
        np.testing.assert_allclose(found.record.losses["loss"][0, 0], wanted.record.losses["loss"][3, 2], **CLOSE)


@pytest.mark.parametrize(("loop", "chunk"), list(itertools.product(["scan", "host"], [None, 2])))
def test_a_lane_of_a_forced_plan_equals_its_run_alone(loop, chunk):
    def full(w, batch):
        return jnp.mean((jnp.tanh(batch @ w) - batch[:, 0]) ** 2)

    plan = jopt.Plan(width=2, loop=loop, chunk=chunk)
    result = jopt.sweep(full, jnp.ones(3), jopt.rmsprop(jopt.choice(*RATES)), X, steps=STEPS, plan=plan)
    for k in (0, 4):
        assert_same_run(lane(result, k, 0), run_alone(full, jnp.ones(3), jopt.rmsprop(RATES[k]), [X] * STEPS))


@pytest.mark.parametrize("loop", ["scan", "host"])
def test_lanes_at_one_width_are_equal_to_the_bit_whatever_their_neighbours(loop):
    plan = jopt.Plan(width=2, loop=loop, workers=1)
    one = swept(plan, rates=(0.01, 0.1), seeds=1).record.losses["loss"]
    other = swept(plan, rates=(0.01, 0.2), seeds=1).record.losses["loss"]
    np.testing.assert_array_equal(one[0], other[0])
    assert not np.array_equal(one[1], other[1])


@pytest.mark.parametrize("record_every", [2, 4, 11, 50])
@pytest.mark.parametrize("chunk", [None, 3])
def test_records_are_means_over_their_window_however_the_steps_are_cut(record_every, chunk, wanted):
    found = swept(jopt.Plan(width=5, chunk=chunk), record_every=record_every)
    every = wanted.record.losses["loss"]
    windows = [every[..., k : k + record_every] for k in range(0, STEPS, record_every)]
    means = np.stack([w.mean(-1) for w in windows], -1)
    np.testing.assert_allclose(found.record.losses["loss"], means, **CLOSE)
    assert found.record.step.tolist() == [min(k + record_every, STEPS) for k in range(0, STEPS, record_every)]


def test_an_iterable_gives_the_same_batches_to_all_blocks():
    batches = [X[k : k + 4] for k in range(0, 12, 4)]

    class Loader:
        def __iter__(self):
            return iter(batches)

    def full(w, batch):
        return jnp.mean((batch @ w - 1) ** 2)

    for plan in (jopt.Plan(width=1, workers=2), jopt.Plan(width=2, chunk=2, workers=2), jopt.Plan(width=2, loop="host")):
        result = jopt.sweep(full, jnp.ones(3), jopt.sgd(jopt.choice(*RATES)), Loader(), steps=7, plan=plan)
        for k, rate in enumerate(RATES):
            alone = run_alone(full, jnp.ones(3), jopt.sgd(rate), [batches[t % 3] for t in range(7)])
            assert_same_run(lane(result, k, 0), alone)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"width": 0}, "width"),
        ({"width": 1.5}, "width"),
        ({"width": True}, "width"),
        ({"width": "wide"}, "width"),
        ({"chunk": -1}, "chunk"),
        ({"workers": 0}, "workers"),
        ({"workers": None, "chunk": float("nan")}, "chunk"),
        ({"loop": "while"}, "loop"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_part_of_a_plan_is_refused_by_name(arguments, named):
    with pytest.raises((ValueError, TypeError), match=rf"Plan: {named} must be"):
        jopt.Plan(**arguments)


def test_the_same_sweep_under_the_same_plan_gives_the_same_bits():
    plan = jopt.Plan(width=4, chunk=5, workers=2)
    one, other = swept(plan), swept(plan)
    np.testing.assert_array_equal(one.record.losses["loss"], other.record.losses["loss"])
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)

"""Dead lanes: a parameter that is not finite stays so, so the lane stops, and what it leaves is the same under every plan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.lanes.records import Records
from jopt.engine.planning import planner, remembered
from jopt.engine.running.underway import Run

STEPS = 400
PLANS = {
    "one block": jopt.Plan(width=12, chunk=8, loop="scan", workers=1),
    "two workers": jopt.Plan(width=4, chunk=8, loop="scan", workers=2),
    "alone": jopt.Plan(width=1, chunk=16, loop="scan", workers=2),
    "host": jopt.Plan(width=3, chunk=8, loop="host", workers=2),
    "auto": "auto",
}
RATES = np.geomspace(0.01, 30.0, 12)  # those above 1 blow up on this loss: the factor of a step is 1 - 2 rate


def loss(w, batch, key):
    return jnp.sum(w**2) + 0 * jax.random.normal(key)


def evaluate(w):
    return {"size": jnp.sum(jnp.abs(w))}


def run(plan, rates=RATES, **options):
    options = {"steps": STEPS, "seeds": 2, "evaluate": evaluate, "eval_every": 50, "progress": False, "plan": plan, **options}
    return jopt.sweep(loss, jnp.ones(3), jopt.sgd(jopt.choice(*rates)), **options)


@pytest.fixture(scope="module")
def alone():
    return run(jopt.Plan(width=1, loop="scan", workers=1))


@pytest.fixture
def eager(monkeypatch):
    """Blocks are formed anew whenever a lane dies, however little there is to gain."""
    real = Run._bury

    def bury(self, block, dead):
        real(self, block, dead)
        self.forms_anew |= bool(dead.any())

    monkeypatch.setattr(Run, "_bury", bury)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("record_every", [1, 7])
def test_what_dead_lanes_leave_does_not_depend_on_the_plan(alone, eager, plan, record_every):
    expected = alone if record_every == 1 else run(jopt.Plan(width=1, loop="scan", workers=1), record_every=record_every)
    found = run(PLANS[plan], record_every=record_every).dataset
    np.testing.assert_array_equal(found.diverged_at, expected.dataset.diverged_at)
    np.testing.assert_array_equal(found.steps_done, expected.dataset.steps_done)
    np.testing.assert_allclose(found.loss, expected.dataset.loss, rtol=1e-4, atol=1e-30)
    np.testing.assert_allclose(found["size"], expected.dataset["size"], rtol=1e-4, atol=1e-30)


@pytest.mark.parametrize("plan", PLANS)
def test_a_dead_lane_ends_where_it_diverged_and_has_nothing_behind(plan):
    found = run(PLANS[plan]).dataset
    dead = RATES > 1
    assert (found.steps_done.values[~dead] == STEPS).all()
    for lane in np.argwhere(np.isfinite(found.diverged_at.values)):
        done = int(found.steps_done.values[tuple(lane)])
        assert dead[lane[0]]
        assert done == found.diverged_at.values[tuple(lane)] < STEPS
        assert np.isnan(found.loss.values[tuple(lane)][done:]).all()
        assert np.isnan(found["size"].values[tuple(lane)][found.eval_step.values > done]).all()
    assert np.isfinite(found.diverged_at.values[dead]).all()


@pytest.mark.parametrize("plan", PLANS)
def test_living_lanes_learn_as_they_do_without_dead_ones(plan):
    living = RATES[RATES < 1]
    with_dead, without = run(PLANS[plan]), run(PLANS[plan], living)
    np.testing.assert_allclose(with_dead.params[: len(living)], without.params, rtol=1e-5, atol=1e-30)
    assert not np.isfinite(with_dead.params[len(living) :]).all()


def test_dead_lanes_are_trained_no_further(monkeypatch):
    lane_steps, real = [], Records.take

    def take(self, outcome):
        lane_steps.append(sum(count for _, count, _ in outcome.records) * int(outcome.block.real.sum()))
        real(self, outcome)

    monkeypatch.setattr(Records, "take", take)
    run(jopt.Plan(width=1, chunk=20, loop="scan", workers=1), seeds=1, steps=20_000, evaluate=None, eval_every=None)
    living = int((RATES < 1).sum())
    assert 20_000 * living <= sum(lane_steps) < 20_000 * (living + 1.5)


def test_a_lane_of_a_step_of_ones_own_goes_on_since_nobody_knows_what_brings_it_back():
    def init(optimizer, key):
        return jnp.float32(1.0), jnp.int32(0)

    def step(optimizer, carry, batch, key):
        w, count = carry
        w = jnp.where(count % 10 == 9, 1.0, jnp.where(count % 10 == 5, jnp.nan, w * 0.5))
        return (w, count + 1), {"loss": w}

    found = jopt.sweep_steps(init, step, jopt.sgd(jopt.choice(0.1, 0.2)), steps=40, progress=False).dataset
    assert (found.steps_done == 40).all()
    assert np.isfinite(found.loss[..., -1]).all()


@pytest.mark.parametrize("plan", ["two workers", "host"])
def test_batches_that_come_once_reach_every_living_lane_where_others_die(eager, plan):
    def batches():
        yield from (np.full(3, 0.01 * i, np.float32) for i in range(STEPS))

    def towards(w, x):
        return jnp.sum((w - x) ** 2)

    def sweep(rates):
        optimizer = {"one": jopt.sgd(jopt.choice(*rates)), "two": jopt.sgd(jopt.choice(*rates))}
        options = {"steps": STEPS, "plan": PLANS[plan], "progress": False}
        return jopt.sweep(towards, jnp.ones(3), optimizer, batches(), **options)

    living = RATES[RATES < 1]
    with_dead, without = sweep(RATES), sweep(living)
    for name in ("one", "two"):
        np.testing.assert_allclose(with_dead.params[name][: len(living)], without.params[name], rtol=1e-5)


@pytest.mark.parametrize("neighbour", [1e-3, 1e4], ids=["which lives", "which dies"])
def test_a_dead_lane_whose_loss_stays_finite_has_diverged_at_the_end_whoever_its_neighbours_are(neighbour):
    def blind(w, batch):
        return jnp.sum(w["seen"] ** 2) + 0 * jnp.where(True, 0.0, jnp.sum(w["lost"])), {"aux": jnp.sum(w["lost"])}

    @jopt.transformation
    def ruining(learning_rate):
        def update(updates, state, params=None, **extra_args):
            return {"seen": -0.1 * updates["seen"], "lost": updates["lost"] + learning_rate * jnp.inf}, state

        return lambda params: (), update

    start = {"seen": jnp.ones(2), "lost": jnp.ones(2)}
    optimizer = jopt.chain(ruining(jopt.choice(1.0, 2.0)), jopt.scale(jopt.choice(1.0, neighbour)))
    plan = jopt.Plan(width=4, chunk=8, loop="scan", workers=1)
    found = jopt.sweep(blind, start, optimizer, steps=200, has_aux=True, progress=False, plan=plan)
    assert found.record.diverged.all()
    of_its_own = found.dataset.sel(step_size=1.0)
    assert (of_its_own.diverged_at == 200).all()
    assert (of_its_own.steps_done == 200).all()


def test_a_sweep_that_is_not_compiled_ends_dead_lanes_where_a_compiled_one_does():
    options = {"rates": RATES[::4], "steps": 60, "eval_every": 20}
    compiled = run("auto", **options).dataset
    with jax.disable_jit():
        found = run("auto", **options).dataset
    assert (found.steps_done < 60).any()
    for name in compiled.data_vars:
        np.testing.assert_allclose(found[name], compiled[name], rtol=1e-5, err_msg=name)


def test_lanes_that_die_while_plans_are_measured_end_there_and_are_not_pruned(monkeypatch):
    monkeypatch.setattr(remembered, "recall", lambda name: None)
    rates = jopt.cosine_decay_schedule(jopt.choice(0.01, 0.1, 0.3, 1e20, 1e25, 1e30), STEPS)
    options = {"steps": STEPS, "evaluate": evaluate, "prune": jopt.TopFraction(at=0.05), "progress": False}
    found = jopt.sweep(loss, jnp.ones(3), jopt.sgd(rates), **options).dataset
    died = found.diverged_at.notnull()
    np.testing.assert_array_equal(died.values[:, 0], [False, False, False, True, True, True])
    assert not found.pruned_at.notnull().where(died, False).any()
    np.testing.assert_array_equal(found.steps_done.values[died], found.diverged_at.values[died])


def test_measuring_plans_ends_where_every_lane_has_died(monkeypatch):
    monkeypatch.setattr(remembered, "recall", lambda name: None)
    monkeypatch.setattr(planner, "WORTH", 0.0)
    result = run("auto", (1e20, 1e25, 1e28, 1e30), seeds=1)
    np.testing.assert_array_equal(result.dataset.steps_done, result.dataset.diverged_at)

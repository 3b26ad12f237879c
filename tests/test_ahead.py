"""What all lanes share, worked out before their loop: the two parts of a step against the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.engine.compiled import blocks
from jopt.engine.compiled.cpu import ahead
from jopt.engine.planning import memory
from jopt.engine.planning.plan import Plan
from jopt.engine.running import runner

RATES = jopt.geomspace(1e-3, 1e-1, 40)  # more lanes than are run a few at a time
CPU = pytest.mark.skipif(jax.default_backend() != "cpu", reason="worked out ahead on CPUs only")


def parts(step, optimizer, carry, swept, common):
    """The two parts of a step that is traced like the engine's, and the whole."""
    whole = jax.make_jaxpr(step)(optimizer, carry)
    return whole, ahead.split(whole, swept, common)


def run_both(step, optimizer, carry, swept, common, length=5):
    """The carry and the results after some steps: by the whole step, and in two parts."""
    whole, split = parts(step, optimizer, carry, swept, common)
    one, leaves, results = jax.extend.core.jaxpr_as_fun(whole), list(carry), []
    for _ in range(length):
        made = one(*optimizer, *leaves)
        leaves = made[: len(carry)]
        results.append(made[len(carry) :])
    after, scalars = split.work(optimizer, list(carry), 2 * length, length)
    own = [x for i, x in enumerate(carry) if i not in split.places]
    rest, found = jax.extend.core.jaxpr_as_fun(split.rest), []
    for i in range(length):
        made = rest(*optimizer, *own, *(x[i] for x in scalars))
        own = made[: len(own)]
        found.append(made[len(own) :])
    for place, x in zip(split.places, after, strict=True):
        own.insert(place, x)
    return split, (leaves, results), (own, found)


def test_a_count_and_what_follows_from_it_leave_the_step_and_its_results_stay():
    def step(numbers, carry):
        rate, decay = numbers
        w, count = carry
        count = count + 1
        scale = 1 - decay ** count.astype(jnp.float32)
        return [w - rate * w / scale, count], jnp.sum(w), scale

    carry = [jnp.arange(3.0), jnp.int32(0)]
    split, expected, found = run_both(step, [0.1, 0.9], carry, [True, False], [False, True])
    assert split.places == (1,)
    assert not any(e.primitive.name in ("pow", "integer_pow", "exp") for e in split.rest.jaxpr.eqns)
    assert not any(v.aval.shape for e in split.alike.jaxpr.eqns for v in e.outvars)
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_follows_from_a_swept_number_a_key_or_an_array_stays_in_the_step():
    def step(numbers, carry):
        count, total, key = carry
        noise = jax.random.normal(jax.random.fold_in(key, count), (2,))
        table = jnp.arange(8.0) * count
        return [count + 1, total + count * numbers[0], key], jnp.sum(noise) + table[3]

    carry = [jnp.int32(0), jnp.float32(0), jax.random.key(0)]
    split, expected, found = run_both(step, [0.5], carry, [True], [True, False, False])
    assert split.places == (0,)
    assert "random_fold_in" in str(split.rest)
    assert "random_fold_in" not in str(split.alike)
    np.testing.assert_allclose(expected[1], found[1], rtol=1e-6)
    np.testing.assert_allclose(expected[0][:2], found[0][:2], rtol=1e-6)


def test_an_equation_with_an_effect_runs_where_it_stood():
    def step(numbers, carry):
        jax.debug.callback(print, carry[1])
        return [carry[0] * numbers[0], carry[1] + 1]

    _, split = parts(step, [0.5], [jnp.float32(1), jnp.int32(0)], [True], [False, True])
    assert split.rest.jaxpr.effects
    assert not split.alike.jaxpr.effects


@pytest.mark.parametrize(
    ("step", "common"),
    [
        (lambda numbers, carry: [carry[0] * numbers[0], carry[1] + 1], (False, False)),  # nothing is common
        (lambda numbers, carry: [carry[0] * numbers[0], carry[1] * numbers[0]], (False, True)),  # does not follow from itself
        (lambda numbers, carry: [carry[0] * numbers[0], carry[1] + 1], (False, True)),  # nothing reads it
    ],
)
def test_a_step_that_shares_nothing_is_left_as_it_is(step, common):
    _, split = parts(step, [0.5], [jnp.float32(1), jnp.float32(0)], [True], common)
    assert split is None


def test_a_step_that_would_read_many_scalars_is_left_as_it_is():
    def step(numbers, carry):
        made = [jnp.sin(carry[1] * i) for i in range(ahead.MOST_SCALARS + 1)]
        return [carry[0] + numbers[0] * jnp.stack([x * carry[0] for x in made]).sum(), carry[1] + 1]

    _, split = parts(step, [0.5], [jnp.float32(1), jnp.float32(0)], [True], [False, True])
    assert split is None


def quadratic(w, batch):
    x, y = batch
    return jnp.mean((x @ w["w"] + w["b"] - y) ** 2)


def decayed(rate):
    return jopt.chain(
        optax.clip_by_global_norm(1.0), jopt.adamw(rate), optax.scale_by_schedule(optax.cosine_decay_schedule(1.0, 30))
    )


@CPU
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("make", [jopt.adam, jopt.adamw, decayed, lambda rate: jopt.rmsprop(rate, momentum=0.9), jopt.sgd])
def test_a_sweep_ends_where_it_does_without(monkeypatch, tmp_path, make, seeds):
    monkeypatch.setenv("JOPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(memory, "_plans", {})
    random = np.random.default_rng(0)
    data = random.normal(size=(24, 3)).astype(np.float32), random.normal(size=24).astype(np.float32)
    start = {"w": jnp.zeros(3), "b": jnp.float32(0)}

    def sweep(split):
        splits = []
        monkeypatch.setattr(blocks, "split", lambda *args: splits.append(split(*args)) or splits[-1])
        monkeypatch.setattr(runner, "EXECUTABLES", runner.Executables())
        plan = Plan(width=40 * seeds, chunk=7, loop="scan")
        options = {"batch_size": 4, "seeds": seeds, "steps": 40, "plan": plan, "progress": False}
        return splits, jopt.sweep(quadratic, start, make(RATES), data, **options)

    splits, found = sweep(ahead.split)
    _, expected = sweep(lambda *args: None)
    if make in (jopt.adam, jopt.adamw, decayed):
        assert splits[0] is not None
    np.testing.assert_allclose(found.dataset.loss, expected.dataset.loss, rtol=1e-5, atol=1e-7)
    for name in start:
        np.testing.assert_allclose(found.params[name], expected.params[name], rtol=1e-5, atol=1e-7)


@CPU
@pytest.mark.parametrize("plan", [Plan(width=80, chunk=5, loop="scan"), Plan(width=3, loop="host")])
def test_a_metric_that_all_lanes_share_is_recorded_for_each_of_them(plan):
    def init(optimizer, key):
        return jax.random.normal(key, (3,)), jnp.int32(0)

    def step(optimizer, carry, batch, key):
        w, count = carry
        factor = 1 / (1 + count.astype(jnp.float32))
        updates, _ = optimizer.update(w, optimizer.init(w), w)
        return (w + factor * updates, count + 1), {"loss": jnp.sum(w**2), "factor": factor}

    found = jopt.sweep_steps(init, step, jopt.sgd(RATES), steps=12, seeds=2, plan=plan, progress=False)
    np.testing.assert_allclose(found.dataset.factor, np.broadcast_to(1 / np.arange(1, 13), (40, 2, 12)), rtol=1e-6)

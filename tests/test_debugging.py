"""How people debug: disable_jit, debug_nans, transfer_guard; and a sweep where none can be."""

import itertools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.solo import CLOSE, assert_trees_close

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=12).astype(np.float32)
RATES = jopt.choice(0.05, 0.1)


ONES = jnp.ones(3)


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def drawing(w, batch, key):
    return loss(w, batch) * jax.random.uniform(key), {"draw": jax.random.uniform(key), "count": jnp.int32(3)}


def norm(w):
    return {"norm": jnp.sum(w**2), "first": w[0]}


def from_key(key):
    return jax.random.normal(key, (3,))


def made(key, step):
    return jax.random.normal(key, (4, 3)), jnp.ones(4) * step


def plateau(**kwargs):
    return jopt.chain(jopt.sgd(RATES), jopt.reduce_on_plateau(factor=0.5, patience=0, **kwargs))


# Without compiling

SWEEPS = {
    "minibatches, seeds, evaluation": {
        "loss": drawing,
        "has_aux": True,
        "optimizer": jopt.adam(RATES),
        "batch_size": 4,
        "seeds": [3, 0],
        "evaluate": norm,
        "eval_every": 3,
    },
    "windows": {"optimizer": jopt.rmsprop(RATES), "record_every": 2, "batch_size": 4},
    "a schedule": {"optimizer": jopt.sgd(jopt.cosine_decay_schedule(RATES, 5))},
    "a function": {"optimizer": jopt.sgd(RATES), "data": made, "seeds": 2, "params": from_key},
    "a list of batches": {"optimizer": jopt.sgd(RATES), "data": [(X[i::3], Y[i::3]) for i in range(3)], "seeds": 2},
    "a plateau": {"optimizer": plateau()},
    "a plateau of an evaluation": {"optimizer": plateau(monitor="norm"), "evaluate": norm, "eval_every": 2, "steps": 8},
    "somebody else's rule": {"optimizer": jopt.lift(optax.adamw)(RATES)},
    "no data": {"loss": lambda w, batch: jnp.sum(w**2), "data": None, "optimizer": jopt.adam(RATES)},
    "one lane": {"optimizer": jopt.sgd(0.1)},
}


def run(loss=loss, params=None, optimizer=None, data=(X, Y), **kwargs):
    return jopt.sweep(loss, ONES if params is None else params, optimizer, data, **{"steps": 5, **kwargs})


def assert_same_record(found, wanted):
    for kind in ("losses", "metrics"):
        ours, theirs = getattr(found.record, kind), getattr(wanted.record, kind)
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert ours[name].dtype == theirs[name].dtype
            np.testing.assert_allclose(ours[name], theirs[name], **CLOSE, err_msg=name)
    np.testing.assert_array_equal(found.record.steps_done, wanted.record.steps_done)
    assert_trees_close(found.params, wanted.params)
    assert found.best().hyperparams == wanted.best().hyperparams


@pytest.mark.parametrize("kind", SWEEPS)
def test_without_jit_a_sweep_finds_what_it_finds_compiled(kind):
    with jax.disable_jit():
        found = run(**SWEEPS[kind])
    assert_same_record(found, run(**SWEEPS[kind]))
    assert "disable_jit" in str(found.plan)


def test_without_jit_groups_find_what_they_find_compiled_also_from_an_iterator():
    groups = {"a": jopt.sgd(RATES), "b": jopt.adam(0.1)}

    def batches():
        for i in itertools.count():
            yield X * i, Y

    with jax.disable_jit():
        found = run(optimizer=groups, data=batches(), seeds=2)
    wanted = run(optimizer=groups, data=batches(), seeds=2)
    for name in groups:
        assert_same_record(found[name], wanted[name])


def test_without_jit_a_step_of_ones_own_finds_what_it_finds_compiled():
    def init(opt, key):
        w = jax.random.normal(key, (3,))
        return {"w": w, "state": opt.init(w), "count": 0, "key": key}

    def step(opt, carry, batch, key):
        value, grads = jax.value_and_grad(loss)(carry["w"], batch)
        updates, state = opt.update(grads, carry["state"], carry["w"])
        new = {"w": carry["w"] + updates, "state": state, "count": carry["count"] + 1, "key": carry["key"]}
        return new, {"loss": value, "count": new["count"]}

    def sweep():
        return jopt.sweep_steps(init, step, jopt.adam(RATES), (X, Y), steps=4, batch_size=3, seeds=2)

    with jax.disable_jit():
        found = sweep()
    wanted = sweep()
    for name in ("loss", "count"):
        np.testing.assert_allclose(found.record.losses[name], wanted.record.losses[name], **CLOSE)
    np.testing.assert_allclose(found.params["w"], wanted.params["w"], **CLOSE)
    np.testing.assert_array_equal(found.params["count"], wanted.params["count"])


def test_without_jit_the_loss_runs_in_the_callers_thread_lane_after_lane_with_numbers(capsys):
    calls = []

    def shown(w, batch):
        value = loss(w, batch)
        if value > 0:  # a decision on a number, which a trace does not have
            print("loss", value)
        calls.append((threading.current_thread(), value.item()))
        return value

    with jax.disable_jit():
        result = run(shown, optimizer=jopt.sgd(RATES), seeds=2, steps=3)
    assert {thread for thread, _ in calls} == {threading.current_thread()}
    np.testing.assert_allclose([value for _, value in calls], result.record.losses["loss"].ravel(), rtol=1e-6)
    assert capsys.readouterr().out.count("loss") == 2 * 2 * 3


def test_without_jit_evaluations_and_own_steps_see_arrays():
    def step(opt, carry, batch, key):
        assert not isinstance(carry, jax.core.Tracer)
        return carry * 0.5, {"loss": float(carry)}

    def evaluate(carry):
        return {"now": float(carry)}

    with jax.disable_jit():
        result = jopt.sweep_steps(lambda opt, key: jnp.float32(8.0), step, jopt.sgd(0.1), steps=3, evaluate=evaluate)
    assert result.record.losses["loss"].ravel().tolist() == [8.0, 4.0, 2.0]
    assert result.record.metrics["now"].ravel()[-1] == 1.0


def test_without_jit_an_error_in_the_loss_is_raised_at_its_step():
    calls = []

    def breaks(w, batch):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("at the third step")
        return loss(w, batch)

    with jax.disable_jit(), pytest.raises(ZeroDivisionError, match="third"):
        run(breaks, optimizer=jopt.sgd(RATES))
    assert len(calls) == 3


@pytest.mark.parametrize("name", ["learning_rate", "step"])
def test_without_jit_a_clash_of_names_is_found_at_the_first_step(name):
    steps = []

    def clashing(w, batch):
        steps.append(1)
        return loss(w, batch), {name: w[0]}

    with jax.disable_jit(), pytest.raises(ValueError, match=f"'{name}'.*rename"):
        run(clashing, optimizer=jopt.sgd(RATES), has_aux=True)
    assert len(steps) == 1


def test_a_sweep_compiles_again_after_one_without_jit():
    with jax.disable_jit():
        run(optimizer=jopt.sgd(RATES))
    assert "disable_jit" not in str(run(optimizer=jopt.sgd(RATES)).plan)


# NaN

HEALTHY = {
    "of the loss": (plateau(), {}),
    "of an evaluation": (plateau(monitor="norm"), {"evaluate": norm, "eval_every": 4}),
    "of an evaluation that should rise": (plateau(monitor="norm", mode="max"), {"evaluate": norm, "eval_every": 4}),
    "without a margin": (plateau(rtol=0.0), {}),
    "with a swept margin": (plateau(rtol=jopt.choice(0.0, 0.1), monitor="norm"), {"evaluate": norm, "eval_every": 4}),
    "of an int": (plateau(monitor="n"), {"evaluate": lambda w: {"n": jnp.int32(3)}, "eval_every": 4}),
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("loop", ["scan", "host"])
@pytest.mark.parametrize("kind", HEALTHY)
def test_debug_nans_does_not_fail_a_healthy_plateau(kind, loop, compiled):
    optimizer, kwargs = HEALTHY[kind]
    with jax.debug_nans(True), jax.disable_jit(not compiled):
        result = run(optimizer=optimizer, steps=10, seeds=2, plan=jopt.Plan(loop=loop, workers=1), **kwargs)
    assert np.isfinite(result.record.losses["loss"]).all()


def test_debug_nans_does_not_fail_a_healthy_plateau_outside_of_a_sweep():
    for rule in (jopt.reduce_on_plateau(rtol=0.0), jopt.reduce_on_plateau(rtol=0.0, mode="max", min_lr=0.1)):
        state = rule.init(jnp.float32(1.0))
        with jax.debug_nans(True):
            for value in (3.0, 2.0, 2.0):
                _, state = rule.update(jnp.float32(1.0), state, value=value)
        assert float(state.scale) == 1.0


def test_debug_nans_fails_a_lane_that_makes_nan_and_says_how_to_find_where():
    def ruined(w, batch):
        return jnp.sum(jnp.log(-w))

    with jax.debug_nans(True), pytest.raises(FloatingPointError, match=r"nan.*jax.disable_jit\(\)"):
        run(ruined, optimizer=jopt.sgd(0.1), plan=jopt.Plan(workers=1))
    with jax.debug_nans(True), jax.disable_jit(), pytest.raises(FloatingPointError, match=r"nan.* log"):
        run(ruined, optimizer=jopt.sgd(0.1))


# Transfers


def test_transfer_guard_lets_a_sweep_move_its_data_and_results():
    with jax.transfer_guard("disallow"):
        for kind in ("minibatches, seeds, evaluation", "a function", "a list of batches", "a plateau of an evaluation"):
            result = run(**SWEEPS[kind])
            assert np.isfinite(result.best().score)
        with pytest.raises(Exception, match="Disallowed host-to-device"):
            jnp.asarray(X)  # everything else is guarded as before


def test_transfer_guard_for_all_threads_lets_the_workers_run():
    before = jax.config.jax_transfer_guard
    jax.config.update("jax_transfer_guard", "disallow")
    try:
        for plan in (jopt.Plan(width=1, workers=2), jopt.Plan(width=1, workers=2, loop="host")):
            for kind in ("minibatches, seeds, evaluation", "a list of batches"):
                assert np.isfinite(run(**SWEEPS[kind], plan=plan).best().score)
    finally:
        jax.config.update("jax_transfer_guard", before)


# Under transformations

HINT = r"sweep can't be called under jax.jit, jax.vmap or jax.grad.*jopt.train"


@pytest.mark.parametrize(
    "call",
    [
        lambda x: run(params=x * jnp.ones(3), optimizer=jopt.sgd(RATES)),
        lambda x: run(optimizer=jopt.sgd(x)),
        lambda x: run(optimizer={"a": jopt.chain(jopt.sgd(RATES), jopt.add_decayed_weights(x))}),
        lambda x: run(optimizer=jopt.sgd(RATES), data=(x * X, Y)),
        lambda x: run(optimizer=jopt.sgd(RATES), data=[(x * X, Y)]),
        lambda x: jopt.sweep_steps(lambda o, k: 1.0, lambda o, c, b, k: (c, {"loss": c}), jopt.sgd(x), steps=1),
    ],
    ids=["params", "optimizer", "groups", "data", "batches", "own step"],
)
@pytest.mark.parametrize(
    "transform", [jax.jit, lambda f: lambda x: jax.vmap(f)(x[None]), jax.grad], ids=["jit", "vmap", "grad"]
)
def test_a_sweep_of_traced_arguments_says_what_to_use(call, transform):
    with pytest.raises(TypeError, match=HINT):
        transform(call)(jnp.float32(0.1))


def test_a_sweep_under_jit_without_traced_arguments_says_what_to_use():
    with pytest.raises(TypeError, match=HINT):
        jax.jit(lambda: run(optimizer=jopt.sgd(RATES)))()


# Seeds


@pytest.mark.parametrize("seed", [2**32, 2**32 + 1, 2**64, -1, np.int64(2**40), True, 1.0, "0"], ids=repr)
def test_a_seed_that_does_not_fit_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed must be a whole number of at least 0 and under 2\*\*32"):
        run(optimizer=jopt.sgd(RATES), seed=seed)
    with pytest.raises(ValueError, match=r"seeds\[\d\] must be a whole number of at least 0 and under 2\*\*32"):
        run(optimizer=jopt.sgd(RATES), seeds=[0, seed])


def test_the_largest_seeds_and_those_of_numpy_are_seeds_of_their_own():
    def draws(**kwargs):
        return run(drawing, optimizer=jopt.sgd(0.1), has_aux=True, steps=1, **kwargs).record.losses["draw"].ravel()

    assert len({draws(seed=seed).item() for seed in (0, 1, 2**32 - 1)}) == 3
    assert draws(seed=np.int64(7)) == draws(seed=np.uint8(7)) == draws(seed=7)
    assert len(set(draws(seeds=[0, 2**32 - 1]))) == 2
    np.testing.assert_array_equal(draws(seeds=np.arange(2)), draws(seeds=2))

"""Going on from a trial: some steps and some more are one run of them all, whatever goes on with them."""

import dataclasses
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.engine.data.sources import Minibatches
from jopt.engine.job import Begun
from jopt.engine.lanes.starts import begun
from jopt.engine.lanes.table import Lanes, State
from tests.solo import CLOSE, Run, assert_same_run, run_alone
from tests.test_engine import NO_MEMORY, failing

TOTAL, EVERY, BATCH, SEEDS = 16, 3, 4, 3
X = np.random.default_rng(0).normal(size=(22, 3)).astype(np.float32)  # five batches an epoch, two examples left out
WIDE = jopt.Plan(width=SEEDS, loop="scan", workers=1)
COSINE = jopt.warmup_cosine_decay_schedule(0.0, 0.1, 4, TOTAL)
OPTIMIZERS = {
    "cosine": jopt.adamw(COSINE),
    "plateau": jopt.chain(jopt.adam(0.05), jopt.reduce_on_plateau(factor=0.5, patience=0, mode="max", monitor="norm")),
    "momentum": jopt.chain(jopt.clip_by_global_norm(0.5), jopt.sgd(0.1, momentum=0.9, nesterov=True)),
}


def made(key, step):
    return jax.random.normal(key, (BATCH, 3)) + step


DATA = {"minibatches": (X, BATCH), "whole": (X, None), "function": (made, None)}


def loss(params, batch, key):
    keep = jax.random.bernoulli(key, 0.8, (4,))
    hidden = jnp.tanh(batch @ params["w"]) * keep
    return jnp.mean((hidden @ params["v"] - batch[:, 0]) ** 2), {"first": batch[0, 0]}


def quiet(w, batch):
    return jnp.mean((jnp.tanh(batch @ w) - batch[:, 0]) ** 2)


def init(key):
    k1, k2 = jax.random.split(key)
    return {"w": jax.random.normal(k1, (3, 4)), "v": jax.random.normal(k2, (4,))}


def evaluate(params):
    return {"norm": sum(jnp.sum(p**2) for p in jax.tree.leaves(params)), "largest": jnp.abs(params["w"]).max()}


def swept(params, steps, optimizer, data=X, **more):
    settings = {"batch_size": BATCH, "has_aux": True, "evaluate": evaluate, "eval_every": EVERY, "plan": WIDE, "keep": "carry"}
    return jopt.sweep(loss, params, optimizer, data, steps=steps, **{**settings, **more})


def assert_equal(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def assert_goes_on(first, rest, whole):
    """Two results in turn are one, bit for bit."""
    n = len(first.record.step)
    assert rest.record.step.tolist() == whole.record.step[n:].tolist()
    for name, curve in whole.record.losses.items():
        np.testing.assert_array_equal(first.record.losses[name], curve[..., :n], err_msg=name)
        np.testing.assert_array_equal(rest.record.losses[name], curve[..., n:], err_msg=name)
    for part in (first, rest):
        shared = [step for step in part.record.eval_step.tolist() if step in whole.record.eval_step]
        assert shared
        for name, curve in whole.record.metrics.items():
            ours = part.record.metrics[name][..., np.isin(part.record.eval_step, shared)]
            np.testing.assert_array_equal(ours, curve[..., np.isin(whole.record.eval_step, shared)], err_msg=name)
    assert_equal(rest.params, whole.params)
    assert_equal(rest.state, whole.state)
    assert (rest.record.steps_done == TOTAL).all()


@pytest.mark.parametrize("steps", [5, 6, 7], ids=["whole epoch", "after an evaluation", "between evaluations"])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("data", list(DATA))
def test_some_steps_and_some_more_are_one_run_bit_for_bit(optimizer, data, steps):
    value, (source, size) = OPTIMIZERS[optimizer], DATA[data]
    more = {"data": source, "batch_size": size}
    whole = swept(init, TOTAL, value, seeds=SEEDS, seed=5, **more)
    first = swept(init, steps, value, seeds=SEEDS, seed=5, **more)
    rest = swept(first.best(), TOTAL - steps, value, **more)
    assert_goes_on(first, rest, whole)


def test_the_best_of_several_settings_goes_on_bit_for_bit_where_lanes_run_one_by_one():
    grid, alone = jopt.adam(jopt.choice(0.01, 0.1, 0.3)), {"plan": jopt.Plan(width=1)}
    whole, first = (swept(init, steps, grid, seeds=2, **alone) for steps in (TOTAL, 6))
    best = first.best()
    rest = swept(best, TOTAL - 6, best.optimizer, **alone)
    np.testing.assert_array_equal(rest.record.losses["loss"], whole.record.losses["loss"][best.index][:, 6:])
    assert_equal(rest.params, jax.tree.map(lambda x: x[best.index], whole.params))


def test_a_plateau_hears_the_same_evaluations_as_in_one_run():
    value = OPTIMIZERS["plateau"]
    whole = swept(init, TOTAL, value, seeds=SEEDS)
    scales = [swept(swept(init, k, value, seeds=SEEDS).best(), TOTAL - k, value).best().state_by_seed[1].scale for k in (4, 6)]
    wanted = whole.best().state_by_seed[1].scale
    assert (wanted < 1).all()  # it has reduced, so it has heard
    for scale in scales:
        np.testing.assert_array_equal(scale, wanted)


def test_three_parts_are_one_run():
    value = OPTIMIZERS["cosine"]
    part = swept(init, 3, value, seeds=SEEDS)
    for steps in (4, 9):
        part = swept(part.best(), steps, value)
    whole = swept(init, TOTAL, value, seeds=SEEDS)
    assert_equal(part.params, whole.params)
    np.testing.assert_array_equal(part.record.losses["loss"], whole.record.losses["loss"][..., 7:])


def test_going_on_equals_a_loop_by_hand():
    optimizer, batches = optax.adam(optax.warmup_cosine_decay_schedule(0.0, 0.1, 4, TOTAL)), Minibatches(X, BATCH, 0, len(X))
    first = jopt.sweep(quiet, jnp.ones(3), jopt.adam(COSINE), X, batch_size=BATCH, steps=7, seeds=2, keep="carry")
    rest = jopt.sweep(quiet, first.best(), jopt.adam(COSINE), X, batch_size=BATCH, steps=TOTAL - 7)
    for seed in (0, 1):
        alone = run_alone(quiet, jnp.ones(3), optimizer, [X[rows] for rows in batches.rows(seed, 0, TOTAL)])
        losses = [result.record.losses["loss"][seed] for result in (first, rest)]
        assert_same_run(Run(np.concatenate(losses), rest.params[seed]), alone)


@pytest.mark.parametrize("every", [4, 5, 50])
def test_records_end_where_they_end_in_one_run(every):
    value = OPTIMIZERS["cosine"]
    whole = swept(init, TOTAL, value, seeds=SEEDS)
    rest = swept(swept(init, 6, value, seeds=SEEDS).best(), TOTAL - 6, value, record_every=every)
    assert rest.record.step.tolist() == [*range((6 // every + 1) * every, TOTAL, every), TOTAL]
    begins = [6, *rest.record.step[:-1]]
    means = [whole.record.losses["loss"][..., a:b].mean(-1) for a, b in zip(begins, rest.record.step, strict=True)]
    np.testing.assert_allclose(rest.record.losses["loss"], np.stack(means, -1), **CLOSE)


PLANS = [
    jopt.Plan(),
    jopt.Plan(width=1),
    jopt.Plan(width=1, loop="host"),
    jopt.Plan(width=2, chunk=3, workers=2),
    jopt.Plan(width=5, loop="host", workers=2),
    jopt.Plan(width=100),
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_whatever_the_plan_each_number_starts_from_the_trials_state(plan):
    first = swept(init, 7, jopt.adam(0.05), seeds=SEEDS)
    rates = (0.01, 0.05, 0.2)
    rest = swept(first.best(), 9, jopt.adam(jopt.choice(*rates)), plan=plan)
    assert rest.record.dims == ("learning_rate",)
    assert rest.record.seeds.tolist() == [0, 1, 2]
    for k, rate in enumerate(rates):
        one = swept(first.best(), 9, jopt.adam(rate))
        np.testing.assert_allclose(rest.record.losses["loss"][k], one.record.losses["loss"], **CLOSE)
        jax.tree.map(lambda x, y, k=k: np.testing.assert_allclose(x[k], y, **CLOSE), rest.params, one.params)


def test_seeds_that_have_come_apart_stay_apart_where_nothing_else_differs():
    first = jopt.sweep(quiet, jnp.ones(3), jopt.adam(0.1), X, batch_size=BATCH, steps=5, seeds=3, keep="carry")
    rest = jopt.sweep(
        quiet, first.best(), jopt.adam(0.1), X, steps=4
    )  # whole data, given parameters: lanes alike but for these
    for seed in range(3):
        params, state = (jax.tree.map(lambda x, s=seed: jnp.asarray(x[s]), t) for t in (first.params, first.state))
        pair = optax.GradientTransformationExtraArgs(lambda _, s=state: s, jopt.adam(0.1).update)
        alone = run_alone(quiet, params, pair, [X] * 4)
        assert_same_run(Run(rest.record.losses["loss"][seed], rest.params[seed]), alone)
    assert len(np.unique(rest.record.losses["loss"][:, -1])) == 3


def test_an_iterator_goes_on_where_it_is():
    batches = [X[k : k + 4] for k in range(0, 20, 2)]
    whole = jopt.sweep(quiet, jnp.ones(3), jopt.adam(0.1), iter(batches), steps=9, keep="carry")
    iterator = iter(batches)
    first = jopt.sweep(quiet, jnp.ones(3), jopt.adam(0.1), iterator, steps=4, keep="carry")
    rest = jopt.sweep(quiet, first.best(), jopt.adam(0.1), iterator, steps=5, keep="carry")
    np.testing.assert_array_equal(rest.record.losses["loss"], whole.record.losses["loss"][..., 4:])
    assert_equal(rest.state, whole.state)
    assert next(iterator) is batches[9]


def test_what_can_be_passed_over_again_begins_a_new_pass():
    batches = [X[k : k + 4] for k in range(0, 20, 2)]
    first = jopt.sweep(quiet, jnp.ones(3), jopt.sgd(0.1), batches, steps=4, keep="carry")
    rest = jopt.sweep(quiet, first.best(), jopt.sgd(0.1), batches, steps=5)
    alone = run_alone(quiet, jnp.ones(3), jopt.sgd(0.1), [*batches[:4], *batches[:5]])
    np.testing.assert_allclose(rest.record.losses["loss"][0], alone.losses[4:], **CLOSE)


@pytest.mark.parametrize("optimizer", ["cosine", "plateau"])
def test_a_sweep_without_jit_goes_on_too(optimizer):
    value = OPTIMIZERS[optimizer]
    first = swept(init, 6, value, seeds=2)
    wanted = swept(first.best(), 5, value)
    with jax.disable_jit():
        found = swept(first.best(), 5, value)
    np.testing.assert_allclose(found.record.losses["loss"], wanted.record.losses["loss"], **CLOSE)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, **CLOSE), (found.params, found.state), (wanted.params, wanted.state)
    )
    assert found.record.step.tolist() == wanted.record.step.tolist() == [7, 8, 9, 10, 11]


def test_a_trial_of_a_loaded_result_goes_on(tmp_path):
    value = OPTIMIZERS["plateau"]
    first = swept(init, 6, value, seeds=SEEDS)
    first.save(tmp_path / "first")
    loaded = jopt.load_result(tmp_path / "first")
    assert_equal(loaded.state, first.state)
    rest, wanted = (swept(result.best(), 5, value) for result in (loaded, first))
    assert_equal((rest.params, rest.state), (wanted.params, wanted.state))


def test_a_trial_of_a_group_goes_on():
    groups = {"sgd": jopt.sgd(jopt.choice(0.01, 0.1)), "adam": jopt.adam(jopt.choice(0.01, 0.1))}
    both = swept(init, 6, groups, seeds=SEEDS)
    for name, each in both.items():
        trial = each.best()
        rest = swept(trial, 10, trial.optimizer)
        whole = swept(init, TOTAL, trial.optimizer, seeds=SEEDS)
        np.testing.assert_allclose(rest.record.losses["loss"], whole.record.losses["loss"][..., 6:], err_msg=name, **CLOSE)
    best = both.best()
    compared = swept(best, 3, {"low": best.optimizer, "high": best.optimizer.replace(learning_rate=0.2)})
    assert list(compared) == ["low", "high"]


def test_what_is_counted_is_what_this_call_trains(tmp_path):
    first = swept(init, 6, jopt.sgd(0.1), seeds=SEEDS)
    rest = swept(first.best(), 10, jopt.sgd(jopt.choice(0.1, 0.2)))
    assert rest.timings.lane_steps == 10 * 2 * SEEDS
    assert rest.dataset.step.values.tolist() == list(range(7, 17))
    assert (rest.record.first, rest.record.last) == (6, 16)
    assert f"{2 * SEEDS} lanes, 10 steps each, from step 6 to 16\n" in repr(rest)
    assert "6 steps each\n" in repr(first)
    rest.report(tmp_path / "page.html")
    assert "training runs, 10 steps, from step 6 to 16:" in (tmp_path / "page.html").read_text()


def test_a_tenth_of_what_goes_on_is_of_its_own_steps():
    first = swept(init, 50, jopt.sgd(0.01), seeds=SEEDS)
    rest = swept(first.best(), 20, jopt.sgd(0.01))
    wanted = rest.record.losses["loss"][..., -2:].mean()
    assert rest.best("loss").score == pytest.approx(wanted)


def test_a_lane_that_dies_on_the_way_changes_no_other():
    first = swept(init, 7, jopt.sgd(0.05), seeds=SEEDS)
    rest = swept(first.best(), 60, jopt.sgd(jopt.choice(0.05, 1e30)), plan=jopt.Plan(width=6))
    alone = swept(first.best(), 60, jopt.sgd(0.05))
    np.testing.assert_allclose(rest.record.losses["loss"][0], alone.record.losses["loss"], **CLOSE)
    assert (rest.record.diverged_at[1] > 7).all()
    assert (rest.record.steps_done[1] < 67).all()
    assert np.isnan(rest.record.losses["loss"][1, :, -1]).all()


def test_lanes_that_do_not_fit_begin_again_where_they_went_on(monkeypatch):
    first, rates = swept(init, 7, jopt.adam(0.05), seeds=SEEDS), jopt.choice(0.01, 0.05, 0.2)
    wanted = swept(first.best(), 9, jopt.adam(rates))
    failing(monkeypatch, lambda block: block.real.sum() > 3, NO_MEMORY, after=4)
    found = swept(first.best(), 9, jopt.adam(rates), plan=jopt.Plan(width=9, workers=1))
    np.testing.assert_allclose(found.record.losses["loss"], wanted.record.losses["loss"], **CLOSE)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **CLOSE), found.params, wanted.params)


def test_lanes_that_run_again_begin_where_they_went_on():
    carry = {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3)}
    job = _job(Begun(4, carry, {}, False))
    lanes = Lanes(job, [False], begun(job, {}))
    assert (lanes.steps == 4).all()
    (block,) = lanes.form((2, 1))
    lanes.take(block)
    lanes.restart(block.lanes)
    assert (lanes.states == State.PAUSED).all()
    halves = block.halves(job.first)
    for half in halves:
        lanes.take(half)
    assert [half.step for half in halves] == [4, 4]
    np.testing.assert_array_equal(np.stack([half.carry[0] for half in halves]), carry["w"])


def _job(started):
    program, space = types.SimpleNamespace(feedback=False), types.SimpleNamespace(size=1)
    return types.SimpleNamespace(begun=started, space=space, seeds=(0, 1), first=started.step, program=program)


# jopt.sweep_steps.


def start(opt, key):
    w = jax.random.normal(key, (3,))
    return {"w": w, "state": opt.init(w), "key": jax.random.fold_in(key, 1), "old": jax.random.PRNGKey(0)}


def step(opt, carry, batch, key):
    now, later = jax.random.split(carry["key"])
    value, grad = jax.value_and_grad(quiet)(carry["w"], batch + 0.1 * jax.random.normal(now, batch.shape))
    updates, state = opt.update(grad, carry["state"], carry["w"])
    return {**carry, "w": carry["w"] + updates, "state": state, "key": later}, {"loss": value}


def stepped(begin, steps, optimizer, **more):
    return jopt.sweep_steps(begin, step, optimizer, X, steps=steps, batch_size=BATCH, plan=WIDE, **more)


@pytest.mark.parametrize("keep", ["params", "carry"])
@pytest.mark.parametrize("saved", [False, True], ids=["at once", "saved"])
def test_steps_of_ones_own_go_on_with_random_keys_in_the_carry(keep, saved, tmp_path):
    whole = stepped(start, TOTAL, jopt.adam(COSINE), seeds=SEEDS)
    first = stepped(start, 7, jopt.adam(COSINE), seeds=SEEDS, keep=keep)
    if saved:
        first.save(tmp_path / "first")
        first = jopt.load_result(tmp_path / "first")
    rest = stepped(first.best(), TOTAL - 7, jopt.adam(COSINE))
    np.testing.assert_array_equal(rest.record.losses["loss"], whole.record.losses["loss"][..., 7:])
    assert_equal(rest.params, whole.params)


def test_steps_of_ones_own_go_on_without_jit():
    first = stepped(start, 7, jopt.adam(COSINE), seeds=2)
    wanted = stepped(first.best(), 4, jopt.adam(COSINE))
    with jax.disable_jit():
        found = stepped(first.best(), 4, jopt.adam(COSINE))
    np.testing.assert_allclose(found.record.losses["loss"], wanted.record.losses["loss"], **CLOSE)


def test_optimizers_that_a_step_uses_together_go_on():
    def init_both(opts, key):
        w = jnp.ones(3)
        return w, opts["a"].init(w), opts["b"].init(w)

    def step_both(opts, carry, batch, key):
        w, a, b = carry
        grad = jax.grad(quiet)(w, batch)
        first, a = opts["a"].update(grad, a, w)
        second, b = opts["b"].update(grad, b, w)
        return (w + first + second, a, b), {"loss": quiet(w, batch)}

    both = {"a": jopt.adam(0.01), "b": jopt.sgd(0.1, momentum=0.9)}
    whole, first = (jopt.sweep_steps(init_both, step_both, both, X, steps=n) for n in (9, 4))
    rest = jopt.sweep_steps(first.best(), step_both, both, X, steps=5)
    np.testing.assert_array_equal(rest.record.losses["loss"], whole.record.losses["loss"][..., 4:])


# What does not go on.


@pytest.fixture(scope="module")
def first():
    return swept(init, 6, jopt.sgd(jopt.choice(0.1, 1e30)), seeds=2, seed=3)


@pytest.mark.parametrize("keep", ["params", "none", "best"])
def test_a_trial_without_its_state_does_not_go_on(keep):
    trial = swept(init, 3, jopt.sgd(0.1), keep=keep).best()
    with pytest.raises(ValueError, match=rf'keep="{keep}".*keep="carry"'):
        swept(trial, 3, jopt.sgd(0.1))


@pytest.mark.parametrize("seeds", [2, [0, 1], [7]], ids=itertools.count())
def test_seeds_may_not_stand_beside_a_trial(first, seeds):
    with pytest.raises(ValueError, match="trial brings its seeds"):
        swept(first.best(), 3, jopt.sgd(0.1), seeds=seeds)


def test_another_seed_of_the_sweep_may_not_stand_beside_a_trial(first):
    with pytest.raises(ValueError, match=r"brings the seed of its sweep, 3.*seed=4"):
        swept(first.best(), 3, jopt.sgd(0.1), seed=4)
    for seed in (0, 3):
        assert swept(first.best(), 3, jopt.sgd(0.1), seed=seed).record.sweep_seed == 3


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (jopt.adam(0.1), r"state is of sgd\(...\), but the optimizer is adam\(...\); "),
        (jopt.chain(jopt.clip(1.0), jopt.adam(0.1)), r"the optimizer is chain\(clip\(...\), adam\(...\)\); "),
        (optax.adam(0.1), r"state is of sgd\(...\), but the optimizer is chain\(...\); "),
        (jopt.sgd(0.1, momentum=0.9), "structure"),
        ({"sgd": jopt.sgd(0.1), "adam": jopt.adam(0.1)}, r"the optimizer is adam\(...\); "),
    ],
    ids=["adam", "chain", "optax", "momentum", "groups"],
)
def test_a_state_of_another_structure_does_not_go_on(first, optimizer, said, jit):
    with (
        jax.disable_jit(not jit),
        pytest.raises(ValueError, match=rf"can't go on from this trial: .*{said}.*params=trial.params"),
    ):
        swept(first.best(), 3, optimizer)


def test_a_state_of_other_types_or_shapes_does_not_go_on():
    narrow = swept(init, 3, jopt.adam(0.1, mu_dtype=jnp.bfloat16)).best()
    with pytest.raises(ValueError, match=r"leaf at .*mu.* is bfloat16 of shape .*, but here it is float32"):
        swept(narrow, 3, jopt.adam(0.1))


def test_a_seed_that_diverged_does_not_go_on(first):
    diverged = dataclasses.replace(first.best(), index=(1,))
    with pytest.raises(ValueError, match=r"seed 0 has done \d of 6 steps"):
        swept(diverged, 3, jopt.sgd(0.1))


def test_a_whole_result_is_no_trial(first):
    with pytest.raises(TypeError, match=r"params=result.best\(\)"):
        swept(first, 3, jopt.sgd(0.1))


def test_trials_of_losses_and_of_steps_are_told_apart(first):
    with pytest.raises(ValueError, match=r"jopt.sweep_steps can't go on from a trial of jopt.sweep,"):
        stepped(first.best(), 3, jopt.sgd(0.1))
    with pytest.raises(ValueError, match=r"jopt.sweep can't go on from a trial of jopt.sweep_steps"):
        swept(stepped(start, 3, jopt.sgd(0.1)).best(), 3, jopt.sgd(0.1))


def test_what_is_no_function_is_no_init():
    with pytest.raises(TypeError, match="init must be a function"):
        jopt.sweep_steps(None, step, jopt.sgd(0.1), X, steps=3)
    with pytest.raises(TypeError, match="step must be a function"):
        jopt.sweep_steps(start, stepped(start, 3, jopt.sgd(0.1)).best(), jopt.sgd(0.1), X, steps=3)

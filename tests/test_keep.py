"""What a result keeps of its lanes: the last parameters, the state too, those of the best evaluation, or nothing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.engine.planning import planner, remembered
from tests.solo import CLOSE, assert_trees_close
from tests.test_engine import NO_MEMORY, failing

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
STEPS, EVERY = 23, 2
RATES = (0.01, 0.05, 0.1, 0.3)


def loss(params, batch):
    return jnp.mean((batch @ params["w"] + params["b"] - 1.0) ** 2)


def init(key):
    return {"w": jax.random.normal(key, (3,)), "b": jnp.float32(-0.5)}


def near(params):
    """Best when the bias passes 0.4, which lanes do at different times."""
    return {"distance": jnp.abs(params["b"] - 0.4), "bias": params["b"]}


def closeness(params):
    return {"accuracy": -jnp.abs(params["b"] - 0.4)}


def swept(**more):
    settings = {"steps": STEPS, "batch_size": 4, "seeds": 3, "evaluate": near, "eval_every": EVERY, "keep": "best"}
    rates = more.pop("rates", RATES)
    return jopt.sweep(loss, init, jopt.sgd(jopt.choice(*rates)), X, **{**settings, **more})


def assert_best_are_kept(result, evaluate=near, pick=np.nanmin):
    """The parameters of each lane evaluate to what was the best of its curve, which mostly is not the last."""
    name = next(iter(result.record.metrics))
    curves = result.record.metrics[name][..., result.record.eval_step > 0]  # of what was trained
    best = pick(curves, axis=-1)
    for lane in np.ndindex(best.shape):
        params = jax.tree.map(lambda x, lane=lane: jnp.asarray(x[lane]), result.params)
        np.testing.assert_allclose(evaluate(params)[name], best[lane], rtol=1e-5, atol=1e-7)
    return best != curves[..., -1]


PLANS = [
    jopt.Plan(),
    jopt.Plan(width=1),
    jopt.Plan(width=1, loop="host"),
    jopt.Plan(width=2, chunk=3, workers=2),
    jopt.Plan(width=5, loop="host", workers=2),
    jopt.Plan(width=12, workers=1),
    jopt.Plan(width=100, chunk=1),
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_the_best_parameters_are_kept_whatever_the_plan(plan):
    earlier = assert_best_are_kept(swept(plan=plan))
    assert earlier[1:].all()


def test_the_best_parameters_are_kept_without_jit():
    with jax.disable_jit():
        found = swept(rates=(0.05, 0.3), seeds=2)
    assert assert_best_are_kept(found).any()
    assert_trees_close(found.params, swept(rates=(0.05, 0.3), seeds=2).params)


@pytest.mark.parametrize("jit", [True, False])
def test_the_best_may_be_the_highest(jit):
    with jax.disable_jit(not jit):
        result = swept(evaluate=jopt.metrics(closeness, maximize="accuracy"), rates=(0.05, 0.3))
    assert assert_best_are_kept(result, closeness, np.nanmax).any()


def test_the_best_parameters_are_those_of_a_loop_by_hand():
    result = jopt.sweep(loss, init, jopt.sgd(0.05), X, steps=STEPS, seeds=2, evaluate=near, eval_every=EVERY, keep="best")
    starts = jopt.sweep(loss, init, jopt.sgd(0.0), X, steps=1, seeds=2).params
    for seed in range(2):
        params, opt = jax.tree.map(lambda x, s=seed: jnp.asarray(x[s]), starts), optax.sgd(0.05)
        state, best = opt.init(params), (np.inf, None)
        for step in range(1, STEPS + 1):
            updates, state = opt.update(jax.grad(loss)(params, X), state)
            params = optax.apply_updates(params, updates)
            if (step % EVERY == 0 or step == STEPS) and near(params)["distance"] < best[0]:
                best = near(params)["distance"], params
        assert_trees_close(jax.tree.map(lambda x, s=seed: x[s], result.params), best[1], **CLOSE)


def test_evaluations_that_are_not_numbers_are_passed_over():
    def sometimes(params):
        return {"root": jnp.sqrt(params["b"] - 0.2)}  # NaN at first, and the lowest just behind that

    result = swept(evaluate=sometimes, rates=(0.02, 0.04))
    assert np.isnan(result.record.metrics["root"][..., 0]).all()
    assert assert_best_are_kept(result, sometimes).all()


def test_whole_numbers_and_bools_have_a_best_too():
    def counted(params):
        return {"steps off": jnp.round(jnp.abs(params["b"] - 0.4) * 10).astype(jnp.int32)}

    def whether(params):
        return {"outside": jnp.abs(params["b"] - 0.4) > 0.2}

    for evaluate in (counted, whether):
        assert assert_best_are_kept(swept(evaluate=evaluate), evaluate).any()


def test_of_equal_evaluations_the_first_is_the_best():
    result = jopt.sweep(
        lambda w, _: w,
        jnp.float32(1.0),
        jopt.sgd(0.125),
        steps=8,
        evaluate=lambda w: {"zero": 0 * w},
        eval_every=2,
        keep="best",
    )
    assert result.params.tolist() == [0.75]


@pytest.mark.parametrize("plan", [jopt.Plan(width=12), jopt.Plan(width=2)], ids=str)
def test_a_lane_that_dies_keeps_the_best_that_it_had(plan):
    result = swept(rates=(0.05, 0.1, 30.0, 1e30), steps=200, plan=plan)
    assert result.record.diverged[2:].all()
    curves = result.record.metrics["distance"][2][:, result.record.eval_step > 0]  # of what was trained
    for seed in range(3):
        params = jax.tree.map(lambda x, s=seed: jnp.asarray(x[2, s]), result.params)
        np.testing.assert_allclose(near(params)["distance"], np.nanmin(curves[seed]), rtol=1e-5)
    assert result.best().index[0] < 2


def test_the_best_scores_where_the_parameters_are_kept():
    result = swept()
    trial = result.best()
    curves = result.record.metrics["distance"]
    assert (trial.at, trial.score) == ("best", pytest.approx(curves.min(-1).mean(-1).min()))
    assert near(trial.params)["distance"] == pytest.approx(trial.scores.min(), rel=1e-5)
    assert "best evaluation" in result.table()
    assert swept(keep="params").best().at == "last"


@pytest.mark.parametrize(
    "asked",
    [{"metric": "loss"}, {"metric": "bias"}, {"at": "last"}, {"mode": "max"}, {"metric": "bias", "mode": "max"}],
    ids=itertools.count(),
)
def test_a_trial_that_is_ranked_otherwise_has_no_parameters(asked, tmp_path):
    result = swept()
    result.save(tmp_path / "kept")
    for each in (result, jopt.load_result(tmp_path / "kept")):
        trial = each.best(**asked)
        for parameters in (lambda t=trial: t.params, lambda t=trial: t.params_by_seed):
            with pytest.raises(ValueError, match=r"when its 'distance' was best \(min\), but this trial is ranked by"):
                parameters()


def test_groups_keep_their_best():
    optimizers = {"sgd": jopt.sgd(0.05), "adam": jopt.adam(jopt.choice(0.05, 0.2))}
    result = jopt.sweep(loss, init, optimizers, X, steps=STEPS, seeds=2, evaluate=near, eval_every=EVERY, keep="best")
    for each in result.values():
        assert_best_are_kept(each)
    assert near(result.best().params)["distance"] == pytest.approx(result.best().scores.min(), rel=1e-5)


def test_a_step_of_ones_own_keeps_its_best_carry():
    def start(opt, key):
        w = jnp.float32(-0.5)
        return {"b": w, "state": opt.init(w), "key": key}

    def step(opt, carry, batch, key):
        updates, state = opt.update(2 * (carry["b"] - 1.0), carry["state"], carry["b"])
        later = jax.random.fold_in(carry["key"], 1)
        return {"b": carry["b"] + updates, "state": state, "key": later}, {"loss": (carry["b"] - 1.0) ** 2}

    for plan in (jopt.Plan(), jopt.Plan(width=2, chunk=1), jopt.Plan(width=4)):
        rates = jopt.choice(0.01, 0.03, 0.1)
        more = {"steps": STEPS, "evaluate": near, "eval_every": EVERY, "keep": "best", "seeds": 2, "plan": plan}
        assert assert_best_are_kept(jopt.sweep_steps(start, step, jopt.adam(rates), **more)).any()


def test_nothing_is_kept_where_nothing_is_asked_for(tmp_path):
    result = swept(keep="none")
    result.save(tmp_path / "none")
    for each in (result, jopt.load_result(tmp_path / "none")):
        assert each.best().setting == swept(keep="params").best().setting
        for parameters in (lambda r=each: r.params, lambda r=each: r.best().params):
            with pytest.raises(ValueError, match=r'no parameters: .*keep="none"'):
                parameters()


def test_the_state_is_kept_where_it_is_asked_for():
    result = swept(keep="carry", rates=(0.1,), batch_size=None, seeds=1)
    assert_trees_close(result.params, swept(keep="params", rates=(0.1,), batch_size=None, seeds=1).params)
    optimizer = jopt.adam(jopt.choice(0.05, 0.1))
    trial = jopt.sweep(loss, init, optimizer, X, steps=5, seeds=2, keep="carry").best("loss")
    params = jax.tree.map(lambda x: jnp.zeros_like(x[0]), trial.params_by_seed)
    assert jax.tree.structure(trial.state) == jax.tree.structure(trial.optimizer.init(params))
    assert (int(trial.state[0].count), trial.state_by_seed[0].mu["w"].shape) == (5, (2, 3))


@pytest.mark.parametrize("jit", [True, False])
def test_the_state_equals_that_of_a_loop_by_hand(jit):
    with jax.disable_jit(not jit):
        trial = jopt.sweep(loss, {"w": jnp.ones(3), "b": jnp.float32(0.0)}, jopt.adam(0.1), X, steps=5, keep="carry").best()
    params, opt = {"w": jnp.ones(3), "b": jnp.float32(0.0)}, optax.adam(0.1)
    state = opt.init(params)
    for _ in range(5):
        updates, state = opt.update(jax.grad(loss)(params, X), state)
        params = optax.apply_updates(params, updates)
    assert_trees_close([trial.state[0].mu, trial.state[0].nu, trial.params], [state[0].mu, state[0].nu, params])


def test_states_of_groups_come_by_name():
    result = jopt.sweep(loss, init, {"a": jopt.adam(0.1), "b": jopt.sgd(0.1, momentum=0.9)}, X, steps=3, keep="carry")
    assert set(result.state) == {"a", "b"}
    assert result["b"].state[0].trace["w"].shape == (1, 3)


@pytest.mark.parametrize("keep", ["params", "best", "none"])
def test_a_state_that_was_not_kept_is_missed_with_a_reason(keep):
    result = swept(keep=keep)
    for state in (lambda: result.state, lambda: result.best().state):
        with pytest.raises(ValueError, match=rf'keep="{keep}", but keep="carry"'):
            state()


def test_the_best_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r'keep="best".*needs evaluate='):
        swept(evaluate=None, eval_every=None)
    with pytest.raises(ValueError, match="returns no metric"):
        swept(evaluate=lambda params: {})


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("name", ["accuracy", "val_acc", "test/f1"])
def test_a_metric_whose_direction_nobody_declared_is_refused_before_training(name, jit):
    trained = []

    def seen(params, batch):
        trained.append(not jit)
        return loss(params, batch)

    with jax.disable_jit(not jit), pytest.raises(ValueError, match=rf"nobody said whether '{name}' is better high or low"):
        jopt.sweep(seen, init, jopt.sgd(0.1), X, steps=3, evaluate=lambda p: {name: p["b"]}, keep="best")
    assert not any(trained)


@pytest.mark.parametrize("keep", ["last", "Best", None, True, ["params"]], ids=str)
def test_what_else_might_be_kept_is_refused(keep):
    with pytest.raises(ValueError, match=r"keep must be one of 'params', 'carry', 'best', 'none', but got"):
        swept(keep=keep)


def test_the_best_goes_with_lanes_that_are_paused_and_formed_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("JOPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(remembered, "_plans", {})
    candidates = [jopt.Plan(width=4, loop="scan"), jopt.Plan(width=3, loop="host")]
    monkeypatch.setattr(planner, "propose", lambda problem, base, measure: candidates)
    monkeypatch.setattr(planner, "_worth", lambda *args: True)
    assert assert_best_are_kept(swept(plan="auto", workers=2)).any()


def test_lanes_that_run_again_have_no_best_yet(monkeypatch):
    failing(monkeypatch, lambda block: block.real.sum() > 3, NO_MEMORY, after=5)
    assert_best_are_kept(swept(plan=jopt.Plan(width=12, workers=1)))

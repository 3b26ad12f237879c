"""Pruning: rules by hand-made scores, and sweeps whose survivors are what they are without."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.running import underway

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 5)).astype(np.float32)
Y = (X @ RANDOM.normal(size=5) + 0.3 * RANDOM.normal(size=64)).astype(np.float32)
RATES = np.geomspace(1e-4, 0.3, 12)
STEPS = 90


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def cosine(rates=RATES, steps=STEPS):
    return jopt.sgd(jopt.cosine_decay_schedule(jopt.choice(*rates), steps))


def run(prune=None, optimizer=None, **options):
    options = {"steps": STEPS, "batch_size": 8, "seeds": 2, "progress": False, **options}
    return jopt.sweep(loss, jnp.zeros(5), cosine() if optimizer is None else optimizer, (X, Y), prune=prune, **options)


def rung(scores, step=10, steps=90, running=None, history=None):
    scores = np.asarray(scores, float).reshape(len(scores), -1)
    running = np.ones(len(scores), bool) if running is None else np.asarray(running)
    history = scores[None] if history is None else np.asarray(history, float).reshape(len(history), *scores.shape)
    return jopt.Rung(step, steps, scores, running, [{}] * len(scores), history)


@pytest.mark.parametrize(
    ("pruner", "steps", "expected"),
    [
        (jopt.TopFraction(), 540, [60]),
        (jopt.TopFraction(at=0.5), 3, [2]),
        (jopt.TopFraction(), 4, []),
        (jopt.SuccessiveHalving(), 540, [60, 180]),
        (jopt.SuccessiveHalving(factor=2, first=1 / 8), 80, [10, 20, 40]),
        (jopt.Hyperband(), 540, [60, 180]),
        (jopt.MedianStop(after=1 / 4), 80, [20, 40, 60]),
        (jopt.EarlyStop(2), 80, None),
    ],
)
def test_rules_look_where_they_say(pruner, steps, expected):
    found = pruner.rungs(steps)
    assert (found if found is None else list(found)) == expected


def test_the_top_fraction_of_all_settings_goes_on_the_dead_ones_counted():
    kept = jopt.TopFraction(keep=1 / 4).keep(rung([3, 1, math.inf, 2, 5, 4, math.inf, math.inf]))
    assert kept.tolist() == [False, True, False, True, False, False, False, False]


def test_a_setting_is_judged_by_the_mean_of_its_seeds_and_one_diverged_seed_puts_it_last():
    kept = jopt.TopFraction(keep=1 / 3).keep(rung([[0, 5], [2, 2], [0, math.inf]]))
    assert kept.tolist() == [False, True, False]


def test_of_equal_settings_the_first_go_on():
    assert jopt.TopFraction(keep=1 / 2).keep(rung([1, 1, 1, 1])).tolist() == [True, True, False, False]


def test_successive_halving_leaves_a_share_at_each_rung():
    rule, scores = jopt.SuccessiveHalving(factor=3), np.arange(27)
    assert rule.keep(rung(scores)).sum() == 9
    running = np.arange(27) < 9
    assert rule.keep(rung(scores, running=running, history=[scores, scores])).sum() == 3


def test_hyperband_lets_some_settings_run_to_the_end_whatever_they_score():
    rule = jopt.Hyperband()
    looks = rule.brackets(30)
    assert set(looks.tolist()) == {0, 1, 2}
    scores = np.arange(30.0)
    first = rule.keep(rung(scores, history=[scores]))
    assert first[looks < 2].all(), "brackets that look later have not looked yet"
    assert first[looks == 2].sum() == math.ceil((looks == 2).sum() / 3)
    second = rule.keep(rung(scores, running=first, history=[scores, scores]))
    assert second[looks == 0].all()
    assert second[looks == 1].sum() == math.ceil((looks == 1).sum() / 3)
    assert second[looks == 2].sum() == math.ceil((looks == 2).sum() / 9)


def test_a_setting_above_the_median_of_all_stops_those_that_stopped_counted():
    rule = jopt.MedianStop()
    assert rule.keep(rung([1, 2, 3, 4])).tolist() == [True, True, False, False]
    later = rung([1, 0.5, 3, 4], running=[True, True, False, False])
    assert rule.keep(later).tolist() == [True, True, False, False]


def test_early_stop_counts_evaluations_without_a_better_one():
    history = [[3.0, 3.0], [2.0, 3.0], [2.0, 2.95], [2.0, 1.0]]
    kept = [
        jopt.EarlyStop(1, min_delta=0.1).keep(rung(history[n - 1], history=history[:n])).ravel().tolist() for n in (1, 2, 3, 4)
    ]
    assert kept == [[True, True], [True, True], [True, False], [False, True]]


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: jopt.TopFraction(at=0), "at"),
        (lambda: jopt.TopFraction(keep=1), "keep"),
        (lambda: jopt.SuccessiveHalving(factor=1), "factor"),
        (lambda: jopt.Hyperband(first=2), "first"),
        (lambda: jopt.MedianStop(after=True), "after"),
        (lambda: jopt.EarlyStop(-1), "patience"),
        (lambda: jopt.EarlyStop(1, min_delta=math.nan), "min_delta"),
        (lambda: jopt.TopFraction(mode="low"), "mode"),
    ],
)
def test_numbers_out_of_their_range_are_refused(make, argument):
    with pytest.raises((TypeError, ValueError), match=argument):
        make()


@pytest.mark.parametrize("prune", ["top", jopt.TopFraction, 3])
def test_what_is_no_pruner_is_refused(prune):
    with pytest.raises(TypeError, match="prune"):
        run(prune)


PLANS = [
    jopt.Plan(width=1, loop="scan"),
    jopt.Plan(width=5, chunk=7, loop="scan"),
    jopt.Plan(width=24, loop="scan", workers=1),
    jopt.Plan(width=2, loop="host"),
    "auto",
]


@pytest.fixture(scope="module")
def whole():
    return run()


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("prune", ["auto", jopt.SuccessiveHalving(), jopt.Hyperband(), jopt.MedianStop()], ids=repr)
def test_survivors_are_what_they_are_in_the_full_sweep_and_the_others_have_its_curve_up_to_where_they_stopped(
    whole, plan, prune
):
    found = run(prune, plan=plan)
    pruned = found.record.pruned
    assert pruned.any()
    assert not pruned.all()
    done, losses, expected = found.record.steps_done, found.record.losses["loss"], whole.record.losses["loss"]
    ran = np.arange(1, STEPS + 1) <= done[..., None]
    np.testing.assert_allclose(losses[ran], expected[ran], rtol=2e-5)
    assert np.isnan(losses[~ran]).all()
    np.testing.assert_array_equal(found.record.pruned_at[pruned], done[pruned])
    np.testing.assert_allclose(found.params[~pruned], whole.params[~pruned], rtol=1e-4)
    assert found.timings.lane_steps == done.sum()
    assert found.saved.lane_steps == STEPS * done.size - done.sum()
    assert not found.record.pruned[found.best().index].any()


def test_one_look_of_28_settings_does_a_third_of_the_steps():
    optimizer = cosine(np.geomspace(1e-4, 0.3, 28))
    found = run("auto", optimizer)
    assert found.timings.lane_steps / (28 * 2 * STEPS) <= 0.36
    assert found.best().setting == run(None, optimizer).best().setting


def test_a_sweep_that_is_not_compiled_prunes_the_same():
    rates = RATES[::3]
    compiled = run(jopt.SuccessiveHalving(factor=2), cosine(rates, 18), seeds=1, steps=18)
    with jax.disable_jit():
        found = run(jopt.SuccessiveHalving(factor=2), cosine(rates, 18), seeds=1, steps=18)
    for name in compiled.dataset.data_vars:
        np.testing.assert_allclose(found.dataset[name], compiled.dataset[name], rtol=1e-4, err_msg=name)


def test_groups_are_pruned_each_by_itself():
    found = run("auto", {"one": cosine(), "two": jopt.adam(jopt.cosine_decay_schedule(jopt.choice(*RATES), STEPS))})
    for name in found:
        assert (~found[name].record.pruned[..., 0]).sum() == math.ceil(len(RATES) / 4)


def test_batches_that_come_once_can_be_pruned_too():
    def batches():
        for i in range(STEPS):
            rows = np.arange(8) + 8 * (i % 8)
            yield X[rows], Y[rows]

    found, expected = (
        jopt.sweep(loss, jnp.zeros(5), cosine(), batches(), steps=STEPS, progress=False, prune=prune)
        for prune in ("auto", None)
    )
    kept = ~found.record.pruned
    assert kept.sum() == 3
    np.testing.assert_allclose(found.params[kept], expected.params[kept], rtol=1e-4)


def evaluate(w):
    return {"accuracy": jnp.mean(jnp.abs(X @ w - Y) < 0.5)}


def test_a_metric_is_evaluated_at_the_rung_and_ranked_in_its_direction():
    found = run(jopt.TopFraction(at=0.3), evaluate=jopt.metrics(evaluate, maximize="accuracy"), eval_every=50)
    assert 27 in found.dataset.eval_step
    at_rung = found.dataset.accuracy.sel(eval_step=27).mean("seed").values
    kept = ~found.record.pruned[:, 0]
    assert at_rung[kept].min() >= at_rung[~kept].max()


def test_a_metric_whose_direction_nobody_said_is_refused_before_training():
    seen = []

    def watched(key, step):
        seen.append(1)
        return X, Y

    with pytest.raises(ValueError, match=r"better high or low.*prune=jopt.TopFraction\(mode='max'\)"):
        jopt.sweep(loss, jnp.zeros(5), cosine(), watched, steps=9, evaluate=evaluate, prune="auto", progress=False)
    with pytest.raises(ValueError, match="no metric 'nothing'"):
        run(jopt.TopFraction(metric="nothing"))


def test_lanes_that_stop_early_keep_their_score_and_may_be_best():
    def wave(w):
        return {"error": jnp.abs(w - 0.5)}

    def away(w, batch):
        return -w

    optimizer = jopt.sgd(jopt.choice(0.01, 0.05, 0.001))
    options = {"steps": 100, "evaluate": wave, "eval_every": 10, "progress": False}
    found = jopt.sweep(away, jnp.float32(0.0), optimizer, prune=jopt.EarlyStop(0), **options)
    assert found.record.steps_done.ravel().tolist() == [60, 20, 100]
    assert not found.record.pruned.any()
    assert found.best().setting == {"learning_rate": 0.01}
    assert found.best().score == pytest.approx(0.1, rel=1e-4)
    assert found.best(at="best").score == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(found.params[0, 0], 0.6, rtol=1e-5)


class Nobody:
    metric = mode = None

    def rungs(self, steps):
        return [10]

    def keep(self, rung):
        return np.zeros(len(rung.running), bool)


def test_a_rule_that_keeps_nothing_does_not_lose_the_sweep():
    with pytest.warns(UserWarning, match="kept no setting at step 10") as heard:
        found = run(Nobody())
    assert {pathlib.Path(each.filename) for each in heard} == {pathlib.Path(__file__)}
    assert (~found.record.pruned[:, 0]).sum() == 1


@pytest.mark.parametrize("kept", [[True], np.ones(12), np.ones((12, 3), bool)], ids=["too few", "floats", "other seeds"])
def test_an_answer_of_the_wrong_shape_is_refused(kept):
    rule = Nobody()
    rule.keep = lambda rung: kept
    with pytest.raises(ValueError, match="must return a bool for each of the 12 settings"):
        run(rule)


def test_a_constant_rate_warns_once_and_a_decaying_one_does_not(recwarn):
    with pytest.warns(UserWarning, match="the learning rate does not decay") as heard:
        run("auto", {"a": jopt.sgd(jopt.choice(*RATES)), "b": jopt.adam(jopt.choice(*RATES))})
    assert [pathlib.Path(each.filename) for each in heard] == [pathlib.Path(__file__)]  # of the caller, not of jopt
    run("auto")
    assert not recwarn.list


def test_a_saved_result_knows_what_was_pruned(tmp_path):
    found = run("auto")
    found.save(tmp_path / "r")
    again = jopt.load_result(tmp_path / "r")
    np.testing.assert_array_equal(again.record.pruned_at, found.record.pruned_at)
    assert again.best().setting == found.best().setting
    assert "pruned" in repr(again)


def test_pictures_call_what_was_pruned_so():
    found = run("auto")
    response = found.plot.response().get_legend().get_texts()
    assert "pruned" in {each.get_text() for each in response}
    lines = found.plot.curves(select={"init_value": float(RATES[0])}, top="all").get_legend_handles_labels()[1]
    assert all("not finite" not in each for each in lines)


@pytest.mark.parametrize("pruner", [jopt.TopFraction(at=0.1, metric="loss"), jopt.EarlyStop(1, metric="loss")], ids=repr)
def test_training_losses_over_windows_decide_beside_evaluations(pruner):
    found = run(pruner, record_every=30, evaluate=lambda w: {"error": loss(w, (X, Y))}, eval_every=7)
    assert found.record.steps_done.min() >= 30
    assert found.record.steps_done.max() == STEPS


def test_what_is_left_after_lanes_have_ended_early_runs_in_narrower_blocks(monkeypatch):
    shapes, real = [], underway.Run.shape
    monkeypatch.setattr(underway.Run, "shape", lambda self: shapes.append(real(self)) or shapes[-1])
    monkeypatch.setattr(underway.Run, "_pays", lambda self, saved: True)

    class Half(WorstOut):
        ends = True

    run(Half(), plan=jopt.Plan(width=12, loop="scan", workers=2))
    assert min(map(math.prod, shapes)) < 12


class WorstOut:
    metric = mode = None

    def rungs(self, steps):
        return [10]

    def keep(self, rung):
        return rung.mean_scores <= np.median(rung.mean_scores)


@pytest.mark.parametrize(
    ("rate", "warns"),
    [
        (lambda x: jopt.constant_schedule(x), True),
        (lambda x: jopt.linear_schedule(0.0, x, STEPS // 2), True),
        (lambda x: jopt.warmup_cosine_decay_schedule(0.0, x, 10, STEPS), False),
    ],
    ids=["constant", "warm-up only", "cosine"],
)
def test_a_schedule_that_does_not_fall_counts_as_constant(rate, warns, recwarn):
    run("auto", jopt.sgd(rate(jopt.choice(*RATES))))
    assert any("does not decay" in str(each.message) for each in recwarn.list) is warns


def test_a_plateau_may_lower_the_rate(recwarn):
    optimizer = jopt.chain(jopt.sgd(jopt.choice(*RATES)), jopt.reduce_on_plateau())
    run("auto", optimizer)
    assert not recwarn.list

"""A lane has diverged where its loss, its last parameters or its optimizer's last state are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

TARGET = jnp.array([1.0, 2.0])


def distance(w, _):
    return jnp.linalg.norm(w - TARGET)


def square(w, _):
    return jnp.sum(w**2)


def test_a_loss_of_nought_with_ruined_parameters_is_not_best():
    made = jopt.sweep(lambda w, _: jnp.linalg.norm(w), jnp.array([2.0]), jopt.sgd(jopt.choice(1.0, 0.9)), steps=3)
    np.testing.assert_array_equal(made.record.losses["loss"][0, 0], [2, 1, 0])  # and its gradient at 0 is NaN
    assert np.isnan(made.params[0]).all()
    np.testing.assert_array_equal(made.record.diverged_at[:, 0], [3, np.nan])
    best = made.best()
    assert best.setting == {"learning_rate": 0.9}
    assert np.isfinite(best.params).all()


def test_parameters_that_start_at_the_minimum_of_a_norm_are_ruined_at_once():
    made = jopt.sweep(distance, TARGET, jopt.sgd(jopt.choice(0.1, 0.2)), steps=1, seeds=2)
    assert made.record.diverged_at.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="all 2 settings diverged"):
        made.best()


@pytest.mark.parametrize("plan", ["auto", jopt.Plan(width=1, loop="host"), jopt.Plan(width=2, workers=1)])
def test_a_rate_that_throws_the_parameters_out_of_range_is_not_best(plan):
    made = jopt.sweep(square, jnp.float32(10.0), jopt.sgd(jopt.choice(1e38, 0.1, 0.2)), steps=1, seeds=2, plan=plan)
    assert np.isinf(made.params[0]).all()
    np.testing.assert_array_equal(made.record.diverged_at, [[1, 1], [np.nan] * 2, [np.nan] * 2])
    assert made.best().setting == {"learning_rate": 0.1}


def test_a_state_that_overflows_counts_though_loss_and_parameters_are_finite():
    def steep(w, _):
        return 1e25 * w  # g² is infinite: Adam's second moment, while the update is 0

    made = jopt.sweep(steep, jnp.float32(1.0), jopt.adam(jopt.choice(0.1, 0.2)), steps=4)
    assert np.isfinite(made.params).all()
    assert np.isfinite(made.record.losses["loss"]).all()
    assert made.record.diverged_at.tolist() == [[4], [4]]


def test_the_first_loss_that_is_not_finite_comes_before_the_last_step():
    made = jopt.sweep(square, jnp.float32(10.0), jopt.sgd(1e38), steps=5)
    assert made.record.diverged_at.tolist() == [2]


@pytest.mark.parametrize("seeds", [1, 3, 12])
def test_a_leaf_that_began_infinite_may_stay_so(seeds):
    plateau = jopt.reduce_on_plateau(monitor="error")  # the best value that it has seen is infinite till the first one
    swept = jopt.chain(jopt.sgd(jopt.choice(0.1, 0.2)), plateau)
    options = {"evaluate": lambda w: {"error": w**2}, "eval_every": 3}
    made = jopt.sweep(square, jax.random.normal, swept, steps=3, seeds=seeds, **options)
    assert not made.record.diverged.any()
    made = jopt.sweep(lambda w, _: w * 0 + jnp.sqrt(jnp.float32(0)), jnp.float32(0.0), swept, steps=3, seeds=seeds, **options)
    assert not made.record.diverged.any()


def test_a_carry_of_ones_own_is_watched_leaf_by_leaf_and_lane_by_lane():
    def init(opt, key):
        rate = opt.hyperparams["learning_rate"]
        return {"mask": -jnp.inf, "scale": rate, "limit": jnp.where(rate > 0.25, jnp.inf, 1.0), "count": 0, "key": key}

    def step(opt, carry, batch, key):
        moved = {**carry, "scale": carry["scale"] * jnp.where(carry["scale"] < 0.15, jnp.inf, 1.0), "limit": jnp.inf}
        return moved, {"loss": jnp.float32(1.0)}

    made = jopt.sweep_steps(init, step, jopt.sgd(jopt.choice(0.1, 0.2, 0.3)), steps=2, seeds=2)
    # 0.1: scale and limit; 0.2: limit; 0.3: its limit began infinite
    np.testing.assert_array_equal(made.record.diverged_at, [[2, 2], [2, 2], [np.nan] * 2])


def test_a_ruined_lane_beside_lanes_that_only_fill_up_a_block():
    made = jopt.sweep(square, jnp.float32(10.0), jopt.sgd(jopt.choice(0.1, 0.2, 1e38)), steps=1, plan=jopt.Plan(width=2))
    np.testing.assert_array_equal(made.record.diverged_at[:, 0], [np.nan, np.nan, 1])


def test_parameters_of_any_floating_type_are_watched():
    params = {"half": jnp.ones(2, jnp.bfloat16), "single": jnp.ones(2), "empty": jnp.zeros((0, 3))}

    def loss(p, _):
        return jnp.sum(p["half"].astype(jnp.float32)) + jnp.sum(p["single"])

    made = jopt.sweep(loss, params, jopt.sgd(jopt.choice(0.1, 3.4e38)), steps=2)
    assert made.record.diverged.tolist() == [[False], [bool(~np.isfinite(np.asarray(made.params["half"][1], float)).all())]]
    assert made.record.diverged[1].all()


def test_a_setting_whose_metric_is_not_finite_is_never_best_but_has_not_diverged():
    made = jopt.sweep(
        square,
        jnp.float32(1.0),
        jopt.sgd(jopt.choice(0.1, 0.4)),
        steps=4,
        evaluate=lambda w: {"error": jnp.where(w < 0.3, jnp.nan, w)},
    )
    assert not made.record.diverged.any()
    assert made.best().setting == {"learning_rate": 0.1}
    assert made.best("loss").setting == {"learning_rate": 0.4}

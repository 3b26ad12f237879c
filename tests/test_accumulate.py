"""``accumulate`` and ``apply_if_finite``: the steps at which an optimizer steps, and what it is told."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.reference import ravel

PARAMS = {"w": jnp.array([[0.5, -1.0], [2.0, 3.0]]), "b": jnp.array([0.1, -0.2])}


def gradients(steps, seed=0):
    rng = np.random.default_rng(seed)
    return [jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), PARAMS) for _ in range(steps)]


def updates_of(opt, grads, params=PARAMS, **extra):
    """The updates along ``grads``; ``extra`` holds one argument for each step."""
    state, found = opt.init(params), []
    update = jax.jit(opt.update)
    for i, g in enumerate(grads):
        updates, state = update(g, state, params, **{k: x[i] for k, x in extra.items()})
        found.append(updates)
    return found, state


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_each_kth_update_is_that_of_the_gathered_gradients_and_the_others_are_zero(every, reduction):
    grads, inner = gradients(7), jopt.adam(0.1, eps=1e-3)
    found, state = updates_of(jopt.accumulate(inner, every, reduction), grads)
    inner_state = inner.init(PARAMS)
    for i, updates in enumerate(found):
        expected = jax.tree.map(jnp.zeros_like, PARAMS)
        if i % every == every - 1:
            window = grads[i - every + 1 : i + 1]
            share = every if reduction == "mean" else 1
            gathered = jax.tree.map(lambda *gs, share=share: sum(gs) / share, *window)
            expected, inner_state = inner.update(gathered, inner_state, PARAMS)
        chex.assert_trees_all_close(updates, expected, rtol=1e-5)
    assert int(state.gradient_step) == 7 // every
    assert int(state.mini_step) == 7 % every


def test_there_is_one_buffer_of_at_least_float32():
    params = {"w": jnp.ones((8, 8), jnp.bfloat16)}
    state = jopt.accumulate(jopt.sgd(0.1), 4).init(params)
    assert [x.dtype for x in jax.tree.leaves(state) if x.size > 1] == [jnp.dtype("float32")]


def test_narrow_gradients_are_gathered_wide_and_the_update_is_rounded_once():
    params = {"w": jnp.zeros((), jnp.bfloat16)}
    grads = [{"w": jnp.asarray(g, jnp.bfloat16)} for g in (256.0, 1.0, 1.0, 1.0)]  # 256 + 1 is 256 in bfloat16
    found, _ = updates_of(jopt.accumulate(jopt.sgd(1.0), 4, "sum"), grads, params)
    assert found[-1]["w"].dtype == jnp.bfloat16
    assert float(found[-1]["w"]) == float(-jnp.asarray(259.0, jnp.bfloat16))
    inner = jopt.accumulate(optax.adam(0.1), 2)
    found, state = updates_of(inner, grads, params)
    assert found[-1]["w"].dtype == jnp.bfloat16
    assert jax.tree.map(jnp.result_type, state) == jax.tree.map(jnp.result_type, inner.init(params))


@pytest.mark.parametrize("chain", [jopt.chain, optax.chain], ids=["jopt", "optax"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_extra_arguments_reach_the_optimizer_inside_a_chain_and_value_as_its_mean(chain, reduction):
    def update(updates, state, params=None, *, value, secret, **extra_args):
        return jax.tree.map(lambda g: jnp.full_like(g, value + secret), updates), state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    opt = chain(jopt.identity(), jopt.accumulate(inner, 2, reduction))
    found, _ = updates_of(opt, gradients(4), value=[1.0, 4.0, 10.0, 2.0], secret=[100.0, 200.0, 300.0, 400.0])
    assert [float(u["b"][0]) for u in found] == [0.0, 202.5, 0.0, 406.0]


def test_a_plateau_inside_sees_the_mean_loss_of_each_window():
    plateau = jopt.chain(jopt.sgd(1.0), jopt.reduce_on_plateau(factor=0.5, patience=0))
    ones = [jax.tree.map(jnp.ones_like, PARAMS)] * 6
    found, state = updates_of(jopt.accumulate(plateau, 2), ones, value=[4.0, 2.0, 2.0, 1.0, 0.0, 3.0])  # means 3, 1.5, 1.5
    assert [float(u["b"][0]) for u in found] == [0.0, -1.0, 0.0, -1.0, 0.0, -0.5]
    assert float(optax.tree.get(state, "best_value")) == 1.5


def test_an_evaluation_in_the_middle_of_a_window_is_not_lost():
    plateau = jopt.chain(jopt.sgd(1.0), jopt.reduce_on_plateau(factor=0.5, patience=0, monitor="val"))
    ones = [jax.tree.map(jnp.ones_like, PARAMS)] * 8
    evaluated = [True, False, True, False, False, False, False, True]
    metrics = [{"val": jnp.float32(x)} for x in (3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0)]
    found, _ = updates_of(jopt.accumulate(plateau, 2), ones, evaluated=evaluated, metrics=metrics)
    # Observations: 3.0 in the first window, 3.0 in the second, none in the third, 4.0 in the last.
    assert [float(u["b"][0]) for u in found[1::2]] == [-1.0, -0.5, -0.5, -0.25]


def test_a_gradient_that_is_not_finite_harms_one_window():
    grads = gradients(4)
    grads[0] = jax.tree.map(lambda g: g * jnp.nan, grads[0])
    found, state = updates_of(jopt.accumulate(jopt.sgd(0.1), 2), grads)
    assert np.all(ravel(found[0]) == 0.0)
    assert np.all(np.isnan(ravel(found[1])))
    chex.assert_tree_all_finite((found[2:], state))
    alone = jopt.accumulate(jopt.apply_if_finite(jopt.adam(0.1), 3), 2)
    chex.assert_tree_all_finite(updates_of(alone, grads))


def test_zeros_between_updates_do_not_come_of_products_with_nan():
    grads = gradients(2)
    opt = jopt.accumulate(jopt.chain(jopt.scale(0.0), optax.scale(jnp.inf)), 2)  # NaN whatever the gradient
    found, _ = updates_of(opt, grads)
    assert np.all(ravel(found[0]) == 0.0)


def test_a_schedule_of_the_number_of_steps_is_asked_with_the_updates_so_far():
    shrinking = jopt.piecewise_constant_schedule(4.0, {1: 0.25})  # 4, then 1
    found, state = updates_of(jopt.accumulate(jopt.sgd(1.0), shrinking), gradients(7))
    assert [bool(np.any(ravel(u))) for u in found] == [False, False, False, True, True, True, True]
    assert int(state.gradient_step) == 4
    _, state = updates_of(jopt.accumulate(jopt.sgd(1.0), 4), gradients(3))
    assert np.any(ravel(jopt.accumulate(jopt.sgd(1.0), 2).update(PARAMS, state, PARAMS)[0]))  # a smaller k, later on
    opt = jopt.accumulate(jopt.sgd(1.0), shrinking)
    assert opt.hyperparams["every"]["init_value"] == 4.0


def test_the_number_of_steps_can_be_swept():
    def loss(params, batch):
        return jnp.mean((params["b"] - batch) ** 2)

    data, params = jnp.arange(8.0).reshape(4, 2), {"b": jnp.zeros(2)}
    opt = jopt.accumulate(jopt.sgd(jopt.choice(0.1, 0.2)), jopt.choice(1, 2, 4))
    words = {"steps": 8, "batch_size": 1, "progress": False, "seed": 3}
    result = jopt.sweep(loss, params, opt, data, **words)
    losses = result.record.losses["loss"]
    assert losses.shape[:2] == (2, 3) or losses.shape[:2] == (3, 2)
    names = result.dataset["loss"].dims[:2]
    for setting in ({"learning_rate": 0.2, "every": 4.0}, {"learning_rate": 0.1, "every": 2.0}):
        found = result.dataset["loss"].sel(setting).values[0]
        alone = jopt.accumulate(jopt.sgd(setting["learning_rate"]), setting["every"])
        expected = jopt.sweep(loss, params, alone, data, **words).record.losses["loss"][0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert set(names) == {"learning_rate", "every"}


def test_accumulated_batches_train_as_one_large_batch():
    def loss(params, batch):
        x, y = batch
        return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)

    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(24, 2)), jnp.float32) for _ in range(2))
    whole = (x.reshape(4, 6, 2), y.reshape(4, 6, 2))
    parts = (x.reshape(12, 2, 2), y.reshape(12, 2, 2))
    expected, _, _ = jopt.train(loss, PARAMS, jopt.adam(0.1), whole)
    found, _, _ = jopt.train(loss, PARAMS, jopt.accumulate(jopt.adam(0.1), 3), parts)
    chex.assert_trees_all_close(found, expected, rtol=1e-4)


@pytest.mark.parametrize("reduction", ["Mean", None, "max"])
def test_another_reduction_is_an_error(reduction):
    with pytest.raises(ValueError, match="accumulate: reduction must be 'mean' or 'sum', but got"):
        jopt.accumulate(jopt.sgd(0.1), 2, reduction)


def test_ranges_are_checked_where_the_wrapper_is_made():
    with pytest.raises(ValueError, match=r"accumulate: every must lie in \[1, inf\), but got the value 0"):
        jopt.accumulate(jopt.sgd(0.1), 0)
    with pytest.raises(ValueError, match=r"apply_if_finite: max_consecutive_errors must lie in \[0, inf\)"):
        jopt.apply_if_finite(jopt.sgd(0.1), -1)
    opt = jopt.accumulate(jopt.sgd(0.1), jnp.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="every must be a number"):
        opt.update(PARAMS, opt.init(PARAMS), PARAMS)


# apply_if_finite


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("most", [0, 1, 2])
def test_steps_are_left_out_until_more_than_so_many_in_a_row_are_bad(most, bad):
    grads = gradients(8)
    broken = [1, 3, 4, 6]
    for i in broken:
        grads[i] = {**grads[i], "b": grads[i]["b"].at[0].set(bad)}
    found, state = updates_of(jopt.apply_if_finite(jopt.sgd(0.1, 0.9), most), grads)
    expected, theirs = updates_of(optax.apply_if_finite(optax.sgd(0.1, 0.9), most), grads)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)
    chex.assert_trees_all_close(state[:3], theirs[:3])
    assert np.all(ravel(found[1]) == 0.0) == (most > 0)


def test_the_derivative_through_a_step_that_is_left_out_is_finite():
    grads = gradients(3)
    grads[1] = jax.tree.map(lambda g: g * jnp.nan, grads[1])

    def total(opt):
        state, sums = opt.init(PARAMS), 0.0
        for g in grads:
            updates, state = opt.update(g, state, PARAMS)
            sums = sums + sum(jnp.sum(u) for u in jax.tree.leaves(updates))
        return sums

    for opt in (jopt.apply_if_finite(jopt.sgd(0.1, 0.5), 2), jopt.apply_if_finite(jopt.adam(0.1), 2)):
        chex.assert_tree_all_finite(jax.grad(total)(opt))
        assert jax.grad(total)(opt).hyperparams["inner"]["learning_rate"] != 0.0


def test_a_state_with_random_keys_and_one_of_optaxs_goes_on():
    opt = jopt.apply_if_finite(optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.sgd(0.1)), 2)
    bad = jax.tree.map(lambda p: p * jnp.nan, PARAMS)
    found, state = updates_of(opt, [bad, PARAMS])
    assert np.all(ravel(found[0]) == 0.0)
    assert np.all(np.isfinite(ravel(found[1])))
    theirs = optax.apply_if_finite(optax.sgd(0.1, 0.9), 2).init(PARAMS)
    _, state = jopt.apply_if_finite(jopt.sgd(0.1, 0.9), 2).update(PARAMS, theirs, PARAMS)
    assert state.last_finite.dtype == theirs.last_finite.dtype


def test_lanes_are_guarded_one_by_one():
    """A lane whose gradients overflow skips its steps; the others train on."""

    def loss(params, batch):
        return jnp.sum((params["b"] - 1.0) ** 2) * jnp.where(batch[0] > 0, jnp.inf, 1.0)

    params, data = {"b": jnp.zeros(2)}, jnp.array([[0.0], [1.0], [0.0]])
    guarded = jopt.apply_if_finite(jopt.sgd(jopt.choice(0.1, 0.2)), jopt.choice(0, 5))
    stacked, axes = jopt.lanes(guarded)
    ends = jax.vmap(lambda opt: jopt.train(loss, params, opt, data)[0]["b"], in_axes=(axes,))(stacked)
    finite = np.isfinite(ends).all(axis=1)
    assert finite.tolist() == [False, True, False, True]
    np.testing.assert_allclose(ends[1], 1.0 - (1.0 - 2 * 0.1) ** 2, rtol=1e-5)


@pytest.mark.parametrize(
    "wrap", [lambda opt: jopt.apply_if_finite(opt, 2), lambda opt: jopt.accumulate(opt, 1)], ids=["finite", "each"]
)
def test_a_state_of_python_numbers_goes_on(wrap):
    def update(updates, state, params=None, **extra_args):
        return updates, {"step": state["step"] + 1, "rate": 0.5 * state["rate"]}

    opt = wrap(optax.GradientTransformationExtraArgs(lambda params: {"step": 0, "rate": 1.0}, update))
    state = opt.init(PARAMS)
    for _ in range(2):
        _, state = opt.update(PARAMS, state, PARAMS)
    assert int(state.inner_state["step"]) == 2
    assert float(state.inner_state["rate"]) == 0.25

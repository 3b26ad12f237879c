"""Narrow parameters and states: small updates arrive, what is added is what the state knows of, and what it costs in memory."""

import functools

import chex
import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState
from scipy import stats

import jopt
from jopt.values import rounding
from tests.precision_reference import kahan_path, master_path, random_path, rounded_by, spacing

WRAPPERS = {"kahan": jopt.kahan, "master_weights": jopt.master_weights, "stochastic_rounding": jopt.stochastic_rounding}
NARROW = [jnp.bfloat16, jnp.float16]
each_wrapper = pytest.mark.parametrize("name", WRAPPERS)
each_type = pytest.mark.parametrize("dtype", NARROW, ids=["bfloat16", "float16"])


@functools.partial(jax.jit, static_argnames="add")
def path(opt, params, grads, add=jopt.apply_updates):
    """The parameters after each update along ``grads``, and the last state."""

    def step(carry, g):
        params, state = carry
        updates, state = opt.update(g, state, params)
        params = add(params, updates)
        return (params, state), params

    (_, state), found = jax.lax.scan(step, (params, opt.init(params)), grads)
    return found, state


def steady(rate, start, steps, dtype, wrap=lambda opt: opt, elements=1):
    """The weights after each of many updates of ``-rate``, as float64."""
    w = jnp.full(elements, start, dtype)
    return np.asarray(path(wrap(jopt.sgd(rate)), w, jnp.full((steps, elements), -1.0, dtype))[0], np.float64)


# Small updates arrive


@each_type
@each_wrapper
def test_1000_updates_of_a_thousandth_move_a_weight_of_1_as_in_float32(name, dtype):
    wanted = steady(1e-3, 1.0, 1000, jnp.float32)[-1, 0]
    assert wanted == pytest.approx(2.0, rel=1e-4)
    found = steady(1e-3, 1.0, 1000, dtype, WRAPPERS[name], elements=2000)[-1]
    assert found.mean() == pytest.approx(wanted, rel=0.01)
    if name != "stochastic_rounding":
        np.testing.assert_allclose(found, wanted, rtol=0.01)


def test_without_them_a_bfloat16_weight_stays_where_it_is():
    assert np.all(steady(1e-3, 1.0, 1000, jnp.bfloat16) == 1.0)


@pytest.mark.parametrize("rate", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("start", [0.0, 1.0, 100.0])
@each_type
@pytest.mark.parametrize("name", ["kahan", "master_weights"])
def test_a_sum_of_10000_small_updates_is_that_of_float32_to_one_spacing(name, dtype, start, rate):
    found = steady(rate, start, 10_000, dtype, WRAPPERS[name])
    wanted = steady(rate, start, 10_000, jnp.float32)
    # What is left of a weight below 2**-14 in float16 has few digits itself.
    bound = 0.501 if name == "master_weights" else 0.6 if dtype == jnp.bfloat16 else 1.1
    assert np.max(np.abs(found - wanted) / spacing(wanted, dtype)) < bound


# Against the loops


RATE = 2.0**-7  # a product with it is exact, so it is the same whether or not XLA joins it with the sum behind it


def sgd_step(g, p):
    return np.float32(-RATE) * g


def runs(dtype, seed=0, elements=200, steps=60):
    """Parameters of many sizes, some of them 0, and gradients that move some of them by more than themselves."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-4, 2, elements) * (rng.random(elements) < 0.95)
    p = (rng.normal(size=elements) * sizes).astype(np.dtype(dtype))
    return p, (rng.normal(size=(steps, elements)) * 10.0 ** rng.uniform(-3, 1, elements)).astype(np.dtype(dtype))


@each_type
def test_kahan_goes_through_the_weights_of_its_loop_bit_for_bit(dtype):
    p, grads = runs(dtype)
    found, state = path(jopt.kahan(jopt.sgd(RATE)), p, grads)
    wanted, compensation = kahan_path(sgd_step, p, grads)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(state.compensation, compensation)
    assert int(state.count) == len(grads)


@each_type
def test_master_weights_go_through_those_of_their_loop_and_of_a_float32_run_bit_for_bit(dtype):
    p, grads = runs(dtype)
    found, state = path(jopt.master_weights(jopt.sgd(RATE)), p, grads)
    wanted, copy = master_path(sgd_step, p, grads)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(state.master, copy)
    alone, _ = path(jopt.sgd(RATE), p.astype(np.float32), grads.astype(np.float32))
    np.testing.assert_array_equal(state.master, alone[-1])


@each_type
def test_stochastic_rounding_goes_through_the_weights_of_its_loop_bit_for_bit(dtype):
    p, grads = runs(dtype)
    keys = [rounding.draws(5, 0, count) for count in range(len(grads))]
    draws = np.stack([rounding.draw(key, 0, p) for key in keys])
    found, state = path(jopt.stochastic_rounding(jopt.sgd(RATE), 5), p, grads)
    np.testing.assert_array_equal(found, random_path(sgd_step, p, grads, draws))
    assert int(state.count) == len(grads)


nearest = jax.jit(rounding.nearest, static_argnums=1)


@each_type
@hypothesis.given(st.lists(st.floats(-7e4, 7e4, width=32), min_size=8, max_size=8), st.integers(-40, 0))
@hypothesis.settings(max_examples=60)
def test_nearest_rounds_as_a_cast_does_and_no_compiler_leaves_it_out(dtype, numbers, exponent):
    x = np.asarray(numbers, np.float32) * np.float32(2.0**exponent)
    found = nearest(x, dtype)
    np.testing.assert_array_equal(found, x.astype(np.dtype(dtype)).astype(np.float32))


# Stochastic rounding


def shares(values, low, high):
    """How many of the values are each of the two; they must be nothing else."""
    assert set(np.unique(values)) <= {low, high}
    return np.array([np.sum(values == low), np.sum(values == high)])


@pytest.mark.parametrize(
    ("start", "change", "unit"),
    [
        (1.0, 0.3 * 2**-7, 2**-7),
        (1.0, -0.9 * 2**-8, 2**-8),
        (1.0, 1e-5, 2**-7),
        (-2.0, 0.01, 2**-7),
        (0.0, 0.3, 2**-9),
        (2**-12, 2**-6 + 1e-5, 2**-13),  # from far below: the spacing where it ends
        (0.75, -1.0005, 2**-7),  # across 0: the spacing of the update
    ],
)
def test_stochastic_rounding_is_unbiased(start, change, unit):
    count = 40_000
    p, opt = jnp.full(count, start, jnp.bfloat16), jopt.stochastic_rounding(jopt.sgd(1.0), 1)
    u, _ = opt.update(jnp.full(count, -change, jnp.float32), opt.init(p), p)
    found = np.asarray(jopt.apply_updates(p, u.astype(jnp.bfloat16)), np.float64)
    units = (start + float(np.float32(change))) / unit
    low, up = np.floor(units), units - np.floor(units)
    counts = shares(found, unit * low, unit * (low + 1))
    assert stats.chisquare(counts, np.array([1 - up, up]) * count).pvalue > 1e-3


def test_draws_are_even_independent_of_each_other_and_repeat():
    draws = [np.asarray(rounding.draw(rounding.draws(s, k, c), i, jnp.zeros(20_000))) for s, k, c, i in np.ndindex(2, 2, 2, 2)]
    again = np.asarray(rounding.draw(rounding.draws(1, 1, 1), 1, jnp.zeros(20_000)))
    np.testing.assert_array_equal(draws[-1], again)
    for x in draws:
        assert stats.chisquare(np.histogram(x, 50, (0, 1))[0]).pvalue > 1e-4
    assert np.max(np.abs(np.corrcoef(draws) - np.eye(len(draws)))) < 5 / np.sqrt(20_000)


def test_draws_are_of_seed_0_unless_another_is_given():
    for wrap in (jopt.stochastic_rounding, jopt.bfloat16_states):
        assert wrap(jopt.sgd(0.1)) == wrap(jopt.sgd(0.1), 0) != wrap(jopt.sgd(0.1), 1)


def test_a_number_that_the_type_holds_is_not_moved():
    p, _ = runs(jnp.bfloat16)
    opt = jopt.stochastic_rounding(jopt.sgd(1.0))
    np.testing.assert_array_equal(path(opt, p, np.zeros((50, *p.shape), p.dtype))[0][-1], p)
    moved = path(opt, np.ones(500, p.dtype), np.full((1, 500), -0.5, p.dtype))[0][-1]
    np.testing.assert_array_equal(moved, np.full(500, 1.5, p.dtype))


def quarter(w, _):
    return 0.25 * jnp.sum(w.astype(jnp.float32))


def test_lanes_share_their_draws_and_an_axis_of_seeds_has_others():
    w = jnp.ones(300, jnp.bfloat16)
    opt = jopt.stochastic_rounding(jopt.sgd(jopt.choice(4e-3, 4e-3 * (1 + 1e-7))), jopt.choice(0, 1))
    result = jopt.sweep(quarter, w, opt, steps=5, progress=False)
    found = np.asarray(result.params, np.float64)[:, :, 0]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.mean(found[0, 0] == found[0, 1]) < 0.9
    for k, seed in enumerate((0, 1)):
        alone = jopt.train(quarter, w, jopt.stochastic_rounding(jopt.sgd(4e-3), seed), jnp.arange(5))[0]
        np.testing.assert_array_equal(found[0, k], np.asarray(alone, np.float64))


# Whoever adds the update


def model(dtype):
    rng = np.random.default_rng(4)
    shapes = {"w": (4, 3), "b": (3,), "wide": (2,)}
    kinds = {"w": dtype, "b": dtype, "wide": jnp.float32}
    return [{name: jnp.asarray(rng.normal(size=s), kinds[name]) for name, s in shapes.items()} for _ in range(2)]


@each_wrapper
def test_what_others_add_is_what_jopt_adds(name):
    (params, grads), opt = model(jnp.bfloat16), WRAPPERS[name](jopt.sgd(RATE, 0.5))
    many = jax.tree.map(lambda g: jnp.stack([g] * 4), grads)
    expected, state = path(opt, params, many)
    for add in (optax.apply_updates, eqx.apply_updates):
        chex.assert_trees_all_equal(path(opt, params, many, add), (expected, state))
    train = TrainState.create(apply_fn=None, params=params, tx=opt)
    loop, loop_state = params, opt.init(params)
    for i in range(4):
        train = train.apply_gradients(grads=grads)
        updates, loop_state = opt.update(grads, loop_state, loop)  # outside of jit, one operation after the other
        assert jax.tree.map(jnp.result_type, updates) == jax.tree.map(jnp.result_type, params)
        loop = eqx.apply_updates(loop, updates)
        for w in (train.params, loop):
            chex.assert_trees_all_equal(w, jax.tree.map(lambda x, i=i: x[i], expected))


def mean_square(params, batch):
    x, y = batch
    return jnp.mean((x.astype(params["w"].dtype) @ params["w"] + params["b"] - y.astype(params["w"].dtype)) ** 2)


@each_wrapper
def test_a_sweep_trains_each_lane_as_train_does(name):
    dtype = jnp.bfloat16
    rng = np.random.default_rng(7)
    data = rng.normal(size=(16, 4)).astype(np.float32), rng.normal(size=(16, 3)).astype(np.float32)
    params = {key: model(dtype)[0][key] for key in ("w", "b")}
    opt = WRAPPERS[name](jopt.adam(jopt.choice(1e-3, 1e-2)))
    result = jopt.sweep(mean_square, params, opt, data, steps=12, progress=False, keep="carry")
    batches = jax.tree.map(lambda x: jnp.stack([x] * 12), data)
    for trial in result.top(2):
        w, state, _ = jopt.train(mean_square, params, trial.optimizer, batches)
        assert jax.tree.map(jnp.result_type, trial.params) == jax.tree.map(jnp.result_type, w)
        assert jax.tree.map(jnp.result_type, trial.state) == jax.tree.map(jnp.result_type, state)
        for key in w:
            np.testing.assert_allclose(trial.params[key].astype(float), w[key].astype(float), rtol=0.03, atol=1e-3)


def test_parts_around_them_leave_the_update_as_it_is():
    params, grads = model(jnp.bfloat16)
    many = jax.tree.map(lambda g: jnp.stack([g] * 12), grads)
    for wrap in WRAPPERS.values():
        inside, _ = path(wrap(jopt.chain(jopt.clip(0.5), jopt.sgd(1e-3))), params, many)
        outside, _ = path(jopt.apply_if_finite(jopt.chain(jopt.clip(0.5), wrap(jopt.sgd(1e-3))), 2), params, many)
        chex.assert_trees_all_equal(outside, inside)
    gathered, _ = path(jopt.accumulate(jopt.kahan(jopt.sgd(1e-3)), 3), params, many)
    every_third, _ = path(jopt.kahan(jopt.sgd(1e-3)), params, jax.tree.map(lambda g: g[:4], many))
    chex.assert_trees_all_close(gathered["w"][2::3], every_third["w"], rtol=1e-2)


def test_kahan_keeps_a_change_from_outside_and_master_weights_go_back_to_their_copy():
    g = jnp.zeros(1, jnp.bfloat16)
    for wrap, after in ((jopt.kahan, 3.0), (jopt.master_weights, 1.0)):
        opt = wrap(jopt.sgd(0.1))
        updates, _ = opt.update(g, opt.init(jnp.ones(1, jnp.bfloat16)), jnp.full(1, 3.0, jnp.bfloat16))
        assert float(jopt.apply_updates(jnp.full(1, 3.0, jnp.bfloat16), updates)[0]) == after


# What is inside


def test_the_optimizer_inside_sees_float32_and_the_exact_weights():
    seen = []

    def update(updates, state, params=None, **extra_args):
        seen.append((updates, params, extra_args))
        return updates, state

    w = jnp.full(2, 1.0, jnp.bfloat16)
    for wrap in WRAPPERS.values():
        opt = wrap(jopt.chain(optax.GradientTransformationExtraArgs(lambda p: p, update), optax.scale(-1e-3)))
        state = opt.init(w)
        assert state.inner_state[0].dtype == jnp.float32
        _, state = opt.update(-w, state, w, value=2.0)
        opt.update(-w, state, w)
    assert all(u.dtype == p.dtype == jnp.float32 for u, p, _ in seen)
    assert seen[0][2] == {"value": 2.0}
    for i, exact in ((1, 1.001), (3, 1.001), (5, 1.0)):
        np.testing.assert_allclose(seen[i][1], exact, rtol=2e-6 if i == 3 else 1e-5)


@each_wrapper
@pytest.mark.parametrize("inner", [optax.adamw(1e-2), jopt.adamw(1e-2)], ids=["optax", "jopt"])
def test_wide_leaves_are_updated_as_alone_without_a_byte_of_state(name, inner):
    params, grads = model(jnp.float32)
    opt = WRAPPERS[name](inner)
    updates, state = opt.update(grads, opt.init(params), params)
    chex.assert_trees_all_equal(updates, inner.update(grads, inner.init(params), params)[0])
    assert sum(x.nbytes for x in jax.tree.leaves(state)) <= sum(x.nbytes for x in jax.tree.leaves(state.inner_state)) + 4


@each_wrapper
def test_a_leaf_without_gradient_stays_with_what_the_state_has_for_it(name):
    opt, w = WRAPPERS[name](jopt.sgd(0.1)), jnp.ones(2, jnp.bfloat16)
    state = opt.init({"a": w, "b": w})
    updates, after = opt.update({"a": None, "b": w}, state, {"a": w, "b": w})
    assert updates["a"] is None
    for kept in ("compensation", "master"):
        if hasattr(state, kept):
            np.testing.assert_array_equal(getattr(after, kept)["a"], getattr(state, kept)["a"])


@each_wrapper
def test_errors_name_the_wrapper_and_what_is_missing(name):
    opt, w = WRAPPERS[name](optax.sgd(0.1)), {"w": jnp.ones(2, jnp.bfloat16)}
    with pytest.raises(ValueError, match=f"{name} needs the parameters"):
        opt.update(w, opt.init(w))
    with pytest.raises(TypeError, match=f"{name}: the leaf at .'i'. has type int32"):
        opt.init({"i": jnp.ones(2, jnp.int32)})
    with pytest.raises(ValueError, match=r"updates and params must be trees of the same structure"):
        opt.update(w, opt.init(w), {"v": w["w"]})
    with pytest.raises(ValueError, match="seed must lie in"):
        jopt.stochastic_rounding(jopt.sgd(0.1), -1)


@each_wrapper
def test_a_derivative_goes_through_the_rounding_as_if_there_were_none(name):
    p, grads = (x.astype(jnp.bfloat16) for x in (jnp.linspace(-1.0, 2.0, 7), jnp.ones((3, 7))))

    def after(rate, wrap, dtype):
        found = path(wrap(jopt.sgd(rate)), p.astype(dtype), grads.astype(dtype))[0][-1]
        return jnp.sum(found.astype(jnp.float32))

    slope = jax.grad(after)(1e-3, WRAPPERS[name], jnp.bfloat16)
    assert float(slope) == pytest.approx(float(jax.grad(after)(1e-3, lambda opt: opt, jnp.float32)), rel=1e-2)


# States


def test_a_second_moment_in_bfloat16_falls_in_the_mean_as_in_float32():
    gradients = jnp.asarray(np.r_[np.ones(500), np.full(3000, 0.01)], jnp.float32)

    def moment(opt):
        def step(state, g):
            return opt.update(jnp.full(400, g), state)[1], None

        state = jax.jit(lambda: jax.lax.scan(step, opt.init(jnp.zeros(400)), gradients)[0])()
        return np.asarray(jax.tree.leaves(state)[-1].astype(jnp.float32)).mean()

    wide = moment(jopt.adam(1e-3))
    assert moment(jopt.bfloat16_states(jopt.adam(1e-3))) == pytest.approx(wide, rel=0.02)
    # Optax's own returns a bfloat16 mean, which is left as it is.
    assert moment(jopt.bfloat16_states(optax.adam(1e-3, mu_dtype=jnp.bfloat16))) == pytest.approx(wide, rel=0.02)


@pytest.mark.parametrize("row", jopt.catalogue(), ids=lambda row: row.name)
def test_every_optimizer_keeps_its_state_in_half_the_memory_on_request(row):
    params, opt = jax.ShapeDtypeStruct((32, 32), jnp.float32), getattr(jopt, row.name)(0.1)
    state, half = (jax.eval_shape(o.init, params) for o in (opt, jopt.bfloat16_states(opt)))
    arrays = [x for x in jax.tree.leaves(state) if x.ndim]
    assert sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(half.inner_state) if x.ndim) == sum(
        2 * x.size for x in arrays
    )
    updates, after = jax.eval_shape(jopt.bfloat16_states(opt).update, params, half, params)
    assert (updates.dtype, after) == (jnp.float32, half)


def test_states_are_rounded_at_random_each_array_by_draws_of_its_own():
    opt = jopt.bfloat16_states(jopt.chain(jopt.ema(0.5, debias=False), jopt.ema(0.0)), 2)
    g = jnp.full(20_000, 1 + 0.3 * 2**-7, jnp.float32)
    _, state = opt.update(2 * g, opt.init(g))
    first = np.asarray(state.inner_state[0].ema, np.float64)
    second = np.asarray(state.inner_state[1].ema, np.float64)
    for found in (first, second):
        assert stats.chisquare(shares(found, 1.0, 1 + 2**-7), np.array([0.7, 0.3]) * 20_000).pvalue > 1e-3
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert int(opt.update(g, state)[1].count) == 2
    _, other = jopt.bfloat16_states(jopt.chain(jopt.ema(0.5, debias=False), jopt.ema(0.0)), 3).update(2 * g, opt.init(g))
    assert abs(np.corrcoef(first, np.asarray(other.inner_state[0].ema, np.float64))[0, 1]) < 0.03


def test_states_are_rounded_by_the_draws_of_their_seed_update_and_place():
    rng = np.random.default_rng(3)
    g, opt = rng.normal(size=(3, 50)).astype(np.float32), jopt.bfloat16_states(jopt.trace(0.5), 5)
    state, m = opt.init(g[0]), np.zeros(50, ml_dtypes.bfloat16)
    for count in range(3):
        _, state = opt.update(jnp.asarray(g[count]), state)
        exact = np.float32(0.5) * m.astype(np.float32) + g[count]  # the product is exact
        m = rounded_by(np.float64(exact), rounding.draw(rounding.draws(5, 1, count), 0, exact), "bfloat16").astype(m.dtype)
        np.testing.assert_array_equal(state.inner_state.trace, m)


def test_scalars_whole_numbers_and_other_types_stay_as_they_are():
    def init(params):
        return {"scalar": jnp.float32(0.1), "half": jnp.ones(2, jnp.float16), "whole": jnp.ones(2, jnp.int32), "wide": params}

    rule = optax.GradientTransformation(init, lambda updates, state, params=None: (updates, state))
    opt = jopt.bfloat16_states(rule)
    _, state = opt.update(jnp.ones(3), opt.init(jnp.full(3, 0.1)))
    kinds = {name: str(x.dtype) for name, x in state.inner_state.items()}
    assert kinds == {"scalar": "float32", "half": "float16", "whole": "int32", "wide": "bfloat16"}
    assert float(state.inner_state["scalar"]) == np.float32(0.1)
    np.testing.assert_array_equal(state.inner_state["wide"], np.full(3, 0.1, ml_dtypes.bfloat16))


# Memory

COUNT = 2**16
BYTES = [  # per parameter: what the compiled step is handed beside the gradient, with the parameter's own
    (jnp.float32, lambda opt: opt, 12),
    (jnp.bfloat16, lambda opt: opt, 10),
    (jnp.bfloat16, jopt.kahan, 12),
    (jnp.bfloat16, jopt.master_weights, 14),
    (jnp.bfloat16, jopt.stochastic_rounding, 10),
    (jnp.bfloat16, lambda opt: jopt.kahan(jopt.bfloat16_states(opt)), 8),
    (jnp.bfloat16, lambda opt: jopt.master_weights(jopt.bfloat16_states(opt)), 10),
    (jnp.bfloat16, lambda opt: jopt.stochastic_rounding(jopt.bfloat16_states(opt)), 6),
]


@pytest.mark.parametrize(("dtype", "wrap", "expected"), BYTES, ids=[f"{i}_{row[2]}_bytes" for i, row in enumerate(BYTES)])
def test_the_compiled_step_is_handed_as_many_bytes_as_the_docstrings_say(dtype, wrap, expected):
    opt = wrap(jopt.adam(1e-3))

    def step(params, state, grads):
        updates, state = opt.update(grads, state, params)
        return jopt.apply_updates(params, updates), state

    w = jax.ShapeDtypeStruct((COUNT,), dtype)
    used = jax.jit(step, donate_argnums=(0, 1)).lower(w, jax.eval_shape(opt.init, w), w).compile().memory_analysis()
    of_the_gradient = COUNT * w.dtype.itemsize
    assert used.argument_size_in_bytes - of_the_gradient == pytest.approx(expected * COUNT, abs=256)
    assert used.alias_size_in_bytes == pytest.approx(expected * COUNT, abs=256)  # each is written in its place


@pytest.mark.parametrize("make", [jopt.kahan, jopt.master_weights])
def test_a_state_that_was_made_for_parameters_of_another_type_is_named(make):
    opt, wide, narrow = make(jopt.adam(0.1)), {"w": jnp.ones(4)}, {"w": jnp.ones(4, jnp.bfloat16)}
    for before, now, kind in ((wide, narrow, "bfloat16"), (narrow, wide, "float32")):
        with pytest.raises(
            ValueError, match=rf"was made for a parameter of another type.* {kind}\[4\] at \['w'\]; make it anew"
        ):
            opt.update(now, opt.init(before), now)


def test_draws_of_the_branches_of_a_partition_are_independent():
    params = dict.fromkeys("ab", jnp.ones(1000, jnp.bfloat16))
    opt = jopt.partition({name: jopt.stochastic_rounding(jopt.sgd(1e-3)) for name in params})
    updates, _ = opt.update(params, opt.init(params), params)
    same = float(jnp.mean(updates["a"] == updates["b"]))
    assert 0.5 < same < 0.75  # a quarter moves: 0.25² + 0.75² = 0.625 by chance


@pytest.mark.parametrize(
    "make", [jopt.stochastic_rounding, jopt.bfloat16_states, lambda opt, seed: jopt.psgd_kron(0.1, seed=seed)]
)
def test_a_seed_is_a_whole_number(make):
    with pytest.raises(ValueError, match=r"seed must be a whole number, but got the value 1\.5"):
        make(jopt.sgd(0.1), seed=1.5)
    make(jopt.sgd(0.1), seed=jopt.choice(1, 2))

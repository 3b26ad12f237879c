"""Every rule against a float64 NumPy loop, Optax and theory."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.agreement import SEEN, STEPS, both, error, rounding, run_still, tolerance
from tests.cases import (
    CASES,
    OPTIMIZERS,
    SHAPES,
    extras,
    name_of,
    one_of_each,
    run,
    run_optax,
    stacked,
    tree_like,
)
from tests.reference import ravel


def rounded(x):
    """The float32 number nearest to x: the one that a float32 run computes with."""
    return float(np.float32(x))


each_rule = pytest.mark.parametrize("case", one_of_each(CASES), ids=name_of)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_200_steps_agree_with_the_float64_loop_to_1e_12_in_float64(case, x64):
    assert error(*both(case, SHAPES, 0, np.float64, float)) < tolerance(case)


# The loop takes the float32 roundings of the hyperparameters: 1 - 0.999 is 1.7e-5 larger then, which is not the run's
# error.
@each_rule
def test_200_steps_agree_with_the_float64_loop_to_1e_5_in_float32(case):
    assert error(*both(case, SHAPES, 0, np.float32, rounded)) < 1e-5


# A complex number has no sign and can not be clipped.
SIGNED = ("clip", "named_chain", "rprop", "scale_by_rprop")
COMPLEX = [case for case in CASES if case.factory not in SIGNED]


@pytest.mark.parametrize("case", one_of_each(COMPLEX), ids=name_of)
def test_complex_leaves_agree_with_the_float64_loop(case, x64):
    assert error(*both(case, SHAPES, 0, np.complex128, float, steps=40)) < tolerance(case)


shapes = st.sampled_from([None, (), (3,), (2, 2), (0,), (1, 0, 2)])
branches = st.recursive(
    shapes,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2) | st.tuples(inner, st.just({}))
    ),
    max_leaves=5,
)
trees = st.fixed_dictionaries({"a": branches, "b": branches, "c": branches})


@hypothesis.given(shapes=trees, case=st.sampled_from(CASES), seed=st.integers(0, 1000))
@hypothesis.settings(max_examples=15)
def test_trees_of_any_structure_agree_with_the_float64_loop(shapes, case, seed, x64):
    assert error(*both(case, shapes, seed, np.float64, float)) < tolerance(case)


@hypothesis.given(shapes=trees, case=st.sampled_from(CASES), seed=st.integers(0, 1000))
@hypothesis.settings(max_examples=10)
def test_trees_of_any_structure_agree_with_the_float64_loop_in_float32(shapes, case, seed):
    found, expected = both(case, shapes, seed, np.float32, rounded)
    # Of the whole run's size, not the step's: where the tree is one number, a velocity that turns passes 0.
    limit = 1e-5 * rounding(case)
    assert np.max(np.abs(found - expected), initial=0.0) <= limit * np.max(np.abs(expected), initial=0.0)


IN_OPTAX = [case for case in CASES if case.in_optax]


def optax_error(case, dtype):
    """The largest error of the parameters on the way, relative to the largest change of a parameter.

    Not of each update: Optax takes 1 - 0.999**t by subtraction, which is off by 3e-5 in the first steps in float32.
    """
    params, grads = tree_like(SHAPES, 3, dtype=dtype), tree_like(SHAPES, 4, STEPS, dtype)
    ours, our_state = run(case.make(), params, grads, SEEN)
    theirs, their_state = run_optax(case.make("optax"), params, grads, SEEN)
    assert [type(x).__name__ for x in nodes(our_state)] == [type(x).__name__ for x in nodes(their_state)]
    path, expected = (np.cumsum(stacked(x, STEPS), axis=0) for x in (ours, theirs))
    return np.max(np.abs(path - expected)) / np.max(np.abs(expected))


def nodes(tree):
    """Every node of a state, NamedTuples included, in order."""
    below = list(tree) if isinstance(tree, tuple) else []
    return [tree, *(node for child in below for node in nodes(child))]


@pytest.mark.parametrize("case", IN_OPTAX, ids=name_of)
def test_200_steps_agree_with_optax_to_1e_12_in_float64(case, x64):
    assert optax_error(case, np.float64) < tolerance(case)


# Optax's first step is off by 8e-5 for b2 = 0.9999, and so is the length that RAdam waits for at 0.999.
IN_OPTAX_TO_1E_5 = [case for case in IN_OPTAX if case.name != "adam_slow_b2" and case.factory != "radam"]


@pytest.mark.parametrize("case", one_of_each(IN_OPTAX_TO_1E_5), ids=name_of)
def test_200_steps_agree_with_optax_to_1e_5_in_float32(case):
    assert optax_error(case, np.float32) < 1e-5


SWAPPABLE = [case for case in OPTIMIZERS if case.in_optax]


@pytest.mark.parametrize("case", [c for c in SWAPPABLE if "corrected" not in c.name], ids=name_of)
def test_a_state_of_optax_goes_on_in_jopt_and_back(case):
    params, grads = tree_like(SHAPES, 5), tree_like(SHAPES, 6)
    ours, theirs = case.make(), case.make("optax")
    ours_state, theirs_state = ours.init(params), theirs.init(params)
    for _ in range(2):
        assert jax.tree.structure(ours_state) == jax.tree.structure(theirs_state)
        for own, other in zip(jax.tree.leaves(ours_state), jax.tree.leaves(theirs_state), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)
        _, ours_state = ours.update(grads, ours_state, params)
        _, theirs_state = theirs.update(grads, theirs_state, params)
    _, state = theirs.update(grads, ours_state, params)
    updates, _ = ours.update(grads, state, params)
    assert all(np.all(np.isfinite(u)) for u in jax.tree.leaves(updates))


# The lecture and theory


def final_weight(opt, gradient, steps, start=0.0, dtype=np.float32):
    """The weight after ``steps`` updates with one gradient."""
    grads = np.full(steps, gradient, dtype)
    updates, _ = run(opt, np.asarray(start, dtype), grads, extras(steps))
    return float(start + np.sum(np.asarray(updates, np.float64)))


def test_the_lectures_momentum_ends_at_minus_1_27807_where_sgd_ends_at_minus_0_6832():
    rate = jopt.piecewise_constant_schedule(0.1, {3: 0.1})
    assert final_weight(jopt.momentum(rate, 0.9), 1.0, 6) == pytest.approx(-1.27807, abs=5e-6)
    assert final_weight(jopt.sgd(rate, momentum=0.9), 1.0, 6) == pytest.approx(-0.6832, abs=5e-5)


def descend(opt, start, curvature, steps):
    """The iterates on ½ Σ λ x², and the first one."""

    def step(carry, _):
        x, state = carry
        updates, state = opt.update(curvature * x, state, x)
        return (x + updates, state), x + updates

    xs = jax.jit(lambda: jax.lax.scan(step, (start, opt.init(start)), None, length=steps)[1])()
    return np.asarray(xs)


@hypothesis.given(rate=st.floats(0.01, 0.9), curvature=st.floats(0.1, 2.0))
@hypothesis.settings(max_examples=10)
def test_gradient_descent_on_a_quadratic_is_a_power_of_1_minus_rate_times_curvature(rate, curvature, x64):
    xs = descend(jopt.sgd(rate), jnp.array([1.0, -2.0]), curvature, 30)
    powers = (1 - rate * curvature) ** np.arange(1, 31)
    np.testing.assert_allclose(xs, powers[:, None] * [1.0, -2.0], rtol=1e-12, atol=1e-14)


@hypothesis.given(rate=st.floats(0.01, 0.9), curvature=st.floats(0.1, 2.0), mu=st.floats(0.0, 0.95))
@hypothesis.settings(max_examples=10)
def test_the_heavy_ball_on_a_quadratic_is_a_power_of_its_companion_matrix(rate, curvature, mu, x64):
    companion = np.array([[1 + mu - rate * curvature, -mu], [1.0, 0.0]])
    expected = [(np.linalg.matrix_power(companion, t) @ [1.0, 1.0])[0] for t in range(1, 31)]
    for opt in (jopt.sgd(rate, momentum=mu), jopt.momentum(rate, mu)):
        xs = descend(opt, jnp.array(1.0), curvature, 30)
        np.testing.assert_allclose(xs, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("b1", [0.0, 0.9])
@hypothesis.given(gradient=st.floats(1e-3, 1e6) | st.floats(-1e6, -1e-3))
def test_adams_first_step_is_the_rate_times_the_sign_of_the_gradient(gradient, b1):
    opt, g = jopt.adam(0.01, b1=b1, b2=0.9999, eps=0.0), jnp.float32(gradient)
    u, _ = run(opt, jnp.zeros([]), g[None], extras(1))
    assert float(u[0]) == pytest.approx(-0.01 * np.sign(gradient), rel=1e-6)


def test_adams_first_step_is_exact_for_a_float32_leaf_under_x64_too(x64):
    opt, g = jopt.adam(1.0, b2=0.9999, eps=0.0), jnp.float32(3.0)
    assert float(opt.update(g, opt.init(g))[0]) == pytest.approx(-1.0, rel=1e-6)


@pytest.mark.parametrize("opt", [jopt.adam(0.01, eps=0.0), jopt.rmsprop(0.01, eps=0.0)], ids=["adam", "rmsprop"])
@pytest.mark.parametrize("factor", [2.0**-30, 2.0**20])
def test_the_adaptive_rules_do_not_see_the_scale_of_the_gradients(opt, factor, x64):
    params, grads = tree_like(SHAPES, 7, dtype=np.float64), tree_like(SHAPES, 8, 50, np.float64)
    scaled = jax.tree.map(lambda g: factor * g, grads)
    seen = extras(50)
    plain, other = (stacked(run(opt, params, g, seen)[0], 50) for g in (grads, scaled))
    np.testing.assert_allclose(other, plain, rtol=1e-12)


@hypothesis.given(rho=st.floats(0.0, 0.999), gradient=st.floats(0.01, 100.0))
@hypothesis.settings(max_examples=10)
def test_rmsprops_mean_square_of_a_steady_gradient_is_g2_times_1_minus_rho_to_the_t(rho, gradient, x64):
    grads = np.full(50, gradient)
    _, state = run(jopt.rmsprop(0.1, decay=rho), np.float64(0.0), grads, extras(50))
    expected = gradient**2 * -np.expm1(50 * np.log(rho)) if rho else gradient**2
    np.testing.assert_allclose(state[0].nu, expected, rtol=1e-12)


def test_bias_corrected_rmsprop_is_adam_without_a_mean(x64):
    params, grads = tree_like(SHAPES, 9, dtype=np.float64), tree_like(SHAPES, 10, 50, np.float64)
    rms = jopt.rmsprop(0.01, decay=0.95, eps_in_sqrt=False, bias_correction=True)
    adam = jopt.adam(0.01, b1=0.0, b2=0.95)
    one, other = (stacked(run(o, params, grads, extras(50))[0], 50) for o in (rms, adam))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_norm_of_clipped_updates_is_the_bound_where_it_was_larger():
    g = {"a": jnp.array([3e4, 4e4], jnp.float16), "b": jnp.zeros((0,))}
    clipped, _ = jopt.clip_by_global_norm(5.0).update(g, optax.EmptyState())
    np.testing.assert_allclose(ravel(clipped), [3.0, 4.0], rtol=1e-2)


# Rules 1 to 6 of the contract, over the whole table


def few(opt, params, grads, seen):
    """Three updates, in a plain loop."""
    state, found = opt.init(params), []
    for t in range(3):
        g, extra = (jax.tree.map(lambda x, t=t: x[t], tree) for tree in (grads, seen))
        updates, state = opt.update(g, state, params, **extra)
        found.append(ravel(updates))
    return np.stack(found)


@each_rule
def test_plain_jitted_and_vmapped_runs_agree(case):
    opt, params, grads, seen = case.make(), tree_like(SHAPES, 11), tree_like(SHAPES, 12, 3), extras(3)
    still = jax.tree.map(jnp.zeros_like, params)
    plain = few(opt, still, grads, seen)
    jitted = jax.jit(lambda opt: run_still(opt, still, grads, seen))(opt)
    two = jax.tree.map(lambda x: jnp.stack([0.5 * x, jnp.asarray(x)]), opt)
    vmapped = jax.jit(jax.vmap(lambda opt: run_still(opt, still, grads, seen), axis_size=2))(two)
    near = 1e-6 * rounding(case)
    for found in (jitted, jax.tree.map(lambda x: x[1], vmapped)):
        np.testing.assert_allclose(stacked(found, 3), plain, rtol=near, atol=near * np.max(np.abs(plain)))


def aval(x):
    return (x.shape, x.dtype, getattr(x, "weak_type", False))


def check_state_is_a_carry(case, dtype):
    opt, params = case.make(), tree_like(SHAPES, 0, dtype=dtype)
    seen = jax.tree.map(lambda x: x[0], extras(1))

    def step(opt, state, params):
        return opt.update(params, state, params, **seen)[1]

    before = jax.eval_shape(lambda opt: opt.init(params), opt)
    after = jax.eval_shape(step, opt, before, params)
    assert jax.tree.map(aval, after) == jax.tree.map(aval, before)
    concrete = opt.init(params)  # outside jit, with the numbers as Python floats
    assert jax.tree.map(aval, concrete) == jax.tree.map(aval, before)
    assert not any(x.weak_type for x in jax.tree.leaves(concrete))


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.float16])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_state_keeps_its_shapes_and_types(case, dtype):
    check_state_is_a_carry(case, dtype)


@each_rule
def test_a_state_keeps_its_shapes_and_types_under_x64(case, x64):
    check_state_is_a_carry(case, np.float64)
    check_state_is_a_carry(case, np.float32)


@pytest.mark.parametrize("case", one_of_each(COMPLEX), ids=name_of)
def test_a_state_of_complex_leaves_keeps_its_shapes_and_types(case):
    check_state_is_a_carry(case, np.complex64)


# Not complex leaves: a real number times a complex array is a mixture there.
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@each_rule
def test_no_rule_mixes_types_silently(case, dtype, strict_promotion):
    opt, params = case.make(), tree_like(SHAPES, 0, dtype=dtype)
    seen = jax.tree.map(lambda x: x[0], extras(1))
    jax.eval_shape(lambda opt, p: opt.update(p, opt.init(p), p, **seen), opt, params)


@each_rule
def test_init_takes_shapes_in_place_of_arrays(case):
    opt, params = case.make(), tree_like(SHAPES, 0)
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    made, expected = opt.init(shapes), opt.init(jax.tree.map(np.zeros_like, params))
    jax.tree.map(np.testing.assert_array_equal, made, expected)


NOTHING = [
    {"a": {}, "b": {}, "c": {}},
    {"a": None, "b": [], "c": (None, {})},
    {"a": optax.MaskedNode(), "b": {}, "c": [optax.MaskedNode()]},
]


@pytest.mark.parametrize("tree", NOTHING, ids=["empty", "none", "masked"])
@each_rule
def test_a_tree_without_arrays_is_updated_to_itself(case, tree):
    opt, seen = case.make(), jax.tree.map(lambda x: x[0], extras(1))
    updates, state = opt.update(tree, opt.init(tree), tree, **seen)
    assert jax.tree.structure(updates) == jax.tree.structure(tree)
    assert jax.tree.structure(state) == jax.tree.structure(opt.init(tree))


@each_rule
def test_masked_leaves_change_nothing_for_the_others(case):
    opt, seen = case.make(), jax.tree.map(lambda x: x[0], extras(1))
    full = {"a": np.ones((2, 2)), "b": np.float32(2.0), "c": (np.zeros(3), np.zeros(0))}
    # A masked leaf of zeros, so that no norm changes.
    masked = {**full, "c": (optax.MaskedNode(), full["c"][1])}
    found, expected = (opt.update(t, opt.init(t), t, **seen)[0] for t in (masked, full))
    assert isinstance(found["c"][0], optax.MaskedNode)
    np.testing.assert_allclose(ravel(found), np.delete(ravel(expected), [5, 6, 7]), rtol=1e-6)


@pytest.mark.parametrize("name", ["chain", "named_chain"])
def test_a_chain_forwards_extra_arguments_that_it_does_not_know(name):
    def update(updates, state, params=None, *, secret, **extra_args):
        return jax.tree.map(lambda g: secret * g, updates), state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    parts = (jopt.sgd(1.0), inner)
    opt = jopt.chain(*parts) if name == "chain" else jopt.named_chain(*zip("ab", parts, strict=True))
    g = jnp.ones([])
    assert float(opt.update(g, opt.init(g), g, secret=3.0, other=1.0)[0]) == -3.0


# Hypergradients


@jax.jit
@jax.value_and_grad
def final_loss(opt, params):
    """The loss after five steps on Σ ¼ (1 + i) |x|², and its derivative with respect to the optimizer's numbers."""
    curvature = jax.tree.map(lambda p: 0.5 + 0.5 * jnp.arange(p.size).reshape(p.shape), params)

    def loss(params):
        terms = jax.tree.map(lambda c, p: jnp.sum(c * p**2) / 2, curvature, params)
        return sum(jax.tree.leaves(terms))

    def step(carry, now):
        params, state = carry
        updates, state = opt.update(jax.grad(loss)(params), state, params, **now)
        return (jopt.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, opt.init(params)), extras(5))
    return loss(params)


@each_rule
def test_hypergradients_are_finite_with_zero_gradients_too(case):
    some = tree_like({"a": (2,), "b": [(), None], "c": (2, 2)}, 13)
    for params in (some, jax.tree.map(np.zeros_like, some)):
        value, slopes = final_loss(case.make(), params)
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))


SMOOTH = [
    "sgd_nesterov",
    "momentum_nesterov",
    "rmsprop_nesterov",
    "rmsprop_centered_corrected",
    "adam_nesterov",
    "adam_per_branch",
    "adam_b1_schedule",
    "adamw_decoupled_schedule",
    "sgd_dampening_nesterov",
    "rmsprop_rate_outside_nesterov",
    "nadam_other_numbers",
    "nadam_warmed_up_fast",
    "nadamw_decoupled",
    "amsgrad_max_before",
    "adamaxw_decoupled",
    "radam_nesterov",
    "adagrad_eps_outside",
    "adadelta_decay",
    "chain_clip_adam",
    "qhadam_mixed_squares",
    "aggmo_two_with_decay",
    "adabelief_nesterov",
    "lamb_decay",
    "adafactor_factored",
    "adan_decay",
]


@pytest.mark.parametrize("case", [c for c in CASES if c.name in SMOOTH], ids=name_of)
def test_hypergradients_are_the_central_differences(case, x64):
    opt, params = case.make(), tree_like(SHAPES, 14, dtype=np.float64)
    leaves, treedef = jax.tree.flatten(opt)
    found = jax.tree.leaves(final_loss(opt, params)[1])
    scale = max(abs(float(x)) for x in found)
    for i, x in enumerate(leaves):
        if x == 0.0:  # the end of its range
            continue
        h = max(1e-5 * abs(x), 1e-9)  # below 1e-9 the loss's own rounding shows: ε = 1e-8
        above, below = (
            float(final_loss(treedef.unflatten([*leaves[:i], x + d, *leaves[i + 1 :]]), params)[0]) for d in (h, -h)
        )
        assert float(found[i]) == pytest.approx((above - below) / (2 * h), rel=1e-5, abs=1e-6 * scale)


def test_the_derivative_of_adams_first_step_with_respect_to_b1_is_zero_at_b1_zero(x64):
    def first(b1):
        opt = jopt.adam(0.1, b1=b1)
        return opt.update(jnp.array(2.0), opt.init(jnp.array(0.0)))[0]

    assert float(jax.grad(first)(0.0)) == pytest.approx(0.0, abs=1e-12)

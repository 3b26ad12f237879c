"""Closed forms and errors of QHM, QHAdam, AggMo, AdaBelief, LAMB, LARS, Adafactor, Lion, signSGD, Signum and Adan."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.cases import SHAPES, extras, run, stacked, tree_like
from tests.reference import ravel

STEPS = 60
SEEN = extras(STEPS)


def path(opt, seed=0, start=1.0, grads=None):
    """The updates over ``STEPS`` steps as one matrix [steps, elements], in float64."""
    params = jax.tree.map(lambda p: start * p, tree_like(SHAPES, seed, dtype=np.float64))
    grads = tree_like(SHAPES, seed + 1, STEPS, np.float64) if grads is None else grads
    return stacked(run(opt, params, grads, SEEN)[0], STEPS)


def first(opt, gradient, weight=0.0):
    """The first update of one array."""
    g = jnp.asarray(gradient)
    w = jnp.broadcast_to(jnp.asarray(weight, g.dtype), g.shape)
    return np.asarray(opt.update(g, opt.init(w), w)[0])


def after(opt, gradient, steps, weight=1.0):
    """The updates along one steady gradient."""
    g = np.broadcast_to(np.asarray(gradient, np.float64), (steps, *np.shape(gradient)))
    return np.asarray(run(opt, np.full(np.shape(gradient), weight), g, extras(steps))[0])


SAME = {
    "aggmo of one velocity is momentum": (jopt.aggmo(0.1, (0.9,)), jopt.sgd(0.1, momentum=0.9)),
    "aggmo without momentum is gradient descent": (jopt.aggmo(0.1, (0.0, 0.0)), jopt.sgd(0.1)),
    "qhm with nu 0 is gradient descent": (jopt.qhm(0.1, nu=0.0), jopt.sgd(0.1)),
    "qhm with nu 1 is momentum at 1 - beta times the rate": (jopt.qhm(1.0, 0.9, nu=1.0), jopt.sgd(0.1, momentum=0.9)),
    "qhm with nu beta is Nesterov's": (jopt.qhm(1.0, 0.9, nu=0.9), jopt.sgd(0.1, momentum=0.9, nesterov=True)),
    "qhadam with both nu 1 is adam": (jopt.qhadam(0.1, 0.9, nu1=1.0, nu2=1.0), jopt.adam(0.1)),
    "qhadam with nu1 0 is rmsprop, corrected": (
        jopt.qhadam(0.1, b2=0.9, nu1=0.0),
        jopt.rmsprop(0.1, 0.9, eps_in_sqrt=False, bias_correction=True),
    ),
    "qhadam with both nu 0 is sign_sgd": (jopt.qhadam(0.1, nu1=0.0, nu2=0.0, eps=0.0), jopt.sign_sgd(0.1)),
    "adabelief of a distance from 0 is rmsprop's denominator": (
        jopt.chain(jopt.scale_by_belief(b1=0.0, b2=0.0, eps=0.0, eps_root=0.25), jopt.scale(-0.1)),
        jopt.sgd(0.2),  # m = g, so s is ε_root alone
    ),
    "lion with b1 and b2 alike is signum": (jopt.lion(0.1, 0.8, 0.8, weight_decay=0.0), jopt.signum(0.1, 0.8)),
    "signum without a mean is sign_sgd": (jopt.signum(0.1, beta=0.0), jopt.sign_sgd(0.1)),
    "lion decays as signum": (jopt.lion(0.1, 0.8, 0.8, weight_decay=0.1), jopt.signum(0.1, 0.8, weight_decay=0.1)),
    "a steep smooth lion is lion": (
        jopt.chain(jopt.scale_by_lion(mode="smooth", smooth_beta=1e12), jopt.scale(-0.1)),
        jopt.lion(0.1, weight_decay=0.0),
    ),
    "adan without a look ahead is adam": (jopt.adan(0.1, 0.9, 0.7, 0.999, eps_root=0.0, look_ahead=0.0), jopt.adam(0.1)),
    "lars without scaling is momentum of the decayed gradient": (
        jopt.lars(0.1, weight_decay=0.2, trust_ratio_mask=False),
        jopt.chain(jopt.add_decayed_weights(0.2), jopt.momentum(0.1)),
    ),
    "a decay that is not coupled to the rate is the coupled one over the rate": (
        jopt.qhadam(0.1, weight_decay=0.02, decoupled=True),
        jopt.qhadam(0.1, weight_decay=0.2),
    ),
}


@pytest.mark.parametrize("claim", SAME)
def test_two_rules_are_one(claim, x64):
    found, expected = map(path, SAME[claim])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.max(np.abs(expected)))


def test_each_velocity_of_aggmo_is_momentums_and_the_step_is_their_mean(x64):
    betas = (0.0, 0.5, 0.99)
    expected = sum(path(jopt.sgd(0.1, momentum=beta)) for beta in betas) / 3
    np.testing.assert_allclose(path(jopt.aggmo(0.1, betas)), expected, rtol=1e-12, atol=1e-13)


def test_the_betas_of_aggmo_may_differ_from_branch_to_branch(x64):
    betas = {"a": 0.1, "b": 0.5, "c": 0.9}
    params, grads = tree_like(SHAPES, 0, dtype=np.float64), tree_like(SHAPES, 1, STEPS, np.float64)
    found, _ = run(jopt.aggmo(0.1, (betas, 0.3)), params, grads, SEEN)
    for name, beta in betas.items():
        expected, _ = run(jopt.aggmo(0.1, (beta, 0.3)), params[name], grads[name], SEEN)
        jax.tree.map(lambda u, w: np.testing.assert_allclose(u, w, rtol=1e-13), found[name], expected)


def test_one_beta_of_aggmo_is_replaced_by_its_place():
    opt = jopt.aggmo(0.1).replace(**{"betas.1": 0.8})
    assert opt.hyperparams["betas"] == [0.0, 0.8, 0.99]


@pytest.mark.parametrize("b1", [0.5, 0.9])
def test_adabeliefs_first_step_is_the_rate_over_b1_times_the_sign(b1, x64):
    u = first(jopt.adabelief(0.1, b1=b1, eps=0.0, eps_root=0.0), [3.0, -2.0])
    np.testing.assert_allclose(u, [-0.1 / b1, 0.1 / b1], rtol=1e-13)


def test_adabeliefs_eps_root_adds_up_over_the_steps(x64):
    g, root, b2, eps = 2.0, 1e-4, 0.9, 0.5
    u = after(jopt.adabelief(0.1, b1=0.0, b2=b2, eps=eps, eps_root=root), g, 40)
    np.testing.assert_allclose(u, -0.1 * g / (np.sqrt(root / (1 - b2)) + eps), rtol=1e-12)


def norms(updates):
    return np.array([np.linalg.norm(u.reshape(STEPS, -1), axis=1) for u in jax.tree.leaves(updates) if u.size])


def test_a_step_of_lamb_is_as_long_as_its_leaf_times_the_rate(x64):
    params, grads = tree_like(SHAPES, 0, dtype=np.float64), tree_like(SHAPES, 1, STEPS, np.float64)
    updates, _ = run(jopt.lamb(0.01, weight_decay=0.3), params, grads, SEEN)
    found, steps = norms(updates), [u for u in jax.tree.leaves(updates) if u.size]
    starts = [p for p in jax.tree.leaves(params) if np.size(p)]
    before = [p + np.cumsum(np.r_[[np.zeros_like(p)], u[:-1]], axis=0) for p, u in zip(starts, steps, strict=True)]
    np.testing.assert_allclose(found, 0.01 * norms(before), rtol=1e-12)


def test_lars_first_step_is_a_fraction_of_its_leafs_length(x64):
    w, g = np.array([3.0, 4.0]), np.array([1.0, -7.0])
    u = first(jopt.lars(0.5, trust_coefficient=0.02), g, w)
    np.testing.assert_allclose(u, -0.5 * 0.02 * 5.0 * g / np.sqrt(50.0), rtol=1e-13)


@pytest.mark.parametrize("make", [jopt.lamb, jopt.lars], ids=["lamb", "lars"])
def test_where_a_norm_is_0_the_step_is_not_scaled(make, x64):
    plain = {jopt.lamb: jopt.adam(0.1, eps=1e-6), jopt.lars: jopt.momentum(0.1)}[make]
    g = np.array([1.0, -2.0])
    np.testing.assert_array_equal(first(make(0.1), g), first(plain, g))
    np.testing.assert_array_equal(first(make(0.1), np.zeros(2), np.ones(2)), np.zeros(2))


def test_the_least_norm_of_the_trust_ratio_stands_for_both():
    rule = jopt.scale_by_trust_ratio(min_norm=2.0)
    np.testing.assert_allclose(first(rule, [0.5, 0.0], [0.0, 0.1]), [0.5, 0.0])


@pytest.mark.parametrize("rule", [jopt.scale_by_trust_ratio(), jopt.scale_by_param_block_rms()], ids=repr)
def test_a_rule_of_the_parameters_asks_for_them(rule):
    g = jnp.ones(2)
    with pytest.raises(ValueError, match=r"needs the parameters: call update\(updates, state, params\)"):
        rule.update(g, rule.init(g))


def test_adafactor_with_a_decay_rate_of_1_divides_by_the_mean_of_all_squares(x64):
    opt = jopt.adafactor(0.1, decay_rate=1.0, multiply_by_parameter_scale=False, clipping_threshold=None, eps=0.0)
    g = np.random.default_rng(0).normal(size=STEPS)
    u, _ = run(opt, np.float64(0.0), g, SEEN)
    means = np.cumsum(g**2) / np.arange(1, STEPS + 1)
    np.testing.assert_allclose(u, -0.1 * g / np.sqrt(means), rtol=1e-12)


def test_adafactors_first_step_is_the_rate_times_the_parameters_size(x64):
    w = np.array([3.0, -4.0, 0.0, 5.0])
    u = first(jopt.adafactor(0.1), [2.0, -7.0, 0.1, 1.0], w)
    np.testing.assert_allclose(u, -0.1 * np.sqrt(12.5) * np.array([1, -1, 1, 1]), rtol=1e-12)


def test_adafactor_leaves_zeros_by_the_least_scale(x64):
    np.testing.assert_allclose(first(jopt.adafactor(0.1), [2.0, -7.0]), [-1e-4, 1e-4], rtol=1e-12)
    np.testing.assert_allclose(first(jopt.adafactor(0.1, min_scale=0.5), [2.0, -7.0]), [-0.05, 0.05], rtol=1e-12)


def test_a_parameter_of_zeros_is_scaled_as_one_of_a_thousandth():
    rule, p = jopt.scale_by_param_block_rms(), jnp.zeros(2)
    np.testing.assert_allclose(rule.update(jnp.array([2.0, -7.0]), rule.init(p), p)[0], [2e-3, -7e-3], rtol=1e-6)


def test_adafactor_clips_the_root_mean_square_of_a_leaf(x64):
    u = first(jopt.adafactor(0.1, clipping_threshold=0.5, multiply_by_parameter_scale=False), [2.0, -7.0])
    np.testing.assert_allclose(u, [-0.05, 0.05], rtol=1e-12)


def test_rows_and_columns_say_all_of_gradients_of_rank_one(x64):
    g = np.outer([1.0, -2.0, 3.0], [0.5, 4.0])
    settings = {"multiply_by_parameter_scale": False, "min_dim_size_to_factor": 2}
    factored, whole = (after(jopt.adafactor(0.1, factored=f, **settings), g, 20) for f in (True, False))
    np.testing.assert_allclose(factored, whole, rtol=1e-12)
    np.testing.assert_allclose(whole, np.broadcast_to(-0.1 * np.sign(g), (20, 3, 2)), rtol=1e-12)


def test_adafactor_keeps_a_row_and_a_column_of_a_large_matrix_in_optaxs_state():
    params = {"big": jnp.ones((130, 3, 128)), "small": jnp.ones((2, 127)), "vector": jnp.ones(200)}
    for settings in ({}, {"min_dim_size_to_factor": 2}, {"factored": False}):
        ours, theirs = (made(**settings).init(params) for made in (jopt.scale_by_factored_rms, optax.scale_by_factored_rms))
        assert jax.tree.map(lambda x: (x.shape, x.dtype), ours) == jax.tree.map(lambda x: (x.shape, x.dtype), theirs)
    state = jopt.adafactor(0.01).init(params)[0]
    assert state.v_row["big"].shape == (3, 128)
    assert state.v_col["big"].shape == (130, 3)


def test_adafactor_without_a_rate_takes_steps_of_the_parameters_size(x64):
    np.testing.assert_allclose(first(jopt.adafactor(), [2.0, -7.0], [3.0, 3.0]), [-3.0, 3.0], rtol=1e-12)


def test_the_decay_of_the_factored_moments_may_be_a_function(x64):
    opt = jopt.scale_by_factored_rms(decay_rate_fn=lambda step, rate: rate * step / (step + 1.0), decay_rate=0.5, epsilon=0.0)
    np.testing.assert_allclose(after(opt, 3.0, 5), 1.0, rtol=1e-13)
    g = np.array([1.0, 2.0])
    u, _ = run(opt, np.float64(0.0), g, extras(2))
    np.testing.assert_allclose(u[1], 2.0 / np.sqrt(0.25 * 1.0 + 0.75 * 4.0), rtol=1e-13)


def test_in_float32_the_factored_moments_of_late_steps_still_move():
    # 1 - β is 4e-6 at step 5 million: taken as 1 - (1 - t⁻ᶜ), it would be off by up to a hundredth.
    rule = jopt.scale_by_factored_rms(epsilon=0.0)
    state = rule.init(jnp.float32(0.0))._replace(count=jnp.int32(4_999_999), v=jnp.float32(0.0))
    _, state = rule.update(jnp.float32(1.0), state)
    assert float(state.v) == pytest.approx(5e6**-0.8, rel=1e-5)


def test_a_leaf_without_elements_has_moments_without_nan():
    rule, empty = jopt.adafactor(0.1, min_dim_size_to_factor=0), jnp.zeros((0, 3))
    u, state = rule.update(empty, rule.init(empty), empty)
    assert u.shape == (0, 3)
    assert np.all(np.isfinite(ravel(state)))


def test_adans_second_step_sees_the_difference_of_the_gradients(x64):
    b1, b2, b3 = 0.9, 0.8, 0.7
    opt = jopt.adan(1.0, b1, b2, b3, eps=0.0, eps_root=0.0)
    u, _ = run(opt, np.float64(0.0), np.array([1.0, 3.0]), extras(2))
    m = (b1 * (1 - b1) * 1.0 + (1 - b1) * 3.0) / (1 - b1**2)
    v = (1 - b2) * 2.0 / (1 - b2**2)
    n = (b3 * (1 - b3) * 1.0 + (1 - b3) * (3.0 + b2 * 2.0) ** 2) / (1 - b3**2)
    np.testing.assert_allclose(u, [-1.0, -(m + b2 * v) / np.sqrt(n)], rtol=1e-13)


def test_lion_and_its_kin_leave_an_element_alone_whose_mean_is_0():
    for opt in (jopt.lion(0.1, weight_decay=0.0), jopt.sign_sgd(0.1), jopt.signum(0.1)):
        np.testing.assert_array_equal(first(opt, [0.0, 5.0, -1e-20], [1.0, 1.0, 1.0]), np.float32([0.0, -0.1, 0.1]))


def test_a_refined_lion_is_the_mean_itself_below_1():
    np.testing.assert_allclose(first(jopt.scale_by_lion(b1=0.0, mode="refined"), [0.5, -0.25, 3.0]), [0.5, -0.25, 1.0])


def test_a_smooth_lion_is_the_hyperbolic_tangent_of_the_mean():
    np.testing.assert_allclose(first(jopt.scale_by_lion(b1=0.0, mode="smooth"), [0.5, -3.0]), np.tanh([0.5, -3.0]), rtol=1e-6)


def test_a_decaying_mean_of_a_steady_gradient_is_the_gradient(x64):
    np.testing.assert_allclose(after(jopt.ema(0.9), 3.0, 10), 3.0, rtol=1e-13)
    np.testing.assert_allclose(after(jopt.ema(0.9, debias=False), 3.0, 10), 3.0 * (1 - 0.9 ** np.arange(1, 11)), rtol=1e-13)


NO_DECAY = [jopt.qhm, jopt.qhadam, jopt.aggmo, jopt.adabelief, jopt.sign_sgd, jopt.signum]


@pytest.mark.parametrize("make", NO_DECAY, ids=lambda make: make.__name__)
def test_a_rule_without_a_decay_works_without_the_parameters(make):
    opt, g = make(0.1), jnp.ones(2)
    assert np.all(opt.update(g, opt.init(g))[0] < 0)


@pytest.mark.parametrize("make", [*NO_DECAY, jopt.lion, jopt.adan], ids=lambda make: make.__name__)
def test_a_decay_is_masked_and_coupled_to_the_rate_unless_asked_otherwise(make, x64):
    w, g = {"a": jnp.array(2.0), "b": jnp.array(2.0)}, {"a": jnp.array(0.0), "b": jnp.array(0.0)}
    for decoupled, shrunk in ((False, -0.1 * 0.5 * 2.0), (True, -0.5 * 2.0)):
        opt = make(0.1, weight_decay=0.5, mask={"a": True, "b": False}, decoupled=decoupled)
        u, _ = opt.update(g, opt.init(w), w)
        assert float(u["a"]) == pytest.approx(shrunk, rel=1e-13)
        assert float(u["b"]) == 0.0


SQUARES = [
    (jopt.scale_by_qhadam(), ["nu"]),
    (jopt.scale_by_belief(), ["nu"]),
    (jopt.scale_by_adan(), ["n"]),
    (jopt.scale_by_factored_rms(), ["v"]),
    (jopt.scale_by_factored_rms(min_dim_size_to_factor=1), ["v_row", "v_col"]),
]


@pytest.mark.parametrize(
    ("rule", "fields"), SQUARES, ids=lambda x: x.bound.spec.factory.name if hasattr(x, "bound") else "-".join(x)
)
def test_the_squares_of_complex_leaves_are_real(rule, fields):
    state = rule.init({"w": jnp.ones((2, 3), jnp.complex64)})
    assert {getattr(state, field)["w"].dtype for field in fields} == {jnp.dtype("float32")}


@pytest.mark.parametrize("betas", [(), 0.9, jopt.choice(0.5, 0.9)], ids=repr)
def test_aggmo_takes_a_tuple_of_betas(betas):
    with pytest.raises(TypeError, match="betas must be a tuple of at least one number"):
        jopt.aggmo(0.1, betas)


def test_lion_names_its_modes():
    with pytest.raises(ValueError, match=r"mode must be one of \['hard', 'smooth', 'refined'\], but got 'soft'"):
        jopt.scale_by_lion(mode="soft")


OUT_OF_RANGE = [
    (jopt.qhm, {"momentum": 1.0}),
    (jopt.qhadam, {"nu2": 1.5}),
    (jopt.aggmo, {"betas": (0.5, 1.5)}),
    (jopt.adabelief, {"b1": 1.0}),
    (jopt.lamb, {"eps": -1.0}),
    (jopt.lars, {"momentum": 1.5}),
    (jopt.adafactor, {"decay_rate": -0.8}),
    (jopt.adafactor, {"clipping_threshold": 0.0}),
    (jopt.lion, {"b2": 1.0}),
    (jopt.signum, {"beta": 1.0}),
    (jopt.adan, {"b3": 1.0}),
    (jopt.sign_sgd, {"weight_decay": -1.0}),
]


@pytest.mark.parametrize(("make", "words"), OUT_OF_RANGE, ids=lambda x: getattr(x, "__name__", None) or "-".join(x))
def test_a_number_out_of_its_range_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match="must lie in"):
        make(0.1, **words)


def test_the_decay_of_adafactor_by_a_function_is_optaxs(x64):
    def halving(i, exponent):
        return 1.0 - 0.5 * exponent / (i + 2.0)

    params = {"w": np.ones((4, 5)), "b": np.ones(3)}
    grads = {"w": np.arange(20.0).reshape(4, 5) - 3.5, "b": np.arange(3.0) - 1.5}
    pair = [m.scale_by_factored_rms(min_dim_size_to_factor=2, decay_rate_fn=halving) for m in (jopt, optax)]
    states = [opt.init(params) for opt in pair]
    for _ in range(4):
        found, expected = (opt.update(grads, state, params) for opt, state in zip(pair, states, strict=True))
        chex.assert_trees_all_close(found[0], expected[0], rtol=1e-12)
        states = [found[1], expected[1]]

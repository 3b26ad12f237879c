"""Closed forms and errors of AdEMAMix, MARS, Prodigy, Schedule-Free, hyperball, cautious decay and averages of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt
from tests.cases import SHAPES, extras, matrices_only, run, tree_like
from tests.test_modern_rules import SEEN, STEPS, after, first, path

UNBOUND = 1e9
SAME = {
    "ademamix without the slow mean is adamw": (
        jopt.ademamix(0.1, alpha=0.0, weight_decay=0.2),
        jopt.adamw(0.1, weight_decay=0.2),
    ),
    "ademamix with a slow mean of one gradient is adam with a part of it": (
        jopt.ademamix(0.1, b1=0.0, b3=0.0, alpha=2.0),
        jopt.adam(0.3, b1=0.0),
    ),
    "a warm-up of one update of ademamix is none": (jopt.ademamix(0.1, warmup_steps=1), jopt.ademamix(0.1)),
    "ademamix without memory is warmed up by its alpha alone": (
        jopt.ademamix(0.1, b1=0.0, b3=0.0, alpha=lambda t: 2.0 * jnp.minimum((jopt.schedules.as_time(t) + 1.0) / 9.0, 1.0)),
        jopt.ademamix(0.1, b1=0.0, b3=0.0, alpha=2.0, warmup_steps=9),
    ),
    "mars without a correction or a bound is adamw": (
        jopt.mars(0.1, weight_decay=0.2, gamma=0.0, max_norm=UNBOUND, optimize_1d=True),
        jopt.adamw(0.1, 0.95, 0.99, weight_decay=0.2),
    ),
    "mars without momentum is adamw of bounded gradients": (
        jopt.mars(0.1, b1=0.0, gamma=7.0, max_norm=0.5, optimize_1d=True),
        jopt.chain(jopt.correct_by_mars(gamma=0.0, max_norm=0.5), jopt.adam(0.1, 0.0, 0.99)),
    ),
    "mars is adamw of what is corrected": (
        jopt.mars(0.1, eps=1e-4, weight_decay=1e-3, optimize_1d=True, decoupled=True),
        jopt.chain(jopt.correct_by_mars(), jopt.adamw(0.1, 0.95, 0.99, 1e-4, weight_decay=1e-3, decoupled=True)),
    ),
    "mars gives what is no matrix to adamw": (
        jopt.mars(0.1, weight_decay_1d=0.3, decoupled=True, mask=matrices_only),
        jopt.partition(
            {
                "matrix": jopt.chain(jopt.correct_by_mars(), jopt.adam(0.1, 0.95, 0.99)),
                "other": jopt.adamw(0.1, 0.9, 0.95, weight_decay=0.0),
            },
            lambda params: jax.tree.map(lambda p: "matrix" if np.ndim(p) == 2 else "other", params),
        ),
    ),
    "schedule_free that takes gradients at its point moves as its base": (
        jopt.schedule_free(jopt.adamw(0.1, weight_decay=0.1), 0.3, b1=0.0),
        jopt.adamw(0.1, weight_decay=0.1),
    ),
    "weights of no power are equal": (
        jopt.schedule_free(jopt.sgd(0.1), jopt.linear_schedule(0.1, 0.9, STEPS), 0.7, 0.0),
        jopt.schedule_free(jopt.sgd(0.1), 0.1, 0.7),
    ),
    "schedule_free_sgd is schedule_free around sgd": (
        jopt.schedule_free_sgd(0.1, weight_decay=0.2),
        jopt.schedule_free(jopt.chain(jopt.add_decayed_weights(0.2), jopt.sgd(0.1)), 0.1),
    ),
    "schedule_free_adamw is schedule_free around adamw without a mean": (
        jopt.schedule_free_adamw(0.1, weight_decay=0.2),
        jopt.schedule_free(jopt.adamw(0.1, b1=0.0, weight_decay=0.2), 0.1),
    ),
    "a cautious decay of nothing is none": (
        jopt.chain(jopt.add_cautious_weight_decay(0.0), jopt.scale(-0.1)),
        jopt.sgd(0.1),
    ),
    "hyperball around nothing is its optimizer": (jopt.hyperball(jopt.adam(0.1), 0.5, mask=False), jopt.adam(0.1)),
    "hyperball sees no length of matrices' steps": (
        jopt.hyperball(jopt.sgd(0.1), 0.5, mask=True),
        jopt.hyperball(jopt.sgd(7.0), 0.5, mask=True),
    ),
    "an average leaves the training as it is": (jopt.parameter_ema(jopt.tail_average(jopt.adamw(0.1), 5)), jopt.adamw(0.1)),
}


@pytest.mark.parametrize("claim", SAME)
def test_two_rules_are_one(claim, x64):
    found, expected = map(path, SAME[claim])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.max(np.abs(expected)))


def ran(opt, grads, start=1.0):
    """The parameter after each update along gradients, and the last state."""
    grads = np.asarray(grads, np.float64)
    updates, state = run(opt, np.full(grads.shape[1:], start), grads, extras(len(grads)))
    return start + np.cumsum(np.asarray(updates), axis=0), state


GRADIENTS = np.random.default_rng(0).normal(size=40)


# Averages


def test_the_average_of_parameters_that_stay_is_they_themselves(x64):
    for opt in (jopt.parameter_ema(jopt.sgd(0.1)), jopt.tail_average(jopt.sgd(0.1), 7), jopt.schedule_free_sgd(0.1)):
        points, state = ran(opt, np.zeros(30), 0.3)
        np.testing.assert_allclose(jopt.evaluation_params(state, points[-1]), 0.3, rtol=1e-15)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_an_ema_is_the_mean_with_weights_that_fall(decay, x64):
    points, state = ran(jopt.parameter_ema(jopt.sgd(0.1), decay), GRADIENTS)
    weights = decay ** np.arange(len(points))[::-1]
    np.testing.assert_allclose(state.average, np.sum(weights * points) / np.sum(weights), rtol=1e-13)
    assert int(state.count) == len(points)


def test_an_ema_that_is_not_debiased_begins_with_the_first_parameters(x64):
    points, state = ran(jopt.parameter_ema(jopt.sgd(0.1), 0.8, debias=False), GRADIENTS, 2.0)
    expected = 2.0
    for w in points:
        expected = 0.8 * expected + 0.2 * w
    np.testing.assert_allclose(state.average, expected, rtol=1e-13)


@pytest.mark.parametrize("start", [0, 1, 2.5, 13, 39])
def test_a_tail_average_is_the_mean_of_the_tail(start, x64):
    points, state = ran(jopt.tail_average(jopt.sgd(0.1), start), GRADIENTS)
    np.testing.assert_allclose(state.average, np.mean(points[int(start) :]), rtol=1e-13)


def test_before_its_tail_an_average_is_the_parameters_bit_for_bit():
    opt, w = jopt.tail_average(jopt.sgd(1.0), 5), jnp.float32(1e4)
    updates, state = opt.update(jnp.float32(9999.877), opt.init(w), w)
    assert state.average == jopt.apply_updates(w, updates)


def test_an_average_of_bfloat16_parameters_is_of_float32_and_handed_out_in_theirs():
    w = jnp.ones(3, jnp.bfloat16)
    for opt in (jopt.parameter_ema(jopt.sgd(0.01)), jopt.schedule_free_sgd(0.01)):
        state = opt.init(w)
        assert jopt.evaluation_params(state, w).dtype == jnp.bfloat16
        assert {x.dtype.name for x in jax.tree.leaves(state) if x.ndim} == {"float32"}
    narrow = jopt.parameter_ema(jopt.sgd(0.01), accumulator_dtype=jnp.bfloat16).init(w)
    assert narrow.average.dtype == jnp.bfloat16


def test_the_parameters_to_evaluate_are_found_wherever_they_are():
    params = {"a": {"w": jnp.ones((2, 3, 4))}, "b": jnp.ones(3), "c": None}
    grads = jax.tree.map(jnp.ones_like, params)
    ema, plain = jopt.parameter_ema(jopt.sgd(1.0), 0.5, debias=False), jopt.sgd(1.0)
    inside = {
        "chain": (jopt.chain(jopt.clip(2.0), ema), 0.5, 0.5),
        "accumulate": (jopt.accumulate(ema, 1), 0.5, 0.5),
        "partition": (jopt.partition({"a/*": ema, "*": plain}), 0.5, 0.0),
        "prefix": (jopt.masked(ema, {"a": False, "b": True, "c": True}), 2.0, 0.5),
        "matrixwise": (jopt.matrixwise(ema, plain), 0.5, 0.0),
        "flatten in it": (jopt.parameter_ema(jopt.flatten(plain), 0.5, debias=False), 0.5, 0.5),
        "outermost": (jopt.tail_average(ema), 0.0, 0.0),
        "Optax's": (optax.chain(optax.clip(2.0), optax.apply_if_finite(ema, 2)), 0.5, 0.5),
        "none": (plain, 0.0, 0.0),
    }
    for name, (opt, *expected) in inside.items():
        updates, state = opt.update(grads, opt.init(params), params)
        last = jopt.apply_updates(params, updates)
        found = jopt.evaluation_params(state, last)
        assert jax.tree.structure(found) == jax.tree.structure(params)
        assert [x.shape for x in jax.tree.leaves(found)] == [x.shape for x in jax.tree.leaves(params)]
        assert [float(x.mean()) for x in jax.tree.leaves(found)] == expected, name


def test_parameters_to_evaluate_may_be_numbers_of_pythons():
    assert jopt.evaluation_params(jopt.adam(0.1).init(1.0), {"w": 1.0}) == {"w": 1.0}
    assert float(jopt.evaluation_params(jopt.parameter_ema(jopt.sgd(0.1)).init({"w": 0.5}), {"w": 1.0})["w"]) == 0.5
    wide = np.ones(2)  # of 64 bits, which JAX has not here
    assert jopt.evaluation_params(jopt.parameter_ema(jopt.sgd(0.1)).init(wide), wide).dtype == jnp.float32


def test_an_average_of_other_parameters_is_an_error():
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    state = jopt.flatten(jopt.parameter_ema(jopt.sgd(0.1))).init(params)
    with pytest.raises(
        ValueError, match=r"average of other parameters.*it has \['\(root\)'\].*'b'.*jopt.parameter_ema\(jopt.flatten"
    ):
        jopt.evaluation_params(state, params)
    with pytest.raises(ValueError, match=r"the order is evaluation_params\(state, params\)"):
        jopt.evaluation_params(params, jopt.schedule_free_sgd(0.1).init(params))


@pytest.mark.parametrize(
    "opt",
    [
        jopt.parameter_ema(jopt.sgd(0.1)),
        jopt.tail_average(jopt.sgd(0.1)),
        jopt.schedule_free_sgd(0.1),
        jopt.hyperball(jopt.sgd(0.1), 0.1),
        jopt.prodigy(),
        jopt.add_cautious_weight_decay(0.1),
    ],
    ids=lambda opt: opt.bound.spec.factory.name,
)
def test_what_needs_the_parameters_says_so(opt):
    g = jnp.ones(2)
    with pytest.raises(ValueError, match=r"needs the parameters: call update\(updates, state, params\)"):
        opt.update(g, opt.init(g))


# Schedule-Free


def test_schedule_free_at_beta_0_is_polyaks_average(x64):
    points, state = ran(jopt.schedule_free(jopt.sgd(0.1), 0.1, b1=0.0), GRADIENTS)
    others, average = ran(jopt.tail_average(jopt.sgd(0.1)), GRADIENTS)
    np.testing.assert_allclose(points, others, rtol=1e-13)
    np.testing.assert_allclose(jopt.schedule_free_eval_params(state, points[-1]), average.average, rtol=1e-13)


def test_schedule_free_at_beta_1_is_primal_averaging(x64):
    points, state = ran(jopt.schedule_free_sgd(0.1, b1=1.0), GRADIENTS)
    z, x = 1.0, 1.0
    for t, g in enumerate(GRADIENTS, 1):
        z -= 0.1 * g
        x += (z - x) / t
        np.testing.assert_allclose(points[t - 1], x, rtol=1e-13)
    np.testing.assert_allclose(jopt.schedule_free_eval_params(state, points[-1]), x, rtol=1e-13)


def test_schedule_free_weighs_by_the_largest_rate_so_far(x64):
    rates = [0.1, 0.4, 0.2, 0.3]
    rate = jopt.piecewise_constant_schedule(0.1, {1: 4.0, 2: 0.5, 3: 1.5})
    _, state = ran(jopt.schedule_free_sgd(rate, b1=0.5, weight_lr_power=1.5), GRADIENTS[:4])
    z = 1.0 - np.cumsum(rates * GRADIENTS[:4])
    weights = np.maximum.accumulate(rates) ** 1.5
    np.testing.assert_allclose(state.x, np.sum(weights * z) / np.sum(weights), rtol=1e-13)
    assert (int(state.count), float(state.max_lr)) == (4, pytest.approx(0.4))


def test_a_schedule_free_step_at_rate_0_changes_nothing_and_is_no_nan():
    rate = jopt.linear_schedule(0.0, 0.2, 2)
    points, state = ran(jopt.schedule_free_sgd(rate), GRADIENTS[:3])
    assert points[0] == 1.0
    assert np.isfinite(points).all()
    assert np.isfinite(state.x)


def test_bfloat16_parameters_of_schedule_free_arrive_where_small_steps_would_be_lost():
    w, opt = jnp.ones([], jnp.bfloat16), jopt.schedule_free(jopt.sgd(1e-3), 1e-3, b1=0.0)

    @jax.jit
    def train(w, state):
        def step(carry, _):
            updates, state = opt.update(-jnp.ones_like(carry[0]), carry[1], carry[0])
            return (jopt.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (w, state), None, length=1000)[0]

    w, state = train(w, opt.init(w))
    assert float(w) == pytest.approx(2.0, rel=1e-2)
    assert float(jopt.schedule_free_eval_params(state, w)) == pytest.approx(1.5, rel=1e-2)


def test_schedule_free_eval_params_takes_optaxs_states_too(x64):
    ours, theirs = (room.schedule_free_sgd(0.1, b1=0.7) for room in (jopt, optax.contrib))
    params, found = {"w": jnp.asarray([1.0, -2.0])}, []
    for opt in (ours, theirs):
        w, state = params, opt.init(params)
        for g in GRADIENTS[:5]:
            updates, state = opt.update({"w": jnp.asarray([g, 2 * g])}, state, w)
            w = optax.apply_updates(w, updates)
        found.append(jopt.schedule_free_eval_params(state, w)["w"])
    np.testing.assert_allclose(*found, rtol=1e-12)
    chained = jopt.chain(jopt.clip(1.0), ours).init(params)
    np.testing.assert_array_equal(jopt.schedule_free_eval_params(chained, params)["w"], params["w"])
    with pytest.raises(ValueError, match=r"takes the state of schedule_free.*ScaleByAdamState without an average"):
        jopt.schedule_free_eval_params(jopt.scale_by_adam().init(params), params)


def test_the_rate_of_a_warm_up_is_the_one_that_acts():
    for opt in (jopt.schedule_free_sgd(0.4, 4), jopt.schedule_free_adamw(0.4, 4)):
        w, rates = jnp.float32(1.0), []
        state = opt.init(w)
        for _ in range(6):
            rates.append(float(jopt.learning_rate(opt, state)))
            _, state = opt.update(w, state, w)
        np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rtol=1e-6)


def test_schedule_free_takes_one_rate_alone():
    opt, w = jopt.schedule_free_sgd({"a": 0.1, "b": 0.2}), {"a": jnp.ones(1), "b": jnp.ones(1)}
    with pytest.raises(ValueError, match=r"schedule_free: learning_rate must be one number"):
        opt.update(w, opt.init(w), w)


def test_defaults_are_as_in_the_papers_code():
    named = {
        jopt.schedule_free_sgd: {"learning_rate": 1.0, "b1": 0.9, "weight_lr_power": 2.0},
        jopt.schedule_free_adamw: {
            "learning_rate": 0.0025,
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "weight_lr_power": 2.0,
        },
        jopt.prodigy: {
            "learning_rate": 1.0,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "estim_lr0": 1e-6,
            "estim_lr_coef": 1.0,
            "weight_decay": 0.0,
        },
    }
    for make, expected in named.items():
        assert make().hyperparams == expected
    mars = jopt.mars(3e-3).hyperparams
    numbers = [mars[name] for name in ("b1", "b2", "eps", "gamma", "weight_decay", "b1_1d", "b2_1d", "weight_decay_1d")]
    assert numbers == [0.95, 0.99, 1e-8, 0.025, 0.0, 0.9, 0.95, 0.1]
    assert jopt.correct_by_mars().hyperparams == {"b1": 0.95, "gamma": 0.025, "max_norm": 1.0}
    for make, rate in ((jopt.scale_by_ademamix, []), (jopt.ademamix, [0.1])):
        found = make(*rate).hyperparams
        numbers = [found[name] for name in ("b1", "b2", "b3", "alpha", "eps", "eps_root")]
        assert numbers == [0.9, 0.999, 0.9999, 5.0, 1e-8, 0.0]
    free = jopt.schedule_free(jopt.sgd(0.1), 0.1).hyperparams
    assert (free["b1"], free["weight_lr_power"]) == (0.9, 2.0)
    assert jopt.parameter_ema(jopt.sgd(0.1)).hyperparams["decay"] == 0.999


# Prodigy


def test_prodigys_estimate_is_of_all_leaves_together_never_falls_and_does_not_pass_the_distance(x64):
    target = {"a": jnp.asarray([3.0, -5.0]), "b": jnp.asarray(1.0)}
    opt, w = jopt.prodigy(), jax.tree.map(jnp.zeros_like, target)
    state, estimates = opt.init(w), []

    @jax.jit
    def step(w, state):
        updates, state = opt.update(jax.tree.map(lambda w, t: jnp.sign(w - t), w, target), state, w)
        return jopt.apply_updates(w, updates), state

    for _ in range(300):
        w, state = step(w, state)
        estimates.append(float(state.estim_lr))
    assert (np.diff(estimates) >= 0).all()
    assert estimates[0] == 1e-6
    assert 0.5 < estimates[-1] <= 5.0
    assert max(float(jnp.max(jnp.abs(x - y))) for x, y in zip(*map(jax.tree.leaves, (w, target)), strict=True)) < 1.0


def test_each_lane_has_an_estimate_of_its_own():
    def estimate(start):
        opt, w = jopt.prodigy(estim_lr0=0.01), jnp.asarray(start)
        state = opt.init(w)
        for _ in range(20):
            updates, state = opt.update(jnp.sign(w), state, w)
            w = w + updates
        return state.estim_lr

    starts = jnp.asarray([0.05, 1.0, 100.0])
    mapped = jax.vmap(estimate)(starts)
    np.testing.assert_allclose(mapped, [estimate(x) for x in starts], rtol=1e-6)
    assert len({*mapped.tolist()}) > 1


def test_prodigys_first_step_is_its_first_estimate_times_the_means_share(x64):
    np.testing.assert_allclose(first(jopt.prodigy(0.5, (0.8, 0.99), eps=0.0, estim_lr0=0.1), [3.0, -2.0]), [-0.1, 0.1])
    corrected = jopt.prodigy(0.5, (0.8, 0.99), eps=0.0, estim_lr0=0.1, bias_correction=True)
    np.testing.assert_allclose(first(corrected, [3.0, -2.0]), [-0.05, 0.05])


def test_gradients_of_0_leave_prodigys_estimate_and_weights():
    opt, w = jopt.prodigy(eps=0.0), jnp.ones(2)
    updates, state = opt.update(jnp.zeros(2), opt.init(w), w)
    assert float(state.estim_lr) == pytest.approx(1e-6)
    np.testing.assert_array_equal(updates, 0.0)


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 0.99, 0.999), 0.9])
def test_prodigy_takes_two_betas(betas):
    with pytest.raises(ValueError, match=r"betas must be two numbers"):
        jopt.prodigy(betas=betas)


# AdEMAMix, MARS, hyperball, cautious decay


def test_the_slow_mean_of_a_steady_gradient_fills_up(x64):
    u = after(jopt.ademamix(0.1, b1=0.5, b2=0.5, b3=0.9, alpha=3.0, eps=0.0), 2.0, 30)
    t = np.arange(1, 31)
    np.testing.assert_allclose(u, -0.1 * (1.0 + 3.0 * (1.0 - 0.9**t)), rtol=1e-12)


@pytest.mark.parametrize(("b1", "b3"), [(0.5, 0.99), (0.0, 0.5)])
def test_the_memory_of_ademamix_grows_evenly_while_it_is_warmed_up(b1, b3, x64):
    steps = 10
    u = after(jopt.ademamix(0.1, b1=b1, b2=0.5, b3=b3, alpha=3.0, eps=0.0, warmup_steps=steps), 2.0, 20)
    memories = [-1 / np.log(b) if b else 0.0 for b in (b1, b3)]
    slow = 0.0
    for t in range(1, 21):
        part = min(t / steps, 1.0)
        b = np.exp(-1 / (memories[0] + part * (memories[1] - memories[0])))
        slow = b * slow + (1 - b) * 2.0
        np.testing.assert_allclose(u[t - 1], -0.1 * (1.0 + 3.0 * part * slow / 2.0), rtol=1e-12)


def test_gradients_of_0_without_eps_leave_weights_alone():
    opt, w = jopt.ademamix(0.1, eps=0.0), jnp.ones(2)
    np.testing.assert_array_equal(opt.update(jnp.zeros(2), opt.init(w), w)[0], 0.0)


def test_mu_dtype_of_ademamix_leaves_the_mean_squares_alone():
    state = jopt.ademamix(0.1, mu_dtype=jnp.bfloat16).init(jnp.ones(2))[0]
    assert (state.m1.dtype, state.m2.dtype, state.nu.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)


def test_mean_squares_of_complex_weights_are_real():
    w = jnp.ones(2, jnp.complex64)
    assert jopt.ademamix(0.1).init(w)[0].nu.dtype == jopt.prodigy().init(w).exp_avg_sq.dtype == jnp.float32


def test_a_corrected_gradient_has_at_most_the_bound_as_its_norm(x64):
    rule, g = jopt.correct_by_mars(0.5, gamma=1.0, max_norm=2.0), jnp.asarray([3.0, 4.0])
    updates, state = rule.update(g, rule.init(g))
    np.testing.assert_allclose(updates, 2.0 * g / 5.0, rtol=1e-14)
    np.testing.assert_allclose(rule.update(0.1 * g, state)[0], -2.0 * g / 5.0 * (0.8 / 2.0) * 2.5, rtol=1e-14)


def test_a_steady_gradient_is_not_corrected_but_at_first(x64):
    u = after(jopt.chain(jopt.correct_by_mars(0.5, gamma=1.0, max_norm=9.0), jopt.scale(1.0)), 2.0, 3)
    np.testing.assert_allclose(u, [4.0, 2.0, 2.0], rtol=1e-14)


def test_matrices_keep_their_norm_under_hyperball_and_turn_by_its_rate(x64):
    params, grads = tree_like(SHAPES, 0, dtype=np.float64), tree_like(SHAPES, 1, STEPS, np.float64)
    opt = jopt.hyperball(jopt.adam(0.01), 0.2)
    updates, state = run(opt, params, grads, SEEN)
    w, points = params["a"]["w"], params["a"]["w"] + np.cumsum(updates["a"]["w"], axis=0)
    np.testing.assert_allclose(np.linalg.norm(points, axis=(1, 2)), np.linalg.norm(w), rtol=1e-13)
    np.testing.assert_allclose(state.radius["a"]["w"], np.linalg.norm(w), rtol=1e-14)
    plain, _ = run(jopt.adam(0.01), params, grads, SEEN)
    np.testing.assert_array_equal(updates["c"][0], plain["c"][0])
    turned = jopt.hyperball(jopt.sgd(1.0), 0.2, mask=True)
    w, g = np.array([3.0, 0.0]), np.array([0.0, 5.0])
    np.testing.assert_allclose(first(turned, g, w), 3.0 * np.array([1.0, -0.2]) / np.sqrt(1.04) - w, rtol=1e-13)


def test_hyperball_leaves_a_matrix_of_zeros_or_without_a_step_alone():
    for w, g in ((np.zeros((2, 2)), np.ones((2, 2))), (np.ones((2, 2)), np.zeros((2, 2)))):
        opt = jopt.hyperball(jopt.sgd(0.1), 0.5)
        params, grads = jnp.asarray(w, jnp.float32), jnp.asarray(g, jnp.float32)
        np.testing.assert_array_equal(opt.update(grads, opt.init(params), params)[0], 0.0)
    opt, bias = jopt.hyperball(jopt.sgd(0.1), 0.5), jnp.zeros(2)
    np.testing.assert_allclose(opt.update(jnp.ones(2), opt.init(bias), bias)[0], -0.1, rtol=1e-6)


def test_a_step_of_hyperball_through_the_middle_is_no_nan():
    opt, w = jopt.hyperball(jopt.sgd(1.0), 1.0), jnp.asarray([[3.0, 4.0]])
    np.testing.assert_array_equal(opt.update(w, opt.init(w), w)[0], -w)


def test_a_cautious_decay_acts_where_it_and_the_step_agree():
    rule = jopt.add_cautious_weight_decay(0.5, mask={"a": True, "b": False})
    p, g = jnp.asarray([2.0, 2.0, -2.0, -2.0, 2.0]), jnp.asarray([1.0, -1.0, 1.0, -1.0, 0.0])
    params, grads = {"a": p, "b": p}, {"a": g, "b": g}
    updates, _ = rule.update(grads, rule.init(params), params)
    np.testing.assert_array_equal(updates["a"], [2.0, -1.0, 1.0, -2.0, 1.0])
    np.testing.assert_array_equal(updates["b"], g)


def test_a_cautious_decay_of_complex_weights_looks_at_the_real_part_of_the_product():
    rule, p = jopt.add_cautious_weight_decay(0.5), jnp.asarray([1j, 1j, 1 + 1j, 1j])
    g = jnp.asarray([2j, -2j, 1.0, 1.0])
    np.testing.assert_allclose(rule.update(g, rule.init(p), p)[0], [2.5j, -2j, 1.5 + 0.5j, 1.0 + 0.5j], rtol=1e-6)


OUT_OF_RANGE = [
    ("warmup_steps", lambda: jopt.ademamix(0.1, warmup_steps=0)),
    ("b3", lambda: jopt.ademamix(0.1, b3=1.0)),
    ("max_norm", lambda: jopt.mars(0.1, max_norm=0.0)),
    ("estim_lr0", lambda: jopt.prodigy(estim_lr0=0.0)),
    ("warmup_steps", lambda: jopt.schedule_free_sgd(0.1, warmup_steps=0)),
    ("b1", lambda: jopt.schedule_free(jopt.sgd(0.1), 0.1, b1=1.5)),
    ("decay", lambda: jopt.parameter_ema(jopt.sgd(0.1), 1.0)),
    ("start", lambda: jopt.tail_average(jopt.sgd(0.1), -1)),
    ("learning_rate", lambda: jopt.hyperball(jopt.sgd(0.1), -1.0)),
    ("weight_decay", lambda: jopt.add_cautious_weight_decay(-1.0)),
]


def test_a_number_out_of_its_range_is_an_error_that_names_it():
    for name, make in OUT_OF_RANGE:
        with pytest.raises(ValueError, match=rf"{name} must lie in"):
            make()


def _decaying(opt, params):
    """Which leaves move along gradients of 0."""
    zeros, state = jax.tree.map(jnp.zeros_like, params), opt.init(params)
    for _ in range(2):  # SOAP leaves out its first step
        updates, state = opt.update(zeros, state, params)
    return {name for name, u in updates.items() if np.any(u != 0.0)}


@pytest.mark.parametrize(
    "mask", [lambda p: {k: v.ndim == 4 for k, v in p.items()}, jopt.matching("kernel")], ids=["function", "pattern"]
)
@pytest.mark.parametrize("name", ["muon", "normuon", "mars", "soap", "shampoo", "psgd_kron"])
def test_a_mask_of_weight_decay_is_asked_about_the_whole_parameters(name, mask):
    params = {"kernel": jnp.ones((3, 3, 4, 8)), "dense": jnp.ones((4, 4)), "bias": jnp.ones(4)}
    decays = {"muon": ("weight_decay", "adam_weight_decay"), "normuon": ("weight_decay", "adam_weight_decay")}
    decays = dict.fromkeys(decays.get(name, ("weight_decay", "weight_decay_1d") if name == "mars" else ("weight_decay",)), 0.1)
    words = {"weight_decay_mask" if name in ("muon", "normuon") else "mask": mask}
    assert _decaying(getattr(jopt, name)(0.1, **decays, **words), params) == {"kernel"}


def test_prodigy_learns_nothing_from_a_gradient_without_a_rate():
    opt, w = jopt.prodigy(lambda step: (step % 2).astype(float), estim_lr0=0.1), jnp.ones(3)
    states = [opt.init(w)]
    for _ in range(4):  # with rates of 0, 1, 0 and 1
        updates, state = opt.update(3.0 * w, states[-1], w)
        assert bool(jnp.any(updates != 0.0)) == (len(states) % 2 == 0)
        states.append(state)
    for old, new, learns in zip(states[:-1], states[1:], (False, True, False, True), strict=True):
        same = [np.array_equal(getattr(old, name), getattr(new, name)) for name in ("exp_avg", "exp_avg_sq", "grad_sum")]
        assert same == [not learns] * 3
        assert int(new.count) == int(old.count) + 1
    assert np.array_equal(states[3].estim_lr, states[2].estim_lr)


def test_the_rates_of_wrappers_are_those_that_steps_are_made_with():
    w = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}

    def rates(opt):
        return jax.tree.map(lambda x: round(float(x), 6), jopt.learning_rate(opt, opt.init(w)))

    assert rates(jopt.mars(0.01, learning_rate_1d=0.02)) == {"learning_rate": 0.01, "learning_rate_1d": 0.02}
    assert rates(jopt.hyperball(jopt.adam(0.01), 0.02)) == {"learning_rate": 0.02, "optimizer.learning_rate": 0.01}
    assert rates(jopt.hyperball(jopt.scale_by_adam(), 0.02)) == 0.02
    assert rates(jopt.schedule_free(jopt.sgd(0.5), 0.1)) == rates(jopt.schedule_free(jopt.sgd(0.5))) == 0.5
    assert rates(jopt.schedule_free_adamw(0.5, warmup_steps=10)) == 0.05
    assert jopt.schedule_free(jopt.sgd(0.5)).replace(learning_rate=0.3) == jopt.schedule_free(jopt.sgd(0.3))


def test_a_schedule_free_rule_without_a_rate_weighs_all_steps_alike():
    w, grads = jnp.float32(4.0), [2.0, -1.0, 3.0]
    paths = []
    for opt in (
        jopt.schedule_free(jopt.sgd(0.5)),
        jopt.schedule_free(jopt.sgd(0.5), 0.5),
        jopt.schedule_free(jopt.sgd(0.5), 7.0),
    ):
        p, state = w, opt.init(w)
        for g in grads:
            updates, state = opt.update(jnp.float32(g), state, p)
            p = jopt.apply_updates(p, updates)
        paths.append((float(p), float(jopt.evaluation_params(state, p))))
    np.testing.assert_allclose(paths, [paths[0]] * 3, rtol=1e-6)

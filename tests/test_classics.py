"""Closed forms of the classics: what theory says of Adagrad, Adadelta, AdaMax, NAdam, AMSGrad, RAdam, Rprop and dampening."""

import decimal
import importlib

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.cases import SHAPES, extras, run, run_optax, stacked, tree_like

gradients = st.floats(1e-3, 1e6) | st.floats(-1e6, -1e-3)
RATE = 0.01


def steps(opt, grads, dtype=np.float64):
    """The updates of one number along its gradients."""
    updates, _ = run(opt, np.zeros([], dtype), np.asarray(grads, dtype), extras(len(grads)))
    return np.asarray(updates)


def along_a_tree(opt, seed=8, scale=1.0, steps=50):
    """The updates of a tree along random gradients, [steps, elements]."""
    grads = jax.tree.map(lambda g: scale * g, tree_like(SHAPES, seed, steps, np.float64))
    return stacked(run(opt, tree_like(SHAPES, 7, dtype=np.float64), grads, extras(steps))[0], steps)


# Sums and means of a steady gradient


@hypothesis.given(gradient=gradients)
@hypothesis.settings(max_examples=10)
def test_adagrads_step_t_along_a_steady_gradient_is_the_rate_over_the_root_of_t(gradient, x64):
    found = steps(jopt.adagrad(RATE, 0.0, eps=0.0), np.full(50, gradient))
    np.testing.assert_allclose(found, -np.sign(gradient) * RATE / np.sqrt(np.arange(1, 51)), rtol=1e-12)


def test_adagrad_on_a_sum_of_squares_falls_as_optax_prints():
    opt, x, found = jopt.adagrad(1.0), jnp.array([1.0, 2.0, 3.0]), []
    state = opt.init(x)
    for _ in range(5):
        updates, state = opt.update(2 * x, state, x)
        x = x + updates
        found.append(float(jnp.sum(x**2)))
    np.testing.assert_allclose(found, [5.01, 2.40, 1.25, 0.686, 0.385], atol=5e-3)


@hypothesis.given(gradient=gradients, rho=st.floats(0.0, 0.999), eps=st.floats(1e-8, 1.0))
@hypothesis.settings(max_examples=10)
def test_adadeltas_first_step_has_the_size_of_the_root_of_epsilon_over_that_of_the_mean_square(gradient, rho, eps, x64):
    (found,) = steps(jopt.adadelta(rho=rho, eps=eps), [gradient])
    assert found == pytest.approx(-np.sqrt(eps) / np.sqrt((1 - rho) * gradient**2 + eps) * gradient, rel=1e-12)


def test_adadelta_without_epsilon_stands_still_and_is_never_nan(x64):
    np.testing.assert_array_equal(steps(jopt.adadelta(eps=0.0), [0.0, 3.0, 0.0]), 0.0)


def test_adadelta_means_the_squares_of_its_steps_without_the_rate(x64):
    slow, fast = (along_a_tree(jopt.adadelta(rate)) for rate in (0.1, 1.0))
    np.testing.assert_allclose(10 * slow, fast, rtol=1e-12)


@hypothesis.given(gradient=gradients)
@hypothesis.settings(max_examples=10)
def test_every_step_of_adamax_and_amsgrad_along_a_steady_gradient_is_the_rate(gradient, x64):
    for opt in (jopt.adamax(RATE, eps=0.0), jopt.amsgrad(RATE, eps=0.0), jopt.nadam(RATE, b1=0.0, eps=0.0)):
        np.testing.assert_allclose(steps(opt, np.full(30, gradient)), -np.sign(gradient) * RATE, rtol=1e-12)


@pytest.mark.parametrize("factor", [2.0**-30, 2.0**20])
@pytest.mark.parametrize(
    "opt",
    [
        jopt.adagrad(RATE, 0.0, eps=0.0),
        jopt.adamax(RATE, eps=0.0),
        jopt.amsgrad(RATE, eps=0.0),
        jopt.amsgrad(RATE, eps=0.0, max_before_correction=True),
        jopt.nadam(RATE, eps=0.0),
        jopt.nadam(RATE, eps=0.0, momentum_decay=0.004),
        jopt.rprop(RATE),
    ],
    ids=repr,
)
def test_the_scale_of_the_gradients_changes_nothing(opt, factor, x64):
    np.testing.assert_allclose(along_a_tree(opt, scale=factor), along_a_tree(opt), rtol=1e-12)


# NAdam


def test_dozats_first_step_follows_from_the_first_two_values_of_mu(x64):
    first, second = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (1, 2))
    assert first == pytest.approx(0.45007, abs=5e-6)
    expected = second * 0.1 / (1 - first * second) + (1 - first) / (1 - first)
    assert steps(jopt.nadam(1.0, eps=0.0, momentum_decay=0.004), [3.0])[0] == pytest.approx(-expected, rel=1e-12)


def test_a_momentum_that_is_warm_at_once_is_optaxs_nadam(x64):
    warm, plain = (along_a_tree(jopt.nadam(RATE, momentum_decay=decay)) for decay in (1e5, None))
    np.testing.assert_allclose(warm, plain, rtol=1e-12)


def test_a_momentum_that_never_warms_up_is_half(x64):
    found, t = steps(jopt.nadam(1.0, eps=0.0, momentum_decay=0.0), np.ones(40)), np.arange(1, 41)
    mean, mu = 1 - 0.9**t, 0.45
    np.testing.assert_allclose(-found, mu * mean / (1 - mu ** (t + 1)) + (1 - mu) / (1 - mu**t), rtol=1e-12)


def test_nadam_is_adam_with_nesterov(x64):
    np.testing.assert_array_equal(along_a_tree(jopt.nadam(RATE)), along_a_tree(jopt.adam(RATE, nesterov=True)))
    np.testing.assert_array_equal(along_a_tree(jopt.nadamw(RATE)), along_a_tree(jopt.adamw(RATE, nesterov=True)))


def test_momentum_decay_must_be_one_number():
    opt, w = jopt.nadam(0.1, momentum_decay={"a": 0.004, "b": 0.01}), {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match="momentum_decay must be one number"):
        opt.update(w, opt.init(w))


# AMSGrad


@pytest.mark.parametrize("max_before_correction", [False, True])
def test_amsgrad_along_growing_gradients_is_adam(max_before_correction, x64):
    grads = 2.0 ** np.arange(30)
    ams = jopt.amsgrad(RATE, max_before_correction=max_before_correction)
    np.testing.assert_allclose(steps(ams, grads), steps(jopt.adam(RATE), grads), rtol=1e-12)


@pytest.mark.parametrize("max_before_correction", [False, True])
def test_one_large_gradient_is_never_forgotten(max_before_correction, x64):
    grads = np.r_[100.0, np.full(3000, 1e-3)]
    ams = jopt.amsgrad(1.0, max_before_correction=max_before_correction)
    most = 1e-3 * 100**2 if max_before_correction else 100**2
    assert steps(ams, grads)[-1] == pytest.approx(-1e-3 / np.sqrt(most), rel=0.03 if max_before_correction else 1e-6)
    assert steps(jopt.adam(1.0), grads)[-1] < 4 * steps(ams, grads)[-1]


# RAdam


@pytest.mark.parametrize("b2", [0.999, 0.9999, 0.99999])
def test_radam_waits_for_the_sixth_step_in_float32_too(b2):
    found = steps(jopt.radam(RATE, b2=b2), np.full(7, 5.0), np.float32)
    np.testing.assert_allclose(found[:5], -RATE * 5.0, rtol=1e-6)
    end = 2 / (1 - b2) - 1
    rho = [end - 2 * t * b2**t / (1 - b2**t) for t in (5, 6, 7)]
    assert rho[0] < 5 < rho[1]
    r = [np.sqrt((x - 4) * (x - 2) * end / ((end - 4) * (end - 2) * x)) for x in rho[1:]]
    # The exact b2 is not float32's, which moves 1 − b2 by up to 6e-8 / 1e-5.
    np.testing.assert_allclose(found[5:], -RATE * np.asarray(r), rtol=1e-2)


def test_the_lengths_that_radam_waits_for_are_those_of_the_paper(x64):
    for threshold, steps_before in ((4.99, 4), (4.999, 5), (5.99, 5), (5.9999, 6)):
        found = steps(jopt.radam(1.0, threshold=threshold), np.full(8, 5.0))
        assert np.sum(np.isclose(found, -5.0)) == steps_before


@pytest.mark.parametrize("x", [1e-6, 1e-3, 0.03, 0.1, 0.3, 0.4, 0.499, 0.5, 0.501, 0.8, 3.0, 40.0])
def test_the_function_of_the_length_in_radam_is_exact_to_the_last_digits(x, x64):
    with decimal.localcontext() as context:
        context.prec = 60
        exact = float(1 / decimal.Decimal(x) - 1 / (decimal.Decimal(x).exp() - 1))
    from_module = importlib.import_module("jopt.optimizers.radam")  # the name is that of the function, too
    assert float(from_module._without_pole(jnp.float64(x))) == pytest.approx(exact, rel=4e-15, abs=0.0)


def test_radam_ends_as_adam(x64):
    grads = np.random.default_rng(0).normal(size=400)
    np.testing.assert_allclose(
        steps(jopt.radam(RATE, b2=0.9), grads)[-50:] / steps(jopt.adam(RATE, b2=0.9), grads)[-50:], 1.0, rtol=1e-12
    )


# Rprop


def test_rprops_steps_grow_by_eta_plus_until_the_bound(x64):
    found = steps(jopt.rprop(0.1, max_step_size=0.3), np.full(10, 7.0))
    np.testing.assert_allclose(found, -np.minimum(0.1 * 1.2 ** np.arange(10), 0.3), rtol=1e-12)


def test_rprop_stands_still_where_the_sign_turns_and_goes_on_with_half_the_step(x64):
    found = steps(jopt.rprop(0.1), [1.0, -1.0, -1.0, -1.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(found, [-0.1, 0.0, 0.05, 0.06, 0.0, 0.0, -0.03], atol=1e-15)


def test_rprops_steps_do_not_fall_under_the_bound(x64):
    found = steps(jopt.rprop(0.1, min_step_size=0.04), [1.0, -1.0, -1.0, 1.0, 1.0])
    np.testing.assert_allclose(found, [-0.1, 0.0, 0.05, 0.0, -0.04], atol=1e-15)


def test_rprop_tells_the_signs_of_tiny_gradients():
    found = steps(jopt.rprop(1e-3), [1e-30, -1e-30, -1e-30], np.float32)
    np.testing.assert_allclose(found, [-1e-3, 0.0, 5e-4], rtol=1e-6)


def test_rprop_steps_at_once_where_optax_is_one_update_late(x64):
    grads = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    np.testing.assert_allclose(steps(jopt.rprop(0.1), grads), [-0.1, -0.12, -0.144, 0.0, 0.072], rtol=1e-12)
    late, _ = run_optax(optax.rprop(0.1), np.zeros([]), grads, extras(5))
    np.testing.assert_allclose(late, [0.0, -0.1, -0.12, 0.0, 0.0], rtol=1e-12)


def test_rprop_refuses_complex_leaves_by_name():
    with pytest.raises(TypeError, match=r"the leaf at \['z'\] is complex"):
        jopt.rprop(0.1).init({"z": jnp.zeros(2, jnp.complex64)})


# Momentum


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.99])
def test_as_much_dampening_as_momentum_makes_a_mean_of_the_gradients(mu, x64):
    found = steps(jopt.sgd(RATE, mu, dampening=mu), np.full(30, 3.0))
    np.testing.assert_allclose(found, -RATE * 3.0, rtol=1e-12)


def test_dampening_spares_the_first_gradient(x64):
    found = steps(jopt.sgd(1.0, 0.9, dampening=0.4), [1.0, 0.0, 1.0])
    np.testing.assert_allclose(found, [-1.0, -0.9, -0.81 - 0.6], rtol=1e-12)


def test_no_dampening_is_plain_momentum(x64):
    for nesterov in (False, True):
        some = along_a_tree(jopt.sgd(RATE, 0.9, nesterov, dampening=0.0))
        np.testing.assert_allclose(some, along_a_tree(jopt.sgd(RATE, 0.9, nesterov)), rtol=1e-12, atol=1e-16)


def test_dampening_without_momentum_is_an_error():
    with pytest.raises(ValueError, match="dampening weighs what a gradient adds to the momentum"):
        jopt.sgd(0.1, dampening=0.5)


@pytest.mark.parametrize(("rate_inside", "end"), [(True, -1.27807), (False, -0.6832)])
def test_rmsprops_rate_stands_inside_or_outside_the_momentum_as_the_lecture_and_pytorch_have_it(rate_inside, end, x64):
    rate = jopt.piecewise_constant_schedule(0.1, {3: 0.1})
    opt = jopt.rmsprop(rate, decay=0.0, eps=0.0, momentum=0.9, rate_inside=rate_inside)
    assert np.sum(steps(opt, np.full(6, 5.0))) == pytest.approx(end, abs=5e-5)


# Decay


@pytest.mark.parametrize("factory", [jopt.adamw, jopt.nadamw, jopt.adamaxw])
@pytest.mark.parametrize(("decoupled", "factor"), [(False, 1 - RATE * 0.1), (True, 1 - 0.1)])
def test_without_gradients_weights_fall_by_the_decay_alone(factory, decoupled, factor, x64):
    w, opt = jnp.array([1.0, -2.0]), factory(RATE, weight_decay=0.1, decoupled=decoupled)
    updates, _ = opt.update(jnp.zeros(2), opt.init(w), w)
    np.testing.assert_allclose(w + updates, factor * w, rtol=1e-12)


def test_adadelta_decays_through_the_gradient_or_beside_it(x64):
    w, still = jnp.array([1.0, -2.0]), jnp.zeros(2)
    beside, through = (jopt.adadelta(RATE, weight_decay=0.1, decoupled=decoupled) for decoupled in (True, False))
    np.testing.assert_allclose(beside.update(still, beside.init(w), w)[0], -0.1 * w, rtol=1e-12)
    expected = jopt.adadelta(RATE)
    np.testing.assert_allclose(
        through.update(still, through.init(w), w)[0], expected.update(0.1 * w, expected.init(w), w)[0], rtol=1e-12
    )

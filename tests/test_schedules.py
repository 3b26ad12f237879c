"""Schedules against float64 functions and Optax, and every number of theirs traced."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests import reference
from tests.cases import SCHEDULES, name_of

STEPS = np.arange(2001)


@jax.jit
def values(schedule, steps):
    return jax.vmap(schedule)(steps)


def error(found, expected):
    """The largest error, relative to the largest value: an end value of 0 is reached by subtraction."""
    return np.max(np.abs(np.asarray(found) - expected)) / np.max(np.abs(expected))


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_2001_steps_agree_with_the_float64_function_to_1e_12_in_float64(case, x64):
    expected = [case.make("reference")(int(t)) for t in STEPS]
    assert error(values(case.make(), STEPS), expected) < 1e-12


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_2001_steps_agree_with_the_float64_function_to_1e_5_in_float32(case):
    expected = [case.make("reference")(int(t)) for t in STEPS]
    found = values(case.make(), STEPS)
    assert found.dtype == jnp.float32
    assert error(found, expected) < 1e-5


@pytest.mark.parametrize("case", [c for c in SCHEDULES if c.in_optax], ids=name_of)
def test_2001_steps_agree_with_optax_to_1e_12_in_float64(case, x64):
    theirs = jax.vmap(case.make("optax"))(STEPS.astype(np.float64))  # in float32 for int32 steps
    assert error(values(case.make(), STEPS), np.broadcast_to(theirs, STEPS.shape)) < 1e-12


numbers = st.floats(1e-4, 1.0).map(np.float32).map(float)
stretches = st.integers(0, 60)


@hypothesis.given(start=numbers, peak=numbers, warmup=stretches, more=st.integers(1, 60))
def test_any_warmup_cosine_agrees_with_the_float64_function(start, peak, warmup, more, x64):
    make = {"init_value": start, "peak_value": peak, "warmup_steps": warmup}
    make["decay_steps"] = warmup + more
    expected = [reference.warmup_cosine_decay_schedule(**make)(t) for t in range(200)]
    found = values(jopt.warmup_cosine_decay_schedule(**make), STEPS[:200])
    assert error(found, expected) < 1e-12


def test_natural_exp_decay_is_right_to_1e_6_at_100_000_steps_in_float32():
    found = jopt.natural_exp_decay(0.1, 1e-4)(100_000)
    assert float(found) == pytest.approx(0.1 * np.exp(-10.0), rel=1e-6)


def test_a_decay_that_ends_before_the_warmup_stays_at_the_peak():
    schedule = jopt.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=10, decay_steps=7)
    assert values(schedule, np.array([5, 10, 12, 100])).tolist() == [0.5, 1.0, 1.0, 1.0]


def test_a_peak_of_zero_leads_to_the_end_value_as_any_other_peak_does():
    steps = np.array([0, 50, 75, 100])
    for peak in (0.0, 1e-9):
        found = values(jopt.warmup_cosine_decay_schedule(0.2, peak, 50, 100, end_value=-3.0), steps)
        np.testing.assert_allclose(found, [0.2, peak, -1.5, -3.0], atol=1e-6)  # float32


def test_a_plain_function_of_the_step_can_be_joined():
    joined = jopt.join_schedules([lambda step: 1.0, lambda step: step * 0.5], [10])
    assert values(joined, np.array([9, 10, 14])).tolist() == [1.0, 0.0, 2.0]


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_a_schedule_can_be_made_of_traced_numbers(case):
    steps, numbers = STEPS[::100], []
    case.make(number=lambda x: numbers.append(float(x)) or x)

    def traced(numbers):
        queue = iter(numbers)
        return jax.vmap(case.make(number=lambda _: next(queue)))(steps)

    plain = values(case.make(), steps)
    found = jax.jit(traced)(numbers)
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-7 * np.max(np.abs(plain)))


def _with_leaf(treedef, leaves, index, x):
    return treedef.unflatten([*leaves[:index], x, *leaves[index + 1 :]])


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_the_derivative_with_respect_to_every_number_is_finite_at_every_step(case):
    slopes = jax.jit(jax.vmap(jax.grad(lambda s, t: s(t)), (None, 0)))(case.make(), STEPS)
    assert all(np.all(np.isfinite(slope)) for slope in jax.tree.leaves(slopes))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_a_polynomials_derivative_is_finite_at_its_end_for_every_power(power):
    slopes = jax.grad(lambda s: s(20))(jopt.polynomial_schedule(1.0, 0.5, power, 10))
    assert np.all(np.isfinite(jax.tree.leaves(slopes)))


def test_a_joined_schedule_that_overflows_before_its_turn_has_finite_derivatives():
    joined = jopt.join_schedules([jopt.constant_schedule(1.0), jopt.natural_exp_decay(1.0, 1.0)], [200])
    assert np.all(np.isfinite(jax.tree.leaves(jax.grad(lambda s: s(20))(joined))))


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_the_derivatives_are_the_central_differences(case, x64):
    schedule = case.make()
    leaves, treedef = jax.tree.flatten(schedule)
    at = 77.0  # no boundary of the table
    found = jax.tree.leaves(jax.grad(lambda s: s(at))(schedule))
    for i, x in enumerate(leaves):
        if x == 0.0:  # at the end of its range
            continue
        h = 1e-6 * max(abs(x), 1e-3)
        above, below = (_with_leaf(treedef, leaves, i, x + d)(at) for d in (h, -h))
        assert float(found[i]) == pytest.approx(float(above - below) / (2 * h), rel=1e-5, abs=1e-9)

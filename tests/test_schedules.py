"""Schedules against float64 functions and Optax, and every number of theirs traced."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests import schedule_reference
from tests.cases import name_of
from tests.schedule_cases import SCHEDULES

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
    expected = [schedule_reference.warmup_cosine_decay_schedule(**make)(t) for t in range(200)]
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


LARGE = 2**24  # from here on float32 does not tell every step from the next


def _stairs(begin, steps=3):
    return jopt.exponential_decay(1.0, steps, 0.5, transition_begin=begin, staircase=True)


@pytest.mark.parametrize("boundary", [100, LARGE + 1, LARGE + 3, 2**30, 2**31 - 65])
@pytest.mark.parametrize("run", [lambda s, t: s(t), jax.jit(lambda s, t: s(t))], ids=["plain", "jitted"])
def test_what_begins_at_a_step_begins_there_and_not_a_step_before(boundary, run):
    half = jopt.constant_schedule(0.5)
    beginning = {
        jopt.piecewise_constant_schedule(1.0, {boundary: 0.1}): (1.0, 0.1),
        jopt.join_schedules([jopt.constant_schedule(1.0), half], [boundary]): (1.0, 0.5),
        jopt.join_schedules([jopt.constant_schedule(1.0), jopt.linear_schedule(0.5, 1.0, 10)], [boundary]): (1.0, 0.5),
        _stairs(boundary - 3): (1.0, 0.5),
        jopt.linear_schedule(1.0, 0.0, 10, transition_begin=boundary - 1): (1.0, 0.9),
        jopt.polynomial_schedule(1.0, 0.0, 1.0, 10, transition_begin=boundary - 1): (1.0, 0.9),
        jopt.exponential_decay(1.0, 1, 0.25, transition_begin=boundary - 1): (1.0, 0.25),
        jopt.warmup_cosine_decay_schedule(1.0, 1.0, boundary - 1, boundary + 1): (1.0, 0.5),
    }
    for schedule, expected in beginning.items():
        found = [float(run(schedule, jnp.int32(t))) for t in (boundary - 1, boundary)]
        assert found == pytest.approx(expected, rel=1e-6), schedule


@pytest.mark.parametrize("steps", [1000, 123_457, LARGE + 1])
def test_a_staircase_falls_at_whole_multiples(steps):
    at = (2**31 - 1) // steps * steps  # float32(at) / steps may round to another whole number
    one = jopt.exponential_decay(1.0, steps, 1.0 - 1e-5, staircase=True)
    assert float(one(at - 1)) > float(one(at)) == float(one(at + min(steps - 1, 2**31 - 1 - at)))


def test_a_joined_schedule_counts_its_own_steps_as_integers():
    joined = jopt.join_schedules([jopt.constant_schedule(1.0), jopt.piecewise_constant_schedule(0.5, {LARGE + 1: 0.1})], [10])
    assert values(joined, np.array([10 + LARGE, 11 + LARGE])).tolist() == pytest.approx([0.5, 0.05])


def test_a_joined_function_may_look_its_step_up():
    table = jnp.array([0.1, 0.2, 0.3])
    joined = jopt.join_schedules([jopt.constant_schedule(1.0), lambda step: table[step]], [10])
    assert values(joined, np.array([9, 10, 12])).tolist() == pytest.approx([1.0, 0.1, 0.3])


def test_a_boundary_between_two_steps_counts_from_the_second():
    joined = jopt.join_schedules([jopt.constant_schedule(1.0), lambda step: step * 0.5], [9.5])
    assert values(joined, np.array([9, 10, 12])).tolist() == [1.0, 0.0, 1.0]
    assert float(joined(12.5)) == 1.5  # a fractional step keeps its fraction
    piecewise = jopt.piecewise_constant_schedule(1.0, {9.5: 0.5})
    assert values(piecewise, np.array([9, 10])).tolist() == [1.0, 0.5]


def test_swept_boundaries_are_exact():
    swept = jopt.sgd(jopt.piecewise_constant_schedule(1.0, {jopt.choice(LARGE, LARGE + 1, LARGE + 2): 0.5}))
    stacked, in_axes = jopt.lanes(swept)
    found = jax.vmap(lambda opt: [rate_at(opt, LARGE + k) for k in range(3)], in_axes=(in_axes,))(stacked)
    assert np.transpose(found).tolist() == [[0.5, 0.5, 0.5], [1.0, 0.5, 0.5], [1.0, 1.0, 0.5]]


def rate_at(opt, step):
    """The learning rate of ``sgd`` after so many updates."""
    state = jax.tree.map(lambda _: jnp.int32(step), opt.init(0.0))
    return -opt.update(1.0, state, 0.0)[0]


def test_a_sweep_takes_boundaries_that_are_whole_numbers_above_float32():
    axis = jopt.choice(2, LARGE + 1, name="boundary")
    swept = jopt.sgd(jopt.piecewise_constant_schedule(1.0, {axis: 0.5}))

    def step(opt, carry, batch, key):
        return carry, {"before": rate_at(opt, LARGE), "at": rate_at(opt, LARGE + 1), "loss": jnp.float32(0.0) + carry}

    result = jopt.sweep_steps(lambda opt, key: jnp.float32(1.0), step, swept, steps=1, progress=False)
    assert result.dataset["before"].values.ravel().tolist() == [0.5, 1.0]
    assert result.dataset["at"].values.ravel().tolist() == [0.5, 0.5]
    assert result.dataset.boundary.values.tolist() == [2, LARGE + 1]
    assert result.best("before", "max").hyperparams["learning_rate"]["boundaries"] == [LARGE + 1]


def test_another_boundary_compiles_nothing():
    count = []

    @jax.jit
    def at(schedule, step):
        count.append(1)
        return schedule(step)

    for boundaries in [(3, 100, 7), (LARGE + 1, LARGE + 2, 2**30)]:
        count.clear()
        for boundary in boundaries:
            assert float(at(jopt.piecewise_constant_schedule(1.0, {boundary: 0.5}), jnp.int32(boundary))) == 0.5
        assert len(count) == 1


@pytest.mark.parametrize("step", [jnp.uint8(200), jnp.int16(200), np.int64(200), 200, 200.0, jnp.bfloat16(200)])
def test_a_step_may_be_of_any_type(step):
    joined = jopt.join_schedules([jopt.constant_schedule(1.0), jopt.linear_schedule(0.0, 1.0, 200)], [100])
    assert float(joined(step)) == 0.5


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_schedules_work_where_mixing_types_is_an_error(case, strict_promotion):
    assert np.isfinite(float(case.make()(jnp.int32(7))))

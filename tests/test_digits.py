"""The digits of numbers: what an axis keeps of them, what float32 does to them, and how many are stacked at once."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.expanding import expand

THIRD = 1 / 3  # 0.3333333333333333, which twelve digits do not hold


@pytest.mark.parametrize("make", [jopt.linspace, jopt.geomspace])
@pytest.mark.parametrize("ends", [(THIRD, 2 * THIRD), (2 * THIRD, THIRD), (0.1 + 0.2, np.pi), (123456789.01234567, 2**53)])
@pytest.mark.parametrize("num", [1, 2, 5])
def test_the_ends_of_an_axis_keep_every_digit(make, ends, num):
    values = make(*ends, num).values
    assert len(values) == num
    assert values[0] == ends[0]
    assert num == 1 or values[-1] == ends[1]


def test_decades_keep_every_digit():
    assert jopt.decades(0.123456789012345, 12.3456789012345).values == (0.123456789012345, 1.23456789012345, 12.3456789012345)
    assert jopt.decades(THIRD * 100, THIRD * 10).values == (THIRD * 100, THIRD * 10)
    assert jopt.decades(1e-200, 1e200).values[::200] == (1e-200, 1.0, 1e200)


def test_what_lies_between_reads_as_it_would_be_written():
    assert jopt.linspace(0.0, 1.0, 11).values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert jopt.linspace(-0.3, 0.3, 7).values == (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
    assert jopt.geomspace(1e-5, 1e-1, 5).values == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    assert jopt.geomspace(1e200, 1e-200, 5).values == (1e200, 1e100, 1.0, 1e-100, 1e-200)


@pytest.mark.parametrize("make", [jopt.linspace, jopt.geomspace])
def test_ends_that_are_near_have_values_between_them(make):
    values = make(1.0, 1.0 + 1e-13, 5).values
    np.testing.assert_allclose(np.diff(values), 2.5e-14, rtol=0.02)


def test_an_axis_as_wide_as_floats_are_has_its_values():
    assert jopt.linspace(-1e308, 1e308, 5).values == (-1e308, -5e307, 0.0, 5e307, 1e308)


def draws(axis):
    return np.array(expand(jopt.sgd(axis), samples=64).dimensions[0].members[0][2])


def test_draws_between_any_two_positive_numbers_are_even_on_a_logarithmic_scale(x64):
    logs = np.log10(draws(jopt.loguniform(1e-200, 1e200)))
    assert np.histogram(logs, 4, (-200, 200))[0].tolist() == [16] * 4


def test_draws_between_any_two_numbers_are_even(x64):
    found = draws(jopt.uniform(0.0, 1.7e308))
    assert np.histogram(found, 4, (0.0, 1.7e308))[0].tolist() == [16] * 4
    wide = jopt.uniform(-1e308, 1e308)
    assert wide.at(np.array([0.0, 0.25, 0.5, 1.0])) == (-1e308, -5e307, 0.0, 1e308)


def test_a_number_that_float64_holds_is_taken_where_it_computes(x64):
    opt = jopt.adam(0.1, b2=1 - 2**-25, eps=0.0)
    w = jnp.zeros(2, jnp.float64)
    np.testing.assert_allclose(opt.update(w + 3, opt.init(w))[0], -0.1, rtol=1e-6)
    assert jopt.reduce_on_plateau(factor=1 - 1e-10).hyperparams["factor"] == 1 - 1e-10
    assert jopt.sgd(1e200).hyperparams == {"learning_rate": 1e200}


def test_a_number_that_rounds_to_an_end_of_its_interval_that_belongs_to_it_is_taken():
    assert jopt.adam(1e-60, b1=1e-60, eps=1e-60).hyperparams["eps"] == 1e-60
    assert jopt.sgd(0.1, momentum=1 - 2**-30).hyperparams["momentum"] == 1 - 2**-30
    assert jopt.adam(0.1, b2=float(np.nextafter(np.float32(1), np.float32(0)))).hyperparams["b2"] < 1


@pytest.mark.parametrize("values", [(0.1, 0.2), (3, 2**24 + 1)], ids=["floats", "whole numbers above float32"])
def test_stacked_lanes_are_weakly_typed_as_python_numbers_are(values):
    stacked, in_axes = jopt.lanes(jopt.sgd(jopt.choice(*values)))
    rates = stacked.hyperparams["learning_rate"]
    assert rates.weak_type
    assert rates.tolist() == pytest.approx(values, rel=1e-7)
    solo = jopt.sgd(values[1])
    found = jax.vmap(lambda opt: opt.update(jnp.bfloat16(1), opt.init(0.0))[0], in_axes=(in_axes,))(stacked)
    assert found[1] == solo.update(jnp.bfloat16(1), solo.init(0.0))[0]
    assert found.dtype == jnp.bfloat16


def test_four_thousand_lanes_are_one_array():
    many = jopt.sgd(jopt.geomspace(1e-5, 1e-1, 4000))
    jopt.lanes(jopt.sgd(jopt.choice(0.1, 0.2)))
    start = time.perf_counter()
    stacked, _ = jopt.lanes(many)
    assert time.perf_counter() - start < 1  # it took 4 s when each number was an array first
    np.testing.assert_allclose(stacked.hyperparams["learning_rate"], np.geomspace(1e-5, 1e-1, 4000), rtol=1e-6)


def test_the_optimizer_of_a_setting_is_the_one_that_its_numbers_make():
    axis = jopt.choice(100, 2**24 + 1, 2**30)
    space = expand(jopt.sgd(jopt.piecewise_constant_schedule(1.0, {axis: 0.1})))
    for k, boundary in enumerate((100, 2**24 + 1, 2**30)):
        assert space.at(k) == jopt.sgd(jopt.piecewise_constant_schedule(1.0, {boundary: 0.1}))

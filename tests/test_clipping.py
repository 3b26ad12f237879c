"""Clipping by the global norm at the ends of the number range, where squares overflow and vanish."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

TINY, HUGE = np.finfo(np.float32).tiny, np.finfo(np.float32).max


def clipped(grads, max_norm=1.0, jit=True):
    rule = jopt.clip_by_global_norm(max_norm)
    update = jax.jit(rule.update) if jit else rule.update
    return update(grads, rule.init(grads))[0]


@pytest.mark.parametrize("jit", [True, False], ids=["jitted", "plain"])
@pytest.mark.parametrize("max_norm", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("size", [1e-25, 1e-18, 1.0, 2e19, 3e38])
def test_a_tree_of_any_size_is_clipped_to_the_norm_in_its_own_direction(size, max_norm, jit):
    direction = {"a": np.array([3.0, -4.0]) / 13, "b": np.array([[12.0, 0.0]]) / 13}  # of norm 1
    found = clipped(jax.tree.map(lambda x: jnp.float32(x * size), direction), max_norm, jit)
    expected = jax.tree.map(lambda x: np.float32(x * np.float32(min(size, max_norm))), direction)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)


def test_a_gradient_of_2e19_is_clipped_to_a_vector_of_norm_1():
    assert float(clipped(jnp.float32(2e19))) == 1.0
    np.testing.assert_allclose(clipped(jnp.full(4, -2e19)), -0.5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_the_largest_numbers_of_other_types_are_clipped_to_norm_1(dtype):
    largest = jnp.finfo(dtype).max
    found = clipped(jnp.full(4, largest, dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, np.complex64), 0.5, rtol=1e-2)


def test_the_largest_float64_numbers_are_clipped_to_norm_1(x64):
    np.testing.assert_allclose(clipped(jnp.full(4, 1.5e308)), 0.5, rtol=1e-15)
    np.testing.assert_allclose(clipped(jnp.full(4, 1e-200), 1e-200), 5e-201, rtol=1e-15)


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-40, TINY])
def test_gradients_that_are_zero_or_subnormal_are_not_blown_up(size):
    found = np.abs(np.asarray(clipped(jnp.full(3, size, jnp.float32))))
    assert np.all((found == np.float32(size)) | (found == 0))  # a CPU may take subnormal numbers as 0
    beside = clipped(jnp.array([size, 3.0], jnp.float32))
    np.testing.assert_allclose(beside, [0.0, 1.0], atol=2 * TINY)


def test_a_norm_scheduled_down_to_zero_gives_zero_and_never_nan():
    rule = jopt.clip_by_global_norm(jopt.linear_schedule(1.0, 0.0, 1))
    _, at_the_end = rule.update(jnp.ones(2), rule.init(jnp.ones(2)))
    for grads in (jnp.zeros(2), jnp.ones(2), jnp.full(2, HUGE), jnp.full(2, TINY)):
        assert rule.update(grads, at_the_end)[0].tolist() == [0.0, 0.0]


def test_what_is_within_the_norm_is_passed_on_bit_for_bit():
    grads = jnp.array([0.3, -1e-30, 0.1])
    assert clipped(grads).tolist() == grads.tolist()
    assert clipped(jnp.array([3e38, 0.0]), 3.2e38).tolist() == jnp.array([3e38, 0.0]).tolist()


def test_a_gradient_that_is_nan_or_infinite_is_not_hidden():
    assert np.isnan(clipped(jnp.array([jnp.nan, 1.0]))).all()
    assert np.isnan(clipped(jnp.array([jnp.inf, 1.0]))[0])


def test_the_derivative_is_that_of_the_formula():
    slope = jax.grad(lambda g: clipped(g)[0])(jnp.array([3.0, 4.0]))
    np.testing.assert_allclose(slope, [1 / 5 - 9 / 125, -12 / 125], rtol=1e-6)
    by_norm = jax.grad(lambda rule: rule.update(jnp.array([3.0, 4.0]), rule.init(0.0))[0][0])(jopt.clip_by_global_norm(1.0))
    assert by_norm.hyperparams["max_norm"] == pytest.approx(0.6)


def test_lanes_are_clipped_each_by_its_own_norm():
    stacked, in_axes = jopt.lanes(jopt.clip_by_global_norm(jopt.choice(1.0, 2.0)))
    found = jax.vmap(lambda rule: rule.update(jnp.full(4, 2e19), rule.init(0.0))[0], in_axes=(in_axes,))(stacked)
    np.testing.assert_allclose(found, [[0.5] * 4, [1.0] * 4])


@pytest.mark.parametrize("rule", [jopt.scale_by_adam(eps=0.0), jopt.scale_by_rms(eps=0.0), jopt.scale_by_stddev(eps=0.0)])
def test_without_eps_the_smallest_gradients_give_no_more_than_themselves_or_what_the_rule_says(rule):
    def size(g):
        return abs(float(jax.jit(rule.update)(jnp.float32(g), rule.init(jnp.float32(0.0)))[0]))

    whole = size(1e-3)  # 1 for Adam, 1/√(1 − β) for RMSProp
    assert size(1e-17) == pytest.approx(whole, rel=1e-5)
    for tiny in (1e-18, 1e-19, 1e-21):  # whose squares float32 may not hold: documented at ``eps``
        assert size(tiny) == pytest.approx(whole, rel=0.1) or size(tiny) == pytest.approx(tiny, rel=1e-5)
    assert size(0.0) == 0.0

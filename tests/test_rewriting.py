"""The gradient of max pooling, rewritten for CPUs, against JAX's own."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jopt
from jopt.engine.compiled.cpu.pooling import rewritten, select_and_scatter

RANDOM = np.random.default_rng(0)


def pooled(x, window, strides=None, padding="VALID", largest=True):
    start, extreme = (-jnp.inf, lax.max) if largest else (jnp.inf, lax.min)
    return lax.reduce_window(x, start, extreme, window, strides or window, padding)


def gradient(x, window, **options):
    return jax.grad(lambda x: jnp.sum(pooled(x, window, **options) ** 2))(x)


@st.composite
def windows(draw):
    window = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    shape = [k * draw(st.integers(1, 3)) + draw(st.integers(0, k - 1)) for k in window]
    return tuple(window), tuple(shape), draw(st.integers(0, 2**31))


@hypothesis.given(windows(), st.booleans())
def test_the_first_extreme_of_each_window_gets_its_element(case, largest):
    window, shape, seed = case
    random = np.random.default_rng(seed)
    operand = jnp.asarray(random.integers(0, 3, shape), jnp.float32)  # so few values that many tie
    out = jax.eval_shape(lambda x: pooled(x, window), operand)
    source = jnp.asarray(random.normal(size=out.shape), jnp.float32)
    expected = jax.vjp(lambda x: pooled(x, window, largest=largest), operand)[1](source)[0]
    np.testing.assert_array_equal(select_and_scatter(source, operand, window, largest), expected)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "inside_jit"])
def test_a_gradient_of_max_pooling_is_rewritten_and_stays_the_same(wrap):
    x = jnp.asarray(RANDOM.normal(size=(2, 5, 6, 3)), jnp.float32)
    function = wrap(lambda x: gradient(x, (1, 2, 2, 1)))
    closed = jax.make_jaxpr(function)(x)
    new = rewritten(closed)
    assert "select_and_scatter_add" in str(closed)
    assert "select_and_scatter_add" not in str(new)
    np.testing.assert_array_equal(jax.extend.core.jaxpr_as_fun(new)(x)[0], function(x))


@pytest.mark.parametrize("options", [{"strides": (1, 1)}, {"padding": "SAME"}], ids=["overlapping_windows", "padded_windows"])
def test_other_windows_are_left_to_xla(options):
    x = jnp.asarray(RANDOM.normal(size=(5, 5)), jnp.float32)
    closed = jax.make_jaxpr(lambda x: gradient(x, (2, 2), **options))(x)
    assert "select_and_scatter_add" in str(closed)
    assert rewritten(closed) is closed


def test_random_keys_and_loops_pass_through():
    def function(x, key):
        noise = lax.fori_loop(0, 3, lambda i, s: s + jax.random.normal(jax.random.fold_in(key, i), s.shape), jnp.zeros(x.shape))
        return gradient(x + noise, (2, 2)), jax.random.split(key)[1]

    x, key = jnp.asarray(RANDOM.normal(size=(4, 4)), jnp.float32), jax.random.key(3)
    closed = jax.make_jaxpr(function)(x, key)
    made, new_key = jax.extend.core.jaxpr_as_fun(rewritten(closed))(x, key)
    expected, expected_key = function(x, key)
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    assert (jax.random.key_data(new_key) == jax.random.key_data(expected_key)).all()


@pytest.mark.parametrize("loop", ["scan", "host"])
def test_a_pooled_network_trains_in_a_sweep_as_it_does_alone(loop):
    images = RANDOM.normal(size=(16, 6, 6, 1)).astype(np.float32)
    params = {"kernel": jnp.asarray(RANDOM.normal(size=(3, 3, 1, 2)), jnp.float32), "out": jnp.ones(8) / 8}

    def loss(p, x):
        y = lax.conv_general_dilated(x, p["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.mean((pooled(y, (1, 2, 2, 1)).reshape(len(x), -1) @ p["out"] - 1.0) ** 2)

    plan = jopt.Plan(width=2, loop=loop, workers=1)
    result = jopt.sweep(loss, params, jopt.sgd(jopt.choice(0.01, 0.1)), images, steps=20, progress=False, plan=plan)
    for i, rate in enumerate((0.01, 0.1)):
        _, _, alone = jopt.train(loss, params, jopt.sgd(rate), np.broadcast_to(images, (20, *images.shape)))
        np.testing.assert_allclose(result.dataset.loss.values[i].ravel(), alone, rtol=1e-4)

"""Complex parameters descend: the gradient that an optimizer is handed is the conjugate of JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

TARGET = 1 + 2j
STEPS = 60
OPTIMIZERS = {
    "sgd": jopt.sgd(0.1),
    "momentum": jopt.momentum(0.02, momentum=0.8),
    "rmsprop": jopt.rmsprop(0.05),
    "adam": jopt.adam(0.2),
    "chain": jopt.chain(jopt.clip_by_global_norm(1.0), jopt.sgd(0.1)),
}


def distance(z, _):
    return jnp.sum(jnp.abs(z - TARGET) ** 2)


def swept(optimizer, start, loss=distance):
    params = jopt.sweep(loss, start, optimizer, steps=STEPS, progress=False).params
    return jax.tree.map(lambda x: x[0], params)  # of the only seed


def trained(optimizer, start):
    return jopt.train(distance, start, optimizer, jnp.arange(STEPS))[0]


@pytest.mark.parametrize("run", [swept, trained])
def test_gradient_descent_follows_the_closed_form(run):
    found = run(jopt.sgd(0.1), jnp.complex64(0))
    np.testing.assert_allclose(found, TARGET * (1 - 0.8**STEPS), rtol=1e-5)


@pytest.mark.parametrize("run", [swept, trained])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_comes_nearer_to_a_complex_target(run, name):
    start = jnp.asarray([0j, 3 - 1j], jnp.complex64)
    found = run(OPTIMIZERS[name], start)
    assert found.dtype == np.complex64
    assert float(distance(found, None)) < 0.1 * float(distance(start, None))


def test_a_complex_parameter_goes_where_its_two_real_parts_go():
    def parts(w, _):
        return (w["re"] - 1) ** 2 + 3 * (w["im"] - 2) ** 2 + w["re"] * w["im"]

    def whole(z, batch):
        return parts({"re": jnp.real(z), "im": jnp.imag(z)}, batch)

    start = {"re": jnp.float32(0.5), "im": jnp.float32(-1.0)}
    apart = swept(jopt.sgd(0.05, momentum=0.5), start, parts)
    together = swept(jopt.sgd(0.05, momentum=0.5), jnp.complex64(0.5 - 1j), whole)
    np.testing.assert_allclose(together, apart["re"] + 1j * apart["im"], rtol=1e-4)


def test_what_line_searches_are_told_is_the_gradient_that_descends():
    @jopt.transformation
    def by_the_argument():
        def update(updates, state, params=None, *, grad, **extra_args):
            return -0.1 * grad, state

        return lambda params: (), update

    for run in (swept, trained):
        np.testing.assert_allclose(run(by_the_argument(), jnp.complex64(0)), TARGET * (1 - 0.8**STEPS), rtol=1e-5)


def test_update_itself_and_a_step_of_ones_own_take_what_they_are_given():
    opt, z = jopt.sgd(0.1), jnp.complex64(0)
    np.testing.assert_allclose(opt.update(jnp.complex64(1 + 1j), opt.init(z), z)[0], -0.1 - 0.1j, rtol=1e-6)

    def step(optimizer, carry, batch, key):
        z, state = carry
        updates, state = optimizer.update(jnp.conj(jax.grad(distance)(z, None)), state, z)
        return (jopt.apply_updates(z, updates), state), {"loss": distance(z, None)}

    def init(optimizer, key):
        return jnp.complex64(0), optimizer.init(jnp.complex64(0))

    result = jopt.sweep_steps(init, step, jopt.sgd(0.1), steps=STEPS, progress=False)
    np.testing.assert_allclose(result.best().params[0], TARGET * (1 - 0.8**STEPS), rtol=1e-5)

"""What jopt leaves to ``lift``: each of these is swept, and every lane is Optax's own run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt

# Optax's own, about keys that will be needed and names that will go.
pytestmark = pytest.mark.filterwarnings("ignore:Specifying a key", "ignore::DeprecationWarning")

PARAMS = {"w": jnp.array([[0.5, -1.0, 2.0], [3.0, 0.1, -0.2], [1.0, 0.3, 0.7]]), "b": jnp.array([0.1, -0.3, 0.5])}
STEPS = 6


def loss(params, batch):
    return value_of(params)


def value_of(params):
    return jnp.sum((params["w"] - 1.0) ** 2) + 0.5 * jnp.sum((params["b"] + 0.5) ** 4)


def adversary(rate):
    return optax.chain(optax.contrib.normalize(), optax.sgd(rate))


MECHANIZED_SGD = functools.partial(optax.contrib.mechanize, optax.sgd(0.1), s_init=0.1)
# The factory, and the two settings of each number that is swept. Optax 0.2.8 has no ASGD and no FTRL.
LEFT = {
    "sm3": (optax.sm3, {"learning_rate": (0.1, 0.5), "momentum": (0.5, 0.9)}),
    "novograd": (optax.novograd, {"learning_rate": (0.01, 0.1), "b1": (0.8, 0.95)}),
    "yogi": (optax.yogi, {"learning_rate": (0.01, 0.1), "eps": (1e-3, 1e-2)}),
    "noisy_sgd": (optax.noisy_sgd, {"learning_rate": (0.01, 0.1), "eta": (0.01, 0.1)}),
    "optimistic_gradient_descent": (optax.optimistic_gradient_descent, {"learning_rate": (0.01, 0.1), "alpha": (0.5, 1.0)}),
    "cocob": (optax.contrib.cocob, {"alpha": (10.0, 100.0), "weight_decay": (0.0, 0.1)}),
    "dog": (
        functools.partial(optax.contrib.dog, init_step=("distance", 0.1)),
        {"learning_rate": (0.5, 1.0), "weight_decay": (0.01, 0.1)},
    ),
    "dowg": (optax.contrib.dowg, {"learning_rate": (0.5, 1.0), "init_estim_sq_dist": (1e-4, 1e-2)}),
    "dadapt_adamw": (optax.contrib.dadapt_adamw, {"learning_rate": (0.5, 1.0), "estim_lr0": (1e-4, 1e-2)}),
    "mechanize": (MECHANIZED_SGD, {"weight_decay": (0.0, 0.1), "eps": (1e-8, 0.1)}),
    "galore": (functools.partial(optax.contrib.galore, rank=2), {"learning_rate": (0.01, 0.1), "scale": (0.25, 1.0)}),
    "sophia": (optax.contrib.sophia, {"learning_rate": (0.01, 0.1), "gamma": (0.01, 0.1)}),
    "lbfgs": (optax.lbfgs, {"learning_rate": (0.5, 1.0)}),
    "lbfgs_without_a_line_search": (functools.partial(optax.lbfgs, linesearch=None), {"learning_rate": (0.01, 0.1)}),
}
NUMBERS = [(name, number) for name, (_, numbers) in LEFT.items() for number in numbers]
NEEDED = {"learning_rate": 0.05}


def arguments(name, number, value):
    numbers = LEFT[name][1]
    return {**{k: v for k, v in NEEDED.items() if k in numbers}, number: value}


def run_alone(opt, name=""):
    """The losses before each step of a run with Optax's transformation."""
    known = {"obj_fn": value_of} if name == "sophia" else {}
    opt = optax.with_extra_args_support(opt)

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(value_of)(params)
        updates, state = opt.update(grads, state, params, value=value, grad=grads, value_fn=value_of, **known)
        return optax.apply_updates(params, updates), state, value

    params, state, losses = PARAMS, opt.init(PARAMS), []
    for _ in range(STEPS):
        params, state, value = step(params, state)
        losses.append(float(value))
    return losses


def swept(opt):
    """The losses of every lane; Sophia wants the loss under a name of its own, so the step is the user's."""

    def init(optimizer, key):
        return PARAMS, optimizer.init(PARAMS)

    def step(optimizer, carry, batch, key):
        params, state = carry
        value, grads = jax.value_and_grad(value_of)(params)
        updates, state = optimizer.update(grads, state, params, obj_fn=value_of)
        return (jopt.apply_updates(params, updates), state), {"loss": value}

    if opt.bound.spec.factory.name == "sophia":
        result = jopt.sweep_steps(init, step, opt, steps=STEPS, progress=False)
    else:
        result = jopt.sweep(loss, PARAMS, opt, steps=STEPS, progress=False)
    return result.record.losses["loss"][..., 0, :]


@pytest.mark.parametrize(("name", "number"), NUMBERS, ids=map("-".join, NUMBERS))
def test_what_is_left_to_lift_is_swept_and_every_lane_is_optaxs_run(name, number):
    factory, numbers = LEFT[name]
    lanes = swept(jopt.lift(factory)(**arguments(name, number, jopt.choice(*numbers[number]))))
    assert lanes.shape == (2, STEPS)
    for lane, value in zip(lanes, numbers[number], strict=True):
        np.testing.assert_allclose(lane, run_alone(factory(**arguments(name, number, value)), name), rtol=1e-4)
    assert not np.allclose(lanes[0], lanes[1], rtol=1e-6)


def test_sam_is_swept_by_the_rates_of_both_its_optimizers():
    """Its update takes no extra arguments, whatever its type says."""
    rates = (0.05, 0.1)
    normalized = jopt.lift(optax.chain)(optax.contrib.normalize(), jopt.sgd(jopt.choice(*rates, name="rho")))
    lanes = swept(jopt.lift(optax.contrib.sam)(jopt.sgd(jopt.choice(*rates)), normalized))
    assert lanes.shape == (2, 2, STEPS)
    for i, rate in enumerate(rates):
        for j, rho in enumerate(rates):
            opt = optax.contrib.sam(optax.sgd(rate), adversary(rho))
            plain = optax.GradientTransformation(opt.init, opt.update)
            np.testing.assert_allclose(lanes[i, j], run_alone(plain), rtol=1e-4)


def test_mechanize_is_swept_by_the_rate_of_what_it_tunes():
    lanes = swept(jopt.lift(optax.contrib.mechanize)(jopt.sgd(jopt.choice(0.1, 0.2))))
    for lane, rate in zip(lanes, (0.1, 0.2), strict=True):
        np.testing.assert_allclose(lane, run_alone(optax.contrib.mechanize(optax.sgd(rate))), rtol=1e-4)


@pytest.mark.parametrize("name", ["sm3", "yogi", "noisy_sgd", "optimistic_gradient_descent", "lbfgs_without_a_line_search"])
def test_a_schedule_is_taken_where_optax_fails_with_one_too(name):
    """``optax.sm3(learning_rate=schedule)`` raises TypeError."""
    factory = LEFT[name][0]
    peaks = (0.05, 0.1)
    lanes = swept(jopt.lift(factory)(jopt.linear_schedule(jopt.choice(*peaks), 0.0, STEPS)))
    state_free = {peak: swept(jopt.lift(factory)(jopt.linear_schedule(peak, 0.0, STEPS))) for peak in peaks}
    for lane, peak in zip(lanes, peaks, strict=True):
        np.testing.assert_allclose(lane, state_free[peak], rtol=1e-4)
        if name != "sm3":
            np.testing.assert_allclose(lane, run_alone(factory(optax.linear_schedule(peak, 0.0, STEPS))), rtol=1e-4)
    assert lanes[0, -1] != lanes[1, -1]

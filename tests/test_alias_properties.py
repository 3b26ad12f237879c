"""What Optax asks of each of its optimizers, asked of jopt's."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import jopt

OPTIMIZERS = {
    "sgd": (jopt.sgd, {"learning_rate": 1e-3, "momentum": 0.9}),
    "momentum": (jopt.momentum, {"learning_rate": 1e-3, "momentum": 0.9}),
    # Nesterov's form is stable up to two thirds of the rate only, which the complex Rosenbrock valley exceeds at 1e-3.
    "momentum_nesterov": (jopt.momentum, {"learning_rate": 5e-4, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (jopt.rmsprop, {"learning_rate": 5e-3}),
    "rmsprop_momentum": (jopt.rmsprop, {"learning_rate": 5e-3, "momentum": 0.9}),
    # Near the minimum the variance is smaller than the square, so the steps are longer.
    "rmsprop_centered": (jopt.rmsprop, {"learning_rate": 1e-3, "centered": True}),
    "adam": (jopt.adam, {"learning_rate": 1e-1}),
    "adam_nesterov": (jopt.adam, {"learning_rate": 1e-2, "nesterov": True}),
    "adamw": (jopt.adamw, {"learning_rate": 1e-1}),
    "adagrad": (jopt.adagrad, {"learning_rate": 1.0}),
    "adadelta": (jopt.adadelta, {"learning_rate": 0.1}),
    "adamax": (jopt.adamax, {"learning_rate": 1e-1}),
    "amsgrad": (jopt.amsgrad, {"learning_rate": 1e-1}),
    "nadam_warmed_up": (jopt.nadam, {"learning_rate": 1e-2, "momentum_decay": 0.004}),
    "radam": (jopt.radam, {"learning_rate": 5e-3}),
}
OPTIMIZERS |= {
    "qhm": (jopt.qhm, {"learning_rate": 3e-3, "momentum": 0.9}),
    "qhadam": (jopt.qhadam, {"learning_rate": 1e-2, "b1": 0.9}),
    "aggmo": (jopt.aggmo, {"learning_rate": 1e-3, "betas": (0.0, 0.9)}),
    "adabelief": (jopt.adabelief, {"learning_rate": 1e-2}),
    "lamb": (jopt.lamb, {"learning_rate": 1e-3}),
    "lars": (jopt.lars, {"learning_rate": 1.0}),
    "adafactor": (jopt.adafactor, {"learning_rate": 5e-3}),
    "lion": (jopt.lion, {"learning_rate": 1e-2, "weight_decay": 1e-4}),
    "sign_sgd": (jopt.sign_sgd, {"learning_rate": 1e-2}),
    "signum": (jopt.signum, {"learning_rate": 1e-2}),
    "adan": (jopt.adan, {"learning_rate": 1e-1}),
}
# Steps of one length go to and fro across the valley of the Rosenbrock function, unless their rate falls.
TO_AND_FRO = {"sign_sgd", "signum"}
STATIC = {"adafactor": ("min_dim_size_to_factor",)}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
TREE = [-jnp.ones((2, 3)), jnp.ones((2, 5, 2))]


def _make(name):
    factory, words = OPTIMIZERS[name]
    return factory(**words)


def _square(z):
    """``|z|²``; ``abs`` has no derivative at 0."""
    return jnp.real(z) ** 2 + jnp.imag(z) ** 2


def _parabola(dtype):
    goal = jnp.array([1.0, -1.0, 1.0], dtype=dtype)
    goal = goal * jnp.asarray(1 + 1j, dtype) if jnp.iscomplexobj(goal) else goal
    return jnp.array([-1.0, 10.0, 1.0], dtype=dtype), goal, lambda x: jnp.sum(_square(x - goal))


def _rosenbrock(dtype):
    a = jnp.asarray(1 + 1j if jnp.issubdtype(dtype, jnp.complexfloating) else 1.0, dtype)
    goal = jnp.stack([a, a**2])
    return jnp.zeros(2, dtype), goal, lambda x: _square(a - x[0]) + 100.0 * _square(x[1] - x[0] ** 2)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("target", [_parabola, _rosenbrock], ids=["parabola", "rosenbrock"])
@each_optimizer
def test_the_optimizer_finds_the_minimum(name, target, dtype):
    if name in TO_AND_FRO and target is _rosenbrock:
        pytest.skip("needs a rate that falls")
    if (name, target, dtype) == ("adadelta", _rosenbrock, "complex64"):
        pytest.skip("the sizes of its steps grow too slowly for this valley in 10,000 steps")
    opt = _make(name)
    params, goal, loss = target(jnp.dtype(dtype))

    def body(carry, _):
        params, state = carry
        grads = jax.grad(loss)(params).conj()  # JAX's derivative of a real function points uphill conjugated
        updates, state = opt.update(grads, state, params)
        return (jopt.apply_updates(params, updates), state), None

    run = jax.jit(lambda params: jax.lax.scan(body, (params, opt.init(params)), length=10_000)[0])
    found, _ = run(params)
    chex.assert_trees_all_close(found, goal, rtol=3e-2, atol=3e-2)


@each_optimizer
def test_update_accepts_unknown_extra_arguments(name):
    opt = _make(name)
    expected = opt.update(TREE, opt.init(TREE), TREE)
    chex.assert_trees_all_equal(opt.update(TREE, opt.init(TREE), TREE, value=1.0, unknown=object()), expected)


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@each_optimizer
def test_inject_hyperparams_gives_the_same_updates(name, jit):
    factory, words = OPTIMIZERS[name]
    grads = jax.tree.map(jnp.negative, TREE)
    results = []
    for opt in (_make(name), optax.inject_hyperparams(factory, static_args=STATIC.get(name, ()))(**words)):
        init, update = (jax.jit(opt.init), jax.jit(opt.update)) if jit else (opt.init, opt.update)
        results.append(update(grads, init(TREE), TREE))
    (updates, state), (injected, injected_state) = results
    chex.assert_trees_all_close(injected, updates, rtol=1e-5)
    chex.assert_trees_all_close(injected_state.inner_state, state, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
@each_optimizer
def test_updates_have_the_type_of_the_gradients(name, dtype):
    opt = _make(name)
    params = jnp.array([1.0, 2.0], dtype=dtype)
    state = opt.init(params)
    assert opt.update(params, state, params)[0].dtype == params.dtype
    assert jax.eval_shape(opt.update, params, state, params)[0].dtype == params.dtype


def _check_avals(opt, dtype):
    params = jnp.array([1.0, 2.0], dtype=dtype)
    state = opt.init(params)
    step = jax.jit(lambda state, take: jax.lax.cond(take, lambda: opt.update(params, state, params)[1], lambda: state))
    after = step(step(state, True), False)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (old.shape, old.dtype, old.weak_type) == (new.shape, new.dtype, new.weak_type)
        assert old.sharding.is_equivalent_to(new.sharding, old.ndim)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
@each_optimizer
def test_the_avals_of_a_state_do_not_change(name, dtype):
    _check_avals(_make(name), dtype)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.usefixtures("x64")
@each_optimizer
def test_the_avals_of_a_wide_state_do_not_change(name, dtype):
    _check_avals(_make(name), dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@each_optimizer
def test_gradients_accumulate_in_multi_steps(name, dtype):
    base = _make(name)
    opt = optax.MultiSteps(base, every_k_schedule=4)
    params = jnp.array([1.0, 2.0], dtype=dtype)
    state, update = opt.init(params), jax.jit(opt.update)
    for _ in range(3):
        updates, state = update(params, state, params)
        chex.assert_trees_all_equal(updates, jnp.zeros_like(params))
    updates, _ = update(params, state, params)
    expected, _ = base.update(params, base.init(params), params)
    chex.assert_trees_all_close(updates, expected, rtol=1e-2 if dtype == "bfloat16" else 1e-5)


@each_optimizer
def test_map_params_leaves_the_state_as_it_is_for_the_identity(name):
    opt = _make(name)
    state = opt.init(TREE)
    chex.assert_trees_all_equal(optax.tree.map_params(opt, lambda x: x, state), state)
    touched = optax.tree.map_params(opt, lambda x: x + 1.0, state)
    changed = [bool(jnp.any(a != b)) for a, b in zip(jax.tree.leaves(touched), jax.tree.leaves(state), strict=True)]
    assert changed == [x.ndim > 0 for x in jax.tree.leaves(state)]


@pytest.mark.parametrize("state_dtype", ["bfloat16", "float32", None])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda dtype: jopt.sgd(0.1, momentum=0.9, accumulator_dtype=dtype), "trace"),
        (lambda dtype: jopt.adam(0.1, mu_dtype=dtype), "mu"),
        (lambda dtype: jopt.adamw(0.1, mu_dtype=dtype), "mu"),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_an_accumulator_has_the_type_that_was_asked_for(make, field, dtype, state_dtype):
    params = jnp.zeros(2, dtype)
    opt = make(state_dtype)
    state = opt.init(params)
    _, after = opt.update(params, state, params)
    # Without a request it is the parameter's type, at least float32 (Optax keeps it narrow).
    for found in (state, after):
        assert optax.tree.get(found, field).dtype == jnp.dtype(state_dtype or "float32")

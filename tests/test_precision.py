"""Narrow and complex types: what is computed wide, what is rounded when, and what Optax gets wrong."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.cases import CASES, SHAPES, extras, name_of, one_of_each, tree_like

NARROW = [jnp.bfloat16, jnp.float16]
ADAPTIVE = [
    jopt.adam(1e-2),
    jopt.adam(1e-2, nesterov=True),
    jopt.adamw(1e-2, weight_decay=0.1),
    jopt.rmsprop(1e-2),
    jopt.rmsprop(1e-2, eps_in_sqrt=False, momentum=0.9),
    jopt.rmsprop(1e-2, centered=True),
    jopt.nadam(1e-2, momentum_decay=0.004),
    jopt.amsgrad(1e-2),
    jopt.amsgrad(1e-2, max_before_correction=True),
    jopt.adamax(1e-2),
    jopt.radam(1e-2),
    jopt.adagrad(1e-2, 0.0),
    jopt.adadelta(1e-2),
    jopt.rprop(1e-2),
]


@functools.partial(jax.jit, static_argnames="dtype")
def after(opt, gradients, dtype):
    """The last parameter and state of a run along ``gradients``, which begins at 0."""

    def step(carry, g):
        p, state = carry
        u, state = opt.update(g.astype(dtype), state, p)
        return (jopt.apply_updates(p, u), state), u

    p = jnp.zeros([], dtype)
    (p, state), updates = jax.lax.scan(step, (p, opt.init(p)), gradients)
    return p, state, updates


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("opt", ADAPTIVE, ids=repr)
def test_1000_steps_with_zero_gradients_stay_finite(opt, dtype):
    rng = np.random.default_rng(0)
    some = rng.normal(size=1000) * (rng.random(1000) < 0.2)
    for gradients in (np.zeros(1000), some):
        p, state, updates = after(opt, gradients.astype(np.float32), dtype)
        assert updates.dtype == p.dtype == dtype
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((p, state, updates)))
        if not gradients.any():
            assert float(p) == 0.0


def second_moment(opt, dtype, steps=5000):
    gradients = np.r_[np.ones(500), np.full(steps, 0.01)].astype(np.float32)
    return float(after(opt, gradients, dtype)[1][0].nu)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("opt", [jopt.adam(1e-3), jopt.rmsprop(1e-3, 0.999)], ids=repr)
def test_the_second_moment_is_within_1_percent_of_the_float32_one(opt, dtype):
    assert second_moment(opt, dtype) == pytest.approx(second_moment(opt, jnp.float32), rel=0.01)
    assert second_moment(opt, dtype) == pytest.approx(0.00275, rel=0.05)  # Optax in bfloat16: 0.5


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("case", one_of_each(CASES), ids=name_of)
def test_updates_have_the_gradients_type_and_accumulators_are_float32(case, dtype):
    opt, params = case.make(), tree_like(SHAPES, 0, dtype=dtype)
    seen = jax.tree.map(lambda x: x[0], extras(1))
    state = jax.eval_shape(opt.init, params)
    updates, _ = jax.eval_shape(functools.partial(opt.update, **seen), params, state, params)
    assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}
    own = {jnp.dtype(dtype)} if case.factory == "kahan" else set()
    assert {x.dtype for x in jax.tree.leaves(state)} <= {jnp.dtype("int32"), jnp.dtype("float32")} | own


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(
    "opt",
    [
        jopt.chain(jopt.clip(0.3), jopt.adam(1e-2)),
        jopt.chain(jopt.clip_by_global_norm(1.0), jopt.adamw(1e-2), jopt.scale(0.3)),
        jopt.named_chain(("clip", jopt.clip(0.3)), ("step", jopt.rmsprop(1e-2, momentum=0.9))),
        jopt.chain(jopt.chain(jopt.clip(0.3), jopt.scale(0.7)), jopt.momentum(0.1)),
    ],
    ids=repr,
)
def test_a_chain_rounds_the_finished_update_once(opt, dtype):
    narrow = tree_like(SHAPES, 1, 20, dtype)
    grads = jax.tree.map(lambda g: g.astype(np.float32), narrow)
    params = jax.tree.map(np.zeros_like, tree_like(SHAPES, 2, dtype=dtype))
    still = jopt.chain(opt)

    def updates_of(grads, params):
        def step(state, g):
            u, state = still.update(g, state, params)
            return state, u

        return jax.jit(lambda: jax.lax.scan(step, still.init(params), grads)[1])()

    found = updates_of(narrow, params)
    wide = updates_of(grads, jax.tree.map(lambda p: p.astype(np.float32), params))
    for u, w in zip(jax.tree.leaves(found), jax.tree.leaves(wide), strict=True):
        np.testing.assert_array_equal(u, w.astype(dtype))


def test_mu_dtype_is_the_type_of_the_mean_alone():
    params = tree_like(SHAPES, 0)
    opt = jopt.adam(1e-2, mu_dtype=jnp.bfloat16)
    _, state = opt.update(params, opt.init(params), params)
    assert {x.dtype for x in jax.tree.leaves(state[0].mu)} == {jnp.dtype(jnp.bfloat16)}
    assert {x.dtype for x in jax.tree.leaves(state[0].nu)} == {jnp.dtype(jnp.float32)}


def test_accumulator_dtype_is_the_type_of_the_velocity():
    opt = jopt.sgd(0.1, momentum=0.9, accumulator_dtype=jnp.bfloat16)
    assert opt.init(jnp.zeros(3))[0].trace.dtype == jnp.bfloat16


@pytest.mark.parametrize("narrow", [jnp.bfloat16, jnp.float32])
def test_an_accumulator_of_complex_leaves_keeps_both_parts_where_a_real_type_is_asked_for(narrow):
    z = jnp.array([1 + 2j, -3j], jnp.complex64)  # Optax drops what is imaginary, with a warning
    for asked, plain in [
        (jopt.adam(0.1, mu_dtype=narrow), jopt.adam(0.1)),
        (jopt.sgd(0.1, momentum=0.9, accumulator_dtype=narrow), jopt.sgd(0.1, momentum=0.9)),
        (jopt.signum(0.1, accumulator_dtype=narrow), jopt.signum(0.1)),
    ]:
        states = [asked.init(z), plain.init(z)]
        for _ in range(2):
            found, states[0] = asked.update(z, states[0], z)
            expected, states[1] = plain.update(z, states[1], z)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("eps_in_sqrt", [False, True])
def test_centered_rmsprop_survives_1000_steps_of_a_constant_gradient_of_100(eps_in_sqrt, bias_correction):
    opt = jopt.rmsprop(1e-3, centered=True, eps_in_sqrt=eps_in_sqrt, bias_correction=bias_correction)
    p, _, updates = after(opt, np.full(1000, 100.0, np.float32), jnp.float32)
    assert np.all(np.isfinite(updates))
    assert np.isfinite(p)


def test_bfloat16_parameters_train_where_the_value_is_an_argument_of_jit():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=50).astype(np.float32)
    traced = after(jopt.adam(1e-2), gradients, jnp.bfloat16)[2]  # `after` is jitted over the value
    plain = after.__wrapped__(jopt.adam(1e-2), gradients, jnp.bfloat16)[2]
    assert np.all(np.isfinite(traced))
    np.testing.assert_allclose(traced.astype(float), plain.astype(float), rtol=1e-2)


def test_bfloat16_parameters_train_with_injected_float32_hyperparameters():
    p = jnp.ones(3, jnp.bfloat16)
    opt = optax.inject_hyperparams(jopt.adam, hyperparam_dtype=jnp.float32)(learning_rate=1e-2)
    u, _ = opt.update(p, opt.init(p), p)
    np.testing.assert_allclose(u.astype(float), -1e-2, rtol=1e-2)


def test_a_decay_rate_injected_in_bfloat16_is_refused_where_optax_gives_nan():
    opt = optax.inject_hyperparams(jopt.adam)(learning_rate=1e-2)
    with pytest.raises(TypeError, match="b1 has type bfloat16"):
        opt.init(jnp.ones(3, jnp.bfloat16))


def test_the_global_norm_of_float16_gradients_does_not_overflow():
    clipped, _ = jopt.clip_by_global_norm(1.0).update(jnp.full(4, 3e4, jnp.float16), optax.EmptyState())
    np.testing.assert_allclose(clipped, 0.5, rtol=1e-3)


def test_a_sum_of_bfloat16_updates_is_rounded_once_by_apply_updates():
    p = jopt.apply_updates(jnp.bfloat16(1.0), jnp.float32(2.0**-9 + 2.0**-12))
    assert p.dtype == jnp.bfloat16
    assert float(p) == float(jnp.bfloat16(1.0 + 2.0**-9 + 2.0**-12))


# Rules whose state holds something complex for a complex leaf, and how much; the rest of it is real.
COMPLEX = {
    "adabelief": 1, "adadelta": 0, "adafactor": 0, "adagrad": 0, "adam": 1, "adamax": 1, "adan": 3, "amsgrad": 1, "lamb": 1,
    "nadam": 1, "scale_by_nadam": 1, "qhadam": 1, "radam": 1, "rmsprop": 0, "scale_by_rms": 0, "scale_by_stddev": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_the_second_moments_of_a_complex_leaf_are_real(name):
    make = getattr(jopt, name)
    opt = make() if name.startswith("scale") else make(1e-2)
    params = np.ones((2, 3), np.complex64)
    for state in (opt.init(params), opt.update(params, opt.init(params), params)[1]):
        assert sum(jnp.iscomplexobj(x) for x in jax.tree.leaves(state)) == COMPLEX[name]


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_means_of_a_factored_complex_leaf_of_adafactor_are_real(name):
    params = {name: np.ones((2, 3) if name == "a" else (3, 2), np.complex64)}
    state = jopt.adafactor(1e-2, min_dim_size_to_factor=2).init(params)
    assert not any(jnp.iscomplexobj(x) for x in jax.tree.leaves(state))


# With ε of 0 a second moment of 0 stands alone in the denominator.
NO_EPS = [
    ("adabelief", {"eps": 0.0, "eps_root": 0.0}), ("adadelta", {"eps": 0.0}), ("adagrad", {"eps": 0.0}),
    ("adagrad", {"eps": 0.0, "initial_accumulator_value": 0.0}), ("adam", {"eps": 0.0}), ("adamax", {"eps": 0.0}),
    ("adan", {"eps": 0.0, "eps_root": 0.0}), ("amsgrad", {"eps": 0.0}), ("nadam", {"eps": 0.0}), ("qhadam", {"eps": 0.0}),
    ("radam", {"eps": 0.0}), ("rmsprop", {"eps": 0.0}), ("rmsprop", {"eps": 0.0, "eps_in_sqrt": False}),
    ("adafactor", {"eps": 0.0}), ("adafactor", {"eps": 0.0, "min_dim_size_to_factor": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "numbers"), NO_EPS, ids=[f"{name}-{len(numbers)}" for name, numbers in NO_EPS])
def test_without_epsilon_an_element_that_never_had_a_gradient_stays(name, numbers):
    opt = getattr(jopt, name)(1e-2, **numbers)
    params, grads = np.ones((3, 4), np.float32), np.ones((3, 4), np.float32)
    grads[1], grads[:, 2] = 0.0, 0.0
    state = opt.init(params)
    for _ in range(8):  # RAdam is none of the adaptive ones before
        updates, state = opt.update(grads, state, params)
    assert np.all(np.asarray(updates)[grads == 0] == 0)
    assert np.all(np.isfinite(updates))
    assert np.all(np.asarray(updates)[grads != 0] < 0) or name == "adadelta"  # whose first step is of the size of ε
    updates, _ = opt.update(0.0 * grads, opt.init(params), params)
    assert np.all(np.asarray(updates) == 0)


def seen_by(wrap, grads):
    """The types and shapes of the gradients that one of Optax's transformations gets inside of what ``wrap`` makes."""
    seen = []

    def update(updates, state, params=None):
        seen.append(jax.tree.map(lambda u: (u.dtype.name, u.shape), updates))
        return updates, state

    opt = wrap(optax.GradientTransformation(lambda params: optax.EmptyState(), update))
    opt.update(grads, opt.init(grads), grads)
    return seen[0]


WRAPS = {
    "chain": lambda inner: jopt.chain(inner, jopt.scale(2.0)),
    "chain_of_one": lambda inner: jopt.chain(inner),
    "masked": lambda inner: jopt.chain(jopt.masked(inner, True), jopt.scale(2.0)),
    "accumulate": lambda inner: jopt.accumulate(inner, 1),
    "partition": lambda inner: jopt.chain(jopt.partition({"*": inner}), jopt.scale(2.0)),
}


@pytest.mark.parametrize("name", WRAPS)
def test_a_part_of_optaxs_gets_the_gradients_own_type(name):
    assert seen_by(WRAPS[name], jnp.ones(2, jnp.bfloat16)) == ("bfloat16", (2,))


def test_a_chain_of_one_part_and_a_masked_part_of_jopts_in_a_chain_run_in_float32():
    """What a rule is given shows in what it hands on: 1 + 2^-9 is no bfloat16, and a chain rounds once, at its end."""
    grads = jnp.asarray(1.0, jnp.bfloat16)
    parts = [jopt.scale(1.0 + 2.0**-9), jopt.scale(1.0 - 2.0**-9)]
    for chain in (
        jopt.chain(*parts),
        jopt.chain(jopt.masked(parts[0], True), parts[1]),
        jopt.chain(jopt.chain(parts[0]), parts[1]),
    ):
        assert float(chain.update(grads, chain.init(grads))[0]) == 1.0

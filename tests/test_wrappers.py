"""What holds for every wrapper: it stands around jopt's rules and Optax's, is a value, and is swept by whatever is inside."""

import functools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

PARAMS = {
    "enc": {"w": jnp.array([[0.5, -1.0, 0.3], [2.0, 3.0, -0.7]]), "bias": jnp.array([0.1, -0.2, 0.4])},
    "head": {"w": jnp.array([[0.2], [-0.5], [1.5]]), "bias": jnp.array([0.3])},
    "none": None,
}
WIDE = jnp.float64
OPTAX_SGD = optax.sgd(0.1)
LABELS = {"enc": "a", "head": {"w": "b", "bias": "a"}, "none": "a"}
MASK = {"enc": True, "head": {"w": False, "bias": True}, "none": False}


def dims(params):
    return jax.tree.map(jnp.ndim, params)


def is_matrix(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def growing(step):
    return 1 + step % 2


# jopt's wrapper of an optimizer, and Optax's where it has the same.
WRAPPERS = {
    "partition": (
        lambda opt: jopt.partition({"a": opt, "b": jopt.sgd(0.1)}, LABELS),
        lambda opt: optax.partition({"a": opt, "b": optax.sgd(0.1)}, LABELS),
    ),
    "partition_by_a_function": (
        lambda opt: jopt.partition({2: opt, 1: jopt.set_to_zero()}, dims),
        lambda opt: optax.multi_transform({2: opt, 1: optax.set_to_zero()}, dims),
    ),
    "partition_by_patterns": (
        lambda opt: jopt.partition({"head/w": jopt.sgd(0.1), "*": opt}),
        lambda opt: optax.partition({"a": opt, "b": optax.sgd(0.1)}, LABELS),
    ),
    "partition_of_both": (
        lambda opt: jopt.partition({"a": opt, "b": OPTAX_SGD}, LABELS),
        lambda opt: optax.partition({"a": opt, "b": jopt.sgd(0.1)}, LABELS),
    ),
    "masked": (lambda opt: jopt.masked(opt, MASK), lambda opt: optax.masked(opt, MASK)),
    "masked_by_a_function": (
        lambda opt: jopt.chain(jopt.masked(opt, is_matrix), jopt.clip(0.2)),
        lambda opt: optax.chain(optax.masked(opt, is_matrix), optax.clip(0.2)),
    ),
    "masked_extra_arguments": (
        lambda opt: jopt.masked(opt, MASK, mask_compatible_extra_args=True),
        lambda opt: optax.masked(opt, MASK, mask_compatible_extra_args=True),
    ),
    "freeze": (lambda opt: jopt.chain(opt, jopt.freeze(MASK)), lambda opt: optax.chain(opt, optax.freeze(MASK))),
    "freeze_all": (lambda opt: jopt.chain(opt, jopt.freeze(True)), lambda opt: optax.chain(opt, optax.freeze(True))),
    "apply_if_finite": (lambda opt: jopt.apply_if_finite(opt, 2), lambda opt: optax.apply_if_finite(opt, 2)),
    "accumulate": (
        lambda opt: jopt.accumulate(opt, 3),
        lambda opt: optax.MultiSteps(opt, 3, accumulator_dtype=WIDE).gradient_transformation(),
    ),
    "accumulate_sum": (
        lambda opt: jopt.accumulate(opt, 2, "sum"),
        lambda opt: optax.MultiSteps(opt, 2, use_grad_mean=False, accumulator_dtype=WIDE).gradient_transformation(),
    ),
    "accumulate_more_and_more": (
        lambda opt: jopt.accumulate(opt, growing),
        lambda opt: optax.MultiSteps(opt, growing, accumulator_dtype=WIDE).gradient_transformation(),
    ),
    "matrixwise": (
        lambda opt: jopt.matrixwise(opt, jopt.sgd(0.1)),
        lambda opt: optax.partition({2: opt, 1: optax.sgd(0.1)}, dims),
    ),
    "nested": (
        lambda opt: jopt.masked(
            jopt.partition({"a": jopt.accumulate(jopt.apply_if_finite(opt, 2), 2), "b": opt}, LABELS), MASK
        ),
        lambda opt: optax.masked(
            optax.partition(
                {
                    "a": optax.MultiSteps(optax.apply_if_finite(opt, 2), 2, accumulator_dtype=WIDE).gradient_transformation(),
                    "b": opt,
                },
                LABELS,
            ),
            MASK,
        ),
    ),
}
OPTIMIZERS = {
    "adamw": (jopt.adamw(0.1, weight_decay=0.01), optax.adamw(0.1, weight_decay=0.01)),
    "sgd": (jopt.sgd(optax.linear_schedule(0.05, 0.0, 5), 0.9), optax.sgd(optax.linear_schedule(0.05, 0.0, 5), 0.9)),
}
OWN_STATE = ("accumulate", "matrixwise", "nested", "partition_by_patterns")  # not Optax's
each_wrapper = pytest.mark.parametrize("name", WRAPPERS)


def loss(params, batch):
    return sum(jnp.sum((p - 1.0) ** 2) for p in jax.tree.leaves(params)) + 0.1 * jnp.sum(params["enc"]["bias"] ** 4)


def trained(opt, params, steps=7, broken=None):
    """The parameters along a few jitted steps, one of them with a gradient that is not finite, and the last state."""
    opt = optax.with_extra_args_support(opt)

    @jax.jit
    def step(params, state, i):
        value, grads = jax.value_and_grad(loss)(params, None)
        grads = jax.tree.map(lambda g: jnp.where(i == broken, jnp.inf, 1.0) * g, grads)
        updates, state = opt.update(grads, state, params, value=value, grad=grads)
        return optax.apply_updates(params, updates), state

    state, path = opt.init(params), []
    for i in range(steps):
        params, state = step(params, state, i)
        path.append(params)
    return path, state


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@each_wrapper
def test_around_and_inside_of_optaxs_it_trains_as_optax_does(name, optimizer, x64):
    own, optaxs = OPTIMIZERS[optimizer]
    wrap, optax_wrap = WRAPPERS[name]
    params = jax.tree.map(lambda p: p.astype(jnp.float64), PARAMS)
    broken = 3 if "finite" in name else None
    expected, state = trained(optax_wrap(optaxs), params, broken=broken)
    for opt in (wrap(own), wrap(optaxs), optax_wrap(own)):
        found, _ = trained(opt, params, broken=broken)
        chex.assert_trees_all_close(found, expected, rtol=1e-9)
    if not name.startswith(OWN_STATE):
        assert jax.tree.structure(trained(wrap(own), params)[1]) == jax.tree.structure(state)


RATES = (0.02, 0.1)


def swept(opt, **words):
    return jopt.sweep(loss, PARAMS, opt, steps=6, progress=False, **words)


@each_wrapper
def test_it_is_swept_by_an_axis_of_what_is_inside(name):
    wrap, _ = WRAPPERS[name]
    result = swept(wrap(jopt.sgd(jopt.choice(*RATES), 0.5)))
    assert result.record.losses["loss"].shape == (2, 1, 6)
    for k, rate in enumerate(RATES):
        alone = jopt.train(loss, PARAMS, wrap(jopt.sgd(rate, 0.5)), jnp.arange(6))[2]
        np.testing.assert_allclose(result.record.losses["loss"][k, 0], alone, rtol=1e-5)


@each_wrapper
def test_another_rate_compiles_nothing(name):
    wrap, _ = WRAPPERS[name]
    traces = []

    @jax.jit
    def step(opt):
        traces.append(opt)
        return opt.update(PARAMS, opt.init(PARAMS), PARAMS)[0]

    for rate in RATES:
        chex.assert_tree_all_finite(step(wrap(jopt.adam(rate))))
    assert len(traces) == 1


@each_wrapper
def test_it_is_mapped_and_differentiated_with_respect_to_its_numbers(name, x64):
    wrap, _ = WRAPPERS[name]
    params = jax.tree.map(lambda p: p.astype(jnp.float64), PARAMS)

    def after(rate):
        return jopt.train(loss, params, wrap(jopt.sgd(rate)), jnp.arange(4))[2][-1]

    mapped = jax.vmap(after)(jnp.array(RATES))
    np.testing.assert_allclose(mapped, [after(rate) for rate in RATES], rtol=1e-10)
    slope = (float(after(0.02 + 1e-6)) - float(after(0.02 - 1e-6))) / 2e-6
    assert float(jax.grad(after)(0.02)) == pytest.approx(slope, rel=1e-5, abs=1e-5)


@each_wrapper
def test_its_numbers_have_names_and_are_replaced_by_them(name):
    wrap, _ = WRAPPERS[name]
    opt = wrap(jopt.rmsprop(0.1, decay=0.5))
    if name == "nested":
        with pytest.raises(ValueError, match="names 2 numbers"):
            opt.replace(decay=0.25)
        changed = opt.replace(**{"a.optimizer.inner.decay": 0.25, "b.decay": 0.25})
    else:
        changed = opt.replace(decay=0.25)
    assert changed == wrap(jopt.rmsprop(0.1, decay=0.25))
    assert 0.25 in jax.tree.leaves(changed.hyperparams)
    if name != "partition_of_both":  # Optax's functions are local ones
        assert pickle.loads(pickle.dumps(opt)) == opt


@each_wrapper
def test_unknown_extra_arguments_reach_what_is_inside(name):
    def update(updates, state, params=None, *, secret, **extra_args):
        return jax.tree.map(lambda g: secret * g, updates), state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    opt = jopt.chain(WRAPPERS[name][0](inner))
    state = opt.init(PARAMS)
    for _ in range(3):
        updates, state = opt.update(PARAMS, state, PARAMS, secret=3.0, other=1.0)
    assert jax.tree.structure(updates) == jax.tree.structure(PARAMS)


@each_wrapper
def test_optaxs_tools_find_parameters_and_counts_in_its_state(name):
    opt = WRAPPERS[name][0](jopt.adam(0.1))
    state = opt.init(PARAMS)
    marked = optax.tree.map_params(opt, lambda x: x + 7, state, transform_non_params=lambda x: x)
    assert any(np.all(np.asarray(x) == 7) for x in jax.tree.leaves(marked) if np.ndim(x))
    assert jax.tree.structure(marked) == jax.tree.structure(state)


@pytest.mark.parametrize(
    "make",
    [
        jopt.flatten,
        lambda part: jopt.masked(part, True),
        lambda part: jopt.apply_if_finite(part, 1),
        lambda part: jopt.accumulate(part, 2),
        lambda part: jopt.matrixwise(part, jopt.sgd(0.1)),
        lambda part: jopt.matrixwise(jopt.sgd(0.1), part),
        lambda part: jopt.partition({"*": part}),
        jopt.kahan,
        jopt.bfloat16_states,
    ],
    ids=["flatten", "masked", "apply_if_finite", "accumulate", "matrix_rule", "other", "partition", "kahan", "states"],
)
@pytest.mark.parametrize(
    ("part", "found"),
    [
        (jopt.adam, r"did you forget to call adam\(\.\.\.\)\?"),
        (optax.adam, r"did you forget to call adam\(\.\.\.\)\?"),
        (functools.partial(optax.adam, 0.1), r"did you forget to call it"),
        ({"w": jopt.sgd(0.1)}, r"is a dict, not a transformation\."),
        (None, r"is a NoneType, not a transformation\."),
    ],
    ids=["factory", "optax_factory", "partial", "dict", "none"],
)
def test_what_is_no_transformation_is_refused_when_it_is_given(make, part, found):
    with pytest.raises(TypeError, match=found):
        make(part)


def test_a_value_without_numbers_is_shown_too():
    assert repr(jopt.chain(jopt.identity(), jopt.scale(2.0))) == "chain(identity(), scale(step_size=2.0))"
    assert repr(jopt.masked(jopt.set_to_zero(), {"w": True})) == "masked(inner=set_to_zero(), mask={'w': True})"
    shown = repr(jopt.partition({"w": jopt.set_to_zero(), "*": jopt.scale(1.0)}))
    assert shown == "partition(transforms={'w': set_to_zero(), '*': scale(step_size=1.0)})"

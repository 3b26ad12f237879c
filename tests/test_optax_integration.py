"""A jopt value stands wherever an Optax optimizer stands, and an Optax optimizer wherever a jopt value does."""

import functools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt

PARAMS = {"w": jnp.array([[0.5, -1.0], [2.0, 3.0]]), "b": jnp.array([0.1, -0.2])}
WEIGHTS = {"w": True, "b": False}
STEPS = 4


def loss(params, i=0):
    return jnp.sum((params["w"] - 1.0) ** 2) + jnp.sum((params["b"] + 0.5) ** 4)


def _train(opt, params=PARAMS, scale=None):
    """The parameters along a few jitted steps, with value= among the arguments, and the last state."""

    @jax.jit
    def step(params, state, i):
        value, grads = jax.value_and_grad(loss)(params)
        grads = jax.tree.map(lambda g: jnp.where(i == scale, jnp.nan, 1.0) * g, grads)
        updates, state = opt.update(grads, state, params, value=value, grad=grads, value_fn=loss, i=i)
        return optax.apply_updates(params, updates), state

    state, path = opt.init(params), []
    for i in range(STEPS):
        params, state = step(params, state, i)
        path.append(params)
    return path, state


def _is_even(step, i, **extra_args):
    return i % 2 == 0


# From the optimizer (jopt's or Optax's) to a transformation with it inside.
WRAPPED = {
    "alone": lambda opt: opt,
    "chain": lambda opt: optax.chain(optax.clip_by_global_norm(1.0), opt, optax.scale(0.5)),
    "named_chain": lambda opt: optax.named_chain(("clip", optax.clip(1.0)), ("opt", opt)),
    "jopt_chain": lambda opt: jopt.chain(optax.clip(1.0), opt, optax.scale_by_schedule(lambda t: 0.5)),
    "jopt_named_chain": lambda opt: jopt.named_chain(("noop", optax.identity()), ("opt", opt)),
    "chain_with_plateau_in_the_middle": lambda opt: optax.chain(opt, optax.contrib.reduce_on_plateau(), optax.scale(0.5)),
    "chain_with_linesearch": lambda opt: optax.chain(opt, optax.scale_by_backtracking_linesearch(5)),
    "masked": lambda opt: optax.masked(opt, WEIGHTS),
    "masked_by_a_function": lambda opt: optax.masked(opt, lambda p: jax.tree.map(lambda x: x.ndim > 1, p)),
    "masked_compatible_extra_args": lambda opt: optax.masked(opt, WEIGHTS, mask_compatible_extra_args=True),
    "partition": lambda opt: optax.partition({"a": opt, "b": optax.sgd(0.1)}, {"w": "a", "b": "b"}),
    "partition_by_a_function": lambda opt: optax.partition(
        {2: opt, 1: optax.set_to_zero()}, lambda p: jax.tree.map(lambda x: x.ndim, p)
    ),
    "multi_transform": lambda opt: optax.multi_transform({"a": optax.sgd(0.1), "b": opt}, {"w": "a", "b": "b"}),
    "multi_steps": lambda opt: optax.MultiSteps(opt, 2).gradient_transformation(),
    "multi_steps_scheduled": lambda opt: optax.MultiSteps(opt, lambda t: 1 + t % 2).gradient_transformation(),
    "multi_steps_skip_not_finite": lambda opt: optax.MultiSteps(
        opt, 2, should_skip_update_fn=optax.skip_not_finite
    ).gradient_transformation(),
    "multi_steps_skip_large": lambda opt: optax.MultiSteps(
        opt, 2, should_skip_update_fn=functools.partial(optax.skip_large_updates, max_squared_norm=10.0)
    ).gradient_transformation(),
    "apply_if_finite": lambda opt: optax.apply_if_finite(opt, 3),
    "conditionally_transform": lambda opt: optax.conditionally_transform(opt, _is_even, forward_extra_args=True),
    "conditionally_mask": lambda opt: optax.conditionally_mask(opt, _is_even, forward_extra_args=True),
    "flatten": optax.flatten,
    "freeze": lambda opt: optax.chain(opt, optax.freeze(WEIGHTS)),
    "selective_transform": lambda opt: optax.selective_transform(opt, freeze_mask=WEIGHTS),
    "with_extra_args_support": optax.with_extra_args_support,
    "schedule_free": lambda opt: optax.contrib.schedule_free(opt, 0.1),
    "mechanize": lambda opt: optax.contrib.mechanize(opt),
    "sam": lambda opt: optax.contrib.sam(opt, optax.chain(optax.contrib.normalize(), optax.sgd(0.05)), sync_period=2),
    "sam_adversary": lambda opt: optax.contrib.sam(optax.sgd(0.1), optax.chain(optax.contrib.normalize(), opt)),
    "split_real_and_imaginary": optax.contrib.split_real_and_imaginary,
    "dog_and_decay": lambda opt: optax.chain(opt, optax.contrib.scale_by_acprop(), optax.add_decayed_weights(0.1)),
    "keep_params_nonnegative": lambda opt: optax.chain(opt, optax.keep_params_nonnegative()),
    "snapshot": lambda opt: optax.chain(optax.snapshot("grads", lambda g: optax.tree.norm(g)), opt),
    "monitor": lambda opt: optax.chain(opt, optax.monitor({"norm": lambda u: optax.tree.norm(u)})),
    "ema": lambda opt: optax.chain(opt, optax.ema(0.5)),
    "apply_every": lambda opt: optax.chain(opt, optax.apply_every(2)),
    "nested_chain": lambda opt: optax.chain(optax.chain(optax.chain(opt)), optax.masked(optax.scale(0.5), WEIGHTS)),
    "lifted_masked": lambda opt: jopt.lift(optax.masked)(opt, WEIGHTS),
    "lifted_apply_if_finite": lambda opt: jopt.lift(optax.apply_if_finite)(opt, 3),
    "lifted_flatten": lambda opt: jopt.lift(optax.flatten)(opt),
}
NO_EXTRA = {"sam", "sam_adversary"}  # their update takes no other arguments
OPTIMIZERS = {
    "adam": (jopt.adam(0.1), optax.adam(0.1)),
    "sgd": (jopt.sgd(optax.linear_schedule(0.05, 0.0, 5), 0.9), optax.sgd(optax.linear_schedule(0.05, 0.0, 5), 0.9)),
}


def test_there_are_more_than_thirty_five_ways_to_combine():
    assert len(WRAPPED) >= 35


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", WRAPPED)
def test_combined_with_optax_it_trains_as_optax_does(name, optimizer):
    paths = []
    for opt in OPTIMIZERS[optimizer]:
        wrapped = WRAPPED[name](opt)
        assert isinstance(wrapped, optax.GradientTransformation)
        if name in NO_EXTRA:
            wrapped = optax.GradientTransformationExtraArgs(
                wrapped.init, lambda g, s, p, *, wrapped=wrapped, **extra: wrapped.update(g, s, p)
            )
        else:
            wrapped = optax.with_extra_args_support(wrapped)
        paths.append(_train(wrapped))
    (found, state), (expected, expected_state) = paths
    # Optax takes 1 - b ** t by subtraction, which is off by up to 1e-5 in the first steps.
    chex.assert_trees_all_close(found, expected, rtol=2e-4, atol=2e-5)
    if not name.startswith("jopt"):
        assert jax.tree.structure(state) == jax.tree.structure(expected_state)


@pytest.mark.parametrize("name", ["apply_if_finite", "multi_steps_skip_not_finite"])
def test_a_step_with_a_nan_gradient_is_skipped(name):
    path, _ = _train(WRAPPED[name](jopt.adam(0.1)), scale=1)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(path))


def test_lookahead_trains_its_fast_and_slow_parameters():
    ends = []
    for opt in (jopt.adam(0.1), optax.adam(0.1)):
        ahead = optax.lookahead(opt, sync_period=2, slow_step_size=0.5)
        params = optax.LookaheadParams.init_synced(PARAMS)
        state = ahead.init(params)
        for _ in range(STEPS):
            updates, state = ahead.update(jax.grad(loss)(params.fast), state, params)
            params = optax.apply_updates(params, updates)
        ends.append(params)
    chex.assert_trees_all_close(*ends, rtol=2e-4, atol=2e-5)


def test_schedule_free_gives_its_evaluation_parameters():
    wrapped = optax.contrib.schedule_free(jopt.sgd(0.1), 0.1)
    path, state = _train(wrapped)
    chex.assert_tree_all_finite(optax.contrib.schedule_free_eval_params(state, path[-1]))


def test_value_reaches_a_plateau_rule_behind_optax_wrappers():
    plateau = jopt.chain(jopt.sgd(1.0), jopt.reduce_on_plateau(factor=0.5, patience=0))
    opt = optax.chain(optax.identity(), optax.masked(plateau, {"w": True, "b": True}), optax.flatten(jopt.scale(1.0)))
    grads, state = jax.tree.map(jnp.ones_like, PARAMS), opt.init(PARAMS)
    for expected in (-1.0, -0.5, -0.25):
        updates, state = opt.update(grads, state, PARAMS, value=1.0)
        assert float(updates["b"][0]) == expected
    assert float(optax.tree.get(state, "scale")) == 0.25


def test_an_optax_plateau_rule_in_a_jopt_chain_gets_its_value():
    opt = jopt.chain(jopt.sgd(1.0), optax.contrib.reduce_on_plateau(factor=0.5, patience=1, accumulation_size=1))
    grads, state = jax.tree.map(jnp.ones_like, PARAMS), opt.init(PARAMS)
    for _ in range(3):
        updates, state = opt.update(grads, state, PARAMS, value=1.0)
    assert float(updates["b"][0]) > -1.0


def test_one_gradient_per_example_passes_through_a_jopt_chain():
    private = jopt.lift(optax.contrib.differentially_private_aggregate)(l2_norm_clip=1.0, noise_multiplier=0.0, key=0)
    opt = jopt.chain(private, jopt.sgd(1.0))
    grads = jax.tree.map(lambda p: jnp.full((4, *p.shape), 1e-3), PARAMS)
    updates, _ = opt.update(grads, opt.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(updates, jax.tree.map(lambda p: jnp.full_like(p, -1e-3), PARAMS), rtol=1e-5)
    assert opt.hyperparams["differentially_private_aggregate"]["key"] == 0
    assert type(opt.replace(key=1).hyperparams["differentially_private_aggregate"]["key"]) is int


# Hyperparameters in the state, and states as trees


def test_inject_hyperparams_puts_the_numbers_into_the_state():
    opt = optax.inject_hyperparams(jopt.adam)(learning_rate=optax.linear_schedule(0.1, 0.0, 10), b1=0.8)
    state = opt.init(PARAMS)
    assert set(state.hyperparams) == {"learning_rate", "b1", "b2", "eps", "eps_root"}
    changed = optax.tree.set(state, b1=jnp.float32(0.0))
    assert float(optax.tree.get(changed, "b1")) == 0.0
    path, _ = _train(opt)
    expected, _ = _train(optax.inject_hyperparams(optax.adam)(learning_rate=optax.linear_schedule(0.1, 0.0, 10), b1=0.8))
    chex.assert_trees_all_close(path, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("opt", [jopt.adam(0.1), jopt.sgd(0.1, 0.9), jopt.rmsprop(0.1, centered=True)], ids=repr)
def test_map_params_visits_what_is_like_the_parameters(opt):
    state = opt.init(PARAMS)
    marked = optax.tree.map_params(opt, lambda x, p: p, state, PARAMS, transform_non_params=lambda x: x + 1)
    seen = [x for x in jax.tree.leaves(marked) if x.ndim]
    assert seen
    assert len(seen) % 2 == 0
    chex.assert_trees_all_equal(seen[:2], jax.tree.leaves(PARAMS))


def test_tree_get_and_set_reach_the_fields_of_a_state():
    opt = jopt.chain(jopt.clip(1.0), jopt.adam(0.1))
    state = opt.init(PARAMS)
    assert int(optax.tree.get(state, "count")) == 0
    assert int(optax.tree.get(optax.tree.set(state, count=jnp.int32(7)), "count")) == 7
    chex.assert_trees_all_equal_shapes(optax.tree.get(state, "mu"), PARAMS)


def test_optax_and_jopt_apply_updates_agree():
    updates = jopt.sgd(0.1).update(PARAMS, jopt.sgd(0.1).init(PARAMS), PARAMS)[0]
    chex.assert_trees_all_equal(optax.apply_updates(PARAMS, updates), jopt.apply_updates(PARAMS, updates))


def test_a_state_of_optax_continues_in_jopt():
    state = optax.adam(0.1).init(PARAMS)
    updates, state = jopt.adam(0.1).update(PARAMS, state, PARAMS)
    assert type(state) is type(optax.adam(0.1).init(PARAMS))
    chex.assert_tree_all_finite(updates)


def test_a_state_survives_pickling_in_the_middle_of_a_run():
    opt = jopt.adam(jopt.cosine_decay_schedule(0.1, 10), b1=jopt.linear_schedule(0.9, 0.5, 10))
    _, state = opt.update(PARAMS, opt.init(PARAMS), PARAMS)
    again = pickle.loads(pickle.dumps(state))
    chex.assert_trees_all_equal(opt.update(PARAMS, again, PARAMS), opt.update(PARAMS, state, PARAMS))


# JAX's own transformations


def test_a_run_is_a_scan():
    opt = jopt.adam(0.1)

    def body(carry, _):
        params, state = carry
        updates, state = opt.update(jax.grad(loss)(params), state, params)
        return (jopt.apply_updates(params, updates), state), None

    (params, _), _ = jax.jit(lambda carry: jax.lax.scan(body, carry, length=STEPS))((PARAMS, opt.init(PARAMS)))
    chex.assert_trees_all_close(params, _train(opt)[0][-1], rtol=1e-5)


def test_a_derivative_passes_through_a_rematerialized_step():
    def after(opt, wrap):
        updates, _ = wrap(opt.update)(PARAMS, opt.init(PARAMS), PARAMS)
        return loss(jopt.apply_updates(PARAMS, updates))

    slopes = [jax.grad(after)(jopt.adam(0.1), wrap) for wrap in (lambda f: f, jax.checkpoint)]
    chex.assert_trees_all_close(jax.tree.leaves(slopes[0]), jax.tree.leaves(slopes[1]), rtol=1e-5)


def test_states_and_updates_keep_the_sharding_of_the_parameters():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params = jax.device_put(PARAMS, sharding)
    opt = jopt.adam(0.1)
    state = opt.init(params)
    assert state[0].mu["w"].sharding == sharding
    updates, state = jax.jit(opt.update)(params, state, params)
    assert updates["w"].sharding.is_equivalent_to(sharding, 2)
    assert state[0].nu["w"].sharding.is_equivalent_to(sharding, 2)


@pytest.mark.parametrize("flip_sign", [True, False])
def test_without_a_rate_updates_are_steps_already_as_in_optax(flip_sign):
    g = jnp.array([1.0, -2.0])
    for rule in (jopt.scale_by_learning_rate(flip_sign=flip_sign), jopt.scale_by_learning_rate(None, flip_sign=flip_sign)):
        theirs = optax.scale_by_learning_rate(None, flip_sign=flip_sign)
        assert rule.init(g) == theirs.init(g)
        assert rule.update(g, rule.init(g))[0].tolist() == theirs.update(g, theirs.init(g))[0].tolist() == [1.0, -2.0]
        assert jax.tree.leaves(rule) == []


def test_an_optimizer_needs_its_rate_all_the_same():
    for make in (jopt.sgd, jopt.adam, jopt.adamw, jopt.rmsprop, jopt.momentum):
        with pytest.raises(TypeError, match="learning_rate must be a real number"):
            make(None)


def test_init_works_on_shapes():
    shapes = jax.eval_shape(lambda: PARAMS)
    state = jax.eval_shape(jopt.adam(0.1).init, shapes)
    assert state[0].mu["w"].shape == (2, 2)


def test_a_line_search_of_optax_works_in_a_chain_with_a_learning_rate():
    search = optax.scale_by_backtracking_linesearch(max_backtracking_steps=20)
    opt, p = jopt.chain(jopt.sgd(1.0), search), jnp.array([3.0, -2.0])

    def loss(w):
        return jnp.sum(w**4)

    value, grad = jax.value_and_grad(loss)(p)
    updates, _ = opt.update(grad, opt.init(p), p, value=value, grad=grad, value_fn=loss)
    assert loss(p + updates) < value


@pytest.mark.parametrize("name", ["muon", "normuon", "soap", "shampoo", "psgd_kron", "adafactor"])
def test_inject_hyperparams_leaves_defaults_that_are_structure_alone(name):
    params = {"w": jnp.linspace(-1.0, 1.0, 16).reshape(4, 4), "b": jnp.ones(4)}
    injected, own = optax.inject_hyperparams(getattr(jopt, name))(learning_rate=0.1), getattr(jopt, name)(0.1)
    found, _ = jax.jit(injected.update)(params, injected.init(params), params)
    expected, _ = jax.jit(own.update)(params, own.init(params), params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), found, expected)


def test_inject_hyperparams_with_structure_of_ones_own_says_what_to_do():
    with pytest.raises(ValueError, match=r"ns_steps must be a whole number.*inject_hyperparams takes static_args="):
        optax.inject_hyperparams(jopt.muon)(learning_rate=0.1, ns_steps=6).init({"w": jnp.ones((2, 2))})
    opt = optax.inject_hyperparams(jopt.muon, static_args=("ns_steps",))(learning_rate=0.1, ns_steps=6)
    opt.init({"w": jnp.ones((2, 2))})

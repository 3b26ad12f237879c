"""Building blocks take what Optax's take; jopt's strictness is for jopt's own rules."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt

PARAMS = {"w": jnp.array([[0.5, -1.0], [2.0, 3.0]]), "b": jnp.array([0.1, -0.2])}
INTS = {"w": jnp.array([[0.5, -1.0], [2.0, 3.0]]), "n": jnp.array([1, 5, -7])}
MASKED = {"w": jnp.array([0.5, -1.0]), "b": optax.MaskedNode(), "n": None}


def half(step):
    return 0.5


def first(tree):
    return {name: name == "w" for name in tree}


def labels(tree):
    return {name: "a" if name == "w" else "b" for name in tree}


# jopt's block and Optax's.
BLOCKS = {
    "identity": (jopt.identity(), optax.identity()),
    "scale": (jopt.scale(0.5), optax.scale(0.5)),
    "clip": (jopt.clip(2.0), optax.clip(2.0)),
    "trace": (jopt.trace(0.9), optax.trace(0.9)),
    "trace_nesterov": (jopt.trace(0.9, nesterov=True), optax.trace(0.9, nesterov=True)),
    "add_decayed_weights": (jopt.add_decayed_weights(0.1), optax.add_decayed_weights(0.1)),
    "add_decayed_weights_scheduled": (jopt.add_decayed_weights(half), optax.add_decayed_weights(half)),
    "scale_by_learning_rate": (jopt.scale_by_learning_rate(0.5), optax.scale_by_learning_rate(0.5)),
    "flatten": (jopt.flatten(jopt.scale(0.5)), optax.flatten(optax.scale(0.5))),
    "set_to_zero": (jopt.set_to_zero(), optax.set_to_zero()),
    "masked": (jopt.masked(jopt.scale(0.5), True), optax.masked(optax.scale(0.5), True)),
    "freeze": (jopt.freeze(first), optax.freeze(first)),
    "partition": (
        jopt.partition({"a": jopt.scale(0.5), "b": jopt.set_to_zero()}, labels),
        optax.partition({"a": optax.scale(0.5), "b": optax.set_to_zero()}, labels),
    ),
    "chain": (jopt.chain(jopt.clip(2.0), jopt.scale(0.5)), optax.chain(optax.clip(2.0), optax.scale(0.5))),
    "chain_of_both": (jopt.chain(optax.clip(2.0), jopt.scale(0.5)), optax.chain(optax.clip(2.0), optax.scale(0.5))),
    "named_chain": (
        jopt.named_chain(("a", jopt.clip(2.0)), ("b", optax.scale(0.5))),
        optax.named_chain(("a", optax.clip(2.0)), ("b", optax.scale(0.5))),
    ),
}
NO_STATE = ["identity", "scale", "clip", "add_decayed_weights", "scale_by_learning_rate", "flatten"]
MONITOR = {"norm": optax.tree.norm}


def updates(opt, tree, steps=3):
    state = opt.init(tree)
    for _ in range(steps):
        found, state = opt.update(tree, state, tree)
    return found


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for u, v in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert u.dtype == v.dtype
        np.testing.assert_allclose(u, v, rtol=1e-6)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("tree", [INTS, MASKED], ids=["integers", "masked_and_none"])
def test_a_block_treats_leaves_as_optax_does(name, tree):
    own, optaxs = BLOCKS[name]
    assert_same(updates(own, tree), updates(optaxs, tree))


def test_an_integer_is_not_rounded_by_clipping_its_norm_nor_by_a_schedule():
    found = updates(jopt.clip_by_global_norm(1.0), {"n": jnp.array([3, 4])})
    np.testing.assert_allclose(found["n"], [0.6, 0.8], rtol=1e-6)
    found = updates(jopt.scale_by_schedule(half), {"n": jnp.array([3, 4])})  # Optax gives 0 and 0
    np.testing.assert_allclose(found["n"], [1.5, 2.0])


@pytest.mark.parametrize("name", NO_STATE)
@pytest.mark.parametrize("state", [None, (), {"any": 1}], ids=repr)
def test_a_block_without_a_state_takes_any_and_hands_it_on(name, state):
    own, _ = BLOCKS[name]
    found, after = own.update(PARAMS, state, PARAMS)
    assert_same(found, updates(own, PARAMS, 1))
    assert after == state


@pytest.mark.parametrize("block", [jopt.trace(0.9), jopt.scale_by_schedule(half), jopt.reduce_on_plateau()], ids=repr)
def test_a_block_with_a_state_names_a_wrong_one(block):
    with pytest.raises(ValueError, match=r"the state is not one that this optimizer's init makes.*but got NoneType"):
        block.update(PARAMS, None, PARAMS, value=1.0)


@jopt.transformation
def with_a_monitor(learning_rate):
    return optax.chain(optax.monitor(MONITOR), jopt.sgd(learning_rate))


@pytest.mark.parametrize(
    "opt",
    [
        jopt.chain(optax.monitor(MONITOR), jopt.sgd(0.1)),
        jopt.chain(jopt.chain(optax.monitor(MONITOR)), jopt.sgd(0.1)),
        jopt.named_chain(("seen", optax.monitor(MONITOR)), ("step", jopt.sgd(0.1))),
        jopt.chain(jopt.lift(optax.monitor)(MONITOR), jopt.sgd(0.1)),
        jopt.chain(jopt.flatten(optax.monitor(MONITOR)), jopt.sgd(0.1)),
        with_a_monitor(0.1),
    ],
    ids=["chain", "nested", "named_chain", "lifted", "flatten", "own_factory"],
)
def test_a_part_of_optax_may_change_its_state_at_the_first_update(opt):
    assert_same(updates(opt, PARAMS), jax.tree.map(lambda p: -0.1 * p, PARAMS))
    _, state = opt.update(PARAMS, opt.init(PARAMS), PARAMS)
    np.testing.assert_allclose(optax.tree.get(state, "norm"), optax.tree.norm(PARAMS), rtol=1e-6)


def test_a_part_of_optax_may_take_other_trees_than_the_parameters():
    opt = jopt.lift(optax.lookahead)(jopt.sgd(0.1), sync_period=2, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced(PARAMS)
    found, _ = opt.update(PARAMS, opt.init(params), params)
    assert_same(found.fast, jax.tree.map(lambda p: -0.1 * p, PARAMS))


@pytest.mark.parametrize(
    ("opt", "state", "found"),
    [
        (jopt.chain(optax.identity(), jopt.sgd(0.1)), (optax.EmptyState(),), "a tuple with one state for each of its 2 parts"),
        (jopt.chain(optax.identity(), jopt.sgd(0.1)), PARAMS, r"but got a dict with \['w', 'b'\]"),
        (jopt.named_chain(("a", optax.identity())), {"c": ()}, r"a dict with a state for each of \['a'\].*dict with \['c'\]"),
    ],
    ids=["too_few", "parameters", "other_names"],
)
def test_a_chain_with_a_part_of_optax_names_a_wrong_state(opt, state, found):
    with pytest.raises(ValueError, match=found):
        opt.update(PARAMS, state, PARAMS)


@pytest.mark.parametrize("make", [jopt.chain, lambda opt: jopt.chain(jopt.clip(1.0), opt)], ids=["alone", "after_a_block"])
def test_an_optimizer_in_a_chain_is_as_strict_as_alone(make):
    with pytest.raises(TypeError, match=r"adam: the leaf at \['n'\] has type int32"):
        make(jopt.adam(0.1)).init(INTS)


def test_weight_decay_may_be_a_plain_function_of_the_step():
    def decay(step):
        return 0.1 * step

    for own, optaxs in [
        (jopt.add_decayed_weights(decay), optax.add_decayed_weights(decay)),
        (jopt.add_decayed_weights(decay, {"w": True, "b": False}), optax.add_decayed_weights(decay, {"w": True, "b": False})),
        (jopt.adamw(0.1, weight_decay=decay), optax.adamw(0.1, weight_decay=decay)),
    ]:
        found, expected = updates(own, PARAMS), updates(optaxs, PARAMS)
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-5), found, expected)


# A function or a tree


def model():
    net = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))  # it can be called
    return eqx.filter(net, eqx.is_inexact_array)


def test_a_mask_that_is_a_module_of_bools_is_not_called():
    params = model()
    mask = jax.tree.map(lambda p: p.ndim > 1, params)
    assert callable(mask)
    for own, optaxs in [
        (jopt.adamw(0.1, weight_decay=1.0, mask=mask), optax.adamw(0.1, weight_decay=1.0, mask=mask)),
        (jopt.add_decayed_weights(1.0, mask), optax.add_decayed_weights(1.0, mask)),
    ]:
        found, expected = updates(own, params, 1), updates(optaxs, params, 1)
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-5), found, expected)


@pytest.mark.parametrize(
    "wrap", [lambda f: f, jax.tree_util.Partial, jax.jit, eqx.filter_jit], ids=["plain", "Partial", "jit", "eqx"]
)
def test_a_function_in_any_wrapping_is_called_for_the_mask(wrap):
    mask = wrap(lambda params: jax.tree.map(lambda p: p.ndim > 1, params))
    found = updates(jopt.add_decayed_weights(1.0, mask), PARAMS, 1)
    assert_same(found, {"w": 2.0 * PARAMS["w"], "b": PARAMS["b"]})


def test_rates_in_the_form_of_a_module_are_one_for_each_leaf():
    params = model()
    for rates in (
        jax.tree.map(lambda p: 0.1 * p.ndim, params),
        jax.tree.map(lambda p: jopt.constant_schedule(0.1 * p.ndim), params),
    ):
        found = updates(jopt.sgd(rates), params, 1)
        jax.tree.map(lambda u, p: np.testing.assert_allclose(u, -0.1 * p.ndim * p, rtol=1e-6), found, params)


def test_no_rate_for_a_leaf_that_is_there_is_an_error_that_names_it():
    opt = jopt.sgd({"w": 0.1, "b": None})
    with pytest.raises(ValueError, match=r"learning_rate has None at \['b'\]"):
        opt.update(PARAMS, opt.init(PARAMS), PARAMS)


@pytest.mark.parametrize("part", [optax.nadam, eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))], ids=["partial", "module"])
def test_what_is_no_part_of_a_chain_is_refused_even_without_a_name(part):
    with pytest.raises(TypeError, match=r"chain: part 0 is a \w+, not a transformation"):
        jopt.chain(part)


NET = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))


@pytest.mark.parametrize(
    "use",
    [
        lambda: jopt.adam(0.1).init(NET),
        lambda: jopt.apply_updates(NET, NET),
        lambda: jopt.train(lambda p, b: 0.0, NET, jopt.adam(0.1), jnp.arange(3)),
        lambda: jopt.sweep(lambda p, b: 0.0, NET, jopt.adam(jopt.choice(0.1, 0.2)), steps=1),
    ],
    ids=["init", "apply_updates", "train", "sweep"],
)
def test_a_function_among_the_parameters_is_named_with_the_way_out(use):
    with pytest.raises(TypeError, match=r"the leaf at \.activation is a function.*eqx\.filter.*eqx\.partition"):
        use()


@pytest.mark.parametrize(
    ("state", "found"), [((), "a tuple of 0"), ([1], "a list of 1"), ({"a": 1}, r"a dict with \['a'\]"), (None, "a NoneType")]
)
def test_a_chain_says_which_state_it_got(state, found):
    with pytest.raises(ValueError, match=rf"but got {found}\. The order"):
        jopt.chain(jopt.scale(1.0), jopt.scale(2.0)).update(1.0, state)


@pytest.mark.parametrize(("part", "hint"), [(optax.nadam, "it"), (jopt.adam, r"adam\(\.\.\.\)"), (3, None)])
def test_a_chain_says_what_a_part_is_and_whether_a_call_was_forgotten(part, hint):
    end = rf", not a transformation; did you forget to call {hint}\?$" if hint else r", not a transformation\.$"
    with pytest.raises(TypeError, match=end):
        jopt.chain(jopt.scale(1.0), part)


def test_scale_by_trust_ratio_has_no_exception_for_a_norm_of_one():
    for p, g in ((2.0, 1.0), (1.0, 2.0)):
        updates, _ = jopt.scale_by_trust_ratio().update(jnp.array([g, 0.0]), optax.EmptyState(), jnp.array([p, 0.0]))
        np.testing.assert_allclose(updates, [p, 0.0], rtol=1e-6)

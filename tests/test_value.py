"""An optimizer is a value: a pytree of its numbers, compared, edited, shown and copied by value."""

import copy
import functools
import inspect
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

PARAMS = {"w": jnp.array([[0.5, -1.0], [2.0, 3.0]]), "b": jnp.array([0.1, -0.2])}
GRADS = {"w": jnp.array([[1.0, -2.0], [0.5, 0.1]]), "b": jnp.array([-0.3, 0.4])}

VALUES = {
    "sgd": lambda: jopt.sgd(0.1),
    "sgd_momentum": lambda: jopt.sgd(0.1, momentum=0.9, nesterov=True),
    "momentum": lambda: jopt.momentum(0.1),
    "rmsprop": lambda: jopt.rmsprop(0.01, centered=True, momentum=0.9),
    "adam": lambda: jopt.adam(1e-3),
    "adam_scheduled": lambda: jopt.adam(jopt.warmup_cosine_decay_schedule(0.0, 0.1, 5, 50), b1=0.8),
    "adam_scheduled_b1": lambda: jopt.adam(1e-3, b1=jopt.linear_schedule(0.8, 0.95, 10)),
    "adamw": lambda: jopt.adamw(1e-3, weight_decay=0.1, mask={"w": True, "b": False}),
    "clip": lambda: jopt.clip(1.0),
    "chain": lambda: jopt.chain(jopt.clip_by_global_norm(1.0), jopt.adam(1e-3), jopt.scale(0.5)),
    "named_chain": lambda: jopt.named_chain(("clip", jopt.clip(1.0)), ("step", jopt.sgd(0.1))),
    "plateau": lambda: jopt.reduce_on_plateau(patience=3, mode="max"),
    "lifted": lambda: jopt.lift(optax.lion)(1e-4),
    "per_layer": lambda: jopt.sgd({"w": 0.1, "b": jopt.linear_schedule(0.1, 0.0, 10)}),
    "partition": lambda: jopt.partition({"w": jopt.adam(1e-3), "*": jopt.set_to_zero()}),
    "partition_by_labels": lambda: jopt.partition({1: jopt.sgd(0.1), 2: jopt.lift(optax.sgd)(0.1)}, {"w": 2, "b": 1}),
    "masked": lambda: jopt.masked(jopt.sgd(0.1, 0.9), {"w": True, "b": False}),
    "freeze": lambda: jopt.chain(jopt.sgd(0.1), jopt.freeze({"w": True, "b": False})),
    "apply_if_finite": lambda: jopt.apply_if_finite(jopt.adam(0.1), 3),
    "accumulate": lambda: jopt.accumulate(jopt.adam(jopt.linear_schedule(0.1, 0.0, 10)), 1),
    "matrixwise": lambda: jopt.matrixwise(jopt.sgd(0.1), jopt.adam(0.1), mask={"w": True, "b": False}),
}
each_value = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)


@jopt.transformation(domain={"decay": "[0, 1)"}, static=("window",))
def smoothed(learning_rate, decay=0.9, *, window=2, flip: bool = True):
    """A rule of a user: the mean of the gradients, in a buffer whose size is structure."""

    def init(params):
        return jax.tree.map(lambda p: jnp.zeros((window, *p.shape)), params)

    def update(updates, state, params=None):
        sign = -1.0 if flip else 1.0
        state = jax.tree.map(lambda g, s: jnp.concatenate([decay * s[1:], g[None]]), updates, state)
        return jax.tree.map(lambda s: sign * learning_rate * s.mean(0), state), state

    return init, update


def names(opt):
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(opt)[0]]


def one_step(opt, params=PARAMS, grads=GRADS):
    return opt.update(grads, opt.init(params), params, value=jnp.float32(1.0))[0]


# A pytree of its numbers


def test_each_number_is_a_leaf_once_under_its_name():
    assert names(jopt.adam(1e-3)) == [".learning_rate", ".b1", ".b2", ".eps", ".eps_root"]
    assert jax.tree.leaves(jopt.adam(1e-3)) == [1e-3, 0.9, 0.999, 1e-8, 0.0]


def test_the_numbers_of_a_chain_are_under_the_names_of_its_parts():
    opt = jopt.chain(jopt.clip(1.0), jopt.adam(1e-3), jopt.adam(1e-2))
    found = names(opt)
    assert found[:2] == [".clip.max_delta", ".adam.learning_rate"]
    assert ".adam_2.learning_rate" in found
    assert len(found) == len(set(found)) == 11


def test_the_numbers_of_schedules_and_of_prefix_dicts_are_leaves():
    opt = jopt.sgd({"w": 0.1, "b": jopt.linear_schedule(0.2, 0.0, 10)}, momentum=0.9)
    assert names(opt) == [
        ".learning_rate.b.init_value",
        ".learning_rate.b.end_value",
        ".learning_rate.b.transition_steps",
        ".learning_rate.b.transition_begin",
        ".learning_rate.w",
        ".momentum",
    ]


def test_what_is_no_number_is_structure():
    assert names(jopt.rmsprop(0.1)) == names(jopt.rmsprop(0.1, centered=True, nesterov=True))
    plain, centered = jopt.rmsprop(0.1), jopt.rmsprop(0.1, centered=True)
    assert jax.tree.structure(plain) != jax.tree.structure(centered)
    assert jax.tree.structure(jopt.adam(0.1)) == jax.tree.structure(jopt.adam(0.2, b1=0.5))


def test_an_integer_for_a_switch_is_structure():
    opt = jopt.adam(1e-3, nesterov=1)
    assert names(opt) == names(jopt.adam(1e-3))
    chex.assert_trees_all_close(jax.jit(one_step)(opt), one_step(jopt.adam(1e-3, nesterov=True)))


@each_value
def test_a_value_survives_flattening(make):
    opt = make()
    leaves, treedef = jax.tree.flatten(opt)
    again = treedef.unflatten(leaves)
    assert type(again) is jopt.GradientTransformation
    assert again == opt
    assert jax.tree.map(lambda x: x, opt) == opt


def test_tree_map_changes_the_numbers():
    doubled = jax.tree.map(lambda x: 2 * x, jopt.sgd(0.1, momentum=0.25))
    assert doubled == jopt.sgd(0.2, momentum=0.5)


@each_value
def test_a_jitted_function_of_the_value_gives_the_same_update(make):
    chex.assert_trees_all_close(jax.jit(one_step)(make()), one_step(make()), rtol=1e-6)


def test_vmap_takes_in_axes_that_name_the_mapped_numbers():
    opt = jopt.adam(jnp.array([0.1, 0.2, 0.4]), b1=0.5)
    axes = jax.tree.map(lambda x: 0 if jnp.ndim(x) else None, opt)
    found = jax.vmap(one_step, in_axes=(axes,))(opt)
    for i, rate in enumerate([0.1, 0.2, 0.4]):
        lane = jax.tree.map(lambda x, i=i: x[i], found)
        chex.assert_trees_all_close(lane, one_step(jopt.adam(rate, b1=0.5)), rtol=1e-6)


def test_vmap_maps_every_number_of_stacked_values():
    values = [jopt.momentum(0.1, 0.5), jopt.momentum(0.2, 0.9)]
    stacked = jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *values)
    found = jax.vmap(one_step)(stacked)
    for i, opt in enumerate(values):
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], found), one_step(opt))


def test_a_value_of_arrays_can_be_donated():
    opt = jax.tree.map(jnp.asarray, jopt.sgd(0.1, momentum=0.5))
    halved = jax.jit(lambda o: jax.tree.map(lambda x: x / 2, o), donate_argnums=0)(opt)
    assert halved.hyperparams["learning_rate"] == np.float32(0.05)
    assert jax.tree.leaves(opt)[0].is_deleted()


def test_the_derivative_with_respect_to_the_value_is_a_value():
    def after(opt):
        return sum(jnp.sum(u) for u in jax.tree.leaves(one_step(opt)))

    slope = jax.grad(after)(jopt.sgd(0.1))
    assert isinstance(slope, jopt.GradientTransformation)
    total = sum(float(jnp.sum(g)) for g in jax.tree.leaves(GRADS))
    assert slope.hyperparams["learning_rate"] == pytest.approx(-total, rel=1e-6)


def test_a_value_can_be_carried_by_a_scan_and_returned_from_jit():
    def body(opt, _):
        return jax.tree.map(lambda x: x * 0.5, opt), opt.hyperparams["learning_rate"]

    final, rates = jax.lax.scan(body, jax.tree.map(jnp.float32, jopt.sgd(0.8)), length=3)
    assert rates.tolist() == [np.float32(r) for r in (0.8, 0.4, 0.2)]
    assert float(final.hyperparams["learning_rate"]) == pytest.approx(0.1)


# Equality, and static slots


@each_value
def test_equal_values_are_equal_and_hash_alike(make):
    one, other = make(), make()
    assert one == other
    assert hash(one) == hash(other)
    assert one.init == other.init
    assert one.update == other.update


def test_values_differ_in_numbers_structure_or_rule():
    opt = jopt.adam(1e-3)
    assert opt != jopt.adam(1e-4)
    assert opt != jopt.adam(1e-3, nesterov=True)
    assert opt != jopt.adamw(1e-3)
    assert opt != optax.adam(1e-3)


def test_integers_and_numpy_scalars_equal_the_float():
    assert jopt.sgd(1) == jopt.sgd(1.0) == jopt.sgd(np.float64(1.0)) == jopt.sgd(np.int32(1))


def test_arrays_among_the_numbers_are_compared_by_identity():
    rate = jnp.float32(0.1)
    assert jopt.sgd(rate) == jopt.sgd(rate)
    assert hash(jopt.sgd(rate)) == hash(jopt.sgd(rate))
    assert jopt.sgd(rate) != jopt.sgd(jnp.float32(0.1))


def test_a_rebuilt_value_in_a_static_slot_compiles_nothing():
    @functools.partial(jax.jit, static_argnums=0)
    @chex.assert_max_traces(n=1)
    def step(opt, params, grads):
        return opt.update(grads, opt.init(params), params)[0]

    for _ in range(3):
        step(jopt.chain(jopt.clip(1.0), jopt.adam(1e-3)), PARAMS, GRADS)


# Reading and editing


def test_hyperparams_maps_names_to_numbers():
    numbers = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}
    assert jopt.adam(0.1).hyperparams == numbers
    chain = jopt.chain(jopt.clip(1.0), jopt.adam(0.1))
    assert chain.hyperparams == {"clip": {"max_delta": 1.0}, "adam": numbers}


def test_replace_changes_one_number_and_leaves_the_value_as_it_was():
    opt = jopt.adam(1e-3)
    assert opt.replace(learning_rate=0.1, b1=0.5) == jopt.adam(0.1, b1=0.5)
    assert opt == jopt.adam(1e-3)


def test_replace_finds_a_unique_name_in_a_chain_and_a_path_otherwise():
    opt = jopt.chain(jopt.clip(1.0), jopt.sgd(0.1), jopt.sgd(0.2))
    assert opt.replace(max_delta=2.0).hyperparams["clip"] == {"max_delta": 2.0}
    changed = opt.replace(**{"sgd_2.learning_rate": 0.5})
    assert changed.hyperparams["sgd"] == {"learning_rate": 0.1}
    assert changed.hyperparams["sgd_2"] == {"learning_rate": 0.5}


def test_replace_reports_ambiguous_and_unknown_names():
    opt = jopt.chain(jopt.sgd(0.1), jopt.sgd(0.2))
    with pytest.raises(ValueError, match=r"names 2 numbers: \['sgd.learning_rate', 'sgd_2.lea"):
        opt.replace(learning_rate=1.0)
    with pytest.raises(ValueError, match=r"'lr' names no number. The numbers here are \['learn"):
        jopt.sgd(0.1).replace(lr=1.0)


def test_replace_takes_an_array_and_checks_ranges_and_types():
    opt = jopt.adam(1e-3).replace(learning_rate=jnp.array([0.1, 0.2]))
    assert opt.hyperparams["learning_rate"].shape == (2,)
    with pytest.raises(ValueError, match=r"b1 must lie in \[0, 1\)"):
        opt.replace(b1=1.5)
    with pytest.raises(TypeError, match="but got 'big'"):
        opt.replace(b1="big")


def test_replace_takes_an_axis_and_the_pair_then_says_that_it_is_a_sweep():
    opt = jopt.adam(1e-3).replace(learning_rate=jopt.geomspace(1e-4, 1e-2, 3))
    with pytest.raises(TypeError, match=r"learning_rate of adam is an axis with 3 values.*jopt.sweep"):
        opt.init(PARAMS)


@pytest.mark.parametrize(
    "name",
    [
        *("sgd", "sgd_momentum", "rmsprop", "adam", "adam_scheduled", "clip", "chain"),
        *("partition", "masked", "freeze", "accumulate"),
    ],
)
def test_repr_evaluates_to_the_value(name):
    opt = VALUES[name]()
    assert eval(repr(opt), vars(jopt)) == opt


def test_repr_shows_names_numbers_and_what_differs_from_the_defaults():
    assert repr(jopt.sgd(0.1)) == "sgd(learning_rate=0.1)"
    assert repr(jopt.sgd(0.1, momentum=0.9, nesterov=True)) == "sgd(learning_rate=0.1, momentum=0.9, nesterov=True)"
    assert repr(jopt.sgd(jnp.ones(3))) == "sgd(learning_rate=float32[3])"


# Copies


@each_value
def test_pickle_and_copies_give_an_equal_value(make):
    opt = make()
    assert pickle.loads(pickle.dumps(opt)) == opt
    assert copy.copy(opt) == opt
    assert copy.deepcopy(opt) == opt


def test_a_rule_made_inside_a_function_can_be_copied():
    @jopt.transformation
    def local(learning_rate):
        return optax.sgd(learning_rate)

    assert copy.deepcopy(local(0.1)) == local(0.1)


def test_an_array_survives_pickling():
    again = pickle.loads(pickle.dumps(jopt.sgd(jnp.array([0.1, 0.2]))))
    np.testing.assert_array_equal(again.hyperparams["learning_rate"], jnp.array([0.1, 0.2]))


# What stands for a number


@pytest.mark.parametrize(
    "rate",
    [
        *(0.5, np.float64(0.5), np.float32(0.5), np.array(0.5), jnp.float32(0.5), {"w": 0.5, "b": 0.5}, lambda t: 0.5),
        *(jopt.constant_schedule(0.5), {"w": 0.5, "b": jopt.constant_schedule(0.5)}),
    ],
    ids=["float", "np64", "np32", "np0d", "jnp", "dict", "function", "schedule", "dict_of_both"],
)
def test_every_form_of_a_number_gives_the_same_update(rate):
    chex.assert_trees_all_equal(one_step(jopt.adam(rate)), one_step(jopt.adam(0.5)))


def test_any_number_may_be_a_schedule_of_the_updates_so_far():
    opt = jopt.sgd(1.0, momentum=jopt.piecewise_constant_schedule(0.5, {1: 0.0}))
    state, updates = opt.init(PARAMS), []
    for _ in range(2):
        u, state = opt.update(GRADS, state, PARAMS)
        updates.append(u)
    chex.assert_trees_all_equal(updates[1], jax.tree.map(jnp.negative, GRADS))


def test_a_prefix_dict_sets_one_rate_per_branch():
    tree = {"body": PARAMS, "head": PARAMS}
    found = one_step(jopt.sgd({"body": 0.1, "head": 1.0}), tree, {"body": GRADS, "head": GRADS})
    chex.assert_trees_all_close(found["body"], jax.tree.map(lambda g: -0.1 * g, GRADS))
    chex.assert_trees_all_close(found["head"], jax.tree.map(jnp.negative, GRADS))


def test_ranges_are_checked_on_concrete_numbers_only():
    with pytest.raises(ValueError, match="learning_rate must lie in"):
        jopt.sgd(-1.0)
    with pytest.raises(ValueError, match="learning_rate must lie in"):
        jopt.sgd(jnp.array([0.1, -1.0]))
    assert jax.jit(lambda r: jopt.sgd(r).hyperparams["learning_rate"])(-1.0) == -1.0


# Optax's own type


@each_value
def test_the_value_is_optax_own_pair_of_two_functions(make):
    opt = make()
    assert isinstance(opt, optax.GradientTransformationExtraArgs)
    init, update = opt
    assert opt._fields == ("init", "update")
    assert init(PARAMS) is not None
    assert callable(update)


def test_a_pair_with_another_update_is_a_plain_pair():
    opt = jopt.sgd(0.1)
    changed = opt._replace(update=lambda g, s, p=None, **extra: (g, s))
    chex.assert_trees_all_equal(changed.update(GRADS, changed.init(PARAMS), PARAMS)[0], GRADS)
    assert changed.hyperparams == {}
    assert jax.tree.leaves(changed) == []
    assert jax.tree.map(lambda x: x, changed) == changed
    with pytest.raises(ValueError, match="put together by hand"):
        changed.replace(learning_rate=1.0)


# Factories of users


def test_a_factory_of_a_user_makes_a_value():
    opt = smoothed(0.1)
    assert repr(opt) == "smoothed(learning_rate=0.1, decay=0.9, window=2)"
    assert names(opt) == [".learning_rate", ".decay"]
    assert opt == smoothed(0.1)
    assert pickle.loads(pickle.dumps(opt)) == opt
    chex.assert_trees_all_close(one_step(opt), jax.tree.map(lambda g: -0.05 * g, GRADS))


def test_static_arguments_are_structure_and_ranges_are_the_users():
    assert jax.tree.structure(smoothed(0.1, window=3)) != jax.tree.structure(smoothed(0.1))
    assert smoothed(0.1, window=3).init(PARAMS)["b"].shape == (3, 2)
    with pytest.raises(ValueError, match=r"smoothed: decay must lie in \[0, 1\), but got the value 1.0"):
        smoothed(0.1, decay=1.0)


def test_an_update_without_extra_arguments_ignores_them():
    opt = smoothed(0.1)
    chex.assert_trees_all_equal(
        opt.update(GRADS, opt.init(PARAMS), PARAMS, value=1.0, anything=2.0), opt.update(GRADS, opt.init(PARAMS))
    )


def test_an_update_gets_the_extra_arguments_that_it_names():
    @jopt.transformation
    def by_value(step):
        return lambda params: (), lambda g, s, params=None, *, value: (jax.tree.map(lambda x: step * value * x, g), s)

    found = by_value(2.0).update(GRADS, (), PARAMS, value=3.0, other=1.0)[0]
    chex.assert_trees_all_close(found, jax.tree.map(lambda g: 6.0 * g, GRADS))


@pytest.mark.parametrize("inner", [optax.adam, jopt.adam], ids=["optax", "jopt"])
def test_a_factory_may_return_another_transformation(inner):
    @jopt.transformation
    def halved(learning_rate):
        return optax.chain(inner(learning_rate), optax.scale(0.5))

    expected = jax.tree.map(lambda u: 0.5 * u, one_step(inner(0.1)))
    chex.assert_trees_all_close(one_step(halved(0.1)), expected)
    assert halved(0.1).hyperparams == {"learning_rate": 0.1}


def test_a_factory_keeps_its_signature_name_and_docstring():
    parameters = inspect.signature(jopt.adam).parameters
    assert list(parameters)[:3] == ["learning_rate", "b1", "b2"]
    assert parameters["b1"].default == 0.9
    assert jopt.adam.__name__ == "adam"
    assert jopt.adam.__doc__.startswith("Adam")
    assert inspect.signature(jopt.lift(optax.lion)) == inspect.signature(optax.lion)
    assert inspect.signature(smoothed).parameters["window"].kind is inspect.Parameter.KEYWORD_ONLY


def test_other_types_of_factories_are_refused():
    with pytest.raises(TypeError, match="must return two functions, init and update, or a transformation"):
        jopt.transformation(lambda learning_rate: None)(0.1)

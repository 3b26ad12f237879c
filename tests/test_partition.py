"""``partition``, ``masked`` and ``freeze``: which leaves are meant, and errors that name them."""

import dataclasses

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

PARAMS = {
    "enc": {"layers": [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}]},
    "head": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)},
    "scale": jnp.ones(3),
    "bias": jnp.ones(()),
}


def assigned(patterns, params=PARAMS):
    """The pattern that each leaf got, by path."""
    opt = jopt.partition({pattern: jopt.scale(float(i)) for i, pattern in enumerate(patterns)})
    updates, _ = opt.update(jax.tree.map(jnp.ones_like, params), opt.init(params), params)
    flat = jax.tree_util.tree_flatten_with_path(updates)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): patterns[int(np.ravel(u)[0])] for path, u in flat}


def test_the_first_pattern_that_matches_wins():
    assert assigned(["*/bias", "enc/*", "*"]) == {
        "enc/layers/0/kernel": "enc/*",
        "enc/layers/0/bias": "*/bias",
        "enc/layers/1/kernel": "enc/*",
        "enc/layers/1/bias": "*/bias",
        "head/kernel": "*",
        "head/bias": "*/bias",
        "scale": "*",
        "bias": "*",  # the path of a top-level leaf is its name, in which there is no "/"
    }
    assert set(assigned(["enc/*", "*/bias", "*"]).values()) == {"enc/*", "*/bias", "*"}
    assert assigned(["enc/*", "*/bias", "*"])["enc/layers/0/bias"] == "enc/*"


def test_a_star_is_any_text_and_all_else_is_itself():
    tree = {"a.b": jnp.ones(()), "axb": jnp.ones(()), "a[0]": jnp.ones(()), "A": jnp.ones(()), "": jnp.ones(())}
    assert assigned(["a.b", "a[0]", "a*", "*"], tree) == {"a.b": "a.b", "axb": "a*", "a[0]": "a[0]", "A": "*", "": "*"}
    assert assigned(["e*/0/*", "*el", "*"])["enc/layers/0/bias"] == "e*/0/*"
    assert assigned(["*"], jnp.ones(2)) == {"": "*"}


def test_paths_are_keys_fields_and_places():
    class Pair(eqx.Module):
        left: jax.Array
        right: list

    tree = Pair(jnp.ones(1), [jnp.ones(1), jnp.ones(1)])
    opt = jopt.partition({"left": jopt.scale(1.0), "right/1": jopt.scale(2.0), "right/*": jopt.scale(3.0)})
    updates, _ = opt.update(tree, opt.init(tree), tree)
    assert [float(u[0]) for u in (updates.left, *updates.right)] == [1.0, 3.0, 2.0]


def test_a_pattern_that_gets_no_leaf_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"the pattern 'encoder/\*' gets no leaf; the leaves are \['bias', 'enc"):
        jopt.partition({"encoder/*": jopt.sgd(0.1), "*": jopt.adam(0.1)}).init(PARAMS)
    with pytest.raises(ValueError, match=r"the pattern 'head/bias' gets no leaf; an earlier pattern takes \['head/bias'\]"):
        jopt.partition({"head/*": jopt.sgd(0.1), "head/bias": jopt.sgd(0.2), "*": jopt.adam(0.1)}).init(PARAMS)
    jopt.partition({"enc/*": jopt.sgd(0.1), "head/*": jopt.sgd(0.1), "*": jopt.adam(0.1)}).init(
        {"enc": jnp.ones(1), "head": {"w": jnp.ones(1)}} | {"enc": {"w": jnp.ones(1)}}
    )  # "*" may get none


def test_a_leaf_without_a_pattern_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"no pattern matches the leaf 'bias'; the patterns are \['\*/kernel', "):
        jopt.partition({"*/kernel": jopt.sgd(0.1), "enc/*": jopt.sgd(0.1)}).init(PARAMS)


def test_a_pattern_may_match_leaves_that_are_masked_from_outside_or_none():
    opt = jopt.partition({"enc/*": jopt.sgd(0.1), "*": jopt.adam(0.1)})
    for tree in ({"enc": {"w": None}, "b": jnp.ones(1)}, {"enc": {"w": optax.MaskedNode()}, "b": jnp.ones(1)}):
        opt.update(tree, opt.init(tree), tree)
    tree = {"enc": {"w": jnp.ones(1)}, "b": jnp.ones(1)}
    for mask in ({"enc": False, "b": True}, {"enc": {"w": False}, "b": True}):
        for outer in (optax.masked(opt, mask), jopt.masked(opt, mask)):
            assert float(outer.update(tree, outer.init(tree), tree)[0]["enc"]["w"][0]) == 1.0


def test_a_missing_gradient_leaves_its_leaf_and_state_as_they_are():
    for opt in (
        jopt.partition({"*/bias": jopt.sgd(0.5), "*": jopt.adam(0.1)}),
        jopt.masked(jopt.adam(0.1), lambda params: jax.tree.map(lambda p: p.ndim > 1, params)),
        jopt.matrixwise(jopt.adam(0.1), jopt.sgd(0.5)),
        jopt.accumulate(jopt.adam(0.1), 1),
        jopt.apply_if_finite(jopt.adam(0.1), 1),
    ):
        params = {"enc": {"bias": jnp.ones(2), "w": jnp.ones((2, 2))}, "w": jnp.ones((2, 2))}
        grads = {"enc": {"bias": None, "w": None}, "w": jnp.ones((2, 2))}
        updates, state = opt.update(grads, opt.init(params), params)
        assert updates["enc"] == {"bias": None, "w": None}
        np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-5)
        assert jax.tree.structure(state) == jax.tree.structure(opt.init(params))


def test_keys_that_are_no_patterns_need_labels():
    with pytest.raises(TypeError, match=r"patterns over the paths of leaves, so strings such as 'enc/\*', but got 1; or give"):
        jopt.partition({1: jopt.sgd(0.1)})
    with pytest.raises(TypeError, match=r"partition: transforms must be a dict, \{label: transformation\}, but got \[sgd"):
        jopt.partition([jopt.sgd(0.1)])


@pytest.mark.parametrize(
    "labels",
    [{"w": "a", "b": "c"}, lambda p: {"w": "a", "b": "c"}, {"w": "a", "b": ["a"]}],
    ids=["tree", "function", "another structure"],
)
def test_a_label_without_a_transformation_is_named_with_its_leaf(labels):
    opt = jopt.partition({"a": jopt.sgd(0.1), "b": jopt.sgd(0.1)}, labels)
    expected = r"the label at \['b'\] is 'c', for which there is no transformation; there are some for \['a', 'b'\]"
    if labels == {"w": "a", "b": ["a"]}:
        expected = r"or a prefix of the parameter tree.*\[\"\['b'\]\[0\]\", \"\['w'\]\"\].*\[\"\['b'\]\", \"\['w'\]\"\]"
    with pytest.raises(ValueError, match=expected):
        opt.init({"w": jnp.ones(1), "b": jnp.ones(1)})


def test_a_mask_that_does_not_fit_is_an_error_that_names_its_leaves():
    for opt in (jopt.masked(jopt.sgd(0.1), {"w": True}), jopt.freeze({"w": True}), jopt.masked(jopt.sgd(0.1), {"w": [True]})):
        with pytest.raises(ValueError, match=r"masked: what says which leaves.*those of the tree \[\"\['b'\]\", \"\['w'\]\"\]"):
            opt.init({"w": jnp.ones(1), "b": jnp.ones(1)})


def test_labels_may_be_a_module_that_can_be_called():
    net = eqx.filter(eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0)), eqx.is_inexact_array)
    labels = jax.tree.map(lambda p: "matrix" if p.ndim > 1 else "vector", net)
    assert callable(labels)
    opt = jopt.partition({"matrix": jopt.scale(2.0), "vector": jopt.scale(3.0)}, labels)
    updates, _ = opt.update(net, opt.init(net), net)
    jax.tree.map(lambda u, p: np.testing.assert_allclose(u, (2.0 if p.ndim > 1 else 3.0) * p), updates, net)


def test_leaves_that_are_not_chosen_may_be_of_any_kind():
    tree = {"w": jnp.ones(2), "n": jnp.arange(3)}
    for opt in (
        jopt.masked(jopt.adam(0.1), {"w": True, "n": False}),
        jopt.partition({"w": jopt.adam(0.1), "*": jopt.set_to_zero()}),
    ):
        updates, _ = opt.update(tree, opt.init(tree), tree)
        assert updates["n"].dtype == tree["n"].dtype
        np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-5)


def test_frozen_leaves_have_no_state_in_a_partition_and_never_move():
    opt = jopt.partition({"enc/*": jopt.set_to_zero(), "*": jopt.adamw(0.1, weight_decay=0.5)})
    state = opt.init(PARAMS)
    assert jax.tree.leaves(state.inner_states["enc/*"]) == []
    updates, _ = opt.update(jax.tree.map(lambda p: jnp.nan * p, PARAMS), state, PARAMS)
    chex.assert_trees_all_equal(updates["enc"], jax.tree.map(jnp.zeros_like, PARAMS["enc"]))


def test_the_learning_rates_of_a_partition_are_two_dimensions_of_a_sweep():
    opt = jopt.partition({"*/bias": jopt.sgd(jopt.choice(0.1, 0.2)), "*": jopt.sgd(jopt.choice(0.3, 0.4, 0.5))})

    def loss(params, _):
        return sum(jnp.sum((p - 2.0) ** 2) for p in jax.tree.leaves(params))

    result = jopt.sweep(loss, PARAMS, opt, steps=3, progress=False)
    assert result.dataset["loss"].dims[:2] == ("*/bias.learning_rate", "*.learning_rate")
    assert result.record.losses["loss"].shape[:2] == (2, 3)
    best = result.best()
    assert set(best.hyperparams["transforms"]) == {"*/bias", "*"}
    one = opt.replace(**{"*/bias.learning_rate": 0.2, "*.learning_rate": 0.4})
    alone = jopt.train(loss, PARAMS, one, jnp.arange(3))[2]
    np.testing.assert_allclose(result.record.losses["loss"][1, 1, 0], alone, rtol=1e-5)


def test_the_order_of_patterns_is_part_of_the_value():
    one, other = {"enc/*": jopt.sgd(0.1), "*/bias": jopt.sgd(0.2), "*": jopt.sgd(0.3)}, ["*/bias", "enc/*", "*"]
    assert jopt.partition(one) == jopt.partition(dict(one))
    assert jopt.partition(one) != jopt.partition({k: one[k] for k in other})
    leaves, treedef = jax.tree.flatten(jopt.partition(one))
    assert treedef.unflatten(leaves) == jopt.partition(one)


def test_a_plateau_inside_a_partition_gets_its_value_and_in_a_sweep_its_metric():
    plateau = jopt.chain(jopt.sgd(1.0), jopt.reduce_on_plateau(factor=0.5, patience=0))
    opt = jopt.partition({"a": plateau, "*": jopt.sgd(1.0)})
    grads = {"a": jnp.ones(1), "b": jnp.ones(1)}
    state = opt.init(grads)
    for expected in (-1.0, -0.5, -0.25):
        updates, state = opt.update(grads, state, grads, value=1.0)
        assert float(updates["a"][0]) == expected
        assert float(updates["b"][0]) == -1.0
    watching = jopt.partition(
        {"a": jopt.chain(jopt.sgd(0.1), jopt.reduce_on_plateau(monitor="val", patience=0)), "*": jopt.sgd(0.1)}
    )
    with pytest.raises(ValueError, match="The optimizer monitors 'val'"):
        jopt.sweep(lambda p, _: jnp.sum(p["a"] ** 2), grads, watching, steps=2, progress=False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Box:
    """A box as Flax's, whose array is its field ``value``."""

    value: object


def test_an_array_in_a_box_is_matched_by_the_path_of_the_box_too():
    params = {"enc": {"kernel": Box(jnp.ones(2))}, "value": jnp.ones(2), "dec": Box(jnp.ones(2))}
    opt = jopt.partition({"enc/kernel": jopt.scale(2.0), "dec/value": jopt.scale(3.0), "*": jopt.scale(4.0)})
    updates, _ = opt.update(params, opt.init(params))
    assert [float(x[0]) for x in jax.tree.leaves(updates)] == [3.0, 2.0, 4.0]
    with pytest.raises(ValueError, match=r"gets no leaf; the leaves are .*'enc/kernel'"):
        jopt.partition({"enc": jopt.scale(2.0), "*": jopt.scale(4.0)}).init(params)


@pytest.mark.parametrize("compatible", [False, True])
@pytest.mark.parametrize("wrapper", ["masked", "partition"])
def test_extra_arguments_like_the_gradients_are_masked_where_that_is_asked_for(wrapper, compatible):
    seen = []

    def update(updates, state, params=None, *, scales, **extra_args):
        seen.append(jax.tree.structure(scales))
        return updates, state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tree = {"a": jnp.ones(2), "b": jnp.ones(3)}
    if wrapper == "masked":
        opt = jopt.masked(inner, {"a": True, "b": False}, mask_compatible_extra_args=compatible)
    else:
        opt = jopt.partition({"a": inner, "*": jopt.scale(1.0)}, mask_compatible_extra_args=compatible)
    opt.update(tree, opt.init(tree), scales=tree)
    few = jax.tree.structure({"a": 0, "b": optax.MaskedNode()})
    assert seen == [few if compatible else jax.tree.structure(tree)]
    default = jopt.masked(inner, {"a": True, "b": False}) if wrapper == "masked" else jopt.partition({"*": inner})
    default.update(tree, default.init(tree), scales=tree)
    assert seen[1] == jax.tree.structure(tree)

"""``matrixwise``: which leaves are matrices, and in what shape the rule on matrices gets them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt

PARAMS = {
    "dense": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)},
    "conv": {"kernel": jnp.ones((3, 2, 4, 8)), "bias": jnp.ones(8)},
    "query": jnp.ones((6, 2, 5)),
    "layers": {"kernel": jnp.ones((7, 4, 3)), "bias": jnp.ones((7, 3))},
    "scale": jnp.ones(()),
    "none": None,
    "empty": jnp.ones((0, 3)),
}
COLUMNS = {"dense": 1, "conv": 1, "query": 2, "layers": 1, "scale": 1, "none": 1, "empty": 1}
STACKED = {"dense": 0, "conv": 0, "query": 0, "layers": 1, "scale": 0, "none": 0, "empty": 0}


@jopt.transformation
def orthogonal(learning_rate):
    """A rule on matrices: the orthogonal factor of each matrix along the last two axes."""

    def factor(g):
        u, _, v = jnp.linalg.svd(g, full_matrices=False)
        return -learning_rate * u @ v

    return lambda params: (), lambda updates, state, params=None: (jax.tree.map(factor, updates), state)


def seen_by(**words):
    """The shapes that each rule gets."""
    seen = []

    def note(updates, state, params=None, **extra_args):
        assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
        seen.append(jax.tree.map(jnp.shape, updates))
        return updates, state

    rule = optax.GradientTransformationExtraArgs(lambda params: (), note)
    opt = jopt.matrixwise(rule, rule, **words)
    updates, _ = opt.update(PARAMS, opt.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal(updates, PARAMS)
    return [dict(flat(tree)) for tree in seen]


def flat(tree):
    found = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: isinstance(x, tuple) and not hasattr(x, "_fields"))[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), shape) for path, shape in found]


def test_all_axes_but_the_last_are_joined_to_the_rows():
    matrices, others = seen_by()
    assert matrices == {
        "conv/kernel": (24, 8),
        "dense/kernel": (4, 3),
        "query": (12, 5),
        "layers/kernel": (28, 3),
        "layers/bias": (7, 3),
    }
    assert others == {"conv/bias": (8,), "dense/bias": (3,), "scale": (), "empty": (0, 3)}


@pytest.mark.parametrize("wrap", [lambda tree: tree, lambda tree: lambda params: tree], ids=["tree", "function"])
def test_axes_are_joined_and_stacked_as_asked_for_each_branch(wrap):
    matrices, others = seen_by(columns=wrap(COLUMNS), stacked=wrap(STACKED))
    assert matrices == {"conv/kernel": (24, 8), "dense/kernel": (4, 3), "query": (6, 10), "layers/kernel": (7, 4, 3)}
    assert others["layers/bias"] == (7, 3)


def test_the_mask_gives_matrices_to_the_other_optimizer():
    mask = {**dict.fromkeys(PARAMS, True), "dense": False}
    for chosen in (mask, lambda params: mask):
        matrices, others = seen_by(mask=chosen)
        assert "dense/kernel" not in matrices
        assert others["dense/kernel"] == (4, 3)
    matrices, others = seen_by(mask=False)
    assert matrices == {}
    assert len(others) == 9


def test_the_matrix_of_a_leaf_is_its_memory_as_it_lies():
    params = {"kernel": jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 4, 8)), jnp.float32)}
    opt = jopt.matrixwise(orthogonal(1.0), jopt.sgd(0.1))
    updates, _ = opt.update(params, opt.init(params), params)
    whole = params["kernel"].reshape(24, 8)
    expected, _ = orthogonal(1.0).update(whole, ())
    np.testing.assert_allclose(updates["kernel"], expected.reshape(3, 2, 4, 8), rtol=1e-5)
    turned = updates["kernel"].reshape(24, 8)
    np.testing.assert_allclose(turned.T @ turned, np.eye(8), atol=1e-5)


def test_a_stack_is_as_many_matrices():
    layers = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 3)), jnp.float32)
    opt = jopt.matrixwise(orthogonal(1.0), jopt.sgd(0.1), stacked=2)
    updates, _ = opt.update(layers, opt.init(layers), layers)
    for i in range(2):
        for j in range(3):
            expected, _ = orthogonal(1.0).update(layers[i, j], ())
            np.testing.assert_allclose(updates[i, j], expected, rtol=1e-4, atol=1e-5)


def test_both_rules_keep_a_state_for_their_own_leaves_and_are_named_after_their_arguments():
    opt = jopt.matrixwise(jopt.sgd(0.1, 0.9), jopt.adam(0.2), columns=COLUMNS, stacked=STACKED)
    state = opt.init(PARAMS)
    assert dict(flat(jax.tree.map(jnp.shape, state.matrix_state[0].trace)))["query"] == (6, 10)
    assert set(dict(flat(jax.tree.map(jnp.shape, state.other_state[0].mu)))) == {
        *("conv/bias", "dense/bias", "scale", "empty", "layers/bias")
    }
    assert opt.hyperparams["matrix_rule"] == {"learning_rate": 0.1, "momentum": 0.9}
    assert opt.replace(**{"other.learning_rate": 0.5}).hyperparams["other"]["learning_rate"] == 0.5
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), PARAMS)
    chex.assert_trees_all_equal_shapes(opt.init(shapes), state)


def test_a_rule_on_matrices_is_swept_beside_the_other():
    def loss(params, _):
        return sum(jnp.mean((p - 2.0) ** 2) for p in jax.tree.leaves(params) if p.size)

    params = {"kernel": jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 3, 4)), jnp.float32), "bias": jnp.zeros(4)}
    opt = jopt.matrixwise(orthogonal(jopt.choice(0.01, 0.02)), jopt.sgd(jopt.choice(0.1, 0.3)))
    result = jopt.sweep(loss, params, opt, steps=4, progress=False)
    assert set(result.dataset["loss"].dims[:2]) == {"matrix_rule.learning_rate", "other.learning_rate"}
    one = jopt.matrixwise(orthogonal(0.02), jopt.sgd(0.1))
    found = result.dataset["loss"].sel({"matrix_rule.learning_rate": 0.02, "other.learning_rate": 0.1}).values[0]
    np.testing.assert_allclose(found, jopt.train(loss, params, one, jnp.arange(4))[2], rtol=1e-4)


def test_a_leaf_whose_axes_do_not_suffice_is_named():
    opt = jopt.matrixwise(jopt.sgd(0.1), jopt.sgd(0.1), columns=2)
    with pytest.raises(ValueError, match=r"the leaf at \['dense'\]\['kernel'\] has shape \(4, 3\), of which stacked=0 and col"):
        opt.init({"dense": PARAMS["dense"]})
    with pytest.raises(ValueError, match=r"columns must be one value or a prefix.*\"\['conv'\]\".*\"\['dense'\]\['bias'\]\""):
        jopt.matrixwise(jopt.sgd(0.1), jopt.sgd(0.1), columns={"conv": 1}).init({"dense": PARAMS["dense"]})
    with pytest.raises(ValueError, match=r"matrixwise: columns, for the leaf at .*, must be a whole number of at least 1"):
        jopt.matrixwise(jopt.sgd(0.1), jopt.sgd(0.1), columns=0).init(PARAMS)


def test_optaxs_muon_is_a_rule_on_matrices(x64):
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(4, 3))), "b": jnp.asarray(rng.normal(size=3))}
    muon = optax.contrib.scale_by_muon(weight_dimension_numbers=plain_matrices)
    ours = jopt.matrixwise(jopt.chain(muon, jopt.scale(-0.1)), jopt.sgd(0.1))
    theirs = optax.partition({2: optax.chain(muon, optax.scale(-0.1)), 1: optax.sgd(0.1)}, dims)
    found, expected = (opt.update(params, opt.init(params), params)[0] for opt in (ours, theirs))
    chex.assert_trees_all_close(found, expected, rtol=1e-10)


def plain_matrices(params):
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), params)


def dims(params):
    return jax.tree.map(jnp.ndim, params)

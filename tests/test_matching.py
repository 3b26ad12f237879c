"""Masks: by patterns over the paths of leaves, and what is said of those that do not fit."""

import jax.numpy as jnp
import optax
import pytest

import jopt

PARAMS = {"hidden": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "out": {"kernel": jnp.ones((2, 2))}}
KERNELS = {"hidden": {"kernel": True, "bias": False}, "out": {"kernel": True}}


def test_a_pattern_is_a_mask_of_the_leaves_whose_paths_match():
    assert jopt.matching("*/kernel")(PARAMS) == KERNELS
    assert jopt.matching("out/*", "*/bias")(PARAMS) == {"hidden": {"kernel": False, "bias": True}, "out": {"kernel": True}}
    assert jopt.matching("1/*")(({"w": 1.0}, {"w": 2.0, "b": None})) == ({"w": False}, {"w": True, "b": None})
    assert jopt.matching("*")(jnp.ones(2)) is True


MASKED = {
    "adamw": lambda mask: jopt.adamw(0.1, weight_decay=0.5, mask=mask),
    "muon": lambda mask: jopt.muon(0.1, matrices=mask),
    "muon's decay": lambda mask: jopt.muon(0.1, weight_decay=0.5, weight_decay_mask=mask),
    "freeze": lambda mask: jopt.freeze(mask),
    "masked": lambda mask: jopt.masked(jopt.sgd(0.1), mask),
    "optax.adamw": lambda mask: optax.adamw(0.1, mask=mask),
}


@pytest.mark.parametrize("name", MASKED)
def test_masks_by_patterns_are_masks(name):
    by_pattern, by_tree = MASKED[name](jopt.matching("*/kernel")), MASKED[name](KERNELS)
    found, expected = (opt.update(PARAMS, opt.init(PARAMS), PARAMS)[0] for opt in (by_pattern, by_tree))
    for leaf in ("kernel", "bias"):
        assert jnp.array_equal(found["hidden"][leaf], expected["hidden"][leaf])


def test_optimizers_of_equal_patterns_are_equal():
    assert jopt.adamw(0.1, mask=jopt.matching("*/kernel")) == jopt.adamw(0.1, mask=jopt.matching("*/kernel"))
    assert jopt.matching("a") != jopt.matching("b")
    assert repr(jopt.matching("a", "b/*")) == "matching('a', 'b/*')"


def test_a_pattern_without_a_leaf_is_named():
    with pytest.raises(ValueError, match=r"the pattern '\*/kernl' matches no leaf; the leaves are \['hidden/bias'"):
        jopt.adamw(0.1, mask=jopt.matching("*/kernel", "*/kernl")).init(PARAMS)
    with pytest.raises(TypeError, match="a pattern must be a string, but got 3"):
        jopt.matching("a", 3)
    with pytest.raises(TypeError, match="but got none"):
        jopt.matching()


WITH_MASKS = {
    "adamw": lambda mask: jopt.adamw(0.1, mask=mask),
    "add_cautious_weight_decay": lambda mask: jopt.add_cautious_weight_decay(0.1, mask),
    "lamb": lambda mask: jopt.lamb(0.1, mask=mask),
    "soap": lambda mask: jopt.soap(0.1, mask=mask),
    "hyperball": lambda mask: jopt.hyperball(jopt.sgd(0.1), 0.1, mask=mask),
    "freeze": lambda mask: jopt.freeze(mask),
    "muon": lambda mask: jopt.muon(0.1, matrices=mask),
}


@pytest.mark.parametrize("name", WITH_MASKS)
def test_init_says_that_a_mask_does_not_fit(name):
    fits = r"must be one value or a prefix of the parameter tree.* \[\"\['hidden'\]\"\], and those of the tree"
    with pytest.raises(ValueError, match=fits):
        WITH_MASKS[name]({"hidden": True}).init(PARAMS)
    with pytest.raises(ValueError, match=r'Patterns are for jopt.matching\("\*/kernel"\)'):
        WITH_MASKS[name]({"*/kernel": True}).init(PARAMS)
    with pytest.raises(ValueError, match="It is a list, and the tree is a dict: make it of that type"):
        WITH_MASKS[name]([True, False]).init(PARAMS)


def test_the_call_that_lacks_an_argument_names_its_function():
    with pytest.raises(TypeError, match=r"^adam: missing a required argument: 'learning_rate'"):
        jopt.adam()
    with pytest.raises(TypeError, match=r"gradient_transformation\(\), or jopt.accumulate"):
        jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), optax.MultiSteps(optax.sgd(0.1), 2), steps=1)

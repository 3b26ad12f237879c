"""Groups compare optimizers; a dict in ``sweep_steps`` is a tree of optimizers that a step uses together."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

RATES = jopt.choice(0.1, 0.2)
START = jnp.float32(1.0)


def square(w, _):
    return w**2


def init(opt, key):
    return START, opt.init(START)


def step(opt, carry, batch, key):
    w, state = carry
    updates, state = opt.update(2 * w, state, w)
    return (w + updates, state), {"loss": w**2}


def init_both(opts, key):
    return {name: (START, opt.init(START)) for name, opt in opts.items()}


def step_both(opts, carry, batch, key):
    carry = {name: step(opt, carry[name], batch, key)[0] for name, opt in opts.items()}
    return carry, {"loss": sum(w**2 for w, _ in carry.values())}


def steps(optimizer, init=init, step=step, **options):
    return jopt.sweep_steps(init, step, optimizer, **{"steps": 3, "progress": False, **options})


COMPARED = {"sgd": jopt.sgd(RATES), "momentum": jopt.momentum(0.1), "optax": optax.sgd(0.1)}


def test_groups_are_compared_by_a_step_as_by_a_loss():
    by_step, by_loss = steps(jopt.groups(COMPARED)), jopt.sweep(square, START, jopt.groups(COMPARED), steps=3)
    assert list(by_step) == list(by_loss) == list(COMPARED)
    for name, group in by_loss.items():
        np.testing.assert_allclose(by_step[name].dataset.loss, group.dataset.loss, rtol=1e-6)
    assert by_step["sgd"].dataset.loss.dims == ("learning_rate", "seed", "step")
    assert by_step["momentum"].dataset.loss.dims == ("seed", "step")


def test_a_plain_dict_is_groups_for_sweep():
    plain, named = (jopt.sweep(square, START, given, steps=3) for given in (COMPARED, jopt.groups(COMPARED)))
    assert type(plain) is type(named) is jopt.GroupedResult
    assert plain.best().hyperparams == named.best().hyperparams
    for name in COMPARED:
        np.testing.assert_array_equal(plain[name].dataset.loss, named[name].dataset.loss)


def test_one_group_is_a_grouped_result_too():
    assert list(steps(jopt.groups({"only": jopt.sgd(RATES)}))) == ["only"]


def test_a_plain_dict_is_a_tree_for_a_step():
    result = steps({"gen": jopt.sgd(RATES), "disc": jopt.sgd(0.25)}, init_both, step_both)
    assert isinstance(result, jopt.SweepResult)
    assert not isinstance(result, jopt.GroupedResult)
    assert result.dataset.loss.dims == ("learning_rate", "seed", "step")
    np.testing.assert_allclose(result.params["gen"][0][:, 0], [0.8**3, 0.6**3], rtol=1e-6)
    np.testing.assert_allclose(result.params["disc"][0][:, 0], 0.5**3, rtol=1e-6)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Pair:
    gen: object
    disc: object


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda a, b: {"gen": a, "disc": b}, ("disc.learning_rate", "gen.learning_rate")),
        (lambda a, b: (b, a), ("0.learning_rate", "1.learning_rate")),
        (lambda a, b: Pair(b, a), ("gen.learning_rate", "disc.learning_rate")),
        (lambda a, b: {"gan": {"gen": a, "disc": b}}, ("disc.learning_rate", "gen.learning_rate")),
        (lambda a, b: {"x": {"opt": b}, "y": {"opt": a}}, ("x.opt.learning_rate", "y.opt.learning_rate")),
        (lambda a, b: {"net": b, "tail": jopt.chain(jopt.clip(1.0), a)}, ("net.learning_rate", "sgd.learning_rate")),
    ],
    ids=["dict", "tuple", "dataclass", "nested", "alike", "chain"],
)
def test_dimensions_are_named_by_the_shortest_paths_that_tell_them_apart(make, names):
    optimizers = make(jopt.sgd(jopt.choice(0.1, 0.2, 0.3)), jopt.sgd(jopt.choice(0.1, 0.2)))

    def begin(opts, key):
        return START

    def descend(opts, w, batch, key):
        leaves = jax.tree.leaves(opts)
        return w * (1 - leaves[0] * leaves[-1]), {"loss": w}

    result = steps(optimizers, begin, descend)
    assert result.record.dims == names
    assert result.record.shape == (2, 3)
    assert set(result.best().setting) == set(names)


def test_the_groups_of_a_step_may_be_trees():
    both = jopt.groups({"slow": {"a": jopt.sgd(0.1), "b": jopt.sgd(0.1)}, "fast": {"a": jopt.sgd(RATES), "b": jopt.sgd(RATES)}})
    result = steps(both, init_both, step_both)
    assert list(result) == ["slow", "fast"]
    assert result["fast"].record.dims == ("learning_rate",)  # one axis object, used twice
    np.testing.assert_allclose(result["slow"].params["b"][0], 0.8**3, rtol=1e-6)


def wrong_type(opts, key):
    return START, len(opts) + opts


@pytest.mark.parametrize("functions", [(init, step), (wrong_type, step), (lambda opts, key: (START, ()), step)])
def test_a_step_that_expects_one_optimizer_of_a_dict_is_told_of_groups(functions):
    with pytest.raises((AttributeError, TypeError)) as caught:
        steps({"sgd": jopt.sgd(RATES), "momentum": jopt.momentum(0.1)}, *functions)
    assert [note for note in caught.value.__notes__ if "jopt.groups({name: optimizer})" in note]


@pytest.mark.parametrize("optimizer", [jopt.sgd(RATES), (jopt.sgd(RATES),), jopt.groups({"sgd": jopt.sgd(RATES)})])
def test_other_errors_of_a_step_have_no_such_note(optimizer):
    def descend(opt, carry, batch, key):
        raise AttributeError("mine")

    with pytest.raises(AttributeError, match="mine") as caught:
        steps(optimizer, lambda opt, key: START, descend)
    assert not [note for note in getattr(caught.value, "__notes__", []) if "groups" in note]


def test_errors_of_other_kinds_and_of_arguments_have_no_such_note():
    def descend(opt, carry, batch, key):
        raise KeyError("mine")

    optimizers = {"a": jopt.sgd(0.1)}
    with pytest.raises(KeyError, match="mine") as caught:
        steps(optimizers, lambda opt, key: START, descend)
    with pytest.raises((TypeError, ValueError)) as other:
        steps(optimizers, init_both, step_both, steps="three")
    for error in (caught.value, other.value):
        assert not [note for note in getattr(error, "__notes__", []) if "groups" in note]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({}, ValueError, r"groups takes a dict of optimizers by name, at least one, but it is empty"),
        ([jopt.sgd(0.1)], TypeError, r"groups takes a dict.*but got list"),
        (jopt.sgd(0.1), TypeError, r"groups takes a dict"),
        ({1: jopt.sgd(0.1)}, ValueError, r"the name 1 must be a non-empty string"),
        ({"": jopt.sgd(0.1)}, ValueError, r"the name '' must be a non-empty string"),
        ({"a": 0.1}, TypeError, r"the optimizer 'a' must be a transformation.*but got float"),
        ({"a": jopt.sgd}, TypeError, r"the optimizer 'a' must be a transformation.*call the factory"),
        ({"a": None}, TypeError, r"the optimizer 'a' must be a transformation.*None holds none"),
        ({"a": {"gen": jopt.sgd(0.1), "disc": "adam"}}, TypeError, r"but \['disc'\] is str"),
        ({"a": jopt.groups({"b": jopt.sgd(0.1)})}, TypeError, r"the optimizer 'a' must not hold groups.*in one jopt.groups"),
        ({"a": (jopt.sgd(0.1), jopt.groups({"b": jopt.sgd(0.1)}))}, TypeError, r"must not hold groups, but \[1\] is groups"),
    ],
)
def test_groups_of_something_else_are_an_error_that_names_it(given, error, match):
    with pytest.raises(error, match=match):
        jopt.groups(given)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({}, ValueError, r"at least one, but it is empty"),
        ({"a": {"b": jopt.sgd(0.1)}}, TypeError, r"the optimizer 'a' must be a transformation, but got dict"),
        (jopt.groups({"a": (jopt.sgd(0.1), jopt.sgd(0.2))}), TypeError, r"the optimizer 'a'.*together by jopt.sweep_steps"),
        ((jopt.sgd(0.1), jopt.sgd(0.2)), TypeError, r"but got tuple; several are compared as a dict by name"),
        ((jopt.groups({"a": jopt.sgd(0.1)}),), TypeError, r"must be a transformation, but got tuple"),
    ],
)
def test_sweep_takes_no_trees(given, error, match):
    with pytest.raises(error, match=match):
        jopt.sweep(square, START, given, steps=1)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, r"{} holds none"),
        ({"a": 0.1}, r"but \['a'\] is float"),
        ({"a": jopt.groups({"b": jopt.sgd(0.1)})}, r"must not hold groups, but \['a'\] is groups"),
        ([jopt.sgd(0.1), optax.sgd], r"but \[1\] is function; call the factory"),
    ],
)
def test_a_tree_of_something_else_is_an_error_that_names_the_leaf(given, match):
    with pytest.raises(TypeError, match=match):
        steps(given)


def test_groups_read_like_what_they_hold():
    assert repr(jopt.groups({"sgd": jopt.sgd(0.5)})) == "groups({'sgd': sgd(learning_rate=0.5)})"

"""``hyper=`` given otherwise than it is read: axes that nobody reads are named, and errors say what a function was given."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype(np.float32)
Y = X.sum(1)
LARGE = np.tile(X, (200, 1))  # more elements than are compared by what they hold
HALVES = {"a": X[:20], "b": X[20:]}


def ridge(w, batch, hyper):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2) + hyper["l2"] * jnp.sum(w**2)


def plain(w, batch):
    return jnp.sum(w**2)


def swept(loss, hyper, optimizer=None, data=(X, Y), **options):
    options = {"steps": 2, "progress": False, "plan": jopt.Plan(width=1, workers=1), **options}
    return jopt.sweep(loss, jnp.zeros(3), jopt.sgd(0.1) if optimizer is None else optimizer, data, hyper=hyper, **options)


def unread(*args, **options):
    """The names of the axes that are warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        swept(*args, **options)
    assert all(each.category is UserWarning and each.filename == __file__ for each in caught)
    return [str(each.message).split("'")[1] for each in caught]


def two():
    return jopt.choice(1.0, 2.0)


# An axis that nobody reads


def test_an_axis_that_no_function_reads_is_named_with_what_it_costs():
    with pytest.warns(UserWarning, match=r"no function reads 'dropuot', so all values of axis\(0, 0.1; 2 values\) train alike"):
        result = swept(ridge, {"l2": 0.1, "dropuot": jopt.choice(0.0, 0.1)})
    np.testing.assert_array_equal(*result.record.losses["loss"])


NESTED = {
    "jit": jax.jit(ridge),
    "remat": jax.checkpoint(ridge),
    "a map over it": lambda w, b, hyper: ridge(w, b, jax.tree.map(jnp.asarray, hyper)),
    "scan": lambda w, b, hyper: jax.lax.scan(lambda a, _: (a + hyper["l2"], None), ridge(w, b, hyper), None, 3)[0],
}


@pytest.mark.parametrize("loss", NESTED.values(), ids=NESTED.keys())
def test_it_is_found_where_functions_hand_all_of_hyper_on(loss):
    assert unread(loss, {"l2": two(), "lr": two()}) == ["lr"]


NUMBERS = {
    "whole numbers": {"hyper": {"l2": 0.1, "n": jopt.choice(1, 2)}},
    "draws": {"hyper": {"l2": 0.1, "n": jopt.uniform(0.0, 1.0)}, "samples": 2},
    "in each group": {"hyper": {"l2": 0.1, "n": two()}, "optimizer": {"a": jopt.sgd(0.1), "b": jopt.sgd(two())}},
    "beside structure": {"hyper": {"l2": 0.1, "n": two()}, "optimizer": jopt.sgd(0.1, momentum=jopt.choice(None, 0.9))},
    "strings": {"hyper": {"l2": 0.1, "n": jopt.choice("relu", "tanh")}},
    "functions": {"hyper": {"l2": two(), "n": jopt.choice(jnp.tanh, jnp.exp)}},
    "bools beside large arrays": {
        "hyper": {"l2": 0.1, "n": jopt.choice(True, False)},
        "evaluate": lambda w: {"m": (LARGE @ w).mean()},
    },
}


@pytest.mark.parametrize("options", NUMBERS.values(), ids=NUMBERS.keys())
def test_of_any_kind(options):
    assert unread(ridge, **options) == ["n"]


def test_a_search_says_so_once():
    pytest.importorskip("optuna")
    search = jopt.OptunaSearch(batch=2)
    assert unread(ridge, {"l2": 0.1, "n": jopt.uniform(0.0, 1.0)}, samples=4, search=search) == ["n"]


READ = {
    "by evaluate only": (plain, {"n": two()}, {"evaluate": lambda w, hyper: {"m": hyper["n"] * w.sum()}}),
    "by the batch only": (lambda w, b: jnp.sum((w - b) ** 2), {"n": two()}, {"data": lambda key, step, hyper: hyper["n"]}),
    "by one structure only": (
        lambda w, b, hyper: jnp.sum(w**2) * (hyper["n"] if hyper["kind"] == "a" else 1.0),
        {"n": two(), "kind": jopt.choice("a", "b")},
        {},
    ),
    "as a shape": (lambda w, b, hyper: jnp.sum(w**2) + jnp.ones(hyper["n"]).sum(), {"n": jopt.choice(1, 2)}, {}),
    "by which arrays are taken": (
        lambda w, b, hyper: jnp.mean((HALVES[hyper["n"]] @ w - 1.0) ** 2),
        {"n": jopt.choice("a", "b")},
        {},
    ),
    "as None or not": (
        lambda w, b, hyper: jnp.sum(w**2) * (1.0 if hyper["n"] is None else 2.0),
        {"n": jopt.choice(None, 0.1, 0.2)},
        {},
    ),
    "by the name of what is recorded": (
        plain,
        {"n": jopt.choice("a", "b")},
        {"evaluate": lambda w, hyper: {hyper["n"]: w.sum()}},
    ),
    "in a branch": (
        lambda w, b, hyper: jax.lax.cond(w[0] > 0, lambda h: jnp.sum(w) * h["n"], lambda h: jnp.sum(w**2), hyper),
        {"n": two()},
        {},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read_anywhere_is_not_warned_of(case):
    loss, hyper, options = READ[case]
    assert unread(loss, hyper, **options) == []


def test_an_axis_that_walks_with_another_that_is_read_may_be_a_mere_label():
    rate, label = jopt.zipped((0.1, 0.2), (1.0, 2.0))
    assert unread(ridge, {"l2": 0.1, "n": label}, jopt.sgd(rate)) == []
    assert unread(ridge, {"l2": 0.1, "n": rate}, jopt.sgd(rate)) == []
    assert unread(ridge, {"l2": 0.1, "n": label, "m": rate}) == ["m", "n"]


def test_one_value_costs_nothing_and_without_jit_nothing_is_known():
    assert unread(ridge, {"l2": 0.1, "n": jopt.choice(0.1)}) == []
    with jax.disable_jit():
        assert unread(ridge, {"l2": 0.1, "n": two()}) == []


def test_steps_of_ones_own_read_it_in_init_too():
    def init(optimizer, key, hyper):
        return hyper["n"]

    def step(optimizer, carry, batch, key):
        return carry, {"loss": carry}

    with pytest.warns(UserWarning, match="no function reads 'm'"):
        jopt.sweep_steps(init, step, jopt.sgd(0.1), steps=1, hyper={"n": two(), "m": two()}, progress=False)


# Errors of the user's functions


def noted(kind, *args, jit=True, **options):
    """The notes of jopt's on the error that a sweep ends with, and what it says."""
    with jax.disable_jit(not jit), pytest.raises(kind) as caught:
        swept(*args, **options)
    return [note for note in getattr(caught.value, "__notes__", []) if note.startswith("jopt:")], str(caught.value)


@pytest.mark.parametrize("jit", [True, False])
def test_an_error_of_the_users_function_says_what_hyper_was(jit):
    ((note,), _) = noted(TypeError, ridge, {"l2": [0.0, 0.1]}, jit=jit)
    assert note.startswith("jopt: hyper reached the function as {'l2': [float32, float32]}, a lane's own values; ")
    assert "are an axis, jopt.choice(0.0, 0.1)" in note
    ((note,), said) = noted(KeyError, ridge, {"L2": jopt.choice(0.0, 0.1)}, jit=jit)
    assert "as {'L2': float32}" in note
    assert said == "'l2'"


def test_numbers_are_shown_by_type_and_structure_as_it_is():
    def loss(w, batch, hyper):
        return jnp.sum(w**2) * jnp.arange(3.0)[hyper["fold"]]

    hyper = {"fold": jopt.linspace(0, 2, 3), "x": np.zeros((2, 3)), "n": 3, "kind": "relu", "f": jnp.tanh, "no": None}
    ((note,), _) = noted(TypeError, loss, hyper)
    assert "{'f': tanh, 'fold': float32, 'kind': 'relu', 'n': 3, 'no': None, 'x': float32[2, 3]}" in note
    assert "whole numbers, to index with, are jopt.choice(0, 1, 2)" in note


def test_every_function_that_is_given_hyper_says_it_once():
    def wrong(*args, hyper):
        return {"m": hyper["none"]}

    hyper = {"l2": 0.1}
    assert len(noted(KeyError, plain, hyper, evaluate=lambda w, hyper: wrong(hyper=hyper))[0]) == 1
    assert len(noted(KeyError, plain, hyper, evaluate=jopt.metrics(lambda w, x, hyper: wrong(hyper=hyper), data=X))[0]) == 1
    assert len(noted(KeyError, plain, hyper, data=lambda key, step, hyper: wrong(hyper=hyper))[0]) == 1


def test_functions_without_hyper_and_errors_of_jopts_own_have_no_such_note():
    def fails(w, batch):
        raise KeyError

    assert noted(KeyError, fails, {"l2": 0.1}, evaluate=lambda w, hyper: {"m": w.sum()})[0] == []
    assert noted(TypeError, ridge, {"l2": 0.1}, evaluate=jopt.metrics(lambda w, hyper: w.sum()))[0] == []
    assert noted(ValueError, lambda w, b, hyper: w, {"l2": 0.1})[0] == []


@pytest.mark.parametrize("array", [np.array([0.0, 0.1]), jnp.array([0.0, 0.1])], ids=["NumPy", "JAX"])
def test_an_array_that_was_meant_as_an_axis_is_named_where_no_scalar_comes_of_it(array):
    notes, said = noted(ValueError, ridge, {"l2": array})
    assert notes == []
    assert said == (
        "The loss must return a scalar, but returned shape (2,), the shape of hyper['l2']: each lane is given this array as a "
        "whole; to sweep its numbers, give an axis in its place, jopt.choice(*values)."
    )
    evaluate = {"evaluate": lambda w, hyper: {"m": w.sum() * hyper["l2"]}}
    assert (
        "'m' must be a scalar, but has shape (2,), the shape of hyper['l2']"
        in noted(ValueError, plain, {"l2": array}, **evaluate)[1]
    )
    assert "take its mean or sum" in noted(ValueError, lambda w, b, hyper: w * hyper["l2"][0], {"l2": array})[1]

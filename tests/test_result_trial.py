"""``result.trial``: any setting of a sweep, by its numbers or its place."""

import jax.numpy as jnp
import numpy as np
import pytest

import jopt


def loss(w, batch):
    return jnp.sum((w - 1.0) ** 2)


@pytest.fixture(scope="module")
def result():
    optimizer = jopt.sgd(jopt.choice(0.01, 0.1, 5.0), momentum=jopt.choice(None, 0.9), nesterov=jopt.choice(False, True))
    return jopt.sweep(loss, jnp.zeros(2), optimizer, steps=200, seeds=2, keep="carry", progress=False)


def test_a_setting_is_found_by_what_was_swept_in_it(result):
    for best in result.top(99):
        found = result.trial(best.setting)
        assert (found.index, found.score, found.setting) == (best.index, best.score, best.setting)
        assert result.trial(best.index).index == best.index


def test_numbers_are_found_to_six_digits_and_what_tells_settings_apart_is_enough(result):
    named = {"learning_rate": np.float32(0.1), "momentum": 0.9, "nesterov": True}
    assert result.trial(named).index == (1, 1, 1)
    single = jopt.sweep(loss, jnp.zeros(2), jopt.sgd(jopt.choice(0.1, 0.2)), steps=2, progress=False)
    assert single.trial({"learning_rate": 0.2000001}).index == (1,)


def test_one_that_is_out_has_what_it_came_to(result):
    wild = result.trial({"learning_rate": 5.0, "momentum": None, "nesterov": False})
    assert not np.isfinite(wild.score)
    assert wild.hyperparams["learning_rate"] == 5.0


def test_a_sweep_goes_on_from_it(result):
    slow = result.trial({"learning_rate": 0.01, "momentum": None, "nesterov": False})
    longer = jopt.sweep(loss, slow, slow.optimizer, steps=100, progress=False)
    assert longer.record.step[0] == 201
    assert longer.best().score < slow.score


def test_a_group_is_named(result):
    both = jopt.sweep(loss, jnp.zeros(2), {"a": jopt.sgd(jopt.choice(0.1, 0.2)), "b": jopt.adam(0.1)}, steps=2, progress=False)
    found = both.trial({"learning_rate": 0.2}, group="a")
    assert (found.group, found.index) == ("a", (1,))
    assert both.trial({}, group="b").score == both["b"].best().score
    with pytest.raises(ValueError, match="group must be 'a' or 'b'"):
        both.trial({})


@pytest.mark.parametrize(
    ("setting", "error", "said"),
    [
        ({"learning_rate": 0.3}, ValueError, r"learning_rate was not 0\.3 in any setting; it was 0\.01, 0\.1, 5\.0"),
        ({"learning_rate": 0.1}, ValueError, "4 settings are .*; say momentum and nesterov, too"),
        ({"nesterov": 1}, ValueError, "nesterov was not 1"),
        ({"decay": 1}, ValueError, "'decay' was not swept"),
        ((0, 9, 0), ValueError, "index must be a position"),
        ("best", TypeError, "index must be a list"),
    ],
)
def test_a_setting_that_there_is_not_is_an_error(result, setting, error, said):
    with pytest.raises(error, match=said):
        result.trial(setting)

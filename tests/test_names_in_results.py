"""Names of what was swept, as results take them: the name itself, or a part of the path of one number."""

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.test_results_record import record


def cosine(low, high):
    return jopt.cosine_decay_schedule(jopt.geomspace(low, high, 3), 6)


@pytest.fixture(scope="module")
def muon():
    optimizer = jopt.muon(cosine(0.01, 1.0), adam_learning_rate=cosine(0.001, 0.1), matrices={"in": True, "out": False})
    params = {"in": jnp.ones((2, 2)), "out": jnp.ones(2)}
    return jopt.sweep(lambda w, batch: (w["in"] ** 2).sum() + (w["out"] ** 2).sum(), params, optimizer, steps=6, progress=False)


RATE, OTHER = "learning_rate.init_value", "adam_learning_rate.init_value"


def test_the_axes_have_the_names_that_these_tests_are_about(muon):
    assert set(muon.record.dims) == {RATE, OTHER}


@pytest.mark.parametrize(("given", "meant"), [(RATE, RATE), ("learning_rate", RATE), ("adam_learning_rate", OTHER)])
def test_a_suggestion_takes_the_beginning_of_a_path_and_says_the_whole(muon, given, meant):
    assert muon.suggest(given).name == meant
    assert muon.suggest(given).value == muon.suggest(meant).value


def test_what_several_paths_end_with_is_an_error_that_lists_them(muon):
    for ask in (muon.suggest, lambda name: muon.trial({name: 0.1}), lambda name: muon.plot.response(x=name)):
        with pytest.raises(ValueError, match=rf"'init_value' stands for several numbers here: {RATE}, {OTHER}"):
            ask("init_value")


def test_a_part_of_a_step_of_a_path_is_no_name(muon):
    with pytest.raises(ValueError, match="'rate' was not swept in this result; it swept"):
        muon.suggest("rate")


def test_a_trial_takes_the_beginnings_of_paths(muon):
    best = muon.best()
    found = muon.trial({"learning_rate": best.setting[RATE], OTHER: best.setting[OTHER]})
    assert found.index == best.index
    with pytest.raises(ValueError, match=f"say {OTHER}, too"):
        muon.trial({"learning_rate": best.setting[RATE]})


def test_pictures_take_them_and_show_the_whole(muon):
    pytest.importorskip("matplotlib")
    short, whole = muon.plot.response(x="learning_rate"), muon.plot.response(x=RATE)
    assert short.get_xlabel() == whole.get_xlabel()
    assert short.get_xscale() == whole.get_xscale()
    ax = muon.plot.heatmap(x="adam_learning_rate", y="learning_rate")
    assert "adam" in ax.get_xlabel()


def test_the_name_itself_goes_before_what_begins_or_ends_with_it():
    along = {"learning_rate": np.array([1.0, 2.0]), "learning_rate.init_value": np.array([3.0, 4.0])}
    made = record(np.ones((2, 2)), coords={name: (name, values) for name, values in along.items()})
    assert made.named("learning_rate") == "learning_rate"
    assert made.named("init_value") == "learning_rate.init_value"


@pytest.mark.parametrize("given", ["learning_rate", "learning_rate.init_value", "init_value", "rate"])
def test_what_has_a_short_name_or_a_given_one_is_found_by_its_whole_path(given):
    schedule = jopt.cosine_decay_schedule(jopt.geomspace(0.01, 1.0, 3, name="rate" if given == "rate" else None), 6)
    optimizer = jopt.chain(jopt.clip(10.0), jopt.sgd(schedule, momentum=jopt.choice(0.0, 0.5)))
    result = jopt.sweep(lambda w, batch: (w**2).sum(), jnp.ones(2), optimizer, steps=6, progress=False)
    own = "rate" if given == "rate" else "init_value"
    assert result.suggest(given).name == own
    value = result.best().setting[own]
    assert result.trial({given: value, "momentum": 0.0}).setting == {own: value, "momentum": 0.0}
    if given == "rate":
        assert result.suggest("learning_rate.init_value").name == own
    with pytest.raises(ValueError, match="'adam' was not swept in this result; it swept"):
        result.suggest("adam")

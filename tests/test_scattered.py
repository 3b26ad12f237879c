"""Suggestions of numbers that changed together: drawn, searched, zipped."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.results import GroupedResult, load_result, text
from tests.test_results_record import record, result

SCALE = jnp.array([0.2, 1.0, 2.0])


def loss(w, batch):
    return jnp.sum(SCALE * w**2)


def swept(optimizer, **options):
    return jopt.sweep(loss, jnp.ones(3), optimizer, **{"steps": 15, "progress": False, **options})


@pytest.fixture(scope="module")
def drawn():
    rate = jopt.cosine_decay_schedule(jopt.loguniform(0.01, 0.6, name="rate"), 15)
    return swept(jopt.momentum(rate, momentum=jopt.uniform(0.0, 0.9)), samples=16)


def made(scores, along="sample", **coords):
    """A result of settings in which several numbers changed together, and its losses at the end."""
    scores = np.asarray(scores, float)
    rec = record(scores, coords={name: (along, np.asarray(values)) for name, values in coords.items()})
    whole = result(dataclasses.replace(rec, metrics={}, eval_step=np.zeros(0, int)))
    whole._optimizer_at = lambda index: object()
    return whole


NUMBERS = np.geomspace(0.01, 1.0, 14)


# The best setting


def test_of_draws_the_numbers_of_the_best_setting_are_suggested_together_with_intervals(drawn):
    found, best = drawn.suggest(), drawn.best()
    assert (found.name, list(found.beside)) == ("rate", ["momentum"])
    assert {found.name: found.value} | {name: value for name, (value, _, _) in found.beside.items()} == best.setting
    assert found.low <= found.value <= found.high
    assert all(low <= value <= high for value, low, high in found.beside.values())
    assert found.optimizer == best.optimizer
    assert found.extend is None


def test_the_sentence_names_all_of_them_and_says_that_they_changed_together(drawn):
    told, setting = str(drawn.suggest()), drawn.best().setting
    assert told.startswith(f"use rate {text.number(setting['rate'])} (")
    assert f" and momentum {text.number(setting['momentum'])} (" in told
    assert "the best of 16 settings in which rate and momentum changed together" in told
    assert "the 6 best of them lie in the intervals" in told
    assert "no curve" in told


def test_one_of_them_is_suggested_by_its_name_alone(drawn):
    found = drawn.suggest("momentum")
    assert (found.value, found.low, found.high) == drawn.suggest().beside["momentum"]
    assert found.beside == {}
    assert "rate 0" not in str(found)


def test_a_loaded_result_suggests_the_same(drawn, tmp_path):
    drawn.save(tmp_path / "drawn.jopt")
    assert str(load_result(tmp_path / "drawn.jopt").suggest()) == str(drawn.suggest())


def test_what_a_search_chose_is_suggested_as_well():
    pytest.importorskip("optuna")
    optimizer = jopt.momentum(jopt.loguniform(0.01, 0.6), momentum=jopt.uniform(0.0, 0.9))
    found = swept(optimizer, samples=8, search=jopt.OptunaSearch(batch=4)).suggest()
    assert (found.name, list(found.beside)) == ("learning_rate", ["momentum"])
    assert found.value == found.trial.setting["learning_rate"]


def test_numbers_of_which_a_search_chose_some_again_have_a_suggestion():
    found = made([3, 1, 1, 2, 4], k=[4, 8, 8, 16, 2]).suggest()
    assert (found.value, found.low, found.high) == (8, 2, 16)
    assert "some have the same number" in str(found)


# The interval


def test_the_interval_is_where_the_six_best_lie_and_holds_the_neighbours_of_the_best():
    order = [9, 8, 7, 6, 5, 2, 1, 3, 4, 5.1, 6.1, 10, 11, 12]  # six best: the values at 5 to 9, and 4
    found = made(order, a=NUMBERS, b=NUMBERS[::-1].copy()).suggest("a")
    assert (found.value, found.low, found.high) == (NUMBERS[6], NUMBERS[4], NUMBERS[9])
    lonely = [20, 1, 21, 22, 23, 24, 25, 26, 2, 3, 4, 5, 6, 7]
    found = made(lonely, a=NUMBERS, b=NUMBERS[::-1].copy()).suggest("a")
    assert (found.value, found.low, found.high) == (NUMBERS[1], NUMBERS[0], NUMBERS[12])


def test_the_interval_holds_the_best_value_in_most_cases():
    random, hits = np.random.default_rng(0), []
    for count in (12, 30):
        for steeper in (1.0, 3.0):
            for _ in range(25):
                best, at = random.uniform(0.2, 0.8, 3), random.uniform(size=(count, 3))
                off = np.where(at > best, steeper, 1.0) * (at - best)
                scores = 0.5 + (np.array([1.0, 0.3, 0.1]) * off**2).sum(1) + 0.02 * random.normal(size=count)
                whole = made(scores, a=10 ** at[:, 0], b=10 ** at[:, 1], c=10 ** at[:, 2])
                found = [whole.suggest(name) for name in "abc"]
                hits += [each.low <= 10**x <= each.high for each, x in zip(found, best, strict=True)]
    assert np.mean(hits) >= 0.85


def test_what_diverged_is_in_no_interval():
    scores = np.linspace(1.0, 2.0, 14)
    scores[10:] = np.nan
    found = made(scores, a=NUMBERS, b=NUMBERS[::-1].copy()).suggest("a")
    assert found.high < NUMBERS[10]
    assert "of 10 settings" in str(found)
    assert any("only 10 settings" in each for each in found.warnings)


# Zipped


def test_of_zipped_numbers_the_interval_ends_at_the_neighbours_of_the_best():
    rates, decay = jopt.zipped(jopt.choice(0.01, 0.05, 0.2, 0.4, 3.0), jopt.choice(1e-1, 1e-2, 1e-3, 1e-4, 0.0))
    found = swept(jopt.adamw(rates, weight_decay=decay)).suggest()
    assert found.value == found.trial.setting["learning_rate"]
    values = [0.01, 0.05, 0.2, 0.4, 3.0]
    place = values.index(found.value)
    assert (found.low, found.high) == (values[max(0, place - 1)], values[min(4, place + 1)])
    assert found.beside["weight_decay"][0] == found.trial.setting["weight_decay"]
    assert "changed together" in str(found)


# Warnings


@pytest.mark.parametrize(("scores", "end"), [(np.arange(14), "lowest"), (np.arange(14)[::-1], "highest")])
def test_the_outermost_of_all_draws_is_warned_of_by_the_suggestion_and_the_comparison(scores, end):
    whole = made(scores + 1.0, a=NUMBERS, b=np.roll(NUMBERS, 7))
    wanted = f"the best a is the {end} of all, so that a better one may lie beyond; draw from a wider range"
    assert wanted in whole.suggest("a").warnings
    assert wanted in whole.suggest().warnings
    assert not any("lowest" in each or "highest" in each for each in whole.suggest("b").warnings)
    side, way = ("lower", "lower") if end == "lowest" else ("upper", "higher")
    compared = GroupedResult({"x": whole, "y": made([2.0], a=[1.0], b=[1.0])}).compare()
    at = text.number(whole.best().setting["a"])
    assert compared.warnings == (f"x is at the {side} edge of a ({at}): try {way} before you compare",)


def test_a_number_that_can_go_no_further_is_at_no_edge():
    values = np.append(0.001, np.linspace(0.1, 0.9, 13))
    whole = made(np.arange(14) + 1.0, rate=np.roll(NUMBERS, 7), momentum=values)
    whole._optimizer_at = lambda index: jopt.momentum(0.1, momentum=float(values[index[0]]))
    assert not any("lowest" in each for each in whole.suggest("momentum").warnings)


def test_few_draws_and_draws_that_improve_nothing_warn():
    assert "only 4 settings have a score" in made([4, 1, 2, 3], a=[1.0, 2, 3, 4], b=[4.0, 3, 2, 1]).suggest("a").warnings
    assert not any("only" in each for each in made(np.arange(14.0) + 1, a=NUMBERS, b=NUMBERS).suggest("a").warnings)
    uphill = made([1.3, 1.0, 1.1, 1.2], a=[1.0, 2, 3, 4], b=[4.0, 3, 2, 1])
    uphill._record = dataclasses.replace(uphill.record, losses={"loss": uphill.record.losses["loss"][..., ::-1]})
    assert "even the best is no better than before the first step" in uphill.suggest().warnings


def test_the_horizon_is_warned_of_as_on_a_grid(drawn):
    constant = swept(jopt.momentum(jopt.loguniform(0.01, 0.6), momentum=jopt.uniform(0.0, 0.9)), samples=12)
    assert any("does not decay" in each for each in constant.suggest().warnings)
    assert not any("does not decay" in each for each in drawn.suggest().warnings)


# Which number is meant


def test_of_draws_and_another_axis_a_name_is_needed_where_no_rate_is_among_them():
    optimizer = jopt.adam(0.1, b1=jopt.choice(0.8, 0.9), b2=jopt.uniform(0.9, 0.99), eps=jopt.loguniform(1e-8, 1e-6))
    whole = swept(optimizer, samples=3, steps=2)
    with pytest.raises(ValueError, match="name= is needed, one of"):
        whole.suggest()
    assert whole.suggest("b2").value == whole.best().setting["b2"]


def test_an_accuracy_is_scattered_by_its_errors():
    whole = made([1.0, 2.0, 3.0], a=[1.0, 2, 3], b=[3.0, 1, 2])
    metrics = {"accuracy": np.array([0.5, 0.9, 0.7])[:, None, None] * np.ones((3, 2, 3))}
    whole._record = dataclasses.replace(whole.record, metrics=metrics, eval_step=np.array([5, 10, 15]), maximize=("accuracy",))
    found = whole.suggest("a", "accuracy")
    assert found.value == 2.0
    assert "within 5 % of the best 1 - accuracy" in str(found)


# On the page


def test_the_page_says_it_once_and_its_code_is_the_setting_that_ran(drawn):
    pytest.importorskip("plotly")
    from jopt.results import scores
    from jopt.results.page import answer, listing

    parts = {"": drawn}
    ranked = scores.ranking([drawn.record], None, None, None)
    told = answer.answer(parts, listing.listed(parts, ranked), ranked)
    assert told.head.startswith("use rate ")
    assert " and momentum " in told.head
    assert told.others == []
    assert {each.name for each in told.suggestions} == {"rate", "momentum"}
    assert [each.about for each in told.code] == ["the best setting that ran"]
    assert math.isfinite(told.suggestions[0].low)

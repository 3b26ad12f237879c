"""The scale of an axis: one rule for suggestions, zooms and pictures."""

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.results.spacing import is_log

RATES = (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1e-3, 1e-2, 0.1, 1.0], True),
        ([0.0, 1e-4, 1e-2], True),
        ([0.0, 0.01, 0.1], True),
        ([0.0, 0.9], False),
        ([0.0, 0.5, 0.9, 0.99], False),
        ([0.0, 0.9, 0.95, 0.99], False),
        ([0.0, 0.25, 0.5, 0.75], False),
        ([-1.0, 0.001, 0.1], False),
        ([1e-3, 3e-3, 1e-2], True),
        ([16, 32, 64, 128], True),
        ([0.05, 0.1, 0.15, 0.2], False),
        ([0.1, 0.3], True),
        ([0.8, 0.9], False),
        ([0.1], False),
    ],
)
def test_given_values_are_logarithmic_where_their_logarithms_are_spaced_more_evenly(values, expected):
    assert is_log(values) is expected


def test_an_axis_that_says_how_it_was_made_is_believed():
    values = np.array([0.01, 0.02, 0.9])
    assert [is_log(values, kind) for kind in ("uniform", "linspace", "loguniform", "geomspace")] == [False, False, True, True]
    assert not is_log([0.5], "geomspace")


def loss(w, batch):
    return jnp.sum(jnp.array([0.2, 1.0, 2.0]) * w**2)


def run(optimizer, **options):
    return jopt.sweep(loss, jnp.ones(3), optimizer, **{"steps": 10, "progress": False, **options})


def test_a_zero_beside_rates_stays_out_of_the_suggestion_and_the_zoom():
    with_zero, without = run(jopt.sgd(jopt.choice(*RATES))), run(jopt.sgd(jopt.choice(*RATES[1:])))
    found, same = with_zero.suggest(), without.suggest()
    assert (found.value, found.low, found.high) == (same.value, same.low, same.high)
    assert any("0 is worse" in reason for reason in found.reasons)
    axis = with_zero.zoom().hyperparams["learning_rate"]
    np.testing.assert_allclose(np.diff(np.log(axis.values)), np.log(10) / 5, rtol=1e-9)
    assert len(axis) == 6


def test_a_zero_that_no_value_beats_is_the_suggestion_and_says_so():
    def loss(w, batch, hyper):
        return jnp.sum(w**2) + hyper["l2"]

    l2 = jopt.choice(0.0, 1e-3, 1e-2, 0.1, 1.0)
    found = jopt.sweep(loss, jnp.ones(3), jopt.sgd(0.1), steps=5, hyper={"l2": l2}, progress=False).suggest("l2")
    assert (found.value, found.low, found.high) == (0.0, 0.0, 1e-3)
    assert "0" in found.rule
    assert any("between it and 0.001" in warning for warning in found.warnings)
    np.testing.assert_allclose(found.extend.values, [1e-7, 1e-6, 1e-5, 1e-4], rtol=1e-9)


def test_where_the_first_value_above_zero_is_best_the_interval_begins_at_zero():
    found = run(jopt.sgd(jopt.choice(0.0, 0.4, 4.0, 40.0))).suggest()
    assert found.value == pytest.approx(0.4)
    assert (found.low, found.high) == pytest.approx((0.0, 4.0))
    assert any("between the two" in warning for warning in found.warnings)
    assert max(found.extend.values) < 0.4


def test_zooming_where_zero_is_best_keeps_it_beside_smaller_values():
    axis = run(jopt.sgd(jopt.choice(0.0, 10.0, 100.0, 1000.0))).zoom().hyperparams["learning_rate"]
    assert axis.values[0] == 0.0
    assert len(axis) == 4
    assert axis.values[-1] == pytest.approx(10.0)
    assert is_log(axis.values)


def test_a_zero_on_an_even_axis_is_a_point_of_the_curve():
    result = run(jopt.momentum(0.05, momentum=jopt.choice(0.0, 0.3, 0.6, 0.9)))
    assert not any("0 is" in each for each in (*result.suggest().reasons, *result.suggest().warnings))
    assert max(result.zoom().hyperparams["momentum"].values) <= 0.9


KINDS = {
    "linspace": jopt.linspace(0.01, 0.2, 3),
    "geomspace": jopt.decades(1e-3, 0.1),
    "uniform": jopt.uniform(0.0, 0.2),
    "loguniform": jopt.loguniform(0.1, 0.2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_how_an_axis_was_made_is_kept_in_files_and_joined_results(kind, tmp_path):
    options = {"samples": 8} if kind.endswith("uniform") else {}
    made = run(jopt.sgd(KINDS[kind]), **options)
    made.save(tmp_path / "a.jopt")
    loaded = jopt.load_result(tmp_path / "a.jopt")
    other = run(jopt.sgd(jopt.linspace(0.03, 0.06, 3)))
    for found in (made, loaded):
        assert found.record.kinds == {"learning_rate": kind}
        log = "log" if kind in ("geomspace", "loguniform") else "linear"
        assert found.plot.response().get_xscale() == log
    assert repr(loaded.zoom()) == repr(made.zoom())
    if not options:
        expected = {"learning_rate": "linspace"} if kind == "linspace" else {}
        assert made.concat(other).record.kinds == expected


def test_a_number_drawn_evenly_has_a_linear_axis_and_colour_bar():
    optimizer = jopt.momentum(jopt.loguniform(1e-3, 0.1), momentum=jopt.uniform(0.0, 0.99))
    result = run(optimizer, samples=16)
    assert result.plot.response(x="momentum").get_xscale() == "linear"
    assert result.plot.response().figure.axes[1].get_yscale() == "linear"
    assert result.plot.response(x="momentum").figure.axes[1].get_yscale() == "log"


def test_drawn_whole_numbers_stay_whole_in_a_file(tmp_path):
    result = run(jopt.sgd(jopt.uniform(0, 4, dtype=int)), samples=2)
    result.save(tmp_path / "a.jopt")
    assert repr(jopt.load_result(tmp_path / "a.jopt").optimizer) == repr(result.optimizer)

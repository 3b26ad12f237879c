"""The response with what the suggestion makes of it: value, interval, parabola, basin, divergence."""

import dataclasses
import math

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

import jopt
from jopt.results.plots import suggested
from tests.test_results_plots import crosses, four_groups, inside, legend, stars
from tests.test_results_record import record, result

RATES = np.geomspace(1e-4, 1.0, 13)


def valley(rates=RATES, seeds=3, lost=2, best=0.02, noise=0.02):
    """Losses whose logarithm is a parabola over that of the rate, the highest of which diverge."""
    loss = 0.1 * np.exp(0.25 * np.log(rates / best) ** 2)
    diverged = [(len(rates) - 1 - i, seed) for i in range(lost) for seed in range(seeds)]
    coords = {"learning_rate": ("learning_rate", rates)}
    return record(loss, seeds=seeds, coords=coords, noise=noise, diverged=diverged)


def flat_legend(ax):
    return [label.replace("\n", " ") for label in legend(ax)]


def labelled(ax, start):
    """What the legend shows for the label that begins so."""
    handles = dict(zip(flat_legend(ax), ax.get_legend().legend_handles, strict=True))
    return next(handle for label, handle in handles.items() if label.startswith(start))


def spans(ax):
    """Left and right edges of all that is shaded, in the order in which it was drawn."""
    return [(patch.get_extents().transformed(ax.transData.inverted()).x0, patch) for patch in ax.patches]


def test_the_response_shows_value_interval_and_basin_of_the_suggestion():
    made = result(valley())
    found, ax = made.suggest(metric="loss"), made.plot.response("loss")
    names = flat_legend(ax)
    assert f"suggested: learning_rate={jopt.results.text.number(found.value)}" in names
    assert f"interval: {jopt.results.text.number(found.low)} to {jopt.results.text.number(found.high)}" in names
    assert any(name.startswith("within 5 % of the best: ") for name in names)
    (at,) = [line for line in ax.lines if line.get_xdata() == pytest.approx([found.value] * 2)]
    assert to_hex(at.get_color()) == suggested.COLOR
    band, wall = ax.patches
    assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx([found.low, found.high])
    assert wall.get_x() == pytest.approx(RATES[11])
    assert "diverges: from 0.464" in names


def test_the_parabola_goes_through_the_points_that_it_was_fitted_to():
    ax = result(valley()).plot.response("loss")
    data = ax.lines[0]
    (parabola,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    x, y = parabola.get_data()
    place = int(np.nanargmin(data.get_ydata()))
    near = slice(place - 1, place + 2)
    assert (x[0], x[-1]) == pytest.approx((RATES[place - 1], RATES[place + 1]))
    np.testing.assert_allclose(np.interp(np.log(RATES[near]), np.log(x), np.log(y)), np.log(data.get_ydata()[near]), rtol=1e-3)
    second = np.diff(np.log(y), 2)
    np.testing.assert_allclose(second, second[0], rtol=1e-6)  # a parabola in the logarithms of both
    assert x[np.argmin(y)] == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_scores_that_are_good_when_high_are_turned_back(mode):
    error = valley(lost=0).losses["loss"][..., -1].mean(-1)
    rec = record(error, coords={"learning_rate": ("learning_rate", RATES)}, accuracy=(1 - error)[:, None] * np.ones(2) / 0.8)
    ax = result(rec).plot.response("accuracy" if mode == "max" else "loss", mode)
    (parabola,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    lowest, highest = np.nanmin(ax.lines[0].get_ydata()), np.nanmax(ax.lines[0].get_ydata())
    best = highest if mode == "max" else lowest
    extreme = parabola.get_ydata().max() if mode == "max" else parabola.get_ydata().min()
    assert abs(extreme - best) < 0.05 * (highest - lowest)


def test_nothing_of_the_suggestion_lies_over_the_data():
    ax = result(valley()).plot.response("loss")
    data = ax.lines[0]
    crossing = crosses(ax)[0]
    (bar,) = [line for line in ax.lines if line.get_marker() == "|"]
    (beyond,) = [line for line in ax.lines if line.get_marker() == "^"]  # at the edge: the data go on
    for artist in (*ax.patches, *(line for line in ax.lines if line not in (data, crossing, bar, beyond, *stars(ax)))):
        assert artist.get_zorder() < data.get_zorder()
    ax.figure.canvas.draw()
    lowest = ax.transData.transform(np.column_stack(data.get_data()))[:, 1]
    assert bar.get_transform().transform(np.column_stack(bar.get_data()))[:, 1].max() < np.nanmin(lowest)
    box = ax.get_legend().get_window_extent()
    assert box.y1 <= ax.get_window_extent().y0
    ax.figure.canvas.draw()
    inside(ax.figure)


def test_the_limits_are_those_of_the_data():
    made = result(valley())
    with_it, without = (made.plot.response("loss", suggestion=shown) for shown in (True, False))
    assert with_it.get_xlim() == without.get_xlim()
    assert with_it.get_ylim() == without.get_ylim()
    assert not [name for name in legend(without) if "suggested" in name]
    assert not without.patches


def test_a_best_value_at_the_edge_has_no_parabola_and_says_so():
    rec = valley(best=5.0, lost=0)
    ax = result(rec).plot.response("loss")
    assert not [line for line in ax.lines if line.get_linestyle() in ("--", ":")]
    assert any("the edge of its axis: the best may lie beyond" in name for name in flat_legend(ax))
    assert not any("diverges" in name for name in flat_legend(ax))


@pytest.mark.parametrize(
    "rec",
    [
        pytest.param(record([4.0, 1.0]), id="two_points"),
        pytest.param(record([4.0]), id="one_point"),
        pytest.param(record([4.0, 1.0, 3.0], diverged=[(0, 0), (1, 0), (2, 1)]), id="all_diverged"),
        pytest.param(
            record([4.0, 1.0, 3.0], coords={"rule": ("rule", np.array(["a", "b", "c"]))}), id="structure without an order"
        ),
        pytest.param(
            record([4.0, 1.0, 3.0], coords={"momentum": ("momentum", np.array([None, 0.5, 0.9], object))}), id="none_beside"
        ),
    ],
)
def test_without_a_suggestion_the_response_is_drawn_without_it(rec):
    ax = result(rec).plot.response("loss")
    ax.figure.canvas.draw()
    assert not [name for name in legend(ax) if name.startswith("suggested")] if ax.get_legend() else True
    assert not ax.patches


def test_settings_that_were_drawn_stay_points():
    values = {"learning_rate": ("sample", np.geomspace(1e-3, 1.0, 8)), "b1": ("sample", np.linspace(0.1, 0.9, 8))}
    ax = result(record(np.linspace(1.0, 2.0, 8), coords=values)).plot.response("loss")
    assert len(ax.collections[0].get_offsets()) == 8
    assert not ax.patches


def test_of_several_axes_the_curve_is_the_one_through_the_best_setting():
    # For 0.001 and 0.1 another b1 is better than in the best setting, so that the line there is lower than the fit.
    made = result(record([[3.0, 2.0, 5.0], [1.5, 1.0, 5.0], [1.2, 2.5, 5.0], [6.0, 7.0, 8.0]]))
    ax = made.plot.response("loss", x="learning_rate")
    (rings,) = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    np.testing.assert_allclose(rings.get_data(), ([0.1], [2.5]))
    assert any("(with b1=0.9)" in name for name in flat_legend(ax))


def test_a_pruned_value_is_no_point_of_the_fit():
    rec = valley(lost=0)
    at = np.full(rec.diverged_at.shape, np.nan)
    at[0] = 3.0
    rec = dataclasses.replace(rec, pruned_at=at)
    made = result(rec)
    assert made.plot.response("loss").patches[0].get_x() == pytest.approx(made.suggest(metric="loss").low)


def test_the_picture_agrees_with_suggest_on_a_real_sweep_and_after_loading(tmp_path):
    rates = jopt.geomspace(1e-3, 3.0, 12)
    result_ = jopt.sweep(lambda w, _: (w**2).sum(), jnp.ones(3), jopt.sgd(rates), steps=20, progress=False)
    result_.save(tmp_path / "a.jopt")
    for made in (result_, jopt.load_result(tmp_path / "a.jopt")):
        found, ax = made.suggest(), made.plot.response()
        band = ax.patches[0]
        assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx([found.low, found.high])
        assert any(
            name.startswith(f"suggested: learning_rate={jopt.results.text.number(found.value)}") for name in flat_legend(ax)
        )


def test_it_fits_into_axes_without_a_layout_and_groups_have_none():
    ax = result(valley()).plot.response("loss", ax=plt.subplots()[1])
    ax.figure.canvas.draw()
    inside(ax.figure)
    assert not four_groups().plot.response("loss").patches


def test_where_runs_end_no_better_than_they_began_is_shaded_and_cut_off():
    rec = valley(lost=0)
    rec.losses["loss"][-3:] = 1e4 * np.arange(1, 4)[:, None, None]
    rec.losses["loss"][:, :, 0] = 2.5
    ax = result(rec).plot.response("loss")
    assert "ends no better than it began: from 0.215" in flat_legend(ax)
    assert ax.patches[-1].get_x() == pytest.approx(RATES[-3])
    assert ax.get_ylim()[1] < 3.0
    diverged = np.full(rec.diverged_at.shape, np.nan)
    diverged[-1] = 9.0
    ax = result(dataclasses.replace(rec, diverged_at=diverged)).plot.response("loss")
    assert "ends no better than it began: from 0.215; diverges: from 1" in flat_legend(ax)


def test_the_basin_of_one_value_is_marked_alone():
    ax = result(valley(noise=0.0, rates=np.geomspace(1e-4, 1.0, 7))).plot.response("loss")
    assert any(name.startswith("within 5 % of the best: ") and name.endswith(" alone") for name in flat_legend(ax))


def test_of_an_accuracy_the_basin_is_said_to_be_of_its_complement():
    error = 0.1 * np.exp(0.25 * np.log(RATES / 0.02) ** 2)
    rec = record(
        error, coords={"learning_rate": ("learning_rate", RATES)}, accuracy=np.maximum(1 - error, 0)[:, None] * np.ones(2)
    )
    names = flat_legend(result(rec).plot.response("accuracy", "max"))
    assert any(name.startswith("within 5 % of the best 1 - accuracy: ") for name in names)


def test_a_best_value_beside_what_was_pruned_is_not_called_the_edge_of_its_axis():
    loss = 0.1 * np.exp(0.25 * np.log(RATES / 0.02) ** 2)
    rec = record(loss, coords={"learning_rate": ("learning_rate", RATES)})
    rec.pruned_at[RATES > 0.01] = 5.0
    names = flat_legend(result(rec).plot.response("loss"))
    assert any(name.endswith(", at the edge of what was not pruned") for name in names)
    assert not any("the edge of its axis" in name for name in names)


def test_a_curve_of_logarithms_beside_zero_stays_in_the_frame_and_near_the_best():
    values = np.append(0.0, np.geomspace(1e-3, 10.0, 5))
    rec = record([2.5, 2.4, 2.2, 1.1, 0.25, 2.3], coords={"learning_rate": ("learning_rate", values)})
    ax = result(rec).plot.response("loss")
    (parabola,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert parabola.get_ydata().min() > ax.get_ylim()[0]
    assert any(name.startswith("suggested: learning_rate=1.2") for name in flat_legend(ax))
    at = result(dataclasses.replace(rec, losses={"loss": rec.losses["loss"][::-1]})).plot.response("loss")
    assert not [line for line in at.lines if line.get_linestyle() in ("--", ":") and len(line.get_xdata()) > 2]


def test_one_drawn_axis_is_points_with_the_suggestion_beside_them():
    rec = dataclasses.replace(valley(), kinds={"learning_rate": "loguniform"})
    ax = result(rec).plot.response("loss")
    assert (ax.lines[0].get_linestyle(), ax.lines[0].get_marker()) == ("None", "o")
    assert [line for line in ax.lines if line.get_linestyle() == "--"]
    assert result(valley()).plot.response("loss").lines[0].get_linestyle() == "-"


def test_a_legend_writes_a_number_in_one_way():
    rec = record([1.0, 0.5, 0.2, 0.6, 0.9], coords={"b2": ("b2", np.array([0.0025, 0.0079, 0.0251, 0.0795, 0.251]))})
    names = flat_legend(result(rec).plot.response("loss"))
    assert any(name.startswith("best: b2=0.0251") for name in names)
    assert "within 5 % of the best: 0.0251 alone" in names
    assert not any("e-" in name for name in names)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_an_even_axis_that_holds_zero_is_fitted_on_a_linear_scale(low):
    values = np.linspace(low, 1.0, 9)
    rec = record(1 + (values - 0.4) ** 2, coords={"momentum": ("momentum", values)})
    ax = result(rec).plot.response("loss")
    (at,) = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]]
    assert math.isclose(at.get_xdata()[0], 0.4, abs_tol=0.05)

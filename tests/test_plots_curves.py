"""Pictures of curves: which settings are shown, what the legend says, and that nothing diverging spoils them."""

import dataclasses

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jopt
from tests.test_results_plots import RATES, crosses, dashed, flat, four_groups, inside, legend, named, wide
from tests.test_results_record import record, result


def repeated(rec, times):
    """The record with each setting so many times."""
    return dataclasses.replace(
        rec,
        coords={"learning_rate": ("learning_rate", np.geomspace(1e-5, 1.0, 26 * times))},
        losses={"loss": np.repeat(rec.losses["loss"], times, 0)},
        metrics={"accuracy": np.repeat(rec.metrics["accuracy"], times, 0)},
        diverged_at=np.repeat(rec.diverged_at, times, 0),
        steps_done=np.repeat(rec.steps_done, times, 0),
        pruned_at=np.repeat(rec.pruned_at, times, 0),
        left_at=np.repeat(rec.left_at, times, 0),
    )


def test_curves_of_many_settings_are_a_handful_and_the_diverged():
    ax = result(wide()).plot.curves("loss")
    ax.figure.canvas.draw()
    assert len(dashed(ax)) == len(crosses(ax)) == 6
    assert len(ax.lines) == 5 + 6 + 6
    assert len(ax.collections) == 5  # bands over seeds
    roles = [text.split(":")[0] for text in legend(ax)]
    assert roles == ["best", "1st quartile", "median", "3rd quartile", "worst", "band", "diverged (6 settings)"]
    assert ax.get_legend().get_title().get_text() == "5 of 26 settings"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "loss", "log")


def test_the_handful_are_the_best_the_quartiles_and_the_worst_by_score():
    ax = result(record([[9.0, 5.0, 3.0], [8.0, 1.0, 2.0], [4.0, 7.0, 6.0]], seeds=1)).plot.curves("loss")
    assert [line.get_ydata()[-1] for line in ax.lines] == [1.0, 3.0, 5.0, 7.0, 9.0]
    ax = result(wide()).plot.curves("accuracy", "max")
    ends = [line.get_ydata()[-1] for line in ax.lines if line.get_linestyle() == "-"]
    assert ends == sorted(ends, reverse=True)
    assert len(ends) == 5


def test_curves_of_all_settings_have_a_line_each_and_a_colour_bar():
    ax = result(wide()).plot.curves("loss", top="all")
    ax.figure.canvas.draw()
    assert len(ax.lines) == 20 + 6 + 6  # settled, diverged, their crosses
    assert len(ax.collections) == 0
    assert [text.split(":")[0] for text in legend(ax)] == ["best", "each line", "diverged (6 settings)"]
    assert ax.get_legend().get_title().get_text() == ""
    colorbar = ax.figure.axes[1]
    assert (colorbar.get_ylabel(), colorbar.get_yscale()) == ("learning rate", "log")


def test_of_hundreds_that_diverged_a_few_have_a_line_and_all_a_cross():
    ax = result(repeated(wide(), 10)).plot.curves("loss")
    assert (len(dashed(ax)), len(crosses(ax))) == (6, 60)


def test_top_shows_so_many_of_the_best_and_nothing_else():
    ax = result(record([4.0, 1.0, 3.0, 2.0], seeds=1, diverged=[(2, 0)])).plot.curves("loss", top=2)
    assert flat(ax) == ["best: learning_rate=0.01", "learning_rate=1"]
    assert len(ax.lines) == 2
    many = result(wide()).plot.curves("loss", top=12)
    assert len(many.lines) == 12
    assert len(many.figure.axes) == 2
    assert many.get_legend().get_title().get_text() == "12 of 26 settings"


@pytest.mark.parametrize("top", [0, -1, 1.5, True, "most"])
def test_a_top_that_is_no_count_is_an_error(top):
    with pytest.raises(ValueError, match=r"top must be how many of the best to show"):
        result(wide()).plot.curves("loss", top=top)


def test_settings_are_selected_by_the_values_of_their_axes():
    made = result(record([[4.0, 3.0, 2.0], [1.0, 5.0, 6.0]], seeds=1))
    found = flat(made.plot.curves("loss", select={"b1": 0.9}))
    assert found == ["best: learning_rate=0.001, b1=0.9", "learning_rate=0.01, b1=0.9"]
    assert len(made.plot.curves("loss", select={"b1": [0.5, 0.99], "learning_rate": 0.01}).lines) == 2
    assert len(made.plot.curves("loss", select={"b1": slice(0.9, 1.0)}).lines) == 4
    assert flat(made.plot.curves("loss", select={"b1": slice(None, 0.95)}, top=1)) == ["best: learning_rate=0.01, b1=0.5"]


def test_a_value_is_selected_as_it_is_shown():
    ax = result(wide()).plot.curves("loss", select={"learning_rate": [1e-5, 0.00251]})
    np.testing.assert_allclose(RATES[12], 0.00251, rtol=2e-3)
    assert flat(ax)[:2] == ["learning_rate=1e-5", "best: learning_rate=0.00251"]


def test_what_was_not_swept_cannot_be_selected():
    with pytest.raises(ValueError, match=r"no learning_rate of this result is 0\.5; it has 0\.001, 0\.01"):
        result(record([4.0, 1.0])).plot.curves("loss", select={"learning_rate": 0.5})
    with pytest.raises(ValueError, match="'b2' was not swept"):
        result(record([4.0, 1.0])).plot.curves("loss", select={"b2": 0.5})


def noisy():
    """Two settings whose losses go up and down between 4 and 6."""
    rec = record([1.0, 2.0], seeds=2, steps=40)
    waves = np.where(np.arange(40) % 2, 1.0, -1.0)
    return dataclasses.replace(rec, losses={"loss": np.broadcast_to(5.0 + waves, (2, 2, 40)).copy()})


def test_a_smoothed_curve_is_a_mean_of_records_with_the_raw_line_faint_behind():
    ax = result(noisy()).plot.curves("loss", smooth=2)
    raw, mean = ax.lines[:2]
    assert raw.get_alpha() < 0.5
    np.testing.assert_array_equal(raw.get_ydata()[:2], [4.0, 6.0])
    np.testing.assert_array_equal(mean.get_ydata(), [4.0, *[5.0] * 39])
    assert ax.get_ylabel() == "loss (mean of 2 records)"


def test_an_exponential_mean_starts_at_the_first_value_as_in_tensorboard():
    ax = result(noisy()).plot.curves("loss", smooth=0.5)
    by_hand = [4.0, (0.25 * 4 + 0.5 * 6) / 0.75, (0.125 * 4 + 0.25 * 6 + 0.5 * 4) / 0.875]
    np.testing.assert_allclose(ax.lines[1].get_ydata()[:3], by_hand, rtol=1e-12)
    assert ax.get_ylabel() == "loss (exponential mean, 0.5)"


def test_what_is_not_finite_does_not_spread_by_smoothing():
    rec = noisy()
    rec.losses["loss"][:, :, 3] = np.nan
    for smooth in (4, 0.9):
        mean = result(rec).plot.curves("loss", "min", smooth=smooth, ax=plt.subplots()[1]).lines[1].get_ydata()
        assert np.flatnonzero(np.isnan(mean)).tolist() == [3]


@pytest.mark.parametrize("smooth", [0, -3, 1.0, 0.0, 2.5, True])
def test_a_smoothing_that_is_neither_window_nor_weight_is_an_error(smooth):
    with pytest.raises(ValueError, match="smooth must be a whole number"):
        result(noisy()).plot.curves("loss", smooth=smooth)


def test_bands_are_named_and_there_are_none_where_seeds_agree():
    ax = result(record([4.0, 1.0], noise=0.5)).plot.curves("loss")
    assert "band: lowest to highest of 2 seeds" in legend(ax)
    assert len(ax.collections) == 2
    same = result(record([4.0, 1.0])).plot.curves("loss")
    assert len(same.collections) == 0
    assert not [text for text in legend(same) if "band" in text]


def test_a_legend_can_be_left_out():
    assert result(wide()).plot.curves("loss", legend=False).get_legend() is None


@pytest.mark.parametrize("asked", [{}, {"top": "all"}])
def test_the_legend_lies_outside_of_the_data_and_nothing_is_cut_off(asked):
    panels = four_groups().plot.curves("loss", **asked)
    for ax in (result(wide()).plot.curves("loss", **asked), *panels):
        ax.figure.canvas.draw()
        assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())
        inside(ax.figure)


def test_curves_that_diverge_do_not_squash_the_others():
    ax = result(wide()).plot.curves("loss")
    low, high = ax.get_ylim()
    settled = wide().losses["loss"][:20]
    assert settled.max() < high < 3 * settled.max()
    assert low < settled.min()


def test_a_diverged_curve_ends_in_a_cross_inside_the_axes():
    ax = result(wide()).plot.curves("loss")
    low, high = ax.get_ylim()
    for line, cross in zip(dashed(ax), crosses(ax), strict=True):
        assert cross.get_xdata()[0] == line.get_xdata()[-1]
        assert low <= cross.get_ydata()[0] <= high


def test_a_metric_is_not_drawn_after_its_lane_diverged():
    ax = result(wide()).plot.curves("accuracy", "max")
    assert all(max(line.get_xdata()) < 125 for line in dashed(ax))
    assert ax.get_ylabel() == "accuracy"
    assert max(named(ax, "best")[0].get_xdata()) == 500


def test_the_best_curve_is_marked_and_named():
    ax = result(wide()).plot.curves("loss")
    best = result(wide()).best("loss")
    (marked,) = named(ax, "best")
    np.testing.assert_array_equal(marked.get_ydata(), wide().losses["loss"][best.index].mean(0))
    assert marked.get_label().startswith("best: learning_rate=")
    assert marked.get_linewidth() > max(line.get_linewidth() for line in ax.lines if line is not marked)


def test_a_few_curves_are_all_shown_and_named_in_the_legend():
    ax = result(record([4.0, 1.0, 2.0], diverged=[(2, 0)])).plot.curves("loss")
    assert flat(ax) == ["learning_rate=0.001", "best: learning_rate=0.01", "diverged (1 setting)"]
    assert ax.get_legend().get_title().get_text() == ""
    assert len(ax.figure.axes) == 1


def test_an_axis_of_one_value_is_not_named():
    assert flat(result(record([[4.0], [1.0]])).plot.curves("loss")) == ["learning_rate=0.001", "best: learning_rate=0.01"]


def test_values_of_one_magnitude_have_a_linear_axis():
    assert result(record([4.0, 3.5], seeds=1)).plot.curves("loss").get_yscale() == "linear"


def test_negative_values_have_a_linear_axis():
    assert result(record([-400.0, 3.5])).plot.curves("loss").get_yscale() == "linear"


def test_curves_are_coloured_by_the_hyperparameter_asked_for():
    made = result(record([[4.0, 3.0], [2.0, 1.0]], seeds=1))
    colours = [line.get_color() for line in made.plot.curves("loss", color="b1").lines[:3]]
    assert colours[0] == colours[2] != colours[1]
    with pytest.raises(ValueError, match=r"'b2' was not swept.*learning_rate, b1"):
        made.plot.curves("loss", color="b2")


def test_lines_that_the_legend_names_have_colours_of_their_own():
    lines = result(record(np.arange(6.0).reshape(2, 3) + 1, seeds=1)).plot.curves("loss").lines
    assert len({line.get_color() for line in lines}) == 6


def test_many_lines_coloured_by_few_values_have_them_in_the_legend():
    rec = record(np.arange(12.0).reshape(4, 3) + 1, seeds=1)
    ax = result(rec).plot.curves("loss", top="all", color="b1")
    rates = [f"learning_rate={rate}" for rate in ("0.001", "0.01", "0.1", "1")]
    assert flat(ax) == ["best: learning_rate=0.001, b1=0.5", "b1=0.5", "b1=0.9", "b1=0.99", *rates]
    assert len(ax.figure.axes) == 1


def test_lines_of_one_colour_have_dashes_by_another_number_which_the_legend_names():
    rec = record(np.arange(12.0).reshape(4, 3) + 1, seeds=1)
    ax = result(rec).plot.curves("loss", top="all")
    looks = [(tuple(np.ravel(line.get_color())), line.get_linestyle()) for line in ax.lines]
    assert len(set(looks)) == 12
    handles = dict(zip(flat(ax), ax.get_legend().legend_handles, strict=True))
    assert [handles[f"b1={b1}"].get_linestyle() for b1 in (0.5, 0.9, 0.99)] == ["-", "--", ":"]
    assert {style for _, style in looks} == {"-", "--", ":"}


NINE = {"learning_rate": ("learning_rate", RATES[:9])}


def test_what_neither_colours_nor_dashes_stand_for_is_said():
    values = {"learning_rate": ("learning_rate", RATES[:9]), "b1": ("b1", np.linspace(0.1, 0.9, 5))}
    ax = result(record(np.arange(45.0).reshape(9, 5) + 1, seeds=1, coords=values)).plot.curves("loss", top="all")
    assert "not told apart: b1" in flat(ax)
    assert {line.get_linestyle() for line in ax.lines} == {"-"}
    alone = result(record(np.arange(9.0) + 1, seeds=1, coords=NINE)).plot.curves("loss", top="all")
    assert not [label for label in flat(alone) if "told apart" in label]


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"select": {"learning_rate": slice(1e-3, 1e-2), "b1": 0.9}}, "2 of 12 settings: learning_rate 0.001 to 0.01; b1=0.9"),
        ({"select": {"learning_rate": slice(None, 1e-2)}, "top": 2}, "2 of the 6 settings with learning_rate to 0.01"),
        ({"select": {"b1": [0.5, 0.9]}}, "8 of 12 settings: b1=0.5, 0.9"),
        ({"select": {"b1": slice(0.5, None)}}, ""),
    ],
)
def test_the_legend_says_what_was_selected_and_how_many_that_are(options, title):
    ax = result(record(np.arange(12.0).reshape(4, 3) + 1, seeds=1)).plot.curves("loss", **options)
    assert ax.get_legend().get_title().get_text().replace("\n", " ") == title


def test_each_seed_has_its_own_line_of_a_rate_where_seeds_differ():
    rec = record([1.0, 2.0], seeds=2)
    rate = np.ones((2, 2, 5)) * np.array([1.0, 0.1])[:, None, None]
    rate[0, 0, 2:], rate[0, 1, 3:] = 0.5, 0.5
    rec = dataclasses.replace(rec, losses={**rec.losses, "rate": rate})
    ax = result(rec).plot.rate("loss")
    drawn = {tuple(line.get_ydata()) for line in ax.lines}
    assert drawn == {(1, 1, 0.5, 0.5, 0.5), (1, 1, 1, 0.5, 0.5), (0.1,) * 5}
    assert not ax.collections
    assert "2 thin lines: a seed each, where seeds differ" in flat(ax)


def test_the_frame_is_marked_where_a_line_goes_on_beyond_it():
    rec = record(np.linspace(1.0, 1.5, 9), seeds=1, coords=NINE)
    rec.losses["loss"][8, 0, 2] = 1e6
    ax = result(rec).plot.curves("loss", top="all")
    (mark,) = [line for line in ax.lines if line.get_marker() == "^"]
    assert rec.step[1] < mark.get_xdata()[0] < rec.step[2]
    assert mark.get_ydata()[0] == pytest.approx(ax.get_ylim()[1])
    assert "goes on beyond the frame" in flat(ax)
    whole = result(record(np.linspace(1.0, 1.5, 9), seeds=1, coords=NINE)).plot.curves("loss", top="all")
    assert not [line for line in whole.lines if line.get_marker() == "^"]


def test_a_few_values_close_together_have_colours_far_apart():
    near = {"b1": ("b1", np.array([0.5, 0.98, 0.99, 0.995]))}
    ax = result(record([3.0, 2.0, 1.5, 1.0], seeds=1, coords=near)).plot.curves("loss")
    first, second, third = (np.array(line.get_color()) for line in ax.lines[:3])
    assert min(np.abs(first - second).max(), np.abs(second - third).max()) > 0.2


def test_curves_of_diverged_settings_alone_are_drawn():
    rec = record([1.0, 2.0], diverged=[(0, 0), (1, 0)])
    rec.losses["loss"][:] = np.nan
    ax = result(rec).plot.curves("loss")
    ax.figure.canvas.draw()
    assert len(crosses(ax)) == 2
    assert legend(ax) == ["diverged (2 settings)"]


def test_diverged_settings_alone_are_seen_until_they_diverge():
    ax = result(wide(diverged=26)).plot.curves("loss")
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < 2.0 < 1e11 < ax.get_ylim()[1]
    assert len(crosses(ax)) == 26


def test_a_single_step_is_a_dot():
    ax = result(record([4.0, 1.0], steps=1)).plot.curves("loss")
    ax.figure.canvas.draw()
    assert [line.get_marker() for line in ax.lines] == ["o", "o"]
    low, high = ax.get_xlim()
    assert low == 0
    assert 3 < high < 3.2


def test_a_value_between_two_that_are_not_finite_is_a_dot():
    rec = record([4.0, 1.0], seeds=1)
    rec.metrics["accuracy"][0, 0, [0, 2]] = np.nan
    lonely, joined = result(rec).plot.curves("accuracy", "max").lines
    assert (lonely.get_marker(), joined.get_marker()) == ("o", "None")


def test_curves_that_go_on_begin_where_they_went_on():
    rec = dataclasses.replace(record([4.0, 1.0]), step=np.arange(201, 206))
    assert result(rec).plot.curves("loss").get_xlim()[0] == 200


def test_zero_on_a_log_axis_has_a_place_of_its_own():
    rec = record([1.0, 2.0], seeds=1)
    rec.losses["loss"][:] = [1.0, 1e-2, 1e-4, 1e-6, 0.0]
    ax = result(rec).plot.curves("loss")
    ax.figure.canvas.draw()
    places = ax.transData.transform([(0, 0.0), (0, 1e-6), (0, 1e-4), (0, 1.0)])[:, 1]
    assert ax.transAxes.transform((0, 0))[1] < places[0]
    assert (np.diff(places) > 0.05 * np.ptp(places)).all()


def test_a_share_that_is_good_when_high_has_a_linear_axis():
    rec = record([1.0, 2.0], accuracy=[[0.01, 0.01], [0.9, 0.9]])
    assert result(rec).plot.curves("accuracy", "max").get_yscale() == "linear"


def with_rate(rates):
    """A record with the rate as it ran: [setting, step], the same for each seed."""
    rec = record(np.arange(len(rates)) + 1.0)
    ran = np.repeat(np.asarray(rates, float)[:, None], 2, axis=1)
    return dataclasses.replace(rec, losses={**rec.losses, "rate": ran})


def test_the_rate_is_drawn_as_it_ran():
    ax = result(with_rate([[0.1, 0.1, 0.01, 0.01, 0.001], [1.0, 1.0, 1.0, 0.1, 0.1]])).plot.rate("loss")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.1, 0.1, 0.01, 0.01, 0.001])
    assert flat(ax) == ["best: learning_rate=0.001", "learning_rate=0.01"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "rate", "log")


def test_rates_over_decades_are_drawn_by_magnitude_and_a_cosine_is_not():
    decades = result(with_rate([[r] * 5 for r in (1e-4, 1e-3, 1e-2, 1e-1)])).plot.rate("loss")
    assert decades.get_yscale() == "log"
    cosine = 0.5 * (1 + np.cos(np.pi * np.linspace(0, 1, 50)))
    rec = record([1.0], steps=50)
    rec = dataclasses.replace(rec, losses={**rec.losses, "rate": np.broadcast_to(cosine, (1, 2, 50))})
    assert result(rec).plot.rate("loss").get_yscale() == "linear"


def test_a_rate_that_was_not_recorded_is_asked_for():
    with pytest.raises(ValueError, match=r'The rate was not recorded; .*record=\("rate",\)'):
        result(record([1.0, 2.0])).plot.rate("loss")
    with pytest.raises(ValueError, match="The rate was not recorded"):
        four_groups().plot.rate("loss")


def test_values_that_are_no_numbers_are_named():
    for values in (np.array([False, True]), np.array(["relu", "gelu"]), np.array([None, 0.9], object)):
        axis = {"kind": ("kind", values)}
        ax = result(record([2.0, 1.0], seeds=1, coords=axis)).plot.curves("loss")
        ax.figure.canvas.draw()
        assert flat(ax) == [f"kind={values[0]}", f"best: kind={values[1]}"]
        picked = result(record([2.0, 1.0], seeds=1, coords=axis)).plot.curves("loss", select={"kind": values[0]})
        assert len(picked.lines) == 1


def test_axes_of_a_figure_without_a_layout_make_room_for_the_legend_themselves():
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    result(wide()).plot.curves("loss", ax=left)
    result(wide()).plot.response("loss", ax=right)
    figure.canvas.draw()
    for ax in (left, right):
        assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())
        assert not ax.get_legend().get_window_extent().overlaps(ax.xaxis.label.get_window_extent())
        assert ax.get_legend().get_window_extent().y0 >= 0
    assert not left.get_legend().get_window_extent().overlaps(right.get_tightbbox())


def test_a_setting_alone_needs_no_name():
    ax = result(record([1.0], noise=0.5)).plot.curves("loss")
    assert legend(ax) == ["mean of 2 seeds", "band: lowest to highest of 2 seeds"]
    smooth = result(record([1.0], noise=0.5)).plot.curves("loss", smooth=2)
    assert legend(smooth) == ["mean of 2 seeds, smoothed", "band: lowest to highest of 2 seeds", "faint: as it was recorded"]
    assert result(record([1.0], seeds=1)).plot.curves("loss").get_legend() is None


def test_a_setting_that_ends_with_nothing_finite_is_said_to():
    rec = record([4.0, 1.0, 2.0], seeds=1)
    rec.metrics["accuracy"][1] = np.nan
    assert "learning_rate=0.01, not finite at the end" in flat(result(rec).plot.curves("accuracy", "max"))


def test_a_selection_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="leaves no setting"):
        result(wide()).plot.curves("loss", select={"learning_rate": slice(2.0, 3.0)})


def test_the_curves_of_a_sweep_that_was_stopped_fill_the_picture():
    def stop(event):
        if event.step == 30:
            raise KeyboardInterrupt

    options = {"steps": 600, "callbacks": stop, "progress": False, "plan": jopt.Plan(width=5, loop="scan")}
    optimizer = jopt.sgd(jopt.geomspace(1e-3, 0.1, 5))
    with pytest.raises(KeyboardInterrupt) as stopped:
        jopt.sweep(lambda w, _: (w**2).sum(), jnp.ones(2), optimizer, **options)
    ax = stopped.value.partial_result.plot.curves()
    assert 30 <= ax.get_xlim()[1] < 35

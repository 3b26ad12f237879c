"""Pictures: what is drawn, on which scales, and that nothing diverging spoils them."""

import dataclasses
import itertools
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from jopt.results import GroupedResult, SweepRecord
from tests.test_results_record import record, result

RATES = np.geomspace(1e-5, 1.0, 26)


def wide(diverged=6, seeds=3):
    """26 learning rates, the highest of which explode and end in NaN."""
    step = np.arange(1, 51) * 10
    loss = np.empty((26, seeds, 50))
    at = np.full((26, seeds), np.nan)
    for i, rate in enumerate(RATES):
        for seed in range(seeds):
            loss[i, seed] = 2.0 * np.exp(-min(rate * 200, 6.0) * step / 500) * (1 + 0.1 * seed)
    for i in range(26 - diverged, 26):
        loss[i] = 2.0 * 10.0 ** np.arange(50)
        loss[i, :, 12:] = np.nan
        at[i] = 125.0
    return SweepRecord(
        dims=("learning_rate",),
        coords={"learning_rate": ("learning_rate", RATES)},
        seeds=np.arange(seeds),
        step=step,
        eval_step=step[4::5],
        losses={"loss": loss},
        # A diverged model still has an accuracy: chance.
        metrics={"accuracy": np.where(np.isnan(at)[..., None], np.exp(-loss[..., 4::5]), 0.1)},
        diverged_at=at,
        steps_done=np.full((26, seeds), 500),
    )


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--"]


def crosses(ax):
    return [line for line in ax.lines if line.get_marker() == "x"]


def stars(ax):
    return [line for line in ax.lines if line.get_marker() == "*"]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_curves_have_a_line_per_setting_and_a_colour_bar_for_many():
    ax = result(wide()).plot.curves("loss")
    ax.figure.canvas.draw()
    assert len(dashed(ax)) == len(crosses(ax)) == 6
    assert len(ax.lines) == 20 + 6 + 6 + 1  # settled, diverged, their crosses, the best on top
    assert len(ax.collections) == 20  # bands over seeds
    assert len(legend(ax)) == 2
    colorbar = ax.figure.axes[1]
    assert colorbar.get_ylabel() == "learning rate"
    assert colorbar.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "loss", "log")


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
    assert max(ax.lines[0].get_xdata()) == 500


def test_the_best_curve_is_marked_and_named():
    ax = result(wide()).plot.curves("loss")
    best = result(wide()).best("loss")
    marked = [line for line in ax.lines if line.get_label().startswith("best")]
    assert len(marked) == 1
    np.testing.assert_array_equal(marked[0].get_ydata(), wide().losses["loss"][best.index].mean(0))
    assert marked[0].get_label().startswith("best: learning_rate=")


def test_a_few_curves_are_named_in_the_legend():
    ax = result(record([4.0, 1.0, 2.0], diverged=[(2, 0)])).plot.curves("loss")
    names = ["learning_rate=0.001", "learning_rate=0.01", "learning_rate=0.1"]
    assert legend(ax) == ["best: learning_rate=0.01", *names, "diverged (1 setting)"]
    assert len(ax.figure.axes) == 1


def test_values_of_one_magnitude_have_a_linear_axis_and_one_seed_no_band():
    ax = result(record([4.0, 3.5], seeds=1)).plot.curves("loss")
    assert ax.get_yscale() == "linear"
    assert len(ax.collections) == 0


def test_negative_values_have_a_linear_axis():
    assert result(record([-400.0, 3.5])).plot.curves("loss").get_yscale() == "linear"


def test_curves_are_coloured_by_the_hyperparameter_asked_for():
    made = result(record([[4.0, 3.0], [2.0, 1.0]], seeds=1))
    colours = [line.get_color() for line in made.plot.curves("loss", color="b1").lines[:4]]
    assert colours[0] == colours[2] != colours[1] == colours[3]
    with pytest.raises(ValueError, match=r"'b2' was not swept.*learning_rate, b1"):
        made.plot.curves("loss", color="b2")


def test_curves_of_diverged_settings_alone_are_drawn():
    rec = record([1.0, 2.0], diverged=[(0, 0), (1, 0)])
    rec.losses["loss"][:] = np.nan
    ax = result(rec).plot.curves("loss")
    ax.figure.canvas.draw()
    assert len(crosses(ax)) == 2
    assert legend(ax)[-1] == "diverged (2 settings)"


def test_the_response_has_log_axes_where_they_belong():
    ax = result(wide()).plot.response("loss")
    ax.figure.canvas.draw()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "learning rate"
    near = result(record([4.0, 3.5])).plot.response("loss", ax=plt.subplots()[1])
    assert (near.get_xscale(), near.get_yscale()) == ("linear", "linear")


def test_the_response_shows_what_diverged_at_the_top_and_marks_the_best():
    ax = result(wide()).plot.response("loss")
    (cross,) = crosses(ax)
    np.testing.assert_array_equal(cross.get_xdata(), RATES[20:])
    assert cross.get_label() == "diverged"
    top = ax.transAxes.transform((0, 1))[1]
    shown = cross.get_transform().transform(np.column_stack(cross.get_data()))[:, 1]
    assert (shown < top).all()
    (star,) = stars(ax)
    assert star.get_xdata()[0] == result(wide()).best("loss").setting["learning_rate"]
    assert "best: learning_rate=" in star.get_label()


def test_no_line_of_a_response_runs_under_the_crosses():
    ax = result(wide()).plot.response("loss")
    (cross,) = crosses(ax)
    line = ax.lines[0]
    highest = np.nanmax(ax.transData.transform(np.column_stack(line.get_data()))[:, 1])
    height = ax.transAxes.transform((0, cross.get_ydata()[0]))[1]
    assert highest < height


def test_a_response_of_two_axes_takes_the_other_at_its_best():
    made = result(record([[4.0, 1.0], [2.0, 3.0]]))
    np.testing.assert_array_equal(made.plot.response("loss").lines[0].get_ydata(), [1.0, 2.0])
    ax = made.plot.response("loss", x="b1", mode="max")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [4.0, 3.0])
    assert ax.get_xlabel() == "b1"


def test_a_response_is_drawn_in_the_order_of_its_values():
    drawn = {"learning_rate": ("sample", np.array([0.3, 0.1, 0.2]))}
    line = result(record([3.0, 1.0, 2.0], coords=drawn)).plot.response("loss").lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 2.0, 3.0])


def test_a_response_of_nothing_swept_is_an_error():
    with pytest.raises(ValueError, match="One setting has no response"):
        result(record(np.array(1.0))).plot.response("loss")


def test_the_heatmap_shows_scores_hatches_what_diverged_and_marks_the_best():
    rec = record([[4.0, 3.0, 2.0], [1.0, 5.0, 6.0]], diverged=[(1, 0, 0), (1, 2, 1)])
    ax = result(rec).plot.heatmap(metric="loss")
    ax.figure.canvas.draw()
    cells = ax.collections[0].get_array()
    np.testing.assert_array_equal(cells.mask, [[False, True], [False, False], [False, True]])
    np.testing.assert_array_equal(cells.compressed(), [4.0, 3.0, 5.0, 2.0])
    assert [patch.get_xy() for patch in ax.patches] == [(1, 0), (1, 2)]
    assert all(patch.get_hatch() for patch in ax.patches)
    (star,) = stars(ax)
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0.5, 2.5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "b1")
    assert legend(ax) == ["diverged", "best: loss 2"]


def test_the_heatmap_turns_round_and_labels_its_cells():
    made = result(record([[4.0, 3.0, 2.0], [1.0, 5.0, 6.0]]))
    ax = made.plot.heatmap("b1", "learning_rate", "loss")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "0.9", "0.99"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.001", "0.01"]


def test_the_labels_of_a_wide_heatmap_do_not_overlap():
    loss = np.ones((26, 2))
    axes = {
        "learning_rate": ("learning_rate", RATES),
        "b1": ("b1", np.array([0.5, 0.9])),
    }
    rec = record(loss, coords=axes)
    ax = result(rec).plot.heatmap(metric="loss")
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) >= 4
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_a_heatmap_needs_two_dimensions():
    with pytest.raises(ValueError, match="needs two swept axes"):
        result(record([1.0, 2.0])).plot.heatmap(metric="loss")
    walked = {
        "learning_rate": ("learning_rate", np.array([0.1, 0.2])),
        "decay": ("learning_rate", np.array([0.3, 0.4])),
        "b1": ("b1", np.array([0.5, 0.9])),
    }
    with pytest.raises(ValueError, match="walked together"):
        result(record(np.ones((2, 2)), coords=walked)).plot.heatmap("learning_rate", "decay", "loss")


def test_a_heatmap_of_diverged_settings_alone_is_drawn():
    lost = [(i, j, 0) for i in range(2) for j in range(2)]
    ax = result(record(np.ones((2, 2)), diverged=lost)).plot.heatmap(metric="loss")
    ax.figure.canvas.draw()
    assert len(ax.patches) == 4
    assert legend(ax) == ["diverged"]


def four_groups():
    shifts = {"sgd": 0.0, "momentum": 0.5, "rmsprop": 1.0, "adam": 1.5}
    records = {}
    for row, (name, shift) in enumerate(shifts.items()):
        rec = wide(diverged=2 + row)
        records[name] = dataclasses.replace(rec, losses={"loss": rec.losses["loss"] + shift})
    return GroupedResult({name: result(rec, name) for name, rec in records.items()})


def test_groups_are_compared_in_one_axes_with_a_line_and_a_row_of_crosses_each():
    both = four_groups()
    ax = both.plot.compare("loss")
    ax.figure.canvas.draw()
    assert [text.split(":")[0] for text in legend(ax)] == [*both, "diverged"]
    assert len(stars(ax)) == 4
    rows = {round(float(line.get_ydata()[0]), 6) for line in crosses(ax)}
    assert len(rows) == 4
    assert [len(line.get_xdata()) for line in crosses(ax)] == [2, 3, 4, 5]
    assert len({line.get_color() for line in crosses(ax)}) == 4


def test_a_group_of_one_setting_is_a_level_line():
    both = GroupedResult({"swept": result(record([1.0, 2.0])), "fixed": result(record(np.array(1.5)))})
    ax = both.plot.compare("loss")
    assert "fixed: 1.5" in legend(ax)
    (level,) = [line for line in ax.lines if line.get_label() == "fixed: 1.5"]
    assert set(level.get_ydata()) == {1.5}


def test_the_comparison_of_a_single_result_is_its_response():
    ax = result(wide()).plot.compare("loss")
    assert "best: learning_rate=" in "".join(legend(ax))


def test_groups_have_a_panel_each_with_the_same_vertical_axis():
    panels = four_groups().plot.curves("loss")
    panels[0].figure.canvas.draw()
    assert [ax.get_title() for ax in panels] == ["sgd", "momentum", "rmsprop", "adam"]
    assert len({(ax.get_yscale(), *ax.get_ylim()) for ax in panels}) == 1


def test_panels_are_drawn_into_the_axes_given():
    figure, panels = plt.subplots(4)
    assert list(four_groups().plot.curves("loss", ax=panels)) == list(panels)
    with pytest.raises(ValueError, match="4 groups need as many axes, but 3 were given"):
        four_groups().plot.curves("loss", ax=panels[:3])
    assert plt.get_fignums() == [figure.number]


def test_groups_have_no_heatmap_of_their_own():
    assert not hasattr(four_groups().plot, "heatmap")
    assert hasattr(four_groups()["sgd"].plot, "heatmap")


@pytest.mark.parametrize("kind", ["curves", "response", "heatmap", "compare"])
def test_a_picture_goes_into_the_axes_given_and_is_not_shown(kind, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    figure, ax = plt.subplots()
    made = result(record([[4.0, 3.0], [2.0, 1.0]]))
    assert getattr(made.plot, kind)(metric="loss", ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


def test_a_new_figure_has_a_constrained_layout():
    figure = result(record([4.0, 3.0])).plot.response("loss").figure
    assert isinstance(figure.get_layout_engine(), mpl.layout_engine.ConstrainedLayoutEngine)


def test_without_matplotlib_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "jopt\[plot\]"'):
        result(record([4.0, 3.0])).plot.response("loss")


def test_a_few_values_close_together_have_colours_far_apart():
    near = {"b1": ("b1", np.array([0.5, 0.98, 0.99]))}
    ax = result(record([3.0, 2.0, 1.0], seeds=1, coords=near)).plot.curves("loss")
    first, second, third = (np.array(line.get_color()) for line in ax.lines[:3])
    assert min(np.abs(first - second).max(), np.abs(second - third).max()) > 0.2

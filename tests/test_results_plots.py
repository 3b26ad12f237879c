"""Pictures: what is drawn, on which scales, and that nothing diverging spoils them."""

import dataclasses
import itertools
import sys

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jopt
from jopt.results import GroupedResult, SweepRecord
from jopt.results.plots.scales import View, scale_of_axis
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


def flat(ax):
    """The legend, its longer lines not wrapped."""
    return [text.replace("\n", " ") for text in legend(ax)]


def named(ax, start):
    return [line for line in ax.lines if line.get_label().startswith(start)]


def inside(figure):
    """Nothing of a figure is cut off."""
    shown, edges = figure.get_tightbbox(), figure.bbox_inches
    assert min(shown.x0, shown.y0) >= -0.02
    assert shown.x1 <= edges.x1 + 0.02
    assert shown.y1 <= edges.y1 + 0.02


def test_the_response_has_log_axes_where_they_belong():
    ax = result(wide()).plot.response("loss")
    ax.figure.canvas.draw()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "learning rate"
    near = result(record([4.0, 3.5])).plot.response("loss", ax=plt.subplots()[1])
    assert (near.get_xscale(), near.get_yscale()) == ("log", "linear")


@pytest.mark.parametrize("decades", [0.3, 0.9, 1.72, 2.0, 3.0])
@pytest.mark.parametrize("low", [1.49e-3, 0.99])
def test_no_two_labels_of_a_logarithmic_axis_run_into_each_other(low, decades):
    rates = low * 10 ** np.linspace(0, decades, 12)
    across = scale_of_axis(rates, "geomspace")
    _, ax = plt.subplots(figsize=(5, 3))
    across.lay_out(ax, rates)
    View(across, rates[0], rates[-1]).apply(ax)
    ax.set_xlim(0.9 * rates[0], 1.1 * rates[-1])
    ax.figure.canvas.draw()
    for axis, side in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        shown = [tick for tick in axis.get_ticklabels(which="both") if tick.get_text() and tick.get_visible()]
        boxes = sorted((tick.get_window_extent() for tick in shown), key=lambda box: getattr(box, f"{side}0"))
        boxes = [box for box in boxes if ax.bbox.x0 - 30 <= box.x1 and box.x0 <= ax.bbox.x1 + 5]
        assert len(boxes) >= 2
        assert all(getattr(a, f"{side}1") < getattr(b, f"{side}0") for a, b in itertools.pairwise(boxes))


def test_the_response_shows_what_diverged_at_the_top_and_marks_the_best():
    ax = result(wide()).plot.response("loss")
    (cross,) = crosses(ax)
    np.testing.assert_array_equal(cross.get_xdata(), RATES[20:])
    assert "diverged" in legend(ax)
    top = ax.transAxes.transform((0, 1))[1]
    shown = cross.get_transform().transform(np.column_stack(cross.get_data()))[:, 1]
    assert (shown < top).all()
    (star,) = stars(ax)
    assert star.get_xdata()[0] == result(wide()).best("loss").setting["learning_rate"]
    assert flat(ax)[0].startswith("best: learning_rate=")


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
    assert legend(ax) == ["best: loss 2", "diverged"]


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
    assert [text.split(":")[0] for text in legend(ax)] == [*both, "band", "star", "diverged"]
    assert len(stars(ax)) == 4
    rows = {round(float(line.get_ydata()[0]), 6) for line in crosses(ax)}
    assert len(rows) == 4
    assert [len(line.get_xdata()) for line in crosses(ax)] == [2, 3, 4, 5]
    assert len({line.get_color() for line in crosses(ax)}) == 4


def swept_groups(**groups):
    def loss(w, _):
        return (w**2).sum()

    return jopt.sweep(loss, jnp.ones(2), groups, steps=5, progress=False)


def test_rates_of_several_names_are_compared_along_the_learning_rate_and_the_legend_says_what_is_at_its_best():
    rates = jopt.geomspace(0.01, 0.1, 3)
    ax = swept_groups(
        plain=jopt.sgd(rates),
        cosine=jopt.sgd(jopt.cosine_decay_schedule(rates, 5), momentum=jopt.choice(0.0, 0.9)),
        named=jopt.adam(jopt.geomspace(0.01, 0.1, 3, name="how fast")),
    ).plot.compare()
    assert ax.get_xlabel() == "learning rate"
    plain, cosine, named, star = flat(ax)
    assert star == "star: the best of each"
    assert plain.endswith(" at 0.1")
    assert cosine.endswith(" at 0.1, momentum at best for each point")
    assert named.endswith(" at 0.1")


def test_numbers_that_are_not_all_rates_are_named_in_the_legend():
    ax = swept_groups(
        decay=jopt.sgd(jopt.cosine_decay_schedule(0.1, jopt.choice(3.0, 5.0))), rate=jopt.sgd(jopt.geomspace(0.01, 0.1, 3))
    ).plot.compare()
    assert ax.get_xlabel() == "the number that the legend names"
    assert [entry.split(" at ")[1] for entry in flat(ax)[:2]] == ["decay_steps=5", "learning_rate=0.1"]
    alike = swept_groups(a=jopt.adam(0.1, b1=jopt.choice(0.1, 0.9)), b=jopt.adam(0.2, b1=jopt.choice(0.1, 0.9))).plot.compare()
    assert alike.get_xlabel() == "b1"
    assert "b1=" not in "".join(flat(alike))


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


def drawn(settings=30, seeds=2):
    """Learning rates and decays drawn together, two of which diverge."""
    rng = np.random.default_rng(0)
    axes = {
        "learning_rate": ("sample", 10 ** rng.uniform(-5, 0, settings)),
        "weight_decay": ("sample", 10 ** rng.uniform(-6, -2, settings)),
    }
    return record(rng.uniform(1, 4, settings), seeds=seeds, coords=axes, noise=0.1, diverged=[(3, 0), (7, 1)])


def test_drawn_settings_are_points_coloured_by_the_other_number():
    ax = result(drawn()).plot.response("loss")
    ax.figure.canvas.draw()
    points = ax.collections[-1]
    assert len(points.get_offsets()) == 30
    np.testing.assert_array_equal(np.sort(np.ma.getdata(points.get_array())), np.sort(drawn().coords["weight_decay"][1]))
    bar = ax.figure.axes[1]
    assert (bar.get_ylabel(), bar.get_yscale()) == ("weight decay", "log")
    assert [line for line in ax.lines if line.get_linestyle() == "-"] == []
    assert [text.split(":")[0] for text in flat(ax)] == ["best", "bar", "diverged"]
    assert len(crosses(ax)[0].get_xdata()) == 2


def test_the_number_that_colours_stand_for_must_have_been_drawn_with_the_other():
    ax = result(drawn()).plot.response("loss", x="weight_decay", color="learning_rate")
    assert ax.figure.axes[1].get_ylabel() == "learning rate"
    with pytest.raises(ValueError, match="'b1' was not drawn together with 'learning_rate'; weight_decay was"):
        result(drawn()).plot.response("loss", color="b1")
    with pytest.raises(ValueError, match="'learning_rate' was drawn with no other"):
        result(record([[4.0, 1.0], [2.0, 3.0]])).plot.response("loss", color="b1")


def test_a_heatmap_of_drawn_settings_says_what_shows_them():
    with pytest.raises(ValueError, match="needs two swept axes"):
        result(drawn()).plot.heatmap(metric="loss")


def test_zero_of_a_hyperparameter_has_a_place_beside_the_magnitudes():
    decays = {"weight_decay": ("weight_decay", np.array([0.0, 1e-5, 1e-4, 1e-3, 1e-2]))}
    ax = result(record([1.0, 2.0, 3.0, 2.0, 1.5], coords=decays)).plot.response("loss")
    ax.figure.canvas.draw()
    places = ax.transData.transform([(x, 1.0) for x in decays["weight_decay"][1]])[:, 0]
    assert (np.diff(places) > 0.05 * np.ptp(places)).all()
    low, high = ax.get_xlim()
    labels = [label.get_text() for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert len(labels) == 5
    assert "{0}" in labels[0]


def test_values_that_are_no_numbers_have_places_of_their_own():
    kinds = {"kind": ("kind", np.array(["relu", "gelu", "tanh"]))}
    ax = result(record([3.0, 1.0, 2.0], coords=kinds)).plot.response("loss")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["relu", "gelu", "tanh"]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 1, 2])
    assert "best: kind=gelu, loss 1" in flat(ax)


def test_a_score_that_is_not_finite_is_not_called_diverged():
    rec = record([1.0, 2.0, 3.0])
    rec.metrics["accuracy"][1, 0, -1] = np.nan
    assert "not finite" in flat(result(rec).plot.response("accuracy", "max"))


def test_names_are_text_whatever_they_hold():
    records = {"_hidden": record([1.0, 2.0]), "costs $5 or $6": record([2.0, 3.0]), "a$b_c^2$": record(np.array(1.5))}
    both = GroupedResult({name: result(rec, name) for name, rec in records.items()})
    ax = both.plot.compare("loss")
    ax.figure.canvas.draw()
    assert [text.split(":")[0] for text in legend(ax)] == [*records, "star"]
    assert not any(text.get_parse_math() for text in ax.get_legend().get_texts())
    panels = both.plot.curves("loss")
    panels[0].figure.canvas.draw()
    assert [panel.get_title() for panel in panels] == list(records)
    assert not any(panel.title.get_parse_math() for panel in panels)


def test_names_of_axes_and_metrics_are_text_too():
    rates = {"_$rate$": ("_$rate$", RATES[:12]), "b$1$": ("b$1$", np.array([0.5, 0.9]))}
    rec = record(np.arange(24.0).reshape(12, 2) + 1, coords=rates)
    rec = dataclasses.replace(rec, losses={"$\\frac$": rec.losses["loss"]})
    made = result(rec)
    for ax in (made.plot.curves("$\\frac$", top="all"), made.plot.heatmap(metric="$\\frac$"), made.plot.response("$\\frac$")):
        ax.figure.canvas.draw()
        labels = [each.label for axes in ax.figure.axes for each in (axes.xaxis, axes.yaxis) if each.label.get_text()]
        assert labels
        assert not any(label.get_parse_math() for label in labels)


def test_groups_of_one_axis_share_a_colour_bar():
    panels = four_groups().plot.curves("loss", top="all")
    figure = panels[0].figure
    figure.canvas.draw()
    assert len(figure.axes) == 5
    shades = [named(ax, "best")[0].get_xdata() for ax in panels]
    assert len(shades) == 4


def test_groups_of_different_axes_have_a_colour_bar_each():
    other = {"eps": ("eps", RATES)}
    groups = {"adam": wide(), "other": dataclasses.replace(wide(), dims=("eps",), coords=other)}
    panels = GroupedResult({name: result(rec, name) for name, rec in groups.items()}).plot.curves("loss", top="all")
    assert [ax.get_ylabel() for ax in panels[0].figure.axes[2:]] == ["learning rate", "eps"]


def test_of_groups_that_did_not_sweep_a_name_all_is_selected():
    groups = {"sgd": record([4.0, 1.0]), "adam": record([[4.0, 3.0], [2.0, 1.0]])}
    made = GroupedResult({name: result(rec, name) for name, rec in groups.items()})
    panels = made.plot.curves("loss", select={"b1": 0.9})
    assert [len(ax.lines) for ax in panels] == [2, 2]
    with pytest.raises(ValueError, match="'b2' was not swept"):
        made.plot.curves("loss", select={"b2": 0.9})


@pytest.mark.parametrize("kind", ["response", "compare"])
def test_no_legend_of_a_response_lies_over_the_data(kind):
    for made in (result(wide()), four_groups()):
        ax = getattr(made.plot, kind)("loss")
        ax.figure.canvas.draw()
        assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())
        inside(ax.figure)


def test_the_legend_of_a_heatmap_leaves_room_for_a_title():
    ax = result(record([[4.0, 3.0, 2.0], [1.0, 5.0, 6.0]], diverged=[(1, 0, 0)])).plot.heatmap(metric="loss")
    ax.set_title("A title")
    ax.figure.canvas.draw()
    assert not ax.get_legend().get_window_extent().overlaps(ax.title.get_window_extent())
    assert not ax.get_legend().get_window_extent().overlaps(ax.xaxis.label.get_window_extent())
    inside(ax.figure)


def test_rates_of_groups_have_a_panel_each_with_the_same_vertical_axis():
    records = {}
    for name, steps in (("short", 5), ("long", 9)):
        rec = record([1.0, 2.0], steps=steps)
        ran = np.geomspace(1.0, 1e-3, steps) * np.ones((2, 2, 1))
        records[name] = result(dataclasses.replace(rec, losses={**rec.losses, "rate": ran}), name)
    panels = GroupedResult(records).plot.rate("loss")
    assert [ax.get_title() for ax in panels] == ["short", "long"]
    assert {ax.get_ylabel() for ax in panels} == {"rate"}
    assert len({(ax.get_yscale(), *ax.get_ylim()) for ax in panels}) == 1


def test_room_for_crosses_is_left_where_there_are_some():
    none, some = (result(record([1.0, 2.0], diverged=lost)).plot.response("loss").get_ylim() for lost in ((), [(1, 0)]))
    assert none[1] == pytest.approx(2.05)
    assert some[1] > 1.0


def test_the_axes_that_are_at_their_best_are_named():
    ax = result(record([[4.0, 1.0], [2.0, 3.0]], noise=0.1)).plot.response("loss")
    assert "mean of 2 seeds; b1 at best" in flat(ax)
    lone = result(record([4.0, 1.0], seeds=1)).plot.response("loss")
    assert flat(lone) == ["best: learning_rate=0.01, loss 1"]


def test_a_heatmap_of_three_axes_names_the_one_at_its_best():
    axes = {name: (name, np.array([0.1, 0.2])) for name in ("learning_rate", "b1", "eps")}
    ax = result(record(np.arange(8.0).reshape(2, 2, 2) + 1, coords=axes)).plot.heatmap(metric="loss")
    assert ax.figure.axes[1].get_ylabel() == "loss (last tenth of the run; mean of 2 seeds; eps at best)"

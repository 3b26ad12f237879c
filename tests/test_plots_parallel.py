"""Parallel coordinates: an axis for each number, a line for each setting that ends at its score."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection

import jopt
from jopt.results import GroupedResult
from jopt.results.plots import style
from jopt.results.plots.columns import columns_of
from jopt.results.plots.scales import scale_of_axis
from tests.test_results_plots import inside, legend, stars
from tests.test_results_record import record, result


def structured(pruned=False, **options):
    """A grid of a number over decades, one on a linear scale, and structure, [5, 3, 2] settings; the first rate ``pruned``."""
    coords = {
        "learning_rate": ("learning_rate", np.geomspace(1e-4, 1.0, 5)),
        "b1": ("b1", np.array([0.8, 0.85, 0.9])),
        "nesterov": ("nesterov", np.array([False, True])),
    }
    final = 1.0 + np.abs(np.arange(5) - 2.0)[:, None, None] + 0.1 * np.arange(3)[:, None] + 0.01 * np.arange(2)
    rec = record(final, coords=coords, **options)
    at = np.full(rec.pruned_at.shape, np.nan)
    at[: int(pruned)] = 6.0
    return dataclasses.replace(rec, pruned_at=at)


def flat(ax):
    return [label.replace("\n", " ") for label in legend(ax)]


def lines(ax):
    """The lines of the settings that have a score, the worst first."""
    (drawn,) = [found for found in ax.collections if isinstance(found, LineCollection)]
    return list(drawn.get_segments())


def bar(ax):
    (beside,) = ax.child_axes
    return beside


def test_each_number_has_an_axis_and_each_setting_a_line_that_ends_at_its_score():
    rec = structured()
    ax = result(rec).plot.parallel("loss")
    ax.figure.canvas.draw()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["learning rate", "b1", "nesterov"]
    drawn = lines(ax)
    assert len(drawn) == 30
    ends = np.array([line[-1] for line in drawn])
    assert set(ends[:, 0]) == {3.0}
    # The colour bar is the axis of the scores: a line runs into its own colour and number.
    beside = bar(ax)
    scores = np.sort(rec.losses["loss"][..., -1].mean(-1).ravel())[::-1]
    places = beside.transData.transform(np.column_stack([np.zeros(30), scores]))[:, 1]
    np.testing.assert_allclose(ax.transData.transform(ends)[:, 1], places, atol=0.5)


def test_the_colour_bar_says_which_value_is_shown():
    made = result(structured())
    assert bar(made.plot.parallel("loss")).get_ylabel() == "loss (last tenth of the run)"
    assert bar(made.plot.parallel("loss", at="best")).get_ylabel() == "loss (best tenth of the run)"
    assert bar(made.plot.parallel("accuracy", "max")).get_ylabel() == "accuracy (last evaluation)"


def test_the_best_is_red_on_top_and_named():
    ax = result(structured()).plot.parallel("loss")
    (best,) = [line for line in ax.lines if line.get_color() == style.BEST and len(line.get_xdata()) > 1]
    (drawn,) = [found for found in ax.collections if isinstance(found, LineCollection)]
    assert best.get_zorder() > drawn.get_zorder()
    np.testing.assert_allclose(best.get_xydata()[-1], lines(ax)[-1][-1])
    assert flat(ax)[0] == "best: learning_rate=0.01, b1=0.8, nesterov=False; loss 1"
    (star,) = stars(ax)
    assert star.get_xydata()[0] == pytest.approx(best.get_xydata()[-1])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_good_is_dark_in_both_modes(mode):
    ax = result(structured()).plot.parallel("loss", mode)
    (drawn,) = [found for found in ax.collections if isinstance(found, LineCollection)]
    brightness = drawn.get_colors()[:, :3].mean(-1)
    assert brightness[-1] < brightness[0]  # the best is the last


def test_what_diverged_and_what_was_pruned_ends_before_the_scores():
    rec = structured(pruned=True, diverged=[(4, 0, 0, 0), (4, 1, 0, 1)])
    ax = result(rec).plot.parallel("loss")
    assert {"diverged (2 settings)", "pruned (6 settings)"} < set(flat(ax))
    assert len(lines(ax)) == 22
    for marker, count in (("x", 2), ("o", 6)):
        ended = [line for line in ax.lines if line.get_marker() == marker]
        assert len(ended) == count
        assert {np.nanmax(line.get_xdata()) for line in ended} == {2.0}


def test_numbers_over_decades_lie_on_a_logarithmic_axis_and_names_are_ticks():
    rate, momentum, nesterov = columns_of(structured(), np.arange(30))
    assert (rate.kind, momentum.kind, nesterov.kind) == ("log", "linear", "named")
    assert list(rate.ticks) == ["0.0001", "0.001", "0.01", "0.1", "1"]
    np.testing.assert_allclose(np.diff(list(rate.ticks.values())), 0.23, rtol=1e-9)
    assert list(nesterov.ticks) == ["False", "True"]
    each = rate.places.reshape(5, 6)
    np.testing.assert_allclose(each.mean(1), list(rate.ticks.values()), rtol=1e-9)  # the tick is in the middle
    assert (each.max(1)[:-1] < each.min(1)[1:]).all()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.1, 0.2, 0.4], "log"),
        ([16, 64, 256], "log"),
        ([0.1, 0.2, 0.3], "linear"),
        ([0.01, 0.505, 1.0], "linear"),
        ([0.0, 0.001, 0.1], "zero"),
        ([-1.0, 0.0, 5.0], "linear"),
        ([0.1], "linear"),
    ],
)
def test_a_grid_has_the_scale_that_it_was_made_on(values, kind):
    assert scale_of_axis(np.array(values)).kind == kind


def test_the_lines_through_a_name_are_spread_by_score():
    rec = structured()
    rank = np.argsort(np.argsort(rec.losses["loss"][..., 0, -1].ravel(), kind="stable"))
    *_, named = columns_of(rec, rank)
    for level in range(2):
        places = named.places.reshape(5, 3, 2)[..., level].ravel()
        assert (np.diff(places[np.argsort(rec.losses["loss"][..., level, 0, -1].ravel(), kind="stable")]) > 0).all()
        assert abs(places.mean() - list(named.ticks.values())[level]) < 1e-9


def test_a_line_goes_on_from_axis_to_axis_without_a_hole():
    ax = result(structured(pruned=True)).plot.parallel("loss")
    assert all(line[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0] for line in lines(ax))
    out = [line.get_xydata() for line in ax.lines if line.get_marker() == "o"]
    assert all(line[:, 0].tolist() == [0.0, 1.0, 2.0] for line in out)
    assert len(out) == 6
    for line in (*lines(ax), *out):
        assert np.isfinite(line).all()


def test_labels_of_the_axes_between_stand_over_the_lines_in_white():
    ax = result(structured()).plot.parallel("loss")
    ax.figure.canvas.draw()
    (best,) = [line for line in ax.lines if line.get_color() == style.BEST and len(line.get_xdata()) > 1]
    for label in ax.texts:
        assert label.get_zorder() > best.get_zorder()
        assert label.get_path_effects()
        axis = ax.transData.transform((label.get_position()[0], 0))[0]
        assert axis - 12 < label.get_window_extent().x1 < axis


def test_no_two_labels_of_an_axis_overlap():
    drawn = {
        "learning_rate": ("sample", np.exp(np.random.default_rng(0).uniform(-9, 0, 300))),
        "b1": ("sample", np.random.default_rng(1).uniform(0.0, 1.0, 300)),
        "width": ("sample", np.random.default_rng(2).integers(1, 2000, 300)),
    }
    ax = result(record(np.random.default_rng(3).uniform(0.1, 2.0, 300), coords=drawn)).plot.parallel("loss")
    ax.figure.canvas.draw()
    for place in {text.get_position()[0] for text in ax.texts}:
        boxes = sorted((t.get_window_extent() for t in ax.texts if t.get_position()[0] == place), key=lambda b: b.y0)
        assert all(a.y1 < b.y0 for a, b in itertools.pairwise(boxes))
    ax.figure.canvas.draw()
    inside(ax.figure)


@pytest.mark.parametrize("settings", [1, 26, 300])
def test_it_is_drawn_for_one_line_and_for_hundreds(settings):
    drawn = {
        "learning_rate": ("sample", np.geomspace(1e-4, 1.0, settings)),
        "b1": ("sample", np.linspace(0.5, 0.99, settings)),
    }
    ax = result(record(np.linspace(1.0, 2.0, settings), coords=drawn)).plot.parallel("loss")
    ax.figure.canvas.draw()
    assert len(lines(ax)) == settings
    ax.figure.canvas.draw()
    inside(ax.figure)


def test_one_axis_is_enough_and_numbers_walked_together_have_one_each():
    ax = result(record([4.0, 1.0, 2.0])).plot.parallel("loss")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["learning rate"]
    walked = {"learning_rate": ("learning_rate", np.array([0.1, 0.2])), "b1": ("learning_rate", np.array([0.5, 0.9]))}
    ax = result(record([4.0, 1.0], coords=walked)).plot.parallel("loss")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["learning rate", "b1"]


def test_an_axis_of_one_value_is_left_out_beside_others():
    ax = result(record([[4.0], [1.0]])).plot.parallel("loss")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["learning rate"]


def test_one_setting_has_no_axes():
    with pytest.raises(ValueError, match="one setting has no axes to show"):
        result(record(1.0)).plot.parallel("loss")


def test_a_result_of_which_all_diverged_has_lines_and_no_colours():
    ax = result(record([4.0, 1.0], diverged=[(0, 0), (1, 0)])).plot.parallel("loss")
    assert flat(ax) == ["diverged (2 settings)"]
    assert not ax.child_axes


def test_scores_far_out_are_drawn_at_the_edge_and_the_legend_says_how_many():
    final = np.append(np.linspace(1.0, 2.0, 20), [1e4, 1e6])
    coords = {"b1": ("b1", np.linspace(0.1, 0.9, 22))}
    ax = result(record(final, coords=coords)).plot.parallel("loss")
    assert any(name.startswith("2 scores above ") for name in flat(ax))
    assert max(line[-1, 1] for line in lines(ax)) <= 1.0


def test_groups_have_a_panel_each_with_the_same_colours():
    groups = GroupedResult({"sgd": result(record([4.0, 1.0])), "adam": result(structured())})
    upper, lower = groups.plot.parallel("loss")
    assert [ax.get_title() for ax in (upper, lower)] == ["sgd", "adam"]
    assert bar(upper).get_ylim() == bar(lower).get_ylim()
    upper.figure.canvas.draw()
    inside(upper.figure)
    with pytest.raises(ValueError, match="parallel: 2 groups need as many axes, but 1 were given"):
        groups.plot.parallel("loss", ax=[plt.subplots()[1]])
    with pytest.raises(ValueError, match="the group 'one' is one setting and has no axes"):
        GroupedResult({"a": result(record([4.0, 1.0])), "one": result(record(1.0))}).plot.parallel("loss")


def test_axes_of_ones_own_without_a_layout_have_room_for_the_colour_bar():
    ax = plt.subplots(figsize=(8, 5))[1]
    assert result(structured()).plot.parallel("loss", ax=ax) is ax
    ax.figure.canvas.draw()
    inside(ax.figure)


def test_a_sweep_with_structure_is_drawn_before_and_after_loading(tmp_path):
    optimizer = jopt.sgd(jopt.geomspace(0.01, 3.0, 6), momentum=jopt.choice(None, 0.5), nesterov=jopt.choice(False, True))
    made = jopt.sweep(
        lambda w, _, hyper: ((w - jax.nn.tanh(w)) ** 2).sum() + hyper["l2"] * (w**2).sum(),
        jnp.ones(3),
        optimizer,
        hyper={"l2": jopt.choice(0.0, 1e-3, 1e-2)},
        steps=10,
        progress=False,
    )
    made.save(tmp_path / "a.jopt")
    first, second = made.plot.parallel(), jopt.load_result(tmp_path / "a.jopt").plot.parallel()
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["learning rate", "momentum", "nesterov", "l2"]
    assert flat(first) == flat(second)
    assert {"None", "0.5"} <= {text.get_text() for text in first.texts}

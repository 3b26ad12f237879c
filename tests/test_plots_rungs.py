"""Pictures of rungs: where curves end, how many settings train between, who was kept, what was saved."""

import dataclasses
import itertools

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jopt
from jopt.results import GroupedResult, SweepRecord
from tests.test_results_plots import crosses, inside, legend
from tests.test_results_record import record, result


def pruned(settings=28, seeds=2, rungs=((10, 10), (30, 4)), diverged=0, steps=90):
    """A record of settings of which after each rung's step so many are left."""
    loss = np.linspace(0.1, 2.0, settings)[:, None, None] + 2.0 * np.exp(-np.arange(1, steps + 1) / 20)
    loss = loss * np.ones((1, seeds, 1)) * (1 + 0.01 * np.arange(seeds)[:, None])
    at, died, done = (np.full((settings, seeds), fill) for fill in (np.nan, np.nan, float(steps)))
    for step, left in reversed(rungs):
        at[left:], done[left:], loss[left:, :, step:] = step, step, np.nan
    if diverged:
        at[-diverged:], died[-diverged:], done[-diverged:] = np.nan, 5.0, 5.0
        loss[-diverged:, :, 5:] = np.nan
    return SweepRecord(
        dims=("learning_rate",),
        coords={"learning_rate": ("learning_rate", np.geomspace(1e-4, 1.0, settings))},
        seeds=np.arange(seeds),
        step=np.arange(1, steps + 1),
        eval_step=np.array([], int),
        losses={"loss": loss},
        metrics={},
        diverged_at=died,
        steps_done=done.astype(int),
        pruned_at=at,
    )


def flat(ax):
    return [label.replace("\n", " ") for label in legend(ax)]


def counts(ax):
    (top,) = [child for child in ax.child_axes if child.get_xlabel() == "settings in training"]
    return [int(label.get_text()) for label in top.get_xticklabels()]


def ends(ax):
    """Where the dots of the pruned are."""
    return sorted(float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1)


def test_curves_end_where_their_setting_was_pruned():
    ax = result(pruned()).plot.rungs()
    assert ends(ax) == [10.0] * 18 + [30.0] * 6
    curves = [line for line in ax.lines if len(line.get_xdata()) == 90]
    assert len(curves) == 28
    last = sorted(int(line.get_xdata()[np.isfinite(line.get_ydata())][-1]) for line in curves)
    assert last == [10] * 18 + [30] * 6 + [90] * 4


def test_between_the_rungs_stands_how_many_train():
    assert counts(result(pruned()).plot.rungs()) == [28, 10, 4]
    assert counts(result(pruned(rungs=((10, 7),))).plot.rungs()) == [28, 7]


def test_what_diverges_is_not_counted_behind_the_step_where_it_did_and_has_its_cross():
    ax = result(pruned(diverged=3)).plot.rungs()
    assert counts(ax) == [28, 10, 4]
    assert len(crosses(ax)) == 3
    assert "diverged (3 settings)" in legend(ax)
    assert "pruned (21 settings)" in legend(ax)


def test_who_was_kept_is_named_and_the_title_says_what_was_saved():
    made = result(pruned())
    ax = made.plot.rungs()
    assert flat(ax)[0] == "best: learning_rate=0.0001"
    assert [name.split(":")[0] for name in flat(ax)[:4]] == ["best", "kept", "kept", "kept"]
    assert "pruned (24 settings)" in flat(ax)
    assert "rungs: after 10 and 30 steps" in flat(ax)
    whole = 28 * 2 * 90
    assert ax.get_legend().get_title().get_text() == f"saved {made.saved.lane_steps / whole:.0%} of {whole:,} lane-steps"


def test_many_that_were_kept_are_counted_not_named():
    ax = result(pruned(rungs=((10, 20),))).plot.rungs()
    assert not [name for name in flat(ax) if name.startswith("kept:")]
    assert "kept (20 settings)" in flat(ax)


@pytest.mark.parametrize("rungs", [3, 30])
def test_of_many_rungs_as_many_counts_stand_there_as_have_room(rungs):
    steps = np.linspace(3, 85, rungs).astype(int)
    ax = result(pruned(settings=40, rungs=[(int(s), 39 - i) for i, s in enumerate(steps)])).plot.rungs()
    ax.figure.canvas.draw()
    (top,) = ax.child_axes
    boxes = [label.get_window_extent() for label in top.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert counts(ax)[0] == 40
    assert sorted(counts(ax), reverse=True) == counts(ax)


@pytest.mark.parametrize("settings", [2, 26, 300])
def test_it_is_drawn_for_few_and_for_many(settings):
    ax = result(pruned(settings, rungs=((20, max(1, settings // 4)),))).plot.rungs()
    ax.figure.canvas.draw()
    inside(ax.figure)
    assert len(legend(ax)) <= 10


def test_a_result_of_which_nothing_was_pruned_is_an_error():
    with pytest.raises(ValueError, match=r"nothing was pruned in this result.*prune='auto'"):
        result(record([4.0, 1.0])).plot.rungs("loss")
    with pytest.raises(ValueError, match="nothing was pruned"):
        GroupedResult({"a": result(record([4.0, 1.0])), "b": result(record([2.0]))}).plot.rungs("loss")


def test_one_pruned_seed_takes_its_setting_out():
    rec = pruned(settings=3, rungs=((10, 2),))
    at = rec.pruned_at.copy()
    at[2, 0] = np.nan
    ax = result(dataclasses.replace(rec, pruned_at=at)).plot.rungs()
    assert counts(ax) == [3, 2]


def test_groups_have_a_panel_each_with_the_same_vertical_axis():
    groups = GroupedResult({"a": result(pruned()), "none pruned": result(pruned(4, rungs=()))})
    left, right = groups.plot.rungs()
    assert [ax.get_title() for ax in (left, right)] == ["a", "none pruned"]
    assert left.get_ylim() == right.get_ylim()
    assert (counts(left), counts(right)) == ([28, 10, 4], [4])
    assert right.get_legend().get_title().get_text() == "saved 0% of 720 lane-steps"
    left.figure.canvas.draw()
    inside(left.figure)


def test_a_group_that_had_not_begun_when_the_sweep_was_stopped_has_saved_nothing():
    def stop(event):
        if event.step == 20:
            raise KeyboardInterrupt

    def rates():
        return jopt.cosine_decay_schedule(jopt.geomspace(1e-3, 0.1, 8), 40)

    options = {"steps": 40, "prune": "auto", "callbacks": stop, "progress": False, "plan": jopt.Plan(width=8, loop="scan")}
    with pytest.raises(KeyboardInterrupt) as stopped:
        jopt.sweep(lambda w, _: (w**2).sum(), jnp.ones(2), {"a": jopt.sgd(rates()), "b": jopt.adam(rates())}, **options)
    axes = stopped.value.partial_result.plot.rungs()
    assert len(np.ravel(axes)) == 2


def test_a_colour_and_axes_can_be_asked_for():
    ax = plt.subplots(layout="constrained")[1]
    made = result(pruned())
    assert made.plot.rungs(color="learning_rate", legend=False, ax=ax) is ax
    assert ax.get_legend() is None
    with pytest.raises(ValueError, match="'b2' was not swept"):
        made.plot.rungs(color="b2")


def test_a_pruned_sweep_is_drawn_before_and_after_loading(tmp_path):
    rates = jopt.cosine_decay_schedule(jopt.geomspace(0.001, 2.0, 16), 90)
    made = jopt.sweep(
        lambda w, _: (w**2).sum(), jnp.ones(3), jopt.sgd(rates), steps=90, prune=jopt.SuccessiveHalving(), progress=False
    )
    made.save(tmp_path / "pruned.jopt")
    pictures = [each.plot.rungs() for each in (made, jopt.load_result(tmp_path / "pruned.jopt"))]
    assert counts(pictures[0]) == counts(pictures[1]) == [16, 6, 2]
    assert legend(pictures[0]) == legend(pictures[1])
    assert made.saved.lane_steps == made.record.steps_saved == 10 * 80 + 4 * 60

"""Results: labels, scores, the best setting, tables and words, from records made by hand."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from jopt.results import (
    GroupedResult,
    SweepRecord,
    SweepResult,
    Timings,
    text,
)
from jopt.values.names import check_groups, check_names

RATES = np.array([0.001, 0.01, 0.1, 1.0])


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Stands for an optimizer value: what a result needs of one, at the top of a module."""

    rate: float

    @property
    def hyperparams(self):
        return {"learning_rate": self.rate, "b1": 0.9}


def record(final, *, seeds=2, diverged=(), coords=None, steps=5, noise=0.0, accuracy=None):
    """A record whose losses fall linearly to `final` [*dims], seeds `noise` apart."""
    final = np.asarray(final, float)
    dims = ("learning_rate", "b1")[: final.ndim]
    if coords is None:
        axes = (RATES, np.array([0.5, 0.9, 0.99]))
        coords = {d: (d, axes[i][: final.shape[i]]) for i, d in enumerate(dims)}
    else:
        dims = tuple(dict.fromkeys(dim for dim, _ in coords.values()))
    last = final[..., None] + noise * np.arange(seeds)
    loss = last[..., None] + np.linspace(1.0, 0.0, steps)
    at = np.full(last.shape, np.nan)
    for lane in diverged:
        at[lane] = 4.0
        loss[lane][..., 1:] = np.nan
    evaluated = 1.0 - last if accuracy is None else np.asarray(accuracy, float)
    return SweepRecord(
        dims=dims,
        coords=coords,
        seeds=np.arange(seeds),
        step=np.arange(1, steps + 1) * 3,
        eval_step=np.array([5, 10, 15]),
        losses={"loss": loss, "norm": loss * 2},
        metrics={"accuracy": evaluated[..., None] * np.array([0.5, 1.0, 0.8])},
        diverged_at=at,
        steps_done=np.full(last.shape, steps * 3),
    )


def result(rec, name="adam"):
    lanes = rec.diverged_at.shape
    numbers = np.arange(np.prod(lanes, dtype=int), dtype=np.float32).reshape(lanes)
    rates = rec.coords.get("learning_rate", ("", RATES))[1]
    return SweepResult(
        rec,
        optimizer=name,
        optimizer_at=lambda index: Optimizer(float(rates[index[0]]) if index else 0.0),
        params={"w": numbers[..., None] + np.zeros(3, np.float32), "b": numbers},
        plan="one block",
        timings=Timings(compile_s=1.0, run_s=2.0, total_s=3.5, lane_steps=1000),
    )


def grouped(**finals):
    return GroupedResult({name: result(record(final), name) for name, final in finals.items()})


def test_the_dataset_has_a_dimension_per_axis_and_labels():
    data = result(record(np.ones((4, 3)))).dataset
    assert dict(data.sizes) == {
        "learning_rate": 4,
        "b1": 3,
        "seed": 2,
        "step": 5,
        "eval_step": 3,
    }
    assert data.loss.dims == ("learning_rate", "b1", "seed", "step")
    assert data.accuracy.dims == ("learning_rate", "b1", "seed", "eval_step")
    assert data.diverged_at.dims == data.steps_done.dims == ("learning_rate", "b1", "seed")
    assert data.loss.sel(learning_rate=0.1, b1=0.9, seed=1, step=15).item() == 1.0


def test_every_variable_says_what_it_is():
    data = result(record(np.ones(4))).dataset
    missing = [n for n, v in data.variables.items() if n != "seed" and "units" not in v.attrs]
    assert missing == []
    assert all("long_name" in variable.attrs for variable in data.variables.values())
    assert data.attrs["optimizer"] == "'adam'"
    assert data.attrs["steps"] == 15


def test_the_dataset_is_built_once_and_shares_the_arrays():
    made = result(record(np.ones(4)))
    assert made.dataset is made.dataset
    assert np.shares_memory(made.dataset.loss.values, made.record.losses["loss"])


def test_names_that_walk_together_are_coordinates_of_one_dimension():
    walked = {"learning_rate": ("learning_rate", RATES), "b1": ("learning_rate", RATES / 2)}
    data = result(record(np.arange(4.0), coords=walked)).dataset
    assert data.loss.dims == ("learning_rate", "seed", "step")
    assert data.b1.dims == ("learning_rate",)
    assert data.b1.sel(learning_rate=0.1).item() == 0.05


def test_drawn_settings_lie_along_a_dimension_of_their_own():
    drawn = {"learning_rate": ("sample", RATES), "b1": ("sample", RATES / 2)}
    made = result(record([4.0, 3.0, 1.0, 2.0], coords=drawn))
    assert made.dataset.loss.dims == ("sample", "seed", "step")
    assert made.best("loss").setting == {"learning_rate": 0.1, "b1": 0.05}


def test_a_sweep_of_one_setting_has_no_axes():
    made = result(record(np.array(0.25), seeds=1))
    assert made.dataset.loss.dims == ("seed", "step")
    best = made.best("loss")
    assert (best.setting, best.index, best.score, best.spread) == ({}, (), 0.25, 0.0)
    assert best.params["w"].shape == (3,)
    assert "one setting" in repr(made)


def test_the_best_is_the_lowest_mean_over_seeds():
    best = result(record([4.0, 1.0, 2.0, 3.0], noise=0.5)).best("loss")
    assert best.setting == {"learning_rate": 0.01}
    assert best.score == 1.25
    np.testing.assert_array_equal(best.scores, [1.0, 1.5])
    assert best.spread == pytest.approx(np.std([1.0, 1.5], ddof=1), rel=1e-12)
    assert best.hyperparams == {"learning_rate": 0.01, "b1": 0.9}
    assert best.optimizer == Optimizer(0.01)


def test_the_parameters_of_a_trial_are_those_of_its_best_seed():
    made = result(record([4.0, 1.0, 2.0, 3.0], noise=-0.5))
    best = made.best("loss")
    assert best.params["b"] == 3.0  # setting 1, seed 1
    assert best.params["b"].shape == ()
    np.testing.assert_array_equal(best.params["w"], [3.0, 3.0, 3.0])
    assert best.params_by_seed["w"].shape == (2, 3)
    assert np.shares_memory(best.params_by_seed["w"], made.params["w"])
    assert made.best("loss", mode="max").params["b"] == 0.0  # setting 0, seed 0


def test_mode_max_takes_the_highest():
    best = result(record([0.5, 0.1, 0.2, 0.9])).best("accuracy", "max")
    assert best.setting == {"learning_rate": 0.01}
    assert best.score == pytest.approx(0.9 * 0.8, rel=1e-12)


def test_at_best_takes_each_seeds_best_moment():
    made = result(record([0.5, 0.1, 0.2, 0.9]))
    assert made.best("accuracy", "max", "best").score == pytest.approx(0.9, rel=1e-12)
    assert made.best("accuracy", "min", "best").score == pytest.approx(0.1 * 0.5, rel=1e-9)


def test_at_best_passes_over_moments_without_a_value():
    rec = record([3.0, 2.0])
    rec.metrics["accuracy"][:, :, 0] = np.nan
    assert result(rec).best("accuracy", "max", "best").setting == {"learning_rate": 0.01}


def test_a_setting_with_one_diverged_seed_is_never_best():
    rec = record([4.0, 1.0, 2.0, 3.0], diverged=[(1, 0)])
    assert result(rec).best("loss").setting == {"learning_rate": 0.1}
    # Its accuracy is finite to the end, and yet it diverged.
    assert result(rec).best("accuracy", "max").setting == {"learning_rate": 0.1}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_never_best(bad):
    rec = record([4.0, 1.0, 2.0, 3.0])
    rec.losses["loss"][1, 0, -1] = bad
    for mode in ("min", "max"):
        assert result(rec).best("loss", mode=mode).setting != {"learning_rate": 0.01}


def test_of_equal_settings_the_first_is_best():
    assert result(record([2.0, 1.0, 1.0, 1.0])).best("loss").index == (1,)


def test_all_diverged_is_an_error_that_says_what_to_try():
    rec = record([1.0, 2.0], diverged=[(0, 0), (1, 1)])
    with pytest.raises(ValueError, match=r"all 2 settings diverged.*smaller learning rates"):
        result(rec).best("loss")
    assert "best      none" in repr(result(rec))
    assert "2 of 4 lanes" in repr(result(rec))


def test_no_finite_score_without_divergence_is_an_error_of_its_own():
    rec = record([1.0, 2.0], diverged=[(0, 0)])
    rec.metrics["accuracy"][:] = np.nan
    with pytest.raises(ValueError, match=r"1 of 2 diverged.*no finite 'accuracy'"):
        result(rec).best("accuracy", "max")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lost",), "no metric 'lost'.*loss, norm, accuracy"),
        (("loss", "least"), "mode.*'least'"),
        (("loss", "min", "first"), "at must be.*'first'"),
    ],
)
def test_a_wrong_question_names_the_choices(arguments, words):
    with pytest.raises(ValueError, match=words):
        result(record([1.0, 2.0])).best(*arguments)


def test_a_metric_without_records_is_an_error():
    rec = dataclasses.replace(record([1.0, 2.0]), eval_step=np.zeros(0, int), metrics={"accuracy": np.zeros((2, 2, 0))})
    with pytest.raises(ValueError, match="Nothing was recorded of 'accuracy'"):
        result(rec).best("accuracy")
    assert np.isnan(result(rec).to_pandas().accuracy).all()


def test_scores_of_half_precision_records_are_taken_in_double():
    rec = record([1.0, 2.0])
    rec = dataclasses.replace(rec, losses={"loss": np.full((2, 2, 5), 60000, np.float16)})
    assert result(rec).best("loss").score == 60000 - 60000 % 32


def test_the_final_table_has_a_row_per_setting_and_seed():
    table = result(record([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], noise=0.5)).to_pandas()
    hyperparameters = ["learning_rate", "b1", "seed"]
    values = ["loss", "norm", "accuracy", "diverged_at", "pruned_at", "steps_done"]
    assert list(table.columns) == hyperparameters + values
    assert len(table) == 2 * 3 * 2
    row = table[(table.learning_rate == 0.01) & (table.b1 == 0.99) & (table.seed == 1)]
    assert row.loss.item() == 6.5
    assert "accuracy" not in result(record([1.0])).to_pandas("loss").columns


def test_the_curves_table_is_long():
    table = result(record([1.0, 2.0])).to_pandas(kind="curves")
    assert list(table.columns) == ["learning_rate", "seed", "step", "metric", "value"]
    assert len(table) == 2 * 2 * (5 + 5 + 3)
    one = table.query("learning_rate == 0.01 and seed == 0 and metric == 'loss' and step == 15")
    assert one.value.item() == 2.0
    assert set(result(record([1.0])).to_pandas("norm", "curves").metric) == {"norm"}


def test_an_unknown_kind_of_table_is_an_error():
    with pytest.raises(ValueError, match=r"kind.*'wide'"):
        result(record([1.0])).to_pandas(kind="wide")


def test_the_repr_tells_the_whole_story():
    shown = repr(result(record([4.0, 1.0, 2.0, 3.0], diverged=[(3, 0)])))
    for words in (
        "learning_rate 0.001 to 1 (4 values)",
        "4 settings x 2 seeds = 8 lanes, 15 steps each",
        "learning_rate=0.01: loss 1 +/- 0",
        "1 of 8 lanes",
        "one block",
        "500 lane-steps per second",
    ):
        assert words in shown


def test_the_html_shows_the_repr_and_the_dataset():
    shown = result(record([1.0, 2.0]), name="<adam>")._repr_html_()
    assert shown.startswith("<pre>SweepResult")
    assert "xr-" in shown
    assert "<adam>" not in shown


def test_a_trial_reads_on_one_line():
    best = result(record([4.0, 1.0], noise=0.5)).best("loss")
    assert repr(best) == "Trial(learning_rate=0.01 -> loss 1.25 +/- 0.35 over 2 seeds)"


def test_groups_read_like_a_dictionary():
    both = grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0])
    assert list(both) == list(both.keys()) == ["sgd", "adam"]
    assert len(both) == 2
    assert "adam" in both
    assert "lion" not in both
    assert both["sgd"].best("loss").score == 2.0
    with pytest.raises(KeyError, match="no group 'lion'; the groups are sgd, adam"):
        both["lion"]


def test_the_best_of_groups_says_whose_it_is():
    both = grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0])
    assert (both.best("loss").group, both.best("loss").score) == ("adam", 1.0)
    assert both.best("loss", mode="max").group == "adam"
    assert both.best("accuracy", "max").setting == {"learning_rate": 0.001}
    assert both["adam"].best("loss").group is None
    assert repr(both.best("loss")).startswith("Trial(adam: ")


def test_a_group_that_diverged_altogether_is_passed_over():
    lost = result(record([0.1, 0.1], diverged=[(0, 0), (1, 0)]), "sgd")
    assert GroupedResult({"sgd": lost, "adam": result(record([1.0]))}).best("loss").group == "adam"
    with pytest.raises(ValueError, match="No setting of sgd is best"):
        GroupedResult({"sgd": lost}).best("loss")
    with pytest.raises(ValueError, match="no metric 'lost'"):
        GroupedResult({"sgd": lost}).best("lost")


def test_the_dataset_of_groups_is_a_tree_with_a_node_each():
    both = GroupedResult({"a": result(record([1.0])), "b": result(record([[1.0, 2.0]]))})
    assert set(both.dataset.children) == {"a", "b"}
    assert both.dataset["b"].dataset.loss.dims == ("learning_rate", "b1", "seed", "step")


def test_the_table_of_groups_has_their_names_first():
    both = GroupedResult({"a": result(record([1.0])), "b": result(record([[1.0, 2.0]]))})
    table = both.to_pandas()
    assert table.columns[0] == "group"
    assert table.groupby("group").size().to_dict() == {"a": 2, "b": 4}
    assert table[table.group == "a"].b1.isna().all()


def test_what_belongs_to_one_optimizer_is_by_name_in_groups():
    both = grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0])
    assert both.plan == {"sgd": "one block", "adam": "one block"}
    assert both.optimizer == {"sgd": "sgd", "adam": "adam"}
    assert both.params["sgd"]["b"].shape == (2, 2)
    assert both.timings == Timings(2.0, 4.0, 7.0, 2000)
    assert not hasattr(both, "optimizer_at")  # an index belongs to the grid of one of them


def test_the_text_table_is_aligned_and_counts_what_diverged():
    lost = record([0.1, 0.1], diverged=[(0, 0), (1, 0)])
    made = GroupedResult({"descent": result(record([3.0, 2.0], noise=0.5)), "adam": result(lost)})
    header, rule, first, second = made.table("loss").splitlines()
    assert header.split() == ["group", "best", "loss", "diverged"]
    assert set(rule) == {"-", " "}
    assert first.split("  ")[0] == "descent"
    assert "learning_rate=0.01  2.25 +/- 0.35  0 of 4" in first
    assert second.split() == ["adam", "none", "-", "2", "of", "4"]
    assert first.index("learning_rate") == second.index("none") == header.index("best")
    assert made["descent"].table("accuracy", "max", "best").startswith("best ")
    assert "descent" in repr(made)
    assert "8 lanes in 2 groups" in repr(made)


@pytest.mark.parametrize("name", ["", "a/b", 3, "."])
def test_a_group_name_that_cannot_label_a_node_is_refused(name):
    with pytest.raises(ValueError, match="must be a non-empty string without"):
        check_groups([name])


@pytest.mark.parametrize(
    ("swept", "recorded", "words"),
    [
        (["seed"], ["loss"], "An axis may not be named 'seed'"),
        (["b1"], ["loss", "b1"], "'b1', which names an axis"),
        ([], ["loss", "step"], "'step', which names the result itself"),
        ([], ["loss", "loss"], "'loss', which names another recorded value"),
    ],
)
def test_a_name_that_clashes_is_refused(swept, recorded, words):
    with pytest.raises(ValueError, match=words):
        check_names(swept, recorded)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"diverged_at": np.zeros((3, 2))}, r"'diverged_at' has shape \(3, 2\)"),
        ({"losses": {"loss": np.zeros((2, 2, 4))}}, "'loss' has shape"),
        ({"coords": {}}, "no coordinate"),
        ({"coords": {"b1": ("depth", RATES)}}, "lies along 'depth'"),
    ],
)
def test_a_record_whose_shapes_disagree_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(record([1.0, 2.0]), **change)


def test_results_import_nothing_heavy():
    heavy = ["matplotlib", "pandas", "xarray", "rich"]
    code = f"import sys, jopt.results; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e-5, "1e-5"),
        (0.0031622, "0.00316"),
        (2e10, "2e10"),
        (12345, "12345"),
        (0.9, "0.9"),
        (0.9999, "0.9999"),
        (-0.5, "-0.5"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_reads_short_and_true(value, shown):
    assert text.number(value) == shown

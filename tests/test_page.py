"""The page of a result, as a file: what it says, that it is whole, small, closed to the outside, and the same each time."""

import dataclasses
import pathlib
import re
import sys

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.results import GroupedResult
from jopt.results.page import layout, thinning, writing
from jopt.results.page.expression import expression
from tests import pages
from tests.cases import CASES

pytest.importorskip("plotly")
pytest.importorskip("jinja2")

LIMIT = 5_000_000  # bytes


def read(result, folder, **asked):
    return pages.Read(result.report(folder / "report.html", **asked))


# What it says


def test_the_suggestion_stands_on_top_as_its_sentence(tmp_path):
    result = pages.quadratic(jopt.sgd(jopt.geomspace(1e-3, 1.0, 9)))
    assert read(result, tmp_path).answer == str(result.suggest())


def test_of_several_optimizers_it_is_the_sentence_of_the_best_and_the_others_stand_below(tmp_path):
    rates = jopt.geomspace(1e-3, 1.0, 7)
    result = pages.quadratic(
        {"slow": jopt.sgd(jopt.geomspace(1e-5, 1e-4, 3)), "a: b": jopt.adam(rates, b1=jopt.choice(0.5, 0.9))}
    )
    page = read(result, tmp_path)
    assert page.answer == str(result.suggest())
    assert page.answer.startswith("a: b: use ")
    assert "slow: use 0.0001" in page.text
    assert "a: b: use b1 " in page.text


def two_groups(**options):
    """Two optimizers from random starts, so that seeds differ."""
    rates = jopt.geomspace(1e-3, 0.1, 3)
    made = {"sgd": jopt.sgd(rates), "a: <b>": jopt.adam(rates)}
    return jopt.sweep(
        lambda w, _: (w**2).sum(), lambda key: jax.random.normal(key, (3,)), made, steps=5, progress=False, **options
    )


def test_several_optimizers_are_compared_as_compare_does(tmp_path):
    result = two_groups(seeds=3)
    page, found = read(result, tmp_path), result.compare().to_pandas()
    assert [row[0] for row in page.comparison[1:]] == list(found["group"]) == ["sgd", "a: <b>"]
    assert any("interval" in name for name in page.comparison[0])
    for row, low, how in zip(page.comparison[1:], found["low"], found["how"], strict=True):
        assert how == "compared with" or (f"{low:+.3g} to " in " ".join(row) and how in row)
    for line in str(result.compare()).splitlines():
        assert line.split("  ")[0].strip("-") in page.compared


def test_of_one_seed_the_comparison_says_that_it_has_no_interval(tmp_path):
    page = read(two_groups(), tmp_path)
    assert len(page.comparison) == 3
    assert str(two_groups().compare()).splitlines()[-1] in page.compared


def test_one_optimizer_and_groups_of_which_none_has_a_best_setting_are_not_compared(tmp_path):
    rates = jopt.geomspace(1e3, 1e4, 3)
    assert read(pages.quadratic({"a": jopt.sgd(rates), "b": jopt.sgd(rates)}, steps=80), tmp_path).comparison == []
    assert read(pages.quadratic({"a": jopt.sgd(0.1)}), tmp_path).comparison == []
    assert "Which optimizer" not in read(pages.two_axes(), tmp_path).text


def test_where_no_number_was_swept_it_is_the_best_setting(tmp_path):
    page = read(pages.quadratic(jopt.sgd(0.1, momentum=0.5, nesterov=jopt.choice(False, True))), tmp_path)
    assert page.answer.startswith("the best of all settings: nesterov=")
    assert read(pages.quadratic(jopt.sgd(0.1)), tmp_path).answer.startswith("the only setting (loss ")


def test_a_group_of_one_setting_goes_by_its_name(tmp_path):
    page = read(pages.quadratic({"slow": jopt.sgd(jopt.choice(1e-5, 1e-4)), "columns": jopt.sgd(0.1)}), tmp_path)
    assert page.answer.startswith("the best of all settings: columns (loss ")
    assert page.data["rows"][0]["label"] == "columns"
    alone = read(pages.quadratic({"slow": jopt.sgd(1e-5), "columns": jopt.sgd(0.1)}), tmp_path)
    assert alone.answer.startswith("the best of 2 optimizers: columns (loss ")
    assert "the only setting" not in alone.answer


@pytest.mark.parametrize("lowest", [0.013, 0.1])
def test_the_suggested_value_has_the_same_digits_in_the_sentence_and_in_the_code(lowest, tmp_path):
    result = pages.quadratic(jopt.sgd(jopt.cosine_decay_schedule(jopt.geomspace(lowest, 0.9, 9), 30)))
    page = read(result, tmp_path)
    value = re.match(r"use learning_rate\.init_value (\S+) \(", page.answer)[1]
    assert f"jopt.sgd(learning_rate=jopt.cosine_decay_schedule(init_value={float(value)!r}, decay_steps=30.0))" in page.text


def test_a_page_of_a_sweep_that_was_stopped_calls_nothing_finished_and_shows_curves_as_far_as_they_go(tmp_path):
    def stop(event):
        if event.step == 30:
            raise KeyboardInterrupt

    plan = jopt.Plan(width=5, loop="scan")
    with pytest.raises(KeyboardInterrupt) as stopped:
        pages.quadratic(jopt.sgd(jopt.geomspace(1e-3, 0.1, 5)), steps=600, callbacks=stop, plan=plan)
    page = read(stopped.value.partial_result, tmp_path)
    assert [row[-1] for row in page.cells] == ["stopped at 30"] * 5
    assert "5 stopped" in page.text
    assert "5 finished" not in page.text
    assert [curve["steps"][0][-1] for curve in page.data["curves"]] == [30]


def test_a_group_that_had_not_begun_when_the_sweep_was_stopped_is_called_so(tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    two = {"a": jopt.sgd(jopt.geomspace(1e-3, 0.1, 3)), "b": jopt.adam(jopt.geomspace(1e-3, 0.1, 3))}
    with pytest.raises(KeyboardInterrupt) as stopped:
        pages.quadratic(two, callbacks=stop, plan=jopt.Plan(width=3, loop="scan"))
    partial = stopped.value.partial_result
    page = read(partial, tmp_path)
    assert [row[-1] for row in page.cells if row[1] == "b"] == ["not begun"] * 3
    assert "not finite" not in page.text.split("<script")[0]
    assert "plan" not in repr(partial["b"])


def test_a_page_of_settings_that_all_diverged_says_so(tmp_path):
    page = read(pages.quadratic(jopt.sgd(jopt.geomspace(1e3, 1e4, 3)), steps=80), tmp_path)
    assert page.answer == "No setting is best: all 3 settings diverged. Try smaller learning rates, or clip the gradient."
    assert [row[-1].split(" at ")[0] for row in page.cells] == ["diverged"] * 3


def test_the_table_has_every_setting_the_best_first_and_what_is_out_last(tmp_path):
    result = pages.two_axes()
    page = read(result, tmp_path)
    assert page.head == ["#", "learning_rate", "b1", "loss", "spread", "steps", "state"]
    top = [[f"{t.setting['learning_rate']:g}", f"{t.setting['b1']:g}", f"{t.score:.4g}"] for t in result.top(12)]
    assert [row[1:4] for row in page.cells[:9]] == top
    assert [row[0] for row in page.cells] == [*map(str, range(1, 10)), "", "", ""]
    assert [row[-1] for row in page.cells[9:]] == ["pruned at 20", "pruned at 20", "diverged at 21"]
    assert page.cells[9][3] == "(1.775)"  # of fewer steps
    assert page.cells[11][3:5] == ["", ""]
    assert [row[-2] for row in page.cells] == ["40"] * 9 + ["20", "20", "40"]


def test_some_of_the_seeds_are_told(tmp_path):
    result = pages.two_axes(pruned=(), diverged=())
    at = result.record.diverged_at.copy()
    at[2, 1, 0] = 7
    losing = pages.by_hand(np.ones((2, 3, 8)), {"b1": ("b1", np.array([0.5, 0.9]))})
    losing.record.diverged_at[1, 2] = 5
    assert [row[-1] for row in read(losing, tmp_path).cells] == ["finished", "diverged at 5 (1 of 3 seeds)"]


def test_structure_none_and_bools_stand_in_the_table_as_they_are(tmp_path):
    swept = jopt.sgd(0.1, momentum=jopt.choice(None, 0.5), nesterov=jopt.choice(False, True))
    page = read(pages.quadratic(swept), tmp_path)
    assert sorted(row[1:3] for row in page.cells) == [["0.5", "False"], ["0.5", "True"], ["None", "False"], ["None", "True"]]


def test_other_metrics_are_columns_and_curves(tmp_path):
    def evaluate(w):
        return {"accuracy": -jnp.sum(w**2), "error": jnp.sum(jnp.abs(w))}

    result = pages.quadratic(
        jopt.adam(jopt.geomspace(1e-2, 1.0, 4)),
        evaluate=jopt.metrics(evaluate, maximize="accuracy"),
        record=("grad_norm",),
    )
    page = read(result, tmp_path)
    assert page.head == ["#", "learning_rate", "accuracy", "steps", "state", "error", "loss", "grad_norm"]
    assert [curve["name"] for curve in page.data["curves"]] == ["accuracy", "error", "loss", "grad_norm"]
    final = result.dataset.error.isel(eval_step=-1, seed=0)
    shown = {row[1]: row[5] for row in page.cells}
    assert shown == {f"{float(rate):.3g}": f"{float(final.sel(learning_rate=rate)):.4g}" for rate in final.learning_rate}


def test_a_metric_of_unknown_direction_asks_for_it(tmp_path):
    losses = np.linspace(2.0, 1.0, 12).reshape(3, 1, 4)
    rates = {"learning_rate": ("learning_rate", np.geomspace(1e-3, 1e-1, 3))}
    result = pages.by_hand(losses, rates, metrics={"val_accuracy": 1 / losses})
    with pytest.raises(ValueError, match="mode='max'"):
        result.report(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
    page = read(result, tmp_path, mode="max")
    assert page.answer == str(suggested(result, mode="max"))
    assert page.cells[0][2] == "1"
    assert read(result, tmp_path, metric="loss").head[2] == "loss"


def suggested(result, **ranked):
    from jopt.results.suggestion import suggest

    return suggest(result, None, None, **ranked)


def test_what_pruning_saved_is_told(tmp_path):
    result = pages.quadratic(jopt.sgd(jopt.cosine_decay_schedule(jopt.geomspace(1e-4, 0.3, 12), 90)), steps=90, prune="auto")
    saved = f"Pruning saved {result.saved.lane_steps:,} of {12 * 90:,} lane-steps"
    assert saved in read(result, tmp_path).text
    assert "Pruning saved" not in read(pages.quadratic(jopt.sgd(0.1)), tmp_path).text


def test_versions_devices_and_the_date_of_the_run_stand_on_it_also_when_it_was_loaded(tmp_path):
    result = pages.quadratic(jopt.sgd(jopt.geomspace(1e-3, 0.1, 3)))
    assert {"ran", "device", "python", "jax", "numpy"} <= set(result.environment)
    result.save(tmp_path / "a.sweep")
    for each in (result, jopt.load_result(tmp_path / "a.sweep")):
        text = read(each, tmp_path).text
        for name, told in result.environment.items():
            assert f"<dt>{name}</dt><dd>{told}</dd>" in text
    assert "<dt>jopt</dt><dd>0</dd>" in read(pages.two_axes(), tmp_path).text


def test_results_that_are_joined_tell_both_environments():
    one, other = (pages.quadratic(jopt.sgd(jopt.choice(*rates))) for rates in ((0.1, 0.2), (0.3, 0.4)))
    other._environment = {**other.environment, "device": "1 x another", "extra": "told"}
    both = one.concat(other).environment
    assert both["device"] == f"{one.environment['device']}; 1 x another"
    assert (both["python"], both["extra"]) == (one.environment["python"], "told")


# The line of code


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_rule_of_jopts_reads_as_code_that_makes_it(case):
    made = case.make()
    line = expression(made)
    if "=matrices_only" in repr(made):  # a function of the tests
        assert line is None
    else:
        assert eval(line, {"jopt": jopt, "jnp": jnp}) == made


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (jopt.adam(3.2e-3), "jopt.adam(learning_rate=0.0032)"),
        (jopt.sgd(0.1, nesterov=True), "jopt.sgd(learning_rate=0.1, nesterov=True)"),
        (
            jopt.sgd(jopt.cosine_decay_schedule(0.1, 100), momentum=0.9),
            "jopt.sgd(learning_rate=jopt.cosine_decay_schedule(init_value=0.1, decay_steps=100.0), momentum=0.9)",
        ),
        (
            jopt.chain(jopt.clip_by_global_norm(1.0), jopt.adamw(1e-3, weight_decay=0.1)),
            "jopt.chain(jopt.clip_by_global_norm(max_norm=1.0), jopt.adamw(learning_rate=0.001, weight_decay=0.1))",
        ),
        (jopt.lift(optax.lion)(1e-4), "jopt.lift(optax.lion)(learning_rate=0.0001)"),
        (
            {"g": jopt.sgd(0.1), "d": (jopt.sgd(0.2),)},
            "{'g': jopt.sgd(learning_rate=0.1), 'd': (jopt.sgd(learning_rate=0.2),)}",
        ),
        (jopt.lift(optax.clip)(float("inf")), "jopt.lift(optax.clip)(max_delta=float('inf'))"),
        (optax.sgd(0.1), None),
        (jopt.masked(jopt.sgd(0.1), lambda params: True), None),
        (jopt.sgd(jnp.full(3, 0.1)), None),
    ],
    ids=["adam", "bool", "schedule", "chain", "lifted", "tree", "infinite", "optax", "function", "array"],
)
def test_an_optimizer_reads_as_code(made, line):
    assert expression(made) == line


def test_what_was_swept_is_written_even_where_it_is_the_default(tmp_path):
    assert expression(jopt.adam(0.1), {"b1"}) == "jopt.adam(learning_rate=0.1, b1=0.9)"
    masked = jopt.muon(0.1, matrices=jopt.matching("hidden/*"))
    assert expression(masked) == "jopt.muon(learning_rate=0.1, matrices=jopt.matching('hidden/*'))"
    result = pages.quadratic(jopt.adam(jopt.geomspace(1e-3, 1.0, 5), b1=jopt.choice(0.9, 0.5)))
    page = read(result, tmp_path)
    assert page.best.startswith("jopt.adam(learning_rate=")
    assert ", b1=" in page.best
    assert eval(page.best, {"jopt": jopt}) == result.best().optimizer


def test_the_numbers_of_hyper_and_the_batch_size_stand_beside_the_optimizer(tmp_path):
    x = np.ones((32, 3), np.float32)

    def loss(w, batch, hyper):
        return jnp.mean((batch @ w - 1.0) ** 2) + hyper["l2"] * jnp.sum(w**2)

    result = jopt.sweep(
        loss,
        jnp.zeros(3),
        jopt.sgd(0.1),
        x,
        steps=5,
        hyper={"l2": jopt.choice(0.0, 0.5)},
        batch_size=jopt.choice(8, 16),
        progress=False,
    )
    text = read(result, tmp_path).text
    assert "{&#39;l2&#39;: 0.0}" in text
    assert f"<code>{result.best().setting['batch_size']}</code>" in text


def test_an_optimizer_that_no_line_makes_is_described(tmp_path):
    page = read(pages.quadratic(jopt.masked(jopt.sgd(jopt.geomspace(1e-3, 0.1, 5)), lambda params: True)), tmp_path)
    assert page.best is None
    assert "no line of public functions makes it" in page.text


# The file


def test_a_page_is_written_where_it_is_asked_for_whole_or_not_at_all(tmp_path, monkeypatch):
    result = pages.two_axes()
    for path in (tmp_path / "a.html", str(tmp_path / "b.html"), bytes(tmp_path / "c.html")):
        assert result.report(path) == pathlib.Path(path if not isinstance(path, bytes) else path.decode())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html", "c.html"]
    before = (tmp_path / "a.html").read_bytes()
    monkeypatch.setattr("jopt.results.page.writing.rendered", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        result.report(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_bytes() == before
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="no such directory"):
        result.report(tmp_path / "nowhere" / "a.html")
    with pytest.raises(IsADirectoryError, match="give the name of a file"):
        result.report(tmp_path)


@pytest.mark.parametrize("make", [pages.two_axes, pages.hostile, lambda: pages.many(26, 200)], ids=["axes", "names", "rates"])
def test_the_same_result_gives_the_same_bytes_but_for_the_date_loaded_too(make, tmp_path):
    made = make()
    made.save(tmp_path / "a.sweep")
    first = read(made, tmp_path).undated
    assert read(make(), tmp_path).undated == first
    assert read(jopt.load_result(tmp_path / "a.sweep"), tmp_path).undated == first


@pytest.mark.parametrize(
    "make", [pages.many, lambda: pages.many(1000, 3000), lambda: wide(16), lambda: groups(40)], ids=range(4)
)
def test_a_page_stays_under_five_megabytes(make, tmp_path):
    path = make().report(tmp_path / "report.html")
    assert 1_000_000 < path.stat().st_size < LIMIT


def wide(axes):
    """Many drawn numbers with long names."""
    names = [f"a_number_with_quite_a_long_name_{i}" for i in range(axes)]
    draws = np.random.default_rng(0).uniform(size=(axes, 2000))
    losses = np.random.default_rng(1).uniform(size=(2000, 1, 50))
    return pages.by_hand(losses, {name: ("sample", each) for name, each in zip(names, draws, strict=True)})


def groups(count):
    return GroupedResult({f"the optimizer of number {i}": pages.many(30, 500) for i in range(count)})


def test_what_was_left_out_is_told(tmp_path):
    page = read(pages.many(2000, 100, seeds=1), tmp_path)
    listed = len(page.cells)
    assert 1000 < listed < 2000
    assert f"The table has the first {listed} of 2000 settings" in page.text
    assert "The first 300 of 2,000 settings have curves." in page.text
    assert "Long curves are thinned: a point is the mean of up to " in read(pages.many(300, 5000), tmp_path).text
    assert "Long curves" not in read(pages.many(5, 50), tmp_path).text


def test_nothing_is_asked_for_from_elsewhere(tmp_path):
    page = read(pages.hostile(), tmp_path)
    outward = [
        (tag, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data") and not value.startswith(("#", "data:"))
    ]
    assert outward == []
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy


def test_names_of_the_users_are_text(tmp_path):
    page = read(pages.hostile(), tmp_path)
    assert [a.get("type") for tag, a in page.tags if tag == "script"] == ["application/json", "text/plain", "module"]
    assert {tag for tag, _ in page.tags} & {"svg", "img", "b"} == set()
    assert page.data["groups"] == ["<script>hacked()", "_x_$y$", "half \ud800 & {{ data }}"]
    assert {row[1] for row in page.cells} == {"<script>hacked()", "_x_$y$", "half ? & {{ data }}"}
    assert any("{{ 7 * 7 }}" in name for name in page.head)


def test_what_is_not_finite_stands_in_the_data_as_nothing(tmp_path):
    losses = np.full((4, 2, 10), 1.0)
    losses[1, :, 5:] = np.inf
    losses[2, 0, 3] = np.nan
    losses[3] = -1e300
    rates = {"learning_rate": ("learning_rate", np.array([0.0, 1e-3, 1e-2, 1.0]))}
    made = pages.by_hand(losses, rates, metrics={"m": np.where(losses > 1, np.nan, losses)}, diverged=[(1,)])
    page = read(made, tmp_path)  # it refuses NaN and Infinity
    assert {len(column["values"]) for column in page.data["columns"]} == {4}


def test_without_plotly_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    writing._plotly.cache_clear()
    with pytest.raises(ImportError, match=r'python -m pip install "jopt\[report\]"'):
        pages.two_axes().report(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


# What the charts are made of


@hypothesis.given(st.integers(1, 5000), st.integers(1, 60), st.integers(1, 20))
def test_the_curves_never_need_more_room_than_there_is(settings, metrics, seeds):
    room = thinning.budget(settings, metrics, seeds)
    arrays = room.settings * room.metrics * (3 if room.bands else 1)
    assert arrays * room.points <= thinning.NUMBERS
    assert thinning.LEAST <= room.points <= thinning.MOST
    assert 1 <= room.metrics <= metrics
    assert 1 <= room.settings <= settings


def test_a_thinned_curve_is_the_mean_of_records_that_stand_together(tmp_path):
    losses = np.arange(1000.0).reshape(1, 1, -1)
    page = read(pages.by_hand(losses, {"b1": ("b1", np.array([0.9]))}), tmp_path)
    (curve,) = page.data["curves"]
    assert curve["steps"][0][:2] == [3, 6]
    assert curve["steps"][0][-1] == 1000
    assert curve["lines"][0][:2] == [1.0, 4.0]
    assert curve["lines"][0][-1] == 999.0  # what is left over


def test_a_curve_ends_where_its_setting_was_pruned(tmp_path):
    page = read(pages.two_axes(), tmp_path)
    (curve,) = page.data["curves"]
    lengths = {row["state"]: len(line) for row, line in zip(page.data["rows"], curve["lines"], strict=True)}
    assert lengths == {"finished": 40, "pruned": 20, "diverged": 20}
    assert curve["range"][1] < 3  # what diverged is not looked at


@pytest.mark.parametrize(
    ("values", "kind", "place"),
    [
        ([1e-3, 1e-1, 1e-2], "log", [0.0, 1.0, 0.5]),
        ([0.5, 0.9, 0.7], "linear", [0.0, 1.0, 0.5]),
        ([True, False], "listed", [0.0, 1.0]),
        (["relu", None, "relu"], "listed", [0.0, 1.0, 0.0]),
        ([0.5], "linear", [0.5]),
        ([1.0, layout.ABSENT, 1.5], "linear", [0.0, None, 1.0]),
    ],
)
def test_an_axis_is_laid_out_by_what_its_values_are(values, kind, place):
    made = layout.axis("x", values)
    assert (made["kind"], made["place"]) == (kind, pytest.approx(place))


def test_lines_join_the_scores_along_a_number_that_was_not_drawn_as_in_the_response(tmp_path):
    optimizers = {
        "grid": jopt.adam(jopt.geomspace(1e-3, 0.1, 3), b1=jopt.choice(0.0, 0.9)),
        "line": jopt.sgd(jopt.geomspace(1e-3, 0.1, 3)),
        "structure": jopt.sgd(0.1, momentum=jopt.choice(None, 0.5)),
    }
    page = read(pages.quadratic(optimizers), tmp_path)
    found = {axis["name"]: (axis["joined"], axis["envelope"]) for axis in page.data["axes"]}
    assert found == {"learning_rate": ([0, 1], True), "b1": ([0], True), "momentum": ([], False)}
    assert page.text.count("The line joins the best scores over the other axes.") == 2
    drawn = read(pages.quadratic(jopt.adam(jopt.loguniform(1e-3, 0.1)), samples=5), tmp_path)
    assert [axis["joined"] for axis in drawn.data["axes"]] == [[]]


def test_every_sign_in_the_charts_of_scores_is_explained_and_none_that_is_not_there(tmp_path):
    signs = ("the star is", "bars reach", "open circles", "crosses at the edge", "the dashed line is", "Dotted lines are")
    text = read(pages.two_axes(), tmp_path).text
    assert [sign in text for sign in signs] == [True] * 6
    text = read(pages.quadratic(jopt.sgd(0.1, momentum=jopt.choice(None, 0.5))), tmp_path).text
    assert [sign in text for sign in signs] == [True] + [False] * 5
    assert "In charts of scores" not in read(pages.quadratic(jopt.sgd(0.1)), tmp_path).text


def test_lines_that_pass_by_axes_are_explained_where_there_are_some(tmp_path):
    assert "A dashed line passes by axes" in read(pages.hostile(), tmp_path).text
    assert "A dashed line passes by axes" not in read(pages.two_axes(), tmp_path).text


def test_values_that_are_no_numbers_stand_in_the_order_of_their_axis(tmp_path):
    page = read(pages.quadratic(jopt.sgd(0.1, momentum=0.5, nesterov=jopt.choice(False, True))), tmp_path)
    assert [label for _, label in page.data["axes"][0]["ticks"]] == ["False", "True"]


def test_zero_has_a_place_of_its_own_beside_magnitudes():
    made = layout.axis("l2", [0.0, 1e-4, 1e-2])
    assert made["kind"] == "listed"
    assert [label for _, label in made["ticks"]] == ["0", "0.0001", "0.01"]
    assert made["at"][0] < made["at"][1] < made["at"][2]


def test_a_suggestion_stands_among_the_values_also_where_zero_is_one_of_them(tmp_path):
    def loss(w, _, hyper):
        return (w - 1.0) ** 2 + (jnp.log10(hyper["l2"] + 1e-9) + 2.5) ** 2

    penalty = {"l2": jopt.choice(0.0, 1e-4, 1e-3, 1e-2, 1e-1)}
    result = jopt.sweep(loss, jnp.float32(0.0), jopt.sgd(0.1), hyper=penalty, steps=5, progress=False)
    (axis,) = read(result, tmp_path).data["axes"]
    (shown,) = axis["suggested"]
    found = result.suggest()
    assert axis["kind"] == "listed"
    known = np.log10(result.record.coords["l2"][1][1:])
    stands = dict(zip((row.setting["l2"] for row in result.top(5)), axis["at"], strict=True))
    places = [stands[value] for value in result.record.coords["l2"][1][1:]]
    for end in ("value", "low", "high"):
        assert shown[end] == pytest.approx(np.interp(np.log10(getattr(found, end)), known, places), abs=1e-3)
    assert layout.at(0.0, [0.0, 1e-4, 1e-2]) == layout.axis("l2", [0.0, 1e-4, 1e-2])["at"][0]


def test_a_result_can_be_copied_and_reported_by_group(tmp_path):
    result = pages.hostile()
    page = read(result["_x_$y$"], tmp_path)
    assert len(page.cells) == 3
    assert dataclasses.is_dataclass(result["_x_$y$"].record)

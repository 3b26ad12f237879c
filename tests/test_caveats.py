"""What a comparison says of itself: edges of axes, settings chosen by the seeds that are compared, unequal time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.results import GroupedResult, Timings, load_result
from tests.test_comparing import grouped, scored

_with = dataclasses.replace


def loss(w, batch):
    return jnp.sum(jnp.array([0.2, 1.0, 2.0]) * w**2)


def swept(optimizers, **options):
    options = {"steps": 12, "seeds": 3, "progress": False, **options}
    return jopt.sweep(loss, lambda key: jax.random.normal(key, (3,)), optimizers, **options)


@pytest.fixture(scope="module")
def at_edge():
    """AdamW at the upper edge of its axis, SGD inside."""
    rates = {"adamw": jopt.geomspace(1e-5, 1e-3, 3), "sgd": jopt.geomspace(0.03, 3.0, 3)}
    return swept({name: getattr(jopt, name)(rate) for name, rate in rates.items()})


# Edges


def test_a_group_at_the_edge_of_an_axis_is_named_with_the_axis_and_the_way_to_go(at_edge, tmp_path):
    wanted = "adamw is at the upper edge of learning_rate (0.001): try higher before you compare"
    made = at_edge.compare()
    assert made.warnings == (wanted,)
    assert f"{wanted}." in str(made).splitlines()
    assert wanted in made._repr_html_()
    at_edge.save(tmp_path / "edge.jopt")
    assert load_result(tmp_path / "edge.jopt").compare().warnings == (wanted,)


def test_the_edges_of_a_comparison_are_those_that_suggest_would_go_beyond(at_edge):
    for group, result in at_edge.items():
        named = any(each.startswith(f"{group} ") for each in at_edge.compare().warnings)
        assert named == (result.suggest().extend is not None)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([1.0, 2.0, 3.0], "a is at the lower edge of learning_rate (0.001): try lower before you compare"),
        ([3.0, 2.0, 1.0], "a is at the upper edge of learning_rate (0.1): try higher before you compare"),
        ([3.0, 1.0, 2.0], None),
    ],
)
def test_the_way_to_go_is_that_of_the_edge(scores, words):
    made = grouped(a=[[x, x + 0.1] for x in scores], b=[[4.0, 4.0], [2.0, 2.1], [5.0, 5.0]]).compare()
    assert made.warnings == (() if words is None else (words,))


def test_no_edge_is_said_where_a_number_can_go_no_further_or_has_no_order():
    rates = jopt.geomspace(0.03, 3.0, 3)
    made = swept(
        {
            "a": jopt.sgd(rates, momentum=jopt.choice(0.0, 0.9, 0.99)),  # 0 is best, and nothing lies below it
            "b": jopt.sgd(rates, momentum=0.9, nesterov=jopt.choice(False, True)),
        },
        steps=6,
    )
    assert made["a"].best().setting["momentum"] == 0.0
    assert made.compare().warnings == ()


def test_what_one_seed_begins_with_does_not_hide_which_setting_is_best():
    begin = np.array([1.0, 1.0, 40.0])  # the mean of all scores is above most first losses

    def made(name, better):
        result = scored([begin - x for x in better], name)
        losses = {"loss": np.stack([np.stack([begin, *[begin - x] * 4], -1) for x in better])}
        return jopt.SweepResult(
            _with(result.record, losses=losses), optimizer=name, optimizer_at=result.optimizer_at, params=None, plan="",
            timings=result.timings,
        )  # fmt: skip

    both = GroupedResult({"a": made("a", [0.0, 0.1, 0.2]), "b": made("b", [0.1, 0.3, 0.2])})
    assert both.compare().warnings == ("a is at the upper edge of learning_rate (0.1): try higher before you compare",)
    assert both["a"].suggest().value == pytest.approx(0.1)


# Who chose


def test_where_every_group_chose_all_are_flattered(at_edge):
    assert "Each group is at its own best setting, chosen by these very seeds, which flatters all" in str(at_edge.compare())


def test_where_no_group_chose_nothing_is_flattered_and_the_optimizers_are_named(at_edge, tmp_path):
    again = swept({name: at_edge[name].best().optimizer for name in at_edge}, seeds=range(100, 103))
    told = str(again.compare())
    assert "flatter" not in told
    assert "the only setting" not in told
    assert "adamw(learning_rate=0.001)" in told
    assert "adamw(learning_rate=0.001)" in set(again.compare().to_pandas().setting)
    again.save(tmp_path / "again.jopt")
    loaded = str(load_result(tmp_path / "again.jopt").compare())
    assert "adamw(learning_rate=0.001)" in loaded


def test_where_some_groups_chose_those_are_named_and_so_are_the_others():
    fixed = jopt.SweepResult(
        _with(scored([[2.0, 2.5]], "c").record, dims=(), coords={}, **_of_one([2.0, 2.5])),
        optimizer="c", optimizer_at=lambda index: object(), params=None, plan="", timings=Timings(1.0, 2.0, 3.0, 100),
    )  # fmt: skip
    told = " ".join(str(grouped(a=[[1.0, 1.5], [3.0, 3.5]], b=[[1.0, 1.6], [3.0, 3.5]], c=fixed).compare()).split())
    assert "a and b are at their own best settings, which were chosen by these very seeds" in told
    assert "that flatters a and b beside c, which has one setting only" in told
    assert "flatters all" not in told
    assert "the only setting" in told  # of an optimizer that nobody knows


def _of_one(scores):
    lanes = np.full(2, np.nan)
    losses = {"loss": np.repeat(np.array(scores)[:, None], 5, -1)}
    return {"losses": losses, "diverged_at": lanes, "pruned_at": lanes, "left_at": lanes, "steps_done": np.full(2, 15)}


# Equal steps


def paced(seconds, **scores):
    made = grouped(**scores)
    for (name, result), run_s in zip(made.items(), seconds, strict=True):
        result._timings = Timings(1.0, run_s, run_s + 1.0, 1200)
        assert name
    return made.compare()


def test_the_time_of_a_step_is_that_of_the_runs_beside_the_group_to_compare_with():
    made = paced([2.0, 5.0, 3.0], a=[[1.0, 1.1]], b=[[2.0, 2.1]], c=[[3.0, 3.1]])
    assert made.pace == (
        "Groups are compared at equal steps, not at equal time: a step of b took 2.5, of c 1.5 times as long as one of a "
        "(measured in this sweep, evaluations included)."
    )
    assert made.pace in str(made)


def test_the_time_of_a_step_is_told_of_groups_of_as_many_lanes_only():
    made = paced([2.0, 5.0, 3.0], a=[[1.0, 1.1]], b=[[2.0, 2.1], [3.0, 3.1]], c=[[3.0, 3.1]])
    assert "a step of c took 1.5 times as long as one of a" in made.pace
    assert "of b" not in made.pace


def test_where_a_run_was_too_short_to_tell_the_time_of_a_step_none_is_told():
    for seconds in ([0.02, 5.0], [5.0, 0.02]):
        made = paced(seconds, a=[[1.0, 1.1]], b=[[2.0, 2.1]])
        assert made.pace == "Groups are compared at equal steps, not at equal time."


def test_of_groups_of_unequal_steps_nothing_is_said_of_equal_ones():
    made = grouped(a=[[1.0, 1.1]], b=[[2.0, 2.1]])
    made["b"]._record = _with(made["b"].record, step=made["b"].record.step * 2, steps_done=made["b"].record.steps_done * 2)
    assert made.compare().pace == ""

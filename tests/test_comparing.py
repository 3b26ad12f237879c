"""``result.top(n)`` and ``result.compare()``: settings and optimizers ranked, with intervals over seeds."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

import jopt
from jopt.results import GroupedResult
from tests.test_results_record import record, result


def scored(scores, name="adam", seeds=None):
    """A result whose training losses at the end are `scores` [setting, seed]."""
    scores = np.asarray(scores, float)
    rec = record(scores.mean(-1), seeds=scores.shape[-1])
    losses = {"loss": np.repeat(scores[..., None], 5, -1)}
    seeds = rec.seeds if seeds is None else np.asarray(seeds)
    return result(dataclasses.replace(rec, losses=losses, metrics={}, eval_step=np.zeros(0, int), seeds=seeds), name)


def grouped(**scores):
    return GroupedResult({name: x if isinstance(x, jopt.SweepResult) else scored(x, name) for name, x in scores.items()})


# The best n


def test_the_first_of_the_top_is_the_best_and_the_others_follow():
    made = result(record([[3.0, 1.0], [2.0, 4.0]]))
    top = made.top(3, "loss")
    assert [trial.score for trial in top] == [1.0, 2.0, 3.0]
    assert [trial.index for trial in top] == [(0, 1), (1, 0), (0, 0)]
    assert top[0].setting == made.best("loss").setting
    assert top[1].optimizer.rate == 0.01
    assert [trial.score for trial in made.top(2, "loss", "max")] == [4.0, 3.0]


@settings(max_examples=50, deadline=None)
@given(
    scores=st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan, np.inf]), min_size=1, max_size=4),
    n=st.integers(1, 6),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_keep_the_order_of_the_grid_and_what_is_out_is_not_there(scores, n, mode):
    made = scored(np.array(scores)[:, None])
    sign = 1 if mode == "min" else -1
    fit = [(sign * x, i) for i, x in enumerate(scores) if np.isfinite(x)]
    assert [trial.index[0] for trial in made.top(n, mode=mode)] == [i for _, i in sorted(fit)[:n]]


def test_a_setting_of_which_a_seed_diverged_is_never_among_them():
    made = result(record([1.0, 2.0, 3.0], diverged=[(0, 1)]))
    assert [trial.index for trial in made.top(9, "loss")] == [(1,), (2,)]
    assert result(record([1.0], diverged=[(0, 0)])).top(2, "loss") == []


def test_of_groups_all_settings_are_ranked_together():
    made = grouped(a=[[1.0], [5.0]], b=[[3.0], [1.0]])
    assert [(trial.group, trial.score) for trial in made.top(3)] == [("a", 1.0), ("b", 1.0), ("b", 3.0)]
    assert made.top(1)[0].group == made.best().group == "a"


@pytest.mark.parametrize("n", [0, -1, 2.5, True, None])
def test_how_many_must_be_a_whole_number(n):
    with pytest.raises(ValueError, match="top: n must be a whole number of at least 1"):
        result(record([1.0])).top(n, "loss")


# Comparisons

A = [[9.0, 9.0, 9.0, 9.0], [1.0, 2.0, 3.0, 5.0]]
B = [[2.0, 2.5, 5.0, 6.0], [7.0, 7.0, 7.0, 7.0]]


def test_scores_of_equal_seeds_are_paired_as_scipy_does():
    made = grouped(a=A, b=B).compare()
    assert made.against == "a"
    assert list(made.trials) == ["a", "b"]
    found = made.differences["b"]
    wanted = stats.ttest_rel(B[0], A[1]).confidence_interval(0.95)
    np.testing.assert_allclose(found[:3], [np.mean(B[0]) - np.mean(A[1]), wanted.low, wanted.high], rtol=1e-12)
    assert found.how == "paired over 4 seeds"


def test_pairs_are_made_by_the_seed_and_not_by_its_place():
    shuffled = scored(np.array(B)[:, [2, 0, 3, 1]], "b", seeds=[2, 0, 3, 1])
    assert grouped(a=A, b=shuffled).compare().differences == grouped(a=A, b=B).compare().differences


def test_of_other_seeds_the_interval_is_welchs():
    found = grouped(a=A, b=scored(np.array(B)[:, :3], "b", seeds=[7, 8, 9])).compare().differences["b"]
    wanted = stats.ttest_ind(B[0][:3], A[1], equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(found[:3], [np.mean(B[0][:3]) - np.mean(A[1]), wanted.low, wanted.high], rtol=1e-12)
    assert found.how == "Welch, 3 and 4 seeds"


@settings(max_examples=60, deadline=None)
@given(
    a=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=7),
    shift=st.floats(-10, 10),
    confidence=st.floats(0.5, 0.999),
    seed=st.integers(0, 9),
    paired=st.booleans(),
)
def test_intervals_are_those_of_scipy(a, shift, confidence, seed, paired):
    a = np.array(a)
    assume(np.ptp(a) > 1e-6 * np.abs(a).max())  # of nearly equal ones scipy warns
    b = a + shift + np.random.default_rng(seed).normal(size=len(a))
    seeds = np.arange(len(a)) + (0 if paired else 100)
    made = grouped(a=[a], b=scored([b], "b", seeds)).compare(against="a", confidence=confidence)
    test = stats.ttest_rel(b, a) if paired else stats.ttest_ind(b, a, equal_var=False)
    wanted = test.confidence_interval(confidence)
    found = made.differences["b"]
    np.testing.assert_allclose([found.low, found.high], [wanted.low, wanted.high], rtol=1e-6, atol=1e-6)
    assert found.low <= found.mean <= found.high


def test_where_nothing_varies_the_interval_is_a_point():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = grouped(a=[[1.0, 1.0]], b=[[3.0, 3.0]]).compare().differences["b"]
    assert found[:3] == (2.0, 2.0, 2.0)


def test_with_one_seed_there_is_a_difference_and_no_interval_and_the_table_says_so():
    made = grouped(a=[[1.0]], b=[[3.0]]).compare()
    found = made.differences["b"]
    assert (found.mean, found.how) == (2.0, "one seed: no interval")
    assert np.isnan([found.low, found.high]).all()
    assert "nan" not in str(made).lower()
    assert "one seed: no interval" in str(made)
    assert "seeds=5" in str(made)


def test_the_table_names_the_groups_the_best_first():
    made = grouped(b=B, a=A, c=[[4.0, 4.0, 4.0, 5.0]]).compare()
    lines = str(made).splitlines()
    assert lines[0] == "loss (last tenth of the run), the lower the better; compared with a"
    assert [line.split()[0] for line in lines[3:6]] == ["a", "b", "c"]
    assert "learning_rate=0.01" in lines[3]
    assert "95 % interval" in lines[1]
    assert "paired over 4 seeds" in lines[4]
    assert "flatters" in str(made)
    assert repr(made) == str(made)


def test_where_nothing_was_swept_nothing_was_chosen_by_the_seeds():
    loss = lambda w, batch: ((w - batch) ** 2).sum()  # noqa: E731
    optimizers = {"a": jopt.sgd(0.1), "b": jopt.sgd(0.2)}
    init, data = (lambda key: jax.random.normal(key, (2,))), jnp.ones((4, 2))
    made = jopt.sweep(loss, init, optimizers, data, steps=2, seeds=3, progress=False)
    assert "paired over 3 seeds" in str(made.compare())
    assert "flatters" not in str(made.compare())


def test_any_group_may_be_the_one_to_compare_with():
    made = grouped(a=A, b=B).compare(against="b", confidence=0.9)
    assert list(made.differences) == ["a"]
    assert made.differences["a"].mean == pytest.approx(np.mean(A[1]) - np.mean(B[0]))
    assert "90 % interval" in str(made)


def test_where_high_is_good_the_highest_stands_first():
    made = grouped(a=A, b=B).compare(mode="max")
    assert (made.against, made.trials["a"].score) == ("a", 9.0)
    assert made.differences["b"].mean == -2.0
    assert "the higher the better" in str(made)


def test_a_group_without_a_best_setting_is_named_as_such():
    made = grouped(a=A, lost=[[np.nan] * 4]).compare()
    assert made.missing == ("lost",)
    assert made.differences == {}
    assert "lost   none" in str(made)


def test_a_notebook_shows_a_table_and_names_are_escaped():
    shown = grouped(**{"<a>": A, "b": B}).compare()._repr_html_()
    assert shown.count("<tr>") == 3
    assert "&lt;a&gt;" in shown
    assert "<a>" not in shown


def test_the_comparison_as_a_frame():
    frame = grouped(a=A, b=B).compare().to_pandas()
    assert list(frame.group) == ["a", "b"]
    assert list(frame.seeds) == [4, 4]
    assert frame.difference.tolist() == [0.0, pytest.approx(1.125)]
    assert np.isnan(frame.low[0])
    assert frame.low[1] < 1.125 < frame.high[1]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"against": "c"}, "against must be a group, one of a, b, but is 'c'"),
        ({"confidence": 95}, "confidence must be a number in .0, 1., but got 95"),
        ({"against": "b"}, "No setting of b is best"),
        ({"metric": "error"}, "There is no metric 'error'"),
    ],
)
def test_a_wrong_comparison_is_refused_in_a_sentence(kwargs, words):
    with pytest.raises(ValueError, match=words):
        grouped(a=A, b=[[np.nan] * 4]).compare(**kwargs)


def test_where_no_group_has_a_best_setting_the_error_says_why():
    with pytest.raises(ValueError, match="No setting of a, b is best"):
        grouped(a=[[np.nan] * 2], b=[[np.inf] * 2]).compare()


def test_a_sweep_of_groups_over_seeds_is_compared_by_paired_scores():
    rates = jopt.choice(0.05, 0.2)
    made = jopt.sweep(
        lambda w, x: ((w - x) ** 2).mean(),
        lambda key: jax.random.normal(key, ()),
        {"sgd": jopt.sgd(rates), "adam": jopt.adam(rates)},
        jnp.arange(8.0) / 8,
        steps=20,
        batch_size=2,
        seeds=4,
        progress=False,
    )
    compared = made.compare()
    (name,) = compared.differences
    best, other = made[compared.against].best().scores, made[name].best().scores
    wanted = stats.ttest_rel(other, best).confidence_interval(0.95)
    np.testing.assert_allclose(compared.differences[name][1:3], [wanted.low, wanted.high], rtol=1e-9)

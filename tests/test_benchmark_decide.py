"""The parts of ``python -m benchmarks decide`` in the small."""

import dataclasses
import math

import numpy as np
import pytest

import jopt

pytest.importorskip("sklearn")

from benchmarks import common, decide, tables
from benchmarks.deciding import by_hand, figures, problems, replays, rivals, truth


@pytest.fixture(autouse=True)
def _no_preparations(monkeypatch):
    """What only timing needs: memory that was written to, nothing compiled."""
    monkeypatch.setattr(common, "warm_memory", lambda most=0: None)
    monkeypatch.setattr(common, "forget_compiled", lambda: None)


@pytest.fixture(scope="module")
def small():
    return problems.all_problems()[0].small()


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    truth.find([small], out)
    return out


@pytest.fixture(scope="module")
def found(small, folder):
    return truth.known(small, folder)


WARM = dict.fromkeys(("full sweep", "auto", "ratio", "lane_steps"), 1.0)


def valley(noise=0.0, seeds=8, wall=None):
    """A truth whose loss is a parabola in the logarithms of rate and loss, 0.1 at a rate of 0.01."""
    rates = 1e-4 * 10 ** (np.arange(problems.RATES) / problems.PER_DECADE)
    random = np.random.default_rng(0)
    logs = np.log(0.1) + 0.2 * np.log(rates / 0.01)[:, None] ** 2 + noise * random.normal(size=(len(rates), seeds))
    fall = np.linspace(1.0, 0.0, truth.POINTS + 1)[1:]
    losses = np.exp(np.minimum(logs, 0.7)[..., None] * (1 - fall) + 0.7 * fall)
    diverged = np.full((len(rates), seeds), np.nan)
    if wall is not None:
        losses[rates > wall], diverged[rates > wall] = np.nan, 0.05
    return truth.Truth(rates, losses, diverged, math.exp(0.7), 1800)


def test_there_are_eight_problems_one_of_them_twice_with_another_schedule():
    every = problems.all_problems()
    assert len({problem.slug for problem in every}) == len(every) == 8
    assert [problem.name for problem in every if not problem.decays] == ["MLP, constant"]
    assert all(problem.steps % 180 == 0 and len(problem.swept) == 28 for problem in every)


def test_the_best_rate_of_a_parabola_is_its_vertex_and_excess_is_relative():
    seen = valley()
    assert seen.best.rate == pytest.approx(0.01, rel=0.01)
    assert seen.excess(seen.best.rate) == pytest.approx(0.0, abs=0.01)
    expected = seen.scores[30].mean() / seen.scores.mean(axis=1).min() - 1
    assert seen.excess(seen.rates[30]) == pytest.approx(expected, rel=0.2)  # smoothing lifts the floor of a valley a little


def test_a_wall_of_divergence_stays_where_it_is():
    seen = valley(wall=0.02)
    beyond = seen.rates > 0.02
    np.testing.assert_allclose(np.exp(seen.heights[beyond]), seen.before)
    last = int(np.argmax(beyond)) - 1
    assert seen.excess(seen.rates[last]) < 0.3
    assert seen.excess(seen.rates[last + 1]) > 5


def test_a_truth_comes_back_from_its_file_and_another_problems_does_not(small, folder, found):
    assert found.losses.shape == (problems.RATES, problems.SWEPT_SEEDS, truth.POINTS)
    whole = truth.measure(small)
    np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-3)
    np.testing.assert_array_equal(found.diverged, whole.diverged)
    assert truth.known(dataclasses.replace(small, steps=360), folder) is None


@pytest.mark.parametrize("name", ["auto", "SuccessiveHalving", "Hyperband", "MedianStop"])
def test_a_replay_keeps_what_the_sweep_keeps(small, found, name):
    result = rivals.swept(small, rivals.PRUNERS[name])
    settings, seeds = replays.grids()[0], range(problems.SWEPT_SEEDS)
    pruner = jopt.TopFraction() if name == "auto" else rivals.PRUNERS[name]
    played = replays.play(found, pruner, settings, seeds)
    kept = ~(result.record.pruned | result.record.diverged).any(axis=-1)
    np.testing.assert_array_equal(np.isfinite(played.scores).all(axis=1), kept)
    assert small.swept[int(np.argmin(played.scores.mean(axis=1)))] == pytest.approx(result.best().setting["init_value"])


def test_one_look_takes_a_third_of_the_steps_and_keeps_the_best_of_clear_curves():
    seen = valley(noise=0.01)
    found = replays.of_pruner(seen, jopt.TopFraction())
    assert np.mean(found["steps"]) == pytest.approx(1 / 3, abs=0.03)
    assert np.mean(found["same"]) == 1.0
    assert np.mean(found["regret"]) == 0.0


def test_suggestions_hold_the_best_rate_of_a_clear_curve():
    for spacing in replays.SPACINGS.values():
        rows = list(replays.of_suggestions(valley(noise=0.02), spacing, 3))
        assert np.mean([row["inside"] for row in rows]) >= 0.9
        assert np.mean([row["width"] for row in rows]) <= 1.7
        assert np.mean([row["excess"] for row in rows]) <= np.mean([row["argmin"] for row in rows]) + 0.005


def test_a_recommendation_has_settled_when_none_behind_it_is_worse():
    seen = valley()
    good, bad = 0.01, 0.1
    assert figures.settled([(1, bad), (2, good), (3, bad), (4, good), (5, good)], seen) == 4
    assert figures.settled([(1, good), (2, bad)], seen) is None
    assert figures.settled([], seen) is None
    runs = [figures.judged({"trace": [[time, rate]]}, seen) for time, rate in ((1.0, good), (2.0, bad), (3.0, good))]
    assert figures.median_settled(runs) == 3.0
    assert figures.median_settled(runs[1:2]) == math.inf


def test_a_trace_keeps_changes_only():
    assert figures.changes([(1, 0.1), (2, 0.1), (3, 0.2), (4, 0.1)]) == [[1, 0.1], [3, 0.2], [4, 0.1]]


def test_a_lane_by_hand_is_trained_as_a_sweep_trains_it(small):
    rate = float(small.swept[14])
    losses = list(by_hand.train(small, rate, 0, by_hand.jitted(small)))
    assert len(losses) == problems.LOOKS
    swept = truth.tenth(truth.measure(small).losses, truth.POINTS)[28].mean()
    assert losses[-1] == pytest.approx(swept, rel=0.5)  # other batches


def test_an_epoch_has_every_example_once():
    rows = by_hand.shuffled(50, 8, 20, seed=0)
    assert rows.shape == (20, 8)
    assert len(set(rows[:6].ravel().tolist())) == 48


def test_optuna_recommends_within_its_budget(small):
    pytest.importorskip("optuna")
    trace = rivals.RIVALS["Optuna, Hyperband"](small, 0, 3.0)
    assert trace
    assert all(small.low <= rate <= small.high for _, rate in trace)


def test_an_interrupted_benchmark_goes_on_where_it_stopped(small, folder, monkeypatch, capsys):
    calls = []

    def fake(problem, repeat, budget):
        if problem.name == "broken":
            raise ValueError("too bad")
        calls.append(repeat)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return [(0.5, problem.low), (1.0, float(problem.swept[14]))]

    monkeypatch.setattr(decide, "problems", lambda quick, only=(): [small])
    monkeypatch.setattr(rivals, "RIVALS", {"full sweep": fake, "auto": fake})
    monkeypatch.setattr(decide, "warm", lambda problem, times: WARM)
    with pytest.raises(KeyboardInterrupt):
        decide.main(False, folder, 2)
    assert "4 runs are left" in capsys.readouterr().err
    path = decide.main(False, folder, 2)
    assert calls == [0, 1, 1, 0, 1]
    (row,) = common.load(path)["rows"]
    assert [len(runs) for runs in row["rivals"].values()] == [2, 2]
    decide.main(False, folder, 2)
    assert len(calls) == 5
    assert "Nothing is left" in capsys.readouterr().err
    assert small.name in tables.decide(common.load(path))


def test_a_rival_that_can_not_run_says_why(small, found, monkeypatch):
    monkeypatch.setitem(rivals.RIVALS, "broken", lambda problem, repeat, budget: 1 / 0)
    assert "ZeroDivisionError" in decide.run_rival(small, found, "broken", 0, 1.0)["why"]
    monkeypatch.setitem(rivals.NEEDED, "broken", "no_such_library")
    assert decide.run_rival(small, found, "broken", 0, 1.0)["why"] == "no_such_library is not installed"

"""The examples run, find what they say, and leave a picture each."""

import importlib
import itertools
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import jopt

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("plotly")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def _run(name, folder, kinds=(".png",), **size):
    """What the example's main returns at a small size; one picture must lie in the folder, or a file of each kind."""
    made = importlib.import_module(f"examples.{name}").main(out=folder, **size)
    assert {path.name for path in folder.iterdir()} == {name + kind for kind in kinds}
    return made


def test_sigmoid_finds_the_lectures_gradient_by_hand_and_by_jax(tmp_path, capsys):
    by_hand, by_jax = _run("sigmoid", tmp_path, steps=2)
    np.testing.assert_allclose(by_hand, [-0.1966, -0.3932, 0.1966], atol=5e-5)
    np.testing.assert_allclose(by_jax, by_hand, rtol=1e-6)  # float32 against float64
    assert "0.7311" in capsys.readouterr().out
    made = importlib.import_module("examples.sigmoid")
    values = made.forward(made.W, made.X)
    drawn = {text.get_text() for text in made.draw(values, made.backward(made.W, made.X, values)).axes[0].texts}
    assert {f"{name} = {formula}" for name, formula in made.FORMULAS.items()} <= drawn  # the rows of the table


def test_momentum_ends_lower_in_the_valley_than_gradient_descent(tmp_path):
    result = _run("momentum_paths", tmp_path, steps=40)
    plain, momentum = (result[name].dataset.isel(seed=0) for name in ("gradient descent", "momentum"))
    assert momentum.loss[-1] < 0.1 * plain.loss[-1]
    np.testing.assert_allclose([plain.x[0], plain.y[0]], [-4.0, 1.2], rtol=1e-6)


def test_the_lowest_of_six_rates_is_too_low(tmp_path, capsys):
    result = _run("learning_rates_too_low_and_too_high", tmp_path, steps=40, seeds=2)
    final = result.dataset.val_loss.isel(eval_step=-1).mean("seed")
    assert dict(final.sizes) == {"learning_rate": 6}
    assert final[0] > 2 * final.min()
    assert capsys.readouterr().out.count("too low") >= 1


def test_the_main_job_reports_the_best_rate_of_each_optimizer(tmp_path, capsys):
    result = _run("learning_rate_sweep", tmp_path, (".png", ".html"), rates=3, steps=20, seeds=2)
    lines = capsys.readouterr().out.splitlines()
    assert list(result) == ["gradient descent", "momentum", "RMSProp", "Adam"]
    for name, group in result.items():
        assert group.dataset.val_loss.shape == (3, 2, 21)  # one of them before the first step
        rate = f"{group.best('val_loss').setting['learning_rate']:.2g}"
        assert [line for line in lines if line.startswith(f"{name:<18}{rate} ")], name


def test_the_table_in_the_readme_is_what_the_main_job_prints(tmp_path, capsys):
    _run("learning_rate_sweep", tmp_path, (".png", ".html"))
    printed = capsys.readouterr().out
    table = re.search(
        r"and prints\n\n```text\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert printed.startswith(table[1])


def test_each_optimizer_is_compared_at_its_own_best_rate(tmp_path, capsys):
    result = _run("optimizers_compared", tmp_path, steps=20, seeds=2)
    printed = capsys.readouterr().out
    for name, group in result.items():
        best = group.best("val_loss")
        assert f"{best.score:.3f} +/- {best.spread:.3f} at {best.setting['learning_rate']:g}" in printed, name


def test_the_rate_is_divided_where_the_accuracy_settles(tmp_path, capsys):
    pytest.importorskip("mlxtend")
    result, drops = _run("divide_on_a_plateau", tmp_path, examples=200, epochs=5, patience=0)
    divided, constant = result.dataset.loss.isel(seed=0).values
    assert divided.shape == (5 * 5,)
    assert drops
    first = min(drops) * 5
    np.testing.assert_array_equal(divided[:first], constant[:first])
    assert (divided[first + 1 :] != constant[first + 1 :]).all()
    printed = capsys.readouterr().out
    assert all(
        f"after epoch {epoch:>2} the accuracy has settled: the rate falls to {rate:.1g}" in printed
        for epoch, rate in drops.items()
    )


def test_every_optimizer_of_the_catalogue_is_ranked_at_its_own_best_rate(tmp_path, capsys):
    pytest.importorskip("mlxtend")
    which = importlib.import_module("examples.which_optimizer")
    assert [row.name for row in jopt.catalogue()] == which.ALL
    results = _run("which_optimizer", tmp_path, names=["sgd", "adamw"], steps=12, seeds=2, examples=300)
    printed = capsys.readouterr().out
    assert {name: list(found) for name, found in results.items()} == {"MLP": ["sgd", "adamw"], "CNN": ["sgd", "adamw"]}
    for found in results.values():
        for rate, values in found.values():
            assert values.shape == (2,)
            assert f"{values.mean():.4f} +/- {values.std(ddof=1):.4f}" in printed
            assert f" {rate:.2g}" in printed


def test_what_is_ranked_is_set_up_as_its_docstring_advises():
    pytest.importorskip("mlxtend")
    which = importlib.import_module("examples.which_optimizer")
    made = {name: which.optimizer(name, 400, 0.02, adamw_rate=0.003) for name in which.ALL}
    assert {name for name, opt in made.items() if opt.hyperparams["learning_rate"] == 0.02} == {
        "schedule_free_sgd",
        "schedule_free_adamw",
    }
    for name, init, head in (("muon", which.mlp, (32, 10)), ("normuon", which.cnn, (144, 10))):
        assert made[name].hyperparams["adam_learning_rate"]["init_value"] == 0.003
        state = jax.eval_shape(lambda key, init=init, name=name: made[name].init(init(key)), jax.random.key(0))
        matrices, others = ({leaf.shape for leaf in jax.tree.leaves(part)} for part in state)
        assert head not in matrices
        assert head in others


def test_rates_move_on_until_the_best_has_a_worse_one_on_both_sides(monkeypatch):
    pytest.importorskip("mlxtend")
    which = importlib.import_module("examples.which_optimizer")
    bests, seen = {"low": -9, "middle": -2, "high": 5, "hopeless": None}, []

    def losses(problem, makers, windows, steps, seeds):
        seen.append(dict(windows))
        near = {name: range(first, first + which.WIDTH) for name, first in windows.items()}
        return {
            name: {k: np.array([np.inf if bests[name] is None else 1.0 + abs(k - bests[name])]) for k in rates}
            for name, rates in near.items()
        }

    monkeypatch.setattr(which, "losses", losses)
    found = which.tuned(None, bests, 1, 1)
    assert {name: round(2 * np.log10(rate)) for name, (rate, _) in found.items() if name != "hopeless"} == {
        "low": -9,
        "middle": -2,
        "high": 5,
    }
    assert list(seen[1]) == ["low", "hopeless", "high"]
    assert len(seen) == 1 + which.MOVES


def test_tuning_the_optimizer_lowers_the_loss_after_training(tmp_path):
    path = _run("hypergradient", tmp_path, inner_steps=10, outer_steps=5)
    assert all(later < earlier for earlier, later in itertools.pairwise(path[:, 2]))


def test_every_example_is_in_the_list():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f"({path.name})" not in listed] == []


def test_slices_train_each_lane_once_and_the_last_has_all(tmp_path, capsys):
    slices = importlib.import_module("examples.slices")
    first, again = slices.main(out=str(tmp_path), steps=40, rates=3)
    assert (first.complete, again.complete) == (False, True)
    assert first.timings.lane_steps == 2 * 40
    assert 0 < again.timings.lane_steps < 40
    printed = capsys.readouterr().out
    assert printed.count("to be continued") == 1
    assert "slice-1-of-2" in printed


def test_resume_a_sweep_trains_nothing_twice(tmp_path):
    whole, more = importlib.import_module("examples.resume_a_sweep").main(out=str(tmp_path), steps=40, rates=3)
    assert 0 < whole.timings.lane_steps < 3 * 40
    assert more.timings.lane_steps == 3 * 40

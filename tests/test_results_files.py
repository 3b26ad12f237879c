"""Results: a file gives back what was saved, and says so where it cannot."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jopt.results import GroupedResult, SweepResult, Timings, load_result
from tests.test_results_record import Optimizer, grouped, record, result


def roundtrip(made, path):
    made.save(path)
    return load_result(path)


def remade(made, **changes):
    """A result with some of its parts exchanged."""
    parts = {
        "optimizer": made.optimizer,
        "optimizer_at": made.optimizer_at,
        "params": made.params,
        "plan": made.plan,
        "timings": made.timings,
    }
    return SweepResult(made.record, **{**parts, **changes})


def test_a_loaded_result_equals_the_saved_one(tmp_path):
    made = result(record([[4.0, 1.0, 2.0], [3.0, 5.0, 6.0]], noise=0.5, diverged=[(1, 2, 0)]))
    back = roundtrip(made, tmp_path / "a.sweep")
    assert back.dataset.identical(made.dataset)
    assert back.optimizer == made.optimizer
    assert back.timings == Timings(1.0, 2.0, 3.5, 1000)
    assert (back.plan, repr(back)) == (made.plan, repr(made))
    jax.tree.map(np.testing.assert_array_equal, back.params, made.params)


def test_the_best_of_a_loaded_result_is_the_same_trial(tmp_path):
    made = result(record([4.0, 1.0, 2.0], noise=0.5))
    back, was = roundtrip(made, tmp_path / "a").best("loss"), made.best("loss")
    assert (back.setting, back.score, back.index) == (was.setting, was.score, was.index)
    assert back.optimizer == Optimizer(0.01)
    jax.tree.map(np.testing.assert_array_equal, back.params, was.params)


def test_a_result_of_one_setting_comes_back(tmp_path):
    back = roundtrip(result(record(np.array(0.25), seeds=1)), tmp_path / "a")
    assert back.best("loss").optimizer == Optimizer(0.0)


def test_groups_come_back_as_groups(tmp_path):
    made = grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0])
    back = roundtrip(made, tmp_path / "a")
    assert isinstance(back, GroupedResult)
    assert back.dataset.identical(made.dataset)
    assert (back.best("loss").group, back.best("loss").score) == ("adam", 1.0)


def test_the_file_is_named_exactly_as_asked(tmp_path):
    result(record([1.0])).save(tmp_path / "plain")
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_bfloat16_and_none_leaves_come_back(tmp_path):
    leaf = np.asarray(jnp.arange(4, dtype=jnp.bfloat16)).reshape(2, 2)
    made = remade(result(record([1.0, 2.0])), params={"w": (leaf, None), "z": np.zeros((2, 2, 0))})
    back = roundtrip(made, tmp_path / "a").params
    assert back["w"][0].dtype == jnp.bfloat16
    np.testing.assert_array_equal(back["w"][0], leaf)
    assert back["w"][1] is None
    assert back["z"].shape == (2, 2, 0)


def test_metric_names_may_hold_anything(tmp_path):
    rec = record([1.0, 2.0])
    rec.metrics["file/../x"] = rec.metrics.pop("accuracy")
    back = roundtrip(result(rec), tmp_path / "a")
    assert back.best("file/../x").score == result(rec).best("file/../x").score


def test_an_optimizer_that_cannot_be_pickled_is_missed_only_when_used(tmp_path):
    made = result(record([4.0, 1.0]))
    made = remade(made, optimizer=lambda: 0, optimizer_at=lambda index: lambda: index)
    back = roundtrip(made, tmp_path / "a")
    assert back.best("loss").setting == {"learning_rate": 0.01}
    assert back.best("loss").params["w"].shape == (3,)
    assert back.dataset.identical(made.dataset)
    for use in (lambda: back.optimizer, lambda: back.best("loss").optimizer):
        with pytest.raises(ValueError, match=r"the optimizer could not be saved: .*module"):
            use()


def test_a_class_that_is_gone_is_missed_only_when_used(tmp_path, monkeypatch):
    result(record([4.0, 1.0])).save(tmp_path / "a")
    monkeypatch.delattr("tests.test_results_record.Optimizer")
    back = load_result(tmp_path / "a")
    assert back.best("loss").score == 1.0
    with pytest.raises(ValueError, match="could not be read back: AttributeError"):
        _ = back.best("loss").optimizer


def damaged(path, kind):
    whole = path.read_bytes()
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("epoch,loss\n1,0.5\n")
    elif kind == "altered":
        path.write_bytes(whole.replace(b'"dims"', b'"dimz"'))
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "other archive":
        with path.open("wb") as file:
            np.savez(file, weights=np.zeros(3))
    else:
        manifest = json.dumps({"format": "jopt sweep result", "version": 99, "groups": {}})
        with path.open("wb") as file:
            np.savez(file, manifest=np.frombuffer(manifest.encode(), np.uint8))


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "altered", "npy", "other archive", "newer version"])
def test_a_damaged_or_foreign_file_is_an_error_that_names_it(tmp_path, kind):
    path = tmp_path / "some.sweep"
    result(record([1.0, 2.0])).save(path)
    damaged(path, kind)
    with pytest.raises(ValueError, match=r"some\.sweep' is damaged or not a result"):
        load_result(path)


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_result(tmp_path / "none")

"""Results: a file or a pickle gives back what was saved, and says so where it cannot."""

import copy
import json
import os
import pathlib
import pickle
import threading
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
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
        with pytest.raises(ValueError, match=r"The optimizer could not be saved: .*module"):
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


def altered(path, change):
    """Saves a result whose list of contents, a text, is what `change` makes of the right one; the checksums fit."""
    result(record([1.0, 2.0])).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    text = change(arrays["manifest"].tobytes().decode())
    with path.open("wb") as file:
        np.savez(file, **{**arrays, "manifest": np.frombuffer(text.encode(), np.uint8)})


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000 + "]" * 100_000, "9" * 5_000, "[]", "null", "{}", '{"format": "jopt sweep result", "version": []}', ""],
    ids=["nested", "long", "list", "null", "empty", "version", "nothing"],
)
def test_contents_that_are_no_contents_are_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "some.sweep"
    altered(path, lambda contents: text)
    with pytest.raises(ValueError, match=r"some\.sweep' is damaged or not a result"):
        load_result(path)


WRONG_KINDS = {
    "groups": [[], {}, {"": 3}, {"": {}}, None],
    "groups//plan": [3, None],
    "groups//version": [None],
    "groups//description": [["adam"]],
    "groups//timings": [{"total_s": 1.0}, "1 s"],
    "groups//timings/run_s": [10**400, [], "long"],  # the first is more than a float holds
    "groups//timings/lane_steps": [1.5, "many"],
    "groups//params": [{"a0": 1}, ["a0"], 5, {}],
    "groups//params/leaves": [{"a0": 1}, ["a0"], 5],
    "groups//state": [None, {}],
    "groups//by_step": ["yes"],
    "groups//key_kinds": [5, "fry"],
    "groups//optimizer": ["sgd", {"missing": 7}, {}],
    "groups//record/keep": ["all", None],
    "groups//record/first": [1.5],
    "groups//record/sweep_seed": ["0"],
    "groups//record/complete": ["yes"],
    "groups//record/dims": ["learning_rate", [None], []],
    "groups//record/along": [{"learning_rate": []}, [1]],
    "groups//record/plain": [{}, []],
    "groups//record/losses": [{"loss": {"key": "a1000", "dtype": "float64"}}, [[]]],
}


@pytest.mark.parametrize(("where", "value"), [(where, value) for where, values in WRONG_KINDS.items() for value in values])
def test_contents_of_the_wrong_kind_are_an_error_that_names_the_file(tmp_path, where, value):
    path, keys = tmp_path / "some.sweep", where.split("/")

    def change(text):
        manifest = inner = json.loads(text)
        for key in keys[:-1]:
            inner = inner[key]
        assert keys[-1] in inner
        inner[keys[-1]] = value
        return json.dumps(manifest)

    altered(path, change)
    with pytest.raises(ValueError, match=r"some\.sweep' is damaged or not a result"):
        load_result(path)


@pytest.mark.parametrize("shape", [(2**45,), (2**62, 2**62), (-1,), (10**30,)])
def test_an_absurd_size_in_a_file_is_an_error_that_names_it(tmp_path, shape):
    path = tmp_path / "some.sweep"
    with zipfile.ZipFile(path, "w") as archive, archive.open("manifest.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    with pytest.raises(ValueError, match=r"some\.sweep' is damaged or not a result"):
        load_result(path)


def mutations(whole, count):
    """Some files that differ from a whole one by a flipped bit, a cut, foreign bytes, or missing ones."""
    random = np.random.default_rng(0)
    for k in range(count):
        at, length = int(random.integers(len(whole))), int(random.integers(1, 40))
        flipped = bytes([whole[at] ^ (1 << int(random.integers(8)))])
        yield [
            whole[:at] + flipped + whole[at + 1 :],
            whole[:at] + random.bytes(length) + whole[at + length :],
            whole[:at] + whole[at + length :],
            whole[:at],
        ][k % 4]


def contents(made):
    """All that a file holds, the pickles as bytes."""
    groups = made if isinstance(made, GroupedResult) else {"": made}
    return {
        name: (repr(each), each.dataset.to_dict(), [pickle.dumps(part) for part in vars(each._stored()).values()])
        for name, each in groups.items()
    }


def test_a_damaged_file_is_an_error_or_gives_back_all_that_was_saved(tmp_path):
    path = tmp_path / "some.sweep"
    grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0]).save(path)
    whole, expected, errors = path.read_bytes(), repr(contents(load_result(path))), 0
    for damaged_bytes in mutations(whole, 400):
        path.write_bytes(damaged_bytes)
        try:
            back = load_result(path)
        except ValueError as error:
            errors += 1
            assert "some.sweep' is damaged" in str(error)  # noqa: PT017  # most fail, some harmless ones do not
        else:
            assert repr(contents(back)) == expected
    assert errors > 300


def test_an_array_that_is_longer_than_its_header_says_is_damage(tmp_path):
    path = tmp_path / "some.sweep"
    made = remade(result(record([1.0, 2.0])), params={"w": np.arange(4.0).reshape(2, 2), "b": np.ones((2, 2))})
    made.save(path)
    path.write_bytes(path.read_bytes().replace(b"'shape': (2, 2), ", b"'shape': (2, 1), "))
    with pytest.raises(ValueError, match=r"some\.sweep' is damaged"):
        load_result(path)


@pytest.mark.parametrize("kind", [str, os.fsencode, pathlib.Path])
def test_a_file_may_be_named_by_text_bytes_or_a_path(tmp_path, kind):
    path = kind(tmp_path / "a.sweep")
    result(record([1.0, 2.0])).save(path)
    assert load_result(path).best("loss").score == 1.0
    assert os.listdir(tmp_path) == ["a.sweep"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    result(record([1.0])).save(tmp_path / ("a" * 255))
    assert load_result(tmp_path / ("a" * 255)).best("loss").score == 1.0


def test_a_link_stays_a_link_to_what_is_saved(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    result(record([1.0])).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_result(tmp_path / "file").best("loss").score == 1.0


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such directory.*gone'"):
        result(record([1.0])).save(tmp_path / "gone" / "a")


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt(), SystemExit()])
def test_a_save_that_fails_leaves_the_file_as_it_was_and_none_beside_it(tmp_path, monkeypatch, error):
    path = tmp_path / "a"
    result(record([1.0])).save(path)
    before = path.read_bytes()

    def savez(file, **kwargs):
        file.write(b"half of")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", savez)
        with pytest.raises(type(error)):
            result(record([2.0])).save(path)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["a"], before)


def test_a_save_over_a_directory_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="irectory"):
        result(record([1.0])).save(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


def test_threads_may_save_under_one_name_while_others_load_it(tmp_path):
    path, results, wrong = tmp_path / "a", [result(record([float(k)])) for k in range(4)], []
    results[0].save(path)

    def attempt(action):
        try:
            for _ in range(20):
                action()
        except BaseException as error:
            wrong.append(error)

    def load():
        if load_result(path).best("loss").score not in range(4):
            wrong.append("another score")

    saves = [lambda made=made: made.save(path) for made in results]
    threads = [threading.Thread(target=attempt, args=(action,)) for action in (*saves, load, load)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert os.listdir(tmp_path) == ["a"]


def swept(optimizer, **options):
    start = {"a": jnp.ones(3), "b": (jnp.float32(2), None)}
    options = {"steps": 4, "seeds": 2, "progress": False, **options}
    return jopt.sweep(lambda w, _: jnp.sum(w["a"] ** 2) + w["b"][0] ** 2, start, optimizer, **options)


def pickled(made):
    return pickle.loads(pickle.dumps(made))


RATES = jopt.choice(0.1, 0.2)


@pytest.mark.parametrize("again", [pickled, copy.deepcopy, copy.copy])
@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        jopt.sgd(RATES),
        jopt.chain(jopt.clip(1.0), jopt.adam(jopt.cosine_decay_schedule(RATES, 10))),
        {"sgd": jopt.sgd(RATES), "adam": jopt.adam(RATES)},
    ],
    ids=["one", "chain", "groups"],
)
def test_a_result_can_be_pickled_and_copied(optimizer, looked_at, again):
    made = swept(optimizer)
    if looked_at:
        _ = made.dataset, made.best(), repr(made)
    back = again(made)
    assert type(back) is type(made)
    assert back.dataset.identical(made.dataset)
    assert (repr(back), back.plan, back.timings) == (repr(made), made.plan, made.timings)
    assert back.best().hyperparams == made.best().hyperparams
    jax.tree.map(np.testing.assert_array_equal, back.params, made.params)
    jax.tree.map(np.testing.assert_array_equal, back.best().params, made.best().params)


@pytest.mark.parametrize("again", [pickled, copy.deepcopy, copy.copy])
def test_a_trial_can_be_pickled_and_copied(again):
    trial = swept({"sgd": jopt.sgd(RATES), "adam": jopt.adam(RATES)}).best()
    back = again(trial)
    assert repr(back) == repr(trial)
    assert (back.group, back.setting, back.hyperparams) == (trial.group, trial.setting, trial.hyperparams)
    jax.tree.map(np.testing.assert_array_equal, back.params, trial.params)


@pytest.mark.parametrize("again", [pickled, copy.deepcopy, copy.copy])
def test_a_loaded_result_can_be_pickled_copied_and_saved_again(tmp_path, again):
    made = swept({"sgd": jopt.sgd(RATES), "adam": jopt.adam(RATES)})
    made.save(tmp_path / "a")
    back = again(load_result(tmp_path / "a"))
    back.save(tmp_path / "b")
    for each in (back, load_result(tmp_path / "b"), pickled(load_result(tmp_path / "b").best()).result):
        assert repr(each).startswith(("SweepResult", "GroupedResult"))
    assert load_result(tmp_path / "b").dataset.identical(made.dataset)
    assert load_result(tmp_path / "b").best().optimizer == made.best().optimizer


def test_a_pickle_lacks_only_an_optimizer_that_has_none_and_a_copy_has_it():
    made = swept(optax.sgd(0.1))  # a pair of local functions
    back = pickled(made)
    assert back.dataset.identical(made.dataset)
    jax.tree.map(np.testing.assert_array_equal, back.best().params, made.best().params)
    with pytest.raises(ValueError, match="The optimizer could not be saved"):
        _ = back.optimizer
    for copied in (copy.copy(made), copy.deepcopy(made)):
        assert copied.best().optimizer.init(1.0) == made.best().optimizer.init(1.0)


def test_a_deep_copy_shares_no_array_with_the_original():
    made = swept(jopt.sgd(RATES))
    back = copy.deepcopy(made)
    before = made.params["a"].copy()
    back.params["a"][...] = 99.0
    back.record.losses["loss"][...] = 99.0
    np.testing.assert_array_equal(made.params["a"], before)
    assert made.record.losses["loss"].max() != 99.0
    assert back.dataset.loss.max() == 99.0


def test_a_loaded_result_whose_classes_are_gone_can_be_saved_again(tmp_path, monkeypatch):
    result(record([4.0, 1.0])).save(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.delattr("tests.test_results_record.Optimizer")
        pickled(load_result(tmp_path / "a")).save(tmp_path / "b")
    assert load_result(tmp_path / "b").best("loss").optimizer == Optimizer(0.01)


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_result(tmp_path / "none")

"""Results: a file or a pickle gives back what was saved, and says so where it cannot."""

import copy
import os
import pathlib
import pickle
import sqlite3
import subprocess
import sys
import threading
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.engine.lanes.store.database import Database
from jopt.results import GroupedResult, SweepResult, Timings, load_result
from tests.test_results_record import RATES as GRID
from tests.test_results_record import Optimizer, grouped, record
from tests.test_results_record import result as made_by_hand
from tests.test_store import DIES


def result(rec):
    """A result whose settings are optimizers that a file can name."""
    made = made_by_hand(rec)
    return remade(made, optimizer=jopt.adam(0.1), optimizer_at=lambda index: jopt.adam(float(GRID[index[0]]) if index else 0.0))


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
    assert back.optimizer == jopt.adam(0.01)
    jax.tree.map(np.testing.assert_array_equal, back.params, was.params)


def test_a_result_of_one_setting_comes_back(tmp_path):
    back = roundtrip(result(record(np.array(0.25), seeds=1)), tmp_path / "a")
    assert back.best("loss").optimizer == jopt.adam(0.0)


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


def test_an_optimizer_that_has_no_name_is_missed_only_when_it_is_used(tmp_path):
    made = result(record([4.0, 1.0]))
    made = remade(made, optimizer=lambda: 0, optimizer_at=lambda index: lambda: index)
    back = roundtrip(made, tmp_path / "a")
    assert back.best("loss").setting == {"learning_rate": 0.01}
    assert back.best("loss").params["w"].shape == (3,)
    np.testing.assert_array_equal(back.dataset.loss, made.dataset.loss)
    for missed in (back.optimizer, back.best("loss").optimizer):
        with pytest.raises(ValueError, match=r"<lambda> was not stored"):
            missed()


def test_an_object_that_is_no_optimizer_comes_back_as_its_words(tmp_path):
    back = roundtrip(
        remade(result(record([1.0])), optimizer=Optimizer(0.5), optimizer_at=lambda _: Optimizer(0.5)), tmp_path / "a"
    )
    assert repr(back.optimizer) == repr(back.best("loss").optimizer) == repr(Optimizer(0.5))


class Weights(NamedTuple):
    """A user's own class of parameters."""

    w: object
    b: object


def weights(path, keep="carry"):
    """A saved sweep of a model of a class of the user's."""
    start, rates = Weights(jnp.ones(3), jnp.float32(2)), jopt.choice(0.1, 0.2)
    made = jopt.sweep(lambda p, _: jnp.sum(p.w**2) + p.b**2, start, jopt.adam(rates), steps=3, keep=keep, progress=False)
    made.save(path)
    return made, start


def test_parameters_of_a_class_of_the_users_come_back_with_one_that_is_like_them(tmp_path):
    made, start = weights(tmp_path / "a")
    back = load_result(tmp_path / "a", like=start)
    for one, other in ((back.params, made.params), (back.state, made.state), (back.best().params, made.best().params)):
        assert jax.tree.structure(one) == jax.tree.structure(other)
        jax.tree.map(np.testing.assert_array_equal, one, other)
    more = {"steps": 2, "progress": False}
    again, whole = (jopt.sweep(lambda p, _: jnp.sum(p.w**2) + p.b**2, r.best(), jopt.adam(0.1), **more) for r in (back, made))
    np.testing.assert_array_equal(again.dataset.loss, whole.dataset.loss)


def test_parameters_of_a_class_of_the_users_are_described_without_it(tmp_path):
    made, _ = weights(tmp_path / "a")
    back = load_result(tmp_path / "a")
    np.testing.assert_array_equal(back.best().params.w, made.best().params.w)
    np.testing.assert_array_equal(back.params["b"], made.params.b)
    assert "test_results_files.Weights" in repr(back.best().params)
    with pytest.raises(ValueError, match=r"like=params"):
        back.best().params("x")
    for once_more in (roundtrip(back, tmp_path / "b"), pickled(back)):
        np.testing.assert_array_equal(once_more.params.w, made.params.w)
    assert isinstance(load_result(tmp_path / "b", like=Weights(0, 0)).params, Weights)


def test_a_like_of_another_structure_is_an_error(tmp_path):
    weights(tmp_path / "a")

    class Weights(NamedTuple):  # which calls itself the same
        w: object

    Weights.__qualname__ = "Weights"
    with pytest.raises(ValueError, match=r"has w, b, but the one that was given as like= has w"):
        load_result(tmp_path / "a", like=Weights(0))


def test_no_file_holds_a_pickle(tmp_path):
    optimizer = jopt.chain(jopt.clip(1.0), jopt.adam(jopt.cosine_decay_schedule(RATES, 10)))
    swept({"sgd": jopt.sgd(RATES), "adam": optimizer}, keep="carry").save(tmp_path / "a")
    db = sqlite3.connect(tmp_path / "a")
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master")]
    for content in (row[0] for table in tables for row in db.execute(f"SELECT content FROM {table}")):
        raw = content if isinstance(content, bytes) else content.encode()
        assert b"jopt.values" not in raw  # as a pickle of an optimizer names it
        assert not raw.startswith(b"\x80\x04")
    db.close()


def test_loading_unpickles_nothing_and_imports_nothing(tmp_path, monkeypatch):
    swept(jopt.adam(RATES)).save(tmp_path / "a")
    load_result(tmp_path / "a")
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    monkeypatch.setattr("importlib.import_module", None)
    assert load_result(tmp_path / "a").best().optimizer == jopt.adam(0.2)


def test_a_directory_with_one_file_is_that_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file \*\.jopt"):
        load_result(tmp_path)
    result(record([1.0, 2.0])).save(tmp_path / "a.jopt")
    (tmp_path / "notes.txt").write_text("none")
    assert load_result(tmp_path).best("loss").score == 1.0
    result(record([3.0])).save(tmp_path / "b.jopt")
    with pytest.raises(ValueError, match=r"2 files.*a\.jopt, b\.jopt"):
        load_result(tmp_path)


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
    before, insert = path.read_bytes(), Database.insert

    def failing(self, table, parent, content):
        if table == "outcomes":
            raise error
        return insert(self, table, parent, content)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "insert", failing)
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
    with pytest.raises(ValueError, match="The optimizer could not be pickled"):
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


def test_an_unpickled_result_whose_optimizer_is_gone_can_be_saved(tmp_path):
    made = pickled(swept(optax.sgd(0.1)))  # a pair of local functions
    back = roundtrip(made, tmp_path / "a")
    np.testing.assert_array_equal(back.dataset.loss, made.dataset.loss)
    with pytest.raises(ValueError, match="not stored"):
        back.optimizer.init(1.0)


def test_what_is_saved_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("name"), replace(*names)))
    result(record([1.0])).save(tmp_path / "a")
    assert done == ["sync", "name", "sync"]


def test_random_keys_and_states_of_steps_of_the_users_come_back(tmp_path):
    def init(optimizer, key):
        return {"w": jnp.ones(2), "key": key, "state": optimizer.init(jnp.ones(2))}

    def step(optimizer, carry, batch, key):
        updates, state = optimizer.update(carry["w"], carry["state"], carry["w"])
        return {"w": carry["w"] + updates, "key": key, "state": state}, {"loss": jnp.sum(carry["w"] ** 2)}

    made = jopt.sweep_steps(init, step, jopt.adam(RATES), steps=3, keep="carry", progress=False)
    back = roundtrip(made, tmp_path / "a")
    assert back.key_kinds == made.key_kinds
    jax.tree.map(np.testing.assert_array_equal, back.params, made.params)
    again, whole = (jopt.sweep_steps(r.best(), step, jopt.adam(0.1), steps=2, progress=False) for r in (back, made))
    np.testing.assert_array_equal(again.dataset.loss, whole.dataset.loss)


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_result(tmp_path / "none")


def test_the_journal_of_a_writer_that_died_does_no_harm_to_what_is_saved_in_its_place(tmp_path):
    path = tmp_path / "a"
    result(record([4.0, 1.0])).save(path)
    command = [sys.executable, "-c", DIES, str(path)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}).returncode == 9
    assert (tmp_path / "a-journal").exists()
    result(record([3.0, 2.0])).save(path)
    assert os.listdir(tmp_path) == ["a"]
    assert load_result(path).best("loss").score == 2.0


def test_a_folder_without_the_right_to_write_is_reported_as_such(tmp_path):
    (tmp_path / "folder").mkdir()
    result(record([1.0])).save(tmp_path / "folder" / "a")
    (tmp_path / "folder").chmod(0o500)
    try:
        if os.access(tmp_path / "folder", os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(PermissionError):
            result(record([2.0])).save(tmp_path / "folder" / "a")
        assert load_result(tmp_path / "folder" / "a").best("loss").score == 1.0
    finally:
        (tmp_path / "folder").chmod(0o700)


FULL = """
import resource, signal, sys
import numpy as np
import jopt
made = jopt.load_result(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))  # as a disk that is full
try:
    made.save(sys.argv[1])
except OSError as error:
    print(type(error).__name__)
"""


def test_a_disk_that_is_full_leaves_the_file_as_it_was_and_none_beside_it(tmp_path):
    pytest.importorskip("resource")
    path = tmp_path / "a"
    result(record([4.0, 1.0])).save(path)
    before = path.read_bytes()
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True)
    assert (done.stdout.strip(), os.listdir(tmp_path), path.read_bytes()) == ("OSError", ["a"], before), done.stderr

"""Files that are damaged, foreign or hostile: an error that names the file, or exactly what was saved."""

import json
import os
import pickle
import sqlite3
import zipfile

import numpy as np
import pytest

import jopt
from jopt.engine.lanes.store import arrays
from jopt.results import load_result
from tests import fuzz_files
from tests.damage import altered, contents, flips, mutated, rewritten, signed, trained
from tests.test_results_record import grouped, record, result

ERROR = r"some\.jopt' is damaged or not a result"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a file, and what is in it."""
    path = tmp_path_factory.mktemp("saved") / "some.jopt"
    trained().save(path)
    return path.read_bytes(), contents(load_result(path))


def outcome(path, content, expected):
    """Whether what is damaged is noticed; it gives back all that was saved, else."""
    path.write_bytes(content)
    try:
        back = load_result(path)
    except ValueError as error:
        assert "some.jopt' is damaged or not a result" in str(error)  # noqa: PT017  # some damage is harmless
        return True
    assert contents(back) == expected
    return False


@pytest.mark.parametrize("part", range(4))
def test_each_changed_byte_is_noticed_or_has_no_effect(tmp_path, saved, part):
    whole, expected = saved
    path, noticed = tmp_path / "some.jopt", []
    for place, changed in list(flips(whole, pages=1))[part::4]:
        noticed.append(outcome(path, changed, expected))
        assert noticed[-1] or place < len(whole)
    assert sum(noticed) > 20


def test_files_that_are_cut_anywhere_are_noticed(tmp_path, saved):
    whole, expected = saved
    for size in [*range(0, 200, 7), *range(200, len(whole), 1013), len(whole) - 1]:
        assert outcome(tmp_path / "some.jopt", whole[:size], expected), size


def test_files_that_are_damaged_at_random_are_noticed_or_give_back_what_was_saved(tmp_path, saved):
    whole, expected = saved
    random = np.random.default_rng(0)
    noticed = [outcome(tmp_path / "some.jopt", mutated(whole, random), expected) for _ in range(200)]
    assert sum(noticed) > 100


def foreign(path, kind):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("epoch,loss\n1,0.5\n")
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, weights=np.zeros(3))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.npy", "nothing")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    else:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE studies (id)")
        db.commit()
        db.close()


KINDS = {
    "empty": "it is empty",
    "text": "it is no database",
    "npz": "zip archive, as older versions",
    "zip": "zip archive",
    "pickle": "it is a pickle",
    "other database": "none that jopt has written",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_file_is_an_error_that_says_what_it_is(tmp_path, kind):
    path = tmp_path / "some.jopt"
    foreign(path, kind)
    for read in (load_result, jopt.inspect):
        with pytest.raises(ValueError, match=f"{ERROR}.*{KINDS[kind]}"):
            read(path)


def test_a_file_of_another_version_is_an_error_that_names_both(tmp_path, saved):
    path = tmp_path / "some.jopt"
    path.write_bytes(saved[0])
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ValueError, match="version 99, but this jopt reads version 1"):
        load_result(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        "9" * 5_000,
        "[]",
        "null",
        "{}",
        "",
        "[[], []]",
        '[["dict"], []]',
        '[["list", ' * 400 + "1" + "]" * 400,
        "\xff",
    ],
    ids=["nested", "long", "list", "null", "object", "nothing", "empty", "no entries", "deep", "not ascii"],
)
@pytest.mark.parametrize("table", ["problems", "sweeps", "settings", "lanes", "outcomes", "records", "states"])
def test_rows_that_are_no_documents_are_an_error_that_names_the_file(tmp_path, saved, table, text):
    path = tmp_path / "some.jopt"
    path.write_bytes(saved[0])
    rewritten(path, table, lambda _: text)
    with pytest.raises(ValueError, match=ERROR):
        load_result(path)
    assert jopt.inspect(path).damage or table in ("settings", "lanes", "records", "states")


def test_rows_that_are_changed_in_meaning_are_an_error_or_a_result(tmp_path, saved):
    path, random, errors = tmp_path / "some.jopt", np.random.default_rng(0), 0
    tables = ["problems", "sweeps", "settings", "lanes", "outcomes", "records", "evaluations", "states", "writes"]
    for k in range(150):
        path.write_bytes(saved[0])
        rewritten(path, tables[k % len(tables)], lambda text: json.dumps(altered(json.loads(text), random)))
        try:
            load_result(path)
        except ValueError as error:
            errors += 1
            assert "some.jopt" in str(error) or "like" in str(error)  # noqa: PT017
    assert errors > 50


def test_lanes_that_are_missing_in_a_table_show_as_lanes_that_did_nothing(tmp_path, saved):
    path = tmp_path / "some.jopt"
    path.write_bytes(saved[0])
    db = sqlite3.connect(path)
    db.execute("DELETE FROM outcomes")
    db.execute("DELETE FROM records")
    db.commit()
    db.close()
    with pytest.raises(ValueError, match=ERROR):
        load_result(path)
    signed(path)  # as a sweep leaves it that has only begun
    back = load_result(path)
    assert (back.record.steps_done == 0).all()
    assert back.record.shape == (2,)
    assert jopt.inspect(path).sweeps[0].finished == 0


def test_an_array_of_absurd_size_takes_no_memory(tmp_path, saved, monkeypatch):
    path = tmp_path / "some.jopt"
    path.write_bytes(saved[0])
    rewritten(path, "states", lambda text: json.dumps([json.loads(text)[0], [["<f8", [2**45], 1, 1]] * 20]))
    empty = np.empty

    def small(size, *rest):
        assert not isinstance(size, int) or size < 2**30
        return empty(size, *rest)

    monkeypatch.setattr(arrays.np, "empty", small)
    with pytest.raises(ValueError, match=r"\[35184372088832\] without its bytes"):
        load_result(path)


def test_groups_that_are_damaged_are_noticed_too(tmp_path):
    path = tmp_path / "some.jopt"
    grouped(sgd=[3.0, 2.0], adam=[1.0, 4.0]).save(path)
    whole, expected = path.read_bytes(), contents(load_result(path))
    random = np.random.default_rng(1)
    assert sum(outcome(path, mutated(whole, random), expected) for _ in range(60)) > 25


def test_a_name_of_a_group_that_is_none_is_an_error(tmp_path):
    path = tmp_path / "some.jopt"
    result(record([1.0])).save(path)
    rewritten(path, "problems", lambda text: text.replace('"name",""', '"name","a/b"'))
    with pytest.raises(ValueError, match=f"{ERROR}.*a/b"):
        load_result(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="it reads how much memory it has taken")
def test_the_long_command_deals_with_the_first_of_its_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert fuzz_files.main(["--most", "30"]) == 0
    assert "30 inputs" in capsys.readouterr().out

"""The store: documents, rows with digests, pieces that make arrays, and who may read what while it is written."""

import collections
import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from typing import NamedTuple

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.engine.lanes.store import arrays, public
from jopt.engine.lanes.store.database import TABLES, Database, Row, digest_of
from jopt.engine.lanes.store.decoding import Unlike, decode
from jopt.engine.lanes.store.described import Described, Gone
from jopt.engine.lanes.store.encoding import DEEPEST, encode
from jopt.engine.lanes.store.listed import Listed
from jopt.engine.lanes.store.pieces import Kept, Piece
from jopt.engine.lanes.store.store import Store
from tests.cases import CASES, SHAPES, name_of, tree_like
from tests.schedule_cases import SCHEDULES


def again(tree, like=None):
    """A tree through its text."""
    document = encode(tree)
    return decode(json.loads(document.text()), document.arrays.__getitem__, like)


def same(x, y):
    """Whether two trees hold the same, with the same types: NaN equals NaN, and 1 is neither True nor 1.0."""
    if type(x) is not type(y):
        return False
    if isinstance(x, (np.ndarray, np.generic)):
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    if isinstance(x, dict):
        return len(x) == len(y) and all(same(a, b) for a, b in zip(x.items(), y.items(), strict=True))
    if isinstance(x, (list, tuple)):
        return len(x) == len(y) and all(map(same, x, y))
    return repr(x) == repr(y)


# Trees


TYPES = ["f2", "f4", "f8", "c8", "c16", "i1", "i8", "u8", "?", "U3", "S2", "bfloat16", "float8_e4m3fn", "int4"]
SHAPES_OF_ARRAYS = [(), (0,), (3,), (2, 0, 3), (2, 3)]


@st.composite
def an_array(draw):
    dtype, shape = jnp.dtype(draw(st.sampled_from(TYPES))), draw(st.sampled_from(SHAPES_OF_ARRAYS))
    values = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 2, shape)
    return np.asarray(values).astype(dtype)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), an_array())
KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text()))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=2).map(collections.OrderedDict),
    ),
    max_leaves=12,
)


@hypothesis.given(TREES)
@hypothesis.settings(max_examples=200)
def test_a_tree_comes_back_as_it_was(tree):
    assert same(again(tree), tree)


@pytest.mark.parametrize("tree", ["\ud800", 2**200, math.nan, -0.0, {1: "a", "1": "b", None: 2}], ids=str)
def test_what_json_alone_would_change_comes_back_as_it_was(tree):
    assert same(again(tree), tree)


def test_arrays_on_a_device_and_random_keys_come_back_as_such():
    tree = {"w": jnp.arange(3.0), "key": jax.random.key(7), "rbg": jax.random.key(7, impl="rbg")}
    back = again(tree)
    assert isinstance(back["w"], jax.Array)
    for name in ("key", "rbg"):
        assert jax.random.key_impl(back[name]) == jax.random.key_impl(tree[name])
        np.testing.assert_array_equal(jax.random.key_data(back[name]), jax.random.key_data(tree[name]))


def test_arrays_of_big_endian_numbers_hold_the_same_values(tmp_path):
    with Store.create(str(tmp_path / "a")) as store, store.writing("test"):
        stored = arrays.write(store.database, np.arange(3, dtype=">i4"))
        np.testing.assert_array_equal(arrays.read(store.database, stored), np.arange(3))


@pytest.mark.parametrize("kind", [np.float32, jnp.bfloat16, np.dtype("f2"), jnp.float8_e4m3fn, bool, float, complex], ids=str)
def test_types_of_numbers_come_back_as_they_were(kind):
    assert again([kind])[0] is kind or again([kind])[0] == kind


class Model(NamedTuple):
    """A user's own class."""

    w: object
    b: object


@jax.tree_util.register_pytree_node_class
class Renamed(list):
    """Calls itself like another class."""

    def tree_flatten(self):
        return list(self), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(children)


Renamed.__qualname__ = "Model"


def test_a_class_of_the_users_is_described_until_there_is_one_like_it():
    tree = {"a": Model(np.ones(2), {"x": np.zeros(1)}), "b": [Model(np.ones(1), None)]}
    back = again(tree)
    assert isinstance(back["a"], Described)
    np.testing.assert_array_equal(back["a"].w, np.ones(2))
    assert jax.tree.leaves(jax.tree.map(np.sum, back)) == [2.0, 0.0, 1.0]  # a tree like any other
    with pytest.raises(ValueError, match=r"test_store\.Model.*like=params"):
        back["a"]("x")
    with pytest.raises(AttributeError, match=r"description of \S*test_store\.Model"):
        _ = back["a"].apply
    whole = again(tree, like={"a": Model(0, {"x": 0}), "b": [Model(0, None)]})
    assert isinstance(whole["a"], Model)
    assert same(jax.tree.leaves(whole), jax.tree.leaves(tree))
    assert jax.tree.structure(whole) == jax.tree.structure(tree)
    assert same(again(back, like={"a": Model(0, {"x": 0}), "b": [Model(0, None)]})["a"].w, np.ones(2))  # described once more


def test_states_that_hold_trees_like_the_parameters_have_their_classes_too():
    params = Model(jnp.ones(2), jnp.zeros(1))
    state = jax.tree.map(np.asarray, jopt.chain(jopt.clip(1.0), jopt.adam(0.1)).init(params))
    assert jax.tree.structure(again(state, like=params)) == jax.tree.structure(state)


def test_like_of_the_same_class_with_other_children_is_an_error_that_names_both():
    with pytest.raises(Unlike, match="has w, b, but the one that was given as like= has 0"):
        again(Model(1.0, 2.0), like=Renamed([0]))


def test_a_tree_that_is_nested_too_deep_is_an_error_either_way():
    tree = []
    for _ in range(DEEPEST - 1):
        tree = [tree]
    assert again(tree) == tree
    with pytest.raises(ValueError, match="nested"):
        encode([tree])
    with pytest.raises(ValueError, match="nested"):
        decode(["list", json.loads(encode(tree).text())], None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        ["nothing"],
        [1],
        ["_init_"],
        ["class"],
        ["bound"],
        ["list", ["tuple", {}]],
        ["array", 0],
        ["named", "os.system", []],
    ],
    ids=str,
)
def test_what_is_no_document_is_an_error_or_described(body):
    try:
        made = decode(body, [].__getitem__)
    except (ValueError, IndexError, TypeError):
        return
    assert isinstance(made, Described)


# Optimizers


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_optimizer_comes_back_by_its_name(case):
    opt = case.make()
    back = again(opt)
    assert repr(back) == repr(opt)
    assert str(back.hyperparams) == str(opt.hyperparams)
    if '"gone"' in encode(opt).text().decode():
        return  # a function of the tests' own
    params = tree_like(SHAPES, 0)
    assert jax.tree.structure(back) == jax.tree.structure(opt) or "array" in repr(opt)
    assert str(back.init(params)) == str(opt.init(params))


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_every_schedule_comes_back_by_its_name(case):
    made = case.make()
    assert repr(again(made)) == repr(made)
    assert [float(again(made)(k)) for k in (0, 3, 50)] == [float(made(k)) for k in (0, 3, 50)]


LIFTED = [
    jopt.lift(optax.lion)(1e-3),
    jopt.lift(optax.nadam)(1e-3),
    jopt.lift(optax.contrib.muon)(1e-3),
    jopt.lift(optax.lbfgs)(memory_size=3),
    jopt.lift(optax.adamw)(jopt.cosine_decay_schedule(0.1, 10), mask={"w": True, "b": False}, mu_dtype=jnp.bfloat16),
    jopt.lift(optax.adam)(jopt.lift(optax.cosine_decay_schedule)(0.1, 10)),
]


@pytest.mark.parametrize("opt", LIFTED, ids=lambda opt: opt.bound.spec.factory.name)
def test_lifted_optimizers_come_back_by_their_names(opt):
    back = again(opt)
    assert back == opt
    assert hash(back) == hash(opt)


def test_every_factory_of_jopt_has_a_name_of_its_own():
    names = [name for name in jopt.__all__ if hasattr(getattr(jopt, name), "factory")]
    assert len(names) > 40
    for name in names:
        assert public.factory_of(public.name_of_factory(getattr(jopt, name).factory)) is getattr(jopt, name).factory


def test_axes_keep_what_they_share():
    rate = jopt.geomspace(1e-3, 1e-1, 3, name="rate")
    decay, momentum = jopt.zipped([1e-4, 1e-3], [0.5, 0.9])
    tree = {
        "twice": [jopt.sgd(rate), jopt.adam(rate)],
        "zipped": jopt.chain(jopt.add_decayed_weights(decay), jopt.sgd(0.1, momentum=momentum)),
        "drawn": jopt.adam(jopt.loguniform(1e-4, 1e-1)),
        "choice": jopt.adam(0.1, nesterov=jopt.choice(False, True)),
        "functions": jopt.choice(jax.nn.relu, jnp.tanh, "none", None),
    }
    back = again(tree)
    assert repr(back) == repr(tree)
    rates = [each.hyperparams["learning_rate"] for each in back["twice"]]
    assert rates[0] is rates[1]
    assert rates[0].name == "rate"
    numbers = back["zipped"].hyperparams
    assert numbers["add_decayed_weights"]["weight_decay"].group is numbers["sgd"]["momentum"].group
    assert back["functions"].values[:2] == (jax.nn.relu, jnp.tanh)


@jopt.transformation
def users_rule(learning_rate, power=2, *, flag: bool = True):
    def update(updates, state, params=None, **extra_args):
        return jax.tree.map(lambda g: -learning_rate * g**power, updates), state

    return lambda params: (), update


def test_a_rule_of_the_users_keeps_its_numbers_and_says_what_to_do_when_it_is_used():
    opt = jopt.chain(jopt.clip(1.0), users_rule(jopt.choice(0.1, 0.2), flag=False))
    back = again(again(opt))
    assert repr(back.hyperparams) == repr(opt.hyperparams)
    one = again(users_rule(0.1))
    assert one.replace(learning_rate=0.5).hyperparams == {"learning_rate": 0.5, "power": 2.0}
    assert one == again(users_rule(0.1))
    with pytest.raises(ValueError, match=r"users_rule was made by \S*test_store\.users_rule, which was not stored"):
        one.init(jnp.ones(2))
    with pytest.raises(ValueError, match="users_rule"):
        jopt.chain(jopt.clip(1.0), one).init(jnp.ones(2))


def test_a_function_that_is_not_public_is_missed_only_when_it_is_called():
    opt = jopt.masked(jopt.adam(0.1), lambda params: jax.tree.map(lambda x: x.ndim > 1, params))
    back = again(opt)
    assert repr(back) == repr(opt)
    with pytest.raises(ValueError, match=r"<lambda> was not stored.*trial\.hyperparams"):
        back.init({"w": jnp.ones((2, 2))})
    rate = again(jopt.lift(optax.sgd)(lambda step: 0.1 / (step + 1)))
    with pytest.raises(ValueError, match="was not stored"):
        rate.update(jnp.ones(1), rate.init(jnp.ones(1)))


def test_a_pair_that_was_not_lifted_is_described_by_who_made_it():
    back = again(optax.scale(0.1))
    with pytest.raises(ValueError, match=r"optax.*was not stored.*jopt\.lift"):
        back.init(jnp.ones(1))


def test_a_name_that_is_not_here_any_more_becomes_a_description():
    body = json.loads(encode(jopt.sgd(0.1)).text().replace(b'"jopt.sgd"', b'"jopt.gone_since"'))
    with pytest.raises(ValueError, match=r"gone_since was made by jopt\.gone_since, which"):
        decode(body, None).init(jnp.ones(1))
    body = json.loads(encode(jopt.sgd(0.1)).text().replace(b'"learning_rate"', b'"rate"'))
    assert decode(body, None).hyperparams["rate"] == 0.1
    with pytest.raises(ValueError, match=r"another version of jopt\.sgd"):
        decode(body, None).init(jnp.ones(1))


def test_nothing_is_looked_up_that_is_not_public():
    for name in ("os.system", "builtins.eval", "jopt.load_result", "optax.__doc__", "jax.numpy.__loader__", "jax.nn.jax"):
        assert isinstance(decode(["function", name], None), Gone)
    assert public.class_of("subprocess.Popen") is None


# Settings


def test_settings_are_listed_by_structure_and_numbers():
    made = [jopt.sgd(0.1 * k, momentum=None if k % 2 else 0.9) for k in range(1, 7)]
    listed = Listed.of(made.__getitem__, len(made))
    assert len(listed.templates) == 2
    assert [listed(k) for k in range(6)] == made


def test_the_name_of_a_setting_says_what_it_is_and_not_where_it_stands():
    made = [jopt.sgd(0.1), jopt.sgd(0.2), jopt.sgd(0.1, nesterov=True), jopt.sgd(0.1, momentum=0.9)]
    names = Listed.of(made.__getitem__, 4).names()
    assert len(set(names)) == 4
    assert Listed.of(made[::-1].__getitem__, 4).names() == names[::-1]
    assert Listed.of(made[1:].__getitem__, 3).names() == names[1:]


def test_arrays_among_the_numbers_of_a_setting_stay_apart():
    made = [jopt.sgd(jnp.asarray([0.1, 0.1 * k])) for k in range(1, 4)]
    listed = Listed.of(lambda k: jopt.sgd(jnp.asarray([0.1, 0.1 * (k + 1)])), 3)
    assert [str(listed(k).hyperparams) for k in range(3)] == [str(each.hyperparams) for each in made]
    assert len(set(listed.names())) == 3


# Rows


def stored(path, count=3):
    with Store.create(str(path)) as store:
        for k in range(count):
            with store.writing(f"write {k}"):
                store.add_problem(f"problem {k}", {"size": np.arange(5)})
    return str(path)


def test_an_intact_file_verifies_and_says_who_wrote_it_when(tmp_path):
    with Store.open(stored(tmp_path / "a")) as store:
        assert store.verify() == []
        with store.reading():
            assert [about["name"] for about in store.problems().values()] == ["problem 0", "problem 1", "problem 2"]
            assert [each["what"] for each in store.writes()] == ["write 0", "write 1", "write 2"]
            assert store.writes()[0]["versions"]["jax"] == jax.__version__


def edited(path, statement, *values):
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


EDITS = {
    "content": ("UPDATE problems SET content = replace(content, 'problem 1', 'problem X')", "row 2 of its table problems"),
    "parent": ("UPDATE problems SET parent = 1 WHERE id = 2", "row 2 of its table problems"),
    "number": ("UPDATE problems SET id = 7 WHERE id = 2", "row 7 of its table problems"),
    "gone": ("DELETE FROM problems WHERE id = 2", "problems has 2 rows, which are not the 3"),
    "all gone": ("DELETE FROM problems", "problems has 0 rows"),
    "moved": ("INSERT INTO sweeps SELECT * FROM problems WHERE id = 2", "row 2 of its table sweeps"),
    "head": ("UPDATE head SET content = replace(content, '3', '4')", "row 1 of its table head"),
    "no head": ("DELETE FROM head", "head is missing"),
    "type": ("UPDATE problems SET content = 5 WHERE id = 2", "row 2 of its table problems"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_is_changed_in_a_row_is_found(tmp_path, edit):
    path = stored(tmp_path / "a")
    statement, message = EDITS[edit]
    edited(path, statement)
    with Store.open(path) as store:
        assert any(message in line for line in store.verify())
        with pytest.raises(ValueError, match=message), store.reading():
            _ = store.problems(), store.sweeps()


def test_a_part_of_an_array_that_is_missing_or_changed_is_found(tmp_path):
    for statement, message in (
        ("DELETE FROM parts WHERE id = 2", "without its bytes"),
        ("UPDATE parts SET content = zeroblob(40) WHERE id = 2", "row 2 of its table parts"),
    ):
        path = stored(tmp_path / message[:3])
        edited(path, statement)
        with Store.open(path) as store:
            assert store.verify() != []
            with pytest.raises(ValueError, match=message), store.reading():
                store.problems()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS SELECT * FROM head",
        "CREATE TABLE more (id)",
        "CREATE INDEX more ON parts (id)",
        "DROP TABLE writes",
        "CREATE TRIGGER more AFTER INSERT ON head BEGIN DELETE FROM head; END",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 0",
    ],
)
def test_a_file_with_other_tables_or_of_another_kind_is_not_opened(tmp_path, statement):
    path = stored(tmp_path / "a")
    edited(path, statement)
    with pytest.raises(ValueError, match=r"tables|version 99|none that jopt"):
        Store.open(path)


def test_rows_are_removed_without_a_trace_in_the_digests(tmp_path):
    path = stored(tmp_path / "a")
    database = Database.open(path, write=True)
    with database.writing():
        database.remove("problems", [2])
    with database.writing():
        assert database.insert("problems", 0, b"null") == 4  # no number is given twice
    assert database.check() == []
    database.close()


def test_a_digest_is_of_the_place_too():
    digests = {digest_of(table, Row(number, parent, b"x")) for table in TABLES for number in (1, 2) for parent in (0, 1, -1)}
    assert len(digests) == len(TABLES) * 6


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = stored(tmp_path / "a")
    with Store.open(path, write=True) as store:
        with pytest.raises(ValueError, match="nested"), store.writing("no"):
            _ = store.add_problem("whole", {}), store.add_problem("half", {"deep": json.loads("[" * 200 + "]" * 200)})
        assert store.verify() == []
        with store.reading():
            assert len(store.problems()) == 3


def test_a_journal_that_can_not_be_made_is_an_error_of_the_disk_and_no_damage(tmp_path):
    path = stored(tmp_path / "a")
    with Store.open(path, write=True) as store:
        (tmp_path / "a-journal").symlink_to(tmp_path / "none" / "a-journal")
        with pytest.raises(OSError, match="unable to open"), store.writing("no"):
            store.add_problem("none", {})
        (tmp_path / "a-journal").unlink()
        assert store.verify() == []


def test_a_file_that_is_there_is_not_made_anew(tmp_path):
    stored(tmp_path / "a")
    with pytest.raises(FileExistsError):
        Store.create(str(tmp_path / "a"))
    with pytest.raises(FileNotFoundError):
        Store.open(str(tmp_path / "none"))


def test_a_file_is_read_by_one_while_another_appends_to_it(tmp_path):
    path, wrong = stored(tmp_path / "a"), []

    def read():
        try:
            for _ in range(30):
                with Store.open(path) as store, store.reading():
                    assert len(store.problems()) == len(store.writes())
        except BaseException as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    with Store.open(path, write=True) as store:
        for k in range(20):
            with store.writing("more"):
                store.add_problem(f"more {k}", {})
    for thread in readers:
        thread.join()
    assert wrong == []


def test_an_error_that_is_kept_keeps_no_lock(tmp_path):
    path, kept = stored(tmp_path / "a"), []
    edited(path, "UPDATE problems SET parent = 1 WHERE id = 2")
    for read in (lambda store: store.problems(), lambda store: next(store.database.rows("problems"))):
        try:
            with Store.open(path) as store, store.reading():
                kept.append(read(store))
                raise ValueError("as a user's code may")
        except ValueError as error:
            kept.append(error)
    edited(path, "UPDATE problems SET parent = 0 WHERE id = 2")  # would wait for a lock


DIES = """
import os, sys
from jopt.engine.lanes.store.store import Store
store = Store.open(sys.argv[1], write=True)
with store.writing("never"):
    store.database._db.execute("PRAGMA cache_size = 1")  # so that pages go to the file before the end
    for k in range(200):
        store.add_problem("x" * 5000, {})
    os._exit(9)
"""


@pytest.mark.parametrize("write", [False, True])
def test_what_a_writer_that_died_had_begun_is_undone_by_the_next_who_opens_the_file(tmp_path, write):
    path = stored(tmp_path / "a")
    assert (
        subprocess.run([sys.executable, "-c", DIES, path], env={**os.environ, "PYTHONPATH": ":".join(sys.path)}).returncode == 9
    )
    assert (tmp_path / "a-journal").exists()
    with Store.open(path, write=write) as store:
        assert store.verify() == []
        with store.reading():
            assert len(store.problems()) == 3


# Pieces


def some(*numbers):
    return np.asarray(numbers, np.int64)


def with_lanes(path):
    store = Store.create(str(path))
    with store.writing("begin"):
        problem = store.add_problem("", {})
        store.add_settings(problem, Listed.of(lambda k: (jopt.sgd(0.1 * (k + 1)), None), 2))
        store.add_lanes(problem, some(0, 1, 0, 1), some(0, 0, 7, 7), ["aa" * 16, "bb" * 16, "cc" * 16, "dd" * 16])
    return store, problem


def test_pieces_of_lanes_and_steps_make_arrays_and_the_last_one_counts(tmp_path):
    store, problem = with_lanes(tmp_path / "a")
    steps, grid = some(1, 2, 3, 4), some(0, 2, 1, 3).reshape(2, 2)
    loss = np.arange(16, dtype=np.float32).reshape(4, 4)
    pieces = [
        Piece(some(0, 1), {"loss": loss[:2, :2]}, some(1, 2)),
        Piece(some(2, 3), {"loss": np.full((3, 2), 9, np.float32)}, some(1, 2, 3)),
        Piece(some(3, 2), {"loss": loss[:3, [3, 2]]}, some(1, 2, 3)),
        Piece(some(0), {"loss": loss[3:, :1], "more": np.ones((1, 1))}, some(4)),
    ]
    for piece in pieces:
        with store.writing("piece"):
            store.append(problem, "records", piece)
    with store.reading():
        found = store.recorded(problem, "records", grid, steps)
    expected = loss.copy()
    expected[2, :2] = expected[3, 1:] = np.nan
    np.testing.assert_array_equal(found["loss"], np.moveaxis(expected[:, grid], 0, -1))
    assert found["loss"].dtype == np.float32
    assert np.isfinite(found["more"]).sum() == 1
    store.close()


@hypothesis.given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 4)), max_size=8))
def test_pieces_are_what_was_written_to_an_array(rectangles):
    from jopt.engine.lanes.store.pieces import over_time

    whole, pieces, random = np.full((9, 7), np.nan), [], np.random.default_rng(len(rectangles))
    for step, count, lane, width in rectangles:
        lanes, values = random.permutation(np.arange(lane, lane + width)), random.random((count, width))
        whole[step : step + count, lanes] = values
        pieces.append(Piece(lanes, {"x": values}, np.arange(step, step + count)))
    found = over_time(pieces, np.arange(7), np.arange(9))
    np.testing.assert_array_equal(found["x"].T if found else whole, whole)


def test_lanes_that_recorded_nothing_have_done_no_step(tmp_path):
    store, problem = with_lanes(tmp_path / "a")
    values = {"steps_done": some(5), "diverged_at": np.array([np.nan]), "pruned_at": np.array([5.0])}
    with store.writing("one"):
        store.append(problem, "outcomes", Piece(some(2), values))
    with store.reading():
        found = store.outcomes(problem, some(0, 1, 2, 3).reshape(2, 2), first=3)
        lanes = store.lanes(problem)
    assert found["steps_done"].tolist() == [[3, 3], [5, 3]]
    assert np.isnan(found["pruned_at"]).tolist() == [[True, True], [False, True]]
    assert (lanes.settings.tolist(), lanes.seeds.tolist()) == ([0, 1, 0, 1], [0, 0, 7, 7])
    assert lanes.names[1] == "bb" * 16
    store.close()


def test_states_that_newer_ones_have_replaced_can_go(tmp_path):
    store, problem = with_lanes(tmp_path / "a")
    for step, lanes in ((1, some(0, 1)), (1, some(2, 3)), (2, some(1, 0)), (3, some(2))):
        with store.writing("state"):
            store.keep(problem, "carry", Kept(lanes, step, {"w": np.full((len(lanes), 2000), float(step))}))
    with store.writing("tidy"):
        assert store.drop_states(problem) == 1
    assert store.verify() == []
    with store.reading():
        assert [(kept.step, kept.lanes.tolist()) for kept in store.kept(problem, "carry")] == [
            (1, [2, 3]),
            (2, [1, 0]),
            (3, [2]),
        ]
        assert store.sizes(problem) == {"carry": 5 * 2000 * 8}
    store.close()


def test_a_large_array_is_stored_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "PART_BYTES", 1000)
    array = np.random.default_rng(0).random((7, 11, 13)).astype(jnp.bfloat16)
    with Store.create(str(tmp_path / "a")) as store, store.writing("large"):
        stored = arrays.write(store.database, array)
        assert stored[-1] == 3
        back = arrays.read(store.database, stored)
    assert same(back, array)


@pytest.mark.parametrize(
    "stored",
    [
        ["<f8", [2**45], 1, 1],
        ["<f8", [2**62, 2**62], 1, 1],
        ["<f8", [-1], 1, 1],
        ["<f8", [True], 1, 1],
        ["<f8", [0, 2**70], 0, 0],
        ["<f8", [5], 1, 10**30],
        ["|O", [5], 1, 1],
        ["<U0", [2**60], 0, 0],
        ["<M8[s]", [5], 1, 1],
        ["f8,f8", [5], 1, 1],
        ["<f8", 5, 1, 1],
        ["<U5", [2], 1, 1],
        [["<f8"], [5], 1, 1],
    ],
    ids=str,
)
def test_an_array_that_says_more_than_is_there_is_an_error(tmp_path, stored):
    with Store.create(str(tmp_path / "a")) as store, store.writing("small"):
        arrays.write(store.database, np.frombuffer(b"\xff" * 40, np.uint8))
        with pytest.raises((ValueError, OverflowError, TypeError)):
            arrays.read(store.database, stored)


def test_jopt_alone_does_not_load_sqlite():
    code = "import sys, jopt; jopt.load_result; print('sqlite3' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.strip() == "False", done.stderr

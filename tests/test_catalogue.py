"""The catalogue: every optimizer in it, what it says about each, its page in docs/."""

import importlib
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jopt
from jopt import choosing, optimizers

ROOT = Path(__file__).resolve().parent.parent
ROWS = {row.name: row for row in jopt.catalogue()}


def test_every_public_function_of_a_learning_rate_is_in_the_catalogue():
    factories = {name: getattr(jopt, name) for name in jopt.__all__ if hasattr(getattr(jopt, name), "factory")}
    of_a_rate = {name for name, make in factories.items() if [*inspect.signature(make).parameters][:1] == ["learning_rate"]}
    assert {*ROWS} == {name for name in of_a_rate if not name.startswith("scale_by_")}
    assert {"sgd", "momentum", "rmsprop", "adam", "adamw"} <= {*ROWS}
    assert all(getattr(jopt, name) is getattr(optimizers, name) for name in ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_an_optimizer_says_where_it_comes_from_and_when_to_use_it(name):
    doc = f"a section of the docstring of jopt.{name}, above Example:"
    assert re.search(r"\d{4}", ROWS[name].reference), f"Reference: (authors, year, arXiv id) must be {doc}"
    use_when = ROWS[name].use_when
    assert use_when.endswith("."), f"Use when: (one or two short sentences) must be {doc}"
    assert len(use_when) <= 120, f"Use when: is too long for a table ({len(use_when)} characters): {use_when}"


def test_no_two_optimizers_say_the_same():
    said = [row.use_when for row in ROWS.values()]
    assert len({*said}) == len(said)


@pytest.mark.parametrize("name", ROWS)
def test_an_optimizer_runs_on_what_its_row_says_that_it_needs(name):
    given = {"params": jnp.ones((3, 2)), "value": jnp.float32(1.0)}
    opt = getattr(jopt, name)(0.01)
    opt.update(jnp.ones((3, 2)), opt.init(given["params"]), **{key: given[key] for key in ROWS[name].needs})
    assert {*ROWS[name].needs} <= {*given}


def test_the_states_are_as_large_as_they_are():
    sizes = {name: ROWS[name].state_bytes for name in ("sgd", "momentum", "rmsprop", "adam", "adamw")}
    assert sizes == {"sgd": 0.0, "momentum": 4.0, "rmsprop": 4.0, "adam": 8.0, "adamw": 8.0}


def test_what_an_update_needs_is_found_by_trying():
    assert ROWS["adam"].needs == ()
    assert ROWS["adamw"].needs == ("params",)

    @jopt.transformation
    def by_value(learning_rate):
        def update(updates, state, params=None, *, value, **extra_args):
            return jax.tree.map(lambda g: -learning_rate * value * g, updates), state

        return lambda params: (), update

    opt = by_value(0.1)
    assert choosing._needs("by_value", opt, ()) == ("value",)
    assert choosing._needs("both", jopt.chain(jopt.add_decayed_weights(0.1), opt), ((), ())) == ("params", "value")


def test_an_update_that_needs_something_unknown_is_an_error():
    @jopt.transformation
    def by_curvature(learning_rate):
        def update(updates, state, params=None, *, curvature, **extra_args):
            return updates, state

        return lambda params: (), update

    with pytest.raises(NotImplementedError, match="the update of by_curvature"):
        choosing._needs("by_curvature", by_curvature(0.1), ())


def test_the_family_is_the_file():
    for row in ROWS.values():
        module = importlib.import_module(f"jopt.optimizers.{row.family}")
        assert getattr(module, row.name) is getattr(jopt, row.name)


def test_it_prints_as_an_aligned_table():
    shown = str(jopt.catalogue())
    lines = shown.splitlines()
    assert repr(jopt.catalogue()) == shown
    assert max(map(len, lines)) <= 160
    header, rule, *rows = lines
    starts = [match.start() for match in re.finditer(r"-+", rule)]
    assert [header[i:].split("  ")[0] for i in starts] == [*choosing.HEADER]
    assert all(line[i - 2 : i].strip() == "" for line in rows for i in starts[1:] if len(line) >= i)
    assert [line.split()[0] for line in rows if not line.startswith(" ")] == [*ROWS]


def test_notebooks_show_it_as_a_table_of_the_same_rows():
    page = jopt.catalogue()._repr_html_()
    assert page.count("<tr>") == page.count("</tr>") == 1 + len(ROWS)
    assert page.count("<td>") == len(ROWS) * len(choosing.HEADER)
    assert "<td>adamw</td>" in page


def test_the_page_in_docs_is_current():
    page = importlib.import_module("docs.write_optimizers")
    assert page.PAGE == ROOT / "docs" / "optimizers.md"
    assert page.PAGE.read_text("utf-8") == page.page(), "run: python docs/write_optimizers.py"


def test_the_table_tells_of_what_the_docstring_lacks():
    assert choosing._section("One line.\n\nUse when:\n  It is so,\n  or so.\n\nExample:\n  x", "Use when") == "It is so, or so."
    assert choosing._section("One line.", "Use when") == ""

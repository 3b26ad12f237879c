"""Docstrings have one form, their examples and the README's run, and files hold nothing stray."""

import doctest
import functools
import importlib
import inspect
import io
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests import optax_suite

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"([A-Z][\w ]*):$")
ARGUMENTS = re.compile(r"([*\w][*\w, ]*?)\s*(?:\([^)]*\))?:(?:\s|$)")
SYNONYMS = {
    "lr": "learning_rate",
    "beta1": "b1",
    "beta2": "b2",
    "beta_1": "b1",
    "beta_2": "b2",
    "epsilon": "eps",
    "wd": "weight_decay",
}


def _members(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The object itself and, of a class, the methods and properties that it or a base of jopt's defines."""
    yield name, value
    bases = value.__mro__ if isinstance(value, type) else ()
    own = {k: v for base in reversed(bases) if base.__module__.startswith("jopt") for k, v in vars(base).items()}
    for attribute, member in own.items():
        if attribute.startswith("_"):
            continue
        if isinstance(member, (classmethod, staticmethod)):
            yield f"{name}.{attribute}", getattr(value, attribute)
        elif isinstance(member, (types.FunctionType, property, functools.cached_property)):
            yield f"{name}.{attribute}", member


ALIASES = [name for name in jopt.__all__ if typing.get_origin(getattr(jopt, name)) is not None]  # unions of types
PUBLIC = dict(pair for name in sorted({*jopt.__all__} - {*ALIASES}) for pair in _members(name, getattr(jopt, name)))
FACTORIES = [name for name, value in PUBLIC.items() if hasattr(value, "factory")]


def _docstring(value: object) -> str:
    return inspect.cleandoc(value.__doc__ or "")


def _signature(name: str) -> inspect.Signature:
    """The signature as a caller sees it; empty for what is not called."""
    value = PUBLIC[name]
    if not callable(value) or getattr(value, "_is_protocol", False):  # nobody calls a protocol
        return inspect.Signature()
    signature = inspect.signature(value)
    method = "." in name and "self" in signature.parameters
    return signature.replace(parameters=list(signature.parameters.values())[method:])


def _sections(doc: str) -> dict[str, str]:
    """The text of each section by its header; what stands before the first is under ""."""
    texts, header = {"": ""}, ""
    for line in doc.splitlines():
        if found := SECTION.match(line):
            header = found[1]
            texts[header] = ""
        else:
            texts[header] += f"{line}\n"
    return texts


def _documented_arguments(text: str) -> set[str]:
    heads = (ARGUMENTS.match(line) for line in inspect.cleandoc(f"\n{text}").splitlines())
    return {name.strip(" *") for head in heads if head for name in head[1].split(",")}


def _faults(name: str) -> Iterator[str]:
    """What keeps a docstring from the project's form, a phrase for each."""
    value, signature = PUBLIC[name], _signature(name)
    doc = _docstring(value)
    sections = _sections(doc)
    summary, *rest = doc.splitlines() or [""]
    if not summary.endswith(".") or (rest and rest[0]):
        yield f"the first line must be one whole sentence with an empty line below it: {summary!r}"
    listed = sections.get("Args", "") + "\n" + sections.get("Attributes", "")
    wanted = {word for word in signature.parameters if not word.startswith("_")}
    if missing := sorted(wanted - _documented_arguments(listed)):
        yield f"Args: does not name {missing}"
    if unknown := sorted(_documented_arguments(sections.get("Args", "")) - wanted):
        yield f"Args: names {unknown}, which the signature does not have"
    returns_value = callable(value) and signature.return_annotation not in (None, "None")
    if returns_value and not isinstance(value, type) and not {"Returns", "Yields"} & set(sections):
        yield "Returns: is missing"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_has_the_projects_form(name):
    faults = list(_faults(name))
    assert not faults, f"the docstring of jopt.{name}:\n" + "\n".join(faults)


@pytest.mark.parametrize("name", FACTORIES)
def test_a_rule_shows_its_formula_and_an_example(name):
    doc = _docstring(PUBLIC[name])
    formula = [line for line in _sections(doc)[""].splitlines() if re.search(r"←|\S = \S", line)]
    assert formula, f"jopt.{name}: the update is missing, as a line with = or ←, above Args:"
    assert ">>> " in doc, f"jopt.{name}: an example that runs is missing (Example:, then >>> lines)"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_same_thing_has_the_same_name_everywhere(name):
    theirs = getattr(optax, name, None)  # Optax's own words stay as they are, so that calls of it work here
    known = inspect.signature(theirs).parameters if inspect.isfunction(theirs) else {}
    used = {p: SYNONYMS[p] for p in _signature(name).parameters if p in SYNONYMS and p not in known}
    assert used == {}, f"jopt.{name}: rename these arguments as shown"


MODULES = ["jopt", *(m.name for m in pkgutil.walk_packages(jopt.__path__, "jopt."))]
PREDEFINED = {"jax": jax, "jnp": jnp, "jopt": jopt, "np": np, "optax": optax}


def _examples(module: types.ModuleType) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder().find(module, globs=PREDEFINED)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.usefixtures("own_compilation_cache")
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(verbose=False, optionflags=flags)
    report = io.StringIO()
    for test in _examples(importlib.import_module(name)):
        runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()


def test_every_public_example_is_among_those_that_run():
    run = {test.docstring for name in MODULES for test in _examples(importlib.import_module(name))}
    shown = {name for name, value in PUBLIC.items() if ">>> " in (value.__doc__ or "")}
    assert {name for name in shown if PUBLIC[name].__doc__ not in run} == set()


def test_the_readme_says_what_fails_of_optaxs_own_tests():
    assert optax_suite.EXPECTED
    assert optax_suite.unwritten() == []


def test_optaxs_own_tests_would_run_with_jopts_functions_in_place():
    found = optax_suite.shared()
    assert {"adam", "chain", "clip", "reduce_on_plateau", "warmup_cosine_decay_schedule"} <= set(found)
    assert all(theirs is not ours for theirs, ours in found.values())


@pytest.mark.parametrize("name", ["README.md", "docs/by_hand.md", "docs/going_on.md"])
def test_a_pages_code_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert blocks, f"{name} shows no Python code"
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for block in blocks:
        # Empty lines in front, so that a traceback gives the page's own line number.
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], name, "exec"), namespace)


def _project_files() -> list[Path]:
    folders = [".ci", "jopt", "tests", "examples", "benchmarks", "docs"]
    inside = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    paths = (path for path in (*ROOT.iterdir(), *inside) if path.is_file())
    return [path for path in paths if "__pycache__" not in path.parts]


STRAY = {
    "a merge marker": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
    "a path of one person's machine": re.compile(r"(?<![\w.])/(?:home|Users|root)/[\w.]"),
}


@pytest.mark.parametrize("what", STRAY)
def test_no_file_holds_something_stray(what):
    texts = {path: path.read_text("utf-8", errors="replace") for path in _project_files()}
    assert [str(path) for path, text in texts.items() if STRAY[what].search(text)] == []

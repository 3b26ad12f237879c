"""What `import jopt` costs and what it offers."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest

import jopt

EXTRAS = "optuna", "plot", "ray", "report", "tensorboard"
HEAVY = ["jinja2", "matplotlib", "optuna", "pandas", "plotly", "ray", "rich", "sklearn", "tensorboardX", "xarray"]


def _run(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_leaves_the_heavy_libraries_out():
    loaded = _run(f"import sys, jopt; print(*[m for m in {HEAVY} if m in sys.modules])")
    assert loaded.split() == []


def test_import_touches_no_device():
    # Naming a platform that does not exist makes the first use of any device an error.
    _run("import jopt", JAX_PLATFORMS="no_such_platform")


def test_import_changes_no_jax_setting():
    before = "import jax; before = dict(jax.config.values)"
    _run(f"{before}; import jopt; assert jax.config.values == before")


def test_star_import_gives_exactly_the_public_names():
    names = _run("from jopt import *; print(*[n for n in dir() if not n.startswith('__')])")
    assert names.split() == sorted(n for n in jopt.__all__ if not n.startswith("__"))


def test_public_names_are_sorted_and_each_once():
    assert list(jopt.__all__) == sorted(set(jopt.__all__))


def test_the_directory_is_what_is_public():
    shown = _run("import jopt; print(*[n for n in dir(jopt) if not n.startswith('__')])")
    assert shown.split() == sorted([*jopt.__all__, "schedules"])
    assert _run("import jopt; jopt.sweep; jopt.Trial; print(*[n for n in dir(jopt) if not n.startswith('__')])") == shown


@pytest.mark.parametrize("name", jopt.__all__)
def test_a_public_name_exists_and_is_documented(name):
    value = getattr(jopt, name)
    alias = typing.get_origin(value) is not None  # a union of types has no docstring of its own
    assert alias or name.startswith("__") or (value.__doc__ or "").strip(), f"jopt.{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = jopt.no_such_name


def test_importing_a_module_hides_no_public_name():
    # jopt.sweep is a function and jopt/sweep/ a package, which must not take the function's place.
    modules = (
        "import importlib, pkgutil, jopt\n"
        "for found in pkgutil.walk_packages(jopt.__path__, 'jopt.'):\n"
        "    importlib.import_module(found.name)\n"
    )
    kinds = "import jopt; print(*[f'{n}:{type(getattr(jopt, n)).__name__}' for n in jopt.__all__])"
    assert _run(modules + kinds, MPLBACKEND="Agg") == _run(kinds)


ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def _imported(path: Path) -> set[str]:
    """The libraries that a file imports anywhere, by their top names."""
    tree = ast.parse(path.read_text("utf-8"))
    plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    by_name = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level and node.module]
    return {name.split(".")[0] for name in (*plain, *by_name)} - {*sys.stdlib_module_names, "jopt"}


def test_every_library_that_is_imported_is_declared_with_its_lowest_version():
    extras = PROJECT["optional-dependencies"]
    declared = [*PROJECT["dependencies"], *(each for name in EXTRAS for each in extras[name])]
    names = {re.match(r"[\w-]+", entry)[0] for entry in declared}
    imported = set().union(*map(_imported, (ROOT / "jopt").rglob("*.py")))
    assert {"scipy", "pandas", "matplotlib", "plotly", "jinja2", "tensorboardX", "optuna"} <= imported  # inside functions too
    assert imported - names == set()
    assert [entry for entry in declared if ">=" not in entry] == []


def test_the_version_is_the_distributions():
    assert jopt.__version__ == PROJECT["version"]

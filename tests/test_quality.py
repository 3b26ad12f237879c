"""The tools agree with the code: lint, format, types and the direction of imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent


def _succeeds(*command: str) -> None:
    # The tools of this interpreter's environment, not others that happen to be on the path.
    env = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_finds_nothing_to_mend():
    _succeeds("ruff", "check", "--no-cache", "--output-format", "concise", ".")


def test_the_code_is_formatted():
    _succeeds("ruff", "format", "--check", "--no-cache", ".")


def test_the_package_is_strictly_typed():
    _succeeds(sys.executable, "-m", "mypy", "--strict", "jopt")


def test_imports_go_down_the_rooms_only():
    _succeeds("lint-imports", "--no-cache", "--no-logo")


@pytest.mark.parametrize("name", house.figures())
def test_the_figures_of_the_house_hold(name):
    figure, within, over = house.figures()[name]
    assert within, f"{name}: {figure}: {over}"


EXAMPLE = '''
@decorated
def outer(a,
          b):
    """One line.

    Another.
    """
    # why

    def inner():
        return (1,
                2)
    return inner

@overload
def stub(): ...
'''


def test_a_functions_lines_are_those_that_hold_code():
    assert house.function_lines(EXAMPLE) == {"outer (line 3)": 6, "inner (line 11)": 3}


def test_a_circle_of_imports_is_found_wherever_it_is_closed():
    texts = {
        "jopt/a.py": "import jopt.b",
        "jopt/b.py": "def f():\n    from jopt import c",
        "jopt/c.py": "if TYPE_CHECKING:\n    from .a import name",
        "jopt/d.py": "from jopt import a",
    }
    graph = house.imports({house.ROOT / path: text for path, text in texts.items()})
    assert house.circles(graph) == [["jopt.a", "jopt.b", "jopt.c"]]
    assert house.circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []

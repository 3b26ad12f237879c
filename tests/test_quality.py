"""The tools agree with the code: lint, format, types and the direction of imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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

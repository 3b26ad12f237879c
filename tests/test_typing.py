"""What jopt's types say to users who check theirs."""

import inspect
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import jopt

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def _checked(path: Path, cache: Path, *options: str) -> None:
    # As users have it: none of this project's settings, and of jopt's own files only what they say to others.
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", f"--cache-dir={cache}", *options]
    env = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run([*command, str(path)], cwd=cache, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_users_file_passes_a_strict_checker(cache):
    _checked(ROOT / "tests" / "typed_by_users.py", cache, "--strict")


def test_the_readmes_code_passes_a_checker(cache, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    code = "\n".join(blocks)
    private = "step._cache_size()"  # JAX's own
    assert private in code
    (tmp_path / "readme.py").write_text(code.replace(private, "1"), "utf-8")
    redefined = ("--allow-redefinition-new", "--local-partial-types")  # one name for the result of every example
    _checked(tmp_path / "readme.py", cache, "--check-untyped-defs", "--ignore-missing-imports", *redefined)


@pytest.mark.parametrize("call", [jopt.sweep, jopt.sweep_steps, jopt.train])
def test_every_overload_has_the_arguments_of_the_call(call):
    overloads = typing.get_overloads(call)
    assert overloads
    for overload in overloads:
        found, wanted = (inspect.signature(function).parameters for function in (overload, call))
        assert [(p.name, p.kind) for p in found.values()] == [(p.name, p.kind) for p in wanted.values()]
        for name, parameter in found.items():
            required = (wanted[name].default is inspect.Parameter.empty, parameter.default is inspect.Parameter.empty)
            assert required in {(True, True), (False, False)} or name == "has_aux", name

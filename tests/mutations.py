"""Mutations of the update rules, each met by the rule's own tests: ``python tests/mutations.py``.

A mutation is one change in a file of ``jopt/optimizers`` or ``jopt/transforms``: another sign or operator, a term, a factor
or a function left out, another constant or default, the other branch of a choice, a comparison that counts its end
differently. For each, a fork of this process imports jopt with the change in place and runs the tests that name the file's
functions, until one fails. What survives is printed, and must stand in ``SURVIVORS`` with the reason why it changes no number.

Arguments are parts of the names of files (``lion``); without any, all are gone through. This is no part of CI. It needs a
system that can fork; this process never starts JAX's threads, so that its forks may.
"""

from __future__ import annotations

import argparse
import ast
import collections
import copy
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = "jopt/optimizers", "jopt/transforms"
LEAST = 0.95  # of all mutations must be killed
SECONDS = 300  # for the tests of one mutation; a rule that never ends is killed too
# Most mutations are killed by the first, which alone is quick.
FIRST = ["tests/test_rules.py::test_200_steps_agree_with_the_float64_loop_to_1e_12_in_float64"]
TESTS = [
    "tests/test_rules.py",
    "tests/test_modern_rules.py",
    "tests/test_parity.py",
    "tests/test_classics.py",
    "tests/test_precision.py",
    "tests/test_building_blocks.py",
    "tests/test_clipping.py",
    "tests/test_plateau.py",
    "tests/test_flatten.py",
    "tests/test_memory_of_states.py",
]
PYTEST = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
# What a test of a file is called, where not by the names of the file's functions.
CALLED = {"descent": ["decay", "decoupled"], "decay": ["decay", "mask"], "plateau": ["plateau"]}
# Mutations that survive, as they are printed (without the line), and why they change no number.
SURVIVORS: dict[str, str] = {
    "jopt/optimizers/lion.py, table: jnp.abs(c) < 1.0 -> jnp.abs(c) <= 1.0": "where |c| is 1, its sign is c itself",
}

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
OPERATORS |= {ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARISONS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is}
OTHERS = {"maximum": "minimum", "minimum": "maximum", "mean": "sum", "ones_like": "zeros_like"}
LEFT_OUT = {"root", "nonzero", "abs_sq", "sign", "abs", "safe_increment", "copy", "sqrt", "real"}


class Mutation(NamedTuple):
    """One change: where, what it was, what it is, and the whole module with it."""

    path: Path
    line: int
    where: str
    old: str
    new: str
    module: ast.Module

    def __str__(self) -> str:
        return f"{self.where}: {self.old} -> {self.new}"


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of an expression."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield node.left
        if isinstance(node.op, ast.Mult):
            yield node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield node.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield ast.Constant(_other(node.value))
    elif isinstance(node, ast.Call):
        if _called(node) in LEFT_OUT and node.args:
            yield node.args[0]
        if _called(node) == "one_minus_power":
            yield ast.Constant(1.0)
        if _called(node) in OTHERS and isinstance(node.func, ast.Attribute):
            yield ast.Call(ast.Attribute(node.func.value, OTHERS[_called(node)], ast.Load()), node.args, node.keywords)


def _other(value: bool | float) -> bool | float:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) or value in (0.0, 1.0) else 0.5 * value


def _raises(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and all(isinstance(x, ast.Raise) for x in node.body)


def _parts(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """The nodes below one, each as its owner, field and place there: without annotations, decorators, texts and errors."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params") or getattr(node, "arg", None) == "strict":
            continue
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise) and not _raises(child):
                yield node, field, i, child
                yield from _parts(child)


def _functions(tree: ast.Module) -> list[ast.AST]:
    """What holds the rules of a file: its functions, and functions in tables."""
    return [x for x in tree.body if isinstance(x, (ast.FunctionDef, ast.Assign, ast.AnnAssign))]


def _put(owner: Any, field: str, place: int | None, new: ast.AST) -> None:
    if place is None:
        setattr(owner, field, new)
    else:
        getattr(owner, field)[place] = new


def mutations(path: Path) -> Iterator[Mutation]:
    """All changes to a file, in the order of its lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for top in _functions(tree):
        name = getattr(top, "name", "table")
        for owner, field, place, node in _parts(top):
            negated = isinstance(node, ast.If)
            spot, what = (node, "test") if negated else (owner, field)
            old = node.test if negated else node
            candidates = [ast.UnaryOp(ast.Not(), old)] if negated else list(_changed(node))
            for new in candidates:
                _put(spot, what, None if negated else place, new)
                module = copy.deepcopy(tree)
                _put(spot, what, None if negated else place, old)
                texts = (ast.unparse(x) for x in (old, new))
                yield Mutation(path, old.lineno, f"{path.relative_to(ROOT)}, {name}", *texts, module)


class _Finder(importlib.machinery.SourceFileLoader):
    """Finds one module, and loads it changed."""

    def __init__(self, mutation: Mutation) -> None:
        parts = mutation.path.relative_to(ROOT).with_suffix("").parts
        super().__init__(".".join(parts), str(mutation.path))
        self.mutation = mutation

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> Any:
        return compile(ast.fix_missing_locations(self.mutation.module), self.path, "exec")


def _meet(path: Path, mutation: Mutation | None) -> int:
    """Starts a fork that runs a file's tests, with a mutation or without; its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of forks; no backend runs in this process
        child = os.fork()
    if child:
        return child
    signal.alarm(SECONDS)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if mutation is not None:
        sys.meta_path.insert(0, _Finder(mutation))
    import pytest

    chosen = [*PYTEST, "-k", " or ".join(_names(path))]
    code = pytest.main([*chosen, *FIRST])
    if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        code = pytest.main([*chosen, *filter(os.path.exists, TESTS)])
    os._exit(int(code))


def _names(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = [x.name for x in tree.body if isinstance(x, ast.FunctionDef) and not x.name.startswith("_")]
    return CALLED.get(path.stem, own)


def _preload() -> None:
    importlib.import_module("optax")  # not the plugins of pytest, which it wants to import itself


def run(paths: Sequence[Path], processes: int, step: int) -> int:
    """Goes through the mutations, prints what survives, and the score; 1 where it is too low or a survivor unexplained."""
    _preload()
    for path in paths:
        if status := os.waitpid(_meet(path, None), 0)[1]:
            print(f"{path.relative_to(ROOT)}: the tests fail without a mutation, or there are none (status {status})")
            return 1
    waiting = collections.deque([m for path in paths for m in mutations(path)][::step])
    running: dict[int, Mutation] = {}
    counts: dict[str, collections.Counter[bool]] = collections.defaultdict(collections.Counter)
    survivors: list[Mutation] = []
    while waiting or running:
        while waiting and len(running) < processes:
            mutation = waiting.popleft()
            running[_meet(mutation.path, mutation)] = mutation
        child, status = os.wait()
        mutation = running.pop(child)
        counts[str(mutation.path.relative_to(ROOT))][status != 0] += 1
        if status == 0:
            survivors.append(mutation)
            print(f"survived: line {mutation.line}: {mutation}  [{SURVIVORS.get(str(mutation), 'UNEXPLAINED')}]", flush=True)
    return _report(counts, survivors)


def _report(counts: dict[str, collections.Counter[bool]], survivors: list[Mutation]) -> int:
    for name, count in counts.items():
        print(f"{name}: {count[True]} of {count.total()} killed")
    total = sum(count.total() for count in counts.values())
    killed = total - len(survivors)
    print(f"together: {killed} of {total} killed, {killed / max(total, 1):.1%}")
    unexplained = [m for m in survivors if str(m) not in SURVIVORS]
    return int(bool(unexplained) or killed < LEAST * total)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="parts of the names of files; all by default")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--step", type=int, default=1, help="take every n-th mutation only")
    parser.add_argument("--list", action="store_true", help="print the mutations and run nothing")
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    files = [path for room in ROOMS for path in sorted((ROOT / room).glob("*.py")) if path.stem != "__init__"]
    paths = [path for path in files if not given.parts or any(part in path.stem for part in given.parts)]
    if given.list:
        for mutation in (m for path in paths for m in mutations(path)):
            print(f"line {mutation.line}: {mutation}")
        return 0
    start = time.monotonic()
    code = run(paths, given.processes, given.step)
    print(f"in {(time.monotonic() - start) / 60:.0f} minutes with {given.processes} processes")
    return code


if __name__ == "__main__":
    sys.exit(main())

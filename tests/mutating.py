"""What a mutation is: one change to the syntax tree of a file that holds update rules."""

from __future__ import annotations

import ast
import collections
import functools
import hashlib
import importlib
import inspect
import operator
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = "jopt/optimizers", "jopt/transforms"

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
OPERATORS |= {ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARISONS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is}
OTHERS = {"maximum": "minimum", "minimum": "maximum", "mean": "sum", "ones_like": "zeros_like"}
LEFT_OUT = {"root", "nonzero", "abs_sq", "sign", "abs", "safe_increment", "copy", "sqrt", "real"}


class Mutation(NamedTuple):
    """One change: where, what it was, and what it is."""

    path: Path
    line: int
    where: str
    old: str
    new: str
    number: int  # of those in this function that read the same
    text: Callable[[], str]  # of the whole file with it

    def __str__(self) -> str:
        return f"{self.where}: {self.old} -> {self.new}" + (f" ({self.number})" if self.number > 1 else "")

    @property
    def file(self) -> str:
        return str(self.path.relative_to(ROOT))


def files() -> list[Path]:
    """The files that hold rules."""
    return [path for room in ROOMS for path in sorted((ROOT / room).glob("*.py")) if path.stem != "__init__"]


@functools.cache
def digest(path: Path) -> str:
    """Tells whether the code of a file is still the one that a result is about."""
    tree = _WithoutTexts().visit(ast.parse(path.read_text(encoding="utf-8")))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


class _WithoutTexts(ast.NodeTransformer):
    """Takes docstrings out."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


def functions_of(path: Path) -> list[str]:
    """The public functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [x.name for x in tree.body if isinstance(x, ast.FunctionDef) and not x.name.startswith("_")]


def mutations(path: Path) -> Iterator[Mutation]:
    """All changes to a file, in the order of its lines."""
    tree, seen = ast.parse(path.read_text(encoding="utf-8")), collections.Counter[tuple[str, ...]]()
    for top in _holding_rules(tree):
        where = f"{path.relative_to(ROOT)}, {getattr(top, 'name', 'table')}"
        for owner, field, place, node in _parts(top):
            negated = isinstance(node, ast.If)
            spot, what, index = (node, "test", None) if negated else (owner, field, place)
            old = node.test if negated else node
            for new in [ast.UnaryOp(ast.Not(), old)] if negated else list(_changed(node)):
                before, after = ast.unparse(old), ast.unparse(new)
                seen[where, before, after] += 1
                text = functools.partial(_text, tree, spot, what, index, new)
                yield Mutation(path, old.lineno, where, before, after, seen[where, before, after], text)


def _text(tree: ast.Module, owner: Any, field: str, place: int | None, new: ast.AST) -> str:
    """The text of a file with one node in the place of another."""
    held = owner if place is None else getattr(owner, field)
    key = field if place is None else place
    get, put = (getattr, setattr) if place is None else (operator.getitem, operator.setitem)
    old = get(held, key)
    put(held, key, new)
    text = ast.unparse(tree)
    put(held, key, old)
    return text


def apply(mutation: Mutation) -> None:
    """Puts a mutation in place, wherever its functions have been imported already: they get the changed code."""
    name = ".".join(mutation.path.relative_to(ROOT).with_suffix("").parts)
    module, changed = importlib.import_module(name), types.ModuleType(name)
    exec(compile(mutation.text(), str(mutation.path), "exec"), vars(changed))
    for key, new in vars(changed).items():
        old = getattr(module, key)
        if isinstance(new, dict) and not key.startswith("__"):
            old.clear()
            old.update(new)
        elif getattr(new, "__module__", None) == name and not inspect.isclass(new):
            _recode(old, new)
        elif isinstance(new, (int, float, tuple)):  # a constant, which functions read where they run
            setattr(module, key, new)


def _recode(old: Any, new: Any) -> None:
    function, changed = inspect.unwrap(old), inspect.unwrap(new)
    function.__code__, function.__defaults__ = changed.__code__, changed.__defaults__
    function.__kwdefaults__ = changed.__kwdefaults__
    if hasattr(old, "factory"):  # a transformation, which keeps what it found out about its function
        for kept in ("signature", "switches"):
            vars(old.factory).pop(kept, None)
    if hasattr(old, "cache_clear"):
        old.cache_clear()


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


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


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


def _holding_rules(tree: ast.Module) -> list[ast.AST]:
    """What holds the rules of a file: its functions, and functions in tables."""
    return [x for x in tree.body if isinstance(x, (ast.FunctionDef, ast.Assign, ast.AnnAssign))]

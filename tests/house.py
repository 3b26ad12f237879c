"""The figures of the house: ``python tests/house.py`` prints them, and ends with 1 where one is over its limit.

A function's lines are those that hold code: its signature and body, inner functions included, without decorators,
docstrings, comments and empty lines. A file's lines are all of its lines. An import counts wherever it stands, inside a
function and for type checkers only too.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEASURED = "jopt"  # whose functions and files are measured
WITHOUT_CIRCLES = ("jopt", "benchmarks", "examples", "tests")
FUNCTION_MEDIAN, FUNCTION_90, FUNCTION_MOST, FILE_MOST = 8, 30, 60, 300
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _code_lines(text: str) -> set[int]:
    """The numbers of the lines that hold code."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    held = {line for t in tokens if t.type not in NO_CODE for line in range(t.start[0], t.end[0] + 1)}
    strings = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr) and _is_string(node.value)]
    return held - {line for node in strings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_overload(function: Function) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in function.decorator_list)


def function_lines(text: str) -> dict[str, int]:
    """The lines of each function of a file, by name and line number; a stub of an overload has no body to read."""
    code = _code_lines(text)
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function) and not _is_overload(node)]
    return {f"{f.name} (line {f.lineno})": len(code & {*range(f.lineno, (f.end_lineno or 0) + 1)}) for f in functions}


def module_name(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, text: str, is_package: bool, modules: set[str]) -> Iterator[str]:
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (above, node.module) if part)
            inner = {f"{origin}.{alias.name}" for alias in node.names}
            yield from (i if i in modules else origin for i in inner)


def imports(texts: dict[Path, str]) -> dict[str, set[str]]:
    """Each module, with those of the others that it imports."""
    modules = {module_name(path) for path in texts}
    graph = {}
    for path, text in texts.items():
        name = module_name(path)
        graph[name] = {*_imported(name, text, path.name == "__init__.py", modules)} & modules - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The modules that import each other, directly or through others, a list for each circle."""
    reached: dict[str, set[str]] = {}
    for name in graph:
        seen: set[str] = set()
        waiting = [*graph[name]]
        while waiting:
            if (module := waiting.pop()) not in seen:
                seen.add(module)
                waiting += graph[module]
        reached[name] = seen
    found = {frozenset({name, *(m for m in reached[name] if name in reached[m])}) for name in graph if name in reached[name]}
    return sorted(map(sorted, found))


def figures() -> dict[str, tuple[object, bool, str]]:
    """What is measured -> its figure, whether it is within the limit, and what is over it."""
    texts = {path: path.read_text("utf-8") for folder in WITHOUT_CIRCLES for path in _files(folder)}
    measured = {module_name(path): texts[path] for path in _files(MEASURED)}
    functions = {f"{name}.{f}": n for name, text in measured.items() for f, n in function_lines(text).items()}
    files = {name: text.count("\n") for name, text in measured.items()}
    lengths = sorted(functions.values())
    ninth = lengths[int(0.9 * len(lengths))]
    round_ = circles(imports(texts))
    return {
        "function, median lines": (statistics.median(lengths), statistics.median(lengths) <= FUNCTION_MEDIAN, ""),
        "function, 90 % within": (ninth, ninth <= FUNCTION_90, ""),
        "function, most lines": (lengths[-1], lengths[-1] <= FUNCTION_MOST, _over(functions, FUNCTION_MOST)),
        "file, most lines": (max(files.values()), max(files.values()) <= FILE_MOST, _over(files, FILE_MOST)),
        "circles of imports": (len(round_), not round_, "; ".join(map(" and ".join, round_))),
    }


def _over(lines: dict[str, int], most: int) -> str:
    return ", ".join(f"{name}: {n}" for name, n in lines.items() if n > most)


def main() -> int:
    """Prints the figures; 1 where one is over its limit."""
    found = figures()
    for name, (figure, within, over) in found.items():
        print(f"{name:<24}{figure:>6}  {'' if within else f'over the limit {over}'}".rstrip())
    return 0 if all(within for _, within, _ in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Optax's own tests with jopt's functions in place of Optax's: ``python tests/optax_suite.py``.

The test files come with Optax's wheel, which pip downloads into a temporary directory. In that copy every function of
Optax's that jopt has under the same name is replaced by jopt's, in all of Optax's modules: in the test files, and in what
they reach (``optax.lamb`` is then made of jopt's ``scale_by_adam``, ``chain`` and so on). jopt itself keeps the functions
of Optax's that it calls. What fails or is skipped is run once more with plain Optax: a newer JAX breaks some of its tests.

What may fail stands in ``EXPECTED``, with the row of the README's table of differences that says so. Any other failure
is an error, and so is an expected one that passes. Arguments are parts of the names of test files (``_clipping_test``);
without any, all files that mention a name of jopt's are run.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

VERSION = "0.2.8"
ROOT = Path(__file__).resolve().parent.parent
PYTEST = ["-q", "-p", "no:cacheprovider", "-p", "optax_suite", "--tb=short", "--maxprocesses=4", "-n"]

# Tests that fail (patterns for file::class::test), by the row of the README's table of differences that says why.
EXPECTED = {
    "moments and velocities of bfloat16 parameters": [
        r"alias_test.*test_explicit_dtype(9|10|11)$",  # bfloat16 parameters, no other type asked for
        r"_galore_test.*test_mu_dtype_controls_moment_dtype",  # the type of nu
        r"_schedule_free_test.*test_explicit_dtype3$",  # of z, where no type is asked for
    ],
    "`muon`": [  # all are given adaptive or preconditioning
        r"_muon_test.*::test_(aol|callable|complex_mixed|dim_nums|muon_orthogonalization|orthogonality|reshape_(and_)?update)_",
    ],
    "`inject_hyperparams` with bfloat16 parameters": [
        r"_inject_test.*test_hyperparam_default_dtype_(bf16|f32)$",
        r"_inject_test.*test_hyperparam_dtypes_bf16hyp",
    ],
    "integer parameters": [r"_?combin(e|ing)_test.*ExtraArgsTest::test_extra_args$"],  # adam.init({"a": 1, "b": 2})
    "`reduce_on_plateau`": [r"_reduce_on_plateau_test"],  # all are given min_scale
    "`exponential_decay` with no steps or a factor of 0, any schedule with negative steps": [
        r"ExponentialTest::test_nonvalid_",
        r"PolynomialTest::test_zero_steps_schedule",
    ],
    "`warmup_cosine_decay_schedule` with a peak of 0": [r"WarmupCosineDecayTest::test_zero_peak_value"],
    "a real type for the moments of complex parameters": [r"alias_test.*test_explicit_dtype(24|25|26|27|28|29)$"],
    "`scale_by_lion` with an unknown mode": [r"TransformTest::test_lion_invalid_mode_raises"],
    "`warmup_cosine_decay_schedule` that is all warm-up": [r"WarmupCosineDecayTest::test_raises_when_decay_equals_warmup"],
}


def shared() -> dict[str, tuple[Any, Any]]:
    """The functions that both libraries have under one name: Optax's and jopt's."""
    import optax
    import optax.contrib

    import jopt

    found = {}
    for name in jopt.__all__:
        theirs, ours = getattr(optax, name, getattr(optax.contrib, name, None)), getattr(jopt, name)
        if inspect.isfunction(theirs) and callable(ours):  # a type is no function: jopt's is a subclass of Optax's
            found[name] = theirs, ours
    return found


def put_in_place() -> None:
    """Puts jopt's functions in place of Optax's in every module of Optax's."""
    import optax

    import jopt

    ours = dict(shared().values())
    for theirs, own in ours.items():
        own.__signature__ = _annotated(inspect.signature(own), inspect.signature(theirs))
    modules = _modules(optax)
    before = types.SimpleNamespace(**vars(optax))
    for module in _modules(jopt):
        if getattr(module, "optax", None) is optax:
            module.optax = before
    for module in modules:
        for name, value in _functions(module).items():
            setattr(module, name, ours.get(value, value))


def _annotated(own: inspect.Signature, theirs: inspect.Signature) -> inspect.Signature:
    """A signature with Optax's annotations: some tests are skipped where the rate is not of Optax's type for schedules."""
    known = theirs.parameters
    return own.replace(
        parameters=[p.replace(annotation=known[n].annotation) if n in known else p for n, p in own.parameters.items()]
    )


def _functions(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if inspect.isfunction(value)}


def _modules(package: Any) -> list[Any]:
    """All modules of a package but its tests; ``optax._src`` is a folder that ``pkgutil`` does not see."""
    root = Path(package.__file__).parent
    files = [f for f in root.rglob("*.py") if not f.name.startswith("test_") and not f.stem.endswith(("_test", "__main__"))]
    names = [".".join(f.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__") for f in files]
    return [importlib.import_module(name) for name in names]


# The hooks of the pytest plugin that this file is in the processes that run the tests.

_reports: dict[str, str] = {}


def pytest_configure() -> None:
    if os.environ["OPTAX_SUITE_NAMES"] == "jopt":
        put_in_place()


def pytest_runtest_logreport(report: Any) -> None:
    """A test has failed if any part of it has, its setup and its subtests included."""
    if report.failed or (report.when == "call" and _reports.get(report.nodeid) != "failed"):
        _reports[report.nodeid] = report.outcome
    elif report.skipped:
        _reports.setdefault(report.nodeid, "skipped")


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        _reports[report.nodeid] = "failed"


def pytest_sessionfinish(session: Any) -> None:
    if not hasattr(session.config, "workerinput"):
        Path(os.environ["OPTAX_SUITE_REPORT"]).write_text(json.dumps(_reports))


def unpack(directory: Path) -> None:
    """Optax's wheel, unpacked."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), f"optax=={VERSION}"]
    subprocess.run(pip, check=True)
    (wheel,) = directory.glob("optax-*.whl")
    zipfile.ZipFile(wheel).extractall(directory)
    (directory / "pytest.ini").write_text("[pytest]\n")


def files_in(directory: Path, parts: Iterable[str]) -> list[str]:
    """The test files that mention a function that jopt has, or those of them whose names hold one of ``parts``."""
    import optax

    theirs = {function for function, _ in shared().values()}
    functions = "|".join(shared())
    modules = "|".join({m.__name__.split(".")[-1] for m in _modules(optax) if theirs & set(_functions(m).values())})
    mentions = re.compile(rf"""\b({modules})\.({functions})\b|['"]({functions})['"]""")
    files = [f for f in sorted(directory.glob("optax/**/*_test.py")) if mentions.search(f.read_text())]
    names = [str(f.relative_to(directory)) for f in files]
    return [name for name in names if not parts or any(part in name for part in parts)]


def run(directory: Path, names: str, tests: Iterable[str], workers: str) -> dict[str, str]:
    """The outcome of each test by its name, with the names of ``"jopt"`` or of ``"optax"`` in place."""
    report = directory / "report.json"
    report.unlink(missing_ok=True)
    path = os.pathsep.join([str(directory), str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "OPTAX_SUITE_NAMES": names, "OPTAX_SUITE_REPORT": str(report)}
    arguments = directory / f"{names}.txt"  # names of tests may be more than a command line holds
    arguments.write_text("\n".join(tests))
    subprocess.run([sys.executable, "-m", "pytest", *PYTEST, workers, f"@{arguments}"], cwd=directory, env=environment)
    outcomes: dict[str, str] = json.loads(report.read_text())
    return outcomes


def explanation(test: str) -> str | None:
    """The row of the README's table that explains why a test fails."""
    return next((row for row, patterns in EXPECTED.items() if any(re.search(p, test) for p in patterns)), None)


def unwritten() -> list[str]:
    """The rows among the explanations that the README does not have."""
    readme = (ROOT / "README.md").read_text()
    return [row for row in EXPECTED if f"\n| {row} |" not in readme]


def table(outcomes: dict[str, str]) -> str:
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for test, outcome in outcomes.items():
        counts[test.split("::")[0]][outcome] += 1
        counts["together"][outcome] += 1
    width = max(map(len, counts))
    columns = "passed", "failed", "skipped"
    lines = [f"{file:{width}}" + "".join(f"{counts[file][c]:9}" for c in columns) for file in sorted(counts)]
    return "\n".join([f"{'':{width}}" + "".join(f"{c:>9}" for c in columns), *lines])


def verdict(test: str, outcome: str, plain: str | None) -> str | None:
    """What is to be said about a test, from its outcome with jopt's functions and with plain Optax's."""
    row = explanation(test)
    if outcome == "passed":
        return f"PASSES, BUT IS EXPECTED TO FAIL ({row})" if row else None
    if outcome == "skipped":
        return None if plain == "skipped" else "SKIPPED, BUT NOT WITH PLAIN OPTAX"
    if plain == "failed":
        return "fails with plain Optax too"
    return f"expected ({row})" if row else "FAILS, AND NOTHING EXPLAINS IT"


def main(parts: list[str], workers: str) -> int:
    """Runs the tests and prints what failed and why; 1 where that is not what is expected."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch).resolve()
        unpack(directory)
        outcomes = run(directory, "jopt", files_in(directory, parts), workers)
        unlike = [test for test, outcome in outcomes.items() if outcome != "passed"]
        plain = run(directory, "optax", unlike, workers) if unlike else {}
    said = {test: verdict(test, outcome, plain.get(test)) for test, outcome in sorted(outcomes.items())}
    print(table(outcomes), *(f"{what}: {test}" for test, what in said.items() if what), sep="\n")
    kinds = collections.Counter(what.split(" (")[0] for what in said.values() if what)
    summary = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    print(f"{len(outcomes)} tests with {len(shared())} functions of jopt's in place: {summary or 'no failures'}")
    for row in unwritten():
        print(f"THE README'S TABLE HAS NO ROW {row!r}")
    return int(bool(unwritten()) or any(kind.isupper() for kind in kinds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="parts of the names of test files; all by default")
    parser.add_argument("--workers", default="logical", help="how many processes, at most four")
    given = parser.parse_args()
    sys.exit(main(given.parts, given.workers))

"""jopt beside what others wrote: ``python -m tests.parity`` prints optimizer x oracle x largest difference.

A difference is the largest one of an element over 200 steps in float64, relative to the largest element of its leaf at that
step. ``--all`` prints every setting; names of oracles print only theirs. Rows of oracles that are not installed are left out.

``SOURCES`` says where rows come from: a function of no arguments by the name of what it compares with.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable

import jax
import optax

import jopt
from tests import modern_oracles, muon_oracles, soap_oracles, torch_rules, winners_oracles
from tests import test_keras_values as keras
from tests.cases import CASES, Case
from tests.oracles import Row, largest, optax_path


def _optax_rows() -> list[Row]:
    """Every case that Optax has too, but those with an accumulator of float32."""
    wide = [case for case in CASES if case.in_optax and not {"mu_dtype", "accumulator_dtype"} & set(case.kwargs)]
    return [Row(case.factory, "Optax", case.name, functools.partial(_beside_optax, case)) for case in wide]


def _beside_optax(case: Case) -> float:
    return largest(case.make(), optax_path(case.make("optax")))


def _optax_on_purpose() -> list[Row]:
    """What differs where both libraries are called alike."""
    remark = "Optax hands out each step one update late"
    rprop = functools.partial(largest, jopt.rprop(1e-2), optax_path(optax.rprop(1e-2)))
    return [Row("rprop", "Optax", "called alike", rprop, remark=remark, deliberate=True)]


def _keras_rows() -> list[Row]:
    """The values that Keras's tests print, after one step or five."""
    remark = "absolute: four digits, some rounded and some cut"
    return [
        Row(opt.bound.spec.factory.name, "Keras", name, functools.partial(keras.difference, name, opt), keras.DIGITS, remark)
        for name, opt in keras.OPTIMIZERS
    ]


SOURCES: dict[str, Callable[[], list[Row]]] = {
    "Optax": _optax_rows,
    "Keras": _keras_rows,
    **{f"PyTorch {name}": functools.partial(torch_rules.rows, name) for name in torch_rules.RULES},
    "PyTorch, other forms": torch_rules.other_forms,
    "Optax, on purpose": _optax_on_purpose,
    "PyTorch, on purpose": torch_rules.on_purpose,
    "Optax, other forms": modern_oracles.of_optax,
    "SOAP, Shampoo, Kron": soap_oracles.rows,
    **{name: functools.partial(modern_oracles.rows, name) for name in modern_oracles.PACKAGES},
    **muon_oracles.SOURCES,
    "Optax, contributed": winners_oracles.of_optax,
    "Optax, contributed, on purpose": winners_oracles.on_purpose,
    **{f"{name}, winners": functools.partial(winners_oracles.rows, name) for name in winners_oracles.PACKAGES},
}


def measured(rows: Iterable[Row]) -> list[tuple[Row, float]]:
    """Each row with its largest difference."""
    return [(row, row.measure()) for row in rows]


def faults(found: Iterable[tuple[Row, float]]) -> list[str]:
    """The rows whose difference is not as they say."""
    wrong = [(r, x) for r, x in found if not (x > 1e-6 if r.deliberate else x <= r.limit)]
    return [f"{row.optimizer}, {row.oracle}, {row.setting}: {difference:.1e}" for row, difference in wrong]


def table(found: Iterable[tuple[Row, float]], every: bool = False) -> str:
    """The rows as text: a line for each optimizer and oracle, or with ``every`` for each setting."""
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for row, difference in found:
        remark = f"meant: {row.remark}" if row.deliberate else row.remark
        key = (row.optimizer, row.oracle, row.setting if every else "", remark)
        groups.setdefault(key, []).append(difference)
    lines = [("optimizer", "oracle", "settings", "largest", "remark")]
    for (optimizer, oracle, setting, remark), differences in sorted(groups.items()):
        lines.append((optimizer, oracle, setting or str(len(differences)), f"{max(differences):.1e}", remark))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def main(oracles: list[str], every: bool) -> int:
    """Prints the table; 1 where a difference is not as its row says."""
    jax.config.update("jax_enable_x64", True)
    found = measured(row for source in SOURCES.values() for row in source() if not oracles or row.oracle in oracles)
    wrong = faults(found)
    print(table(found, every), f"{len(found)} settings, {len(wrong)} not as they should be", *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("oracles", nargs="*", help="Optax, PyTorch, Keras, ...; all by default")
    parser.add_argument("--all", action="store_true", help="a line for each setting")
    given = parser.parse_args()
    sys.exit(main(given.oracles, given.all))

"""Writes optimizers.md, the table of ``jopt.catalogue()``: ``python docs/write_optimizers.py``."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jopt
from jopt.choosing import HEADER

PUT_TOGETHER = ("named_chain", "partition")  # functions that look at their arguments before they make a rule
PAGE = Path(__file__).with_name("optimizers.md")
ABOVE = """# The optimizers of jopt

Made by `python docs/write_optimizers.py` of `jopt.catalogue()`, which prints this table too; do not edit it here.

*bytes*: of the state, per parameter, with the default arguments, for a float32 matrix of 1024 x 1024 (beside it, the gradient
takes 4 and the parameter 4). *update needs*: what `update` must be given beside the gradient and the state. *family*: the file
of `jopt/optimizers/` that the rule is in. How good each of them can be on two small problems, each at its own best rate:
[examples/which_optimizer.py](../examples/which_optimizer.py). Whatever Optax has beyond these is swept with `jopt.lift`.

## In bfloat16

States are float32 even where parameters are bfloat16 or float16. On request they are bfloat16: `mu_dtype`, `accumulator_dtype`
and `dtype_momentum`, where Optax has them, keep one moment so, rounded to the nearest; `jopt.bfloat16_states(optimizer)` keeps
the whole state of any optimizer so, rounded at random, since a second moment that is rounded to the nearest never falls. Around
bfloat16 parameters stands one of the following (or else updates under half of a weight's spacing, 1/500 of it, are lost).

| around Adam | bytes per bfloat16 parameter, with its own 2 | with `bfloat16_states` inside | small updates |
| --- | --- | --- | --- |
| nothing | 10 | 6 | are lost |
| `jopt.kahan` | 12 | 8 | arrive, as in float32 |
| `jopt.master_weights` | 14 | 10 | arrive, as in float32 |
| `jopt.stochastic_rounding` | 10 | 6 | arrive in the mean |
| (float32 parameters) | 12 | 8 | arrive |

[examples/low_precision.py](../examples/low_precision.py) trains with each; `tests/test_low_precision.py` reads the bytes off
the compiled step.

## All of them

"""


BETWEEN = """
## Around an optimizer

These take any optimizer, Optax's too, and any axis inside it. Averages, and what keeps the digits of bfloat16, follow the
parameters: they stand around the whole chain, and `jopt.chain` refuses anything behind them.

"""
BELOW = """
## Parts of chains

What optimizers are made of. Rules on matrices stand in `jopt.matrixwise`; put together anew they are another optimizer, such as
[SOAP before Muon](../examples/soap_before_muon.py): `jopt.chain(jopt.scale_by_soap(), jopt.scale_by_muon(...))`.

"""
LAST = """
## Schedules

A schedule stands wherever a number stands, and its own numbers may be axes. Step counts may have fractions.

"""


def page() -> str:
    """The text of the page."""
    catalogue = jopt.catalogue()
    known = {entry.name for entry in catalogue}
    rules = {name: getattr(jopt, name) for name in jopt.__all__ if name not in known and _makes_rules(name)}
    around = {name: make for name, make in rules.items() if _takes_a_rule(make)}
    schedules = {name: make for name, make in rules.items() if hasattr(jopt.schedules, name)}
    parts = {name: make for name, make in rules.items() if name not in around and name not in schedules}
    optimizers = _table(HEADER, (entry.cells() for entry in catalogue))
    return ABOVE + optimizers + BETWEEN + _described(around) + BELOW + _described(parts) + LAST + _described(schedules)


def _makes_rules(name: str) -> bool:
    return hasattr(getattr(jopt, name), "factory") or name in PUT_TOGETHER


def _takes_a_rule(make: Any) -> bool:
    return any("GradientTransformation" in str(p.annotation) for p in inspect.signature(make).parameters.values())


def _described(rules: dict[str, Any]) -> str:
    return _table(
        ("name", "what it does"), ((f"`{name}`", make.__doc__.split("\n")[0]) for name, make in sorted(rules.items()))
    )


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [[*header], ["---"] * len([*header]), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE}")

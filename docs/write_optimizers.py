"""Writes optimizers.md, the table of ``jopt.catalogue()``: ``python docs/write_optimizers.py``."""

from pathlib import Path

import jopt
from jopt.choosing import HEADER

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


def page() -> str:
    """The text of the page."""
    rows = [HEADER, ["---"] * len(HEADER), *(entry.cells() for entry in jopt.catalogue())]
    return ABOVE + "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE}")

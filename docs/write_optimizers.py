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

"""


def page() -> str:
    """The text of the page."""
    rows = [HEADER, ["---"] * len(HEADER), *(entry.cells() for entry in jopt.catalogue())]
    return ABOVE + "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE}")

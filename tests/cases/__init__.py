"""One table of cases: every transformation and every optimizer, with several settings of each.

A case makes jopt's value, Optax's where Optax has the same rule, and the NumPy loop of ``tests/*reference.py``, all from one
set of arguments. Add a row for every new rule; the contracts of the other test files then hold it too.
"""

from tests.cases.blocks import BLOCKS
from tests.cases.case import Case, matrices_only, name_of, one_of_each
from tests.cases.classics import CLASSICS
from tests.cases.layers import LAYERS
from tests.cases.modern import MODERN
from tests.cases.training import SHAPES, extras, run, run_optax, run_reference, stacked, train, tree_like
from tests.cases.wrappers import WRAPPERS

OPTIMIZERS = CLASSICS + LAYERS + MODERN
CASES = OPTIMIZERS + BLOCKS + WRAPPERS

__all__ = [
    "BLOCKS",
    "CASES",
    "OPTIMIZERS",
    "SHAPES",
    "WRAPPERS",
    "Case",
    "extras",
    "matrices_only",
    "name_of",
    "one_of_each",
    "run",
    "run_optax",
    "run_reference",
    "stacked",
    "train",
    "tree_like",
]

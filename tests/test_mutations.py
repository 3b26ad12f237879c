"""The mutations of the rules: each a change of its own, put in place wherever the changed function has been imported."""

import ast
import os
import subprocess
import sys

import pytest

from tests import mutating
from tests.survivors import SURVIVORS

MUTATIONS = {str(m): m for path in mutating.files() for m in mutating.mutations(path)}


def test_each_survivor_that_is_explained_is_a_mutation():
    assert [name for name in SURVIVORS if name not in MUTATIONS] == []


def test_each_mutation_has_a_name_of_its_own():
    assert len(MUTATIONS) == sum(1 for path in mutating.files() for _ in mutating.mutations(path))


@pytest.mark.parametrize("name", [*MUTATIONS][::50])
def test_a_mutation_is_one_change_of_its_file(name):
    mutation = MUTATIONS[name]
    changed, plain = mutation.text().splitlines(), ast.unparse(ast.parse(mutation.path.read_text("utf-8"))).splitlines()
    assert len(changed) == len(plain)
    assert sum(a != b for a, b in zip(changed, plain, strict=True)) == 1
    assert mutation.text().splitlines() == changed


CHANGED = """
import sys
import jax.numpy as jnp
import jopt
from tests import mutating

(mutation,) = [m for path in mutating.files() for m in mutating.mutations(path) if str(m) == sys.argv[1]]
mutating.apply(mutation)
print(float(eval(sys.argv[2])))
"""


STEP = "(lambda opt, g: float(opt.update(g, opt.init(g), g)[0]))({opt}, jnp.asarray({g}))"
CHANGES = {
    "jopt/optimizers/signs.py, signum: 0.9 -> 0.45": ("jopt.signum(0.1).hyperparams['beta']", 0.45),
    "jopt/optimizers/lion.py, lion: False -> True": (STEP.format(opt="jopt.lion(0.1)", g=1.0), -0.101),
    "jopt/optimizers/kron_factors.py, table: 2.0 ** (-11.5) -> 2.0 * -11.5": ("jopt.optimizers.kron_factors._NOISE", -23.0),
    "jopt/transforms/clipping.py, clip: -max_delta -> max_delta": (STEP.format(opt="jopt.chain(jopt.clip(0.5))", g=0.0), 0.5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_function_is_changed_wherever_it_was_imported(name):
    seen, expected = CHANGES[name]
    command = [sys.executable, "-c", CHANGED, name, seen]
    env = {**os.environ, "PYTHONPATH": str(mutating.ROOT)}
    done = subprocess.run(command, cwd=mutating.ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) == pytest.approx(expected, rel=1e-5)

"""Parameters on several devices: states lie where their parameters lie. Each test runs in a process with four devices."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
START = """
import os
import sys
import chex
import jax
import jax.numpy as jnp
import jopt
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from tests.cases import CASES, one_of_each

mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType[sys.argv[1]],))
SPECS = {"a": P("x"), "b": P(None, "x"), "c": P()}
SHAPES = {"a": (8, 2), "b": (2, 4), "c": (3,)}
SEEN = {"value": 1.0, "metrics": {"accuracy": 0.5}}

def sharded(x):
    return {name: jax.device_put(jnp.full(SHAPES[name], x), NamedSharding(mesh, spec)) for name, spec in SPECS.items()}

def check(owner, tree):
    "Every array of a tree that has a parameter's shape lies as that parameter; where XLA places arrays, flatten's may not."
    if owner.startswith("flatten") and sys.argv[1] == "Auto":
        return
    for x in jax.tree.leaves(tree):
        for name, spec in SPECS.items():
            if x.shape == SHAPES[name]:
                assert x.sharding.is_equivalent_to(NamedSharding(mesh, spec), x.ndim), (owner, name, x.sharding)

def check_run(owner, opt, jit):
    params, grads = sharded(1.0), sharded(0.5)
    state = opt.init(params)
    check(owner, state)
    updates, state = jit(lambda *args: opt.update(*args, **SEEN))(grads, state, params)
    check(owner, (updates, state))
    check(owner, jit(jopt.apply_updates)(params, updates))
    return updates
"""


def run(code, axes, start=START):
    # Devices that are threads meet in each reduction. One operation at a time, and threads to spare (as many as devices
    # are XLA's default on a small machine), so that no other operation holds the thread that the last of them waits for.
    threads = {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "false", "NPROC": "16"}
    env = {**os.environ, **threads, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", start + textwrap.dedent(code), axes]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("axes", ["Auto", "Explicit"])
def test_the_states_and_updates_of_rules_lie_as_their_parameters(axes):
    run(
        """
        # Where XLA places arrays, a third of the rules will do.
        few = sys.argv[1] == "Auto" and os.environ.get("JOPT_TESTS") != "all"
        for case in one_of_each(CASES)[:: 3 if few else 1]:
            check_run(case.name, case.make(), lambda f: f)
        check_run("jitted", jopt.chain(jopt.clip_by_global_norm(1.0), jopt.rmsprop(0.1, momentum=0.9)), jax.jit)
        """,
        axes,
    )


@pytest.mark.parametrize("axes", ["Auto", "Explicit"])
def test_flatten_gives_sharded_leaves_the_updates_of_the_plain_rule(axes):
    run(
        """
        plain = jopt.chain(jopt.clip_by_global_norm(1.0), jopt.adam(0.1))
        with jax.set_mesh(mesh):
            for jit in (lambda f: f, jax.jit):
                expected = check_run("plain", plain, jit)
                found = check_run("flatten", jopt.flatten(plain), jit)
                chex.assert_trees_all_close(jax.device_get(found), jax.device_get(expected), rtol=1e-6)
        """,
        axes,
    )

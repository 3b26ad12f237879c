"""The contracts of an optimizer that is a value, for every row of the table of cases.

What each rule computes, on trees with ``None`` and without leaves, in every type, is in test_rules and test_precision; donation
in test_memory_of_states, shardings in test_sharding, sweeps in test_sweep_promises.
"""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jopt
from tests.agreement import both, error, rounding, run_still, tolerance
from tests.cases import CASES, extras, name_of, one_of_each, stacked, tree_like
from tests.reference import ravel

SMALL = {"a": {"w": (3, 2), "none": None}, "b": [(), []], "c": ((2,), {})}
PARAMS, GRADS = tree_like(SMALL, 0), tree_like(SMALL, 1)
SEEN = jax.tree.map(lambda x: x[0], extras(1))
each_case = pytest.mark.parametrize("case", CASES, ids=name_of)
each_rule = pytest.mark.parametrize("case", one_of_each(CASES), ids=name_of)


def step(opt, state, grads=GRADS, params=PARAMS):
    """One update as it is called in a loop."""
    return opt.update(grads, state, params, **SEEN)


def two_steps(opt, params=PARAMS, grads=GRADS):
    """The updates of the second step of a plain loop."""
    _, state = step(opt, opt.init(params), grads, params)
    return step(opt, state, grads, params)[0]


def assert_close(found, expected, rtol=2e-6):
    found, expected = ravel(found), ravel(expected)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=2e-6 * np.max(np.abs(expected), initial=0.0))


@each_case
def test_equal_values_are_equal_and_survive_flattening_pickling_and_copies(case):
    opt = case.make()
    leaves, treedef = jax.tree.flatten(opt)
    for other in (case.make(), treedef.unflatten(leaves), pickle.loads(pickle.dumps(opt)), copy.deepcopy(opt), copy.copy(opt)):
        assert type(other) is jopt.GradientTransformation
        assert other == opt
        assert hash(other) == hash(opt)
        assert repr(other) == repr(opt)
    assert isinstance(opt, optax.GradientTransformationExtraArgs)
    assert all(isinstance(x, (float, int)) and not isinstance(x, bool) for x in leaves)


def changed(opt):
    """The value, and for each of its numbers one in which that number alone is another."""
    leaves, treedef = jax.tree.flatten(opt)
    others = [0.5 * x if x else 0.25 for x in leaves]
    return [opt, *(treedef.unflatten([*leaves[:i], x, *leaves[i + 1 :]]) for i, x in enumerate(others))]


@each_rule
def test_one_program_runs_each_number_and_maps_it_as_alone(case):
    traces = []

    def updates_of(opt):
        traces.append(opt)
        return run_still(opt, still, grads, seen)

    still, grads, seen = jax.tree.map(np.zeros_like, PARAMS), tree_like(SMALL, 12, 3), extras(3)
    values, alone = changed(case.make()), jax.jit(updates_of)
    expected = [stacked(alone(opt), 3) for opt in values]
    assert len(traces) == 1
    lanes = jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *values)
    found = jax.jit(jax.vmap(updates_of, axis_size=len(values)))(lanes)
    near = 1e-6 * rounding(case)
    for i, wanted in enumerate(expected):
        lane = stacked(jax.tree.map(lambda x, i=i: x[i], found), 3)
        np.testing.assert_allclose(lane, wanted, rtol=near, atol=near * np.max(np.abs(wanted), initial=0.0))


@each_rule
def test_each_number_is_mapped_beside_others_that_are_not(case):
    leaves, treedef = jax.tree.flatten(case.make())
    expected = jax.tree.map(lambda g: (2, *g.shape), GRADS)
    for i, x in enumerate(leaves):
        opt = treedef.unflatten([*leaves[:i], jax.ShapeDtypeStruct((2,), jnp.result_type(x)), *leaves[i + 1 :]])
        axes = treedef.unflatten([0 if j == i else None for j in range(len(leaves))])
        mapped = jax.vmap(lambda opt: step(opt, opt.init(PARAMS))[0], in_axes=(axes,), axis_size=2)
        assert jax.tree.map(lambda u: u.shape, jax.eval_shape(mapped, opt)) == expected


# An observation of several values, and a window of several gradients, have counts of their own.
COUNTED = [case for case in CASES if "plateau" not in case.name and case.factory != "accumulate"]


@pytest.mark.parametrize("case", one_of_each(COUNTED), ids=name_of)
def test_a_count_in_a_state_is_the_number_of_updates(case):
    opt = case.make()
    state = opt.init(PARAMS)
    for updates in (0, 1, 2):
        counts = {int(x) for path, x in jax.tree_util.tree_flatten_with_path(state)[0] if name_of_field(path) in ("count", "t")}
        assert counts <= {updates}
        _, state = step(opt, state)


def name_of_field(path):
    return getattr(path[-1], "name", None) if path else None


@pytest.mark.parametrize("jit", [eqx.filter_jit, nnx.jit], ids=["filter_jit", "nnx_jit"])
@each_rule
def test_a_step_is_the_same_under(jit, case):
    opt, compiled = case.make(), jit(lambda opt, state: step(opt, state))
    expected, _ = step(opt, opt.init(PARAMS))
    # Equinox makes Python numbers static, arrays dynamic.
    updates, state = compiled(jax.tree.map(jnp.asarray, opt), opt.init(PARAMS))
    assert_close(updates, expected)
    assert jax.tree.structure(state) == jax.tree.structure(opt.init(PARAMS))


@each_rule
def test_the_derivative_through_a_step_that_is_computed_again_is_the_derivative(case):
    def after(opt, wrap):
        updates, state = wrap(lambda opt, state: step(opt, state))(opt, opt.init(PARAMS))
        floats = [x for x in jax.tree.leaves((updates, state)) if jnp.issubdtype(x.dtype, jnp.floating)]
        return sum(jnp.sum(jnp.where(jnp.isfinite(x), x, 0.0)) for x in floats)

    opt = jax.tree.map(jnp.float32, case.make())
    plain, again = (jax.grad(lambda opt, w=wrap: after(opt, w))(opt) for wrap in (lambda f: f, jax.checkpoint))
    assert_close(again, plain, rtol=2e-4)  # XLA sums up what nearly cancels in another order


def by_branch(value):
    """Whether an argument names the branches of a tree, which nnx has a class of its own for."""
    return isinstance(value, dict) and not any(isinstance(x, (dict, list)) for x in value.values())


def names_branches(case):
    return any(map(by_branch, case.kwargs.values())) or any(map(names_branches, case.parts))


class Held(nnx.Module):
    def __init__(self):
        self.a, self.b, self.c = (nnx.Param(jnp.asarray(x)) for x in jax.tree.leaves(PARAMS))


@pytest.mark.parametrize("case", one_of_each([case for case in CASES if not names_branches(case)]), ids=name_of)
def test_an_nnx_optimizer_steps_as_the_plain_loop(case):
    model = Held()
    optimizer = nnx.Optimizer(model, case.make(), wrt=nnx.Param)
    grads = jax.tree.map(lambda g, p: g, *(jax.tree.leaves(tree) for tree in (GRADS, PARAMS)))

    @nnx.jit
    def train(model, optimizer, grads):
        found = nnx.state(model, nnx.Param)
        optimizer.update(model, jax.tree.unflatten(jax.tree.structure(found), grads), **SEEN)

    train(model, optimizer, grads)
    names = dict(zip("abc", jax.tree.leaves(PARAMS), strict=True))
    gradients = dict(zip("abc", jax.tree.leaves(GRADS), strict=True))
    opt = case.make()
    updates, _ = opt.update(gradients, opt.init(names), names, **SEEN)
    assert_close({name: getattr(model, name)[...] for name in "abc"}, jopt.apply_updates(names, updates))


def around(opt):
    """A rule of jopt's inside wrappers of Optax's that leave it as it is."""
    one = optax.partition({"all": opt}, lambda params: jax.tree.map(lambda _: "all", params))
    inner = optax.chain(optax.identity(), optax.masked(one, True), optax.scale(1.0))
    steps = optax.MultiSteps(optax.apply_if_finite(inner, 2), every_k_schedule=1)
    return optax.GradientTransformationExtraArgs(steps.init, steps.update)


def inside(opt):
    """A rule of Optax's inside wrappers of jopt's that leave it as it is."""
    one = jopt.partition({"all": opt}, lambda params: jax.tree.map(lambda _: "all", params))
    inner = jopt.chain(jopt.identity(), jopt.masked(one, True), jopt.scale(1.0))
    return jopt.accumulate(jopt.apply_if_finite(inner, 2), 1)


@each_rule
def test_a_rule_steps_inside_of_optaxs_wrappers_as_alone(case):
    opt = case.make()
    assert_close(jax.jit(lambda: two_steps(around(opt)))(), two_steps(opt))


@pytest.mark.parametrize("case", one_of_each([case for case in CASES if case.in_optax]), ids=name_of)
def test_optaxs_rule_steps_inside_of_jopts_wrappers_as_alone(case):
    opt = case.make("optax")
    alone = optax.with_extra_args_support(opt)
    assert_close(jax.jit(lambda: two_steps(inside(opt)))(), two_steps(alone))


def grown(rng, depth=3):
    """A tree of shapes: numbers, vectors, matrices, leaves without elements, ``None``, in lists, tuples and dicts."""
    kind = rng.integers(8 if depth else 5)
    if kind < 5:
        return (None, (), (3,), (2, 2), (1, 0, 2))[kind]
    branches = [grown(rng, depth - 1) for _ in range(rng.integers(3))]
    return (branches, (*branches, {}), dict(zip("xyz", branches, strict=False)))[kind - 5]


@each_rule
def test_a_generated_tree_is_stepped_as_by_the_loop(case, x64):
    rng = np.random.default_rng(CASES.index(case))
    shapes = {name: [grown(rng), (2, 3)] if name == "a" else grown(rng) for name in "abc"}
    assert error(*both(case, shapes, 20, np.float64, float, steps=25)) < tolerance(case)

"""`jopt.lift` turns every factory of Optax into one of values."""

import copy
import functools
import inspect
import pickle
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt

# Optax's own, about keys that will be needed and names that will go.
pytestmark = pytest.mark.filterwarnings("ignore:Specifying a key", "ignore::DeprecationWarning")

PARAMS = {"w": jnp.array([[0.5, -1.0, 2.0], [3.0, 0.1, -0.2]]), "b": jnp.array([0.1, -0.3, 0.5])}
GRADS = jax.tree.map(lambda p: jnp.sin(p) + 0.1, PARAMS)
STEPS = 2

# Arguments without a default, by name; a factory that needs others is no rule on its own (a wrapper of functions, say).
NEEDED = {
    "learning_rate": 0.01,
    "clipping": 0.1,
    "eta": 0.1,
    "gamma": 0.5,
    "max_delta": 0.1,
    "max_norm": 0.1,
    "threshold": 0.1,
    "decay": 0.9,
    "step_size": 0.5,
    "seed": 0,
    "l2_norm_clip": 1.0,
    "noise_multiplier": 0.1,
    "max_consecutive_errors": 2,
    "max_backtracking_steps": 5,
    "max_linesearch_steps": 5,
    "mask": True,
    "inner": jopt.adam(0.01),
    "base_optimizer": jopt.sgd(0.1),
    "step_size_fn": jopt.linear_schedule(0.1, 0.0, 10),
}
PER_EXAMPLE = {"dpsgd", "differentially_private_aggregate"}  # gradients with a leading axis of examples
CURVATURE = {"sophia", "hutchinson_estimator_diag_hessian"}  # updates that call the loss
# Their updates want arguments or parameters of their own: params with fields, weights of two dimensions only.
OTHER_INPUTS = {"lookahead", "sam", "scale_by_muon"}
NOT_DYNAMIC = {
    "adafactor": {"min_dim_size_to_factor"},
    "scale_by_factored_rms": {"min_dim_size_to_factor"},
    "lbfgs": {"memory_size"},
    "scale_by_lbfgs": {"memory_size"},
    "galore": {"rank"},
    "scale_by_galore": {"rank"},
    "mechanize": {"num_betas"},
    "scale_by_sm3": {"b2"},
    "reduce_on_plateau": {"atol", "factor", "rtol"},
}


def _value(params):
    return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


def _calls():
    """Every public factory of Optax whose call with the arguments above gives a transformation."""
    found = {}
    for module in (optax, optax.contrib):
        for name, factory in sorted(vars(module).items()):
            if name.startswith("_") or inspect.isclass(factory) or not callable(factory) or name in OTHER_INPUTS:
                continue
            try:
                parameters = inspect.signature(factory).parameters.values()
                words = {p.name: NEEDED[p.name] for p in parameters if p.default is p.empty}
                if isinstance(factory(**words), optax.GradientTransformation):
                    found[name] = (factory, words)
            except (KeyError, TypeError, ValueError):
                continue
    return found


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CALLS = _calls()
RANDOM = {"noisy_sgd", "dpsgd", "sophia", "add_noise"}
# The building blocks are in them; compiling each of those too would cost a minute.
OPTIMIZERS = [name for name, (_, words) in CALLS.items() if "learning_rate" in words and not name.startswith("scale_by")]
each_factory = pytest.mark.parametrize("name", CALLS)


def _lifted(name):
    factory, words = CALLS[name]
    return jopt.lift(factory)(**words)


def _plain_leaf(x):
    return jax.random.key_data(x) if jax.dtypes.issubdtype(jnp.asarray(x).dtype, jax.dtypes.prng_key) else x


def _run(opt, name):
    """The updates of a few steps."""
    extra = {}
    if isinstance(CALLS[name][0](**CALLS[name][1]), optax.GradientTransformationExtraArgs):
        extra = {"value": _value(PARAMS), "grad": GRADS, "value_fn": _value}
    if name in CURVATURE:
        extra = {"obj_fn": _value}
    batch = 4 if name in PER_EXAMPLE else None
    params, state, seen = PARAMS, opt.init(PARAMS), []
    for i in range(STEPS):
        grads = jax.tree.map(lambda g, i=i: (1.0 + i) * (jnp.stack([g] * batch) if batch else g), GRADS)
        updates, state = opt.update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        seen.append(updates)
    return jax.tree.map(_plain_leaf, seen)


def test_the_public_factories_of_optax_are_found():
    assert len(CALLS) > 90
    aliases = {name for name in dir(optax) if getattr(getattr(optax, name), "__module__", "").endswith("_src.alias")}
    assert aliases <= set(CALLS)


@each_factory
def test_the_updates_are_those_of_optax(name):
    factory, words = CALLS[name]
    chex.assert_trees_all_equal(_run(_lifted(name), name), _run(factory(**words), name))


@each_factory
def test_the_value_is_a_pytree_of_its_numbers(name):
    opt = _lifted(name)
    factory, words = CALLS[name]
    call = inspect.signature(factory).bind(**words)
    call.apply_defaults()
    numbers = {k for k, v in call.arguments.items() if type(v) in (int, float)} - NOT_DYNAMIC.get(name, set())
    leaves = {jax.tree_util.keystr(path)[1:]: x for path, x in jax.tree_util.tree_flatten_with_path(opt)[0]}
    assert numbers <= set(leaves)
    assert all(leaves[k] == call.arguments[k] for k in numbers)
    assert opt.bound.spec.factory.static == frozenset(NOT_DYNAMIC.get(name, set()))
    assert opt == _lifted(name)
    assert hash(opt) == hash(_lifted(name))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_other_numbers_pass_through_jit_without_compiling_again(name):
    traces = []

    @jax.jit
    def run(opt):
        traces.append(opt)
        return _run(opt, name)

    opt = _lifted(name)
    changed = jax.tree.map(lambda x: x * 0.75 if isinstance(x, float) else x, opt)
    found = run(opt), run(changed)
    assert len(traces) == 1
    for updates in found:
        assert jax.tree.all(jax.tree.map(lambda u: bool(jnp.isfinite(u).all()), updates))
    if name not in RANDOM:
        chex.assert_trees_all_close(found[0], _run(opt, name), rtol=1e-4, atol=1e-6)


@each_factory
def test_the_value_can_be_pickled_and_copied(name):
    opt = _lifted(name)
    assert pickle.loads(pickle.dumps(opt)) == opt
    assert copy.deepcopy(opt) == opt


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (optax.constant_schedule, {"value": 0.1}),
        (optax.cosine_decay_schedule, {"init_value": 0.1, "decay_steps": 10}),
        (optax.exponential_decay, {"init_value": 0.1, "transition_steps": 5, "decay_rate": 0.5}),
        (optax.linear_schedule, {"init_value": 0.1, "end_value": 0.0, "transition_steps": 10}),
        (optax.polynomial_schedule, {"init_value": 0.1, "end_value": 0.0, "power": 2, "transition_steps": 10}),
        (optax.warmup_constant_schedule, {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3}),
        (
            optax.warmup_cosine_decay_schedule,
            {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3, "decay_steps": 10},
        ),
        (optax.cosine_onecycle_schedule, {"transition_steps": 10, "peak_value": 0.1}),
        (optax.linear_onecycle_schedule, {"transition_steps": 10, "peak_value": 0.1}),
        (
            optax.warmup_exponential_decay_schedule,
            {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3, "transition_steps": 5, "decay_rate": 0.5},
        ),
        (optax.piecewise_constant_schedule, {"init_value": 0.1, "boundaries_and_scales": {3: 0.5}}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_lifted_schedule_is_a_jopt_schedule_of_the_same_values(factory, words):
    lifted = jopt.lift(factory)(**words)
    assert isinstance(lifted, jopt.Schedule)
    assert jax.tree.leaves(lifted)
    evaluate = jax.jit(lambda schedule, step: schedule(step))
    for step in (0, 1, 4, 20):
        np.testing.assert_allclose(lifted(step), factory(**words)(step), rtol=1e-6)
        np.testing.assert_allclose(evaluate(lifted, step), lifted(step), rtol=1e-6, atol=1e-8)
    assert pickle.loads(pickle.dumps(lifted)) == lifted


def test_a_lifted_schedule_is_evaluated_in_any_number_of_a_rule():
    rate = jopt.lift(optax.linear_schedule)(1.0, 0.0, 4)
    opt = jopt.sgd(rate)
    assert opt.replace(init_value=0.5).hyperparams["learning_rate"]["init_value"] == 0.5
    _, state = opt.update(GRADS, opt.init(PARAMS), PARAMS)
    updates, _ = opt.update(GRADS, state, PARAMS)
    chex.assert_trees_all_close(updates, jax.tree.map(lambda g: -0.75 * g, GRADS))


def test_lifting_twice_is_lifting_once():
    assert jopt.lift(optax.lion) is jopt.lift(optax.lion)
    assert jopt.lift(functools.partial(optax.adam, b1=0.5))(0.1) == jopt.lift(functools.partial(optax.adam, b1=0.5))(0.1)


def test_declared_static_numbers_are_structure():
    opt = jopt.lift(optax.lion, static=["b1"])(1e-4)
    assert jax.tree.leaves(opt) == [1e-4, 0.99, 1e-3]
    assert jax.tree.leaves(jopt.lift(optax.lion)(1e-4)) == [1e-4, 0.9, 0.99, 1e-3]


def test_numbers_inside_a_container_that_a_factory_looks_at_are_structure():
    falling = jopt.lift(optax.piecewise_constant_schedule)(jopt.choice(0.1, 0.2), {3: 0.5})
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(falling)[0]] == [".init_value"]
    prodigy = jopt.lift(optax.contrib.prodigy)(betas=(0.8, 0.9))
    assert prodigy.replace(**{"betas.0": 0.7}).hyperparams["betas"] == [0.7, 0.9]


def test_structural_numbers_are_structure_whatever_their_value():
    sizes = {memory: jopt.lift(optax.scale_by_lbfgs)(memory) for memory in (3, 5)}
    assert jax.tree.structure(sizes[3]) != jax.tree.structure(sizes[5])
    assert sizes[3].init(PARAMS).weights_memory.shape == (3,)


def test_lanes_of_a_lifted_optimizer_equal_runs_of_optax():
    rates = jnp.array([0.01, 0.1, 1.0])
    lion = jopt.lift(optax.lion)
    found = jax.vmap(lambda rate: lion(rate).update(GRADS, lion(rate).init(PARAMS), PARAMS)[0])(rates)
    for i, rate in enumerate(rates):
        opt = optax.lion(rate)
        expected = opt.update(GRADS, opt.init(PARAMS), PARAMS)[0]
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], found), expected, rtol=1e-6)


def test_lifting_what_is_no_factory_says_so():
    with pytest.raises(TypeError, match="lift it before you call it"):
        jopt.lift(optax.adam(0.1))
    with pytest.raises(TypeError, match="neither a transformation nor a schedule"):
        jopt.lift(jnp.sum)(jnp.ones(3))


def test_a_structural_number_may_be_an_axis_of_a_sweep_alone():
    optimizer = jopt.lift(optax.scale_by_lbfgs)(jopt.choice(3, 5))
    with pytest.raises(ValueError, match=r"memory_size is structure.*jopt\.sweep"):
        jopt.lanes(optimizer)
    with pytest.raises(TypeError, match=r"memory_size of scale_by_lbfgs is an axis"):
        optimizer.init(jnp.zeros(3))


# Axes in nested values

RATES = (0.1, 0.2)
WRAPPERS = {
    "MultiSteps": lambda inner: jopt.lift(optax.MultiSteps)(inner, 2),
    "MultiSteps_of_a_part_with_needs_of_its_own": lambda inner: jopt.lift(optax.MultiSteps)(
        jopt.chain(inner, jopt.reduce_on_plateau(patience=0, monitor="val")), 2
    ),
    "mechanize": lambda inner: jopt.lift(optax.contrib.mechanize)(inner),
    "schedule_free": lambda inner: jopt.lift(optax.contrib.schedule_free)(inner, 0.1),
    "masked": lambda inner: jopt.lift(optax.masked)(inner, {"w": True, "b": False}),
    "apply_if_finite": lambda inner: jopt.lift(optax.apply_if_finite)(inner, 3),
    "flatten": lambda inner: jopt.lift(optax.flatten)(inner),
    "chain": lambda inner: jopt.lift(optax.chain)(optax.clip(1.0), inner),
    "partition": lambda inner: jopt.lift(optax.partition)({"a": inner, "b": jopt.adam(0.01)}, {"w": "a", "b": "b"}),
    "multi_transform": lambda inner: jopt.lift(optax.multi_transform)({"a": inner, "b": inner}, {"w": "a", "b": "b"}),
    "two_deep": lambda inner: jopt.lift(optax.MultiSteps)(jopt.lift(optax.apply_if_finite)(inner, 3), 2),
}


def _swept(opt):
    return jopt.sweep(
        lambda p, _: _value(p), PARAMS, opt, steps=6, evaluate=lambda p: {"val": _value(p)}, eval_every=1, progress=False
    )


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_lifted_wrapper_is_swept_by_the_axes_of_what_it_wraps(name):
    make = WRAPPERS[name]
    result = _swept(make(jopt.sgd(jopt.choice(*RATES))))
    assert result.record.losses["loss"].shape == (2, 1, 6)
    ends = result.record.losses["loss"][:, 0, -1]
    assert ends[0] != ends[1]
    for k, rate in enumerate(RATES):
        alone = _swept(make(jopt.sgd(rate))).record.losses["loss"]
        np.testing.assert_allclose(result.record.losses["loss"][k], alone, rtol=1e-5)


def test_lookahead_finds_its_structural_number_beside_an_axis():
    opt = jopt.lift(optax.lookahead)(jopt.sgd(jopt.choice(*RATES)), 2, 0.5)
    assert opt.bound.spec.factory.static == {"sync_period"}
    synced = optax.LookaheadParams.init_synced(PARAMS)
    stacked, axes = jopt.lanes(opt)
    found = jax.vmap(lambda o: o.update(GRADS, o.init(synced), synced)[0].fast, in_axes=(axes,))(stacked)
    for k, rate in enumerate(RATES):
        chex.assert_trees_all_close(
            jax.tree.map(lambda u, k=k: u[k], found), jax.tree.map(lambda g, rate=rate: -rate * g, GRADS), rtol=1e-6
        )


def test_what_a_part_with_an_axis_leaves_open_is_as_structural_as_without():
    for inner in (jopt.sgd(0.1), jopt.sgd(jopt.choice(*RATES)), optax.sgd(0.1)):
        assert jopt.lift(optax.contrib.mechanize)(inner).bound.spec.factory.static == {"num_betas"}
        assert jopt.lift(optax.MultiSteps)(inner, 2).bound.spec.factory.static == {"every_k_schedule"}

"""Trees of many small leaves, trained as one array inside a sweep: nobody outside can tell."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jopt
from jopt.engine import packing
from jopt.engine.packing import packing_of
from tests.solo import assert_same_run, lane, run_alone

DEPTH = packing.LEAVES // 2
X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)


def init(key):
    """A deep narrow network: two leaves for each layer, a scalar among them."""
    keys = jax.random.split(key, DEPTH)
    return {f"layer{i}": {"w": jnp.eye(4) + 0.1 * jax.random.normal(k, (4, 4)), "b": jnp.zeros(())} for i, k in enumerate(keys)}


PARAMS = init(jax.random.key(0))


def loss(params, x):
    y = x
    for i in range(DEPTH):
        y = jnp.tanh(y @ params[f"layer{i}"]["w"] + params[f"layer{i}"]["b"])
    return jnp.mean((y - x) ** 2)


RULES = {
    "sgd": lambda rate: jopt.sgd(rate, 0.9, nesterov=True),
    "momentum": jopt.momentum,
    "rmsprop": jopt.rmsprop,
    "adam": lambda rate: jopt.adam(jopt.warmup_cosine_decay_schedule(0.0, rate, 3, 10)),
    "clip and adamw": lambda rate: jopt.chain(jopt.clip_by_global_norm(0.05), jopt.adamw(rate)),
    "named": lambda rate: jopt.named_chain(("step", jopt.adam(rate)), ("plateau", jopt.reduce_on_plateau(patience=1))),
}


@pytest.mark.parametrize("name", RULES)
def test_a_packed_lane_equals_its_run_alone_leaf_by_leaf(name):
    rates = (0.01, 0.03)
    assert packing_of(PARAMS, RULES[name](jopt.choice(*rates))) is not None
    result = jopt.sweep(loss, PARAMS, RULES[name](jopt.choice(*rates)), X, steps=6, progress=False)
    for i, rate in enumerate(rates):
        assert_same_run(lane(result, i, 0), run_alone(loss, PARAMS, RULES[name](rate), [X] * 6), rtol=2e-4, atol=2e-5)


def test_seeds_evaluations_and_made_parameters_see_the_tree():
    def evaluate(params):
        return {"bias": params["layer0"]["b"], "leaves": len(jax.tree.leaves(params))}

    options = {"steps": 4, "seeds": 3, "evaluate": evaluate, "eval_every": 2, "progress": False}
    result = jopt.sweep(loss, init, jopt.adam(jopt.choice(0.01, 0.03)), X, plan=jopt.Plan(width=6), **options)
    assert result.params["layer3"]["w"].shape == (2, 3, 4, 4)
    assert (result.dataset.leaves == 2 * DEPTH).all()
    np.testing.assert_array_equal(result.dataset.bias[..., -1], result.params["layer0"]["b"])


def test_only_small_leaves_of_one_type_under_rules_that_allow_it_are_packed():
    @jopt.transformation
    def normalized(rate):  # a rule that tells leaves apart
        def update(updates, state, params=None, **extra_args):
            return jax.tree.map(lambda g: -rate * g / (jnp.linalg.norm(g) + 1e-6), updates), state

        return lambda params: (), update

    adam = jopt.adam(0.1)
    few = {"w": jnp.ones((3, 3))}
    large = {f"w{i}": jnp.ones(packing.ELEMENTS + 1) for i in range(packing.LEAVES)}
    mixed = {**PARAMS, "narrow": jnp.ones(2, jnp.bfloat16)}
    prefix = jopt.adam(dict.fromkeys(PARAMS, 0.1))
    assert packing_of(PARAMS, adam) is not None
    for params, optimizer in [
        (few, adam),
        (large, adam),
        (mixed, adam),
        (PARAMS, normalized(0.1)),
        (PARAMS, jopt.chain(jopt.clip(1.0), normalized(0.1))),
        (PARAMS, jopt.chain(adam, optax.scale(1.0))),
        (PARAMS, jopt.lift(optax.adam)(0.1)),
        (PARAMS, jopt.adamw(0.1, mask=jax.tree.map(lambda x: x.ndim > 1, PARAMS))),
        (PARAMS, jopt.adamw(0.1, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p))),
        (PARAMS, prefix),
        (PARAMS, optax.adam(0.1)),
    ]:
        assert packing_of(params, optimizer) is None, optimizer


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=packing.LEAVES, max_size=packing.LEAVES + 5))
def test_unpacking_undoes_packing_with_and_without_lanes(shapes):
    rng = np.random.default_rng(0)
    tree = {f"p{i}": rng.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    how = packing_of(tree, jopt.adam(0.1))
    flat = how.pack(tree)
    jax.tree.map(np.testing.assert_array_equal, how.unpack(flat), tree)
    lanes = how.unpack_lanes(np.stack([flat, 2 * flat]))
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, np.stack([y, 2 * y])), lanes, tree)

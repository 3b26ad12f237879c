"""Lane k of a sweep equals the same run alone, for every optimizer, schedule and form of hyperparameter."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from tests.cases import OPTIMIZERS, SHAPES, name_of, tree_like
from tests.solo import assert_same_run, lane, run_alone

STEPS = 12


def tree_loss(params, batch):
    """Squares around a moving target, of unlike curvature in each leaf."""
    leaves = jax.tree.leaves(params)
    terms = [(k + 1) * jnp.sum((leaf - batch[k]) ** 2) for k, leaf in enumerate(leaves)]
    return sum(terms) / 10


PARAMS = jax.tree.map(jnp.asarray, tree_like(SHAPES, seed=0))
TARGETS = np.random.default_rng(1).normal(size=(STEPS, 8)).astype(np.float32)


class Targets:
    """Batches that may be passed over again and again."""

    def __iter__(self):
        return iter(TARGETS)


def first_numbers(optimizer):
    """The paths of the first two numbers of a value that are not 0."""
    leaves = jax.tree_util.tree_flatten_with_path(optimizer)[0]
    return [(jax.tree_util.keystr(path).lstrip("."), x) for path, x in leaves if x != 0][:2]


@pytest.mark.parametrize("case", OPTIMIZERS, ids=name_of)
def test_every_lane_equals_its_run_alone(case):
    alone = case.make()
    axes = {path: jopt.choice(x, x / 2, name=f"axis_{k}") for k, (path, x) in enumerate(first_numbers(alone))}
    swept = alone.replace(**axes)
    result = jopt.sweep(tree_loss, PARAMS, swept, Targets(), steps=STEPS)
    for index in np.ndindex(*(2,) * len(axes)):
        setting = {path: axis.values[i] for (path, axis), i in zip(axes.items(), index, strict=True)}
        wanted = run_alone(tree_loss, PARAMS, alone.replace(**setting), TARGETS)
        assert_same_run(lane(result, *index, 0), wanted)
    if case.in_optax:
        wanted = run_alone(tree_loss, PARAMS, case.make("optax"), TARGETS)
        assert_same_run(lane(result, *(0 for _ in axes), 0), wanted)


# Schedules, chains and borrowed optimizers, each against Optax


def regression(params, batch):
    """A small nonlinear model: its gradients are of many sizes."""
    x, y = batch
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] - y) ** 2)


def weights(key):
    k1, k2 = jax.random.split(key)
    w1, w2 = jax.random.normal(k1, (3, 4)), jax.random.normal(k2, (4,))
    return {"w1": w1, "b1": jnp.zeros(4), "w2": w2}


def examples(n=24):
    x = jax.random.normal(jax.random.key(7), (n, 3))
    return x, jnp.sin(x @ jnp.array([1.0, -2.0, 0.5]))


WEIGHTS = weights(jax.random.key(3))
DATA = examples()
CLIP, ADAM = optax.clip(0.5), optax.scale_by_adam()


def warmup(peak, steps):
    return {"init_value": 0.0, "peak_value": peak, "warmup_steps": steps, "decay_steps": 20}


SWEPT = {
    "warmup_cosine": (
        lambda x, n: jopt.adam(jopt.warmup_cosine_decay_schedule(**warmup(x, n))),
        lambda x, n: optax.adam(optax.warmup_cosine_decay_schedule(**warmup(x, n))),
        (0.01, 0.05),
        (3, 8),
    ),
    "exponential": (
        lambda x, n: jopt.sgd(jopt.exponential_decay(x, n, 0.5), momentum=0.9),
        lambda x, n: optax.sgd(optax.exponential_decay(x, n, 0.5), momentum=0.9),
        (0.01, 0.1),
        (5, 10),
    ),
    "natural_exp": (
        lambda x, n: jopt.sgd(jopt.natural_exp_decay(x, n)),
        lambda x, n: optax.sgd(lambda t: x * jnp.exp(-n * t)),
        (0.01, 0.1),
        (0.1, 0.3),
    ),
    "piecewise": (
        lambda x, n: jopt.sgd(jopt.piecewise_constant_schedule(x, {6: n})),
        lambda x, n: optax.sgd(optax.piecewise_constant_schedule(x, {6: n})),
        (0.01, 0.1),
        (0.1, 0.5),
    ),
    "join": (
        lambda x, n: jopt.sgd(jopt.join_schedules([jopt.linear_schedule(0.0, x, 5), jopt.constant_schedule(x)], [n])),
        lambda x, n: optax.sgd(optax.join_schedules([optax.linear_schedule(0.0, x, 5), optax.constant_schedule(x)], [n])),
        (0.01, 0.1),
        (3, 5),
    ),
    "clipped_adam": (
        lambda x, n: jopt.chain(jopt.clip_by_global_norm(n), jopt.adam(x)),
        lambda x, n: optax.chain(optax.clip_by_global_norm(n), optax.adam(x)),
        (0.01, 0.1),
        (0.1, 1.0),
    ),
    "chain_of_optax_and_jopt": (
        lambda x, n: jopt.chain(CLIP, jopt.add_decayed_weights(n), ADAM, jopt.scale(x)),
        lambda x, n: optax.chain(CLIP, optax.add_decayed_weights(n), ADAM, optax.scale(x)),
        (-0.01, -0.1),
        (0.01, 0.1),
    ),
    "momentum_of_the_lecture": (
        lambda x, n: jopt.momentum(x, n),
        lambda x, n: optax.chain(optax.scale(-x), optax.trace(n)),
        (0.01, 0.1),
        (0.5, 0.9),
    ),
    "lifted_lion": (jopt.lift(optax.lion), optax.lion, (0.001, 0.01), (0.8, 0.9)),
    "lifted_adagrad": (jopt.lift(optax.adagrad), optax.adagrad, (0.01, 0.1), (0.1, 0.2)),
    "rates_of_layers": (
        lambda x, n: jopt.adam({"w1": x, "b1": n, "w2": 0.01}),
        lambda x, n: optax.partition(
            {"w1": optax.adam(x), "b1": optax.adam(n), "w2": optax.adam(0.01)}, {"w1": "w1", "b1": "b1", "w2": "w2"}
        ),
        (0.01, 0.1),
        (0.02, 0.2),
    ),
}


@pytest.mark.parametrize("name", SWEPT)
def test_every_lane_of_a_product_of_two_axes_equals_optax_alone(name):
    make, reference, first, second = SWEPT[name]
    swept = make(jopt.choice(*first, name="first"), jopt.choice(*second, name="second"))
    result = jopt.sweep(regression, WEIGHTS, swept, DATA, steps=STEPS)
    assert set(result.record.dims) == {"first", "second"}
    for i, j in np.ndindex(2, 2):
        index = (i, j) if result.record.dims[0] == "first" else (j, i)
        wanted = run_alone(regression, WEIGHTS, reference(first[i], second[j]), [DATA] * STEPS)
        assert_same_run(lane(result, *index, 0), wanted)
        assert result.optimizer_at(index) == make(first[i], second[j])


def test_an_optimizer_of_optax_without_axes_is_a_sweep_of_one_lane():
    result = jopt.sweep(regression, WEIGHTS, optax.adamw(0.01), DATA, steps=STEPS)
    assert result.record.dims == ()
    assert_same_run(lane(result, 0), run_alone(regression, WEIGHTS, optax.adamw(0.01), [DATA] * STEPS))


def test_an_optimizer_that_needs_the_loss_is_given_it():
    search = optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=8))
    result = jopt.sweep(regression, WEIGHTS, search, DATA, steps=5)
    assert_same_run(lane(result, 0), run_alone(regression, WEIGHTS, search, [DATA] * 5))


def test_the_trained_lane_is_handed_back_as_the_best():
    result = jopt.sweep(regression, WEIGHTS, jopt.adam(jopt.geomspace(1e-4, 1e-1, 4)), DATA, steps=STEPS, seeds=2)
    best = result.best()
    wanted = run_alone(regression, WEIGHTS, best.optimizer, [DATA] * STEPS)
    assert best.hyperparams["learning_rate"] == result.record.coords["learning_rate"][1][best.index[0]]
    assert_same_run(lane(result, *best.index, 0), wanted)
    np.testing.assert_allclose(best.params["w2"], wanted.params["w2"], rtol=2e-4)
    last_tenth = result.record.losses["loss"][..., -math.ceil(STEPS / 10) :]
    np.testing.assert_allclose(best.score, last_tenth.mean((-2, -1)).min(), rtol=1e-6)


# Groups, hypergradients of the same loop are in test_lanes_train.py


def test_groups_are_swept_by_name_and_each_lane_equals_its_run_alone():
    groups = {"sgd": jopt.sgd(jopt.choice(0.1, 0.2)), "adam": jopt.adam(jopt.choice(0.01, 0.02), b1=jopt.choice(0.8, 0.9))}
    result = jopt.sweep(regression, WEIGHTS, groups, DATA, steps=STEPS)
    assert list(result) == ["sgd", "adam"]
    assert result["adam"].record.dims == ("learning_rate", "b1")
    alone = [DATA] * STEPS
    assert_same_run(lane(result["sgd"], 1, 0), run_alone(regression, WEIGHTS, optax.sgd(0.2), alone))
    assert_same_run(lane(result["adam"], 1, 0, 0), run_alone(regression, WEIGHTS, optax.adam(0.02, b1=0.8), alone))
    assert result.best().group in groups


def test_a_group_sees_the_batches_of_every_other_group():
    x = np.arange(10.0, dtype=np.float32)
    groups = {"a": jopt.sgd(jopt.choice(0.0, 0.1)), "b": jopt.adam(jopt.choice(0.0, 0.1))}
    result = jopt.sweep(lambda w, b: jnp.mean((w - b) ** 2), jnp.float32(1.0), groups, x, steps=7, batch_size=3, seeds=2)
    still = [result[g].record.losses["loss"][0] for g in groups]  # at a rate of 0 the loss shows the batch
    np.testing.assert_array_equal(still[0], still[1])


def test_groups_of_which_only_one_is_drawn_take_samples():
    groups = {"a": jopt.sgd(jopt.loguniform(0.01, 0.1)), "b": jopt.sgd(0.1)}
    result = jopt.sweep(regression, WEIGHTS, groups, DATA, steps=2, samples=3)
    assert result["a"].record.shape == (3,)
    assert result["b"].record.shape == ()

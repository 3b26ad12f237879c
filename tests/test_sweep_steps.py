"""``jopt.sweep_steps``: training steps of one's own, for models with more than parameters."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.values.binding import hyperparams
from tests.solo import CLOSE

X = np.random.default_rng(0).normal(3.0, 2.0, size=(16, 3)).astype(np.float32)


# A model with batch statistics


def normalized(params, stats, x):
    mean, var = x.mean(0), x.var(0)
    moved = {"mean": 0.9 * stats["mean"] + 0.1 * mean, "var": 0.9 * stats["var"] + 0.1 * var}
    return ((x - mean) / jnp.sqrt(var + 1e-3)) @ params["w"], moved


def init(optimizer, key):
    params = {"w": jax.random.normal(key, (3,))}
    return params, {"mean": jnp.zeros(3), "var": jnp.ones(3)}, optimizer.init(params)


def step(optimizer, carry, batch, key):
    params, stats, state = carry

    def loss(p):
        out, moved = normalized(p, stats, batch)
        return jnp.mean((out - batch[:, 0]) ** 2), moved

    (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(grads, state, params)
    return (jopt.apply_updates(params, updates), stats, state), {"loss": value, "draw": jax.random.uniform(key)}


def evaluate(carry):
    params, stats, _ = carry
    out = ((X - stats["mean"]) / jnp.sqrt(stats["var"] + 1e-3)) @ params["w"]
    return {"val_loss": jnp.mean((out - X[:, 0]) ** 2)}


def swept(optimizer, **kwargs):
    return jopt.sweep_steps(init, step, optimizer, X, **{"steps": 8, "seeds": 2, "evaluate": evaluate, **kwargs})


@pytest.mark.parametrize("plan", ["auto", jopt.Plan(width=1, loop="host"), jopt.Plan(width=4, chunk=3, workers=2)])
def test_every_lane_with_batch_statistics_equals_its_run_alone(plan):
    result = swept(jopt.adam(jopt.choice(0.01, 0.1, 0.2)), plan=plan)
    assert result.dataset.loss.dims == ("learning_rate", "seed", "step")
    one = jax.jit(lambda carry: step(optax.adam(0.1), carry, X, jax.random.key(0)))
    for seed in range(2):
        weights = {"w": swept(jopt.adam(0.0), steps=1).params[0]["w"][seed]}  # a rate of 0 shows where a seed starts
        carry, losses = (weights, {"mean": jnp.zeros(3), "var": jnp.ones(3)}, optax.adam(0.1).init(weights)), []
        for _ in range(8):
            carry, metrics = one(carry)
            losses.append(metrics["loss"])
        np.testing.assert_allclose(result.record.losses["loss"][1, seed], losses, **CLOSE)
        np.testing.assert_allclose(result.params[1]["mean"][1, seed], carry[1]["mean"], **CLOSE)
        np.testing.assert_allclose(result.record.metrics["val_loss"][1, seed, -1], evaluate(carry)["val_loss"], **CLOSE)


def test_the_carry_of_the_best_lane_is_handed_back():
    best = swept(jopt.adam(jopt.choice(0.01, 0.1))).best("val_loss")
    params, stats, state = best.params
    assert params["w"].shape == (3,)
    assert stats["var"].shape == (3,)
    assert int(optax.tree.get(state, "count")) == 8


def test_lanes_of_a_seed_share_their_keys_and_batches():
    result = swept(jopt.sgd(jopt.choice(0.0, 0.1)), batch_size=4)
    np.testing.assert_array_equal(result.record.losses["draw"][0], result.record.losses["draw"][1])
    assert len(np.unique(result.record.losses["draw"])) == 16


def test_a_step_may_use_several_optimizers():
    optimizers = (jopt.sgd(jopt.choice(0.1, 0.2, name="inner")), jopt.sgd(jopt.choice(0.3, 0.4, 0.5, name="outer")))

    def begin(opts, key):
        return jnp.float32(1.0), jnp.float32(1.0)

    def descend(opts, carry, batch, key):
        a, b = carry
        down = [opt.update(2 * w, opt.init(w), w)[0] for opt, w in zip(opts, carry, strict=True)]
        return (a + down[0], b + down[1]), {"loss": a**2 + b**2}

    result = jopt.sweep_steps(begin, descend, optimizers, steps=3)
    assert result.record.shape == (2, 3)
    wanted = (1 - 2 * 0.2) ** 4 + (1 - 2 * 0.4) ** 4
    np.testing.assert_allclose(result.record.losses["loss"][1, 1, 0, 2], wanted, rtol=1e-5)


def test_a_step_may_read_the_numbers_of_the_optimizer():
    def begin(opt, key):
        return jnp.float32(1.0)

    def descend(opt, w, batch, key):
        return w * (1 - opt.hyperparams["learning_rate"]), {"loss": w}

    result = jopt.sweep_steps(begin, descend, jopt.sgd(jopt.choice(0.5, 0.75)), steps=3)
    np.testing.assert_allclose(result.params[:, 0], [0.125, 0.015625], rtol=1e-6)


def test_a_step_may_feed_a_plateau_itself():
    def make(rate):
        return jopt.chain(jopt.sgd(rate), jopt.reduce_on_plateau(patience=0, monitor="own"))

    def begin(opt, key):
        return jnp.float32(1.0), opt.init(jnp.float32(1.0))

    def descend(opt, carry, batch, key):
        w, state = carry
        updates, state = opt.update(jnp.float32(1.0), state, w, metrics={"own": jnp.float32(1.0)})
        return (w + updates, state), {"loss": w}

    result = jopt.sweep_steps(begin, descend, make(jopt.choice(0.5, 0.25)), steps=3)
    np.testing.assert_allclose(result.params[0][:, 0], [1 - 0.5 * 1.11, 1 - 0.25 * 1.11], rtol=1e-5)


def test_divergence_is_watched_on_the_first_metric_where_there_is_no_loss():
    def descend(opt, w, batch, key):
        return w * 10, {"energy": jnp.where(w > 50, jnp.inf, w)}

    result = jopt.sweep_steps(lambda opt, key: jnp.float32(1.0), descend, jopt.sgd(0.1), steps=5)
    assert result.record.diverged_at.tolist() == [3]


def test_a_carry_may_hold_integers_keys_and_bools():
    def begin(opt, key):
        return {"count": 0, "key": key, "flag": jnp.bool_(True), "w": jnp.float32(1.0)}

    def descend(opt, carry, batch, key):
        new, use = jax.random.split(carry["key"])
        moved = {"count": carry["count"] + 1, "key": new, "flag": ~carry["flag"], "w": carry["w"] / 2}
        return moved, {"loss": carry["w"], "draw": jax.random.uniform(use)}

    result = jopt.sweep_steps(begin, descend, jopt.sgd(jopt.choice(0.1, 0.2)), steps=3, seeds=2)
    assert result.params["count"].tolist() == [[3, 3], [3, 3]]
    assert result.params["flag"].tolist() == [[False, False]] * 2
    np.testing.assert_array_equal(result.record.losses["draw"][0], result.record.losses["draw"][1])


# Bad input


def start(opt, key):
    return jnp.float32(1.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Held:
    tx: Any = dataclasses.field(metadata={"static": True})
    w: Any = 1.0


@pytest.mark.parametrize(
    ("wrong", "error", "named"),
    [
        ((None, lambda o, c, b, k: (c, {"loss": c})), TypeError, r"init must be a function.*NoneType"),
        ((start, 3), TypeError, r"step must be a function.*int"),
        ((start, lambda o, c, b, k: c), TypeError, r"step must return \(carry"),
        ((start, lambda o, c, b, k: ((c, c), {"loss": c})), TypeError, "carry of the structure"),
        ((start, lambda o, c, b, k: (c, c)), TypeError, r"step must be a dict|step.*dict of named scalars"),
        ((start, lambda o, c, b, k: (c, {"loss": jnp.ones(3)})), ValueError, r"step: 'loss' must be a scalar.*\(3,\)"),
        ((start, lambda o, c, b, k: (jnp.ones(2), {"loss": c})), (TypeError, ValueError), r"carry.*shape.*\(2,\)"),
        (
            (lambda o, k: 0, lambda o, c, b, k: (0.9 * c + 0.1, {"loss": 1.0 * c})),
            TypeError,
            r"type int32; step made it float32",
        ),
        ((start, lambda o, c, b, k: (c.astype("bfloat16"), {"loss": c})), TypeError, r"\(root\) has type float32.*made it bfl"),
        (
            (lambda o, k: Held(o), lambda o, c, b, k: (c, {"loss": c.w * c.tx.hyperparams["learning_rate"]})),
            ValueError,
            "TrainState",
        ),
        (
            (lambda o: 1.0, lambda o, c, b, k: (c, {"loss": c})),
            TypeError,
            r"init must take \(optimizer, key\), but takes \(o\)",
        ),
        ((start, lambda c, b: (c, {"loss": c})), TypeError, r"step must take \(optimizer, carry, batch, key\)"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_init_or_step_is_refused_by_name(wrong, error, named):
    with pytest.raises(error, match=named):
        jopt.sweep_steps(*wrong, jopt.sgd(0.1), steps=3)


class Pair(NamedTuple):
    actor: Any
    critic: Any


HALF, TENTH = {"learning_rate": 0.5}, {"learning_rate": 0.1}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (lambda a, b: (a, b), {"sgd": HALF, "sgd_2": TENTH}),
        (lambda a, b: [a, jopt.named_chain(("x", b))], {"sgd": HALF, "named_chain": {"x": TENTH}}),
        (lambda a, b: (a, {"critic": b}), {"sgd": HALF, "part": {"critic": TENTH}}),
        (Pair, {"actor": HALF, "critic": TENTH}),
        (lambda a, b: (a, optax.adam(0.1)), {"sgd": HALF, "chain": {}}),
    ],
    ids=["tuple", "list", "nested", "named", "optax"],
)
def test_the_hyperparameters_of_a_tree_of_optimizers_are_a_tree_of_names(tree, expected):
    def step(opt, carry, batch, key):
        return (1.0 - opt[0].hyperparams["learning_rate"]) * carry, {"loss": carry}

    both = tree(jopt.sgd(jopt.choice(0.1, 0.5)), jopt.sgd(0.1))
    best = jopt.sweep_steps(lambda opt, key: jnp.float32(1.0), step, both, steps=4).best()
    assert best.hyperparams == expected
    assert best.optimizer[0] == jopt.sgd(0.5)


def test_the_names_of_a_dict_of_optimizers_are_its_keys():
    tree = {"actor": jopt.sgd(0.5), 2: (jopt.scale(3.0), jopt.identity())}
    assert hyperparams(tree) == {"actor": {"learning_rate": 0.5}, 2: {"scale": {"step_size": 3.0}, "identity": {}}}

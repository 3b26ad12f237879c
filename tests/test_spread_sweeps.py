"""Sweeps of parameters and data that are spread over a mesh: each lane over all devices. Each test runs in its own process."""

import pytest

from tests.test_sharding import run

START = """
import sys
import jax
import jax.numpy as jnp
import numpy as np
import jopt
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType[sys.argv[1]],))
rng = np.random.default_rng(0)
PARAMS = {"in": rng.normal(size=(8, 16)), "bias": np.zeros(16), "out": rng.normal(size=16) / 4}
PARAMS = jax.tree.map(np.float32, PARAMS)
SPECS = {"in": P(None, "x"), "bias": P("x"), "out": P()}
X = rng.normal(size=(64, 8)).astype(np.float32)
DATA = X, np.sin(X[:, 0])
OPT = jopt.adam(jopt.choice(1e-3, 1e-2, 1e-1))

def put(x, spec):
    return jax.device_put(x, NamedSharding(mesh, spec))

def spread():
    return {name: put(x, SPECS[name]) for name, x in PARAMS.items()}

def loss(params, batch):
    x, y = batch
    hidden = jnp.tanh(x @ params["in"] + params["bias"])
    return jnp.mean((jnp.sum(hidden * params["out"], -1) - y) ** 2)

def check(found, expected):
    "The records of two sweeps, and all that they kept."
    for name, values in expected.record.losses.items():
        np.testing.assert_allclose(found.record.losses[name], values, rtol=1e-4)
    for name, values in expected.record.metrics.items():
        np.testing.assert_allclose(found.record.metrics[name], values, rtol=1e-4)
    np.testing.assert_array_equal(found.record.steps_done, expected.record.steps_done)
    if expected.record.keep != "none":
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found.params, expected.params)

def lies_spread(tree):
    "Every array of a parameter's shape lies as the parameter, a quarter of it on each device; other arrays lie on all."
    for x in jax.tree.leaves(tree):
        specs = [SPECS[name] for name, p in PARAMS.items() if p.shape == x.shape] or [P()]
        assert any(x.sharding.is_equivalent_to(NamedSharding(mesh, spec), x.ndim) for spec in specs), (x.shape, x.sharding)

def both(optimizer, data=DATA, params=PARAMS, sharded=None, **words):
    "One sweep with the parameters on one device, and one with them spread."
    words = {"steps": 12, "progress": False, **words}
    return [jopt.sweep(loss, p, optimizer, data, **words) for p in (params, spread() if sharded is None else sharded)]
"""


def spread(code, axes="Auto"):
    run(code, axes, START)


@pytest.mark.parametrize("axes", ["Auto", "Explicit"])
def test_lanes_spread_over_a_mesh_train_as_on_one_device_and_stay_where_their_parameters_lie(axes):
    spread(
        """
        WIDE = PARAMS["in"].shape

        def look(event):
            for x in jax.live_arrays():  # nowhere lies a parameter or a moment of a parameter whole
                if x.shape == WIDE and len(x.sharding.device_set) == 4:
                    assert {s.data.nbytes for s in x.addressable_shards} == {x.nbytes // 4}
                seen.append(x.shape == WIDE and len(x.sharding.device_set) == 1)

        seen = []
        alone, found = both(OPT, batch_size=16, keep="carry", seeds=2, evaluate=lambda p: {"val": loss(p, DATA)})
        check(found, alone)
        assert "spread over 4 devices" in str(found.plan) and "spread" not in str(alone.plan)
        best = found.best()
        lies_spread((best.params, best.state))
        moments = [x for x in jax.tree.leaves(best.state) if x.shape == WIDE]
        assert len(moments) == 2
        assert all(shard.data.nbytes == x.nbytes // 4 for x in moments for shard in x.addressable_shards)
        jax.clear_caches()
        del alone, best, moments
        jopt.sweep(loss, spread(), OPT, DATA, steps=4, progress=False, callbacks=look)
        assert seen and not any(seen)

        data = tuple(put(x, P("x")) for x in DATA)
        expected = jopt.sweep(loss, PARAMS, OPT, DATA, steps=12, progress=False)
        explicit = sys.argv[1] == "Explicit"  # there, an axis of rows can't be that of columns, too
        for found in both(OPT, data, sharded=PARAMS if explicit else None):
            check(found, expected)
            assert len(found.best().params["in"].sharding.device_set) == 4
        """,
        axes,
    )


def test_all_that_a_sweep_does_it_does_with_lanes_spread_over_a_mesh_or_says_that_it_does_not():
    spread(
        """
        evaluate = jopt.metrics(lambda p, data: {"val": loss(p, data)}, data=DATA)
        with_plateau = jopt.chain(jopt.sgd(jopt.choice(0.01, 0.1), 0.9), jopt.reduce_on_plateau(0.5, patience=1, monitor="val"))
        falling = jopt.adam(jopt.cosine_decay_schedule(jopt.choice(1e-3, 1e-2, 1e-1), 12))
        batches = [jax.tree.map(lambda x, i=i: x[i : i + 8], DATA) for i in range(0, 64, 8)]
        for words in (
            {"optimizer": with_plateau, "evaluate": evaluate, "eval_every": 2},
            {"optimizer": OPT, "evaluate": evaluate, "keep": "best", "eval_every": 3, "record": "grad_norm", "record_every": 5},
            {"optimizer": OPT, "data": batches},
            {"optimizer": falling, "prune": jopt.TopFraction(0.25, 0.5), "seeds": 2, "keep": "none"},
        ):
            check(*reversed(both(**words)))
        lanes = both({"adam": OPT, "momentum": jopt.momentum(0.05)})
        for name in ("adam", "momentum"):
            check(lanes[1][name], lanes[0][name])

        first = jopt.sweep(loss, spread(), OPT, DATA, steps=5, keep="carry", progress=False)
        more = jopt.sweep(loss, first.best(), first.best().optimizer, DATA, steps=7, keep="carry", progress=False)
        whole = jopt.sweep(loss, PARAMS, first.best().optimizer, DATA, steps=12, keep="carry", progress=False)
        np.testing.assert_allclose(more.record.losses["loss"][0], whole.record.losses["loss"][0, 5:], rtol=1e-4)
        lies_spread((more.best().params, more.best().state))

        def init(optimizer, key):
            return spread(), optimizer.init(spread()), key

        def step(optimizer, carry, batch, key):
            params, state, own = carry
            value, grads = jax.value_and_grad(loss)(params, batch)
            updates, state = optimizer.update(grads, state, params)
            return (jopt.apply_updates(params, updates), state, jax.random.fold_in(own, 1)), {"loss": value}

        data = tuple(put(x, P()) for x in DATA)
        stepped = jopt.sweep_steps(init, step, OPT, data, steps=12, progress=False)
        np.testing.assert_allclose(stepped.record.losses["loss"], both(OPT)[0].record.losses["loss"], rtol=1e-4)
        lies_spread(stepped.best().params[:2])

        def error(*args, **words):
            try:
                jopt.sweep(loss, *args, steps=2, progress=False, **words)
            except ValueError as found:
                return str(found)

        half = jax.device_put(DATA[0], NamedSharding(jax.make_mesh((2,), ("y",), devices=jax.devices()[:2]), P("y")))
        assert "same devices" in error(spread(), OPT, (half, DATA[1]))
        assert "checkpoint=" in error(spread(), OPT, DATA, checkpoint="never-made")
        """
    )

"""What one call of ``jopt.sweep`` does: records, evaluations, seeds, divergence, types of parameters, compilations."""

import collections
import contextlib
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.solo import assert_same_run, lane, run_alone


def square(w, batch):
    return jnp.sum(w**2)


def of(value, dtype=jnp.float32):
    return jnp.asarray(value, dtype)


# Records and evaluations


def test_the_loss_is_that_before_each_step():
    result = jopt.sweep(square, of(1.0), jopt.sgd(jopt.choice(0.25, 0.5)), steps=3)
    np.testing.assert_allclose(result.record.losses["loss"][:, 0], [[1.0, 0.25, 0.0625], [1.0, 0.0, 0.0]])
    assert result.record.step.tolist() == [1, 2, 3]
    assert result.record.steps_done.tolist() == [[3], [3]]


def test_the_dimensions_are_the_axes_then_the_seeds_then_the_steps():
    swept = jopt.adam(jopt.choice(0.1, 0.2, 0.3), b1=jopt.choice(0.8, 0.9))
    dataset = jopt.sweep(square, of(1.0), swept, steps=4, seeds=5).dataset
    assert dataset.loss.dims == ("learning_rate", "b1", "seed", "step")
    assert dataset.loss.shape == (3, 2, 5, 4)
    assert dataset.diverged_at.dims == ("learning_rate", "b1", "seed")
    assert dataset.learning_rate.values.tolist() == [0.1, 0.2, 0.3]


def test_zipped_axes_share_a_dimension_of_the_result():
    rate, decay = jopt.zipped([0.1, 0.2], [1e-3, 1e-2])
    dataset = jopt.sweep(square, of(1.0), jopt.adamw(rate, weight_decay=decay), steps=2).dataset
    assert dataset.loss.dims == ("learning_rate", "seed", "step")
    assert dataset.weight_decay.dims == ("learning_rate",)
    assert dataset.weight_decay.values.tolist() == [1e-3, 1e-2]


def test_drawn_settings_are_lanes_like_others():
    swept = jopt.adam(jopt.loguniform(1e-3, 1e-1), b1=jopt.uniform(0.5, 0.9))
    result = jopt.sweep(square, of(1.0), swept, steps=3, samples=5)
    assert result.record.shape == (5,)
    setting = result.record.setting((2,))
    assert_same_run(lane(result, 2, 0), run_alone(square, of(1.0), jopt.adam(**setting), [None] * 3))
    assert result.optimizer_at((2,)) == jopt.adam(**setting)


def test_a_record_is_the_mean_over_its_steps_and_the_last_window_may_be_short():
    result = jopt.sweep(square, of(1.0), jopt.sgd(0.25), steps=5, record_every=2)
    assert result.record.step.tolist() == [2, 4, 5]
    losses = 0.25 ** np.arange(5)
    np.testing.assert_allclose(result.record.losses["loss"][0], [losses[:2].mean(), losses[2:4].mean(), losses[4]])


def test_auxiliary_values_are_recorded_as_the_loss_is():
    def loss(w, batch):
        return w**2, {"weight": w, "positive": w > 0, "three": 3}

    result = jopt.sweep(loss, of(1.0), jopt.sgd(jopt.choice(0.25, 0.5)), steps=4, has_aux=True, record_every=2)
    np.testing.assert_allclose(result.record.losses["weight"][0, 0], [0.75, 0.1875])
    np.testing.assert_allclose(result.record.losses["positive"][1, 0], [0.5, 0.0])
    assert result.dataset.three.dims == ("learning_rate", "seed", "step")
    assert (result.dataset.three == 3).all()


def evaluated(w):
    return {"value": w, "above": (w > 0.1).astype(jnp.float32)}


def test_evaluations_are_those_of_the_parameters_after_the_step():
    result = jopt.sweep(square, of(1.0), jopt.sgd(jopt.choice(0.25, 0.4)), steps=7, evaluate=evaluated, eval_every=3)
    assert result.record.eval_step.tolist() == [0, 3, 6, 7]
    np.testing.assert_allclose(result.record.metrics["value"][0, 0], 0.5 ** np.array([0, 3, 6, 7]))
    assert result.dataset.value.dims == ("learning_rate", "seed", "eval_step")
    assert result.best("value").setting == {"learning_rate": 0.4}
    assert result.best("value", mode="max").setting == {"learning_rate": 0.25}


@pytest.mark.parametrize(("steps", "count"), [(40, 21), (100, 21), (7, 8), (1, 2), (41, 15)])
def test_by_default_there_are_about_twenty_evaluations_beside_that_before_the_first_step(steps, count):
    result = jopt.sweep(square, of(1.0), jopt.sgd(0.25), steps=steps, evaluate=evaluated)
    assert len(result.record.eval_step) == count
    assert result.record.eval_step[0] == 0
    assert result.record.eval_step[-1] == steps


def test_evaluating_changes_no_loss():
    swept = jopt.adam(jopt.choice(0.1, 0.2))
    with_, without = (
        jopt.sweep(square, of([1.0, 2.0]), swept, steps=9, evaluate=evaluate, eval_every=eval_every)
        for evaluate, eval_every in ((lambda w: {"sum": w.sum()}, 2), (None, None))
    )
    np.testing.assert_allclose(with_.record.losses["loss"], without.record.losses["loss"], rtol=1e-6)


# Seeds


def test_seeds_are_a_count_or_the_seeds_themselves():
    def run(seeds):
        return jopt.sweep(square, jax.random.normal, jopt.sgd(jopt.choice(0.1, 0.2)), steps=2, seeds=seeds)

    three, chosen = run(3), run([2, 9])
    assert three.record.seeds.tolist() == [0, 1, 2]
    assert chosen.record.seeds.tolist() == [2, 9]
    np.testing.assert_array_equal(three.record.losses["loss"][:, 2, 0], chosen.record.losses["loss"][:, 0, 0])
    assert len(set(chosen.record.losses["loss"][0, :, 0].tolist())) == 2
    assert run(np.arange(2)).record.seeds.tolist() == [0, 1]
    assert run(range(2, 4)).record.seeds.tolist() == [2, 3]


# Divergence


def explosive(w, batch):
    return jnp.sum(w**2) * jnp.where(jnp.abs(w).max() > 1e3, jnp.nan, 1.0)


def test_a_diverged_lane_changes_no_other_lane_to_the_bit():
    def losses(first):
        swept = jopt.sgd(jopt.choice(first, 0.1, 0.2))
        plan = jopt.Plan(width=3, workers=1)
        return jopt.sweep(explosive, of([1.0, -2.0]), swept, steps=20, plan=plan)

    wild, tame = losses(5.0), losses(0.3)
    assert not np.isfinite(wild.record.losses["loss"][0]).all()
    np.testing.assert_array_equal(wild.record.losses["loss"][1:], tame.record.losses["loss"][1:])
    np.testing.assert_array_equal(wild.params[1:], tame.params[1:])


def test_divergence_is_recorded_at_the_first_step_whose_loss_is_not_finite():
    result = jopt.sweep(explosive, of(1.0), jopt.sgd(jopt.choice(5.0, 0.1)), steps=20, seeds=2)
    losses = result.record.losses["loss"][0, 0]
    first = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1  # steps count from 1
    assert first > 2
    np.testing.assert_array_equal(result.record.diverged_at, [[first, first], [np.nan, np.nan]])


@pytest.mark.parametrize("chunk", [1, 3, None])
@pytest.mark.parametrize("record_every", [1, 7])
def test_divergence_is_seen_however_the_steps_are_cut(chunk, record_every):
    def loss(w, batch):  # infinite at step 6 only, as both signs within one record
        return w * 0 + jnp.array([1.0, 2, 3, 4, 5, jnp.inf, -jnp.inf, 8, 9, 10])[batch]

    plan = jopt.Plan(chunk=chunk)
    result = jopt.sweep(loss, of(1.0), jopt.sgd(0.1), lambda key, step: step, steps=10, plan=plan, record_every=record_every)
    assert result.record.diverged_at.tolist() == [6]


def test_a_diverged_lane_is_never_best():
    def loss(w, batch):  # the lane of the highest rate has the lowest loss, once it was not finite
        return jnp.where(w < -4.0, jnp.where(w < -6.0, -100.0, jnp.nan), 0.0) + w

    result = jopt.sweep(loss, of(0.0), jopt.sgd(jopt.choice(0.1, 1.0)), steps=12)
    assert result.record.losses["loss"][1, 0, -1] < result.record.losses["loss"][0, 0, -1]
    assert result.best().setting == {"learning_rate": 0.1}
    assert result.best(at="best").setting == {"learning_rate": 0.1}


def test_a_sweep_of_which_every_lane_diverged_has_no_best():
    result = jopt.sweep(lambda w, _: w * jnp.nan, of(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), steps=3)
    assert result.record.diverged_at.tolist() == [[1], [1]]
    with pytest.raises(ValueError, match="diverged"):
        result.best()


# Types and trees of parameters

Layer = collections.namedtuple("Layer", ["w", "b"])


@pytest.mark.parametrize(
    "params",
    [
        1.5,
        np.float32(1.5),
        of([1.0, 2.0]),
        {0: of([1.0]), 1: of(2.0), 10: of([3.0, 4.0])},
        [of([1.0]), (of(2.0), {"a": of(3.0)})],
        Layer(of([[1.0, 2.0]]), of(0.5)),
        {"w": of([1.0, 2.0]), "none": None, "empty": {}, "nothing": jnp.zeros((0, 3))},
    ],
    ids=["float", "numpy", "array", "int_keys", "nested", "namedtuple", "holes"],
)
def test_parameters_may_be_any_tree_of_floating_numbers(params):
    def loss(p, batch):
        return sum(jnp.sum((leaf - 0.5) ** 2) for leaf in jax.tree.leaves(p))

    result = jopt.sweep(loss, params, jopt.adam(jopt.choice(0.1, 0.2)), steps=4, seeds=2)
    start = jax.tree.map(jnp.asarray, params)
    wanted = run_alone(loss, start, jopt.adam(0.2), [None] * 4)
    assert_same_run(lane(result, 1, 1), wanted)
    assert jax.tree.structure(result.best().params) == jax.tree.structure(params)
    assert [x.dtype for x in jax.tree.leaves(result.best().params)] == [x.dtype for x in jax.tree.leaves(start)]


def test_bfloat16_parameters_stay_bfloat16_and_equal_their_run_alone():
    params = {"w": of([1.0, -2.0, 0.25], jnp.bfloat16)}

    def loss(p, batch):
        return jnp.mean((p["w"].astype(jnp.float32) - 0.5) ** 2)

    result = jopt.sweep(loss, params, jopt.adam(jopt.choice(0.1, 0.05)), steps=6)
    assert result.params["w"].dtype == jnp.bfloat16
    wanted = run_alone(loss, params, jopt.adam(0.05), [None] * 6)
    assert_same_run(lane(result, 1, 0), wanted, rtol=1e-2)  # bfloat16 has eight bits


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("record_every", [1, 2])
def test_a_loss_in_a_narrow_type_is_recorded(dtype, record_every):
    def loss(w, batch):
        return jnp.sum(w**2)

    result = jopt.sweep(loss, of([1.0, 2.0], dtype), jopt.sgd(jopt.choice(0.25, 0.1)), steps=3, record_every=record_every)
    wanted = [[5.0, 1.25, 0.3125], [3.125, 0.3125]][record_every - 1]
    np.testing.assert_allclose(result.record.losses["loss"][0, 0].astype(np.float64), wanted, rtol=1e-2)


def test_float64_sweeps_keep_float64(x64):
    result = jopt.sweep(square, jnp.array([1.0, 2.0]), jopt.adam(jopt.geomspace(0.01, 0.1, 3)), steps=5)
    wanted = run_alone(square, jnp.array([1.0, 2.0]), jopt.adam(result.record.coords["learning_rate"][1][1]), [None] * 5)
    assert result.params.dtype == np.float64
    assert result.record.losses["loss"].dtype == np.float64
    assert_same_run(lane(result, 1, 0), wanted, rtol=1e-13)


def test_strict_promotion_holds_in_a_sweep(strict_promotion):
    def loss(w, batch):
        return jnp.mean((batch @ w - of(0.5)) ** 2)

    swept = jopt.adam(jopt.cosine_decay_schedule(jopt.choice(0.1, 0.2), 9), b1=jopt.choice(0.8, 0.9))
    result = jopt.sweep(loss, jnp.ones(3), swept, np.ones((6, 3), np.float32), steps=4, batch_size=2, seeds=2)
    assert np.isfinite(result.best().score)


# A plateau in the optimizer


def test_a_plateau_is_fed_the_loss_of_each_step():
    def loss(w, batch):
        return jnp.maximum(w, 0.5)

    def make(factor):
        return jopt.chain(jopt.sgd(0.25), jopt.reduce_on_plateau(factor=factor, patience=1))

    result = jopt.sweep(loss, of(2.0), make(jopt.choice(0.5, 0.1)), steps=15)
    for k, factor in enumerate((0.5, 0.1)):
        assert_same_run(lane(result, k, 0), run_alone(loss, of(2.0), make(factor), [None] * 15))


PLANS = [jopt.Plan(width=w, loop=loop, chunk=chunk) for w in (1, 2) for loop in ("scan", "host") for chunk in (None, 2)]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_plateau_is_told_of_each_evaluation_once_inside_a_compiled_loop_too(plan):
    # With a slope of 1 each step is the rate: it falls at the third evaluation of the same value, then at every second one.
    rates, seen = (0.5, 0.25), np.arange(30) // 4  # how many evaluations each step knows of
    watch = jopt.reduce_on_plateau(factor=0.5, patience=1, monitor="error")
    optimizer = jopt.chain(jopt.sgd(jopt.choice(*rates)), watch)
    options = {"steps": 30, "evaluate": lambda w: {"error": of(1.0)}, "eval_every": 4, "plan": plan}
    result = jopt.sweep(lambda w, _: w, of(2.0), optimizer, **options)
    halvings = np.maximum(0, (seen - 1) // 2)
    for k, rate in enumerate(rates):
        steps = rate * 0.5**halvings
        expected = 2.0 - np.cumsum(steps)
        np.testing.assert_allclose(result.record.losses["loss"][k, 0, 1:], expected[:-1], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result.params[k, 0], expected[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("plan", ["auto", jopt.Plan(width=1, loop="host"), jopt.Plan(width=2, chunk=2)])
def test_a_plateau_may_watch_an_evaluation(plan):
    def evaluate(w):
        return {"other": w, "val_accuracy": jnp.where(jnp.abs(w) < 0.6, 0.75, jnp.round(1 - jnp.abs(w), 1))}

    def make(factor):
        watch = jopt.reduce_on_plateau(factor=factor, patience=1, mode="max", monitor="val_accuracy")
        return jopt.chain(jopt.sgd(0.05, momentum=0.5), watch)

    def by_hand(optimizer):
        w, state, losses, metrics = of(2.0), optimizer.init(of(2.0)), [], {"val_accuracy": of(jnp.nan)}
        for t in range(24):
            value, grad = jax.value_and_grad(square)(w, None)
            fresh = t > 0 and t % 3 == 0  # three steps were done since the last evaluation
            metrics = evaluate(w) if fresh else metrics
            updates, state = optimizer.update(grad, state, w, metrics=metrics, evaluated=jnp.bool_(fresh))
            w, losses = w + updates, [*losses, float(value)]
        return losses, float(w)

    result = jopt.sweep(square, of(2.0), make(jopt.choice(0.5, 0.1)), steps=24, evaluate=evaluate, eval_every=3, plan=plan)
    for k, factor in enumerate((0.5, 0.1)):
        losses, last = by_hand(make(factor))
        np.testing.assert_allclose(result.record.losses["loss"][k, 0], losses, rtol=1e-5)
        np.testing.assert_allclose(result.params[k, 0], last, rtol=1e-5)
    plain = jopt.sweep(square, of(2.0), jopt.sgd(0.05, momentum=0.5), steps=24)
    assert not np.allclose(plain.params[0], result.params[0, 0])  # it did reduce


# Compilations


@contextlib.contextmanager
def compilations():
    """Collects the names of the programs that are compiled meanwhile."""
    names = []

    class Handler(logging.Handler):
        def emit(self, record):
            if "Finished XLA compilation" in record.getMessage():
                names.append(record.getMessage())

    logger, handler = logging.getLogger("jax._src.dispatch"), Handler()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        with jax.log_compiles():
            yield names
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def noisy(w, batch, key):
    return jnp.mean((batch @ w + 0.1 * jax.random.normal(key)) ** 2)


def norm(w):
    return {"norm": jnp.sum(w**2)}


EXAMPLES = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def counted_sweep(rates, **kwargs):
    settings = {"steps": 8, "batch_size": 4, "seeds": 2, "evaluate": norm}
    return jopt.sweep(noisy, jnp.ones(3), jopt.adam(rates), EXAMPLES, **{**settings, **kwargs})


def test_the_compilations_of_a_first_sweep_are_seen():
    with compilations() as names:
        jopt.sweep(lambda w, _: w**2 + 0.6180339, of(1.0), jopt.sgd(0.1), steps=2)  # as no other test has it
    assert names


@pytest.mark.parametrize("plan", ["auto", jopt.Plan(width=1), jopt.Plan(width=4, loop="host"), jopt.Plan(workers=2)])
def test_the_same_sweep_again_compiles_nothing(plan):
    first = counted_sweep(jopt.geomspace(1e-3, 1e-1, 5), plan=plan)
    with compilations() as names:
        second = counted_sweep(jopt.geomspace(1e-3, 1e-1, 5), plan=plan)
    assert names == []
    np.testing.assert_allclose(first.record.losses["loss"], second.record.losses["loss"], rtol=1e-5)


def test_another_grid_of_the_same_shape_compiles_nothing():
    counted_sweep(jopt.geomspace(1e-3, 1e-1, 5))
    with compilations() as names:
        counted_sweep(jopt.choice(0.3, 0.2, 0.1, 0.05, 0.01), seed=7, seeds=[5, 11])
        counted_sweep(jopt.loguniform(1e-3, 1e-1), samples=5)
    assert names == []


def test_other_initial_parameters_and_data_of_the_same_shape_compile_nothing():
    counted_sweep(jopt.geomspace(1e-3, 1e-1, 5))
    swept, params = jopt.adam(jopt.geomspace(1e-3, 1e-1, 5)), jnp.array([3.0, 2.0, 1.0])
    with compilations() as names:
        jopt.sweep(noisy, params, swept, EXAMPLES + 1, steps=8, batch_size=4, seeds=2, evaluate=norm)
    assert names == []


def test_an_optimizer_of_optax_handed_over_again_compiles_nothing():
    import optax

    optimizer = optax.adam(0.1)
    jopt.sweep(square, of([1.0, 2.0]), optimizer, steps=3)
    with compilations() as names:
        jopt.sweep(square, of([1.0, 2.0]), optimizer, steps=3)
    assert names == []


def test_the_loss_is_traced_as_often_for_a_thousand_lanes_as_for_two():
    def traces(lanes):
        seen = []

        def loss(w, batch):
            seen.append(1)
            return jnp.sum(w**2)

        jopt.sweep(loss, of([1.0, 2.0]), jopt.adam(jopt.geomspace(1e-3, 1e-1, lanes)), steps=4, plan=jopt.Plan(width=2))
        return len(seen)

    assert traces(1000) == traces(2)


def test_every_structure_is_compiled_once():
    def compiled(groups):
        with compilations() as names:
            jopt.sweep(lambda w, _: jnp.sum(w**2), of([1.0]), groups, steps=4, plan=jopt.Plan(width=2, workers=1))
        return len(names)

    one = compiled({"a": jopt.sgd(jopt.choice(0.1, 0.2))})
    assert compiled({k: jopt.sgd(jopt.choice(0.1 * i, 0.2 * i)) for i, k in enumerate("abcd", 1)}) <= one


# What is said meanwhile


def test_progress_false_says_nothing(capfd):
    jopt.sweep(square, of(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), steps=5, progress=False)
    assert capfd.readouterr() == ("", "")


def test_where_there_is_no_terminal_nothing_is_said(capfd):
    jopt.sweep(square, of(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), steps=5)
    assert capfd.readouterr() == ("", "")


def test_progress_true_shows_a_bar(capfd):
    jopt.sweep(square, of(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), steps=5, progress=True)
    assert "2 done, best learning_rate=0.2" in capfd.readouterr().err


def test_a_result_says_how_it_was_run():
    result = jopt.sweep(square, of(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), steps=5, seeds=3)
    assert result.timings.lane_steps == 30
    assert result.timings.total_s >= result.timings.run_s > 0
    assert str(result.plan)

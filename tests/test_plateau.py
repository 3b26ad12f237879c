"""``reduce_on_plateau`` against PyTorch's scheduler, and where it is meant to differ from Optax's."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jopt

LENGTH = 60


def multipliers(opt, metrics, **extra):
    """What the update is multiplied by after each metric."""
    return np.asarray(_multipliers(opt, np.asarray(metrics), extra))


def optax_multipliers(metrics, **settings):
    opt, found = optax.contrib.reduce_on_plateau(**settings), []
    state = opt.init(jnp.ones([]))
    for metric in metrics:
        u, state = jax.jit(opt.update)(jnp.ones([]), state, value=metric)
        found.append(float(u))
    return found


@jax.jit
def _multipliers(opt, metrics, extra):
    def step(state, metric):
        u, state = opt.update(jnp.ones([]), state, jnp.ones([]), value=metric, **extra)
        return state, u

    return jax.lax.scan(step, opt.init(jnp.ones([])), metrics)[1]


def torch_rates(metrics, **settings):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0.0, **settings)
    rates = []
    for metric in metrics:
        scheduler.step(float(metric))
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


# On a grid, so that no threshold is met by rounding.
metrics = st.lists(st.integers(1, 40).map(lambda n: n / 8), min_size=LENGTH, max_size=LENGTH)


@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("mode", ["min", "max"])
@hypothesis.given(
    metrics=metrics,
    factor=st.sampled_from([0.1, 0.5, 0.9]),
    patience=st.integers(0, 6),
    cooldown=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.01, 0.25]),
    min_lr=st.sampled_from([0.0, 0.01, 0.2, 0.7]),
)
@hypothesis.settings(max_examples=60)
def test_the_rate_is_pytorchs_for_positive_metrics(
    mode, threshold_mode, metrics, factor, patience, cooldown, threshold, min_lr, x64
):
    shared = {"factor": factor, "patience": patience, "cooldown": cooldown, "min_lr": min_lr}
    tolerances = {"rtol" if threshold_mode == "rel" else "atol": threshold}
    opt = jopt.chain(jopt.sgd(0.5), jopt.reduce_on_plateau(**{"rtol": 0.0, **tolerances, **shared, "mode": mode}))
    expected = torch_rates(metrics, mode=mode, threshold=threshold, threshold_mode=threshold_mode, **shared)
    np.testing.assert_allclose(-multipliers(opt, metrics), expected, rtol=1e-12)


def test_pytorchs_documented_rates_for_patience_2_and_a_constant_metric():
    opt = jopt.chain(jopt.scale(1.0), jopt.reduce_on_plateau(patience=2))
    expected = [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]
    np.testing.assert_allclose(multipliers(opt, np.ones(10)), expected, rtol=1e-6)


def test_a_negative_metric_that_falls_is_never_a_plateau():
    falling = -np.linspace(1.0, 2.0, LENGTH)
    assert np.all(multipliers(jopt.reduce_on_plateau(patience=0), falling) == 1.0)


def test_a_negative_metric_that_settles_is_a_plateau():
    opt = jopt.reduce_on_plateau(factor=0.5, patience=3)
    expected = [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert multipliers(opt, np.full(9, -2.0)).tolist() == expected


def test_a_metric_that_falls_below_zero_has_improved():
    found = multipliers(jopt.reduce_on_plateau(factor=0.5, patience=0), [1.0, 0.0, -1.0, -0.5])
    assert found.tolist() == [1, 1, 1, 0.5]


def test_an_increase_from_a_negative_value_counts_for_mode_max():
    opt = jopt.reduce_on_plateau(factor=0.5, patience=0, mode="max")
    assert multipliers(opt, [-3.0, -2.0, -1.0, -1.5]).tolist() == [1, 1, 1, 0.5]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_counts_as_bad_and_is_never_the_best(mode):
    opt = jopt.reduce_on_plateau(factor=0.5, patience=1, mode=mode)
    values = [np.nan, np.nan, 1.0, np.nan, np.nan, 1.0]
    assert multipliers(opt, values).tolist() == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_a_monitored_metric_counts_only_where_it_was_evaluated():
    opt = jopt.reduce_on_plateau(factor=0.5, patience=0, mode="max", monitor="accuracy")
    state, found = opt.init(jnp.ones([])), []
    for accuracy, evaluated in [(0.5, True), (0.4, False), (0.3, False), (0.4, True), (0.6, True)]:
        seen = {"metrics": {"accuracy": accuracy}, "evaluated": evaluated}
        u, state = opt.update(jnp.ones([]), state, **seen)
        found.append(float(u))
    assert found == [1, 1, 1, 0.5, 0.5]


def test_min_lr_bounds_the_rate_of_update_where_the_chain_has_none():
    opt = jopt.reduce_on_plateau(factor=0.1, patience=0, min_lr=0.05)
    found = multipliers(opt, np.ones(4), learning_rate=0.5)
    np.testing.assert_allclose(found, [1, 0.1, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(multipliers(opt, np.ones(4)), [1, 0.1, 0.05, 0.05], rtol=1e-6)


@pytest.mark.parametrize("name", ["factor", "patience", "rtol", "atol", "cooldown", "min_lr", "accumulation_size"])
def test_every_number_may_be_traced(name):
    settings = {"factor": 0.5, "patience": 1, "rtol": 0.1, "atol": 0.1, "cooldown": 1}
    settings.update(min_lr=0.1, accumulation_size=1)
    values = jnp.array([3.0, 2.0, 1.9, 1.8, 1.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])

    def traced(x):
        opt = jopt.reduce_on_plateau(**{**settings, name: x})
        return _multipliers(opt, values, {})

    expected = multipliers(jopt.reduce_on_plateau(**settings), values)
    assert expected[-1] < 0.5
    np.testing.assert_allclose(jax.jit(traced)(settings[name]), expected, rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(traced(x)))(float(settings[name]))
    assert np.isfinite(slope)


# Several values make one observation


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_an_observation_is_the_mean_of_accumulation_size_values_as_in_optax(size):
    values = np.random.default_rng(size).uniform(0.5, 1.5, 20 * size).astype(np.float32)
    opt = jopt.reduce_on_plateau(factor=0.5, patience=1, rtol=0.01, accumulation_size=size)
    found = multipliers(opt, values)
    assert found[-1] < 0.1
    # Optax reduces one observation earlier for the same patience.
    assert found.tolist() == optax_multipliers(values, factor=0.5, patience=2, rtol=0.01, accumulation_size=size)
    means = values.astype(np.float64).reshape(-1, size).mean(1)
    once = multipliers(jopt.reduce_on_plateau(factor=0.5, patience=1, rtol=0.01), means)
    np.testing.assert_array_equal(found[size - 1 :: size], once)
    assert all(len(set(found[i : i + size - 1])) <= 1 for i in range(size - 1, len(found), size))


def test_the_state_is_built_as_that_of_optax():
    opt = jopt.reduce_on_plateau(accumulation_size=3)
    optaxs = optax.contrib.reduce_on_plateau(accumulation_size=3)
    assert opt.init(jnp.ones([]))._fields == optaxs.init(jnp.ones([]))._fields
    state = opt.init(jnp.ones([]))
    for value in (1.0, 2.0):
        _, state = opt.update(jnp.ones([]), state, value=value)
    assert (int(state.count), float(state.avg_value), float(state.best_value)) == (2, 1.5, np.inf)
    _, state = opt.update(jnp.ones([]), state, value=6.0)
    assert (int(state.count), float(state.avg_value), float(state.best_value)) == (0, 0.0, 3.0)


def test_nan_spoils_the_observation_that_it_is_part_of_and_no_other():
    opt = jopt.reduce_on_plateau(factor=0.5, patience=0, accumulation_size=2)
    values = [1.0, 1.0, np.nan, 0.0, 0.5, 0.5, 0.1, 0.1]
    assert multipliers(opt, values).tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_a_monitored_metric_of_which_nobody_says_when_it_was_evaluated_was_evaluated_now():
    opt = jopt.reduce_on_plateau(factor=0.5, patience=0, monitor="flat")
    state = opt.init(jnp.float32(1.0))
    for _ in range(3):
        updates, state = opt.update(jnp.float32(1.0), state, metrics={"flat": 1.0})
    assert float(updates) < 1.0


def test_with_a_monitored_metric_evaluations_are_counted_and_not_steps():
    opt = jopt.reduce_on_plateau(factor=0.5, patience=0, mode="max", monitor="accuracy", accumulation_size=2)
    state, found = opt.init(jnp.ones([])), []
    for accuracy, evaluated in [(0.5, True), (9.0, False), (0.7, True), (9.0, False), (0.6, True), (9.0, False), (0.6, True)]:
        u, state = opt.update(jnp.ones([]), state, metrics={"accuracy": accuracy}, evaluated=evaluated)
        found.append(float(u))
    assert found == [1, 1, 1, 1, 1, 1, 0.5]
    assert float(state.best_value) == pytest.approx(0.6)


@pytest.mark.parametrize("plan", [jopt.Plan(loop="scan"), jopt.Plan(loop="host")], ids=["scan", "host"])
def test_accumulation_size_is_swept_with_a_monitored_metric(plan):
    """Evaluated at every second step, the metric never improves: with patience 0 every complete mean but the first reduces."""
    watch = jopt.reduce_on_plateau(factor=0.5, patience=0, monitor="flat", accumulation_size=jopt.choice(1, 2, 3, name="size"))
    result = jopt.sweep(
        lambda w, _: w,  # so that each step is the rate
        jnp.float32(0.0),
        jopt.chain(jopt.sgd(1.0), watch),
        steps=24,
        evaluate=lambda w: {"flat": 0.0 * w},
        eval_every=2,
        plan=plan,
        progress=False,
    )
    steps = -np.diff(result.record.losses["loss"][:, 0], axis=1)
    reductions = -np.log2(steps[:, -1])
    seen = reductions[0] + 1  # observations until then, the first of which is the best
    assert seen >= 10
    assert reductions.tolist() == [seen - 1, seen // 2 - 1, seen // 3 - 1]

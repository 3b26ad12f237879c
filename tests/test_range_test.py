"""The learning rate range test: its run against a loop, its rules against curves made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.results.range_test import RangeTest

X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
Y = X @ np.float32([1.0, -2.0, 0.5, 0.1])


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def found_on(losses, rates=None):
    losses = np.asarray(losses, float)
    rates = np.geomspace(1e-7, 10, len(losses)) if rates is None else rates
    return RangeTest(rates, losses, losses, 0)


def test_the_run_is_that_of_a_loop_with_a_growing_rate():
    found = jopt.lr_range_test(loss, jnp.zeros(4), jopt.adam(1.0), (X, Y), low=1e-5, high=1.0, steps=40)
    rates = 1e-5 * (1.0 / 1e-5) ** (np.arange(40) / 40)
    np.testing.assert_allclose(found.rates, rates[: len(found.rates)], rtol=1e-12)
    optimizer = optax.scale_by_adam()
    w, losses = jnp.zeros(4), []
    state = optimizer.init(w)
    for rate in rates:
        value, grads = jax.value_and_grad(loss)(w, (X, Y))
        losses.append(float(value))
        updates, state = optimizer.update(grads, state)
        w = w - rate * updates
    np.testing.assert_allclose(found.losses, losses[: len(found.losses)], rtol=2e-4)
    mean = 0.0
    for t, each in enumerate(found.losses, 1):
        mean = 0.98 * mean + 0.02 * each
        np.testing.assert_allclose(found.smoothed[t - 1], mean / (1 - 0.98**t), rtol=1e-9)


def test_what_comes_after_four_times_the_lowest_loss_is_left_out():
    losses = np.r_[np.linspace(1.0, 0.5, 60), np.full(40, 1e6)]
    found = RangeTest.of(np.geomspace(1e-7, 10, 100), losses)
    assert len(found.rates) == 60
    assert found.first == 10
    broken = RangeTest.of(np.geomspace(1e-7, 10, 100), np.r_[np.linspace(1.0, 0.5, 60), np.nan, np.ones(39)])
    assert len(broken.rates) == 60


def test_rules_on_a_curve_made_by_hand():
    x = np.linspace(-7, 1, 105)
    losses = 2 - 1 / (1 + np.exp(-4 * (x + 3))) + np.exp(3 * (x + 0.2))  # falls around 1e-3, climbs at 1
    found = found_on(losses, 10.0**x)
    used = slice(0, 100)
    lowest = 10.0 ** x[used][np.argmin(losses[used])]
    assert found.minimum == pytest.approx(lowest / 10)
    assert found.steepest == pytest.approx(1e-3, rel=0.4)
    falling = np.argmin(losses[used])  # the curve falls from the first point to its lowest one
    length = falling + 1
    begin = falling - length
    assert found.valley == pytest.approx(10.0 ** x[begin + int(length / 3) + int(length / 6)])


def test_the_slide_ends_where_slopes_fifteen_points_apart_are_alike():
    losses = np.r_[np.zeros(90), 0.05 * np.arange(1, 16) ** 2]
    found = found_on(losses)
    assert found.rates[72] <= found.slide <= found.rates[76]


def test_every_learning_rate_of_a_chain_grows():
    chained = jopt.chain(jopt.clip_by_global_norm(1.0), jopt.sgd(0.5, momentum=0.5))
    plain = jopt.lr_range_test(loss, jnp.zeros(4), jopt.sgd(0.5, momentum=0.5), (X, Y), steps=40, low=1e-4, high=0.1)
    clipped = jopt.lr_range_test(loss, jnp.zeros(4), chained, (X, Y), steps=40, low=1e-4, high=0.1)
    assert clipped.losses[-1] > plain.losses[-1]
    assert len(clipped.rates) == 40


def test_data_in_batches_parameters_from_a_key_and_a_loss_with_a_key():
    def noisy(w, batch, key):
        return loss(w, batch) + 0.0 * jax.random.normal(key)

    found = jopt.lr_range_test(noisy, lambda key: jax.random.normal(key, (4,)), jopt.adam(1.0), (X, Y), batch_size=8, steps=50)
    assert np.isfinite(found.losses).all()
    assert "valley" in repr(found)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (jopt.sgd(jopt.cosine_decay_schedule(0.1, 10)), "is a schedule"),
        (jopt.scale(0.1), "no learning_rate"),
    ],
)
def test_an_optimizer_without_a_plain_rate_is_refused(optimizer, message):
    with pytest.raises(ValueError, match=message):
        jopt.lr_range_test(loss, jnp.zeros(4), optimizer, (X, Y))


@pytest.mark.parametrize("numbers", [{"low": 0.0}, {"low": 1.0, "high": 0.1}, {"steps": 9}])
def test_numbers_out_of_their_range_are_refused(numbers):
    with pytest.raises(ValueError, match=next(iter(numbers))):
        jopt.lr_range_test(loss, jnp.zeros(4), jopt.sgd(0.1), (X, Y), **numbers)


def test_a_run_that_blows_up_at_once_says_so():
    with pytest.raises(ValueError, match="too few to read a rate off"):
        jopt.lr_range_test(loss, jnp.zeros(4), jopt.sgd(0.1), (X, Y), low=1e3, high=1e6, steps=30)


def test_the_picture_marks_the_four_rates():
    found = jopt.lr_range_test(loss, jnp.zeros(4), jopt.adam(1.0), (X, Y), steps=60)
    labels = [each.get_text() for each in found.plot().get_legend().get_texts()]
    assert [label.split(",")[0] for label in labels[2:]] == ["valley", "slide", "steepest", "minimum"]

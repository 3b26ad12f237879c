"""Zooming in on the best setting."""

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.compiled import executables


def loss(w, batch):
    return jnp.sum(jnp.array([0.2, 1.0, 2.0]) * w**2)


def run(optimizer, **options):
    return jopt.sweep(loss, jnp.ones(3), optimizer, steps=10, progress=False, **options)


def test_a_logarithmic_axis_is_cut_around_the_best_and_compiles_nothing_new(monkeypatch):
    first = run(jopt.sgd(jopt.geomspace(1e-3, 10.0, 9)))
    narrower = first.zoom(4)
    best = first.best().setting["learning_rate"]
    values = narrower.hyperparams["learning_rate"].values
    assert len(values) == 9
    assert values[4] == pytest.approx(best)
    assert values[-1] / values[0] == pytest.approx(10.0)
    compiled, real = [], executables._compile
    monkeypatch.setattr(executables, "_compile", lambda *args: compiled.append(args) or real(*args))
    second = run(narrower)
    assert not compiled
    assert second.best().score <= first.best().score


def test_a_linear_axis_stays_within_its_ends():
    result = run(jopt.momentum(0.05, momentum=jopt.linspace(0.0, 0.9, 4)))
    values = np.array(result.zoom(3).hyperparams["momentum"].values)
    assert values.min() >= 0.0
    assert values.max() <= 0.9
    assert np.ptp(values) == pytest.approx(0.3)


def test_one_axis_in_two_places_stays_one_and_drawn_axes_stay_drawn():
    axis = jopt.geomspace(1e-3, 0.1, 3)
    twice = run(jopt.chain(jopt.scale(axis), jopt.sgd(axis))).zoom()
    assert twice.hyperparams["scale"]["step_size"] is twice.hyperparams["sgd"]["learning_rate"]
    drawn = run(jopt.sgd(jopt.loguniform(1e-3, 0.1)), samples=4).zoom(2)
    low, high = drawn.hyperparams["learning_rate"].values
    assert high / low == pytest.approx(10.0)


def test_axes_that_are_walked_together_are_refused():
    rate, momentum = jopt.zipped([0.1, 0.01], [0.0, 0.5])
    with pytest.raises(ValueError, match="zipped"):
        run(jopt.momentum(rate, momentum=momentum)).zoom()
    with pytest.raises(ValueError, match="factor"):
        run(jopt.sgd(jopt.choice(0.1, 0.2))).zoom(1)


def test_more_draws_begin_with_the_fewer_ones():
    few, many = (run(jopt.momentum(jopt.loguniform(1e-3, 0.1), momentum=jopt.uniform(0.0, 0.9)), samples=n) for n in (32, 64))
    for name in ("learning_rate", "momentum"):
        np.testing.assert_array_equal(few.dataset[name], many.dataset[name][:32])

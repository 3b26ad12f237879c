"""Axes of whole numbers: drawn, as grids, zoomed."""

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.expanding import expand
from jopt.results.zooming import _narrower


def loss(w, batch):
    return jnp.sum(w**2)


def draws(axis, samples, seed=0):
    """The values of the one drawn axis, as the settings have them."""
    space = expand(jopt.sgd(0.1), samples, seed, hyper={"n": axis})
    return [space.hyper_at(k)["n"] for k in range(samples)]


@hypothesis.given(st.integers(-50, 50), st.integers(1, 300), st.integers(1, 64), st.integers(0, 9))
def test_draws_are_whole_numbers_between_both_ends_and_more_begin_with_the_fewer(low, span, samples, seed):
    axis = jopt.uniform(low, low + span, dtype=int)
    found = draws(axis, samples, seed)
    assert all(type(x) is int and low <= x <= low + span for x in found)
    assert draws(axis, 2 * samples, seed)[:samples] == found


@pytest.mark.parametrize("axis", [jopt.uniform(1, 8, dtype=int), jopt.uniform(-3, 4, dtype=int)], ids=["above", "around"])
def test_each_whole_number_comes_as_often_as_the_others_the_ends_too(axis):
    low, high = axis.values
    assert np.unique(draws(axis, 64), return_counts=True)[1].tolist() == [8] * (high - low + 1)


def test_draws_on_a_logarithmic_scale_are_as_many_in_each_octave():
    found = np.array(draws(jopt.loguniform(1, 1023, dtype=int), 512))
    assert found.min() == 1
    assert found.max() > 900
    octaves = np.bincount(np.floor(np.log2(found + 0.5)).astype(int))
    assert np.ptp(octaves[2:]) <= 4  # rounding makes the first ones wider
    assert set(draws(jopt.loguniform(1, 3, dtype=int), 64)) == {1, 2, 3}


def test_a_drawn_number_of_steps_is_what_a_schedule_would_be_given():
    schedule = jopt.cosine_decay_schedule(0.1, jopt.uniform(10, 20, dtype=int))
    result = jopt.sweep(loss, jnp.ones(2), jopt.sgd(schedule), steps=12, samples=8, progress=False)
    assert result.dataset.decay_steps.dtype.kind == "i"
    for k, steps in enumerate(result.dataset.decay_steps.values.tolist()):
        assert result.optimizer_at((k,)) == jopt.sgd(jopt.cosine_decay_schedule(0.1, steps))


def test_drawn_whole_numbers_of_the_users_own_arrive_as_whole_numbers():
    def counted(w, batch, hyper):
        assert jnp.issubdtype(hyper["n"].dtype, jnp.integer)
        return loss(w, batch) + hyper["n"]

    more = {"hyper": {"n": jopt.uniform(1, 9, dtype=int)}, "samples": 4, "progress": False}
    result = jopt.sweep(counted, jnp.zeros(2), jopt.sgd(0.1), steps=2, **more)
    np.testing.assert_array_equal(result.dataset.loss[:, 0, 0], result.dataset.n)


def test_grids_of_whole_numbers_are_the_nearest_ones_with_both_ends():
    assert jopt.geomspace(10, 1000, 5, dtype=int).values == (10, 32, 100, 316, 1000)
    assert jopt.linspace(0, 10, 4, dtype=int).values == (0, 3, 7, 10)
    assert jopt.linspace(10, 0, 3, dtype=int).values == (10, 5, 0)
    assert all(type(x) is int for x in jopt.linspace(0.0, 4.0, 5, dtype=int).values)
    assert all(type(x) is float for x in jopt.linspace(0, 4, 5).values)


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: jopt.uniform(0.5, 3, dtype=int), ValueError, "ends of an axis must be whole numbers, but low is 0.5"),
        (lambda: jopt.loguniform(0.5, 3, dtype=int), ValueError, "whole numbers"),
        (lambda: jopt.uniform(3, 3, dtype=int), ValueError, "low < high"),
        (lambda: jopt.linspace(0, 2.5, 3, dtype=int), ValueError, "whole numbers, but stop is 2.5"),
        (lambda: jopt.geomspace(1, 10, 20, dtype=int), ValueError, "geomspace: 20 whole numbers from 1 to 10.*lower num"),
        (lambda: jopt.uniform(1, 3, dtype=bool), TypeError, "uniform: dtype must be float or int"),
        (lambda: jopt.linspace(1, 3, 3, dtype="int"), TypeError, "linspace: dtype must be float or int"),
    ],
    ids=range(7),
)
def test_what_is_not_whole_is_refused(make, error, named):
    with pytest.raises(error, match=named):
        make()


def test_such_an_axis_reads_as_it_was_written():
    assert repr(jopt.uniform(1, 1000000, dtype=int)) == "uniform(1, 1000000, dtype=int)"
    assert repr(jopt.loguniform(1, 8, dtype=int)) == "loguniform(1, 8, dtype=int)"


@hypothesis.given(st.integers(2, 40), st.integers(1, 200), st.floats(1.1, 30.0), st.integers(0, 1000))
def test_a_zoom_on_whole_numbers_stays_whole_and_keeps_its_shape(count, low, factor, at):
    grids = [jopt.linspace(low, low + 5 * count, count, dtype=int)]
    if count <= 8:
        grids.append(jopt.geomspace(low, low * 4**count, count, dtype=int))
    for axis in (*grids, jopt.uniform(low, low + count, dtype=int), jopt.loguniform(low, low + count, dtype=int)):
        best = axis.values[at % len(axis.values)]
        narrower = _narrower(axis, best, factor)
        assert type(narrower) is type(axis)
        assert all(type(x) is int for x in narrower.values)
        assert len(narrower.values) == len(axis.values)
        assert min(narrower.values) <= best <= max(narrower.values)


def test_a_zoom_of_a_sweep_stays_whole():
    schedule = jopt.cosine_decay_schedule(0.1, jopt.geomspace(10, 1000, 5, dtype=int))
    result = jopt.sweep(loss, jnp.ones(2), jopt.sgd(schedule), steps=5, progress=False)
    values = _axis(result.zoom(4)).values
    assert all(type(x) is int for x in values)
    assert max(values) / min(values) == pytest.approx(100**0.25, rel=0.05)
    drawn = jopt.cosine_decay_schedule(0.1, jopt.loguniform(10, 1000, dtype=int))
    result = jopt.sweep(loss, jnp.ones(2), jopt.sgd(drawn), steps=5, samples=8, progress=False)
    assert repr(_axis(result.zoom(4))).endswith("dtype=int)")


def _axis(optimizer):
    return optimizer.hyperparams["learning_rate"]["decay_steps"]

"""Curves against the examples that were seen, so that batch sizes can be compared."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.test_results_record import record, result

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def swept(**options):
    def loss(w, x):
        return ((x @ w) ** 2).mean()

    evaluate = {"evaluate": lambda w: {"size": jnp.abs(w).sum()}, "eval_every": 5}
    return jopt.sweep(loss, jnp.ones(3), jopt.sgd(0.1), X, steps=10, progress=False, **{**evaluate, **options})


def test_curves_stand_at_the_examples_that_their_batches_held():
    ax = swept(batch_size=jopt.choice(4, 16)).plot.curves("loss", x="examples_seen")
    assert ax.get_xlabel() == "examples seen"
    assert sorted(tuple(line.get_xdata()[[0, -1]]) for line in ax.lines) == [(4, 40), (16, 160)]
    assert ax.get_xlim() == pytest.approx((0, 160 + 3.2))


def test_evaluations_have_the_coordinate_too():
    made = swept(batch_size=jopt.choice(4, 16))
    seen = made.dataset.eval_examples_seen
    assert seen.dims == ("batch_size", "eval_step")
    assert seen.values.tolist() == [[0, 20, 40], [0, 80, 160]]
    assert "eval_examples_seen" in made.dataset["size"].coords
    ax = made.plot.curves("size", "min", x="examples_seen")
    assert sorted(line.get_xdata().tolist() for line in ax.lines) == [[0, 20, 40], [0, 80, 160]]
    assert "eval_examples_seen" not in swept(batch_size=4).dataset


def test_steps_are_drawn_where_nothing_else_is_asked_for():
    ax = swept(batch_size=jopt.choice(4, 16)).plot.curves("loss")
    assert ax.get_xlabel() == "step"
    assert {tuple(line.get_xdata()[[0, -1]]) for line in ax.lines} == {(1, 10)}


def test_of_one_batch_size_there_is_nothing_to_compare():
    with pytest.raises(ValueError, match=r'x="examples_seen" is for a sweep of batch sizes.*x="step"'):
        swept(batch_size=4).plot.curves("loss", x="examples_seen")
    with pytest.raises(ValueError, match=r"x must be 'step' or 'examples_seen', but got 'time'"):
        swept(batch_size=4).plot.curves("loss", x="time")


def test_diverged_settings_have_their_crosses_at_the_examples_that_they_saw():
    sizes = {"batch_size": ("batch_size", np.array([4, 8]))}
    rec = record([1.0, 2.0], coords=sizes, diverged=[(1, 0), (1, 1)])
    rec = dataclasses.replace(rec, examples=("batch_size", np.array([4, 8])))
    ax = result(rec).plot.curves("loss", x="examples_seen")
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert cross.get_xdata()[0] % 8 == 0


def test_groups_take_it_too_and_a_metric_may_not_be_called_like_the_coordinate():
    def named(w, x):
        return ((x @ w) ** 2).mean()

    groups = {"sgd": jopt.sgd(0.1), "adam": jopt.adam(0.1)}
    options = {"steps": 4, "batch_size": jopt.choice(4, 8), "progress": False}
    made = jopt.sweep(named, jnp.ones(3), groups, X, **options)
    assert [ax.get_xlabel() for ax in made.plot.curves(x="examples_seen")] == ["examples seen"] * 2
    with pytest.raises(ValueError, match="eval_examples_seen"):
        jopt.sweep(named, jnp.ones(3), jopt.sgd(0.1), X, evaluate=lambda w: {"eval_examples_seen": w.sum()}, **options)

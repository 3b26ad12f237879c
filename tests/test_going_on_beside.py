"""Going on, ``keep=`` and ``concat`` beside what else a sweep can do: hyper, pruning, batch sizes, axes of structure."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype(np.float32)
Y = X @ np.array([1.0, 2.0, 3.0], np.float32)
DATA = X, Y
START = jnp.zeros(3)
RATES = jopt.geomspace(0.01, 1.0, 8)
BATCHES = {"batch_size": 8, "progress": False}
OPTIONS = {**BATCHES, "seeds": 2, "keep": "carry"}
CONSTANT = "ignore:prune. the learning rate does not decay:UserWarning"


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def penalised(w, batch, hyper):
    return loss(w, batch) + hyper * jnp.sum(w**2)


def evaluate(w):
    return {"error": jnp.sum((w - 1.0) ** 2)}


def with_penalty(penalty, rate=0.1, steps=6):
    return jopt.sweep(penalised, START, jopt.adam(rate), DATA, steps=steps, hyper=penalty, **OPTIONS)


def test_results_are_joined_along_an_axis_of_hyper_and_a_trial_of_both_goes_on(tmp_path):
    both = with_penalty(jopt.choice(0.1, 0.3)).concat(with_penalty(jopt.choice(0.2)))
    both.save(tmp_path / "both")
    for result in (both, jopt.load_result(tmp_path / "both")):
        np.testing.assert_allclose([result.hyper_at((i,)) for i in range(3)], [0.1, 0.2, 0.3], rtol=1e-6)
    best = both.best()
    more = jopt.sweep(penalised, best, best.optimizer, DATA, steps=4, hyper=best.hyper, **BATCHES)
    longer = both.concat(more)
    assert (longer.record.last, longer.best().index) == (10, best.index)
    others = [i for i in range(3) if (i,) != best.index]
    assert (longer.record.left_at[others] == 6).all()
    assert np.isnan(longer.record.left_at[best.index]).all()
    assert not longer.record.pruned.any()


def test_results_with_other_numbers_in_hyper_are_not_joined():
    first = with_penalty(jopt.choice(0.1, 0.2))
    best = first.best()
    elsewhere = jopt.sweep(penalised, best, best.optimizer, DATA, steps=4, hyper=0.7, **BATCHES)
    with pytest.raises(ValueError, match="an optimizer or hyper that is none of the first"):
        first.concat(elsewhere)
    one, other = with_penalty(0.1, jopt.choice(0.1)), with_penalty(0.2, jopt.choice(0.2))
    with pytest.raises(ValueError, match="their numbers in hyper= differ in more"):
        one.concat(other)


def test_only_the_run_that_begins_is_evaluated_before_its_first_step():
    first = jopt.sweep(loss, START, jopt.adam(0.1), DATA, steps=6, evaluate=evaluate, eval_every=3, **OPTIONS)
    more = jopt.sweep(loss, first.best(), jopt.adam(0.1), DATA, steps=4, evaluate=evaluate, eval_every=3, **BATCHES)
    assert (first.record.eval_step.tolist(), more.record.eval_step.tolist()) == ([0, 3, 6], [9, 10])
    assert first.concat(more).record.eval_step.tolist() == [0, 3, 6, 9, 10]


@pytest.mark.filterwarnings(CONSTANT)
@pytest.mark.parametrize("keep", ["params", "carry", "best", "none"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_pruner_counts_from_where_a_sweep_goes_on(keep, compiled):
    with contextlib.nullcontext() if compiled else jax.disable_jit():
        best = jopt.sweep(loss, START, jopt.adam(0.1), DATA, steps=5, **OPTIONS).best()
        more = jopt.sweep(loss, best, jopt.adam(RATES), DATA, steps=9, evaluate=evaluate, keep=keep, prune="auto", **BATCHES)
    pruned = more.record.pruned_at
    assert (pruned[more.record.pruned] == 6).all(), "after a ninth of the nine steps that follow the fifth"
    assert more.record.pruned.all(axis=1).sum() == 6, "a quarter of eight settings goes on"
    assert np.array_equal(np.unique(more.record.steps_done), [6, 14])


@pytest.mark.filterwarnings(CONSTANT)
def test_the_best_of_a_pruned_sweep_goes_on_and_what_was_pruned_does_not():
    first = jopt.sweep(loss, START, jopt.adam(RATES), DATA, steps=9, prune="auto", **OPTIONS)
    best = first.best()
    assert jopt.sweep(loss, best, best.optimizer, DATA, steps=4, **BATCHES).record.last == 13
    pruned = dataclasses.replace(best, index=tuple(np.argwhere(first.record.pruned.all(-1))[0].tolist()))
    with pytest.raises(ValueError, match="then diverged or was stopped"):
        jopt.sweep(loss, pruned, best.optimizer, DATA, steps=4, **BATCHES)


def test_results_are_joined_along_batch_sizes():
    def of(*sizes):
        return jopt.sweep(loss, START, jopt.adam(0.1), DATA, steps=4, **{**OPTIONS, "batch_size": jopt.choice(*sizes)})

    both = of(8, 32).concat(of(16))
    assert both.record.examples[1].tolist() == [8, 16, 32]
    with pytest.raises(ValueError, match="same axes"):
        both.concat(jopt.sweep(loss, START, jopt.adam(0.1), DATA, steps=4, **OPTIONS))


def test_states_of_several_structures_are_kept_and_each_goes_on(tmp_path):
    def of(begin, optimizer, steps, **options):
        return jopt.sweep(loss, begin, optimizer, DATA, steps=steps, **options)

    optimizer = jopt.sgd(0.05, momentum=jopt.choice(None, 0.9))
    whole, first = of(START, optimizer, 9, **OPTIONS), of(START, optimizer, 5, **OPTIONS)
    first.save(tmp_path / "first")
    for result in (first, jopt.load_result(tmp_path / "first")):
        with pytest.raises(ValueError, match=r"result.state_at\(index\)"):
            _ = result.state
        for i in range(2):
            trial = dataclasses.replace(result.best(), index=(i,))
            more = of(trial, trial.optimizer, 4, **BATCHES)
            np.testing.assert_array_equal(more.params, whole.params[i])
            with pytest.raises(ValueError, match="of one shape in all settings"):
                result.concat(more)


def test_results_are_not_joined_along_an_axis_of_structure():
    def of(nesterov):
        return jopt.sweep(loss, START, jopt.momentum(0.05, nesterov=jopt.choice(nesterov)), DATA, steps=4, **OPTIONS)

    with pytest.raises(ValueError, match="as along an axis of structure; sweep all its values in one call"):
        of(False).concat(of(True))


def test_carries_of_several_shapes_with_random_keys_go_on(tmp_path):
    def init(opt, key, hyper):
        w = jnp.zeros(hyper)
        return w, opt.init(w), key

    def step(opt, carry, batch, key, hyper):
        w, state, own = carry
        own, now = jax.random.split(own)
        u, state = opt.update(2 * (w - 1) + 0.01 * jax.random.normal(now, w.shape), state, w)
        return (w + u, state, own), {"loss": jnp.sum((w - 1) ** 2)}

    options = {"hyper": jopt.choice(2, 3), "seeds": 2, "progress": False}
    whole, first = (jopt.sweep_steps(init, step, jopt.adam(0.1), steps=n, **options) for n in (9, 5))
    first.save(tmp_path / "first")
    for result in (first, jopt.load_result(tmp_path / "first")):
        for i in range(2):
            trial = dataclasses.replace(result.best(), index=(i,))
            more = jopt.sweep_steps(trial, step, trial.optimizer, steps=4, hyper=trial.hyper, progress=False)
            jax.tree.map(np.testing.assert_array_equal, more.params, whole.params_at((i,)))

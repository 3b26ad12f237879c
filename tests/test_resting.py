"""Steps whose learning rate is 0, because the schedule has ended, are told of before they are trained."""

import warnings

import jax.numpy as jnp
import pytest

import jopt
from jopt.courses import decays, rests_from

W = jnp.ones(2)
AXIS = jopt.choice(0.1, 0.2)


def _loss(w, _):
    return jnp.sum(w**2)


def _cosine(steps, peak=0.1):
    return jopt.cosine_decay_schedule(peak, steps)


@pytest.mark.parametrize(
    ("optimizer", "first", "steps", "expected"),
    [
        (jopt.sgd(_cosine(40)), 0, 100, 40),
        (jopt.adamw(lambda step: 0.1 * (step < 51)), 0, 100, 51),
        (jopt.chain(jopt.clip(1.0), jopt.adamw(_cosine(40))), 0, 100, 40),
        (jopt.muon(_cosine(40), adam_learning_rate=_cosine(60)), 0, 100, 60),
        (jopt.sgd({"a": _cosine(40), "b": 0.0}), 0, 100, 40),
        (jopt.sgd(_cosine(100)), 100, 200, 100),
        (jopt.sgd(_cosine(100)), 150, 160, 150),
        (jopt.sgd(_cosine(95)), 0, 100, None),  # a twentieth
        (jopt.sgd(_cosine(100)), 0, 100, None),
        (jopt.sgd(_cosine(200)), 100, 200, None),
        (jopt.sgd(0.0), 0, 100, None),  # a number, which somebody chose
        (jopt.muon(_cosine(40), adam_learning_rate=0.1), 0, 100, None),
        (jopt.sgd({"a": _cosine(40), "b": 0.1}), 0, 100, None),
        (jopt.accumulate(jopt.sgd(_cosine(40)), 4), 0, 100, None),  # counts every fourth update
        (jopt.scale(-0.1), 0, 100, None),
        (jopt.sgd(_cosine(40)), 0, 1, None),
    ],
    ids=str,
)
def test_where_a_run_comes_to_rest(optimizer, first, steps, expected):
    assert rests_from(optimizer, first, steps) == expected


def _told(*args, **kwargs):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = jopt.sweep(_loss, *args, **kwargs)
    return result, [str(w.message) for w in told]


def test_a_sweep_that_goes_on_behind_the_end_of_its_schedule_says_so_once():
    first, said = _told(W, {"a": jopt.sgd(_cosine(20, AXIS)), "b": jopt.sgd(_cosine(20))}, steps=20, keep="carry")
    assert said == []
    best = first["a"].best()
    _, said = _told(best, best.optimizer, steps=10)
    assert len(said) == 1
    assert "is 0 in each of the 10 steps, which begin at step 20" in said[0]
    longer, said = _told(best, best.optimizer.replace(learning_rate=_cosine(40)), steps=10, record=("rate",))
    assert said == []
    assert float(longer.dataset.rate.min()) > 0.01


def test_a_sweep_longer_than_its_schedule_says_which_steps_rest():
    _, said = _told(W, jopt.sgd(_cosine(20, AXIS)), steps=50)
    assert len(said) == 1
    assert "is 0 in the last 30 of the 50 steps" in said[0]


def test_a_sweep_of_schedules_of_which_one_lasts_says_nothing():
    assert _told(W, jopt.sgd(_cosine(jopt.choice(20, 50))), steps=50)[1] == []


def test_a_schedule_without_numbers_of_its_own_is_a_rate_too():
    @jopt.schedule
    def fixed():
        return lambda step: 0.1

    assert not decays(jopt.sgd(fixed()), 40)
    assert rests_from(jopt.muon(_cosine(40), adam_learning_rate=fixed()), 0, 100) is None


def test_rates_that_fall_to_half_decay():
    assert decays(jopt.sgd(_cosine(40)), 40)
    assert not decays(jopt.sgd(0.1), 40)
    assert decays(jopt.chain(jopt.sgd(0.1), jopt.reduce_on_plateau()), 40)


def test_a_number_where_there_was_a_schedule_says_what_to_give_instead():
    best = jopt.sweep(_loss, W, jopt.sgd(_cosine(20)), steps=2, keep="carry").best()
    with pytest.raises(ValueError, match=r"A schedule has a state and a number has none.*jopt\.constant_schedule\(rate\)"):
        jopt.sweep(_loss, best, jopt.sgd(0.1), steps=2)
    with pytest.raises(TypeError, match=r"params is several trials.*params=result.top\(5\)\[0\]"):
        jopt.sweep(_loss, best.result.top(2), jopt.sgd(0.1), steps=2)

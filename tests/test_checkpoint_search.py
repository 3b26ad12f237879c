"""``checkpoint=`` with ``search=``: what was asked for is not asked again, and what was trained is not trained again."""

import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.test_checkpoint import Stop, assert_same, lane_steps

optuna = pytest.importorskip("optuna")
COMPLETE, FAIL = (optuna.trial.TrialState[name] for name in ("COMPLETE", "FAIL"))
ROUND = 4 * 2 * 10  # lane-steps


def loss(w, batch):
    return jnp.sum(jnp.array([0.2, 1.0, 2.0]) * w**2)


def other_loss(w, batch):
    return jnp.sum(0.5 * w**2)


def numbers():
    return jopt.momentum(jopt.loguniform(1e-3, 0.9), momentum=jopt.uniform(0.0, 0.9))


def searched(directory=None, optimizer=None, loss=loss, on_change="refuse", search=None, **options):
    """Three rounds of four settings with two seeds, ten steps each."""
    kept = None if directory is None else jopt.Checkpoint(directory, every=0, on_change=on_change)
    given = {"steps": 10, "seeds": 2, "samples": 12, "progress": False, "plan": jopt.Plan(width=2), **options}
    search = search or jopt.OptunaSearch(batch=4)
    return jopt.sweep(loss, jnp.ones(3), optimizer or numbers(), search=search, checkpoint=kept, **given)


def interrupted(directory, round=1, step=5, **options):
    """A search that is ended in the midst of a round."""

    def stop(event):
        if event.round == round and event.step >= step:
            raise Stop

    with pytest.raises(Stop):
        searched(directory, callbacks=stop, **options)


def unseeded(batch=4):
    """A search whose sampler asks for something else each time."""
    return jopt.OptunaSearch(sampler=optuna.samplers.RandomSampler(), batch=batch)


def rates(result):
    return result.dataset.learning_rate.values.tolist()


def test_a_search_that_was_ended_goes_on_to_the_same_result(tmp_path):
    interrupted(tmp_path)
    part = jopt.load_result(tmp_path)
    assert part.record.steps_done[:, 0].tolist() == [10] * 4 + [5] * 4
    again = searched(tmp_path)
    assert lane_steps(again) == 1.5 * ROUND
    assert_same(again, searched())
    assert_same(jopt.load_result(tmp_path), again)
    assert lane_steps(searched(tmp_path)) == 0


GIVEN = {
    "structure, a setting a round": {
        "optimizer": jopt.momentum(jopt.loguniform(1e-3, 0.9), 0.9, nesterov=jopt.choice(False, True)),
        "search": jopt.OptunaSearch(batch=1),
        "samples": 5,
    },
    "groups": {
        "optimizer": {"searched": jopt.sgd(jopt.loguniform(1e-3, 0.9)), "given": jopt.sgd(jopt.choice(0.1, 0.2))},
        "record_every": 3,
    },
    "pruning": {
        "optimizer": jopt.sgd(jopt.cosine_decay_schedule(jopt.loguniform(1e-3, 0.9), 10)),
        "prune": jopt.TopFraction(at=0.5),
    },
    "windows": {"record_every": 4},
}


@pytest.mark.parametrize("name", GIVEN)
def test_so_does_one_with(tmp_path, name):
    interrupted(tmp_path, **GIVEN[name])
    again = searched(tmp_path, **GIVEN[name])
    assert_same(again, searched(**GIVEN[name]))
    assert_same(jopt.load_result(tmp_path), again)
    assert lane_steps(searched(tmp_path, **GIVEN[name])) == 0


def test_a_sampler_without_a_seed_does_not_ask_again_for_what_it_has_asked_for(tmp_path):
    interrupted(tmp_path, search=unseeded())
    before = rates(jopt.load_result(tmp_path))
    again = searched(tmp_path, search=unseeded())
    assert rates(again)[:8] == before
    assert len(set(rates(again))) == 12
    assert lane_steps(again) == 1.5 * ROUND
    assert rates(searched(tmp_path, search=unseeded())) == rates(again)


def test_further_samples_seeds_and_steps_train_what_is_new_alone(tmp_path):
    first = searched(tmp_path)
    more = searched(tmp_path, samples=20)
    assert lane_steps(more) == 2 * ROUND
    assert rates(more)[:12] == rates(first)
    assert lane_steps(searched(tmp_path, samples=20, seeds=3)) == 2.5 * ROUND
    assert lane_steps(searched(tmp_path, samples=20, steps=12)) == 20 * 2 * 2
    assert rates(searched(tmp_path, samples=6, steps=12, search=jopt.OptunaSearch(batch=3)))[:4] == rates(first)[:4]


def test_a_study_of_ones_own_hears_of_each_setting_once(tmp_path):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    search = jopt.OptunaSearch(study=study, batch=4)
    interrupted(tmp_path, search=search)
    assert [trial.state for trial in study.trials] == [COMPLETE] * 4 + [FAIL] * 4
    again = searched(tmp_path, search=search)
    told = [trial for trial in study.trials if trial.state == COMPLETE]
    assert [trial.params["learning_rate"] for trial in told] == rates(again)
    np.testing.assert_allclose([trial.value for trial in told], again.record.losses["loss"][..., -1].mean(-1), rtol=1e-6)
    assert told[5].intermediate_values
    assert lane_steps(searched(tmp_path, search=search)) == 0
    assert len(study.trials) == 16


def test_another_loss_is_refused_or_searched_by_itself(tmp_path):
    first = searched(tmp_path, search=unseeded())
    with pytest.raises(ValueError, match="the loss is not what it was there"):
        searched(tmp_path, loss=other_loss, search=unseeded())
    other = searched(tmp_path, loss=other_loss, search=unseeded(), on_change="new")
    assert not set(rates(first)) & set(rates(other))
    assert lane_steps(other) == 3 * ROUND
    back = searched(tmp_path, search=jopt.OptunaSearch(batch=4), on_change="new")
    assert lane_steps(back) == 3 * ROUND  # the search that was last was another one's
    assert jopt.inspect(tmp_path).damage == []


def test_other_parameters_are_a_search_of_their_own(tmp_path):
    searched(tmp_path)
    narrow = jopt.momentum(jopt.loguniform(0.1, 0.2), momentum=jopt.uniform(0.0, 0.9))
    found = searched(tmp_path, narrow)
    assert ((found.dataset.learning_rate >= 0.1) & (found.dataset.learning_rate <= 0.2)).all()
    assert lane_steps(found) == 3 * ROUND


def test_a_search_of_sweep_steps_goes_on(tmp_path):
    def init(optimizer, key):
        return jnp.ones(3), optimizer.init(jnp.ones(3))

    def step(optimizer, carry, batch, key):
        w, state = carry
        updates, state = optimizer.update(2 * w, state, w)
        return (w + updates, state), {"loss": jnp.sum(w**2)}

    def run(directory, **more):
        search = {"samples": 8, "search": jopt.OptunaSearch(batch=4), "plan": jopt.Plan(width=2), "progress": False}
        return jopt.sweep_steps(init, step, numbers(), steps=6, checkpoint=directory, **search, **more)

    def stop(event):
        if event.round == 1 and event.step >= 3:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path, callbacks=stop)
    assert_same(run(tmp_path), run(None))

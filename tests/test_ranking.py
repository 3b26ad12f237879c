"""Which setting is best: by what, in which direction, and over how much of the run."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jopt
from jopt.results import GroupedResult, load_result
from tests.test_results_record import record, result

AMBIGUOUS = "better high or low.*mode=.*jopt.metrics"


def noisy(w, batch):
    """The loss of one minibatch says little: a high rate fits the last one best."""
    return (w - batch) ** 2


def trained(evaluate=None, optimizer=None, **kwargs):
    swept = jopt.sgd(jopt.choice(0.1, 0.4)) if optimizer is None else optimizer
    return jopt.sweep(lambda w, _: (w - 1) ** 2, jnp.float32(0.0), swept, steps=20, evaluate=evaluate, **kwargs)


def of_losses(losses, step=None, **aux):
    """A result with these losses [setting, step], one seed, and nothing evaluated."""
    losses = np.asarray(losses, float)[:, None]
    rec = record(np.zeros(len(losses)), seeds=1, steps=losses.shape[-1])
    step = np.arange(1, losses.shape[-1] + 1) if step is None else np.asarray(step)
    nothing = {"eval_step": np.zeros(0, int), "metrics": {}, "step": step, "losses": {"loss": losses, **aux}}
    return result(dataclasses.replace(rec, **nothing, steps_done=np.full_like(rec.steps_done, step[-1])))


# By what


def test_without_evaluate_the_training_loss_ranks():
    assert trained().best().metric == "loss"


def test_the_first_metric_of_evaluate_ranks_in_the_order_that_the_user_wrote():
    made = trained(lambda w: {"zeal": -w, "area": w})
    best = made.best()
    assert (best.metric, best.mode, best.setting) == ("zeal", "min", {"learning_rate": 0.4})
    assert list(made.record.metrics) == list(made.dataset.data_vars)[1:3] == ["zeal", "area"]
    assert trained(lambda w: {"area": w, "zeal": -w}).best().setting == {"learning_rate": 0.1}


def test_auxiliary_values_keep_the_order_of_the_user():
    made = jopt.sweep(lambda w, _: (w**2, {"z": w, "a": w}), jnp.float32(1.0), jopt.sgd(0.1), steps=2, has_aux=True)
    assert list(made.record.losses) == ["loss", "z", "a"]


def test_a_first_metric_of_a_step_of_ones_own_ranks_whatever_its_name():
    def step(opt, w, batch, key):
        return w * (1 - opt.hyperparams["learning_rate"]), {"energy": w, "a": -w}

    made = jopt.sweep_steps(lambda opt, key: jnp.float32(1.0), step, jopt.sgd(jopt.choice(0.1, 0.5)), steps=5)
    best = made.best()
    assert (best.metric, best.setting) == ("energy", {"learning_rate": 0.5})
    assert "learning_rate=0.5: energy 0.0625" in repr(made)
    assert made.table().splitlines()[0].split() == ["best", "energy", "diverged"]


def test_a_step_that_records_nothing_is_shown_and_has_no_best():
    made = jopt.sweep_steps(lambda opt, key: jnp.float32(1.0), lambda o, c, b, k: (c, {}), jopt.sgd(0.1), steps=3)
    assert made.record.steps_done.tolist() == [3]
    assert "none. Nothing was recorded" in repr(made)
    with pytest.raises(ValueError, match="Nothing was recorded"):
        made.best()


def test_groups_ranked_by_different_metrics_are_not_compared_in_silence():
    mixed = GroupedResult({"a": trained(lambda w: {"error": w}), "b": trained()})
    with pytest.raises(ValueError, match=r"'error' \(min\) and 'loss' \(min\); give metric="):
        mixed.best()
    assert mixed.best("loss").metric == "loss"
    assert "ranked by 'loss'" in repr(mixed)


# In which direction


@pytest.mark.parametrize(
    "name", ["accuracy", "val_accuracy", "val/acc", "top-5.acc", "f1", "macro.F1", "AUC", "mean-reward", "return"]
)
def test_a_name_that_leaves_the_direction_open_asks_for_it(name):
    made = trained(lambda w: {name: w})
    for ask in (made.best, made.table, made.plot.curves, made.plot.response, made.plot.compare):
        with pytest.raises(ValueError, match=AMBIGUOUS):
            ask()
        with pytest.raises(ValueError, match=AMBIGUOUS):
            ask(name)
    assert made.best(mode="max").setting == {"learning_rate": 0.4}
    assert made.best(name, "min").setting == {"learning_rate": 0.1}


@pytest.mark.parametrize("name", ["accumulated", "underscore", "returns", "space", "val_error"])
def test_a_word_inside_another_says_nothing(name):
    assert trained(lambda w: {name: w}).best().mode == "min"


def test_an_auxiliary_value_of_such_a_name_asks_too():
    made = jopt.sweep(lambda w, _: (w**2, {"acc": w}), jnp.float32(1.0), jopt.sgd(0.1), steps=2, has_aux=True)
    assert made.best().metric == "loss"
    with pytest.raises(ValueError, match=AMBIGUOUS):
        made.best("acc")


def test_a_repr_never_raises_but_ranks_by_the_loss_and_says_so():
    made = trained(lambda w: {"val_accuracy": w})
    assert "loss" in repr(made).split("best ")[1]
    assert "Nobody said whether 'val_accuracy' is better high or low" in repr(made)
    groups = trained(lambda w: {"val_accuracy": w}, {"a": jopt.sgd(0.1), "b": jopt.adam(0.1)})
    assert "ranked by 'loss'. Nobody said whether 'val_accuracy'" in repr(groups)
    with pytest.raises(ValueError, match=AMBIGUOUS):
        groups.best()


def test_a_repr_without_any_loss_to_rank_by_says_so():
    def step(opt, w, batch, key):
        return w, {"reward": w}

    made = jopt.sweep_steps(lambda opt, key: jnp.float32(1.0), step, jopt.sgd(0.1), steps=2)
    assert "none. Nobody said whether 'reward'" in repr(made)


def test_the_declared_direction_ranks_in_words_pictures_and_files(tmp_path):
    made = trained(jopt.metrics(lambda w: {"val_accuracy": w, "error": -w}, maximize="val_accuracy"))
    made.save(tmp_path / "a")
    for each in (made, load_result(tmp_path / "a")):
        best = each.best()
        assert (best.metric, best.mode, best.setting) == ("val_accuracy", "max", {"learning_rate": 0.4})
        assert each.best("error").mode == "min"
        assert "learning_rate=0.4: val_accuracy" in repr(each)
        assert "learning_rate=0.4" in each.table()
        for draw in (each.plot.curves, each.plot.response):
            legend = [text.get_text() for text in draw().get_legend().get_texts()]
            assert any(text.startswith("best: learning_rate=0.4") for text in legend)
    plt.close("all")


def test_groups_rank_in_the_declared_direction_from_a_file_too(tmp_path):
    swept = {"slow": jopt.sgd(jopt.choice(0.01, 0.02)), "fast": jopt.sgd(jopt.choice(0.1, 0.2))}
    made = trained(jopt.metrics(lambda w: {"val_accuracy": w}, maximize=["val_accuracy"]), swept)
    made.save(tmp_path / "a")
    for each in (made, load_result(tmp_path / "a")):
        assert (each.best().group, each.best().setting) == ("fast", {"learning_rate": 0.2})
        assert each["slow"].best().setting == {"learning_rate": 0.02}
        assert each.table().splitlines()[3].startswith("fast   learning_rate=0.2")


def test_positions_are_metric_mode_and_at():
    made = trained(jopt.metrics(lambda w: {"acc": w}, maximize="acc"))
    assert made.best("acc", "min", "best").mode == "min"
    assert made.table("acc", "max", "best").splitlines()[0].split("  ")[1:] != []
    assert "acc (best evaluation)" in made.table("acc", "max", "best")


# Over how much of the run


def test_a_training_loss_is_the_mean_over_the_last_tenth():
    losses = np.ones((2, 40))
    losses[0, -4:], losses[1, -4:] = [4, 4, 4, 0], [2, 2, 2, 2]  # the last minibatch alone says the first
    best = of_losses(losses).best()
    assert (best.setting, best.score) == ({"learning_rate": 0.01}, 2.0)


def test_at_best_takes_the_best_of_the_consecutive_tenths():
    losses = np.full((2, 40), 9.0)
    losses[0, 8:12], losses[1, 22:26] = [1, 1, 5, 1], 0.0  # steps 23 to 26 lie in two tenths
    best = of_losses(losses).best(at="best")
    assert (best.setting, best.score) == ({"learning_rate": 0.001}, 2.0)
    assert of_losses(losses).best("loss", "max", "best").score == 9.0


def test_a_tenth_that_does_not_divide_the_run_is_rounded_up_and_the_rest_joins_the_first():
    losses = np.arange(25.0)[::-1][None]  # tenths of three steps: the first one of four
    made = of_losses(losses)
    assert made.best().score == np.mean([2, 1, 0])
    assert made.best(mode="max", at="best").score == np.mean([24, 23, 22, 21])


def test_records_over_several_steps_count_for_as_many():
    losses = [[9.0, 9.0, 9.0, 9.0, 9.0, 4.0, 1.0]]
    # The last tenth, at least 1.3 of 13 steps, is the record of one step and the two before it.
    assert of_losses(losses, step=[2, 4, 6, 8, 10, 12, 13]).best().score == pytest.approx((2 * 4 + 1) / 3)


def test_a_record_longer_than_a_tenth_is_the_score():
    assert of_losses([[5.0, 3.0, 1.0]], step=[40, 80, 100]).best().score == 1.0


def test_a_short_run_is_scored_by_its_last_step():
    assert of_losses([[5.0, 3.0, 1.0]]).best().score == 1.0


def test_the_mean_of_tiny_losses_after_huge_ones_is_exact():
    losses = np.r_[np.full(30, 1e30), np.full(10, 1e-12)][None]
    assert of_losses(losses).best(at="best").score == pytest.approx(1e-12, rel=1e-12)


def test_auxiliary_values_are_scored_over_tenths_and_metrics_are_not():
    values = np.r_[np.zeros(36), [1, 2, 3, 6]][None, None]
    made = of_losses(np.ones((1, 40)), norm=values)
    assert made.best("norm").score == 3.0
    assert result(record([4.0])).best("accuracy", "max").score == pytest.approx(-3 * 0.8)


def test_a_sweep_of_minibatches_is_ranked_by_its_last_tenth():
    batches = jnp.r_[jnp.zeros(36), 3.0, -3.0, 3.0, 3.0]
    swept = jopt.sgd(jopt.choice(0.05, 0.5))  # the higher rate goes to each batch's own minimum
    made = jopt.sweep(noisy, jnp.float32(1.0), swept, lambda key, step: batches[step], steps=40)
    losses = made.record.losses["loss"][:, 0]
    best = made.best()
    assert best.score == pytest.approx(losses[best.index[0], -4:].astype(float).mean(), rel=1e-12)
    assert best.index[0] == losses[:, -4:].mean(-1).argmin() != losses[:, -1].argmin()


def test_the_words_of_a_picture_say_what_was_scored():
    made = trained(lambda w: {"error": w})
    assert made.plot.response().get_ylabel() == "error (last evaluation)"
    assert made.plot.response("loss", at="best", ax=plt.subplots()[1]).get_ylabel() == "loss (best tenth of the run)"


def test_jitted_evaluations_are_ranked_by_the_first_name_in_order():
    assert trained(jax.jit(lambda w: {"z": w, "a": -w})).best().metric == "a"


def test_where_every_lane_ended_before_the_last_step_each_is_scored_by_what_it_had_done():
    found = of_losses([[3.0, 2.0, np.nan, np.nan], [3.0, 1.0, 0.5, np.nan]])
    ended = dataclasses.replace(found.record, steps_done=np.array([[2], [3]]))
    assert result(ended).best().score == 0.5
    assert [trial.score for trial in result(ended).top(2)] == [0.5, 2.0]

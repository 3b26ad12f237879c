"""Settings chosen by Optuna, round after round; results as its studies."""

import importlib
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.compiled import executables

optuna = pytest.importorskip("optuna")
COMPLETE, PRUNED, FAIL = (optuna.trial.TrialState[name] for name in ("COMPLETE", "PRUNED", "FAIL"))
CURVES = jnp.array([0.2, 1.0, 2.0])


def loss(w, batch):
    return jnp.sum(CURVES * w**2)


def swept(optimizer, steps=10, samples=12, batch=4, **options):
    options = {"progress": False, "search": jopt.OptunaSearch(batch=batch), **options}
    return jopt.sweep(loss, jnp.ones(3), optimizer, steps=steps, samples=samples, **options)


def numbers(low=1e-3, high=0.9):
    return jopt.momentum(jopt.loguniform(low, high), momentum=jopt.uniform(0.0, 0.9))


def study_of(direction="minimize", seed=0, **options):
    return optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=seed), **options)


# Asking and telling


def test_a_search_is_one_result_with_its_settings_along_one_dimension():
    result = swept(numbers(), seeds=2)
    assert isinstance(result, jopt.SweepResult)
    assert dict(result.dataset.loss.sizes) == {"sample": 12, "seed": 2, "step": 10}
    rates, momenta = (result.dataset[name].values for name in ("learning_rate", "momentum"))
    assert ((rates >= 1e-3) & (rates <= 0.9)).all()
    assert ((momenta >= 0.0) & (momenta <= 0.9)).all()
    assert len(set(rates)) == 12
    assert "3 rounds of a search" in str(result.plan)
    assert result.timings.lane_steps == 12 * 2 * 10


def test_each_setting_is_what_it_would_be_in_a_sweep_of_its_own():
    result = swept(numbers())
    for k in (0, 5, 11):
        alone = jopt.sweep(loss, jnp.ones(3), result.optimizer_at((k,)), steps=10, progress=False)
        np.testing.assert_allclose(result.record.losses["loss"][k], alone.record.losses["loss"], rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(result.params[k], alone.params, rtol=1e-5, atol=1e-30)
        assert result.optimizer_at((k,)).hyperparams["learning_rate"] == result.dataset.learning_rate.values[k]


def test_the_seed_makes_a_search_reproducible_and_another_seed_differs():
    first, again, other = (swept(numbers(), seed=seed).dataset.learning_rate.values for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not set(first) & set(other)


def test_the_first_round_is_what_a_sweep_without_search_draws():
    optimizer = numbers()
    found = swept(optimizer, samples=16, batch=8, seed=3)
    drawn = jopt.sweep(loss, jnp.ones(3), optimizer, steps=2, samples=16, seed=3, progress=False)
    for name in ("learning_rate", "momentum"):
        np.testing.assert_array_equal(found.dataset[name][:8], drawn.dataset[name][:8])
    assert not set(found.dataset.learning_rate.values[8:]) & set(drawn.dataset.learning_rate.values)


def test_later_rounds_go_where_the_earlier_were_good():
    result = swept(jopt.sgd(jopt.loguniform(1e-6, 1.0)), samples=64, batch=16)
    rates = result.dataset.learning_rate.values
    best = result.best().setting["learning_rate"]
    near = np.abs(np.log10(rates / best)) < 0.5
    assert near[32:].sum() > near[:32].sum()
    drawn = jopt.sweep(loss, jnp.ones(3), jopt.sgd(jopt.loguniform(1e-6, 1.0)), steps=10, samples=64, progress=False)
    assert near[32:].sum() > (np.abs(np.log10(drawn.dataset.learning_rate.values / best)) < 0.5)[32:].sum()


def test_one_drawn_number_keeps_its_own_dimension_and_is_suggested():
    result = swept(jopt.sgd(jopt.loguniform(1e-3, 0.9)), samples=16)
    assert result.dataset.loss.dims == ("learning_rate", "seed", "step")
    suggestion = result.suggest()
    assert suggestion.low <= suggestion.value <= suggestion.high
    assert result.zoom(2).hyperparams["learning_rate"].values[0] > 1e-3


def test_rounds_of_one_shape_compile_once(monkeypatch):
    compiled, real = [], executables._compile
    monkeypatch.setattr(executables, "_compile", lambda *args: compiled.append(args) or real(*args))
    swept(jopt.adam(jopt.loguniform(1e-3, 0.9), b1=jopt.uniform(0.1, 0.8)), samples=4, batch=4, steps=11)
    one = len(compiled)
    assert one
    swept(jopt.adam(jopt.loguniform(1e-3, 0.9), b1=jopt.uniform(0.1, 0.8)), samples=20, batch=4, steps=11)
    assert len(compiled) == one


@pytest.mark.parametrize(
    ("samples", "batch", "sizes"),
    [(64, 32, [32, 32]), (100, 32, [25] * 4), (10, 32, [10]), (97, 32, [32, 32, 32, 1]), (6, 1, [1] * 6), (9, 4, [3] * 3)],
)
def test_rounds_have_one_size_where_that_can_be(samples, batch, sizes):
    study = study_of()
    asked, real = [], study.ask

    def ask(*args):
        asked.append(len([t for t in study.get_trials(deepcopy=False) if t.state == optuna.trial.TrialState.RUNNING]))
        return real(*args)

    study.ask = ask
    swept(numbers(), steps=2, samples=samples, search=jopt.OptunaSearch(batch=batch, study=study))
    begins = [i for i, running in enumerate(asked) if running == 0]
    assert np.diff([*begins, samples]).tolist() == sizes


def test_choices_and_grids_are_asked_for_too():
    study = study_of()
    optimizer = jopt.sgd(jopt.loguniform(1e-3, 0.3), momentum=jopt.choice(None, 0.5, 0.8), nesterov=jopt.choice(False, True))
    result = swept(optimizer, samples=16, batch=8, search=jopt.OptunaSearch(batch=8, study=study))
    assert result.dataset.loss.dims == ("sample", "seed", "step")
    assert set(result.dataset.momentum.values.tolist()) == {None, 0.5, 0.8}
    assert set(result.dataset.nesterov.values.tolist()) == {False, True}
    for k, trial in enumerate(study.trials):
        assert {name: result.record.setting((k,))[name] for name in trial.params} == trial.params
        alone = jopt.sweep(loss, jnp.ones(3), result.optimizer_at((k,)), steps=10, progress=False)
        np.testing.assert_allclose(result.record.losses["loss"][k], alone.record.losses["loss"], rtol=1e-4, atol=1e-8)


def test_what_is_walked_together_is_one_parameter():
    rate, momentum = jopt.zipped([0.1, 0.01], [0.5, 0.5])
    decay = jopt.loguniform(1e-4, 1e-2)
    study = study_of()
    result = jopt.sweep(
        loss,
        jnp.ones(3),
        jopt.chain(jopt.add_decayed_weights(decay), jopt.momentum(rate, momentum=momentum)),
        steps=4,
        samples=8,
        search=jopt.OptunaSearch(batch=4, study=study),
        progress=False,
    )
    assert len(study.trials[0].params) == 2
    assert set(result.dataset.learning_rate.values.tolist()) == {0.1, 0.01}
    assert set(result.dataset.momentum.values.tolist()) == {0.5}


def test_the_users_own_numbers_and_batch_sizes_are_asked_for():
    x = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)

    def penalised(w, batch, hyper):
        return jnp.mean((batch @ w - 1.0) ** 2) + hyper["l2"] * (w**2).sum() + 0 * hyper["k"]

    result = jopt.sweep(
        penalised,
        jnp.zeros(3),
        jopt.sgd(0.1),
        x,
        steps=4,
        batch_size=jopt.choice(4, 8),
        hyper={"l2": jopt.loguniform(1e-4, 1e-1), "k": jopt.uniform(1, 5, dtype=int)},
        samples=12,
        search=jopt.OptunaSearch(batch=6),
        progress=False,
    )
    assert set(result.dataset.batch_size.values.tolist()) == {4, 8}
    assert result.dataset.k.values.dtype.kind == "i"
    assert result.best().hyper["l2"] == result.best().setting["l2"]
    assert result.dataset.examples_seen.dims == ("sample", "step")


def test_sweep_steps_are_searched_alike():
    def init(opt, key):
        return jnp.ones(3), opt.init(jnp.ones(3))

    def step(opt, carry, batch, key):
        w, state = carry
        value, grads = jax.value_and_grad(loss)(w, batch)
        updates, state = opt.update(grads, state, w)
        return (w + updates, state), {"loss": value}

    search = jopt.OptunaSearch(batch=4)
    found = jopt.sweep_steps(init, step, numbers(), steps=6, samples=8, search=search, progress=False)
    wanted = swept(numbers(), steps=6, samples=8)
    np.testing.assert_array_equal(found.dataset.learning_rate, wanted.dataset.learning_rate)
    np.testing.assert_allclose(found.dataset.loss, wanted.dataset.loss, rtol=1e-4, atol=1e-12)


def test_without_a_search_nothing_changes():
    found = jopt.sweep(loss, jnp.ones(3), numbers(), steps=5, samples=6, progress=False)
    assert found.dataset.loss.dims == ("sample", "seed", "step")
    grid = jopt.momentum(jopt.loguniform(1e-3, 0.5), momentum=jopt.choice(0.1, 0.2))
    beside = jopt.sweep(loss, jnp.ones(3), grid, steps=5, samples=6, progress=False)
    assert dict(beside.dataset.loss.sizes) == {"learning_rate": 6, "momentum": 2, "seed": 1, "step": 5}


# What a study is told


def test_a_users_study_is_told_the_mean_over_seeds_and_goes_on():
    study = study_of()
    result = swept(numbers(), seeds=3, search=jopt.OptunaSearch(batch=4, study=study))
    assert [trial.state for trial in study.trials] == [COMPLETE] * 12
    scores = [float(x) for x in result.record.losses["loss"][..., -1].mean(-1)]
    np.testing.assert_allclose([trial.value for trial in study.trials], scores, rtol=1e-6)
    assert study.best_trial.params == result.best().setting
    assert len(study.best_trial.user_attrs["scores"]) == 3
    assert study.best_trial.intermediate_values
    swept(numbers(), samples=4, search=jopt.OptunaSearch(study=study))
    assert len(study.trials) == 16


def test_what_was_enqueued_is_trained_first():
    study = study_of()
    study.enqueue_trial({"learning_rate": 0.25, "momentum": 0.5})
    result = swept(numbers(), search=jopt.OptunaSearch(study=study))
    assert result.record.setting((0,)) == {"learning_rate": 0.25, "momentum": 0.5}


def test_a_given_sampler_is_used_as_it_was_given_each_time():
    search = jopt.OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=3), batch=4)
    first, again = (swept(numbers(), search=search, seed=seed).dataset.learning_rate.values for seed in (0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(swept(numbers()).dataset.learning_rate.values)


def test_a_study_that_maximizes_is_told_the_metric():
    study = study_of("maximize")
    evaluate = jopt.metrics(lambda w: {"accuracy": 1 / (1 + (w**2).sum())}, maximize="accuracy")
    result = swept(numbers(), evaluate=evaluate, eval_every=5, search=jopt.OptunaSearch(study=study))
    assert study.best_trial.params == result.best().setting
    assert study.best_value == pytest.approx(result.best().score)
    assert list(study.best_trial.intermediate_values) == [0, 5, 10]


def test_a_study_of_ones_own_goes_where_a_metric_is_high():
    evaluate = jopt.metrics(lambda w: {"accuracy": 1 / (1 + (w**2).sum())}, maximize="accuracy")
    result = swept(jopt.sgd(jopt.loguniform(1e-6, 1.0)), samples=48, batch=16, evaluate=evaluate)
    near = np.abs(np.log10(result.dataset.learning_rate.values / result.best().setting["learning_rate"])) < 0.5
    assert near[32:].sum() > near[:16].sum()


def test_a_study_of_the_other_direction_is_refused_before_anything_is_trained():
    study = study_of("maximize")
    with pytest.raises(ValueError, match=r"direction is maximize, but the metric is better low"):
        swept(numbers(), search=jopt.OptunaSearch(study=study))
    assert {trial.state for trial in study.trials} == {FAIL}
    with pytest.raises(ValueError, match="Nobody said whether 'accuracy'"):
        swept(numbers(), evaluate=lambda w: {"accuracy": w.sum()})
    with pytest.raises(ValueError, match="there is no metric 'other'"):
        swept(numbers(), search=jopt.OptunaSearch(metric="other"))


def test_another_metric_can_be_told():
    study = study_of("maximize")
    search = jopt.OptunaSearch(study=study, metric="size", mode="max")
    evaluate = jopt.metrics(lambda w: {"norm": (w**2).sum(), "size": jnp.abs(w).sum()})
    result = swept(numbers(), evaluate=evaluate, search=search)
    assert study.best_value == pytest.approx(result.best("size", "max").score)


def test_what_diverged_is_told_as_infinitely_bad_so_that_samplers_hear_of_it():
    study = study_of()
    result = swept(jopt.sgd(jopt.loguniform(1e-2, 100.0)), steps=60, search=jopt.OptunaSearch(study=study))
    diverged = result.record.diverged[:, 0]
    assert 0 < diverged.sum() < 12
    assert [trial.state for trial in study.trials] == [COMPLETE] * 12
    assert np.isinf([trial.value for trial in study.trials]).tolist() == diverged.tolist()
    marked = [trial.user_attrs.get("diverged_at") for trial in study.trials]
    assert [at is not None for at in marked] == diverged.tolist()
    json.dumps([trial.user_attrs for trial in study.trials], allow_nan=False)


def test_what_was_pruned_is_told_as_pruned_with_its_curve():
    study = study_of()
    rates = jopt.cosine_decay_schedule(jopt.loguniform(1e-3, 0.3), 90)
    search = jopt.OptunaSearch(batch=8, study=study)
    result = swept(jopt.sgd(rates), steps=90, samples=16, prune="auto", search=search)
    pruned = result.record.pruned[:, 0]
    assert pruned.sum() == 12
    assert [trial.state == PRUNED for trial in study.trials] == pruned.tolist()
    for trial, at in zip(study.trials, result.record.pruned_at[:, 0], strict=True):
        if trial.state == PRUNED:
            assert max(trial.intermediate_values) == at
            assert trial.value == trial.intermediate_values[at]
    assert study.best_trial.params["init_value"] == result.best().setting["init_value"]
    assert result.saved.lane_steps == 12 * 80


def test_pruning_in_a_search_warns_once_of_rates_that_do_not_decay():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        swept(numbers(), steps=30, prune="auto")
    assert len([w for w in heard if "does not decay" in str(w.message)]) == 1


def test_groups_have_a_study_each_and_what_is_not_drawn_runs_once():
    optimizers = {
        "sgd": jopt.sgd(jopt.loguniform(1e-3, 0.9)),
        "momentum": numbers(),
        "adam": jopt.adam(jopt.choice(0.1, 0.2, 0.3)),
    }
    result = swept(optimizers)
    assert list(result) == ["sgd", "momentum", "adam"]
    assert [result[name].record.shape for name in result] == [(12,), (12,), (3,)]
    assert result.best().group in result
    alone = swept(optimizers["sgd"])
    np.testing.assert_array_equal(alone.dataset.learning_rate, result["sgd"].dataset.learning_rate)
    with pytest.raises(ValueError, match="a study is of one optimizer, but sgd and momentum are searched"):
        swept(optimizers, search=jopt.OptunaSearch(study=study_of()))


@pytest.mark.filterwarnings("ignore:.*does not decay")
def test_a_search_that_fails_leaves_no_trial_running():
    study = study_of()

    class Broken:
        metric = mode = None

        def rungs(self, steps):
            return [5]

        def keep(self, rung):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        swept(numbers(), prune=Broken(), search=jopt.OptunaSearch(study=study))
    assert {trial.state for trial in study.trials} == {FAIL}


def test_batches_of_an_iterable_begin_anew_for_each_round():
    batches = [np.float32(k) for k in range(1, 4)]

    def scaled(w, batch):
        return batch * jnp.sum(w**2)

    options = {"steps": 5, "samples": 4, "progress": False}
    optimizer = jopt.sgd(jopt.loguniform(1e-3, 0.1))
    result = jopt.sweep(scaled, jnp.ones(2), optimizer, batches, search=jopt.OptunaSearch(batch=2), **options)
    first = result.record.losses["loss"][:, 0, 0]
    np.testing.assert_allclose(first, 2.0)
    with pytest.raises(ValueError, match="data is an iterator"):
        jopt.sweep(scaled, jnp.ones(2), optimizer, iter(batches), search=jopt.OptunaSearch(batch=2), **options)


def test_a_search_runs_under_disable_jit():
    with jax.disable_jit():
        found = swept(numbers(), steps=2, samples=4, batch=2)
    wanted = swept(numbers(), steps=2, samples=4, batch=2)
    np.testing.assert_array_equal(found.dataset.learning_rate, wanted.dataset.learning_rate)


def test_a_joined_result_is_saved_pickled_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    optimizer = jopt.sgd(jopt.loguniform(1e-3, 0.3), momentum=jopt.choice(0.5, 0.8), nesterov=jopt.choice(False, True))
    result = swept(optimizer, samples=16, batch=8)
    result.save(tmp_path / "searched.jopt")
    loaded = jopt.load_result(tmp_path / "searched.jopt")
    assert loaded.best().setting == result.best().setting
    assert loaded.dataset.equals(result.dataset)
    ax = loaded.plot.response()
    assert ax.get_xscale() == "log"
    by_kind = loaded.plot.response(color="nesterov")
    assert {"nesterov=False", "nesterov=True"} <= {text.get_text() for text in by_kind.get_legend().get_texts()}
    kinds = loaded.plot.response(x="nesterov")
    names = list(dict.fromkeys(map(str, result.dataset.nesterov.values)))
    assert [tick.get_text() for tick in kinds.get_xticklabels()] == names
    assert loaded.plot.curves()


def test_what_is_no_search_is_refused():
    with pytest.raises(TypeError, match=r"search must be None or jopt\.OptunaSearch"):
        swept(numbers(), search="tpe")
    with pytest.raises(ValueError, match="search= needs samples="):
        swept(numbers(), samples=None)
    with pytest.raises(ValueError, match="there are none"):
        swept(jopt.sgd(jopt.choice(0.1, 0.2)))
    with pytest.raises(ValueError, match=r"structure.*can't be drawn"):
        swept(jopt.sgd(0.1), batch_size=jopt.uniform(2, 4, dtype=int))
    with pytest.raises(TypeError, match="sampler must be one of"):
        jopt.OptunaSearch(sampler="tpe")
    with pytest.raises(TypeError, match="study must be"):
        jopt.OptunaSearch(study="sqlite:///x")
    with pytest.raises(ValueError, match="a study has its sampler"):
        jopt.OptunaSearch(sampler=optuna.samplers.RandomSampler(), study=study_of())
    with pytest.raises(ValueError, match="several objectives"):
        jopt.OptunaSearch(study=optuna.create_study(directions=["minimize", "minimize"]))
    with pytest.raises(ValueError, match="batch must be a whole number"):
        jopt.OptunaSearch(batch=0)
    with pytest.raises(ValueError, match="mode must be"):
        jopt.OptunaSearch(mode="best")
    assert repr(jopt.OptunaSearch(batch=8, metric="loss")) == "OptunaSearch(metric='loss', batch=8)"


def test_a_study_that_knows_another_kind_of_number_by_that_name_is_refused_with_a_hint():
    study = study_of()
    swept(numbers(), search=jopt.OptunaSearch(study=study))
    with pytest.raises(ValueError, match="log") as refused:
        swept(jopt.momentum(jopt.uniform(0.1, 0.2), momentum=jopt.uniform(0.1, 0.2)), search=jopt.OptunaSearch(study=study))
    assert "give the axis another name=" in refused.value.__notes__[0]
    assert {trial.state for trial in study.trials} == {COMPLETE, FAIL}


# Results as studies


def grid(**options):
    rates = jopt.geomspace(1e-2, 10.0, 4)
    return jopt.sweep(
        loss, jnp.ones(3), jopt.momentum(rates, momentum=jopt.choice(0.1, 0.5)), steps=40, seeds=2, progress=False, **options
    )


def test_every_setting_is_a_trial():
    result = grid()
    study = result.to_optuna()
    assert study.direction.name == "MINIMIZE"
    assert study.metric_names == ["loss"]
    assert len(study.trials) == 8
    assert study.best_params == result.best().setting
    assert study.best_value == result.best().score
    for trial in study.trials:
        index = tuple(trial.user_attrs["index"])
        assert trial.params == result.record.setting(index)
        assert (trial.state == FAIL) == result.record.diverged[index].any()
        if trial.state == COMPLETE:
            scores = np.array(trial.user_attrs["scores"])
            assert trial.value == pytest.approx(scores.mean())
            assert trial.user_attrs["spread"] == pytest.approx(scores.std(ddof=1))
            assert list(trial.intermediate_values) == list(range(2, 41, 2))
            losses = result.record.losses["loss"][index]
            assert trial.intermediate_values[2] == pytest.approx(losses[:, :2].mean(), rel=1e-5)
    assert {trial.state for trial in study.trials} == {COMPLETE, FAIL}
    rate = study.trials[0].distributions["learning_rate"]
    assert (rate.low, rate.high, rate.log) == (0.01, 10.0, True)


def test_curves_of_a_metric_stand_at_its_evaluations_and_pruned_settings_are_pruned():
    rates = jopt.cosine_decay_schedule(jopt.geomspace(1e-3, 0.3, 8), 90)
    evaluate = jopt.metrics(lambda w: {"size": (w**2).sum()})
    result = jopt.sweep(
        loss, jnp.ones(3), jopt.sgd(rates), steps=90, evaluate=evaluate, eval_every=30, prune="auto", progress=False
    )
    study = result.to_optuna()
    states = [trial.state for trial in study.trials]
    assert states.count(PRUNED) == 6
    for trial in study.trials:
        wanted = [0, 10] if trial.state == PRUNED else [0, 10, 30, 60, 90]
        assert list(trial.intermediate_values) == wanted
    assert study.metric_names == ["size"]


def test_settings_that_had_not_come_to_their_end_are_not_complete():
    def stop(event):
        raise InterruptedError

    with pytest.raises(InterruptedError) as caught:
        grid(callbacks=stop)
    study = caught.value.partial_result.to_optuna()
    assert {trial.state for trial in study.trials} == {FAIL}
    assert {trial.user_attrs["stopped_at"] for trial in study.trials if "diverged_at" not in trial.user_attrs} == {2}
    assert study.trials[0].intermediate_values


def test_groups_are_one_study_with_a_parameter_that_tells_them_apart():
    optimizers = {"sgd": jopt.sgd(jopt.geomspace(1e-3, 0.1, 5)), "adam": jopt.adam(jopt.geomspace(1e-2, 1.0, 5))}
    result = jopt.sweep(loss, jnp.ones(3), optimizers, steps=20, progress=False)
    study = result.to_optuna()
    assert len(study.trials) == 10
    best = result.best()
    assert study.best_params == {"group": best.group, **best.setting}
    assert {trial.user_attrs["group"] for trial in study.trials} == {"sgd", "adam"}
    rate = {str(trial.distributions["learning_rate"]) for trial in study.trials}
    assert len(rate) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of Optuna 4
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    importance = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert set(importance) == {"group", "learning_rate"}


def test_a_searched_result_keeps_the_ranges_that_were_searched():
    optimizer = jopt.sgd(jopt.loguniform(1e-3, 0.3), momentum=jopt.choice(0.5, 0.8), nesterov=jopt.choice(False, True))
    result = swept(optimizer, samples=16, batch=8)
    study = result.to_optuna()
    kinds = study.trials[0].distributions
    assert kinds["learning_rate"] == optuna.distributions.FloatDistribution(1e-3, 0.3, log=True)
    assert kinds["momentum"] == optuna.distributions.CategoricalDistribution((0.5, 0.8))
    assert kinds["nesterov"] == optuna.distributions.CategoricalDistribution((False, True))
    more = swept(optimizer, samples=4, search=jopt.OptunaSearch(study=study))
    assert len(study.trials) == 20
    assert more.record.shape == (4,)


def test_whole_numbers_are_whole_in_a_study():
    schedule = jopt.exponential_decay(jopt.loguniform(1e-2, 0.5), jopt.loguniform(1, 64, dtype=int), 0.5)
    result = swept(jopt.sgd(schedule))
    study = result.to_optuna()
    assert study.trials[0].distributions["transition_steps"] == optuna.distributions.IntDistribution(1, 64, log=True)
    assert all(isinstance(trial.params["transition_steps"], int) for trial in study.trials)


def test_a_loaded_result_and_one_of_a_single_setting_are_studies_too(tmp_path):
    result = grid()
    result.save(tmp_path / "grid.jopt")
    loaded = jopt.load_result(tmp_path / "grid.jopt").to_optuna()
    assert [trial.params for trial in loaded.trials] == [trial.params for trial in result.to_optuna().trials]
    one = jopt.sweep(loss, jnp.ones(3), jopt.sgd(0.1), steps=3, progress=False).to_optuna()
    assert (len(one.trials), one.trials[0].params) == (1, {})


def test_a_study_can_be_put_into_a_storage_that_a_dashboard_reads(tmp_path):
    study = grid().to_optuna()
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    optuna.copy_study(from_study_name=study.study_name, from_storage=study._storage, to_storage=storage, to_study_name="sweep")
    loaded = optuna.load_study(study_name="sweep", storage=storage)
    assert [trial.params for trial in loaded.trials] == [trial.params for trial in study.trials]
    storage.remove_session()
    storage.engine.dispose()


def test_functions_stand_by_their_names():
    def penalised(w, batch, hyper):
        return loss(w, batch) + hyper["f"](w).sum()

    result = jopt.sweep(
        penalised, jnp.ones(3), jopt.sgd(0.1), steps=3, hyper={"f": jopt.choice(jnp.abs, jnp.square)}, progress=False
    )
    names = result.dataset.f.values.tolist()
    assert [trial.params["f"] for trial in result.to_optuna().trials] == names


def test_the_example_finds_numbers_and_says_which_of_them_matter(capsys):
    pytest.importorskip("sklearn")
    drawn, searched = importlib.import_module("examples.optuna_search").main(samples=16, batch=8, steps=20)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == f"searched     {searched.best()}"
    assert sorted(line.split()[1] for line in printed[2:]) == ["b1", "rate", "warmup", "weight_decay"]
    assert drawn.record.shape == searched.record.shape == (16,)


def test_an_event_says_of_which_round_it_is_and_its_best_is_of_that_round():
    told = []
    search = jopt.OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=3), batch=4)
    rates = jopt.loguniform(1e-3, 0.4)
    options = {"steps": 20, "samples": 8, "search": search, "callbacks": told.append, "progress": False}
    result = jopt.sweep(lambda w, _: (w**2).sum(), jnp.ones(3), jopt.sgd(rates), **options)
    ends = [event for event in told if event.step == 20]
    assert [event.round for event in told] == [0] * (len(told) // 2) + [1] * (len(told) // 2)
    assert [event.lanes.sizes["learning_rate"] for event in ends] == [4, 4]
    assert min(event.best.score for event in ends) == pytest.approx(result.best().score)
    assert ends[0].best.score != ends[1].best.score
    assert "round" not in repr(ends[0])
    assert repr(ends[1]).startswith("Event(round 1, step 20 of 20, ")

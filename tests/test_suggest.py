"""Suggestions against problems whose best rate is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.results import along, scores, suggesting

FACTORS = (2.15, 3.16, 4.64)
OFFSETS = np.arange(6) / 6


def grid(factor, offset, low=1e-4, high=30.0):
    count = int(math.log(high / low) / math.log(factor))
    return low * factor ** (np.arange(count) + offset)


def curve(rates, scores, before):
    return suggesting.Curve(np.log(rates), np.asarray(scores, float).reshape(len(rates), -1), before)


def judged(score_of, before, truth):
    """How often the best rate is inside the interval, and how wide that is in grid steps, on average, by factor."""
    hits, widths = {}, {}
    for factor in FACTORS:
        for offset in OFFSETS:
            rates = grid(factor, offset)
            found = suggesting.minimum(curve(rates, score_of(rates), before))
            hits.setdefault(factor, []).append(found.low <= math.log(truth) <= found.high)
            widths.setdefault(factor, []).append((found.high - found.low) / math.log(factor))
    return hits, widths


def descent(rates, eigenvalues, steps=40):
    """The loss after gradient descent on a quadratic."""
    with np.errstate(over="ignore", invalid="ignore"):
        return 0.5 * (eigenvalues * (1 - np.multiply.outer(rates, eigenvalues)) ** (2 * steps)).sum(-1)


def heavy_ball(rates, eigenvalues, steps=40):
    """The same with heavy ball and the beta that is best for these eigenvalues."""
    root = math.sqrt(eigenvalues.max() / eigenvalues.min())
    beta = ((root - 1) / (root + 1)) ** 2
    x = np.ones((len(rates), len(eigenvalues)))
    velocity = np.zeros_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            velocity = beta * velocity - rates[:, None] * eigenvalues * x
            x = x + velocity
        return 0.5 * (eigenvalues * x**2).sum(-1)


@pytest.mark.parametrize(("rule", "least"), [(descent, 0.9), (heavy_ball, 0.85)])
def test_the_interval_holds_the_best_rate_on_quadratics_and_is_narrow(rule, least):
    hits, widths = {}, {}
    for largest in (3.0, 10.0, 50.0):
        eigenvalues = np.geomspace(1.0, largest, 5)
        fine = np.geomspace(1e-3, 3.0, 20_001)
        truth = fine[np.nanargmin(rule(fine, eigenvalues))]
        found = judged(lambda rates, e=eigenvalues: rule(rates, e), 0.5 * eigenvalues.sum(), truth)
        for into, each in zip((hits, widths), found, strict=True):
            for factor, values in each.items():
                into.setdefault(factor, []).extend(values)
    for factor in FACTORS:
        assert np.mean(hits[factor]) >= least, factor
        assert np.mean(widths[factor]) <= 1.7, factor


def noisy(rates, seeds, random, eigenvalues, sigma, steps):
    """Losses of SGD on a noisy quadratic, and their expectation."""
    a = 1 - np.multiply.outer(rates, eigenvalues)
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.ones((seeds, len(rates), len(eigenvalues)))
        second = np.ones((len(rates), len(eigenvalues)))
        for _ in range(steps):
            x = a * x + rates[:, None] * sigma * random.normal(size=x.shape)
            second = a**2 * second + (rates[:, None] * sigma) ** 2
        return 0.5 * (eigenvalues * x**2).sum(-1).T, 0.5 * (eigenvalues * second).sum(-1)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_the_interval_holds_the_best_rate_on_noisy_quadratics(sigma):
    random, eigenvalues, steps = np.random.default_rng(0), np.geomspace(0.1, 1.0, 20), 100
    fine = np.geomspace(1e-4, 3.0, 4001)
    truth = fine[np.nanargmin(noisy(fine, 1, random, eigenvalues, sigma, steps)[1])]
    for factor in FACTORS:
        hits, widths = [], []
        for offset in OFFSETS:
            rates = grid(factor, offset)
            for _ in range(3):
                scores = noisy(rates, 3, random, eigenvalues, sigma, steps)[0]
                found = suggesting.minimum(curve(rates, scores, 0.5 * eigenvalues.sum()))
                hits.append(found.low <= math.log(truth) <= found.high)
                widths.append((found.high - found.low) / math.log(factor))
        assert np.mean(hits) >= 0.9, (factor, hits)
        assert np.mean(widths) <= 1.6, factor


def test_a_parabola_is_found_exactly():
    x = np.log(grid(3.0, 0.3))
    found = suggesting.minimum(suggesting.Curve(x, np.exp(0.1 * (x + 2.0) ** 2)[:, None], math.inf))
    assert found.x == pytest.approx(-2.0, abs=0.02)


RATES = np.geomspace(1e-3, 3.0, 9)


def run(rates=RATES, optimizer=jopt.sgd, **options):
    options = {"steps": 20, "progress": False, **options}
    scale = jnp.array([0.2, 1.0, 2.0])
    return jopt.sweep(lambda w, batch: jnp.sum(scale * w**2), jnp.ones(3), optimizer(jopt.choice(*rates)), **options)


def test_a_suggestion_is_one_sentence_with_value_interval_reasons_and_an_optimizer():
    found = run().suggest()
    assert found.name == "learning_rate"
    assert found.low < found.value < found.high
    assert str(found).startswith("use ")
    assert "\n" not in str(found)
    assert found.optimizer.hyperparams["learning_rate"] == found.value
    assert any("5 %" in reason for reason in found.reasons)
    assert found.extend is None


def test_words_code_and_value_have_the_same_digits():
    found = run().suggest()
    shown = str(found).split()[1]
    assert float(shown) == found.value == found.optimizer.hyperparams["learning_rate"]
    assert found.low < found.value < found.high
    assert len(shown.lstrip("0.").split("e")[0]) <= 3
    at_edge = run(RATES[:4]).suggest()  # a value that ran stays what ran
    assert at_edge.value == at_edge.trial.setting["learning_rate"]


def test_of_a_narrow_interval_as_many_digits_are_told_as_tell_its_ends_apart():
    found = run(np.linspace(0.4999, 0.5001, 7), steps=3).suggest()
    value, low, high = (float(x.strip("():")) for x in str(found).split()[1:5] if x != "to")
    assert low < high
    assert low <= value <= high


def test_the_best_at_an_edge_warns_and_says_what_to_run_next():
    low = run(RATES[:4]).suggest()
    assert any("last of its axis" in each for each in low.warnings)
    np.testing.assert_allclose(low.extend.values[0], RATES[4], rtol=1e-6)
    high = run(RATES[6:]).suggest()
    assert any("first of its axis" in each for each in high.warnings)
    np.testing.assert_allclose(high.extend.values[-1], RATES[5], rtol=1e-6)
    assert not any("of its axis" in each and "first" in each for each in run().suggest().warnings)


def test_divergence_next_to_the_best_warns():
    assert any("above diverges" in each for each in run([0.01, 0.05, 0.3, 30.0], steps=200).suggest().warnings)
    assert not any("above diverges" in each for each in run(RATES[:7]).suggest().warnings)


def test_few_values_warn():
    assert any("only 3 values" in each for each in run(RATES[3:6]).suggest().warnings)
    assert not any("only" in each for each in run().suggest().warnings)


def test_one_value_that_is_left_is_said_in_the_singular_and_costs_nothing():
    def schedule(rate):
        return jopt.sgd(jopt.cosine_decay_schedule(rate, 40))

    found = str(run(RATES[3:7], schedule, steps=40, prune=jopt.TopFraction(keep=0.2)).suggest())
    assert "only one value of the axis has a score" in found
    assert "cost" not in found


def test_a_sweep_that_was_stopped_or_improved_nothing_warns():
    def stop(event):
        if event.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        run(callbacks=stop, plan=jopt.Plan(width=2, loop="scan"))
    assert any("stopped before it had come to its end" in each for each in stopped.value.partial_result.suggest().warnings)
    uphill = run([0.6, 0.7, 0.8, 0.9], evaluate=lambda w: {"size": jnp.sum(w**2)}).suggest()
    assert any("no better than before the first step" in each for each in uphill.warnings)
    fine = run(evaluate=lambda w: {"size": jnp.sum(w**2)}).suggest()
    assert not any("stopped" in each or "no better" in each for each in fine.warnings)


def test_the_better_of_two_values_is_at_an_edge():
    low, high = run(RATES[:2]).suggest(), run(RATES[6:8]).suggest()
    assert any("last of its axis" in each for each in low.warnings)
    np.testing.assert_allclose(low.extend.values[0], RATES[2], rtol=1e-6)
    assert any("first of its axis" in each for each in high.warnings)


def test_a_constant_rate_warns_of_the_horizon_and_a_schedule_does_not():
    assert any("does not decay" in each for each in run().suggest().warnings)
    decaying = run(optimizer=lambda rate: jopt.sgd(jopt.cosine_decay_schedule(rate, 20)))
    found = decaying.suggest()
    assert not any("does not decay" in each for each in found.warnings)
    assert "init_value" in found.name


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (lambda rate: jopt.schedule_free_sgd(rate), False),
        (lambda rate: jopt.chain(jopt.clip(1.0), jopt.tail_average(jopt.sgd(rate), start=5)), False),
        (lambda rate: jopt.parameter_ema(jopt.sgd(rate), 0.5), True),  # its average does not grow with the run
    ],
    ids=["schedule_free", "tail_average", "parameter_ema"],
)
def test_of_an_average_that_grows_with_the_run_it_is_not_said_that_the_rate_does_not_decay(optimizer, said, tmp_path):
    result = run(RATES[2:6], optimizer)
    assert any("does not decay" in each for each in result.suggest().warnings) == said
    result.save(tmp_path / "average.jopt")
    assert jopt.load_result(tmp_path / "average.jopt").suggest().warnings == result.suggest().warnings


def test_seeds_that_disagree_warn():
    def own(key):
        return jnp.exp(3 * jax.random.normal(key, ()))  # of each seed its own curvature

    def loss(carry, batch):
        w, curvature = carry
        return jax.lax.stop_gradient(curvature) * w**2

    def sweep(init):
        optimizer = jopt.sgd(jopt.choice(*np.geomspace(1e-3, 10.0, 9)))
        made = {"seeds": 4, "steps": 10, "progress": False}
        return jopt.sweep(loss, lambda key: (jnp.float32(1.0), init(key)), optimizer, **made).suggest().warnings

    assert any("seeds disagree" in each for each in sweep(own))
    assert not any("seeds disagree" in each for each in sweep(lambda key: jnp.float32(1.0)))


def test_other_numbers_are_suggested_by_name_and_an_unclear_name_is_an_error():
    optimizer = jopt.momentum(jopt.geomspace(0.01, 0.3, 4), momentum=jopt.choice(0.0, 0.5, 0.8, 0.9))
    scale = jnp.array([0.2, 1.0, 2.0])
    result = jopt.sweep(lambda w, batch: jnp.sum(scale * w**2), jnp.ones(3), optimizer, steps=20, progress=False)
    assert result.suggest().name == "learning_rate"
    found = result.suggest("momentum")
    assert 0.0 <= found.value <= 0.9
    assert found.optimizer.hyperparams["momentum"] == found.value
    with pytest.raises(ValueError, match="'nothing'"):
        result.suggest("nothing")
    with pytest.raises(ValueError, match="no number with an order"):
        run([0.1]).suggest()


def test_the_group_that_is_best_is_suggested():
    optimizers = {"sgd": jopt.sgd(jopt.choice(*RATES)), "adam": jopt.adam(jopt.choice(*(1e-3 * RATES)))}
    result = jopt.sweep(lambda w, batch: jnp.sum(w**2), jnp.ones(3), optimizers, steps=20, progress=False)
    found = result.suggest()
    assert found.trial.group == "sgd"
    assert str(found).startswith("sgd: use ")


def test_an_accuracy_is_suggested_by_its_errors():
    def evaluate(w):
        return {"accuracy": jnp.exp(-jnp.sum(w**2))}

    result = run(evaluate=jopt.metrics(evaluate, maximize="accuracy"))
    found, by_loss = result.suggest(), result.suggest(metric="loss")
    assert found.low <= by_loss.high
    assert by_loss.low <= found.high
    assert any("within 5 % of the best 1 - accuracy" in each for each in found.reasons)
    assert any("within 5 % of the best loss" in each for each in by_loss.reasons)


def test_a_metric_whose_direction_nobody_said_is_suggested_and_zoomed_once_it_is_said():
    def evaluate(w):
        return {"accuracy": jnp.exp(-jnp.sum(w**2))}

    plain, declared = run(evaluate=evaluate), run(evaluate=jopt.metrics(evaluate, maximize="accuracy"))
    with pytest.raises(ValueError, match="give mode="):
        plain.suggest()
    assert str(plain.suggest(mode="max")) == str(declared.suggest())
    assert str(plain.zoom(mode="max")) == str(declared.zoom())
    two = {"a": jopt.sgd(jopt.choice(*RATES)), "b": jopt.adam(jopt.choice(*RATES))}
    grouped = jopt.sweep(lambda w, batch: jnp.sum(w**2), jnp.ones(3), two, steps=20, evaluate=evaluate, progress=False)
    assert grouped.suggest(mode="max").trial.group == grouped.best(mode="max").group


def test_a_number_beside_structure_is_suggested_and_structure_is_not():
    optimizer = jopt.sgd(jopt.choice(*RATES), momentum=jopt.choice(None, 0.5), nesterov=jopt.choice(False, True))
    result = jopt.sweep(lambda w, batch: jnp.sum(w**2), jnp.ones(3), optimizer, steps=20, progress=False)
    assert result.suggest().name == "learning_rate"
    with pytest.raises(ValueError, match="'momentum' has no order"):
        result.suggest("momentum")


def test_what_was_pruned_is_no_point_of_the_curve():
    def schedule(rate):
        return jopt.sgd(jopt.cosine_decay_schedule(rate, 40))

    result = run(np.geomspace(1e-3, 1.0, 16), schedule, steps=40, prune=jopt.TopFraction(keep=0.5))
    trial, ranked = result.best(), scores.ranking([result.record], None, None, "last")
    fit = along.fitted(result.record, ranked, trial.index, "init_value")
    assert len(fit.values) == len(fit.curve.x) == 8
    assert not any("diverges" in each for each in result.suggest().warnings)
    assert any("the other values that were not pruned cost" in each for each in result.suggest().reasons)


def test_the_best_beside_what_was_pruned_is_not_called_the_last_of_its_axis():
    class Low:
        metric = mode = None

        def rungs(self, steps):
            return [10]

        def keep(self, rung):
            return np.array([setting["init_value"] < 0.1 for setting in rung.settings])

    def schedule(rate):
        return jopt.sgd(jopt.cosine_decay_schedule(rate, 40))

    found = run(np.geomspace(1e-3, 0.4, 9), schedule, steps=40, prune=Low()).suggest()
    assert found.extend is None
    assert any("what lies above was pruned" in each for each in found.warnings)
    assert not any("of its axis" in each for each in found.warnings)


def test_the_one_axis_in_the_schedule_of_the_rate_is_meant():
    schedule = jopt.cosine_decay_schedule(jopt.choice(*RATES), 20)
    optimizer = jopt.momentum(schedule, momentum=jopt.choice(0.0, 0.5, 0.8))
    result = jopt.sweep(lambda w, batch: jnp.sum(w**2), jnp.ones(3), optimizer, steps=20, progress=False)
    assert result.suggest().name == "init_value"
    assert result.suggest().optimizer.hyperparams["learning_rate"]["init_value"] == result.suggest().value

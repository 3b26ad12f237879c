"""What drawn calls have found, one call for each kind of fault: an error of jopt's own, which names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.bad_input import cases, judging, values

# A call, and what its error says.
FOUND = {
    "jopt.sgd(0.1, nesterov='no')": "nesterov must be True or False",
    "jopt.sgd(0.1, nesterov=np.ones(2))": "nesterov must be True or False",
    "jopt.sgd(10**400)": r"learning_rate must lie in \[0, inf\)",
    "jopt.sgd(deleted())": "learning_rate is an array whose memory was given away",
    "jopt.sgd((x for x in (0.1, 0.2)))": "learning_rate holds an iterator.*give a list",
    "jopt.sgd({None: 1, 'a': 2})": "learning_rate is no tree that JAX can take apart",
    "jopt.sgd(0.1, momentum={'w': 0.1}).update(GRADS, jopt.sgd(0.1, momentum=0.9).init(PARAMS))": (
        "sgd: momentum must be a number"
    ),
    "jopt.sgd(lambda step: 'high').update(GRADS, jopt.sgd(lambda step: 0.1).init(PARAMS))": "must be a number for each leaf",
    "jopt.adam(0.1, mu_dtype='a')": "mu_dtype must be a floating type",
    "jopt.adam(0.1, mu_dtype=int)": "mu_dtype must be a floating type",
    "jopt.adamw(0.1, mask='b')": "mask must be a tree of bools",
    "jopt.adamw(0.1, mask={'w': 0.5, 'b': True})": r"mask must be a tree of bools.*holds 0\.5",
    "jopt.freeze(lambda params: 'all').init(PARAMS)": "what mask, a function, makes must be a tree of bools",
    "jopt.adafactor(0.1, min_dim_size_to_factor=0.5)": "min_dim_size_to_factor must be a whole number",
    "jopt.accumulate(jopt.sgd(0.1), 2, reduction=np.array(['mean', 'sum']))": "reduction must be 'mean' or 'sum'",
    "jopt.constant_schedule('a')": "value must be a number",
    "jopt.constant_schedule(pd.DataFrame({'a': [1.0]}))": "value must be a number",
    "jopt.constant_schedule(0.1)('three')": "the step must be a real number",
    "jopt.rex_schedule(np.zeros((0, 3)), 5, np.ones(2))": "must have one shape",
    "jopt.join_schedules(None, [5])": "schedules must be a list of functions",
    "jopt.join_schedules([0.1, 0.2], [5])": "each of schedules must be a function",
    "jopt.piecewise_constant_schedule(0.1, 'steps')": "boundaries_and_scales must be a dict",
    "jopt.sgdr_schedule(np.array(1.0))": "cosine_kwargs must be a list of dicts",
    "jopt.sgdr_schedule([{'peak': 1.0}])": "cosine_kwargs has a dict that does not fit",
    "jopt.geomspace(None, 1.0, 3)": "start is None",
    "jopt.geomspace(1e-3, 1.0, 2**31)": "num must be a whole number .* under",
    "jopt.loguniform(1e-3, 10**400)": "must be finite, but high is",
    "jopt.linspace(deleted(), 1.0, 3)": "start is ",
    "jopt.choice(1, tracer)": "An axis takes numbers",
    "jopt.zipped(np.array(3))": "zipped takes grids",
    "jopt.uniform(0.1, 0.2, dtype=np.ones(2))": "dtype must be float or int",
    "jopt.schedule('a')": "factory must be a function",
    "jopt.transformation(static='rate')(factory)": "static must be a list of names",
    "jopt.transformation(domain={'rate': 'positive'})(factory)": "domain of 'rate' must be an interval",
    "jopt.lift(optax.adam, static=0)": "static must be a list of names",
    "jopt.learning_rate(jopt.sgd(0.1), jopt.sgd(0.1).init(PARAMS), path=True)": "path must be a string",
    "jopt.leafwise(None, {'p': PARAMS})": "rule must be a function",
    "jopt.zeros_like({'w': 'a'})": "params must be a tree of arrays",
    "jopt.zeros_like(PARAMS, dtype=False)": "dtype must be a floating type",
    "jopt.partition(None)": "transforms must be a dict",
    "jopt.load_result(None)": "path must be the name of a file",
    "jopt.inspect('a\\x00b')": "path must be a name that the system takes",
    "jopt.enable_compilation_cache([])": "path must be the name of a file or a directory",
    "jopt.Checkpoint(1)": "path must be the name",
    "result('rates').save({})": "path must be the name of a file",
    "result('rates').to_tensorboard(0.5)": "directory must be the name",
    "result('rates').best(at=np.ones(2))": "at must be 'last' or 'best'",
    "result('rates').best(metric=['loss'])": "metric must be a string",
    "result('rates').suggest({})": "name of a number that was swept must be a string",
    "result('rates').params_at((9,))": "index must be a position in the grid",
    "result('one').optimizer_at((0,))": "index must be a position in the grid",
    "result('rates').hyper_at('a')": "index must be a list of whole numbers",
    "result('rates').zoom(factor=None)": r"factor must be a number in \(1, inf\)",
    "result('rates').plot.curves(ax=3)": "ax must be one of matplotlib's axes",
    "result('rates').plot.curves(select=['a'])": "select must be a dict",
    "result('rates').plot.curves(select={'learning_rate': slice('a', 'b')})": "select: the start of learning_rate",
    "result('rates').plot.curves(legend='no')": "legend must be True or False",
    "result('rates').plot.response(suggestion='no')": "suggestion must be True or False",
    "result('groups').plot.curves(ax=axes(3))": "groups need as many axes",
    "result('groups').plot.curves(color=np.ones(2))": "color must be a string",
    "result('groups').compare(confidence={})": r"confidence must be a number in \(0, 1\)",
    "jopt.GroupedResult({'a': 0.1})": "groups.'a'. must be a SweepResult",
    "range_test().of([1.0], 'a')": "losses must be numbers",
    "range_test().plot(ax='a')": "ax must be one of matplotlib's axes",
    "jopt.train(loss, {'w': W}, jopt.sgd(0.1), (np.ones((2, 3)),), has_aux='no')": "has_aux must be True or False",
    "jopt.train(noisy, {'w': W}, jopt.sgd(0.1), (np.ones((2, 3)),), key='a')": "key must be a random key",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=2**31)": "steps must be a whole number .* under",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=3, seeds=2**31)": "seeds must be a whole number .* under",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=3, has_aux='no')": "has_aux must be True or False",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=3, progress='no')": "progress must be True or False",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=3, plan=np.ones(2))": "plan must be",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=3, keep=np.ones(2))": "keep must be",
    "jopt.sweep(loss, {'w': W}, jopt.sgd(0.1), steps=3, record=[np.ones(2)])": "record: .* is none of",
    "jopt.lr_range_test(loss, {'w': W}, jopt.sgd(0.1), low='a')": "low must be a number",
    "jopt.metrics(evaluate, maximize=0.5)": "maximize must be a list of names",
    "jopt.TopFraction(keep=np.ones(2))": "keep, a share, must be a number",
    "jopt.EarlyStop(2, metric=1)": "metric must be a string",
    "result('rates').hyper_at(Endless())": "index must be a list of whole numbers",
    "jopt.orthogonalize(ns_coeffs=10**400)": "ns_coeffs must be a number that 64 bits hold",
    "jopt.normuon(0.1, ns_coeffs={'w': 'auto'}).init(PARAMS)": "ns_coeffs must be three numbers",
    "jopt.apply_updates(None, GRADS)": "only in updates",
    "jopt.apply_updates(['a'], [W])": "is a str, but parameters and gradients must be arrays",
    "jopt.sgd(0.1).update(W, jopt.sgd(0.1).init(W), Same(W, 0.5))": "updates and params must be trees of the same structure",
    "jopt.sweep(loss, {'w': deleted()}, jopt.sgd(0.1), steps=3)": "memory was given away",
    "jopt.sweep(loss, {'w': jax.ShapeDtypeStruct((2,), float)}, jopt.sgd(0.1), steps=3)": "is the description of one",
    "jopt.adam(jax.ShapeDtypeStruct((), float)).update(W, jopt.adam(0.1).init(W))": "is the description of one",
    "jopt.natural_exp_decay(jopt.constant_schedule(0.1), 1.0)": "init_value must be a number, but got constant_schedule",
    "jopt.rex_schedule(jax.ShapeDtypeStruct((), float), 5)(1)": "init_value must be a number, but is the description",
    "jopt.sgd(lambda step: 0.1j).update(W, jopt.sgd(lambda step: 0.1).init(W))": "must be a real number",
    "jopt.adagrad(0.1, initial_accumulator_value=[0.1]).init(PARAMS)": "initial_accumulator_value must be a number",
    "jopt.scale_by_aggmo(([None],)).update(GRADS, jopt.scale_by_aggmo((0.1,)).init(PARAMS))": r"betas.0. must be a number",
    "jopt.scale_by_schedule(lambda s: dict(c=1)).update(W, jopt.scale_by_schedule(length).init(W))": "step_size_fn must",
    "jopt.leafwise(lambda p: p, {'p': {'w': 'x'}})": "p: the leaf at .* must be an array",
    "jopt.leafwise(lambda p: p, {'p': W}, once=lambda: 1)": "once must return a dict",
    "jopt.evaluation_params(jopt.adam(0.1).init(PARAMS), np)": "evaluation_params: params: the leaf at .* must be an array",
    "jopt.soap(0.1, matrices=lambda p: p).init({'w': jnp.ones((2, 2))})": "what mask, a function, makes must",
    "jopt.constant_schedule(np.ma.array([1.0, 2.0], mask=[0, 1]))": "value is a masked array",
    "result('groups').trial({}, group={'w': 1})": "trial: group must be 'sgd' or 'adam'",
    "jopt.linear_schedule(0.1, 0.0, 10)(1j)": "the step must be a real number",
    "jopt.apply_updates(W, deleted())": "an update is an array whose memory was given away",
    "jopt.apply_updates(W, W.astype(np.longdouble))": "an update must be an array",
    "jopt.Plan(reason=deleted())": "Plan: reason must be a string",
    "jopt.Plan(loop=np.ones(2))": "Plan: loop must be 'scan' or 'host'",
}


@pytest.mark.parametrize("call", FOUND)
def test_the_error_is_jopts_own_and_names_the_argument(call):
    scope, said = {**cases.SCOPE, "tracer": None}, []

    def made(tracer):
        with pytest.raises((TypeError, ValueError), match=FOUND[call]) as caught:
            eval(call, {**scope, "tracer": tracer})
        said.append(caught.value)

    jax.jit(made)(jnp.float32(0.5)) if "tracer" in call else made(None)
    assert len(str(said[0])) < judging.LONGEST_MESSAGE


def test_a_choice_of_many_values_is_made_in_linear_time():
    values_ = [("part", i) for i in range(100_000)]  # comparing all pairs would take minutes
    assert len(jopt.choice(*values_).values) == len(values_)
    with pytest.raises(ValueError, match="must differ"):
        jopt.choice(*values_, ("part", 0))


def test_values_without_a_hash_or_a_truth_value_are_told_apart():
    apart = values.Elementwise(), values.Elementwise()
    assert jopt.choice(*apart, True, 1).values == (*apart, True, 1)
    with pytest.raises(ValueError, match="must differ"):
        jopt.choice(apart[0], None, apart[0])


@pytest.mark.parametrize(
    ("optimizer", "name", "inside"),
    [
        ("jopt.sgd(0.01, momentum=jopt.linspace(0.0, 0.9, 4))", "momentum", (0.9, 1.0)),
        ("jopt.sgd(0.45, momentum=jopt.linspace(0.0, 0.9, 4))", "momentum", None),
        ("jopt.sgd(jopt.linspace(0.01, 0.04, 4))", "learning_rate", (0.04, 1.0)),
        ("jopt.sgd(jopt.linspace(0.9, 3.0, 4))", "learning_rate", (0.0, 0.9)),
    ],
    ids=["up to one", "none below zero", "free", "above zero"],
)
def test_the_axis_to_run_next_stays_inside_what_the_number_may_be(optimizer, name, inside):
    swept = values._sweep(eval(optimizer, {"jopt": jopt}), steps=30)
    further = swept.suggest(name).extend
    if inside is None:
        assert further is None
    else:
        assert inside[0] < min(further.values) or max(further.values) < inside[1]
        assert all(inside[0] <= x < inside[1] for x in further.values)
        _ = swept.best().optimizer.replace(**{name: further})


def test_groups_are_zoomed_and_swept_again():
    result = values.result("groups")
    narrower = result.zoom(2)
    assert list(narrower) == list(result)
    axis = narrower["sgd"].hyperparams["learning_rate"].values
    assert np.ptp(axis) == pytest.approx(0.1)
    assert values._sweep(narrower).best().score <= result.best().score * 1.001


def test_groups_have_a_heat_map_each():
    with pytest.raises(ValueError, match="the group 'plain' has fewer than two axes"):
        values.result("mixed").plot.heatmap()
    both = jopt.GroupedResult({"a": values.result("grid"), "b": values.result("grid")})
    assert [ax.get_title() for ax in both.plot.heatmap(x="momentum")] == ["a", "b"]
    assert all(ax.get_xlabel() == "momentum" for ax in both.plot.heatmap(x="momentum"))


def test_the_page_of_a_pruned_sweep_shows_its_rungs(tmp_path):
    from jopt.results import scores
    from jopt.results.page.content import content

    result = values.result("pruned")
    ranked = scores.ranking([result.record], "loss", None, None)
    rungs = content({"": result}, ranked)["data"]["rungs"]
    assert rungs == [{"step": 2, "left": 2}]
    text = result.report(tmp_path / "page.html").read_text()
    assert "Dotted lines stand where settings were pruned" in text
    assert "Dotted lines" not in values.result("rates").report(tmp_path / "other.html").read_text()

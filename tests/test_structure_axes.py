"""Structure as an axis: bools, None, strings, functions, whole numbers that shape a program, batch sizes."""

import itertools
import pickle

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from solo import CLOSE

import jopt
from jopt.engine.running import runtime
from jopt.expanding import expand

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(24, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RANDOM.normal(size=24)).astype(np.float32)
W = jnp.zeros(3)
QUIET = {"progress": False}


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def by_hand(optimizer, steps, of=lambda w: loss(w, (X, Y)), w=W):
    """Full batches, Optax's optimizer, a Python loop."""
    state, losses = optimizer.init(w), []
    for _ in range(steps):
        value, grads = jax.value_and_grad(of)(w)
        updates, state = optimizer.update(grads, state, w)
        w = optax.apply_updates(w, updates)
        losses.append(float(value))
    return np.array(losses), np.asarray(w)


def swept(optimizer, steps=8, **options):
    return jopt.sweep(loss, W, optimizer, (X, Y), steps=steps, **options, **QUIET)


def programs(optimizer, **options):
    """How many programs a sweep is, and how many settings each has."""
    return [space.size for space in expand(optimizer, **options).spaces]


# In the optimizer


def test_bools_none_beside_numbers_and_rates_make_one_result_that_equals_the_loops_by_hand():
    moments, nesterovs, rates = (None, 0.5, 0.9), (False, True), (0.01, 0.1)
    optimizer = jopt.sgd(jopt.choice(*rates), momentum=jopt.choice(*moments), nesterov=jopt.choice(*nesterovs))
    result = swept(optimizer)
    assert result.dataset.loss.dims == ("learning_rate", "momentum", "nesterov", "seed", "step")
    assert result.dataset.momentum.values.tolist() == list(moments)
    assert result.dataset.nesterov.values.tolist() == list(nesterovs)
    for i, j, k in itertools.product(range(2), range(3), range(2)):
        losses, w = by_hand(optax.sgd(rates[i], moments[j], nesterovs[k]), 8)
        np.testing.assert_allclose(result.record.losses["loss"][i, j, k, 0], losses, **CLOSE)
        np.testing.assert_allclose(result.params[i, j, k, 0], w, **CLOSE)
        assert result.optimizer_at((i, j, k)) == jopt.sgd(rates[i], momentum=moments[j], nesterov=nesterovs[k])


def test_numbers_beside_none_share_one_program():
    assert programs(jopt.sgd(0.1, momentum=jopt.choice(None, 0.9, 0.95))) == [1, 2]
    assert programs(jopt.sgd(jopt.choice(0.1, 0.2), momentum=jopt.choice(0.9, None, 0.95))) == [2, 4]
    assert programs(jopt.adam(jopt.choice(0.1, 0.2), nesterov=jopt.choice(False, True))) == [2, 2]
    assert programs(jopt.adam(jopt.choice(0.1, 0.2))) == [2]


@hypothesis.given(
    moments=st.lists(st.one_of(st.none(), st.floats(0.0, 0.875, width=32)), min_size=1, max_size=4, unique=True),
    switches=st.permutations([False, True]),
    first=st.booleans(),
)
def test_every_setting_is_the_optimizer_that_one_would_have_written(moments, switches, first):
    axes = jopt.choice(*moments), jopt.choice(*switches)
    rate = jopt.choice(0.1, 0.2)
    optimizer = jopt.sgd(rate, *axes)
    optimizer = jopt.chain(jopt.clip(1.0), optimizer) if first else jopt.chain(optimizer, jopt.clip(1.0))
    settings = expand(optimizer)
    assert settings.size == 2 * len(moments) * 2
    built = [jopt.sgd(*each) for each in itertools.product((0.1, 0.2), moments, switches)]
    for k, one in enumerate(built):
        wanted = jopt.chain(jopt.clip(1.0), one) if first else jopt.chain(one, jopt.clip(1.0))
        assert settings.at(k) == wanted
    kinds = {m is None for m in moments}
    assert len(settings.spaces) == 2 * len(kinds)
    assert sorted(np.concatenate([space.places for space in settings.spaces]).tolist()) == list(range(settings.size))


def test_schedules_functions_and_parts_of_a_chain_are_structure_too():
    decay = jopt.exponential_decay(0.1, 5, 0.5)
    rates = jopt.choice(decay, 0.05, jopt.cosine_decay_schedule(0.1, 8))
    result = swept(jopt.sgd(rates))
    for k, rate in enumerate((optax.exponential_decay(0.1, 5, 0.5), 0.05, optax.cosine_decay_schedule(0.1, 8))):
        np.testing.assert_allclose(result.record.losses["loss"][k, 0], by_hand(optax.sgd(rate), 8)[0], **CLOSE)
    assert [str(x) for x in result.dataset.learning_rate.values] == [repr(rates.values[0]), "0.05", repr(rates.values[2])]

    parts = jopt.choice(jopt.clip(0.1), jopt.identity())
    result = swept(jopt.chain(parts, jopt.sgd(jopt.choice(0.1, 0.2))))
    assert result.record.shape == (2, 2)
    for (i, part), (j, rate) in itertools.product(enumerate((optax.clip(0.1), optax.identity())), enumerate((0.1, 0.2))):
        wanted = by_hand(optax.chain(part, optax.sgd(rate)), 8)[0]
        np.testing.assert_allclose(result.record.losses["loss"][i, j, 0], wanted, **CLOSE)


def test_structure_inside_a_schedule_is_an_axis():
    rate = jopt.exponential_decay(jopt.choice(0.1, 0.2), 3, 0.5, staircase=jopt.choice(False, True))
    result = swept(jopt.adam(rate))
    assert result.record.dims == ("init_value", "staircase")
    for (i, start), (j, stairs) in itertools.product(enumerate((0.1, 0.2)), enumerate((False, True))):
        wanted = by_hand(optax.adam(optax.exponential_decay(start, 3, 0.5, staircase=stairs)), 8)[0]
        np.testing.assert_allclose(result.record.losses["loss"][i, j, 0], wanted, **CLOSE)


def test_types_and_strings_are_structure():
    result = swept(jopt.adam(0.1, mu_dtype=jopt.choice(None, jnp.bfloat16, "float32")))
    assert result.dataset.mu_dtype.values.tolist() == [None, "bfloat16", "float32"]
    for k, dtype in enumerate((None, jnp.bfloat16, "float32")):
        alone = swept(jopt.adam(0.1, mu_dtype=dtype))
        np.testing.assert_allclose(result.record.losses["loss"][k], alone.record.losses["loss"], **CLOSE)


def test_whole_numbers_that_a_lifted_factory_needs_in_python_are_structure():
    lbfgs = jopt.lift(optax.scale_by_lbfgs)
    optimizer = jopt.chain(lbfgs(memory_size=jopt.choice(1, 5)), jopt.scale(-0.1))
    assert programs(optimizer) == [1, 1]
    result = swept(optimizer)
    assert result.dataset.memory_size.values.tolist() == [1, 5]
    for k, size in enumerate((1, 5)):
        wanted = by_hand(optax.chain(optax.scale_by_lbfgs(memory_size=size), optax.scale(-0.1)), 8)[0]
        np.testing.assert_allclose(result.record.losses["loss"][k, 0], wanted, rtol=1e-3, atol=1e-4)


def test_none_beside_numbers_in_a_lifted_factory():
    sgd = jopt.lift(optax.sgd)
    optimizer = sgd(jopt.choice(0.1, 0.2), momentum=jopt.choice(None, 0.5, 0.9))
    assert programs(optimizer) == [2, 4]
    result = swept(optimizer)
    for (i, rate), (j, momentum) in itertools.product(enumerate((0.1, 0.2)), enumerate((None, 0.5, 0.9))):
        wanted = by_hand(optax.sgd(rate, momentum), 8)[0]
        np.testing.assert_allclose(result.record.losses["loss"][i, j, 0], wanted, **CLOSE)


def test_one_choice_in_two_places_is_one_axis_and_zipped_ones_walk_together():
    switch = jopt.choice(False, True)
    assert expand(jopt.chain(jopt.trace(0.9, switch), jopt.adam(0.1, nesterov=switch))).shape == (2,)
    rate, nesterov = jopt.zipped((0.1, 0.2, 0.3), (False, True, False))
    result = swept(jopt.sgd(rate, momentum=0.9, nesterov=nesterov))
    assert result.record.dims == ("learning_rate",)
    assert result.dataset.nesterov.values.tolist() == [False, True, False]
    assert [space.size for space in expand(jopt.sgd(rate, 0.9, nesterov)).spaces] == [2, 1]
    for k, (r, n) in enumerate(((0.1, False), (0.2, True), (0.3, False))):
        np.testing.assert_allclose(result.record.losses["loss"][k, 0], by_hand(optax.sgd(r, 0.9, n), 8)[0], **CLOSE)


def test_states_of_other_forms_and_a_plateau_among_them():
    plateau = jopt.chain(jopt.adam(0.1), jopt.reduce_on_plateau(patience=2, monitor=jopt.choice(None, "error")))
    evaluate = lambda w: {"error": jnp.sum(w**2)}  # noqa: E731
    result = swept(plateau, evaluate=evaluate, eval_every=1)
    for k, monitor in enumerate((None, "error")):
        alone = swept(
            jopt.chain(jopt.adam(0.1), jopt.reduce_on_plateau(patience=2, monitor=monitor)), evaluate=evaluate, eval_every=1
        )
        np.testing.assert_allclose(result.record.losses["loss"][k], alone.record.losses["loss"], **CLOSE)


def test_groups_may_hold_structure():
    optimizers = {"sgd": jopt.sgd(0.1, momentum=jopt.choice(None, 0.9)), "adam": jopt.adam(jopt.choice(0.1, 0.2))}
    result = swept(optimizers)
    assert result["sgd"].record.dims == ("momentum",)
    assert result["adam"].record.dims == ("learning_rate",)
    assert "momentum" in result.table() or "learning_rate" in result.table()
    assert set(result.to_pandas().columns) >= {"group", "momentum", "learning_rate"}


# In hyper


def test_strings_functions_and_none_in_hyper():
    def tanh(x):
        return jnp.tanh(x)

    def own(w, batch, hyper):
        inside = batch[0] @ w if hyper["act"] is None else hyper["act"](batch[0] @ w)
        error = inside - batch[1]
        return jnp.mean(jnp.abs(error) if hyper["norm"] == "l1" else error**2)

    hyper = {"act": jopt.choice(None, tanh, jnp.sin), "norm": jopt.choice("l1", "l2")}
    result = jopt.sweep(own, W, jopt.sgd(jopt.choice(0.1, 0.2)), (X, Y), steps=4, hyper=hyper, **QUIET)
    assert result.record.dims == ("learning_rate", "act", "norm")
    assert result.dataset.act.values.tolist() == [None, "tanh", "sin"]
    assert result.dataset.norm.values.tolist() == ["l1", "l2"]
    for i, j, k in itertools.product(range(2), range(3), range(2)):
        one = {"act": (None, tanh, jnp.sin)[j], "norm": ("l1", "l2")[k]}
        wanted = by_hand(optax.sgd((0.1, 0.2)[i]), 4, lambda w, one=one: own(w, (X, Y), one))[0]
        np.testing.assert_allclose(result.record.losses["loss"][i, j, k, 0], wanted, **CLOSE)
    best = result.best()
    assert best.hyper["norm"] == best.setting["norm"]
    assert best.hyper["act"] in (None, tanh, jnp.sin)


def shaped(key, hyper):
    return {"w": jax.random.normal(key, (3, hyper["width"])) / 2, "v": jnp.ones(hyper["width"])}


def network(params, batch, hyper):
    x, y = batch
    return jnp.mean((jnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2) + hyper["l2"] * jnp.sum(params["v"] ** 2)


def test_whole_numbers_in_hyper_that_shape_the_parameters_are_structure():
    hyper = {"width": jopt.choice(2, 4), "l2": jopt.choice(0.0, 0.1)}
    options = {"steps": 5, "seeds": 2, **QUIET}
    result = jopt.sweep(network, shaped, jopt.sgd(0.1), (X, Y), hyper=hyper, **options)
    assert result.record.dims == ("l2", "width")  # as JAX sorts the keys of a dict
    for i, j in itertools.product(range(2), range(2)):
        one = {"width": (2, 4)[j], "l2": (0.0, 0.1)[i]}
        alone = jopt.sweep(network, shaped, jopt.sgd(0.1), (X, Y), hyper=one, **options)
        np.testing.assert_allclose(result.record.losses["loss"][i, j], alone.record.losses["loss"], **CLOSE)
        found = result.params_at((i, j))
        assert found["w"].shape == (2, 3, one["width"])
        np.testing.assert_allclose(found["w"], alone.params["w"], **CLOSE)
    best = result.best()
    assert best.params["w"].shape == (3, best.hyper["width"])
    assert isinstance(best.hyper["width"], int)
    with pytest.raises(ValueError, match=r"differ in shape.*best\(\).params"):
        result.params  # noqa: B018


def test_only_the_whole_numbers_that_shape_are_structure():
    hyper = {"width": jopt.choice(2, 4), "l2": jopt.choice(0, 1, 2)}
    seen = []

    def loss(params, batch, hyper):
        seen.append(hyper["l2"])
        return network(params, batch, hyper)

    result = jopt.sweep(loss, shaped, jopt.sgd(0.1), (X, Y), steps=2, hyper=hyper, **QUIET)
    assert result.record.shape == (3, 2)
    assert isinstance(seen[-1], jax.core.Tracer)
    assert seen[-1].dtype == jnp.int32


def test_shapes_from_hyper_work_step_by_step_in_python_too():
    hyper = {"width": jopt.choice(2, 4), "l2": 0.0}
    compiled = jopt.sweep(network, shaped, jopt.sgd(0.1), (X, Y), steps=2, hyper=hyper, **QUIET)
    with jax.disable_jit():
        eager = jopt.sweep(network, shaped, jopt.sgd(0.1), (X, Y), steps=2, hyper=hyper, **QUIET)
    np.testing.assert_allclose(compiled.record.losses["loss"], eager.record.losses["loss"], **CLOSE)


def test_none_beside_whole_numbers_in_hyper():
    def own(w, batch, hyper):
        if hyper is None:
            return jnp.sum(w**2)
        return jnp.sum(hyper * w**2)

    result = jopt.sweep(own, jnp.ones(2), jopt.sgd(0.1), steps=2, hyper=jopt.choice(None, 2, 3), **QUIET)
    np.testing.assert_allclose(result.record.losses["loss"][:, 0, 0], [2.0, 4.0, 6.0])


# Batch sizes


def test_batch_sizes_are_a_dimension_and_each_lane_is_the_run_alone():
    sizes, rates = (4, 8, 24), (0.05, 0.1)
    options = {"steps": 7, "seeds": 2}
    result = swept(jopt.adam(jopt.choice(*rates)), batch_size=jopt.choice(*sizes), **options)
    assert result.dataset.loss.dims == ("learning_rate", "batch_size", "seed", "step")
    assert result.dataset.batch_size.values.tolist() == list(sizes)
    for j, size in enumerate(sizes):
        alone = swept(jopt.adam(jopt.choice(*rates)), batch_size=size, **options)
        np.testing.assert_allclose(result.record.losses["loss"][:, j], alone.record.losses["loss"], **CLOSE)
        np.testing.assert_allclose(result.params[:, j], alone.params, **CLOSE)


def test_examples_seen_stand_beside_the_steps():
    result = swept(jopt.sgd(0.1), 6, batch_size=jopt.choice(4, 8), record_every=2)
    seen = result.dataset.examples_seen
    assert seen.dims == ("batch_size", "step")
    assert seen.values.tolist() == [[8, 16, 24], [16, 32, 48]]
    assert "examples_seen" in result.dataset.loss.coords
    assert "examples_seen" not in swept(jopt.sgd(0.1), batch_size=4).dataset


def test_all_of_the_data_is_a_batch_size_too():
    result = swept(jopt.sgd(0.1), 5, batch_size=jopt.choice(None, 8))
    assert result.dataset.batch_size.values.tolist() == [None, 8]
    assert result.dataset.examples_seen.values[0].tolist() == [24, 48, 72, 96, 120]
    np.testing.assert_allclose(result.record.losses["loss"][0, 0], by_hand(optax.sgd(0.1), 5)[0], **CLOSE)


def test_batch_size_and_rate_walk_together_where_they_are_zipped():
    rate, size = jopt.zipped((0.05, 0.1), (8, 16))
    result = swept(jopt.sgd(rate), batch_size=size)
    assert result.record.dims == ("learning_rate",)
    assert result.dataset.examples_seen.dims == ("learning_rate", "step")
    alone = swept(jopt.sgd(0.1), batch_size=16)
    np.testing.assert_allclose(result.record.losses["loss"][1], alone.record.losses["loss"][:], **CLOSE)


def test_the_data_are_on_the_device_once(monkeypatch):
    from jopt.engine.data import sources

    copied = []
    monkeypatch.setattr(sources, "_copied", lambda data: copied.append(data) or jax.tree.map(jnp.asarray, data))
    swept(jopt.sgd(0.1), batch_size=jopt.choice(4, 8, 12))
    first, *others = copied
    assert isinstance(jax.tree.leaves(first)[0], np.ndarray)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(others))


def test_sweep_steps_takes_batch_sizes_and_structure():
    def init(optimizer, key):
        return W, optimizer.init(W)

    def step(optimizer, carry, batch, key):
        w, state = carry
        value, grads = jax.value_and_grad(loss)(w, batch)
        updates, state = optimizer.update(grads, state, w)
        return (optax.apply_updates(w, updates), state), {"loss": value}

    optimizer = jopt.sgd(0.1, momentum=jopt.choice(None, 0.9))
    result = jopt.sweep_steps(init, step, optimizer, (X, Y), steps=4, batch_size=jopt.choice(8, 24), **QUIET)
    by_loss = swept(optimizer, 4, batch_size=jopt.choice(8, 24))
    np.testing.assert_allclose(result.record.losses["loss"], by_loss.record.losses["loss"], **CLOSE)
    assert result.best().params[0].shape == (3,)  # the carries differ in structure, a trial has its own
    with pytest.raises(ValueError, match="differ in shape"):
        result.params  # noqa: B018


# One program for each structure


def test_there_is_one_program_for_each_structure_and_none_for_another_grid():
    plan = jopt.Plan(width=2, chunk=4, loop="scan", workers=1)

    def of(function, rates, **structure):
        before = len(runtime.EXECUTABLES.compiled)
        optimizer = jopt.sgd(jopt.choice(*rates), **structure)
        result = jopt.sweep(function, W, optimizer, (X, Y), steps=4, plan=plan, **QUIET)
        return result, len(runtime.EXECUTABLES.compiled) - before

    def first(w, batch):
        return loss(w, batch) + jnp.sum(jnp.cosh(w))

    def second(w, batch):
        return loss(w, batch) + jnp.sum(jnp.sinh(w))

    _, one = of(first, (0.1, 0.2), momentum=0.9)
    result, both = of(second, (0.1, 0.2), momentum=0.9, nesterov=jopt.choice(False, True))
    assert both == 2 * one
    assert len(result.plan) == 2
    assert "2 programs" in str(result.plan)
    assert of(second, (0.3, 0.4), momentum=0.8, nesterov=jopt.choice(False, True))[1] == 0
    assert result.timings.lane_steps == 4 * 4


# The result


@pytest.fixture(scope="module")
def result():
    optimizer = jopt.sgd(jopt.choice(0.01, 0.05, 0.1), momentum=jopt.choice(None, 0.5, 0.9), nesterov=jopt.choice(False, True))
    return swept(optimizer, seeds=2, evaluate=lambda w: {"error": jnp.sum((w - 1) ** 2)})


def test_the_best_is_found_over_all_structures(result):
    best = result.best("loss")
    scores = np.asarray(result.record.losses["loss"])[..., -1].mean(-1)
    assert best.index == np.unravel_index(scores.argmin(), scores.shape)
    assert best.setting["momentum"] == best.optimizer.hyperparams.get("momentum")
    assert "momentum=" in repr(best)
    assert best.hyperparams["learning_rate"] == best.setting["learning_rate"]


def test_tables_and_frames_hold_the_values(result):
    assert "momentum" in result.table()
    frame = result.to_pandas()
    assert set(frame["momentum"].dropna()) == {0.5, 0.9}
    assert frame["momentum"].isna().sum() == 3 * 2 * 2
    assert set(frame["nesterov"]) == {False, True}
    assert len(result.to_pandas(kind="curves")) == 18 * 2 * (8 + len(result.record.eval_step))
    assert "momentum None, 0.5, 0.9" in repr(result)
    assert "nesterov False, True" in repr(result)
    assert result._repr_html_()


def test_xarray_selects_by_value(result):
    data = result.dataset
    assert data.loss.sel(nesterov=True, momentum=0.9).shape == (3, 2, 8)
    assert data.loss.isel(momentum=0).momentum.item() is None
    np.testing.assert_array_equal(data.loss.isel(momentum=0), result.record.losses["loss"][:, 0])


@pytest.mark.parametrize("again", ["saved", "pickled"])
def test_saved_and_pickled_results_are_the_same(result, again, tmp_path):
    result.save(tmp_path / "result")
    other = jopt.load_result(tmp_path / "result") if again == "saved" else pickle.loads(pickle.dumps(result))
    assert other.record.dims == result.record.dims
    for name, (_, values) in result.record.coords.items():
        assert other.record.coords[name][1].tolist() == values.tolist()
        assert other.record.coords[name][1].dtype == values.dtype
    assert other.best().index == result.best().index
    assert other.best().optimizer == result.best().optimizer
    assert other.best().setting == result.best().setting
    np.testing.assert_array_equal(other.params, result.params)
    assert repr(other) == repr(result)


def test_batch_sizes_and_parameters_of_other_shapes_are_saved(tmp_path):
    hyper = {"width": jopt.choice(2, 4), "l2": 0.1}
    options = {"steps": 2, "batch_size": jopt.choice(None, 8), **QUIET}
    made = jopt.sweep(network, shaped, jopt.sgd(0.1), (X, Y), hyper=hyper, **options)
    made.save(tmp_path / "result")
    for other in (jopt.load_result(tmp_path / "result"), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(other.dataset.examples_seen, made.dataset.examples_seen)
        assert other.best().params["w"].shape == made.best().params["w"].shape
        np.testing.assert_array_equal(other.best().params["w"], made.best().params["w"])


def test_pictures_show_structure(result):
    ax = result.plot.response(x="momentum")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["None", "0.5", "0.9"]
    ax = result.plot.heatmap(x="nesterov", y="momentum")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["False", "True"]
    result.plot.curves()
    result.plot.curves(color="momentum")


def test_two_functions_of_one_name_are_told_apart():
    hyper = jopt.choice(lambda x: x**2, lambda x: jnp.abs(x))
    made = jopt.sweep(lambda w, _, hyper: hyper(w), jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper=hyper, **QUIET)
    assert made.dataset.hyper.values.tolist() == ["<lambda>", "<lambda>_2"]


# Refused


def test_lanes_and_train_refuse_structure_with_a_sentence():
    optimizer = jopt.sgd(0.1, momentum=jopt.choice(None, 0.9))
    with pytest.raises(ValueError, match=r"lanes: momentum is structure.*several programs.*jopt\.sweep"):
        jopt.lanes(optimizer)
    with pytest.raises(ValueError, match=r"lanes: nesterov is structure"):
        jopt.lanes(jopt.adam(0.1, nesterov=jopt.choice(0, 1)))
    with pytest.raises(TypeError, match=r"momentum of sgd is an axis with 2 values.*jopt\.sweep"):
        jopt.train(lambda w, _: w**2, jnp.float32(1.0), optimizer, jnp.arange(2))
    with pytest.raises(TypeError, match=r"momentum of sgd is an axis"):
        optimizer.init(W)


def test_values_that_an_argument_does_not_take_are_refused_by_name():
    with pytest.raises(ValueError, match=r"sgd: momentum must lie in \[0, 1\]"):
        jopt.sgd(0.1, momentum=jopt.choice(None, 1.5))
    with pytest.raises(TypeError, match=r"adam: b1 must be a real number"):
        jopt.adam(0.1, b1=jopt.choice(None, 0.9))
    with pytest.raises(TypeError, match=r"sgd: learning_rate must be a real number"):
        jopt.sgd(jopt.choice("a", "b"))
    with pytest.raises(TypeError, match="chain: part 0 is a str"):
        jopt.chain(jopt.choice("a", "b"), jopt.sgd(0.1))


def test_structure_is_not_drawn():
    with pytest.raises(ValueError, match=r"batch_size is structure.*can't be drawn.*jopt\.choice"):
        swept(jopt.sgd(0.1), batch_size=jopt.uniform(4, 8), samples=2)
    with pytest.raises(ValueError, match=r"memory_size is structure.*drawn"):
        swept(jopt.lift(optax.scale_by_lbfgs)(memory_size=jopt.uniform(1, 5)), samples=2)


def test_batch_sizes_are_checked_each():
    with pytest.raises(ValueError, match="batch_size is 64, but data has only 24 examples"):
        swept(jopt.sgd(0.1), batch_size=jopt.choice(8, 64))
    with pytest.raises(ValueError, match=r"batch_size.*whole number"):
        swept(jopt.sgd(0.1), batch_size=jopt.choice(0, 8))
    with pytest.raises(ValueError, match="batch_size= is for data given as arrays"):
        jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=2, batch_size=jopt.choice(1, 2), **QUIET)


def test_a_value_recorded_as_examples_seen_is_refused_where_batch_sizes_are_swept():
    def own(w, batch):
        return loss(w, batch), {"examples_seen": 1.0}

    with pytest.raises(ValueError, match="examples_seen"):
        jopt.sweep(own, W, jopt.sgd(0.1), (X, Y), steps=2, batch_size=jopt.choice(4, 8), has_aux=True, **QUIET)


def test_a_choice_takes_neither_axes_nor_containers():
    for value in ([0.1], {"a": 1}, np.ones(2), jopt.choice(1.0, 2.0)):
        with pytest.raises(TypeError, match="An axis takes numbers"):
            jopt.choice(None, value)
    with pytest.raises(TypeError, match="can't hold an axis itself"):
        jopt.choice(None, jopt.linear_schedule(jopt.choice(0.1, 0.2), 0.0, 5))
    with pytest.raises(ValueError, match="must differ"):
        jopt.choice(None, 0.9, None)
    with pytest.raises(ValueError, match="finite"):
        jopt.choice(None, float("nan"))


def test_replace_puts_structure_in_the_place_of_a_number():
    axis = jopt.choice(None, 0.9)
    assert jopt.sgd(0.1, momentum=0.9).replace(momentum=axis) == jopt.sgd(0.1, momentum=axis)

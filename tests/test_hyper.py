"""``hyper=``: numbers that are not the optimizer's, as axes of a sweep, against loops written by hand."""

import functools
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

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RANDOM.normal(size=40)).astype(np.float32)
W = jnp.zeros(3)
QUIET = {"progress": False}


def ridge(w, batch, hyper):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2) + hyper["l2"] * jnp.sum(w**2)


def by_hand(loss, optimizer, steps, w=W):
    """Full batches, Optax's optimizer, a Python loop."""
    state, losses = optimizer.init(w), []
    for _ in range(steps):
        value, grads = jax.value_and_grad(loss)(w)
        updates, state = optimizer.update(grads, state, w)
        w = optax.apply_updates(w, updates)
        losses.append(float(value))
    return np.array(losses), np.asarray(w)


def compiled():
    return len(runtime.EXECUTABLES.compiled)


# Dimensions


def test_axes_in_hyper_are_dimensions_beside_the_optimizers_and_each_lane_is_the_loop_by_hand():
    rates, penalties = (0.01, 0.1), (0.0, 0.1, 1.0)
    hyper = {"l2": jopt.choice(*penalties), "unused": 3}
    result = jopt.sweep(ridge, W, jopt.adam(jopt.choice(*rates)), (X, Y), steps=20, hyper=hyper, **QUIET)
    assert result.dataset.loss.dims == ("learning_rate", "l2", "seed", "step")
    assert result.dataset.l2.values.tolist() == list(penalties)
    for (i, rate), (j, l2) in itertools.product(enumerate(rates), enumerate(penalties)):
        losses, w = by_hand(lambda w, l2=l2: ridge(w, (X, Y), {"l2": l2}), optax.adam(rate), 20)
        np.testing.assert_allclose(result.record.losses["loss"][i, j, 0], losses, **CLOSE)
        np.testing.assert_allclose(result.params[i, j, 0], w, **CLOSE)


@hypothesis.given(
    penalties=st.lists(st.floats(0.0, 2.0, width=32), min_size=1, max_size=4, unique=True),
    rate=st.floats(1e-3, 0.2),
    width=st.integers(1, 5),
)
def test_any_penalties_in_blocks_of_any_width_equal_the_loop_by_hand(penalties, rate, width):
    hyper = {"l2": jopt.choice(*penalties)}
    plan = jopt.Plan(width=width)
    result = jopt.sweep(ridge, W, jopt.sgd(rate), (X, Y), steps=4, hyper=hyper, plan=plan, **QUIET)
    for j, l2 in enumerate(penalties):
        losses, _ = by_hand(lambda w, l2=l2: ridge(w, (X, Y), {"l2": l2}), optax.sgd(rate), 4)
        np.testing.assert_allclose(result.record.losses["loss"][j, 0], losses, **CLOSE)


def test_a_trial_has_its_settings_hyper():
    hyper = {"l2": jopt.choice(0.0, 10.0), "kind": "ridge", "n": 2}
    result = jopt.sweep(ridge, W, jopt.sgd(0.05), (X, Y), steps=5, hyper=hyper, **QUIET)
    best = result.best()
    assert best.hyper == {"l2": 0.0, "kind": "ridge", "n": 2}
    assert best.setting == {"l2": 0.0}
    assert best.hyperparams == {"learning_rate": 0.05}
    assert "l2=0" in repr(best)
    assert jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=2, **QUIET).best().hyper is None


def test_hyper_may_be_one_number_and_its_dimension_is_called_so():
    result = jopt.sweep(
        lambda w, batch, hyper: hyper * w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=3, hyper=jopt.choice(1.0, 2.0), **QUIET
    )
    assert result.dataset.loss.dims == ("hyper", "seed", "step")
    np.testing.assert_allclose(result.record.losses["loss"][:, 0, 0], [1.0, 2.0])


def test_names_that_clash_with_the_optimizers_take_the_part_that_tells_them_apart():
    def loss(w, batch, hyper):
        return hyper["momentum"] * w**2

    both = {"momentum": jopt.choice(1.0, 2.0)}
    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1, momentum=jopt.choice(0.5, 0.9)), steps=2, hyper=both, **QUIET)
    assert result.record.dims == ("sgd.momentum", "hyper.momentum")
    named = {"momentum": jopt.choice(1.0, 2.0, name="scale")}
    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1, momentum=jopt.choice(0.5, 0.9)), steps=2, hyper=named, **QUIET)
    assert result.record.dims == ("momentum", "scale")


def test_an_axis_named_like_the_results_own_takes_its_path():
    def loss(w, batch, hyper):
        return hyper["value"] * w**2

    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper={"value": jopt.choice(1.0, 2.0)}, **QUIET)
    assert result.record.dims == ("hyper.value",)


def test_an_axis_in_a_list_is_named_by_its_path():
    def loss(w, batch, hyper):
        return hyper[0] * w**2 + hyper[1]["a"]

    hyper = [jopt.choice(1.0, 2.0), {"a": jopt.choice(0.0, 1.0)}]
    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper=hyper, **QUIET)
    assert result.record.dims == ("hyper.0", "a")


def test_one_axis_object_in_the_optimizer_and_in_hyper_is_one_axis():
    both = jopt.choice(0.1, 0.2)
    result = jopt.sweep(ridge, W, jopt.sgd(both), (X, Y), steps=3, hyper={"l2": both}, **QUIET)
    assert result.record.dims == ("learning_rate",)
    for k, x in enumerate((0.1, 0.2)):
        losses, _ = by_hand(lambda w, x=x: ridge(w, (X, Y), {"l2": x}), optax.sgd(x), 3)
        np.testing.assert_allclose(result.record.losses["loss"][k, 0], losses, **CLOSE)


def test_axes_of_the_optimizer_and_of_hyper_walk_together_where_they_are_zipped():
    rate, l2 = jopt.zipped((0.1, 0.05), (0.0, 1.0))
    result = jopt.sweep(ridge, W, jopt.sgd(rate), (X, Y), steps=3, hyper={"l2": l2}, **QUIET)
    assert result.record.dims == ("learning_rate",)
    assert result.dataset.l2.dims == ("learning_rate",)
    losses, _ = by_hand(lambda w: ridge(w, (X, Y), {"l2": 1.0}), optax.sgd(0.05), 3)
    np.testing.assert_allclose(result.record.losses["loss"][1, 0], losses, **CLOSE)


def test_drawn_axes_in_hyper_are_drawn_with_the_optimizers():
    hyper = {"l2": jopt.loguniform(1e-3, 1.0)}
    result = jopt.sweep(ridge, W, jopt.sgd(jopt.loguniform(1e-3, 1e-1)), (X, Y), steps=2, hyper=hyper, samples=4, **QUIET)
    assert result.record.dims == ("sample",)
    assert set(result.record.coords) == {"learning_rate", "l2"}
    with pytest.raises(ValueError, match="samples="):
        jopt.sweep(ridge, W, jopt.sgd(0.1), (X, Y), steps=2, hyper=hyper, **QUIET)


def test_every_group_of_optimizers_has_the_axes_of_hyper():
    optimizers = {"sgd": jopt.sgd(jopt.choice(0.01, 0.1)), "adam": jopt.adam(0.1)}
    result = jopt.sweep(ridge, W, optimizers, (X, Y), steps=3, hyper={"l2": jopt.choice(0.0, 1.0)}, **QUIET)
    assert result["sgd"].record.dims == ("learning_rate", "l2")
    assert result["adam"].record.dims == ("l2",)
    assert result.best().hyper == {"l2": 0.0}


# What arrives


def arrived(hyper, **kwargs):
    """What a loss is given, as it is traced."""
    seen = []

    def loss(w, batch, hyper):
        seen.append(hyper)
        numbers = [x for x in jax.tree.leaves(hyper) if hasattr(x, "dtype") and x.shape == ()]
        return w**2 + sum(x.astype(jnp.float32) for x in numbers)  # an axis that nobody reads is warned of

    jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper=hyper, **kwargs, **QUIET)
    return seen[-1]


def test_an_axis_of_whole_numbers_arrives_as_int32_and_of_others_as_a_weak_float():
    found = arrived({"fold": jopt.choice(0, 1, 2), "rate": jopt.choice(0.1, 0.2), "mixed": jopt.choice(1, 2.5)})
    assert (found["fold"].dtype, found["fold"].shape) == (jnp.int32, ())
    assert found["rate"].dtype == jnp.float32
    assert found["rate"].aval.weak_type
    assert found["mixed"].dtype == jnp.float32


def test_floats_and_arrays_are_numbers_of_the_program_and_all_else_is_structure():
    def shape(x):
        return x

    given = {
        "float": 0.5,
        "narrow": np.float32(0.5),
        "array": np.arange(3),
        "mask": np.array([True, False]),
        "int": 4,
        "wide": np.int64(4),
        "bool": True,
        "text": "relu",
        "none": None,
        "function": shape,
        "tuple": (1, 0.5),
    }
    found = arrived(given)
    for name in ("float", "narrow", "array", "mask"):
        assert isinstance(found[name], jax.core.Tracer), name
    assert found["float"].aval.weak_type
    assert found["narrow"].aval.weak_type
    assert found["array"].dtype == jnp.int32
    for name in ("int", "wide", "bool", "text", "none", "function"):
        assert found[name] == given[name], name
        assert not isinstance(found[name], (jax.Array, np.ndarray)), name
    assert found["tuple"][0] == 1
    assert isinstance(found["tuple"][1], jax.core.Tracer)


def test_numbers_in_narrow_parameters_keep_them_narrow():
    w = jnp.ones(3, jnp.bfloat16)
    result = jopt.sweep(
        lambda w, _, hyper: jnp.sum(hyper["a"] * hyper["b"] * w**2), w, jopt.sgd(0.1), steps=2,
        hyper={"a": jopt.choice(0.5, 1.0), "b": 0.5}, has_aux=False, **QUIET,
    )  # fmt: skip
    assert result.params.dtype == jnp.bfloat16
    assert result.record.losses["loss"].dtype == jnp.bfloat16


# Which functions, and where


def in_the_middle(w, hyper, batch):
    return hyper * jnp.sum(batch) * w**2


def with_a_key(w, batch, key, hyper):
    return hyper * w**2 + 0.0 * jax.random.uniform(key)


def by_name_only(w, batch, *, hyper):
    return hyper * w**2


def with_a_default(w, batch, hyper=3.0):
    return hyper * w**2


def by_position(w, hyper, batch, /):
    return hyper * w**2


@pytest.mark.parametrize(
    "loss",
    [
        in_the_middle,
        with_a_key,
        by_name_only,
        with_a_default,
        by_position,
        jax.jit(with_a_key),
        functools.partial(by_name_only),
    ],
    ids=itertools.count(),
)
def test_hyper_is_found_by_its_name_wherever_it_stands(loss):
    data = (jnp.ones(1),) if loss is in_the_middle else None
    data = jnp.ones(1) if loss is in_the_middle else None
    result = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), data, steps=1, hyper=jopt.choice(1.0, 2.0), **QUIET)
    np.testing.assert_allclose(result.record.losses["loss"][:, 0, 0], [1.0, 2.0])


def test_without_hyper_a_default_stands():
    result = jopt.sweep(with_a_default, jnp.float32(1.0), jopt.sgd(0.1), steps=1, **QUIET)
    assert float(result.record.losses["loss"][0, 0]) == 3.0


def test_init_evaluate_and_the_batch_function_get_it_too_and_only_those_that_name_it():
    def init(key, hyper):
        return hyper["start"] * jnp.ones(2)

    def batch(key, step, hyper):
        return hyper["noise"] * jax.random.normal(key, (2,))

    def loss(w, batch):
        return jnp.mean((w - batch) ** 2)

    def evaluate(params, hyper):
        return {"distance": jnp.abs(params - hyper["target"]).sum()}

    hyper = {"start": jopt.choice(1.0, 2.0), "noise": jopt.choice(0.0, 0.5, 1.0), "target": 0.25}
    options = {"steps": 3, "seeds": 2, "eval_every": 1, "evaluate": evaluate, "batch_size": None, **QUIET}
    whole = jopt.sweep(loss, init, jopt.sgd(0.1), batch, hyper=hyper, **options)
    assert whole.dataset.distance.dims == ("noise", "start", "seed", "eval_step")  # as JAX sorts the keys of a dict
    # Without noise by hand:
    for i, start in enumerate((1.0, 2.0)):
        losses, w = by_hand(lambda w: jnp.mean(w**2), optax.sgd(0.1), 3, start * jnp.ones(2))
        np.testing.assert_allclose(whole.record.losses["loss"][0, i, 1], losses, **CLOSE)
        np.testing.assert_allclose(whole.record.metrics["distance"][0, i, 1, -1], np.abs(w - 0.25).sum(), **CLOSE)
    # Each lane is the run alone, in blocks of any width, and noise is the same but for its scale.
    for i, j in itertools.product(range(2), range(3)):
        alone = {"start": (1.0, 2.0)[i], "noise": (0.0, 0.5, 1.0)[j], "target": 0.25}
        found = jopt.sweep(loss, init, jopt.sgd(0.1), batch, hyper=alone, **options)
        np.testing.assert_allclose(whole.record.losses["loss"][j, i], found.record.losses["loss"], **CLOSE)
        np.testing.assert_allclose(whole.record.metrics["distance"][j, i], found.record.metrics["distance"], **CLOSE)
    narrow = jopt.sweep(loss, init, jopt.sgd(0.1), batch, hyper=hyper, plan=jopt.Plan(width=2, workers=1), **options)
    np.testing.assert_allclose(whole.record.losses["loss"], narrow.record.losses["loss"], **CLOSE)


def test_batches_that_do_not_hang_on_hyper_are_shared():
    def batch(key, step, hyper):
        return hyper["size"] * jax.random.normal(key, (2,))

    def loss(w, batch, hyper):
        return jnp.mean((w - batch) ** 2) + hyper["l2"] * jnp.sum(w**2)

    options = {"steps": 3, "seeds": 2, **QUIET}
    swept = {"size": 2.0, "l2": jopt.choice(0.0, 1.0)}
    result = jopt.sweep(loss, jnp.ones(2), jopt.sgd(0.1), batch, hyper=swept, **options)
    for j, l2 in enumerate((0.0, 1.0)):
        alone = jopt.sweep(loss, jnp.ones(2), jopt.sgd(0.1), batch, hyper={"size": 2.0, "l2": l2}, **options)
        np.testing.assert_allclose(result.record.losses["loss"][j], alone.record.losses["loss"], **CLOSE)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_jopt_metrics_hands_it_on(batch_size):
    def error(w, data, hyper):
        x, y = data
        return {"error": jnp.mean(hyper["weight"] * (x @ w - y) ** 2)}

    evaluate = jopt.metrics(error, data=(X, Y), batch_size=batch_size)
    hyper = {"l2": 0.0, "weight": jopt.choice(1.0, 3.0)}
    result = jopt.sweep(ridge, W, jopt.sgd(0.1), (X, Y), steps=2, hyper=hyper, evaluate=evaluate, **QUIET)
    ends = result.record.metrics["error"][:, 0, -1]
    np.testing.assert_allclose(ends, np.mean((X @ result.params[0, 0] - Y) ** 2) * np.array([1.0, 3.0]), rtol=1e-4)


def test_a_users_own_step_and_init_get_it():
    def init(optimizer, key, hyper):
        w = hyper["start"] * jnp.ones(())
        return w, optimizer.init(w)

    def step(optimizer, carry, batch, key, hyper):
        w, state = carry
        updates, state = optimizer.update(2 * hyper["slope"] * w, state, w)
        return (optax.apply_updates(w, updates), state), {"loss": hyper["slope"] * w**2}

    hyper = {"start": 1.0, "slope": jopt.choice(1.0, 2.0)}
    for optimizer in (jopt.sgd(jopt.choice(0.1, 0.2)), jopt.chain(jopt.sgd(jopt.choice(0.1, 0.2)))):
        result = jopt.sweep_steps(init, step, optimizer, steps=3, hyper=hyper, **QUIET)
        assert result.record.dims == ("learning_rate", "slope")
        for (i, rate), (j, slope) in itertools.product(enumerate((0.1, 0.2)), enumerate((1.0, 2.0))):
            ends = (1 - 2 * slope * rate) ** 3
            np.testing.assert_allclose(result.best().result.params[0][i, j, 0], ends, rtol=1e-4)


def test_a_tree_of_optimizers_and_hyper_go_to_one_step():
    def init(optimizers, key, hyper):
        return jnp.float32(1.0)

    def step(optimizers, w, batch, key, hyper):
        return w * hyper, {"loss": w}

    two = {"a": jopt.sgd(jopt.choice(0.1, 0.2)), "b": jopt.sgd(0.1)}
    result = jopt.sweep_steps(init, step, two, steps=2, hyper=jopt.choice(0.5, 2.0), **QUIET)
    np.testing.assert_allclose(result.params[0, :, 0], [0.25, 4.0])


# Folds


def test_a_fold_is_an_axis_that_selects_rows():
    folds, steps = 4, 15
    fold_of = jnp.arange(len(X)) % folds

    def error(w, hyper, inside):
        chosen = (fold_of == hyper["fold"]) == inside
        return jnp.sum(jnp.where(chosen, (X @ w - Y) ** 2, 0.0)) / jnp.sum(chosen)

    result = jopt.sweep(
        lambda w, batch, hyper: error(w, hyper, False), W, jopt.adam(jopt.choice(0.01, 0.3)), steps=steps,
        hyper={"fold": jopt.choice(*range(folds))}, evaluate=lambda w, hyper: {"held_out": error(w, hyper, True)}, **QUIET,
    )  # fmt: skip
    assert result.dataset.held_out.dims == ("learning_rate", "fold", "seed", "eval_step")
    assert result.dataset.fold.values.tolist() == [0, 1, 2, 3]
    for (i, rate), fold in itertools.product(enumerate((0.01, 0.3)), range(folds)):
        inside = np.arange(len(X)) % folds == fold
        x, y = X[~inside], Y[~inside]
        losses, w = by_hand(lambda w, x=x, y=y: jnp.mean((x @ w - y) ** 2), optax.adam(rate), steps)
        np.testing.assert_allclose(result.record.losses["loss"][i, fold, 0], losses, **CLOSE)
        held_out = np.mean((X[inside] @ w - Y[inside]) ** 2)
        np.testing.assert_allclose(result.record.metrics["held_out"][i, fold, 0, -1], held_out, rtol=1e-3)


# Promises


def test_another_grid_of_the_same_shape_compiles_nothing_and_hyper_adds_no_program():
    plan = jopt.Plan(width=3, chunk=4, loop="scan", workers=1)

    def run(*penalties, fixed=1.0, rate=0.1):
        hyper = {"l2": jopt.choice(*penalties), "fixed": fixed}
        return jopt.sweep(ridge, W, jopt.sgd(rate), (X, Y), steps=4, hyper=hyper, plan=plan, **QUIET)

    run(0.0, 0.1, 0.2)
    before = compiled()
    run(0.3, 0.4, 0.5)
    run(0.3, 0.4, 0.5, fixed=2.0)  # a float without an axis is a number of the program
    run(0.3, 0.4, 0.5, rate=0.2)
    assert compiled() == before


def test_hyper_costs_no_program_more_than_the_optimizers_axes():
    plan = jopt.Plan(width=4, chunk=4, loop="scan", workers=1)

    def of(loss, **options):
        before = compiled()
        jopt.sweep(loss, W, jopt.sgd(jopt.choice(0.1, 0.2)), (X, Y), steps=4, plan=plan, **options, **QUIET)
        return compiled() - before

    of(lambda w, batch: jnp.sum(jnp.tan(w)))  # the start is one program for all
    alone = of(lambda w, batch: jnp.mean((batch[0] @ w - batch[1]) ** 2) + jnp.sum(jnp.sin(w)))
    both = of(
        lambda w, batch, hyper: jnp.mean((batch[0] @ w - batch[1]) ** 2) + hyper * jnp.sum(jnp.cos(w)),
        hyper=jopt.choice(0.1, 0.2),
    )
    assert both == alone


def test_the_order_of_the_data_does_not_hang_on_hyper():
    def loss(w, batch, hyper):
        return jnp.sum(hyper * w**2), {"first": batch[0]}

    rows = jnp.arange(24.0)
    options = {"steps": 9, "batch_size": 4, "seeds": 2, "has_aux": True, **QUIET}
    result = jopt.sweep(loss, W, jopt.sgd(0.1), rows, hyper=jopt.choice(0.1, 0.2, 0.3), **options)
    alone = jopt.sweep(lambda w, batch: loss(w, batch, 0.5), W, jopt.sgd(0.1), rows, **options)
    for j in range(3):
        np.testing.assert_array_equal(result.record.losses["first"][j], alone.record.losses["first"])


def test_step_by_step_in_python_it_is_the_same():
    hyper = {"l2": jopt.choice(0.0, 1.0), "n": 2}
    options = {"steps": 3, "hyper": hyper, "evaluate": lambda w, hyper: {"norm": hyper["l2"] + jnp.sum(w**2)}, **QUIET}
    compiled_one = jopt.sweep(ridge, W, jopt.adam(jopt.choice(0.1, 0.2)), (X, Y), **options)
    with jax.disable_jit():
        eager = jopt.sweep(ridge, W, jopt.adam(jopt.choice(0.1, 0.2)), (X, Y), **options)
    np.testing.assert_allclose(compiled_one.record.losses["loss"], eager.record.losses["loss"], **CLOSE)
    np.testing.assert_allclose(compiled_one.record.metrics["norm"], eager.record.metrics["norm"], **CLOSE)


def test_saved_loaded_and_pickled_results_keep_it(tmp_path):
    hyper = {"l2": jopt.choice(0.0, 1.0), "kind": ("a", 3), "array": np.arange(3.0)}
    result = jopt.sweep(ridge, W, jopt.sgd(0.1), (X, Y), steps=3, hyper=hyper, **QUIET)
    result.save(tmp_path / "result")
    for again in (jopt.load_result(tmp_path / "result"), pickle.loads(pickle.dumps(result))):
        assert again.record.dims == ("l2",)
        found = again.best().hyper
        assert (found["l2"], found["kind"]) == (0.0, ("a", 3))
        np.testing.assert_array_equal(found["array"], np.arange(3.0))


def test_arrays_in_hyper_are_copied():
    weights = np.ones(3, np.float32)
    seen = []

    def loss(w, batch, hyper):
        if not seen:
            seen.append(True)
            weights[:] = 100.0  # a user's buffer, filled again
        return jnp.sum(hyper["weights"] * (w - 1) ** 2)

    result = jopt.sweep(loss, W, jopt.sgd(0.1), steps=1, hyper={"weights": weights}, **QUIET)
    assert float(result.record.losses["loss"][0, 0]) == 3.0


# Errors


def test_hyper_that_nobody_names_is_refused():
    with pytest.raises(ValueError, match=r"hyper= is given, but none of loss, params, evaluate, data has an argument named"):
        jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper={"l2": 0.1}, **QUIET)
    with pytest.raises(ValueError, match=r"hyper= is given, but none of init, step"):
        jopt.sweep_steps(lambda o, k: 0.0, lambda o, c, b, k: (c, {}), jopt.sgd(0.1), steps=2, hyper=1.0, **QUIET)
    with pytest.raises(ValueError, match=r"hyper= is given, but none"):  # **kwargs names nothing
        jopt.sweep(lambda w, _, **kwargs: w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper=1.0, **QUIET)


def test_a_function_that_names_hyper_needs_it():
    with pytest.raises(ValueError, match="loss has an argument named 'hyper', so give hyper="):
        jopt.sweep(lambda w, _, hyper: w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=2, **QUIET)
    evaluate = jopt.metrics(lambda w, hyper: {"a": w})
    with pytest.raises(ValueError, match="evaluate has an argument named 'hyper'"):
        jopt.sweep(lambda w, _: w**2, jnp.float32(1.0), jopt.sgd(0.1), steps=2, evaluate=evaluate, **QUIET)
    with pytest.raises(ValueError, match="train: the loss takes hyper"):
        jopt.train(lambda w, _, hyper: w**2, jnp.float32(1.0), jopt.sgd(0.1), jnp.arange(3))


def test_two_axes_of_one_name_and_a_reserved_name_are_refused():
    with pytest.raises(ValueError, match=r"called 'a'.*name="):
        arrived({"x": jopt.choice(1.0, 2.0, name="a"), "y": jopt.choice(1.0, 2.0, name="a")})
    with pytest.raises(ValueError, match=r"'seed'.*name="):
        arrived({"x": jopt.choice(1.0, 2.0, name="seed")})


def test_whole_numbers_that_int32_does_not_hold_are_refused():
    with pytest.raises(ValueError, match="int32 can't hold"):
        arrived({"x": jopt.choice(1, 2**40)})


def test_a_mistake_in_the_loss_stays_the_users_own_error():
    def loss(w, batch, hyper):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), steps=2, hyper={"fold": jopt.choice(0, 1)}, **QUIET)

"""Axes: their values, their names, and the settings that a value with axes stands for."""

import copy
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt
from jopt.expanding import expand


def dims(optimizer, **kwargs):
    return [d.name for d in expand(optimizer, **kwargs).dimensions]


def rates(optimizer):
    """The learning rate of every lane."""
    return np.asarray(jopt.lanes(optimizer)[0].hyperparams["learning_rate"])


# Values


def test_geomspace_is_even_on_a_logarithmic_scale_and_holds_both_ends():
    values = jopt.geomspace(1e-5, 1e-1, 9).values
    assert len(values) == 9
    assert (values[0], values[-1]) == (1e-5, 1e-1)
    np.testing.assert_allclose(np.diff(np.log(values)), np.log(10) / 2, rtol=1e-9)


def test_geomspace_may_fall():
    assert jopt.geomspace(1e-1, 1e-3, 3).values == (0.1, 0.01, 0.001)


def test_linspace_is_even_and_holds_both_ends():
    assert jopt.linspace(0.0, 1.0, 5).values == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert jopt.linspace(1, -1, 3).values == (1.0, 0.0, -1.0)


def test_one_value_is_a_grid_too():
    assert jopt.geomspace(0.1, 0.1, 1).values == (0.1,)
    assert jopt.linspace(2, 2, 1).values == (2.0,)


def test_decades_is_every_order_of_magnitude():
    assert jopt.decades(1e-5, 1e-2).values == (1e-5, 1e-4, 1e-3, 1e-2)
    assert jopt.decades(3e-1, 3e-3).values == (0.3, 0.03, 0.003)
    assert jopt.decades(1e-3, 1e-3).values == (1e-3,)


def test_choice_keeps_values_and_order():
    assert jopt.choice(0.9, 0.5, 0.99).values == (0.9, 0.5, 0.99)
    assert jopt.choice(np.float32(0.5), np.int64(2), 3).values == (0.5, 2.0, 3.0)


def test_whole_numbers_stay_whole_where_all_are():
    assert all(isinstance(x, int) for x in jopt.choice(16, np.int64(64)).values)
    assert all(isinstance(x, float) for x in jopt.choice(16, 0.5).values)
    assert all(isinstance(x, int) for x in jopt.zipped((1, 2), (0.5, 1))[0].values)


def test_what_is_no_number_makes_a_choice_of_structure():
    axis = jopt.choice(None, 0.9, np.bool_(True), "nesterov", jopt.adam)
    assert axis.values == (None, 0.9, True, "nesterov", jopt.adam)
    assert repr(axis) == "axis(None, 0.9, True, nesterov, adam; 5 values)"
    assert len(axis) == 5


def test_the_length_and_text_of_an_axis_say_what_it_holds():
    axis = jopt.geomspace(1e-5, 1e-1, 25)
    assert len(axis) == 25
    assert "1e-05" in repr(axis)
    assert "25 values" in repr(axis)
    assert repr(jopt.uniform(0.8, 0.99)) == "uniform(0.8, 0.99)"


# Names


def test_a_dimension_is_named_after_its_argument():
    assert dims(jopt.adam(jopt.choice(0.1, 0.2), b1=jopt.choice(0.8, 0.9))) == ["learning_rate", "b1"]


def test_axes_inside_a_schedule_are_named_after_its_arguments():
    rate = jopt.warmup_cosine_decay_schedule(0.0, jopt.geomspace(1e-4, 1e-2, 3), jopt.choice(5, 20), 100)
    assert dims(jopt.adam(rate)) == ["peak_value", "warmup_steps"]


def test_names_that_clash_take_the_part_that_tells_them_apart():
    both = jopt.chain(jopt.sgd(jopt.choice(0.1, 0.2)), jopt.adam(jopt.choice(0.1, 0.2), b1=jopt.choice(0.8, 0.9)))
    assert dims(both) == ["sgd.learning_rate", "adam.learning_rate", "b1"]


def test_parts_of_one_kind_are_told_apart():
    names = dims(jopt.chain(jopt.sgd(jopt.choice(0.1, 0.2)), jopt.sgd(jopt.choice(0.3, 0.4))))
    assert len(set(names)) == 2
    assert all("learning_rate" in name for name in names)
    parts = (("slow", jopt.sgd(jopt.choice(0.1, 0.2))), ("fast", jopt.sgd(jopt.choice(0.3, 0.4))))
    assert dims(jopt.named_chain(*parts)) == ["slow.learning_rate", "fast.learning_rate"]


def test_a_name_given_to_an_axis_is_the_name_of_its_dimension():
    assert dims(jopt.sgd(jopt.choice(0.1, 0.2, name="rate"))) == ["rate"]
    assert dims(jopt.sgd(jopt.geomspace(0.1, 0.2, 3, name="rate"))) == ["rate"]
    assert dims(jopt.sgd(jopt.linspace(0.1, 0.2, 3, name="rate"))) == ["rate"]
    assert dims(jopt.sgd(jopt.decades(0.1, 1.0, name="rate"))) == ["rate"]
    assert dims(jopt.sgd(jopt.uniform(0.1, 0.2, name="rate")), samples=2) == ["rate"]
    assert dims(jopt.sgd(jopt.loguniform(0.1, 0.2, name="rate")), samples=2) == ["rate"]


def test_rates_of_layers_have_dimensions_named_after_the_layers():
    names = dims(jopt.sgd({"w": jopt.choice(0.1, 0.2), "b": jopt.choice(0.3, 0.4)}))
    assert len(set(names)) == 2
    assert any(name.endswith("w") for name in names)
    assert any(name.endswith("b") for name in names)


def test_layers_whose_names_hold_dots_are_told_apart():
    names = dims(jopt.sgd({"block.w": jopt.choice(0.1, 0.2), "w": jopt.choice(0.3, 0.4)}))
    assert len(set(names)) == 2


def test_two_axes_given_one_name_are_refused():
    with pytest.raises(ValueError, match=r"rate.*name="):
        expand(jopt.adam(jopt.choice(0.1, 0.2, name="rate"), b1=jopt.choice(0.8, 0.9, name="rate")))


@pytest.mark.parametrize("name", ["seed", "step", "eval_step", "diverged_at", "steps_done", "loss"])
def test_a_name_that_the_result_uses_itself_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}.*name="):
        expand(jopt.sgd(jopt.choice(0.1, 0.2, name=name)))


# Settings


def test_the_settings_are_the_product_of_the_axes_the_last_one_fastest():
    stacked, _ = jopt.lanes(jopt.adam(jopt.choice(0.1, 0.2, 0.3), b1=jopt.choice(0.8, 0.9)))
    np.testing.assert_allclose(stacked.hyperparams["learning_rate"], [0.1, 0.1, 0.2, 0.2, 0.3, 0.3], rtol=1e-6)
    np.testing.assert_allclose(stacked.hyperparams["b1"], [0.8, 0.9] * 3, rtol=1e-6)


def test_one_axis_object_used_twice_is_one_axis():
    decay = jopt.choice(0.8, 0.9)
    space = expand(jopt.adam(0.1, b1=decay, b2=decay))
    assert space.shape == (2,)
    assert [space.at(k).hyperparams["b1"] for k in range(2)] == [0.8, 0.9]
    assert [space.at(k).hyperparams["b2"] for k in range(2)] == [0.8, 0.9]


def test_two_equal_axis_objects_are_two_axes():
    assert expand(jopt.adam(0.1, b1=jopt.choice(0.8, 0.9), b2=jopt.choice(0.8, 0.9))).shape == (2, 2)


def test_zipped_axes_walk_together_along_one_dimension():
    rate, decay = jopt.zipped(jopt.choice(0.1, 0.01, 0.001), [1e-4, 1e-4, 1e-3])
    space = expand(jopt.adamw(rate, weight_decay=decay))
    assert space.shape == (3,)
    assert [d.name for d in space.dimensions] == ["learning_rate"]
    found = [space.at(k).hyperparams for k in range(3)]
    assert [(h["learning_rate"], h["weight_decay"]) for h in found] == [(0.1, 1e-4), (0.01, 1e-4), (0.001, 1e-3)]


def test_zipped_axes_multiply_with_others():
    rate, decay = jopt.zipped([0.1, 0.01], [1e-4, 1e-3])
    assert expand(jopt.adamw(rate, b1=jopt.choice(0.8, 0.9, 0.95), weight_decay=decay)).shape == (2, 3)


def test_an_optimizer_without_axes_is_one_setting():
    space = expand(jopt.adam(0.1))
    assert (space.shape, space.size) == ((), 1)
    assert space.at(0) == jopt.adam(0.1)


def test_a_setting_is_the_optimizer_that_one_would_have_written():
    space = expand(jopt.chain(jopt.clip_by_global_norm(jopt.choice(1.0, 2.0)), jopt.adam(jopt.choice(0.1, 0.2))))
    assert space.at(3) == jopt.chain(jopt.clip_by_global_norm(2.0), jopt.adam(0.2))
    assert hash(space.at(3)) == hash(jopt.chain(jopt.clip_by_global_norm(2.0), jopt.adam(0.2)))


# Drawn


def test_draws_lie_within_their_ends():
    space = expand(jopt.adam(jopt.loguniform(1e-5, 1e-1), b1=jopt.uniform(0.8, 0.99)), samples=50, seed=3)
    assert space.size == 50
    found = [space.at(k).hyperparams for k in range(50)]
    assert all(1e-5 <= h["learning_rate"] <= 1e-1 and 0.8 <= h["b1"] <= 0.99 for h in found)


def test_draws_cover_their_range_evenly_on_their_scale():
    space = expand(jopt.adam(jopt.loguniform(1e-4, 1e0), b1=jopt.uniform(0.0, 0.8)), samples=64)
    found = [space.at(k).hyperparams for k in range(64)]
    tenths = np.floor((np.log10([h["learning_rate"] for h in found]) + 4) * 4)  # sixteenths of the range
    assert np.unique(tenths, return_counts=True)[1].tolist() == [4] * 16  # Sobol points: equally many in each
    eighths = np.floor(np.array([h["b1"] for h in found]) * 10)
    assert np.unique(eighths, return_counts=True)[1].tolist() == [8] * 8


def test_one_seed_draws_the_same_and_another_differs():
    def drawn(seed):
        space = expand(jopt.sgd(jopt.loguniform(1e-5, 1e-1)), samples=8, seed=seed)
        return [space.at(k).hyperparams["learning_rate"] for k in range(8)]

    assert drawn(0) == drawn(0)
    assert not set(drawn(0)) & set(drawn(1))


def test_drawn_axes_are_drawn_together_and_multiply_with_grids():
    optimizer = jopt.adam(jopt.loguniform(1e-5, 1e-1), b1=jopt.uniform(0.8, 0.9), b2=jopt.choice(0.99, 0.999))
    space = expand(optimizer, samples=5)
    assert space.size == 10
    assert sorted(space.shape) == [2, 5]
    pairs = {(h["learning_rate"], h["b1"]) for h in (space.at(k).hyperparams for k in range(10))}
    assert len(pairs) == 5


def test_a_drawn_axis_used_twice_is_drawn_once():
    decay = jopt.uniform(0.5, 0.9)
    space = expand(jopt.adam(0.1, b1=decay, b2=decay), samples=4)
    assert space.shape == (4,)
    assert all(h["b1"] == h["b2"] for h in (space.at(k).hyperparams for k in range(4)))


def test_drawing_one_sample_works():
    assert expand(jopt.sgd(jopt.uniform(0.1, 0.2)), samples=1).shape == (1,)


def test_one_value_that_can_be_passed_over_but_is_a_value_is_a_choice():
    assert jopt.choice("relu").values == ("relu",)
    assert jopt.choice(jopt.sgd(0.1)).values == (jopt.sgd(0.1),)
    assert jopt.choice((1, 2), (2, 1)).values == ((1, 2), (2, 1))
    assert (
        jopt.choice(jnp.float32(0.5)).values
        == jopt.choice(np.float32(0.5)).values
        == jopt.choice(np.array(0.5)).values
        == (0.5,)
    )
    assert jopt.zipped(range(2), (0.1, 0.2))[0].values == (0, 1)


# Bad input


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: jopt.choice(), "at least one"),
        (lambda: jopt.choice(0.1, float("nan")), "finite"),
        (lambda: jopt.choice(0.1, float("inf")), "finite"),
        (lambda: jopt.choice(0.1, 0.1), "differ"),
        (lambda: jopt.geomspace(0.0, 1.0, 3), "start.*above 0"),
        (lambda: jopt.geomspace(1.0, -1.0, 3), "stop.*above 0"),
        (lambda: jopt.geomspace(float("nan"), 1.0, 3), "finite"),
        (lambda: jopt.geomspace(0.1, 1.0, 0), "num.*at least 1"),
        (lambda: jopt.geomspace(0.1, 1.0, 2.5), "num.*whole"),
        (lambda: jopt.geomspace(0.1, 0.1, 3), "differ"),
        (lambda: jopt.linspace(0.0, float("inf"), 3), "finite"),
        (lambda: jopt.linspace(0.0, 1.0, -1), "num.*at least 1"),
        (lambda: jopt.decades(1e-5, 3e-2), "powers of ten"),
        (lambda: jopt.decades(0.0, 1.0), "start.*above 0"),
        (lambda: jopt.zipped([0.1, 0.2], [0.1]), "lengths"),
        (lambda: jopt.zipped(), "at least one"),
        (lambda: jopt.loguniform(0.0, 1.0), "low.*above 0"),
        (lambda: jopt.loguniform(1.0, 0.1), "low < high"),
        (lambda: jopt.uniform(1.0, 1.0), "low < high"),
        (lambda: jopt.uniform(0.0, float("inf")), "finite"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_value_for_an_axis_is_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: jopt.choice([0.1, 0.2]), "one by one"),
        (lambda: jopt.choice(np.array([0.1, 0.2])), "one by one"),
        (lambda: jopt.choice(jnp.array([0.1, 0.2])), "one by one"),
        (lambda: jopt.choice(range(3)), r"one by one: choice\(\*range\(0, 3\)\)\."),
        (lambda: jopt.choice((1, 2)), "one by one"),
        (lambda: jopt.choice({0.1, 0.2}), "one by one"),
        (lambda: jopt.choice(frozenset((1, 2))), "one by one"),
        (lambda: jopt.choice(x for x in (0.1, 0.2)), r"one by one: choice\(\*values\), but got <generator"),
        (lambda: jopt.choice({"a": 1}.keys()), "one by one"),
        (lambda: jopt.choice({"a": 1}.values()), "one by one"),
        (lambda: jopt.choice(map(float, (1, 2))), "one by one"),
        (lambda: jopt.choice({1}, {2}), "numbers"),
        (lambda: jopt.choice({"a": 1}.keys(), 2), "numbers"),
        (lambda: jopt.choice(iter((1, 2)), 3), "iterator"),
        (lambda: jopt.choice([0.1], [0.2]), "numbers"),
        (lambda: jopt.choice(1j, 2j), "numbers"),
        (lambda: jopt.choice(jopt.choice(0.1, 0.2), 0.3), "numbers"),
        (lambda: jopt.choice({"a": 1}, {"a": 2}), "numbers"),
        (lambda: jopt.geomspace("a", 1.0, 3), "numbers"),
        (lambda: jopt.geomspace(0.1, 1.0, "3"), "num.*whole"),
        (lambda: jopt.linspace(0.1, 1.0, None), "num.*whole"),
        (lambda: jopt.zipped(0.1, 0.2), "zipped"),
        (lambda: jopt.zipped(jopt.uniform(0.1, 0.2), jopt.uniform(0.1, 0.2)), "zipped"),
        (lambda: jopt.uniform(None, 1.0), "numbers"),
        (lambda: jopt.choice(0.1, 0.2, name=3), "name"),
    ],
    ids=itertools.count(),
)
def test_a_wrong_kind_of_value_for_an_axis_is_refused(make, named):
    with pytest.raises(TypeError, match=named):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: jopt.sgd(jopt.choice(0.1, -0.1)),
        lambda: jopt.sgd(jopt.linspace(-1.0, 1.0, 3)),
        lambda: jopt.adam(0.1, b1=jopt.choice(0.9, 1.0)),
        lambda: jopt.adam(jopt.uniform(-1.0, 1.0)),
    ],
    ids=itertools.count(),
)
def test_an_axis_with_a_value_out_of_the_arguments_range_is_refused_by_name(make):
    with pytest.raises(ValueError, match=r"(sgd|adam).*: (learning_rate|b1) must lie in"):
        make()


def test_a_drawn_axis_needs_samples():
    with pytest.raises(ValueError, match="samples="):
        expand(jopt.sgd(jopt.uniform(0.1, 0.2)))
    with pytest.raises(ValueError, match=r"drawn|samples="):
        jopt.lanes(jopt.sgd(jopt.uniform(0.1, 0.2)))


def test_samples_need_a_drawn_axis():
    with pytest.raises(ValueError, match="samples="):
        expand(jopt.sgd(jopt.choice(0.1, 0.2)), samples=4)


@pytest.mark.parametrize("samples", [0, -1, 2.5])
def test_samples_must_be_a_whole_number_of_at_least_one(samples):
    with pytest.raises(ValueError, match=r"samples.*whole number of at least 1"):
        expand(jopt.sgd(jopt.uniform(0.1, 0.2)), samples=samples)


def test_an_optimizer_with_axes_does_not_run_alone():
    optimizer = jopt.sgd(jopt.choice(0.1, 0.2))
    with pytest.raises(TypeError, match=r"learning_rate.*axis.*jopt.sweep"):
        optimizer.init(jnp.zeros(3))


def test_an_optimizer_with_axes_is_refused_inside_jit():
    with pytest.raises(TypeError):
        jax.jit(lambda opt, w: opt.init(w))(jopt.sgd(jopt.choice(0.1, 0.2)), jnp.zeros(3))


# An axis where a number is expected


COMPUTED = {
    "plus": lambda x: x + 1.0,
    "minus_it": lambda x: 1.0 - x,
    "times_a_numpy_number": lambda x: np.float32(2.0) * x,
    "times_a_numpy_array": lambda x: np.array([1.0, 2.0]) * x,
    "times_a_jax_number": lambda x: jnp.float32(2.0) * x,
    "over": lambda x: 1.0 / x,
    "power": lambda x: 2.0**x,
    "negative": lambda x: -x,
    "smaller": lambda x: x > 0.0,
    "largest": lambda x: max(x, 1.0),
    "float": float,
    "int": int,
    "bool": bool,
    "index": range,
    "round": round,
    "sum": lambda x: sum([x]),
    "np_asarray": np.asarray,
    "np_sin": np.sin,
    "np_where": lambda x: np.where(True, x, 0.0),
    "jnp_asarray": jnp.asarray,
    "jnp_where": lambda x: jnp.where(True, x, 0.0),
    "scan": lambda x: jax.lax.scan(lambda c, _: (c, None), x, None, length=2),
}
FOREIGN = {
    "optax_adam": optax.adam,
    "optax_sgd": optax.sgd,
    "optax_warmup": lambda x: optax.warmup_cosine_decay_schedule(0.0, x, 10, 100),
    "optax_linear": lambda x: optax.linear_schedule(x, 0.0, 10)(3),
    "optax_decay": lambda x: optax.adamw(0.1, weight_decay=x).update(W, optax.adamw(0.1, weight_decay=x).init(W), W),
    "a_users_formula": lambda x: jopt.sgd(0.1 * x),
}
W = jnp.float32(1.0)


@pytest.mark.parametrize("use", {**COMPUTED, **FOREIGN}.values(), ids={**COMPUTED, **FOREIGN})
@pytest.mark.parametrize("axis", [jopt.choice(0.1, 0.2), jopt.loguniform(0.1, 0.2)], ids=["grid", "drawn"])
def test_computing_with_an_axis_says_what_to_write_instead(use, axis):
    with pytest.raises(TypeError, match=r"is an axis of a sweep.*jopt\.adam.*jopt\.warmup_cosine.*jopt\.chain.*jopt\.lift\("):
        use(axis)


def test_an_axis_is_still_an_object_with_an_identity():
    axis, other = jopt.choice(0.1, 0.2), jopt.choice(0.1, 0.2)
    assert axis == axis
    assert axis != other
    assert len({axis, other}) == 2
    assert other not in [axis]
    assert len(axis) == 2
    assert copy.deepcopy(axis).values == pickle.loads(pickle.dumps(axis)).values == axis.values
    assert jax.tree.leaves(jopt.sgd(axis)) == [axis]
    assert jopt.sgd(axis) == jopt.sgd(axis)
    assert jopt.sgd(axis) != jopt.sgd(other)


SQUARE = {
    "chain": lambda axis: optax.chain(optax.clip(1.0), jopt.sgd(axis)),
    "partition": lambda axis: optax.partition({"a": jopt.adam(axis)}, "a"),
    "masked": lambda axis: optax.masked(jopt.sgd(axis), True),
    "schedule_inside": lambda axis: optax.chain(jopt.sgd(jopt.linear_schedule(axis, 0.0, 10))),
    "own_factory": lambda axis: jopt.chain(optax.chain(jopt.sgd(axis))),
}


@pytest.mark.parametrize("make", SQUARE.values(), ids=SQUARE)
def test_an_axis_hidden_in_a_transformation_of_optax_is_never_trained_as_one_lane(make):
    opt = make(jopt.choice(0.1, 0.2))
    way_out = r"is an axis with 2 values.*jopt\.sweep.*jopt\.chain for optax\.chain.*jopt\.partition for.*jopt\.lift"
    with pytest.raises(TypeError, match=way_out):
        opt.init(W)
    with pytest.raises(TypeError, match=way_out):
        jopt.sweep(lambda w, _: w**2, W, opt, steps=2, progress=False)
    with pytest.raises(TypeError, match=way_out):
        jopt.train(lambda w, _: w**2, W, opt, jnp.arange(2))


def test_an_axis_hidden_in_a_schedule_of_optax_is_never_trained_as_one_lane():
    opt = jopt.sgd(optax.cosine_decay_schedule(jopt.choice(0.1, 0.2), 100))
    with pytest.raises(TypeError, match=r"is an axis of a sweep.*jopt\.warmup_cosine_decay_schedule"):
        jopt.sweep(lambda w, _: w**2, W, opt, steps=2, progress=False)


def test_the_ways_that_the_errors_name_work():
    for opt in (
        jopt.chain(optax.clip(1.0), jopt.sgd(jopt.choice(0.1, 0.2))),
        jopt.partition({"a": jopt.adam(jopt.choice(0.1, 0.2))}, "a"),
        jopt.lift(optax.partition)({"a": jopt.adam(jopt.choice(0.1, 0.2))}, "a"),
        jopt.lift(optax.lion)(jopt.choice(0.1, 0.2)),
        jopt.adam(jopt.warmup_cosine_decay_schedule(0.0, jopt.choice(0.1, 0.2), 1, 10)),
    ):
        result = jopt.sweep(lambda w, _: w**2, W, opt, steps=4, progress=False)
        ends = result.params.ravel()
        assert len(set(ends.tolist())) == 2

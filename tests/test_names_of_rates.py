"""Several learning rates go by the ends of their paths, without what all begin with, and these ends name them everywhere."""

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jopt
from jopt.values.names import shortened

PARAMS = {"a": jnp.ones(2), "b": jnp.ones(2)}
PARTED = {"a": jopt.sgd(0.1), "*": jopt.adam(0.2)}


def is_rate(step):
    return step == "learning_rate"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["transforms.a.learning_rate", "transforms.b.learning_rate"], ["a.learning_rate", "b.learning_rate"]),
        (["inner.transforms.a.learning_rate", "inner.transforms.b.x.learning_rate"], ["a.learning_rate", "b.x.learning_rate"]),
        (["sgd.learning_rate", "adam.learning_rate"], ["sgd.learning_rate", "adam.learning_rate"]),
        (["learning_rate.w", "learning_rate.b"], ["learning_rate.w", "learning_rate.b"]),
        (["adam.learning_rate.w", "adam.learning_rate.b"], ["learning_rate.w", "learning_rate.b"]),
        (["x.a.learning_rate", "x.b.a.learning_rate"], ["x.a.learning_rate", "x.b.a.learning_rate"]),  # one would end the other
        (["x.learning_rate"], ["learning_rate"]),
        ([], []),
    ],
)
def test_what_all_paths_begin_with_is_left_out(paths, names):
    assert list(shortened(dict.fromkeys(paths), is_rate)) == names


steps = st.lists(st.sampled_from(["a", "b", "transforms"]), max_size=3).map(lambda found: ".".join([*found, "learning_rate"]))


@given(st.lists(steps, min_size=1, max_size=5, unique=True))
def test_each_name_ends_its_own_path_and_no_other(paths):
    found = shortened({path: path for path in paths}, is_rate)
    assert list(found.values()) == paths
    if list(found) != paths:
        assert all([path for path in paths if f".{path}".endswith(f".{name}")] == [mine] for name, mine in found.items())


def test_the_rates_of_a_partition_go_by_its_labels_and_replace_takes_these_names():
    opt = jopt.partition(PARTED)
    found = jopt.learning_rate(opt, opt.init(PARAMS))
    assert {name: float(rate) for name, rate in found.items()} == {
        "a.learning_rate": pytest.approx(0.1),
        "*.learning_rate": pytest.approx(0.2),
    }
    for name in found:
        changed = opt.replace(**{name: 0.5})
        assert float(jopt.learning_rate(changed, changed.init(PARAMS), name)) == 0.5
    assert float(jopt.learning_rate(opt, opt.init(PARAMS), "transforms.a.learning_rate")) == pytest.approx(0.1)


def test_they_do_inside_a_chain_and_as_variables_of_a_result_and_in_pictures():
    def loss(params, _):
        return sum((x**2).sum() for x in params.values())

    opt = jopt.chain(jopt.clip_by_global_norm(1.0), jopt.partition(PARTED))
    made = jopt.sweep(loss, PARAMS, opt, steps=3, record=("rate",), progress=False)
    assert {"rate.a.learning_rate", "rate.*.learning_rate"} <= set(made.dataset)
    assert made.plot.curves("rate.a.learning_rate", "min").get_ylabel() == "rate.a.learning rate"
    assert [line.get_label() for line in jopt.plot_schedule(opt, 3).lines] == ["a.learning_rate", "*.learning_rate"]

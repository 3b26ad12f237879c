"""Names and numbers of results: none is lost to another of the same name, none loses its digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.expanding import expand
from jopt.results import load_result
from jopt.values.names import RESERVED, check_names


def square(w, _):
    return w**2


def sweep(optimizer, **kwargs):
    return jopt.sweep(square, jnp.float32(1.0), optimizer, **{"steps": 4, **kwargs})


@jopt.transformation
def scaled(step=0.1, *, group=1.0):
    def init(params):
        return ()

    def update(updates, state, params=None, **extra_args):
        return jax.tree.map(lambda g: -step * group * g, updates), state

    return init, update


# Axes


def test_an_axis_named_by_its_argument_like_a_column_takes_its_path():
    made = sweep(jopt.sgd(jopt.constant_schedule(jopt.choice(0.1, 0.3))))
    assert made.dataset.loss.dims == ("learning_rate.value", "seed", "step")
    curves = made.to_pandas(kind="curves")
    assert sorted(set(curves["learning_rate.value"])) == [0.1, 0.3]
    assert list(curves.columns) == ["learning_rate.value", "seed", "step", "metric", "value"]
    assert made.best().setting == {"learning_rate.value": 0.3}


def test_an_argument_of_the_optimizer_itself_takes_the_optimizers_name_before_it():
    made = sweep(scaled(jopt.choice(0.1, 0.2), group=jopt.choice(1.0, 2.0)))
    assert made.record.dims == ("scaled.step", "scaled.group")
    inside = sweep(jopt.chain(jopt.clip(1.0), scaled(jopt.choice(0.1, 0.2))))
    assert inside.record.dims == ("scaled.step",)


def test_an_argument_of_one_of_several_optimizers_takes_its_path():
    parts = {"inner": scaled(jopt.choice(0.1, 0.2)), "outer": jopt.sgd(jopt.choice(0.1, 0.2))}
    names = [d.name for d in expand(parts).dimensions]
    assert names == ["inner.step", "learning_rate"]


@pytest.mark.parametrize("name", RESERVED)
def test_an_axis_that_a_user_names_like_the_results_own_is_refused_before_training(name):
    with pytest.raises(ValueError, match=f"uses '{name}' itself; give the axis another name="):
        sweep(jopt.sgd(jopt.choice(0.1, 0.2, name=name)))


def test_drawn_axes_still_lie_along_samples():
    made = sweep(jopt.adam(jopt.loguniform(0.1, 1.0), b1=jopt.uniform(0.1, 0.9)), samples=3)
    assert made.record.dims == ("sample",)
    with pytest.raises(ValueError, match="'sample', which names an axis"):
        sweep(jopt.adam(jopt.loguniform(0.1, 1.0), b1=jopt.uniform(0.1, 0.9)), samples=3, evaluate=lambda w: {"sample": w})


# The tree of a grouped result


def test_a_slash_in_a_name_is_a_dot_in_the_tree_and_stays_elsewhere(tmp_path):
    rate = jopt.choice(0.1, 0.2, name="opt/rate")
    made = sweep({"a": jopt.sgd(rate), "b": jopt.adam(rate)}, evaluate=lambda w: {"val/acc": w, "val/x/y": w})
    assert made.dataset["a"]["val.acc"].dims == ("opt.rate", "seed", "eval_step")
    assert made.dataset["b"]["opt.rate"].values.tolist() == [0.1, 0.2]
    assert "val.x.y" in made.dataset["a"]
    assert made["a"].dataset["val/acc"].dims == ("opt/rate", "seed", "eval_step")
    assert made.best("val/acc", "max").setting in ({"opt/rate": 0.1}, {"opt/rate": 0.2})
    assert {"group", "opt/rate", "val/acc"} <= set(made.to_pandas().columns)
    made.save(tmp_path / "a")
    assert load_result(tmp_path / "a").dataset.identical(made.dataset)


def test_names_that_the_tree_would_write_alike_are_refused_before_training():
    both = lambda w: {"val/acc": w, "val.acc": w}  # noqa: E731
    with pytest.raises(ValueError, match=r"'val\.acc', which names another recorded value"):
        sweep({"a": jopt.sgd(0.1)}, evaluate=both)
    assert set(sweep(jopt.sgd(0.1), evaluate=both).record.metrics) == {"val/acc", "val.acc"}
    with pytest.raises(ValueError, match="one name in the tree"):
        check_names(["a/b", "a.b"], ["loss"], grouped=True)


def test_a_recorded_value_may_not_take_the_column_of_the_groups():
    with pytest.raises(ValueError, match="'group', which names the result itself"):
        sweep({"a": jopt.sgd(0.1)}, evaluate=lambda w: {"group": w})


def test_metric_and_value_are_names_for_metrics():
    made = sweep({"a": jopt.sgd(0.1)}, evaluate=lambda w: {"metric": w, "value": -w})
    frame = made.to_pandas(kind="curves")
    assert set(frame.metric) == {"loss", "metric", "value"}
    assert (frame[frame.metric == "value"].value < 0).all()
    assert {"metric", "value"} <= set(made.to_pandas().columns)


# Numbers

BIG = 2**24 + 1  # no float32


@pytest.mark.parametrize("record_every", [1, 2, 3])
def test_integers_and_bools_are_recorded_to_the_last_digit(record_every):
    def loss(w, _):
        return w**2, {"count": jnp.int32(BIG), "flag": w > 0, "float": w}

    def evaluate(w):
        return {"steps": jnp.int32(BIG), "small": jnp.uint8(200), "above": w > 0, "error": w}

    made = jopt.sweep(
        loss, jnp.float32(1.0), jopt.sgd(0.1), steps=4, has_aux=True, evaluate=evaluate, record_every=record_every
    )
    losses, metrics = made.record.losses, made.record.metrics
    assert {name: str(x.dtype) for name, x in losses.items()} == {
        "loss": "float32",
        "count": "float64",
        "flag": "float64",
        "float": "float32",
    }
    assert [str(x.dtype) for x in metrics.values()] == ["float64"] * 3 + ["float32"]
    assert (losses["count"] == BIG).all()
    assert (metrics["steps"] == BIG).all()
    assert (metrics["small"] == 200).all()
    assert made.to_pandas()["count"].tolist() == [BIG]
    assert made.best("steps").score == BIG


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("record_every", [1, 2])
def test_narrow_floats_are_recorded_in_their_own_type(dtype, record_every, tmp_path):
    def loss(w, _):
        return (w**2).astype(dtype), {"narrow": (w * 3).astype(dtype)}

    options = {"steps": 4, "has_aux": True, "record_every": record_every, "evaluate": lambda w: {"error": w.astype(dtype)}}
    made = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(jopt.choice(0.1, 0.2)), **options)
    made.save(tmp_path / "a")
    for each in (made, load_result(tmp_path / "a")):
        recorded = [*each.record.losses.values(), *each.record.metrics.values()]
        assert {str(x.dtype) for x in recorded} == {dtype}
        assert each.best("loss").setting == {"learning_rate": 0.2}
        shown = "float32" if dtype == "bfloat16" else dtype  # xarray and pandas do not know bfloat16
        assert each.dataset.loss.dtype == each.to_pandas().error.dtype == shown
        assert float(each.dataset.loss.isel(step=0).mean()) > 0
        assert len(each.to_pandas(kind="curves"))
    if record_every == 1:
        np.testing.assert_array_equal(made.record.losses["narrow"][:, 0, 0].astype(float), [3.0, 3.0])


def test_a_mean_of_many_narrow_floats_is_summed_up_wide():
    def loss(w, batch):
        return w**2, {"half": jnp.float16(1000) + 0 * w.astype(jnp.float16)}

    plan = jopt.Plan(chunk=3)
    made = jopt.sweep(loss, jnp.float32(1.0), jopt.sgd(0.1), steps=300, has_aux=True, record_every=300, plan=plan)
    assert made.record.losses["half"].tolist() == [[1000.0]]


def test_doubles_stay_doubles_where_jax_has_them():
    with jax.enable_x64(True):
        loss = lambda w, _: (w - 1 / 3) ** 2 + 1e-12  # noqa: E731
        made = jopt.sweep(loss, jnp.float64(1.0), jopt.sgd(0.5), steps=3, evaluate=lambda w: {"n": jnp.int64(2**53)})
    assert made.record.losses["loss"].dtype == np.float64
    assert made.record.losses["loss"][0, -1] == pytest.approx(1e-12, rel=1e-12)
    assert made.record.metrics["n"][0, -1] == 2.0**53

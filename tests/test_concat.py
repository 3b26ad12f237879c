"""Two results of one problem in one: other values of an axis, other seeds, or further steps."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jopt

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
ONE = jopt.Plan(width=1)  # so that a lane is the same to the bit, whoever stands beside it


def loss(w, batch):
    return jnp.mean((batch @ w - 1.0) ** 2)


def init(key):
    return jax.random.normal(key, (3,))


def evaluate(w):
    return {"norm": (w**2).sum()}


def swept(optimizer, params=init, steps=8, **more):
    settings = {"batch_size": 4, "plan": ONE, "evaluate": evaluate, "eval_every": 2, "keep": "carry"}
    return jopt.sweep(loss, params, optimizer, X, steps=steps, **{**settings, **more})


def adam(*rates, **more):
    return jopt.adam(jopt.choice(*rates), **more)


def assert_same(found, wanted):
    assert found.dataset.drop_attrs().equals(wanted.dataset.drop_attrs())
    for kept in ("params", "state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(found, kept), getattr(wanted, kept))
    assert (found.best().setting, found.best().score) == (wanted.best().setting, wanted.best().score)
    assert found.best().optimizer == wanted.best().optimizer
    assert found.table() == wanted.table()
    assert repr(found)


@pytest.mark.parametrize("swap", [False, True])
def test_other_values_of_an_axis_stand_in_order(swap):
    low, high = swept(adam(0.01, 0.1), seeds=2), swept(adam(0.03, 0.3), seeds=2)
    found = high.concat(low) if swap else low.concat(high)
    wanted = swept(adam(0.01, 0.03, 0.1, 0.3), seeds=2)
    assert_same(found, wanted)
    assert found.optimizer.hyperparams["learning_rate"].values == (0.01, 0.03, 0.1, 0.3)
    for k, rate in enumerate((0.01, 0.03, 0.1, 0.3)):
        assert found.optimizer_at((k,)).hyperparams["learning_rate"] == rate


def test_values_that_were_in_no_order_stand_one_after_the_other():
    found = swept(adam(0.1, 0.01)).concat(swept(adam(0.03)))
    assert_same(found, swept(adam(0.1, 0.01, 0.03)))


def test_one_axis_of_two_grows():
    def both(*rates):
        return adam(*rates, b1=jopt.choice(0.5, 0.9))

    found = swept(both(0.1), seeds=2).concat(swept(both(0.01, 0.2), seeds=2))
    assert_same(found, swept(both(0.01, 0.1, 0.2), seeds=2))
    inner = swept(adam(0.01, 0.1, b1=jopt.choice(0.5))).concat(swept(adam(0.01, 0.1, b1=jopt.choice(0.9))))
    assert_same(inner, swept(both(0.01, 0.1)))


def test_numbers_that_walk_together_grow_together():
    def walked(rates, decays):
        rate, decay = jopt.zipped(jopt.choice(*rates), jopt.choice(*decays))
        return jopt.adam(rate, b1=decay)

    found = swept(walked((0.01, 0.1), (0.9, 0.5))).concat(swept(walked((0.2,), (0.7,))))
    assert_same(found, swept(walked((0.01, 0.1, 0.2), (0.9, 0.5, 0.7))))
    assert found.optimizer_at((2,)).hyperparams["b1"] == 0.7


def test_further_seeds_stand_behind():
    found = swept(adam(0.01, 0.1), seeds=[0, 1]).concat(swept(adam(0.01, 0.1), seeds=[5, 3]))
    assert_same(found, swept(adam(0.01, 0.1), seeds=[0, 1, 5, 3]))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("steps", [4, 5])
def test_what_goes_on_makes_the_steps_longer(swap, steps):
    first = swept(jopt.adam(0.1), steps=steps, seeds=2)
    rest = swept(jopt.adam(0.1), first.best(), 8 - steps)
    found = rest.concat(first) if swap else first.concat(rest)
    wanted = swept(jopt.adam(0.1), seeds=2)
    np.testing.assert_array_equal(found.record.losses["loss"], wanted.record.losses["loss"])
    np.testing.assert_array_equal(found.params, wanted.params)
    assert found.record.step.tolist() == list(range(1, 9))
    assert [step for step in found.record.eval_step.tolist() if step] == sorted({2, 4, 6, 8, steps})
    assert (found.record.first, found.record.last, found.record.steps_done.tolist()) == (0, 8, [8, 8])
    assert found.best("loss").score == wanted.best("loss").score
    again = swept(jopt.adam(0.1), found.best(), 3)
    np.testing.assert_array_equal(again.params, swept(jopt.adam(0.1), wanted.best(), 3).params)


def test_one_setting_of_several_goes_on_and_the_others_end(tmp_path):
    first = swept(adam(0.01, 0.1, 0.2), steps=4, seeds=2)
    trial = first.best()
    rest = swept(trial.optimizer, trial, 4)
    found, (k,) = first.concat(rest), trial.index
    whole = swept(trial.optimizer, seeds=2)
    np.testing.assert_array_equal(found.record.losses["loss"][k], whole.record.losses["loss"])
    np.testing.assert_array_equal(found.params[k], whole.params)
    others = [i for i in range(3) if i != k]
    np.testing.assert_array_equal(found.params[others], first.params[others])
    assert np.isnan(found.record.losses["loss"][others, :, 4:]).all()
    assert found.record.steps_done[k].tolist() == [8, 8]
    assert (found.record.steps_done[others] == 4).all()
    assert (found.best().index, found.best("loss").index) == ((k,), (k,))
    assert not found.record.pruned.any()
    assert (found.record.left_at[others] == 4).all()
    assert found.record.steps_saved == 0
    assert "left behind" in repr(found)
    assert "pruned" not in repr(found)
    found.save(tmp_path / "found")
    np.testing.assert_array_equal(jopt.load_result(tmp_path / "found").dataset.left_at, found.record.left_at)
    with pytest.raises(ValueError, match=r"has done 4 of 8 steps"):
        swept(jopt.adam(0.1), dataclasses.replace(found.best(), index=(others[0],)), 2)


def test_it_keeps_what_both_have():
    first = swept(adam(0.01, 0.1), steps=4)
    for keep in ("params", "none"):
        rest = swept(first.best().optimizer, first.best(), 4, keep=keep)
        assert first.concat(rest).record.keep == keep


def test_a_joined_result_is_saved_and_drawn(tmp_path):
    found = swept(adam(0.01, 0.1), seeds=2).concat(swept(adam(0.03, 0.3), seeds=2))
    found.save(tmp_path / "both")
    loaded = jopt.load_result(tmp_path / "both")
    assert loaded.best().optimizer == found.best().optimizer
    assert loaded.dataset.equals(found.dataset)
    again = loaded.concat(swept(adam(1.0), seeds=2))
    assert again.record.shape == (5,)
    assert len(found.to_pandas()) == 8


def test_pictures_take_a_joined_result():
    pytest.importorskip("matplotlib")
    import matplotlib.pyplot as plt

    first = swept(adam(0.01, 0.1, 0.2), steps=4, seeds=2)
    longer = first.concat(swept(first.best().optimizer, first.best(), 4))
    for each in (longer, swept(adam(0.01, 0.1)).concat(swept(adam(0.03)))):
        each.plot.curves("loss")
        each.plot.response()
        plt.close("all")


def test_times_are_summed():
    low, high = swept(adam(0.01)), swept(adam(0.1))
    both = low.concat(high).timings
    assert (both.lane_steps, both.total_s) == (16, low.timings.total_s + high.timings.total_s)


def test_groups_are_joined_by_name():
    one = swept({"adam": adam(0.01), "sgd": jopt.sgd(0.1)}, seeds=1)
    other = swept({"adam": adam(0.1), "lion": jopt.lift(optax.lion)(0.01)}, seeds=1)
    both = one.concat(other)
    assert list(both) == ["adam", "sgd", "lion"]
    assert both["adam"].record.shape == (2,)
    assert both.best().group in both


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({}, {}, "differ in no axis, nor in their seeds"),
        ({}, {"rates": (0.1, 0.2), "seeds": [3, 4]}, "'learning_rate' and in 'seed'"),
        ({"rates": (0.1, 0.2)}, {"rates": (0.2, 0.3)}, r"both have learning_rate 0.2"),
        ({"seeds": [0, 1]}, {"seeds": [1, 2]}, r"both have seed 1"),
        ({}, {"rates": (0.2,), "b1": 0.5}, "their optimizers differ in more"),
        ({}, {"seeds": [5], "b1": 0.5}, "their optimizers differ in more"),
        (
            {},
            {"rates": (0.2,), "steps": 6},
            r"the steps of one are after 1, \.\.\., 8 \(8\) and of the other after 1, \.\.\., 6",
        ),
        ({}, {"rates": (0.2,), "eval_every": 3}, "the evaluations of one"),
        ({}, {"rates": (0.2,), "keep": "params"}, "must keep the same"),
        ({}, {"rates": (0.2,), "seed": 1}, r"same seed= of the sweep.*one has 0 and the other 1"),
        ({}, {"rates": (0.2,), "evaluate": lambda w: {"other": w.sum()}}, "record the same"),
        ({}, {"rates": None}, r"same axes.*\['learning_rate'\] and the other \[\].*jopt.choice\(value\)"),
    ],
    ids=itertools.count(),
)
def test_what_does_not_fit_is_refused(one, other, said):
    def of(rates=(0.01, 0.1), b1=0.9, **more):
        return swept(jopt.adam(0.3 if rates is None else jopt.choice(*rates), b1=b1), **more)

    with pytest.raises(ValueError, match=said):
        of(**one).concat(of(**other))


def test_results_of_other_problems_are_refused():
    one = swept(adam(0.01, 0.02))

    def trained(function, data, batch_size=4):
        settings = {"steps": 8, "batch_size": batch_size, "plan": ONE, "evaluate": evaluate, "eval_every": 2, "keep": "carry"}
        return jopt.sweep(function, init, adam(0.03, 0.04), data, **settings)

    others = {
        "the loss .or step. differs": trained(lambda w, batch: 2 * loss(w, batch), X),
        "batch_size=4, the other with 6": trained(loss, X, 6),
        r"data=float32\[12, 3\] \w+, the other with float32\[12, 3\]": trained(loss, X + 1),
        r"the other with float32\[10, 3\]": trained(loss, X[:10]),
    }
    for said, other in others.items():
        with pytest.raises(ValueError, match=f"must be of one problem, but .*{said}"):
            one.concat(other)
    assert one.concat(trained(lambda w, batch: loss(w, batch), X.copy())).record.shape == (4,)  # the same, written again


def test_what_goes_on_elsewhere_is_refused():
    first = swept(adam(0.01, 0.1), steps=4, seeds=2)
    for other in (jopt.adam(0.05), adam(0.05, 0.1)):
        with pytest.raises(ValueError, match="but it has others"):
            first.concat(swept(other, first.best(), 4))
    with pytest.raises(ValueError, match='keep="best"'):
        first.concat(swept(first.best().optimizer, first.best(), 4, keep="best"))


def test_only_results_of_one_kind_are_joined():
    single, several = swept(adam(0.1)), swept({"adam": adam(0.1)})
    with pytest.raises(TypeError, match="concat takes another SweepResult, but got GroupedResult"):
        single.concat(several)
    with pytest.raises(TypeError, match=r"but got SweepResult; one group is joined by result\[name\]"):
        several.concat(single)

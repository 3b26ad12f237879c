"""``replace``: numbers keep the structure, other arguments make another value, as if it had been built so."""

import jax
import jax.numpy as jnp
import optax
import pytest

import jopt

OLD, NEW = jopt.cosine_decay_schedule(0.1, 100), jopt.cosine_decay_schedule(0.01, 500)


MASK = {"w": True, "b": False}


def _halved(step):
    return 0.1 * 0.5**step


CHANGES = {
    "a schedule by another": (jopt.adamw(OLD), {"learning_rate": NEW}, jopt.adamw(NEW)),
    "a schedule by a number": (jopt.adamw(OLD), {"learning_rate": 0.1}, jopt.adamw(0.1)),
    "a number of a schedule": (jopt.adamw(OLD), {"decay_steps": 200}, jopt.adamw(OLD.replace(decay_steps=200))),
    "a number by a function": (jopt.adamw(0.1), {"learning_rate": _halved}, jopt.adamw(_halved)),
    "None and a switch": (jopt.sgd(0.1), {"momentum": 0.9, "nesterov": True}, jopt.sgd(0.1, momentum=0.9, nesterov=True)),
    "a mask": (jopt.adamw(0.1), {"mask": MASK}, jopt.adamw(0.1, mask=MASK)),
    "two rates": (
        jopt.muon(0.1),
        {"adam_learning_rate": OLD, "learning_rate": NEW},
        jopt.muon(NEW, adam_learning_rate=OLD),
    ),
    "inside of a chain and a wrapper": (
        jopt.chain(jopt.clip(1.0), jopt.kahan(jopt.adam(OLD))),
        {"learning_rate": NEW, "kahan.optimizer.nesterov": True},
        jopt.chain(jopt.clip(1.0), jopt.kahan(jopt.adam(NEW, nesterov=True))),
    ),
    "one of several parts": (
        jopt.partition({"a": jopt.sgd(0.1), "b": jopt.adam(0.1)}, MASK),
        {"b.learning_rate": OLD},
        jopt.partition({"a": jopt.sgd(0.1), "b": jopt.adam(OLD)}, MASK),
    ),
    "of a schedule itself": (OLD, {"alpha": 0.1}, jopt.cosine_decay_schedule(0.1, 100, 0.1)),
    "of a lifted rule": (jopt.lift(optax.adam)(0.1), {"learning_rate": OLD}, jopt.lift(optax.adam)(OLD)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_replaced_argument_makes_the_value_that_would_have_been_built(case):
    before, changes, after = CHANGES[case]
    assert before.replace(**changes) == after


def test_a_schedule_in_the_place_of_another_goes_on_from_the_old_ones_state():
    w = jnp.ones(3)
    opt = jopt.sgd(jopt.cosine_decay_schedule(0.1, 2))
    state = opt.init(w)
    for _ in range(2):
        _, state = opt.update(w, state, w)
    longer = opt.replace(learning_rate=jopt.join_schedules([OLD, jopt.constant_schedule(0.5)], [2]))
    assert jnp.all(opt.update(w, state, w)[0] == 0.0)
    assert jnp.all(longer.update(w, state, w)[0] == -0.5)


def test_an_axis_of_structure_may_be_put_in():
    assert jopt.sgd(0.1).replace(nesterov=jopt.choice(False, True)).bound.arguments()["nesterov"].values == (False, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr": 0.1}, "chain: 'lr' names no number. The numbers here are .*adamw.learning_rate"),
        ({"lr": "high"}, "chain: 'lr' names no argument. The arguments here are .*adamw.mask"),
        (
            {"adamw": jopt.sgd(0.1)},
            r"replace\(adamw=...\) takes what stands for an argument of a rule.* build the value again: chain",
        ),
        ({"learning_rate": optax.sgd(0.1)}, r"replace\(learning_rate=...\) takes what stands for an argument of a rule"),
        ({"nesterov": "no"}, "adamw: nesterov must be True or False, but got 'no'"),
        ({"learning_rate": "high"}, "adamw: learning_rate must be a real number.* but got 'high'"),
        ({"weight_decay": -1.0}, r"adamw: weight_decay must lie in \[0, inf\)"),
    ],
)
def test_what_can_not_be_replaced_is_named(changes, says):
    with pytest.raises((TypeError, ValueError), match=says):
        jopt.chain(jopt.clip(1.0), jopt.adamw(OLD)).replace(**changes)


def test_numbers_keep_the_structure_and_schedules_do_not():
    opt = jopt.adamw(OLD)
    assert jax.tree.structure(opt.replace(init_value=0.3)) == jax.tree.structure(opt)
    assert jax.tree.structure(opt.replace(learning_rate=0.3)) != jax.tree.structure(opt)

"""Every number of every schedule as an axis, and every schedule joined with others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from tests.cases import name_of
from tests.schedule_cases import SCHEDULES

STEPS = np.arange(0, 2001, 13)


@jax.jit
def values(schedule, steps=STEPS):
    return jax.vmap(schedule)(steps)


def with_leaf(schedule, index, x):
    leaves, treedef = jax.tree.flatten(schedule)
    return treedef.unflatten([*leaves[:index], x, *leaves[index + 1 :]])


def neighbours(x):
    """A number and two others of its range."""
    return [0.5 * x, 0.9 * x, x] if x else [0.0, 0.25, 0.5]


NUMBERS = [
    pytest.param(case, i, id=f"{case.name}-{path}")
    for case in SCHEDULES
    for i, path in enumerate(case.make().bound.spec.paths)
    if "schedules" not in case.kwargs  # its parts have rows of their own
]


@pytest.mark.parametrize(("case", "index"), NUMBERS)
def test_each_number_mapped_gives_what_separate_schedules_give(case, index, x64):
    schedule = case.make()
    numbers = neighbours(jax.tree.leaves(schedule)[index])
    leaves, treedef = jax.tree.flatten(schedule)
    in_axes = treedef.unflatten([0 if i == index else None for i in range(len(leaves))])
    found = jax.vmap(lambda s: jax.vmap(s)(STEPS), in_axes=(in_axes,))(with_leaf(schedule, index, jnp.array(numbers)))
    alone = [values(with_leaf(schedule, index, x)) for x in numbers]
    np.testing.assert_allclose(found, alone, rtol=1e-11, atol=1e-13 * np.max(np.abs(alone)))


# Of one row for each schedule.
OF_EACH = {case.factory: case for case in reversed(SCHEDULES)}.values()


@pytest.mark.parametrize(("case", "index"), [number for number in NUMBERS if number.values[0] in OF_EACH])
def test_each_number_can_be_an_axis_of_a_sweep(case, index):
    schedule = case.make()
    numbers = neighbours(jax.tree.leaves(schedule)[index])
    stacked, in_axes = jopt.lanes(jopt.sgd(with_leaf(schedule, index, jopt.choice(*numbers))))

    def rates(opt):
        state, seen = opt.init(0.0), []
        for _ in range(3):
            update, state = opt.update(1.0, state, 0.0)
            seen.append(-update)
        return jnp.stack(seen)

    found = jax.vmap(rates, in_axes=(in_axes,))(stacked)
    alone = [values(with_leaf(schedule, index, x), np.arange(3)) for x in numbers]
    np.testing.assert_allclose(found, alone, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
def test_every_schedule_can_be_joined_before_and_behind_another(case):
    level, own = jopt.constant_schedule(0.7), case.make()
    first, second = jopt.join_schedules([own, level], [40]), jopt.join_schedules([level, own], [40])
    alone, at = values(own, np.arange(80)), np.arange(80)
    np.testing.assert_allclose(values(first, at), [*alone[:40], *[np.float32(0.7)] * 40], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(values(second, at), [*[np.float32(0.7)] * 40, *alone[:40]], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", SCHEDULES, ids=name_of)
@pytest.mark.parametrize("step", [0, 2**24 + 1, 2**31 - 1, 0.5, 1e12])
def test_the_value_is_finite_at_every_step(case, step):
    assert np.isfinite(float(case.make()(step)))
    assert np.isfinite(float(jax.jit(lambda s, t: s(t))(case.make(), step)))

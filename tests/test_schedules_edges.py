"""The schedules in phases and cycles at their edges: empty phases, boundaries, huge steps, numbers that make no sense."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt

LARGE = 2**24  # from here on float32 does not tell every step from the next
WHOLE_PARTS = [(0.26, 50, 13), (0.29, 100, 29), (0.3, 10, 3), (0.3, 101, 30), (0.57, 100, 57)]
CYCLE = {"init_value": 1.0, "peak_value": 1.0, "warmup_steps": 0, "decay_steps": 10}


def at(schedule, *steps):
    return [float(schedule(jnp.int32(t))) for t in steps]


def wsd(warmup, stable, decay, **more):
    return jopt.wsd_schedule(0.25, 1.0, warmup, stable, decay, **{"end_value": 0.5, **more})


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt"])
def test_an_empty_phase_is_passed_over(shape):
    assert at(wsd(0, 2, 2, shape=shape), 0, 1, 2, 4, 99) == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert at(wsd(2, 0, 2, shape=shape), 0, 1, 2, 4, 99) == [0.25, 0.625, 1.0, 0.5, 0.5]
    assert at(wsd(2, 2, 0, shape=shape), 0, 1, 2, 3, 4, 99) == [0.25, 0.625, 1.0, 1.0, 0.5, 0.5]
    assert at(wsd(0, 0, 0, shape=shape), 0, 1, 99) == [0.5, 0.5, 0.5]


def test_the_phases_meet_where_they_should_and_the_stable_one_is_exact():
    rate = jopt.wsd_schedule(0.0, 0.3, 10, 50, 20)
    assert {*at(rate, *range(10, 61))} == {float(np.float32(0.3))}
    assert at(rate, 9, 61) == pytest.approx([0.27, 0.285])
    assert at(rate, 80, 81) == [0.0, 0.0]


def test_a_longer_stable_phase_changes_nothing_else():
    short, long = wsd(5, 10, 20, shape="1-sqrt"), wsd(5, 1000, 20, shape="1-sqrt")
    assert at(short, *range(5)) == at(long, *range(5))
    assert at(short, *range(15, 40)) == at(long, *range(1005, 1030))


@pytest.mark.parametrize(
    ("shape", "half"), [("linear", 0.5), ("cosine", 0.5), ("1-sqrt", 1 - np.sqrt(0.5))], ids=["linear", "cosine", "1-sqrt"]
)
def test_the_shapes_of_the_decay_at_its_half(shape, half):
    assert at(jopt.wsd_schedule(0.0, 1.0, 0, 0, 100, shape=shape), 50) == pytest.approx([half], rel=1e-6)


def test_what_is_stable_for_ever_neither_decays_nor_wraps_round():
    for stable in (1e10, 1e30, 2**31 - 1):
        rate = jopt.wsd_schedule(0.0, 1.0, 1000, stable, 1000)
        assert at(rate, 0, 500, 1000, LARGE, 2**31 - 1) == [0.0, 0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("begin", [LARGE, LARGE + 1, 2**30 + 1])
def test_phases_begin_at_their_step_beyond_what_float32_holds(begin):
    assert at(jopt.wsd_schedule(0.0, 1.0, 10, begin - 10, 1), begin, begin + 1) == [1.0, 0.0]
    assert at(jopt.wsd_schedule(1.0, 1.0, begin, 0, 2), begin, begin + 1, begin + 2) == [1.0, 0.5, 0.0]
    restarted = jopt.sgdr_schedule([{**CYCLE, "decay_steps": begin}, {**CYCLE, "peak_value": 0.75}])
    assert at(restarted, begin - 1, begin) == pytest.approx([0.0, 0.75], abs=1e-6)


@pytest.mark.parametrize("k", [LARGE // 10, (2**31 - 1) // 10])
def test_cycles_keep_their_place_after_millions_of_steps(k):
    k -= k % 2  # "triangular" has a period of 20
    rate = jopt.cyclic_schedule(0.0, 1.0, 10)
    assert at(rate, *range(10 * k, min(10 * k + 7, 2**31 - 1))) == at(rate, *range(min(7, 2**31 - 1 - 10 * k)))


@pytest.mark.parametrize("size", [1000, 123_457, LARGE + 1])
def test_a_step_schedule_falls_at_whole_multiples(size):
    last = (2**31 - 1) // size * size  # as float32, it may be another one
    rate = jopt.step_schedule(1.0, size, 1.0 - 1e-5)
    before, now, later = at(rate, last - 1, last, last + min(size - 1, 2**31 - 1 - last))
    assert before > now == later


def test_a_cycle_may_have_no_way_up_or_no_way_down_or_no_length():
    assert at(jopt.cyclic_schedule(0.0, 1.0, 0, 4), *range(6)) == [1.0, 0.75, 0.5, 0.25, 1.0, 0.75]
    assert at(jopt.cyclic_schedule(0.0, 1.0, 4, 0), *range(6)) == [0.0, 0.25, 0.5, 0.75, 0.0, 0.25]
    assert at(jopt.cyclic_schedule(0.5, 1.0, 0), 0, 1, 99) == [0.5, 0.5, 0.5]


def test_cycles_of_a_fractional_length_are_counted_by_it():
    rate = jopt.cyclic_schedule(0.0, 1.0, 1.25)
    np.testing.assert_allclose(at(rate, *range(6)), [0.0, 0.8, 0.4, 0.4, 0.8, 0.0], atol=1e-6)


def test_an_inverse_root_falls_by_half_where_the_step_is_four_times_the_warmup():
    assert at(jopt.inverse_sqrt_schedule(0.0, 1.0, 100), 0, 50, 100, 400, 10_000) == pytest.approx([0, 0.5, 1, 0.5, 0.1])
    assert at(jopt.inverse_sqrt_schedule(0.0, 1.0, 0), 0, 3, 8) == pytest.approx([1.0, 0.5, 1 / 3])


@pytest.mark.parametrize("make", [jopt.cosine_onecycle_schedule, jopt.linear_onecycle_schedule])
def test_a_one_cycle_may_rise_to_its_end_or_start_at_its_peak(make):
    rising, falling = make(10, 1.0, pct_start=1.0), make(10, 1.0, pct_start=0.0)
    assert at(rising, 0, 10, 99) == pytest.approx([0.04, 4e-6, 4e-6])
    assert at(falling, 0, 10, 99) == pytest.approx([1.0, 4e-6, 4e-6])


def test_a_linear_one_cycle_that_would_be_back_before_its_peak_goes_straight_on_from_there():
    early = jopt.linear_onecycle_schedule(100, 1.0, pct_start=0.5, pct_final=0.2)
    assert at(early, *range(0, 101, 5)) == at(jopt.linear_onecycle_schedule(100, 1.0, 0.5, 0.5), *range(0, 101, 5))


@pytest.mark.parametrize(("part", "steps", "up"), WHOLE_PARTS)
def test_a_part_of_the_cycle_that_is_whole_but_for_rounding_is_whole(part, steps, up):
    found = at(jopt.cosine_onecycle_schedule(steps, 1.0, part), *range(steps))
    assert np.argmax(found) == up
    assert found[up] == 1.0


def test_another_number_of_any_of_them_compiles_nothing():
    count = []

    @jax.jit
    def value(schedule, step):
        count.append(1)
        return schedule(step)

    for pair in [
        (wsd(1, 2, 3), wsd(4, 5, 6)),
        (jopt.cyclic_schedule(0.1, 1.0, 3), jopt.cyclic_schedule(0.2, 2.0, 4)),
        (jopt.sgdr_schedule([CYCLE, CYCLE]), jopt.sgdr_schedule([CYCLE, {**CYCLE, "decay_steps": 7}])),
        (jopt.linear_onecycle_schedule(10, 1.0), jopt.linear_onecycle_schedule(20, 2.0, 0.1)),
    ]:
        count.clear()
        for schedule in pair:
            value(schedule, 5)
        assert len(count) == 1


def test_swept_cycles_of_warm_restarts_begin_each_at_its_own_step():
    swept = jopt.sgd(jopt.sgdr_schedule([{**CYCLE, "decay_steps": jopt.choice(2, 3)}, {**CYCLE, "peak_value": 0.5}]))
    stacked, in_axes = jopt.lanes(swept)

    def rates(opt):
        state, seen = opt.init(0.0), []
        for _ in range(4):
            update, state = opt.update(1.0, state, 0.0)
            seen.append(-update)
        return jnp.stack(seen)

    found = jax.vmap(rates, in_axes=(in_axes,))(stacked)
    assert found[0, 2] == found[1, 3] == 0.5
    assert found[1, 2] == pytest.approx(0.25)


BAD = {
    "wsd_schedule: warmup_steps must lie in": lambda: jopt.wsd_schedule(0.0, 1.0, -1, 10, 10),
    "wsd_schedule: stable_steps must lie in": lambda: jopt.wsd_schedule(0.0, 1.0, 1, float("inf"), 10),
    "wsd_schedule: decay_steps must be a number": lambda: jopt.wsd_schedule(0.0, 1.0, 1, 1, float("nan")),
    "wsd_schedule: shape must be one of": lambda: jopt.wsd_schedule(0.0, 1.0, 1, 1, 1, shape="square"),
    "rex_schedule: decay_steps must lie in": lambda: jopt.rex_schedule(1.0, -1),
    "inverse_sqrt_schedule: warmup_steps must lie in": lambda: jopt.inverse_sqrt_schedule(0.0, 1.0, -1),
    "cyclic_schedule: step_size_up must lie in": lambda: jopt.cyclic_schedule(0.0, 1.0, -1),
    "cyclic_schedule: gamma must lie in": lambda: jopt.cyclic_schedule(0.0, 1.0, 10, mode="exp_range", gamma=0.0),
    "cyclic_schedule: mode must be": lambda: jopt.cyclic_schedule(0.0, 1.0, 10, mode="square"),
    "step_schedule: step_size must lie in": lambda: jopt.step_schedule(1.0, 0),
    "cosine_onecycle_schedule: pct_start must lie in": lambda: jopt.cosine_onecycle_schedule(10, 1.0, jopt.choice(0.5, 1.5)),
    "linear_onecycle_schedule: pct_final must lie in": lambda: jopt.linear_onecycle_schedule(10, 1.0, 0.3, -0.1),
    "linear_onecycle_schedule: transition_steps must lie in": lambda: jopt.linear_onecycle_schedule(0, 1.0),
    "cosine_onecycle_schedule: div_factor must lie in": lambda: jopt.cosine_onecycle_schedule(10, 1.0, div_factor=0.0),
    "warmup_cosine_decay_schedule: decay_steps must lie in": lambda: jopt.sgdr_schedule(
        [CYCLE, {**CYCLE, "decay_steps": jopt.choice(5, 0)}]
    ),
    "sgdr_schedule takes at least one": lambda: jopt.sgdr_schedule([]),
}


@pytest.mark.parametrize("words", BAD)
def test_a_number_that_makes_no_sense_is_an_error_that_names_it(words):
    with pytest.raises(ValueError, match=words):
        BAD[words]()


def test_a_replaced_number_of_a_cycle_is_checked_too():
    restarted = jopt.sgdr_schedule([CYCLE, CYCLE])
    with pytest.raises(ValueError, match="decay_steps"):
        restarted.replace(**{"cosine_kwargs.0.decay_steps": -1.0})

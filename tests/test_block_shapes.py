"""Blocks of one job have one shape, so that one executable serves them, be they formed before a trial or behind it."""

import math
import types

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine.job import block_shape
from jopt.engine.lanes.table import Lanes, State
from jopt.engine.planning import planner
from jopt.engine.running import runtime

SIZES = {"settings": st.integers(1, 40), "seeds": st.integers(1, 7), "width": st.integers(1, 300), "workers": st.integers(1, 8)}


def lanes_of(settings, seeds):
    return Lanes(types.SimpleNamespace(space=types.SimpleNamespace(size=settings), seeds=range(seeds), first=0), [False])


@hypothesis.given(**SIZES, data=st.data())
@hypothesis.settings(max_examples=200)
def test_every_block_has_the_shape_whatever_lanes_are_left(settings, seeds, width, workers, data):
    shape = block_shape(width, settings, seeds, workers)
    assert math.prod(shape) <= width
    lanes = lanes_of(settings, seeds)
    first = lanes.form(shape)
    tried = data.draw(st.lists(st.sampled_from(first), unique_by=id))
    for block in tried:  # trials leave them paused, at steps of their own
        for lane in block.lanes:
            lanes.states[lane], lanes.steps[lane] = State.PAUSED, data.draw(st.integers(1, 3))
    for blocks in (first, lanes.form(shape)):
        assert {block.shape for block in blocks} == {shape}
        every = sorted(lane for block in blocks for lane in block.lanes)
        assert every == [(k, s) for k in range(settings) for s in range(seeds)]


@hypothesis.given(**SIZES)
@hypothesis.settings(max_examples=200)
def test_no_worker_waits_long_for_another_one_with_more_lanes(settings, seeds, width, workers):
    together, wide = block_shape(width, settings, seeds, workers)
    blocks = math.ceil(seeds / together) * math.ceil(settings / wide)
    takes = math.ceil(blocks / workers) * together * wide
    widest = (min(width // settings, seeds), settings) if width >= settings else (1, width)
    by_the_widest = math.ceil(seeds / widest[0]) * math.ceil(settings / widest[1])
    assert takes <= math.ceil(by_the_widest / workers) * math.prod(widest)


@pytest.mark.parametrize(
    ("of", "shape"),
    [
        ((8, 16, 1, 2), (1, 8)),
        ((100, 16, 1, 2), (1, 16)),
        ((8, 20, 1, 2), (1, 5)),  # four blocks of five, where three of seven would leave a worker without one at the end
        ((8, 20, 1, 1), (1, 7)),
        ((60, 20, 3, 2), (2, 20)),
        ((60, 20, 4, 2), (2, 20)),
        ((40, 20, 5, 2), (1, 20)),  # five in turns of two, where three of two seeds would take as long as four
        ((60, 20, 3, 1), (3, 20)),
        ((1, 1, 1, 4), (1, 1)),
    ],
)
def test_blocks_are_as_wide_as_they_can_without_leaving_a_worker_idle(of, shape):
    assert block_shape(*of) == shape


@pytest.mark.parametrize(("settings", "seeds"), [(5, 3), (7, 1), (3, 4)])
@pytest.mark.parametrize("width", [2, 3, 6, 8])
def test_a_measured_sweep_compiles_one_step_for_each_plan_that_it_tries(settings, seeds, width, monkeypatch):
    made = runtime.Executables()
    monkeypatch.setattr(runtime, "EXECUTABLES", made)
    plans = [jopt.Plan(width=width, loop="scan", workers=2), jopt.Plan(width=1, loop="scan", workers=2)]
    monkeypatch.setattr(planner, "propose", lambda problem, base, measure: plans)
    monkeypatch.setattr(planner, "_worth", lambda left, throughput, compile_s: False)
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    rates = jopt.sgd(jopt.geomspace(0.01, 0.1, settings))
    result = jopt.sweep(
        lambda w, x: jnp.mean((x @ w - 1) ** 2), jnp.ones(3), rates, x, batch_size=4, seeds=seeds, steps=200, progress=False
    )
    assert result.record.steps_done.min() == 200
    assert [name for name, *_ in made.compiled].count("scan_steps") == 1

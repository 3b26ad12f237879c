"""The engine's inside: plans, memory, switches in mid-run. What a sweep promises its users is in test_sweep_*."""

from __future__ import annotations

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jopt
from jopt.engine import machine
from jopt.engine.compiled import executables
from jopt.engine.data import sources
from jopt.engine.job import block_shape
from jopt.engine.lanes.names import names_of
from jopt.engine.lanes.outcome import BlockOutcome
from jopt.engine.lanes.table import Lanes, State
from jopt.engine.planning import fitting, planner, remembered
from jopt.engine.planning.plan import Plan
from jopt.engine.running import runtime
from jopt.engine.running.trials import Trials
from jopt.engine.running.worker import LocalWorker
from jopt.expanding import expand

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)
Y = (X @ np.array([1.0, -2.0, 0.5], np.float32)).astype(np.float32)
RATES = jopt.geomspace(1e-3, 1e-1, 11)


def loss(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def evaluate(w):
    return {"size": jnp.sum(w**2)}


def run(plan="auto", steps=40, **kwargs):
    options = {"batch_size": 2, "seeds": 2, "evaluate": evaluate, "progress": False, **kwargs}
    return jopt.sweep(loss, jnp.zeros(3), jopt.adam(RATES), (X, Y), steps=steps, plan=plan, **options)


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("JOPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(remembered, "_plans", {})


@pytest.fixture(scope="module")
def alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "remember", lambda name, known: None)
        return run(Plan(width=1, loop="host", workers=1))


def same(result, other):
    for name in ("loss", "size"):
        np.testing.assert_allclose(result.dataset[name], other.dataset[name], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(result.params, other.params, rtol=2e-5, atol=1e-6)
    assert (result.dataset.steps_done == other.dataset.steps_done).all()


@pytest.mark.parametrize(("settings", "seeds", "width"), [(11, 2, 4), (11, 3, 22), (1, 5, 2), (7, 1, 100), (9, 1, 8)])
def lanes_of(settings, seeds):
    space = expand(jopt.sgd(jopt.geomspace(1e-3, 1e-1, settings)))
    return Lanes(types.SimpleNamespace(space=space, seeds=range(seeds), first=0), [False])


@pytest.mark.parametrize(("settings", "seeds", "width"), [(11, 2, 4), (11, 3, 22), (1, 5, 2), (7, 1, 100), (9, 1, 8)])
def test_blocks_cover_every_lane_once_and_none_is_wider_than_asked(settings, seeds, width):
    blocks = lanes_of(settings, seeds).form(block_shape(width, settings, seeds, 2))
    lanes = [lane for block in blocks for lane in block.lanes]
    assert sorted(lanes) == [(k, s) for k in range(settings) for s in range(seeds)]
    assert all(block.settings.size <= max(width, 1) for block in blocks)


def test_lanes_at_different_steps_never_share_a_block_and_dead_ones_are_in_none():
    lanes = lanes_of(6, 2)
    lanes.steps[[0, 3, 5], 0] = 7
    lanes.states[2, 1] = State.DEAD
    blocks = lanes.form(block_shape(4, 6, 2, 2))
    for block in blocks:
        assert {int(lanes.steps[lane]) for lane in block.lanes} == {block.step}
    found = sorted(lane for block in blocks for lane in block.lanes)
    assert found == [(k, s) for k in range(6) for s in range(2) if (k, s) != (2, 1)]


def test_a_paused_lane_goes_on_in_another_block_where_it_stood():
    lanes = lanes_of(5, 2)
    (whole,) = lanes.form((2, 5))
    lanes.take(whole)
    whole.carry, whole.step = [np.arange(10.0).reshape(2, 5)], 3
    lanes.pause(whole)
    assert lanes.in_state(State.PAUSED).all()
    for block in lanes.form((1, 2)):
        lanes.take(block)
        assert block.step == 3
        values = block.by_lane(block.carry[0])[block.real.ravel()]
        assert values.tolist() == [5 * seed + setting for setting, seed in block.lanes]


def test_a_lane_keeps_its_identity_in_another_grid_and_no_two_lanes_share_one():
    def space(optimizer):
        return expand(optimizer).spaces[0]

    narrow, wide = (space(jopt.adam(jopt.choice(*rates))) for rates in ((0.1, 0.2), (0.05, 0.1, 0.2)))
    assert names_of(narrow, [3])[0] == names_of(wide, [3])[1]
    names = [name for setting in names_of(wide, range(3)) for name in setting]
    assert len(set(names)) == 9
    assert names_of(wide, [0], "another problem")[0][0] not in names
    assert names_of(space(jopt.sgd(jopt.choice(0.1, 0.2))), [3])[0] != names_of(narrow, [3])[0]
    assert names_of(space(jopt.adam(jopt.choice(0.1, 0.2), nesterov=True)), [3])[0] != names_of(narrow, [3])[0]
    fixed = space(jopt.adam(0.1, b1=jopt.choice(0.9, 0.95)))
    assert names_of(fixed, [3])[0] == names_of(narrow, [3])[0]


@pytest.fixture
def tried(monkeypatch):
    """The plans that trials have measured, each with the lane-steps that were left."""
    measured, real = [], Trials.__call__
    monkeypatch.setattr(Trials, "__call__", lambda self, plan: measured.append((plan, self.left)) or real(self, plan))
    return measured


def test_a_switch_of_plan_in_mid_run_changes_no_result(alone, tried, monkeypatch):
    monkeypatch.setattr(planner, "_worth", lambda left, throughput, compile_s: True)
    candidates = [
        Plan(width=3, loop="scan"),
        Plan(width=1, loop="host"),
        Plan(width=22, loop="scan"),
        Plan(width=5, loop="scan"),
    ]
    monkeypatch.setattr(planner, "propose", lambda problem, base, measure: candidates)
    result = run()
    assert [plan for plan, _ in tried] == candidates
    assert tried[-1][1] < 22 * 40  # what was measured were steps of the run
    same(result, alone)
    assert "lane-steps per second" in str(result.plan)


def test_the_planner_measures_once_and_then_remembers(tried, monkeypatch):
    monkeypatch.setattr(planner, "_worth", lambda left, throughput, compile_s: True)
    run(seeds=1)
    tried.clear()
    assert "measured before" in run(seeds=1).plan.reason
    assert tried == []


def test_a_short_sweep_tries_one_plan_only(tried):
    run(seeds=1)
    assert len(tried) == 1


def test_plans_outlive_the_process_on_disk_and_spoilt_ones_are_ignored(monkeypatch, tmp_path):
    run(seeds=1)
    (file,) = (tmp_path / "plans").glob("*.json")
    monkeypatch.setattr(remembered, "_plans", {})
    assert remembered.recall(file.stem).width >= 1
    for spoilt in ("", "{", "[]", json.dumps({"width": 0}), file.read_text().replace("scan", "spin")):
        file.write_text(spoilt)
        assert remembered.recall(file.stem) is None
    run(seeds=1)
    assert remembered.recall(file.stem) is not None


def test_an_unwritable_cache_directory_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JOPT_CACHE_DIR", str(tmp_path / "file"))
    run(seeds=1)


def test_width_is_bounded_by_what_the_device_has(monkeypatch, alone):
    free = run(Plan(loop="scan")).plan.width
    assert free > 2
    monkeypatch.setattr(fitting, "UNDOUBTED", 0.0)
    monkeypatch.setattr(remembered, "_plans", {})
    monkeypatch.setattr(remembered, "recall", lambda name: None)
    per_block = []
    real = Trials.block_bytes

    def block_bytes(self, width, loop):
        per_block.append((width, real(self, width, loop)))
        return 1000.0 + 100.0 * width

    monkeypatch.setattr(Trials, "block_bytes", block_bytes)
    monkeypatch.setattr(machine, "budget", lambda device: 2 * 1200.0)
    result = run(Plan(loop="scan"))
    assert result.plan.width == 2
    (narrow, at_narrow), (wide, at_wide) = per_block[:2]
    assert wide > narrow
    assert at_wide > at_narrow > 0  # XLA's own account grows with the width
    same(result, alone)


def failing(monkeypatch, fails, error, after=0):
    """Workers that take some blocks no further than a few steps, and then say that something went wrong."""
    real = LocalWorker.__call__

    def run_block(self, block, until, *args):
        if not fails(block):
            return real(self, block, until, *args)
        made = real(self, block, min(until, block.step + after), *args)
        return BlockOutcome(block, made.records, made.evaluations, error=error)

    monkeypatch.setattr(LocalWorker, "__call__", run_block)


NO_MEMORY = RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")


@pytest.mark.parametrize("widest", [11, 22])  # lanes of one seed, and of both
@pytest.mark.parametrize("record_every", [1, 7])
def test_out_of_memory_halves_the_width_and_goes_on(monkeypatch, alone, widest, record_every):
    widths = []
    failing(monkeypatch, lambda block: widths.append(int(block.real.sum())) or block.real.sum() > 3, NO_MEMORY, after=5)
    result = run(Plan(width=widest, loop="scan", workers=1), record_every=record_every)
    assert max(widths) == widest
    assert min(widths) <= 3
    if record_every == 1:
        same(result, alone)
    np.testing.assert_allclose(result.dataset.loss[..., 0], alone.dataset.loss.values[..., :record_every].mean(-1), rtol=2e-5)


def test_out_of_memory_while_measuring_halves_the_candidate(monkeypatch, alone):
    failing(monkeypatch, lambda block: block.real.sum() > 6, NO_MEMORY)
    candidates = [Plan(width=22, loop="scan"), Plan(width=9, loop="scan")]
    monkeypatch.setattr(planner, "propose", lambda problem, base, measure: candidates)
    result = run()
    assert result.plan.width <= 6
    same(result, alone)


def test_out_of_memory_of_a_single_lane_is_the_users_to_hear(monkeypatch):
    failing(monkeypatch, lambda block: True, NO_MEMORY)
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        run(Plan(width=2, loop="scan", workers=2))


def test_one_executable_serves_all_workers_and_blocks(monkeypatch):
    made = runtime.Executables()
    monkeypatch.setattr(runtime, "EXECUTABLES", made)
    run(Plan(width=3, loop="scan", workers=2))
    names = [name for name, *_ in made.compiled]
    assert names.count("scan_steps") == 1
    assert names.count("evaluate") == 1
    assert names.count("start") == 1


def test_convolutions_run_lane_by_lane_from_the_host_on_a_cpu_and_in_one_block_first_elsewhere():
    def conv_loss(kernel, batch):
        return jnp.mean(jax.lax.conv(jnp.ones((1, 1, 4, 4)), kernel, (1, 1), "SAME") ** 2)

    kernel = jnp.ones((1, 1, 3, 3))
    rates = jopt.choice(0.1, 0.2, 0.3)
    result = jopt.sweep(conv_loss, kernel, jopt.sgd(rates), steps=4, workers=1, progress=False)
    on_cpu, elsewhere = [(1, "host")], [(3, "host"), (3, "scan"), (1, "host")]
    assert (result.plan.width, result.plan.loop) in (on_cpu if jax.default_backend() == "cpu" else elsewhere)


@pytest.mark.parametrize("bad", [{"width": 0}, {"chunk": -1}, {"workers": 1.5}, {"loop": "while"}])
def test_a_plan_that_makes_no_sense_is_an_error(bad):
    with pytest.raises(ValueError, match=f"Plan: {next(iter(bad))} must be"):
        jopt.Plan(**bad)


def test_an_error_in_a_worker_reaches_the_caller_and_ends_the_others(monkeypatch):
    failing(monkeypatch, lambda block: 5 in block.settings, FloatingPointError("one block fails"))
    with pytest.raises(FloatingPointError, match="one block fails"):
        run(Plan(width=2, loop="scan", workers=2))


def test_the_same_sweep_again_measures_nothing_and_a_much_longer_one_looks_further(tried, monkeypatch):
    monkeypatch.setattr(planner, "_worth", lambda *state: False)  # every run is too short for a second candidate
    run(seeds=1)
    assert len(tried) == 1
    run(seeds=1)
    run(seeds=1, steps=80)
    assert len(tried) == 1
    run(seeds=1, steps=81)
    assert len(tried) == 2


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="XLA's own threads are the CPU's")
@pytest.mark.parametrize(("width", "workers", "one_thread"), [(2, 2, True), (2, 1, False), (6, 2, False)])
def test_blocks_side_by_side_keep_to_one_thread_each_and_a_block_alone_does_not(monkeypatch, width, workers, one_thread):
    asked, real = [], executables._compile
    monkeypatch.setattr(executables, "_compile", lambda lowered, options: asked.append(options) or real(lowered, options))
    optimizer = jopt.sgd(jopt.geomspace(1e-4, 1e-1, 6))
    plan = Plan(width=width, loop="scan", workers=workers)
    jopt.sweep(lambda w, batch: jnp.sum(w**2), jnp.ones(3000), optimizer, steps=4, plan=plan, progress=False)
    assert any(executables.ONE_THREAD.items() <= options.items() for options in asked) is one_thread


def test_a_compiler_that_does_not_know_an_option_compiles_without_it():
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    assert executables._compile(lowered, {"xla_no_such_option_at_all": True})(1.0) == 2.0


def test_blocks_of_the_same_seeds_share_the_rows_of_a_chunk(monkeypatch, alone):
    asked, real = [], runtime.Runtime.rows
    made, drawn = [], sources.Minibatches.rows
    monkeypatch.setattr(runtime.Runtime, "rows", lambda job, *args: asked.append(args[1:3]) or real(job, *args))
    monkeypatch.setattr(sources.Minibatches, "rows", lambda feed, *args: made.append(args) or drawn(feed, *args))
    same(run(Plan(width=3, chunk=10, loop="scan", workers=2)), alone)  # eight blocks, four to a seed
    chunks = [args for args in made if args[-1] > 1]
    assert len(chunks) == len(set(chunks))
    assert len(asked) >= 4 * len(chunks) > 0


def test_rows_that_could_not_be_made_are_made_anew_for_narrower_blocks(monkeypatch, alone):
    failed, real = [], sources.Minibatches.rows

    def rows(feed, seed, step, length):
        if step == 20 and not failed:
            failed.append(step)
            raise MemoryError("out of memory")
        return real(feed, seed, step, length)

    monkeypatch.setattr(sources.Minibatches, "rows", rows)
    same(run(Plan(width=11, chunk=10, loop="scan", workers=1)), alone)
    assert failed


def test_a_plan_that_was_found_before_does_not_overrule_what_is_asked_for():
    assert run().plan.loop == "scan"
    assert run(Plan(loop="host")).plan.loop == "host"


def test_each_call_traces_the_loss_once_whatever_the_widths_and_loops():
    traces = []

    def counted(w, batch):
        traces.append(jnp.shape(batch[0]))
        return 3 * loss(w, batch)

    for plan in (Plan(width=1, loop="host"), Plan(width=3, loop="scan"), Plan(width=11, loop="scan")):
        jopt.sweep(counted, jnp.zeros(3), jopt.adam(RATES), (X, Y), steps=6, batch_size=2, plan=plan, progress=False)
    assert len(traces) == 3


@pytest.mark.parametrize("convolutions", [0, 2])
def test_an_accelerator_is_offered_all_its_lanes_in_one_block_first(convolutions):
    costs = types.SimpleNamespace(convolutions=convolutions)
    assert [(width, loop) for width, loop, _ in planner._on_accelerator(costs, 6, 2, 100, 2)] == [(6, "scan"), (1, "scan")]


def rule(flops, carry_bytes, steps, settings=1024, arrays=3):
    costs = types.SimpleNamespace(convolutions=0, flops=flops, carry_bytes=carry_bytes, common=[False] * arrays)
    return planner._on_cpu(costs, settings, 1, steps, 2)[0]


def test_blocks_of_few_steps_are_wider_than_the_cache_would_have_them():
    assert rule(3e7, 2**20, 1000)[0] == 4
    width, _, why = rule(3e6, 2**20, 4)
    assert width > 4
    assert "4 steps" in why


def test_blocks_of_many_arrays_are_wider_because_each_array_costs_something_to_start():
    few, many = rule(0.0, 2**20, 200), rule(0.0, 2**20, 200, arrays=3000)
    assert many[0] > few[0]


def test_large_lanes_without_a_product_fit_the_cache_too():
    assert rule(0.0, 2**18, 1000)[0] == 16


@pytest.mark.parametrize(
    ("compiling", "seconds"), [([], 0), ([(5, 6), (0, 2), (1, 3)], 4), ([(0, 4), (1, 2)], 4), ([(0, 1), (1, 2)], 2)]
)
def test_the_seconds_of_compiling_count_once_where_threads_compile_at_the_same_time(compiling, seconds):
    compiler = runtime.Compiler(runtime.EXECUTABLES, runtime.Caller())
    compiler._spans = compiling
    assert compiler.seconds == seconds


def test_the_default_device_may_be_given_by_its_platform(monkeypatch):
    monkeypatch.setattr(machine.jax, "local_devices", lambda backend="gpu": [types.SimpleNamespace(platform=backend)])
    assert [d.platform for d in machine.devices_for(2)] == ["gpu", "gpu"]
    with jax.default_device("cpu"):
        assert [d.platform for d in machine.devices_for(2)] == ["cpu", "cpu"]


@pytest.mark.parametrize(("size", "given_back"), [(10, 0), (2 * 2**20, 3)])
def test_what_blocks_of_large_lanes_leave_behind_is_given_back_after_each(monkeypatch, size, given_back):
    calls, real = [], machine.give_back
    monkeypatch.setattr(machine, "give_back", lambda: calls.append(real()))
    optimizer = jopt.adam(jopt.choice(0.1, 0.2, 0.3))
    jopt.sweep(lambda w, batch: jnp.sum(w**2), jnp.ones(size), optimizer, steps=2, plan=Plan(width=1), progress=False)
    assert len(calls) == given_back


@pytest.mark.parametrize("library", ["nothing", OSError])
def test_where_the_c_library_can_not_give_memory_back_nothing_happens(monkeypatch, library):
    def load(name):
        if library is OSError:
            raise OSError("no such library")
        return object()

    monkeypatch.setattr(machine.ctypes, "CDLL", load)
    machine._trim.cache_clear()
    try:
        assert machine._trim() is None
        machine.give_back()
    finally:
        machine._trim.cache_clear()


@pytest.mark.parametrize(("steps", "eval_every", "stride"), [(48, 12, 12), (40, 20, 20), (39, 13, 13), (41, 10, 1)])
def test_steps_in_strides_as_on_an_accelerator_give_the_same_numbers(monkeypatch, steps, eval_every, stride):
    arguments = {"steps": steps, "evaluate": evaluate, "eval_every": eval_every}
    plan = Plan(width=11, loop="scan", workers=1)
    plain, strides = run(plan, **arguments), []
    made = runtime.Runtime.__init__

    def on_an_accelerator(self, job, *args):
        made(self, job, *args)
        self.stride = job.stride(runtime.FIRST_CHUNK)
        strides.append(self.stride)

    monkeypatch.setattr(runtime.Runtime, "__init__", on_an_accelerator)
    strided = run(plan, **arguments)
    assert strides == [stride]
    np.testing.assert_array_equal(strided.record.losses["loss"], plain.record.losses["loss"])
    np.testing.assert_array_equal(strided.record.metrics["size"], plain.record.metrics["size"])
    np.testing.assert_array_equal(strided.params, plain.params)

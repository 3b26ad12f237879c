"""Remembered plans: whatever lies in their directory, a sweep runs, and no plan passes what is asked for or what fits."""

import json
import os
import pathlib
import pwd

import jax.numpy as jnp
import pytest

import jopt
from jopt.engine import machine
from jopt.engine.planning import fitting, planner
from jopt.engine.planning import remembered as memory
from jopt.engine.planning.plan import Plan
from jopt.engine.running.trials import Trials

GOOD = {"width": 2, "loop": "scan", "throughput": 1e5, "compile_s": 0.1, "explored": True, "lane_steps": 100}


def run(plan="auto", rates=11, seeds=1):
    optimizer = jopt.adam(jopt.geomspace(1e-3, 1e-1, rates))
    return jopt.sweep(lambda w, _: jnp.sum(w**2), jnp.ones(3), optimizer, steps=12, seeds=seeds, plan=plan, progress=False)


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    """An empty directory, and nothing remembered in the process."""
    monkeypatch.setenv("JOPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(memory, "_plans", {})


@pytest.fixture
def remembered(tmp_path):
    """The file with the plan of ``run()``, which the process has forgotten."""
    run()
    memory.forget()
    (file,) = (tmp_path / "plans").iterdir()
    return file


def spoilt():
    """Contents that are not a plan's: the wrong text, the wrong tree, and each entry with values of the wrong kind."""
    yield from ("", "{", "null", "[]", "3", '"scan"', "[" * 100_000, "\x00\xff", json.dumps({"width": 0}), json.dumps([GOOD]))
    yield json.dumps({**GOOD, "another": 1})
    for name in GOOD:
        yield json.dumps({k: v for k, v in GOOD.items() if k != name})
        for value in (None, [], {}, [[[3]]], "", "2", -1, float("nan"), float("inf"), -float("inf"), 10**400):
            yield json.dumps({**GOOD, name: value})
    for name in ("width", "lane_steps"):
        for value in (0, 0.5, 2.5, 1e308, True):
            yield json.dumps({**GOOD, name: value})
    for name in ("throughput", "compile_s"):
        for value in (0, 0.0, -0.5, True, 10**308):
            yield json.dumps({**GOOD, name: value})
    yield json.dumps({**GOOD, "explored": 1})
    yield json.dumps({**GOOD, "loop": "spin"})


def test_a_plan_is_read_back_and_every_spoilt_one_counts_as_unknown(tmp_path):
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(GOOD))
    assert memory.recall("a") == memory.Known(**GOOD)
    known = [text for text in spoilt() if (folder / "b.json").write_text(text) and memory.recall("b") is not None]
    assert known == []


@pytest.mark.parametrize("name", ["width", "lane_steps"])
@pytest.mark.parametrize(
    "value", [None, -2.5, float("inf"), [[3]], 10**400], ids=["null", "fraction", "infinity", "nested", "huge"]
)
def test_a_sweep_runs_as_if_a_spoilt_plan_was_not_there(remembered, name, value):
    remembered.write_text(json.dumps({**json.loads(remembered.read_text()), name: value}))
    assert "measured before" not in run().plan.reason
    assert memory.recall(remembered.stem).width >= 1


def test_a_plan_in_a_directory_of_its_name_is_unknown(remembered):
    remembered.unlink()
    remembered.mkdir()
    assert "measured before" not in run().plan.reason


def test_a_remembered_plan_is_kept_whole_and_alone(remembered):
    assert json.loads(remembered.read_text()).keys() == GOOD.keys()
    assert [path.suffix for path in remembered.parent.iterdir()] == [".json"]


def test_a_home_directory_may_be_meant_by_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JOPT_CACHE_DIR", "~/x")
    assert memory.directory() == tmp_path / "x" / "plans"
    run()
    assert list((tmp_path / "x" / "plans").glob("*.json"))
    monkeypatch.delenv("JOPT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert memory.directory() == tmp_path / ".cache" / "jopt" / "plans"


@pytest.mark.parametrize("given", [None, "~/x", "~no-such-user-at-all/x", "nul\0"])
def test_without_a_home_directory_plans_are_remembered_in_the_process_only(monkeypatch, given):
    def unknown(user):
        raise KeyError("no entry")

    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "JOPT_CACHE_DIR", "XDG_CACHE_HOME")}
    monkeypatch.setattr(os, "environ", environment if given is None else {**environment, "JOPT_CACHE_DIR": given})
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    if given is None:
        with pytest.raises(RuntimeError):
            pathlib.Path.home()
    run()
    assert run().plan.reason == "measured before"


@pytest.mark.parametrize(("remembered_width", "fits"), [(11, 2), (2, 2), (1, 1)])
def test_a_remembered_width_never_passes_the_memory_that_is_free_now(monkeypatch, remembered_width, fits):
    monkeypatch.setattr(memory, "recall", lambda name: memory.Known(**{**GOOD, "width": remembered_width}))
    narrow = [Plan(width=2, loop="scan"), Plan(width=1, loop="scan")]  # what there is memory for now
    monkeypatch.setattr(planner, "propose", lambda problem, base, measure: narrow)
    monkeypatch.setattr(fitting, "UNDOUBTED", 0.0)
    monkeypatch.setattr(Trials, "block_bytes", lambda self, width, loop: 1000.0 + 100.0 * width)
    monkeypatch.setattr(machine, "budget", lambda device: 1200.0)
    result = run(Plan(workers=1))
    assert (result.plan.width, result.plan.reason) == (fits, "measured before")


@pytest.mark.parametrize("width", [12, 2**52])
def test_a_remembered_width_never_passes_the_lanes_that_there_are(remembered, width):
    remembered.write_text(json.dumps({**GOOD, "width": width}))
    assert (run().plan.width, run().plan.reason) == (11, "measured before")


def test_a_remembered_plan_does_not_overrule_what_is_asked_for(monkeypatch):
    monkeypatch.setattr(memory, "recall", lambda name: memory.Known(**{**GOOD, "width": 11, "loop": "host"}))
    assert run(Plan(width=2)).plan.width == 2
    assert run(Plan(loop="scan")).plan.loop == "scan"

"""``workers=jopt.Slice(...)``: several processes share a sweep by a directory. Most of it in one process, one after another.

``python -m tests.sliced --all`` kills slices in each phase with two and three processes.
"""

import errno
import functools
import os
import signal
import threading

import numpy as np
import pytest

import jopt
from jopt.sweeps import holding
from jopt.sweeps.holding import Held
from jopt.sweeps.sharing import Sharing
from tests import sliced
from tests.test_checkpoint import STEPS, SWEEPS, assert_same, interrupted, lane_steps, other_loss, pruning, swept


def part(directory, index, count, **more):
    """One slice of the small sweep."""
    return swept(directory, workers=jopt.Slice(index, count, more.pop("take_over", False)), **more)


def cut(directory, index, count, **more):
    """A slice that a callback ends in its midst."""
    interrupted(directory, workers=jopt.Slice(index, count), **more)


def aged(directory, name, seconds=1000):
    """The file of a slice is as one from which nothing was heard for long."""
    (file,) = [each for each in directory.iterdir() if each.name.startswith(name)]
    at = file.stat().st_mtime - seconds
    os.utime(file, (at, at))
    return file


@functools.cache
def alone(**more):
    """The small sweep in one process, without a directory."""
    return swept(**more)


def files(directory):
    return sorted(each.name.rpartition("-")[0] or each.name for each in directory.iterdir())


# The parts and the whole


def test_each_slice_trains_its_lanes_and_the_last_has_all_of_them(tmp_path):
    first = part(tmp_path, 0, 2)
    assert not first.complete
    assert first.record.steps_done.T.tolist() == [[STEPS, 0, STEPS], [0, STEPS, 0]]
    assert np.isnan(first.record.losses["loss"][1, 0]).all()
    assert_same(first, jopt.load_result(tmp_path))
    second, whole = part(tmp_path, 1, 2), alone()
    assert second.complete
    assert [lane_steps(x) for x in (first, second)] == [3 * STEPS, 3 * STEPS]
    assert_same(second, whole)
    assert_same(jopt.load_result(tmp_path), whole)
    again = part(tmp_path, 0, 2)
    assert (again.complete, lane_steps(again)) == (True, 0)
    assert_same(again, whole)
    assert files(tmp_path) == ["lock", "slice-0-of-2", "slice-1-of-2"]  # a file that somebody goes on with is no more


def test_parameters_of_an_incomplete_result_are_those_of_lanes_that_have_ended(tmp_path):
    first, whole = part(tmp_path, 0, 2, seeds=1), swept(seeds=1)
    for found in (first, jopt.load_result(tmp_path)):
        np.testing.assert_array_equal(found.params["w"][0, 0], whole.params["w"][0, 0])
        assert np.isnan(found.params["w"][1, 0]).all()
        best = found.best()
        assert best.hyperparams["learning_rate"] in (0.01, 0.03)
        assert np.isfinite(best.params["w"]).all()


SHARED = {name: SWEEPS[name] for name in ("carry", "best", "nothing", "structure", "groups", "drawn", "plateau")}


@pytest.mark.parametrize("name", SHARED)
def test_whatever_is_swept_comes_to_the_same_in_slices(tmp_path, name):
    more = SHARED[name]
    if name in ("carry", "groups"):
        cut(tmp_path, 1, 2, **more)
    parts = [part(tmp_path, i, 2, **more) for i in range(2)]
    whole = swept(**more)
    assert parts[1].complete
    assert_same(parts[1], whole)
    assert_same(jopt.load_result(tmp_path), whole)
    if name not in ("carry", "groups"):
        assert sum(map(lane_steps, parts)) == lane_steps(whole)


def test_more_slices_than_lanes_and_one_slice_are_no_special_cases(tmp_path):
    empty = part(tmp_path, 7, 8)
    assert not empty.record.steps_done.any()
    with pytest.raises(ValueError, match="had not come to its end"):
        empty.params_at((0,))
    assert_same(part(tmp_path, 0, 1), alone())


# Missing lanes


def test_a_slice_that_was_ended_goes_on_and_trains_what_is_missing(tmp_path):
    cut(tmp_path, 0, 2, eval_every=10)
    left = (STEPS - jopt.load_result(tmp_path).record.steps_done[::2, 0]).sum()
    on = part(tmp_path, 0, 2, eval_every=10)
    assert 0 < lane_steps(on) < 3 * STEPS
    assert lane_steps(on) >= left
    assert_same(part(tmp_path, 1, 2, eval_every=10), alone(eval_every=10))


@pytest.mark.parametrize("count", [3, None], ids=["three slices", "no slices"])
def test_another_count_runs_exactly_the_missing_lanes(tmp_path, count):
    part(tmp_path, 0, 2)
    cut(tmp_path, 1, 2, eval_every=10)
    done = int(jopt.load_result(tmp_path).record.steps_done.sum())
    parts = [part(tmp_path, i, count, eval_every=10) for i in range(count)] if count else [swept(tmp_path, eval_every=10)]
    assert sum(map(lane_steps, parts)) == 6 * STEPS - done
    assert parts[-1].complete
    for found in (parts[-1], jopt.load_result(tmp_path)):
        np.testing.assert_array_equal(found.record.losses["loss"], alone().record.losses["loss"])
        np.testing.assert_array_equal(found.params["w"], alone().params["w"])
    if count is None:  # then all of it is in one file
        for file in tmp_path.glob("slice-*"):
            file.unlink()
        assert lane_steps(swept(tmp_path, eval_every=10)) == 0
        assert jopt.load_result(tmp_path).complete


def test_slices_go_on_with_a_sweep_that_one_process_began(tmp_path):
    interrupted(tmp_path, eval_every=10)
    done = int(jopt.load_result(tmp_path).record.steps_done.sum())
    parts = [part(tmp_path, i, 2, eval_every=10) for i in range(2)]
    assert sum(map(lane_steps, parts)) == 6 * STEPS - done
    assert_same(parts[1], alone(eval_every=10))


def test_further_settings_seeds_and_steps_run_alone_and_the_latest_grid_is_shown(tmp_path):
    for i in range(2):
        part(tmp_path, i, 2, eval_every=10)
    wider = {"rates": (0.01, 0.015, 0.02, 0.03), "seeds": 3, "steps": STEPS + 10, "eval_every": 10}
    parts = [part(tmp_path, i, 2, **wider) for i in range(2)]
    assert sum(map(lane_steps, parts)) == 12 * (STEPS + 10) - 6 * STEPS
    assert_same(parts[1], swept(**wider))
    assert_same(jopt.load_result(tmp_path), parts[1])


# Taking over


def test_lanes_of_a_process_that_fell_silent_are_taken_over_on_request(tmp_path):
    part(tmp_path, 0, 2)
    cut(tmp_path, 1, 2)
    done = int(jopt.load_result(tmp_path).record.steps_done.sum())
    assert not part(tmp_path, 0, 2).complete
    found = part(tmp_path, 0, 2, take_over=True)
    assert found.complete
    assert lane_steps(found) == 6 * STEPS - done
    assert_same(found, alone())


def test_lanes_of_processes_that_never_began_are_taken_over(tmp_path):
    found = part(tmp_path, 1, 3, take_over=True)
    assert found.complete
    assert lane_steps(found) == 6 * STEPS
    assert_same(found, alone())
    assert lane_steps(part(tmp_path, 0, 3)) == 0


def test_lanes_of_a_process_that_lives_are_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr("jopt.sweeps.sharing.ENDED", "never")  # they end as if they were killed
    cut(tmp_path, 1, 2)
    assert not part(tmp_path, 0, 2, take_over=True).complete
    aged(tmp_path, "slice-1-of-2")
    assert part(tmp_path, 0, 2, take_over="15min").complete


def test_of_two_that_take_the_same_lanes_over_one_gives_way(tmp_path, monkeypatch):
    monkeypatch.setattr("jopt.sweeps.sharing.ENDED", "never")  # each takes the other for one that lives
    found, claim = [], Sharing._claim

    def beside(self):  # a third process comes to its end at the same moment, and takes the same lanes over
        claim(self)
        if self.turns == 1 and not found:
            found.append(None)
            found[0] = part(tmp_path, 2, 3, take_over=True)

    monkeypatch.setattr(Sharing, "_claim", beside)
    first = part(tmp_path, 0, 3, take_over=True)
    assert lane_steps(first) + lane_steps(found[0]) == 6 * STEPS
    assert first.complete or found[0].complete
    assert_same(jopt.load_result(tmp_path), alone())


# Pruning


@pytest.mark.parametrize("first", [0, 1])
def test_slices_prune_within_what_has_been_published_by_all(tmp_path, first):
    whole = pruning(None)
    parts = [pruning(tmp_path, workers=jopt.Slice(i, 2)) for i in (first, 1 - first)]
    assert parts[1].complete
    assert_same(jopt.load_result(tmp_path), parts[1])
    pruned = np.isfinite(parts[1].record.pruned_at[:, 0])
    assert pruned.any()
    assert not (pruned & np.isnan(whole.record.pruned_at[:, 0])).any()  # nothing that one process would keep
    again = pruning(tmp_path)
    assert lane_steps(again) == 0
    assert again.best().hyperparams == whole.best().hyperparams


# Refusals


def test_another_problem_in_another_slices_file_is_refused(tmp_path):
    first = part(tmp_path, 0, 2)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="holds another sweep: the loss is not what it was there"):
        part(tmp_path, 1, 2, loss=other_loss)
    assert files(tmp_path) == before
    assert_same(jopt.load_result(tmp_path), first)
    new = jopt.Checkpoint(tmp_path, on_change="new")
    part(tmp_path, 1, 2, loss=other_loss, checkpoint=new)
    assert lane_steps(part(tmp_path, 0, 2)) == 0


def test_of_two_that_begin_at_once_with_different_problems_one_at_least_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Sharing, "_known_elsewhere", lambda self: [])  # neither has seen the other's file yet
    part(tmp_path, 0, 2)
    with pytest.raises(ValueError, match="holds another sweep"):
        part(tmp_path, 1, 2, loss=other_loss)
    assert files(tmp_path) == ["lock", "slice-0-of-2"]


def test_without_a_checkpoint_and_with_a_search_it_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="needs checkpoint=, the directory"):
        swept(workers=jopt.Slice(0, 2))
    with pytest.raises(ValueError, match="does not go together with search="):
        part(tmp_path, 0, 2, optimizer=jopt.adam(jopt.loguniform(0.01, 0.1)), samples=2, search=jopt.OptunaSearch())
    with pytest.raises(TypeError, match=r"say which one, jopt.Slice\(index, count\)"):
        swept(tmp_path, workers=jopt.Slice)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ((2, 2), ValueError, r"index must be from 0 to count - 1 = 1, but is 2"),
        ((-1, 2), ValueError, "Slice: index"),
        ((0, 0), ValueError, "Slice: count"),
        ((0.5, 2), ValueError, "Slice: index"),
        ((0, 2, "soon"), ValueError, "Slice: take_over must be a time"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_errors(given, error, match):
    with pytest.raises(error, match=match):
        jopt.Slice(*given)


def test_a_sweep_that_would_have_the_directory_alone_hears_of_slices_where_files_have_locks(tmp_path):
    shared = Held(str(tmp_path), shared=True)
    Held(str(tmp_path), shared=True).release()
    with pytest.raises(BlockingIOError, match="another sweep of this process"):
        swept(tmp_path)
    shared.release()
    alone = Held(str(tmp_path))
    with pytest.raises(BlockingIOError):
        part(tmp_path, 0, 2)
    alone.release()


def test_where_files_have_no_locks_slices_go_without(tmp_path, monkeypatch):
    def none(file, shared):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(holding, "_lock_it", none)
    assert part(tmp_path, 0, 1).complete
    with pytest.raises(OSError, match="No locks available"):
        swept(tmp_path)


# Files and faults


def test_a_damaged_file_is_named_and_the_others_are_shown(tmp_path):
    part(tmp_path, 0, 2)
    part(tmp_path, 1, 2)
    (file,) = tmp_path.glob("slice-1-*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    data[-3000:] = b"\xff" * 3000
    file.write_bytes(data)
    with pytest.raises(ValueError, match=file.name):
        jopt.load_result(tmp_path)
    found = jopt.inspect(tmp_path)
    assert any(file.name in line for line in found.damage)
    assert found.sweeps[0].finished == 3
    with pytest.raises(ValueError, match=file.name):
        part(tmp_path, 0, 2)
    file.unlink()
    assert lane_steps(part(tmp_path, 1, 2)) == 3 * STEPS


def test_inspect_shows_whose_the_files_are(tmp_path, capsys):
    from jopt.__main__ import main

    part(tmp_path, 0, 2)
    part(tmp_path, 1, 2)
    assert main(["inspect", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"process {os.getpid()} on ") == 2
    assert shown.count("has ended") == 2
    assert "6      60" in shown
    assert jopt.inspect(tmp_path)._repr_html_().count("<li>") == 2


def test_a_result_under_way_is_read_from_all_files(tmp_path):
    seen = []

    def look(event):
        found = jopt.load_result(tmp_path)
        seen.append((found.complete, found.record.steps_done.T.tolist()[0][1]))
        assert set(event.lanes.values.ravel().tolist()) <= {"running", "elsewhere", "done"}

    part(tmp_path, 1, 2)
    part(tmp_path, 0, 2, callbacks=look)
    assert seen
    assert {complete for complete, _ in seen[:-1]} == {False}


def test_a_signal_saves_what_a_slice_has_trained(tmp_path):
    def send(event):
        if event.step == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        part(tmp_path, 0, 2, eval_every=10, callbacks=send)
    assert (jopt.load_result(tmp_path).record.steps_done[::2, 0] >= 30).all()
    part(tmp_path, 0, 2, eval_every=10)
    assert_same(part(tmp_path, 1, 2, eval_every=10), alone(eval_every=10))


def test_a_place_that_can_not_be_written_any_more_costs_a_warning(tmp_path, monkeypatch):
    from jopt.engine.lanes.store.database import Database

    copy, full = Database.copy, []

    def failing(self, path):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        full.append(path)  # the first copy, before anything is trained
        copy(self, path)

    monkeypatch.setattr(Database, "copy", failing)
    monkeypatch.setattr("jopt.engine.running.writing.AGAIN_S", 0.05)
    with pytest.warns(RuntimeWarning, match="No space left"):
        found = part(tmp_path, 0, 2)
    assert lane_steps(found) == 3 * STEPS
    monkeypatch.undo()
    part(tmp_path, 0, 2)
    assert_same(part(tmp_path, 1, 2), alone())


def test_a_process_that_was_thought_dead_loses_nothing_and_nobody_elses_work(tmp_path):
    def other(event):
        if event.step == 30:
            part(tmp_path, 0, 2, eval_every=10)  # the same slice again, in its place

    first = part(tmp_path, 0, 2, eval_every=10, callbacks=other)
    assert lane_steps(first) == 3 * STEPS
    assert_same(part(tmp_path, 1, 2, eval_every=10), alone(eval_every=10))


def test_slices_in_threads_at_once_come_to_the_same(tmp_path):
    threads = [threading.Thread(target=part, args=(tmp_path, i, 3), kwargs={"eval_every": 10}) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(jopt.load_result(tmp_path), alone(eval_every=10))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system without SIGKILL")
def test_a_slice_that_is_killed_in_any_phase_is_started_again_and_runs_exactly_the_missing_lanes(tmp_path):
    # python -m tests.sliced --all does more
    processes = {phase: sliced.begin(tmp_path / phase, 1, 2, phase) for phase in ("compile", "commit", "copy")}
    for phase, process in processes.items():
        _, error = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, error
        assert not sliced.swept(tmp_path / phase, workers=jopt.Slice(0, 2)).complete
        assert sliced.rerun(tmp_path / phase, 1, 2) == "", phase


# The environment

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
ARRAY = {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "7", "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4"}
TOLD = {
    "srun": ({**SLURM, "SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, (3, 8)),
    "srun without a job": ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, (3, 8)),
    "a Slurm array": ({**ARRAY, "SLURM_ARRAY_TASK_ID": "5"}, (2, 4)),
    "a Slurm array's batch script": (
        {**ARRAY, "SLURM_ARRAY_TASK_ID": "5", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
        (2, 4),
    ),
    "srun in an array": ({**SLURM, **ARRAY, "SLURM_ARRAY_TASK_ID": "5", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (5, 8)),
    "Open MPI": ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}, (1, 4)),
    "Open MPI in Slurm": (
        {
            "OMPI_COMM_WORLD_RANK": "3",
            "OMPI_COMM_WORLD_SIZE": "4",
            "SLURM_JOB_ID": "7",
            "SLURM_PROCID": "0",
            "SLURM_NTASKS": "4",
        },
        (3, 4),
    ),
    "PMI": ({"PMI_RANK": "0", "PMI_SIZE": "2"}, (0, 2)),
    "MVAPICH": ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"}, (1, 2)),
    "Flux": ({"FLUX_TASK_RANK": "1", "FLUX_JOB_SIZE": "2"}, (1, 2)),
    "Grid Engine": (
        {"SGE_TASK_ID": "3", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "5", "SGE_TASK_STEPSIZE": "1"},
        (2, 5),
    ),
    "AWS Batch": ({"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, (2, 3)),
    "Cloud Run": ({"CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_TASK_COUNT": "3"}, (0, 3)),
}


@pytest.mark.parametrize("who", TOLD)
def test_a_slice_is_read_from_the_environment(who):
    environment, (index, count) = TOLD[who]
    assert jopt.Slice.from_environment(environment=environment) == jopt.Slice(index, count)


@pytest.mark.parametrize("name", ["PBS_ARRAY_INDEX", "PBS_ARRAYID", "LSB_JOBINDEX", "JOB_COMPLETION_INDEX"])
def test_arrays_that_tell_their_number_alone_need_the_count(name):
    environment = {name: "3"}
    assert jopt.Slice.from_environment(environment=environment, count=8, first=1) == jopt.Slice(2, 8)
    with pytest.raises(ValueError, match=rf"{name}=3 .*from_environment\(count=8, first=1\)"):
        jopt.Slice.from_environment(environment=environment)


WRONG = {
    "nothing": ({}, "SLURM_PROCID with SLURM_NTASKS.*SLURM_ARRAY_TASK_ID.*PBS_ARRAY_INDEX"),
    "a job without an array": ({"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}, "Looked for were"),
    "a rank without a size": ({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is not there"),
    "a size without a rank": ({"PMI_SIZE": "2"}, "PMI_RANK is not there"),
    "a number without its range": ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_MIN and SLURM_ARRAY_TASK_MAX are not there"),
    "out of range": ({"PMI_RANK": "2", "PMI_SIZE": "2"}, "would be number 2 of 2"),
    "no number": ({"PMI_RANK": "a", "PMI_SIZE": "2"}, "PMI_RANK='a' is no number"),
    "two that differ": (
        {"PMI_RANK": "0", "PMI_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"},
        "OMPI_COMM_WORLD_RANK=1 .*but PMI_RANK=0",
    ),
    "Slurm's rank is another": (
        {**SLURM, "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "PMI_RANK": "0", "PMI_SIZE": "2"},
        "PMI_RANK=0 .*but SLURM_PROCID=1",
    ),
    "the batch script": ({"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "the batch script itself.*by srun"),
    "a list of numbers": (
        {**ARRAY, "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "3"},
        "an array whose numbers are not a range",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_environment_that_does_not_say_which_slice_it_is_is_an_error(what):
    environment, match = WRONG[what]
    with pytest.raises(ValueError, match=match):
        jopt.Slice.from_environment(environment=environment)


def test_a_count_that_the_environment_contradicts_is_an_error():
    with pytest.raises(ValueError, match=r"count=3, but .* makes 2 processes"):
        jopt.Slice.from_environment(environment={"PMI_RANK": "0", "PMI_SIZE": "2"}, count=3)


def test_the_environment_of_this_process_is_read(monkeypatch):
    for name in list(os.environ):
        if name.startswith(
            ("SLURM_", "PMI_", "OMPI_", "SGE_", "PBS_", "LSB_", "FLUX_", "MV2_", "AWS_BATCH", "CLOUD_RUN", "JOB_")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert jopt.Slice.from_environment(take_over=True) == jopt.Slice(1, 2, True)


def test_a_slice_that_is_stopped_says_how_far_its_own_lanes_are_saved(tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        part(tmp_path, 0, 2, callbacks=stop)
    assert stopped.value.__notes__[0].startswith(f"jopt: the sweep is saved in {str(tmp_path)!r} up to step ")
    assert "some lanes up to less" not in stopped.value.__notes__[0]

"""A call and its file: who may write it, what stands in it already, and what is written while lanes run."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from jopt.engine.files import replaced
from jopt.engine.job import Job
from jopt.engine.lanes.names import names_of
from jopt.engine.lanes.store.listed import Listed
from jopt.engine.lanes.store.store import Store
from jopt.engine.lanes.store.together import Together
from jopt.engine.running.carry_out import Sweep
from jopt.engine.running.reached import Outcome
from jopt.engine.running.saving import Saver
from jopt.engine.running.writing import CARRY, Place, Writer
from jopt.results import Result
from jopt.results.directory import MAIN, again, opened, slices_in
from jopt.results.storage import Stored, explained, stored_of, write_kept, write_sweep
from jopt.spaces import Settings
from jopt.sweeps import problems
from jopt.sweeps.checkpoint import Checkpoint, saved_in
from jopt.sweeps.holding import Held, who
from jopt.sweeps.jobs import Jobs, of_group
from jopt.sweeps.known import Known
from jopt.sweeps.resuming import resume
from jopt.sweeps.rounds import Round, asked_before, setting_of, write_parts_of_windows
from jopt.sweeps.searching import Elsewhere, Part, Rounds
from jopt.sweeps.signals import Signals


class Durable:
    """Holds a directory inside ``with``, for a sweep that has it for itself.

    Args:
      checkpoint: what was asked for.
      by_step: whether it is for ``sweep_steps``.
      every: the steps between evaluations.
    """

    shares = False  # whether other processes may write into the directory

    def __init__(self, checkpoint: Checkpoint, by_step: bool, every: int | None) -> None:
        self.checkpoint, self.by_step, self.every = checkpoint, by_step, every
        self.path = os.path.join(checkpoint.directory, MAIN)
        self.traced: Sweep | None = None
        self.rounds: list[Round] = []  # one, but for a search
        self.more: dict[str, dict[str, Any]] = {}  # of each group, what stands beside its grid
        self.kept_at: dict[str, np.ndarray] = {}  # of each job the step at which each lane is kept, [settings, seeds]
        self.all_saved = True  # whether all is in the file that ``kept_at`` says
        self._writer: Writer | None = None
        self._call = 0  # the number of this call among those of the file
        self._asked_in: int | None = None  # the version of the problem for which settings were asked for

    def __enter__(self) -> Self:
        if os.path.exists(self.checkpoint.directory) and not os.path.isdir(self.checkpoint.directory):
            what = "checkpoint= is the name of a directory, but this is a file"
            raise NotADirectoryError(errno.ENOTDIR, what, self.checkpoint.directory)
        self.held = Held(self.checkpoint.directory, self.shares)
        try:
            self.store = self._open()
        except BaseException:
            self.held.release()
            raise
        return self

    def _open(self) -> Store:
        if not os.path.exists(self.path):
            with replaced(self.path, durable=True) as partial:
                Store.create(partial, durable=False).close()
        with explained(self.path):
            return Store.open(self.path, write=True)

    def elsewhere(self) -> list[str]:
        """The files of other processes in the directory."""
        return slices_in(self.checkpoint.directory)

    def __exit__(self, *_: object) -> None:
        if self._writer is None:
            self._close()
        else:  # it was told to end at once, and may be in the midst of a transaction
            threading.Thread(target=self._close, name="jopt-closing", daemon=True).start()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.join()
        self.store.close()
        self.held.release()

    def asked_before(self, group: str, names: list[str]) -> Rounds:
        """What a search has asked for in an earlier call, of parameters of these names."""
        with explained(self.path), self.store.reading():
            self._asked_in, rounds = asked_before(self.store, group, names)
        return rounds

    def begin(
        self, traced: Sweep, settings: Mapping[str, Settings], jobs: Jobs, nothing_yet: Result | None, part: Part
    ) -> None:
        """Finds what is there of this sweep, or refuses it, and puts lanes where they were; ``nothing_yet`` is its grid."""
        if part.number == 0:  # what shares a sweep may begin it again, with further lanes
            self.rounds.clear()
        self.traced, self.kept_at = traced, {}
        self.rounds.append(Round(settings, jobs, {}, {key: run.records for key, run in traced.runs.items()}))
        common = problems.of_call(next(iter(jobs.values())), self.checkpoint.data)
        parts = {key: {**common, **problems.of_program(traced.runtimes[key])} for key in jobs}
        programs = {name: [*self._programs(name), *(parts[key] for key in of_group(jobs, name))] for name in settings}
        there = again(self._known_elsewhere)
        with explained(self.path), self.store.writing("begin"):
            known = Known.of(self.store)
            numbers = self._find([known, *there], programs)
            self._call = self._call or known.calls + 1
            for name, problem in numbers.items():
                mine = [(key, jobs[key], problems.name_of(parts[key])) for key in of_group(jobs, name)]
                names = {key: names_of(job.space, job.seeds, called) for key, job, called in mine}
                self._add_lanes(problem, names)
                self.more[name] = {"call": self._call, "programs": programs[name], "eval_every": self.every}
                if name in part.asked:
                    self.more[name]["parameters"], self.more[name]["rounds"] = part.asked[name]
                self.more[name] |= {"began": _now(), "who": who()}
            self._claim()
            if nothing_yet is not None:
                self._write_grids(nothing_yet)
        again(lambda: self._resume(programs))

    @property
    def jobs(self) -> Jobs:
        """What is trained now."""
        return self.rounds[-1].jobs

    @property
    def places(self) -> dict[str, Place]:
        """Where its lanes stand."""
        return self.rounds[-1].places

    def _programs(self, name: str) -> list[problems.Parts]:
        """Those of a group's earlier rounds."""
        found: list[problems.Parts] = self.more.get(name, {}).get("programs", [])
        return found

    def _known_elsewhere(self) -> list[Known]:
        with opened(self.elsewhere()) as stores:
            return [Known.of(store) for store in stores]

    def _claim(self) -> None:
        """Decides which lanes are run here: all."""

    def _resume(self, groups: Mapping[str, Sequence[problems.Parts]]) -> None:
        with explained(self.checkpoint.directory), opened(self.elsewhere()) as stores, self.store.reading():
            together = Together(self.store, stores)
            for key, place in self.places.items():
                self._resume_job(key, place, together)

    def _resume_job(self, key: str, place: Place, together: Together, taken: np.ndarray | None = None) -> None:
        """Puts the lanes of a job where they were; what other files have of those that are run here is to be in this one."""
        assert self.traced is not None
        steps = resume(together, place, self.traced.runs[key], taken)
        own = self.store.steps_kept(place.problem, CARRY, place.lanes)
        self.kept_at[key] = np.where(own == steps, steps, -1)

    def _find(self, known: Sequence[Known], groups: Mapping[str, Sequence[problems.Parts]]) -> dict[str, int]:
        """The number of each group's problem in this file, the first one of ``known``; new ones, where they are not in it."""
        refusal = None
        for i, each in enumerate(known):
            for version in each.versions():
                found = problems.changes(groups, each.programs[version])
                if not found:
                    there = (version, each.numbers[version]) if i == 0 else (known[0].next, {})
                    return self._numbers(groups, *there)
                refusal = refusal or (found, each.written_by)
        if refusal and self.checkpoint.on_change == "refuse":
            raise problems.refusal(self.checkpoint.directory, *refusal, self.by_step)
        return self._numbers(groups, known[0].next, {})

    def _numbers(self, groups: Iterable[str], version: int, there: Mapping[str, int]) -> dict[str, int]:
        if self._asked_in not in (None, version):
            self._asked_in = None
            self.rounds.clear()
            raise Elsewhere
        return {name: there.get(name) or self._add_problem(name, version) for name in groups}

    def _add_problem(self, name: str, version: int) -> int:
        return self.store.add_problem(name, {"version": version})

    def _add_lanes(self, problem: int, names: Mapping[str, list[list[str]]]) -> None:
        """Numbers for all lanes of a group, new ones for those that are not there."""
        there = self.store.lanes(problem)
        number = {name: i for i, name in enumerate(there.names)}
        first = int(there.settings.max(initial=-1)) + 1
        new: list[tuple[Job, int]] = []
        of_settings, of_seeds, added = [], [], []
        for key, each in names.items():
            job = self.rounds[-1].jobs[key]
            for setting, lanes in enumerate(each):
                missing = [(seed, name) for seed, name in zip(job.seeds, lanes, strict=True) if name not in number]
                for seed, name in missing:
                    number[name] = len(number)
                    of_settings.append(first + len(new))
                    of_seeds.append(seed)
                    added.append(name)
                if missing:
                    new.append((job, setting))
            self.rounds[-1].places[key] = Place(problem, np.array([[number[name] for name in lanes] for lanes in each]))
        if added:
            self.store.add_settings(problem, Listed.of(lambda k: setting_of(*new[k]), len(new)))
            self.store.add_lanes(problem, np.array(of_settings), np.array(of_seeds), added)

    @contextlib.contextmanager
    def saving(self) -> Iterator[Saver]:
        """Saves what is trained inside, and ends it in good order where a signal comes."""
        assert self.traced is not None
        writer = self._writer = Writer(self.store, self.rounds[-1].places, self.checkpoint.seconds)
        with Signals() as signals:
            saver = Saver(self.checkpoint.seconds, writer, signals)
            for key, steps in self.kept_at.items():
                saver.knows(key, steps)
            try:
                try:
                    yield saver
                except BaseException:
                    if not signals.twice:
                        self._hand_over()
                    raise
            finally:
                if signals.twice:
                    writer.abandon()
                else:
                    writer.close()
                    self._writer = None
                self.all_saved = not writer.busy
            saver.check()

    def _hand_over(self) -> None:
        """What waits between two steps is not to be lost, whatever ended the sweep."""
        assert self.traced is not None
        for run in self.traced.runs.values():
            with contextlib.suppress(Exception):  # what ended the sweep must be heard
                run.hand_over()

    def where(self) -> str:
        """Where the sweep is saved, and how far, in a sentence; "" where no step of it is."""
        steps = [step for key, each in self.kept_at.items() for step in each[self._mine(key)].ravel().tolist()]
        first = min((self.jobs[key].first for key in self.kept_at), default=0)
        return saved_in(self.checkpoint.directory, steps, first, self.all_saved)

    def settle(self) -> None:
        """Called when all lanes have ended that are run here: others are none."""

    def in_all(self, key: str, outcome: Outcome) -> Outcome:
        """What came of a job, of which this was all."""
        return outcome

    def finish(self, result: Result) -> None:
        """Writes the result."""
        try:
            with self.store.writing("end"):
                for each in self.rounds:
                    for key, place in each.places.items():
                        write_parts_of_windows(self.store, place, each.records[key], self._mine(key))
                self._write_grids(result)
            with self.store.writing("made room"):
                for problem in {place.problem for each in self.rounds for place in each.places.values()}:
                    self.store.drop_states(problem)
        except OSError as error:
            warnings.warn(
                f"checkpoint: the result could not be saved ({error}), but it is here; what was saved before is intact, and "
                f"the same call goes on from it. result.save(path) saves the result elsewhere.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _write_grids(self, result: Result) -> None:
        for name, stored in stored_of(result).items():
            mine = [each for each in self.rounds if name in each.settings]
            lanes = np.concatenate([each.lanes(name) for each in mine], axis=1)
            lanes = lanes.reshape(len(lanes), *stored.record.shape)
            problem = mine[0].places[of_group(mine[0].jobs, name)[0]].problem
            write_sweep(self.store, problem, stored, lanes, self.more[name])
            self._write_kept(problem, stored, lanes)

    def _write_kept(self, problem: int, stored: Stored, lanes: np.ndarray) -> None:
        """Writes what a result keeps of its lanes, [seed, *dims]."""
        write_kept(self.store, problem, stored, lanes)

    def _mine(self, key: str) -> Any:
        """The lanes of a job that are run here, all: a mask [settings, seeds], or True."""
        return True


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()

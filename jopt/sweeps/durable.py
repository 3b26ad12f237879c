"""A call and its file: who may write it, what stands in it already, and what is written while lanes run."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from jopt.engine.files import replaced
from jopt.engine.job import Job
from jopt.engine.lanes.names import names_of
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.store.listed import Listed
from jopt.engine.lanes.store.pieces import Piece
from jopt.engine.lanes.store.store import Store, versions
from jopt.engine.running.carry_out import Sweep
from jopt.engine.running.saving import Saver
from jopt.engine.running.writing import CARRY, Place, Writer
from jopt.results import Result
from jopt.results.storage import Refused, explained, stored_of, write_kept, write_sweep
from jopt.spaces import Settings
from jopt.sweeps import problems
from jopt.sweeps.checkpoint import FILE, Checkpoint
from jopt.sweeps.holding import Held
from jopt.sweeps.jobs import Jobs, of_group
from jopt.sweeps.resuming import resume
from jopt.sweeps.rounds import Round, asked_before
from jopt.sweeps.searching import Elsewhere, Part, Rounds
from jopt.sweeps.signals import Signals


class Durable:
    """Holds a directory inside ``with``.

    Args:
      checkpoint: what was asked for.
      by_step: whether it is for ``sweep_steps``.
      every: the steps between evaluations.
    """

    def __init__(self, checkpoint: Checkpoint, by_step: bool, every: int | None) -> None:
        self.checkpoint, self.by_step, self.every = checkpoint, by_step, every
        self.path = os.path.join(checkpoint.directory, FILE)
        self.traced: Sweep | None = None
        self.rounds: list[Round] = []  # one, but for a search
        self.more: dict[str, dict[str, Any]] = {}  # of each group, what stands beside its grid
        self.kept_at: dict[str, np.ndarray] = {}  # of each job the step at which each lane is kept, [settings, seeds]
        self._writer: Writer | None = None
        self._call = 0  # the number of this call among those of the file
        self._asked_in: int | None = None  # the version of the problem for which settings were asked for

    def __enter__(self) -> Self:
        if os.path.exists(self.checkpoint.directory) and not os.path.isdir(self.checkpoint.directory):
            what = "checkpoint= is the name of a directory, but this is a file"
            raise NotADirectoryError(errno.ENOTDIR, what, self.checkpoint.directory)
        self.held = Held(self.checkpoint.directory)
        try:
            if not os.path.exists(self.path):
                with replaced(self.path, durable=True) as partial:
                    Store.create(partial, durable=False).close()
            with explained(self.path):
                self.store = Store.open(self.path, write=True)
        except BaseException:
            self.held.release()
            raise
        return self

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
        self.traced, self.kept_at = traced, {}
        self.rounds.append(Round(settings, jobs, {}, {key: run.records for key, run in traced.runs.items()}))
        common = problems.of_call(next(iter(jobs.values())), self.checkpoint.data)
        parts = {key: {**common, **problems.of_program(traced.runtimes[key])} for key in jobs}
        programs = {name: [*self._programs(name), *(parts[key] for key in of_group(jobs, name))] for name in settings}
        with explained(self.path), self.store.writing("begin"):
            known = _Known(self.store)
            numbers = self._find(known, programs)
            self._call = self._call or known.calls + 1
            for name, problem in numbers.items():
                mine = [(key, jobs[key], problems.name_of(parts[key])) for key in of_group(jobs, name)]
                names = {key: names_of(job.space, job.seeds, called) for key, job, called in mine}
                self._add_lanes(problem, names)
                self.more[name] = {"call": self._call, "programs": programs[name], "eval_every": self.every}
                if name in part.asked:
                    self.more[name]["parameters"], self.more[name]["rounds"] = part.asked[name]
            if nothing_yet is not None:
                self._write_grids(nothing_yet)
        with explained(self.path), self.store.reading():
            carries = {problem: self.store.kept(problem, CARRY) for problem in numbers.values()}
            for key, place in self.rounds[-1].places.items():
                self.kept_at[key] = resume(self.store, carries[place.problem], place, traced.runs[key])

    def _programs(self, name: str) -> list[problems.Parts]:
        """Those of a group's earlier rounds."""
        found: list[problems.Parts] = self.more.get(name, {}).get("programs", [])
        return found

    def _find(self, known: _Known, groups: Mapping[str, Sequence[problems.Parts]]) -> dict[str, int]:
        """The number of each group's problem."""
        differs: list[str] = []
        for version in known.versions():
            there = known.programs[version]
            found = problems.changes(groups, there)
            if not found:
                self._check_asked(version)
                return {name: known.numbers[version].get(name) or self._add_problem(name, version) for name in groups}
            differs = differs or found
        if differs and self.checkpoint.on_change == "refuse":
            raise self._refusal(differs)
        version = max(known.programs, default=0) + 1
        self._check_asked(version)
        return {name: self._add_problem(name, version) for name in groups}

    def _check_asked(self, version: int) -> None:
        if self._asked_in not in (None, version):
            self._asked_in = None
            self.rounds.clear()
            raise Elsewhere

    def _add_problem(self, name: str, version: int) -> int:
        return self.store.add_problem(name, {"version": version})

    def _refusal(self, differs: Sequence[str]) -> Exception:
        what = problems.words(differs, self.by_step)
        before, now = self.store.writes()[-1]["versions"], versions()
        other = [f"{name} {before[name]} (here it is {now.get(name)})" for name in before if before[name] != now.get(name)]
        upgraded = f" It was written by {', '.join(other)}, which may be the reason." if other else ""
        return Refused(
            f"checkpoint: {self.checkpoint.directory!r} holds another sweep: {what} not what it was there.{upgraded} Give "
            f'another directory, or jopt.Checkpoint(path, on_change="new"), which begins a second one in the same file.'
        )

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
            self.store.add_settings(problem, Listed.of(lambda k: _setting(*new[k]), len(new)))
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
            saver.check()

    def _hand_over(self) -> None:
        """What waits between two steps is not to be lost, whatever ended the sweep."""
        assert self.traced is not None
        for run in self.traced.runs.values():
            with contextlib.suppress(Exception):  # what ended the sweep must be heard
                run.hand_over()

    def finish(self, result: Result) -> None:
        """Writes the result."""
        try:
            with self.store.writing("end"):
                for each in self.rounds:
                    for key, place in each.places.items():
                        self._write_parts_of_windows(each.records[key], place)
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
            write_kept(self.store, problem, stored, lanes)

    def _write_parts_of_windows(self, records: Records, place: Place) -> None:
        """The means of the windows in the midst of which lanes ended, over the steps that ran."""
        done = records.steps_done
        windows = np.searchsorted(records.record_steps, done, side="right")
        ended = (done < records.steps) & (records.record_every > 1) & (done > records.first)
        for window in np.unique(windows[ended]).tolist():
            here = ended & (windows == window)
            values = {name: x[here][:, window : window + 1].T for name, x in records.losses.items()}
            self.store.append(
                place.problem, "records", Piece(place.lanes[here], values, records.record_steps[window : window + 1])
            )


class _Known:
    """What a file knows of problems: versions, each with a problem for each group, and programs of it."""

    def __init__(self, store: Store) -> None:
        about = store.problems()
        self.numbers: dict[int, dict[str, int]] = {}
        self.programs: dict[int, dict[str, list[problems.Parts]]] = {}
        self.calls, self._latest = 0, dict[int, int]()
        for problem, sweep in store.sweeps():
            version, name = about[problem]["about"]["version"], about[problem]["name"]
            self.numbers.setdefault(version, {})[name] = problem
            self.programs.setdefault(version, {}).setdefault(name, []).extend(sweep["programs"])
            self.calls = self._latest[version] = sweep["call"]

    def versions(self) -> list[int]:
        """The one that was used last first."""
        return sorted(self.programs, key=lambda version: -self._latest[version])


def _setting(job: Job, setting: int) -> tuple[Any, Any]:
    made = job.space.at(setting)
    return made.optimizer, None if made.hyper is None else made.hyper.tree

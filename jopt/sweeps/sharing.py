"""A call that is one of several processes: its own file in a directory that they share, and what it hears of the others."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np

from jopt.engine.lanes.store.pieces import Kept
from jopt.engine.lanes.store.published import ENDED, Published
from jopt.engine.lanes.store.store import Store
from jopt.engine.lanes.store.together import Together
from jopt.engine.lanes.table import State
from jopt.engine.running import elsewhere
from jopt.engine.running.reached import Outcome
from jopt.engine.running.underway import Run
from jopt.engine.running.writing import Place
from jopt.results import Result
from jopt.results.directory import again, name_of_slice, opened, slice_of, slices_in, written_in
from jopt.results.storage import Stored, explained, of_last_call
from jopt.sweeps import problems, resuming
from jopt.sweeps.checkpoint import Checkpoint
from jopt.sweeps.durable import Durable
from jopt.sweeps.jobs import of_group
from jopt.sweeps.known import Known
from jopt.sweeps.slices import Slice

Hear = Callable[[Together, Place, Run], None]


class Sharing(Durable):
    """Holds a file of its own in a directory, inside ``with``.

    Args:
      checkpoint: what was asked for.
      by_step: whether it is for ``sweep_steps``.
      every: the steps between evaluations.
      part: which of the processes this is.
      prunes: whether lanes may be pruned, and whether they may end early.
    """

    shares = True

    def __init__(
        self, checkpoint: Checkpoint, by_step: bool, every: int | None, part: Slice, prunes: tuple[bool, bool]
    ) -> None:
        super().__init__(checkpoint, by_step, every)
        self.part, self.pruned, self.stopped = part, *prunes
        self.path = os.path.join(checkpoint.directory, name_of_slice(part.index, part.count, secrets.token_hex(4)))
        self.before = ""  # the file of the process in whose place this one is
        self.fresh = True  # whether nothing was known of the problem to the own file
        self.listed = False  # whether others are to see the own file
        self.turns = 0
        self.taken: dict[str, np.ndarray] = {}  # of each job the lanes that are run here, [settings, seeds]
        self.began: dict[str, np.ndarray] = {}  # where these were at first
        self.added: dict[str, np.ndarray] = {}  # the lanes that were taken over last
        self.trained = 0  # lane-steps of all rounds
        self.spent: dict[str, tuple[float, float]] = {}  # of each job the seconds of earlier rounds: compiling, and all

    def _open(self) -> Store:
        self.before = again(self._predecessor)
        with explained(self.before or self.path):
            self.published = Published(self.path, self.before or None)
        self.fresh = not self.before
        return self.published

    def _predecessor(self) -> str:
        """The latest file of a process with the same index and count, which has ended; "" where there is none."""
        mine = [file for file in slices_in(self.checkpoint.directory) if slice_of(file) == (self.part.index, self.part.count)]
        return max(mine, key=lambda file: os.stat(file).st_mtime, default="")

    def elsewhere(self) -> list[str]:
        """The files of other processes in the directory; that of the one before this is in the own one."""
        return [file for file in written_in(self.checkpoint.directory) if file not in (self.path, self.before)]

    def _claim(self) -> None:
        """The lanes of this slice, and those that were taken over."""
        if not self.turns:
            self.taken = dict(self._of_slice())
        for name, about in self.more.items():
            mine = [self.places[key].lanes[self.taken[key]] for key in of_group(self.jobs, name)]
            about |= {"slice": [self.part.index, self.part.count, self.turns], "taken": np.concatenate(mine)}

    def _of_slice(self) -> Iterator[tuple[str, np.ndarray]]:
        """Lanes are counted group after group, seed after seed, as they stand in the grid."""
        first = 0
        for name, settings in self.rounds[-1].settings.items():
            for key in of_group(self.jobs, name):
                job = self.jobs[key]
                numbers = first + job.space.places[:, None] + settings.size * np.arange(len(job.seeds))
                yield key, numbers % self.part.count == self.part.index
            first += settings.size * len(self.jobs[of_group(self.jobs, name)[0]].seeds)

    def _resume(self, groups: Mapping[str, Sequence[problems.Parts]]) -> None:
        """Others may have begun meanwhile, with another problem, or with the same lanes."""
        self.listed = True
        self._leave_behind()
        with explained(self.checkpoint.directory), opened(self.elsewhere()) as stores:
            self._check(stores, groups)
            with self.store.reading():
                together = Together(self.store, stores)
                if self.turns:
                    self._give_way(together)
                for key, place in self.places.items():
                    self._resume_job(key, place, together, self.taken[key])
                    self._goes_on(key)

    def _leave_behind(self) -> None:
        """What the process before this one has left is in the own file now."""
        if self.before:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.before)
            self.before = ""

    def _check(self, stores: Sequence[Store], groups: Mapping[str, Sequence[problems.Parts]]) -> None:
        """Of two that began at once with different problems, at least one sees the other's file."""
        if self.checkpoint.on_change == "new" or not self.fresh or self.turns:
            return
        known = [Known.of(store) for store in stores]
        found = [problems.changes(groups, each.programs[version]) for each in known for version in each.versions()]
        if found and all(found):
            self.listed = False
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            raise problems.refusal(
                self.checkpoint.directory, found[0], next(each.written_by for each in known if each.programs), self.by_step
            )

    def _goes_on(self, key: str) -> None:
        """Lanes that have ended elsewhere stay there; those of earlier rounds count from where they were at first."""
        assert self.traced is not None
        run, taken = self.traced.runs[key], self.taken[key]
        there = (self.kept_at[key] < 0) & taken & (run.lanes.steps >= run.job.steps)
        self.kept_at[key][there] = run.lanes.steps[there]
        began = self.began.setdefault(key, np.full(taken.shape, -1))
        new = taken & (began < 0)
        began[new] = run.lanes.steps[new]
        run.records.begins_at(began, taken)

    def exchange(self, names: Iterable[str]) -> None:
        """Lets others see where the lanes of some jobs are, and looks where theirs are."""
        assert self.traced is not None
        assert self._writer is not None
        for name in names:
            elsewhere.share(self.traced.runs[name])
        if self._writer.flush():
            self._publish()
        self._listen(resuming.look)

    def settle(self) -> None:
        """When all lanes have ended that are run here: takes what has become of the others."""
        assert self.traced is not None
        for run in self.traced.runs.values():
            run.saver = None  # what others have trained stays theirs
        self._publish()
        self._listen(lambda together, place, run: resuming.hear(together, place, run, self.pruned, self.stopped))

    def _publish(self) -> None:
        try:
            self.published.publish()
        except OSError as error:
            warnings.warn(
                f"checkpoint: what was trained could not be shown to other processes ({error}); it is tried again at the end.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _listen(self, hear: Hear) -> None:
        """Calls ``hear`` for each job with what is in the files of all by now; the own one is that which others see, too."""

        def listen() -> None:
            assert self.traced is not None
            with explained(self.checkpoint.directory), opened([self.path, *self.elsewhere()]) as stores:
                together = Together(stores[0], stores[1:])
                for key, place in self.places.items():
                    hear(together, place, self.traced.runs[key])

        again(listen)

    # Taking over.

    def takes_over(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Whether there are lanes that nobody runs and that are run here next; called when all others have ended."""
        trained = sum(outcome.records.lane_steps for outcome in outcomes.values())
        idle = bool(self.turns) and trained == self.trained  # what a round did not get on with the next one would not either
        self.trained = trained
        if self.part.silent_s is None or idle or all(outcome.complete for outcome in outcomes.values()):
            return False
        self.added = again(self._free)
        if not any(lanes.any() for lanes in self.added.values()):
            return False
        for key, outcome in outcomes.items():
            self.taken[key] = self.taken[key] | self.added[key]
            self.spent[key] = outcome.compile_s, outcome.total_s
        self.turns += 1
        return True

    def in_all(self, key: str, outcome: Outcome) -> Outcome:
        """An outcome with the seconds of earlier rounds."""
        compile_s, total_s = self.spent.get(key, (0.0, 0.0))
        return dataclasses.replace(outcome, compile_s=outcome.compile_s + compile_s, total_s=outcome.total_s + total_s)

    def _free(self) -> dict[str, np.ndarray]:
        """Of the lanes that have not ended and that nobody runs a share, as large as those that others find."""
        with explained(self.checkpoint.directory), opened([self.path, *self.elsewhere()]) as stores:
            together = Together(stores[0], stores[1:])
            living = self._living(stores[1:])
            free = {}
            for key, place in self.places.items():
                ends = together.outcomes(place.problem, place.lanes, self.jobs[key].first)
                ended = resuming.have_ended(ends, self.jobs[key].steps, self.pruned, self.stopped)
                free[key] = ~ended & ~self.taken[key] & ~self._claimed(together, place, living)
        left = math.ceil(sum(int(lanes.sum()) for lanes in free.values()) / (len(living) + 1))
        for lanes in free.values():
            places = np.argwhere(lanes)[left:]
            left -= min(left, int(lanes.sum()))
            lanes[places[:, 0], places[:, 1]] = False
        return free

    def _living(self, stores: Sequence[Store]) -> list[Store]:
        """The files of processes that are at work; their times are compared with each other, not with this machine's clock."""
        assert self.part.silent_s is not None
        os.utime(self.path)
        now = os.stat(self.path).st_mtime
        own = self.part.index, self.part.count
        return [
            store
            for store in stores
            if slice_of(store.database.path) not in (None, own)
            and store.writes()[-1]["what"] != ENDED
            and now - os.stat(store.database.path).st_mtime < self.part.silent_s
        ]

    def _claimed(self, together: Together, place: Place, by: Sequence[Store], rival: bool = False) -> np.ndarray:
        """The lanes of a job that some processes run; ``rival``: without those that give way to this one."""
        lanes = [np.zeros(0, np.int64)]
        for source in together.sources(place.problem):
            for problem, about in of_last_call(source.store) if source.store in by else ():
                gives_way = rival and about["slice"][2] > 0 and source.store.database.path > self.path
                if problem == source.problem and not gives_way:
                    lanes.append(source.numbers[about["taken"]])
        return np.isin(place.lanes, np.concatenate(lanes))

    def _give_way(self, together: Together) -> None:
        """Of two that have taken the same lanes over one goes on with them."""
        living = self._living(together.others)
        for key, place in self.places.items():
            self.taken[key] = self.taken[key] & ~(self.added[key] & self._claimed(together, place, living, rival=True))

    # The end.

    def _write_kept(self, problem: int, stored: Stored, lanes: np.ndarray) -> None:
        """Nothing: each process writes what is kept of the lanes that it has run."""

    def _mine(self, key: str) -> np.ndarray:
        return self.taken[key]

    def finish(self, result: Result) -> None:
        """Writes the result, and what is kept of the lanes of this process that have come to their end."""
        super().finish(result)
        with contextlib.suppress(OSError), self.store.writing("end"):  # what goes wrong was said already
            for key in self.jobs:
                self._write_ended(key)

    def _write_ended(self, key: str) -> None:
        assert self.traced is not None
        run, job, place = self.traced.runs[key], self.jobs[key], self.places[key]
        mine = self.taken[key] & run.lanes.in_state(State.DEAD, State.DONE, State.PRUNED)
        if not mine.any() or job.keep == "none":
            return
        tree = jax.tree.unflatten(run.records.kept_structure, [x[mine] for x in run.records.kept])
        kept = dict(zip(("params", "state"), tree, strict=True)) if job.keep == "carry" else {"params": tree}
        for what, leaves in kept.items():
            self.store.keep(place.problem, what, Kept(place.lanes[mine], job.steps, leaves))

    def _close(self) -> None:
        if self._writer is None and self.listed:
            with contextlib.suppress(OSError, ValueError), self.store.writing(ENDED):
                pass
        super()._close()

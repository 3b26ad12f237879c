"""From arguments to a result: a job for each program of each group, carried out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jopt.engine import machine
from jopt.engine.data.sources import Feed
from jopt.engine.job import Job
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.table import State
from jopt.engine.program import Program
from jopt.engine.running import eager
from jopt.engine.running.carry_out import Crew, Sweep
from jopt.engine.running.on_ray import session as on_ray
from jopt.engine.running.reached import Outcome, Reached
from jopt.engine.running.spread import Spread
from jopt.expanding import Groups, axes_of
from jopt.results import GroupedResult, Progress, SweepResult
from jopt.spaces import Settings
from jopt.standing import places
from jopt.sweeps.arguments import Asked, compared
from jopt.sweeps.deciding import Decider
from jopt.sweeps.durable import Durable
from jopt.sweeps.jobs import Feeds, Jobs, counts, job_of, of_group, own, settings_of, values_of
from jopt.sweeps.looking import facts_of
from jopt.sweeps.lost import tell_of_lost
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.sweeps.outcomes import Finished, joined, result_of, result_so_far
from jopt.sweeps.partial import partial_result
from jopt.sweeps.resting import tell_of_rests
from jopt.sweeps.searching import Part, Searching
from jopt.sweeps.sharing import Sharing
from jopt.sweeps.telling import Teller
from jopt.sweeps.unread import tell_of_unread
from jopt.values import checks
from jopt.values.names import EVALUATED_EXAMPLES, EXAMPLES, check_names
from jopt.values.numbers import Axis


def run(
    program: Callable[[Feed, Any], Program], given: Any, optimizer: Any, data: Any, asked: Asked, by_step: bool = False
) -> SweepResult | GroupedResult:
    """Trains every lane. ``program`` makes what one does, ``given`` is where they start, ``by_step`` is for ``sweep_steps``."""
    checks.no_tracers("sweep", given, compared(optimizer), data, asked.hyper)
    with contextlib.ExitStack() as stack:
        # What a sweep moves between host and device it moves on purpose, so jax.transfer_guard lets it.
        stack.enter_context(jax.transfer_guard("allow"))
        given = jax.tree.map(own, given)
        mesh = machine.mesh_of(given, data)
        if mesh is not None and asked.checkpoint is not None:
            raise ValueError(
                "checkpoint= keeps lanes that run on one device each, but parameters or data are spread over several; "
                'with keep="carry" and params=trial a sweep goes on from a finished one.'
            )
        feeds = Feeds(data, asked, stack)
        grouped, rounds = isinstance(optimizer, Groups), list[_Work]()
        stack.callback(rounds.clear)  # they know each other by it, and would outlive the call

        def train(part: Part) -> dict[str, Finished]:
            feeds.begin_anew()
            if part.number == 0:  # a search may begin twice
                rounds.clear()

            def jobs_of(shaping: Collection[Axis]) -> tuple[dict[str, Settings], Jobs]:
                settings = settings_of(optimizer, asked, shaping, part)
                return settings, {
                    f"{name}/{i}" if i else name: job_of(program, given, asked, feeds.of(space.batch_size), space)
                    for name, each in settings.items()
                    for i, space in enumerate(each.spaces)
                }

            so_far = functools.partial(_so_far, rounds, grouped, by_step)
            rounds.append(_Work(jobs_of, asked, grouped, by_step, part, bar, durable, so_far, crew, mesh))
            return rounds[-1].carry_out()

        # A bar would write over what a debugger shows.
        shown = bool(asked.progress) if jax.config.values["jax_disable_jit"] else asked.progress
        durable = None if asked.checkpoint is None else stack.enter_context(_durable(asked, by_step))
        crew = None
        if asked.elsewhere is not None and not jax.config.values["jax_disable_jit"]:
            crew = stack.enter_context(on_ray.crew(asked.elsewhere, asked.plan.workers))
        with partial_result(lambda: _so_far(rounds, grouped, by_step), durable), Progress(shown) as bar:
            search = None if asked.search is None else _searching(asked.search, optimizer, data, asked)
            if search is not None and durable is not None:
                search.goes_on(durable.asked_before)
            finished = train(Part()) if search is None else search.carry_out(train)
            while isinstance(durable, Sharing) and durable.takes_over(rounds[-1].outcomes):
                finished = train(Part(again=True))
        results = {name: result_of(each, by_step) for name, each in finished.items()}
        result = _as_result(results, grouped)
        if durable is not None:
            durable.finish(result)
    return result


def _durable(asked: Asked, by_step: bool) -> Durable:
    """What keeps the sweep."""
    if jax.config.values["jax_disable_jit"]:
        raise ValueError("checkpoint= keeps what compiled code trains; under jax.disable_jit() leave it out.")
    assert asked.checkpoint is not None
    if asked.slice is None:
        return Durable(asked.checkpoint, by_step, asked.eval_every)
    ends = bool(getattr(asked.pruner, "ends", False))
    prunes = asked.pruner is not None and not ends, ends
    return Sharing(asked.checkpoint, by_step, asked.eval_every, asked.slice, prunes)


def _so_far(rounds: Sequence[_Work], grouped: bool, by_step: bool) -> SweepResult | GroupedResult | None:
    """What was recorded until now; None where it is not even known what is to run."""
    found: dict[str, list[Finished]] = {}
    for work in rounds:
        for name, each in work.so_far().items():
            found.setdefault(name, []).append(each)
    results = {name: result_so_far(joined(parts), by_step) for name, parts in found.items()}
    return _as_result(results, grouped) if results else None


def _as_result(results: Mapping[str, SweepResult], grouped: bool) -> SweepResult | GroupedResult:
    return GroupedResult(results) if grouped else results[""]


def _searching(search: OptunaSearch, optimizer: Any, data: Any, asked: Asked) -> Searching:
    axes = {name: axes_of(tree, asked.hyper, asked.batch_size) for name, tree in values_of(optimizer).items()}
    made = Searching(search, axes, asked.samples, asked.seed, asked.maximize)
    if isinstance(data, Iterator) and len(made.sizes) > 1:
        raise ValueError(
            "search= trains one round of settings after the other, but data is an iterator, which can be passed over once "
            "only; give what can be passed over again (a list, a DataLoader), arrays, a function, or batch=samples."
        )
    return made


class _Work:
    """The jobs of a call, traced and carried out.

    Args:
      jobs_of: makes the settings of each group and their jobs, of the axes of whole numbers in ``hyper`` that shape programs.
      asked: the arguments of the call.
      grouped: whether several optimizers are compared.
      by_step: whether it is for ``sweep_steps``.
      part: what is trained of what the call asks for.
      bar: shows how far it is.
      durable: keeps it; None: nobody does.
      grids: makes a result of all that the call has begun until now.
      crew: works elsewhere; None: threads of this process do.
      mesh: over which each lane is spread; None: lanes run on one device.
    """

    def __init__(
        self,
        jobs_of: Callable[[Collection[Axis]], tuple[dict[str, Settings], Jobs]],
        asked: Asked,
        grouped: bool,
        by_step: bool,
        part: Part,
        bar: Progress,
        durable: Durable | None,
        grids: Callable[[], SweepResult | GroupedResult | None],
        crew: Crew | None = None,
        mesh: Any = None,
    ) -> None:
        self.durable, self.grids, self.crew, self.mesh = durable, grids, crew, mesh
        self.asked, self.grouped, self.by_step, self.part, self.bar = asked, grouped, by_step, part, bar
        self.make_jobs = jobs_of
        self.outcomes: dict[str, Outcome] = {}
        self.finished: dict[str, Finished] = {}
        self.counts = frozenset(place.axis for place in places(asked.hyper) if counts(place.axis))
        self.settings: dict[str, Settings] = {}
        self.jobs: Jobs = {}
        self.reached: Callable[[], Mapping[str, Reached]] = self._nothing

    def carry_out(self) -> dict[str, Finished]:
        """What ran of each group, and what came of it."""
        in_turn = self.mesh is not None or jax.config.values["jax_disable_jit"]
        self.outcomes = self._stepped() if in_turn else self._compiled()
        tell_of_lost(self.jobs, self.outcomes)
        self.finished = {name: self._of_group(name, self.outcomes) for name in self.settings}
        return self.finished

    def so_far(self) -> dict[str, Finished]:
        """What there would be of each group if all had ended now; empty where it is not even known what is to run."""
        if self.finished or not self.jobs:
            return self.finished
        outcomes = {key: each.outcome(self.asked.steps) for key, each in self.reached().items()}
        return {name: self._of_group(name, outcomes) for name in self.settings}

    def _of_group(self, name: str, outcomes: Mapping[str, Outcome]) -> Finished:
        mine = of_group(self.jobs, name)
        return Finished(self.settings[name], [self.jobs[key] for key in mine], [outcomes[key] for key in mine])

    def _stepped(self) -> dict[str, Outcome]:
        self._jobs_of(self._shaping() if self.counts and not self._traces(()) else ())
        with eager.nans_explained():
            one_by_one = eager.Eager if self.mesh is None else functools.partial(Spread, self.mesh)
            stepped = one_by_one(self.jobs, self._check, self.bar.tick)
            between = self._between(stepped.recorded)
            self._watch(stepped.reached)
            return stepped.carry_out(between)

    def _compiled(self) -> dict[str, Outcome]:
        traced = self._traced()
        with contextlib.closing(traced), eager.nans_explained():
            for key, job in self.jobs.items():
                self._check(job, traced.runtimes[key].analysis.names)
            if not (self.part.number or self.part.again):
                tell_of_unread(self.asked.hyper, self.settings, {key: r.analysis for key, r in traced.runtimes.items()})
                tell_of_rests(() if self.by_step else self.jobs.values())
            if self.part.hear:
                self.part.hear(traced.recorded)
            between = self._between(traced.recorded)
            self._watch(traced.reached)
            if self.durable is None:
                traced.carry_out(self.asked.plan, self.bar.tick, between and between())
                return traced.outcomes()
            self.durable.begin(traced, self.settings, self.jobs, self.grids(), self.part)
            with self.durable.saving() as saver:
                traced.carry_out(self.asked.plan, self.bar.tick, between and between(), saver)
            self.durable.settle()
            return {key: self.durable.in_all(key, outcome) for key, outcome in traced.outcomes().items()}

    def _nothing(self) -> dict[str, Reached]:
        def waiting(job: Job) -> Reached:
            records = Records(job)
            states = np.full(records.steps_done.shape, State.WAITING)
            return Reached(self.asked.plan, records, states, records.steps_done, 0.0, 0.0)

        return {key: waiting(job) for key, job in self.jobs.items()}

    def _watch(self, reached: Callable[[], Mapping[str, Reached]]) -> None:
        self.reached, asked = reached, self.asked
        lanes = self.part.to_come * len(asked.seeds)
        steps = asked.steps - next(iter(self.jobs.values())).first
        facts = facts_of(self.settings, self.jobs, self._groups(), asked.pruner, asked.rungs, reached)
        self.bar.watch(facts, (lanes, lanes * steps))

    def _groups(self) -> dict[str, list[str]]:
        return {name: of_group(self.jobs, name) for name in self.settings}

    def _between(self, recorded: Callable[[str], Any]) -> Callable[[], Teller] | None:
        """Makes who acts where lanes wait for each other; ``recorded`` says what a job records."""
        asked = self.asked
        if asked.pruner is None and not asked.callbacks:
            return None

        def make() -> Teller:
            groups, pruner = self._groups(), asked.pruner
            rules = (self.jobs, list(groups.values()), asked.maximize, recorded)
            number, exchange = self.part.number, getattr(self.durable, "exchange", None)
            decider = None if pruner is None else Decider(pruner, *rules, again=number > 0)
            return Teller(decider, asked.callbacks, self.jobs, groups, self.settings, self.by_step, self.bar, number, exchange)

        return make

    def _jobs_of(self, shaping: Collection[Axis]) -> None:
        self.settings, self.jobs = self.make_jobs(shaping)

    def _traced(self) -> Sweep:
        """Every program of every group, traced: mistakes show before the first one has run."""
        self._jobs_of(())
        try:
            return self._sweep(self.jobs)
        except Exception:
            if not self.counts or not (shaping := self._shaping()):
                raise
        self._jobs_of(shaping)
        return self._sweep(self.jobs)

    def _sweep(self, jobs: Jobs) -> Sweep:
        if self.crew is not None and any(job.feed.lockstep for job in jobs.values()):
            raise ValueError(
                "workers=jopt.RayWorkers() runs blocks in other processes, to which an iterable of batches can not travel; "
                "give data as arrays or as a function batch(key, step), or leave workers= out."
            )
        return Sweep(jobs, self.asked.plan.workers, self.crew)

    def _shaping(self) -> frozenset[Axis]:
        """The axes of whole numbers in ``hyper`` that a program needs in Python, by trial; none if that does not help."""
        if not self._traces(self.counts):
            return frozenset()
        return frozenset(axis for axis in self.counts if not self._traces(self.counts - {axis}))

    def _traces(self, shaping: Collection[Axis]) -> bool:
        try:
            self._sweep(self.make_jobs(shaping)[1]).close()
        except Exception:  # whatever the user's functions raise on a tracer, the number can't be one
            return False
        return True

    def _check(self, job: Job, recorded: Iterable[str]) -> None:
        dimensions = job.space.dimensions
        swept = [name for d in dimensions for name in (d.name, *(m[0] for m in d.members))]
        batches = [EXAMPLES, EVALUATED_EXAMPLES] if isinstance(self.asked.batch_size, Axis) else []
        check_names([*swept, *batches], recorded, self.grouped)

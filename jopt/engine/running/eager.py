"""One lane after the other, a step a call: a sweep under ``jax.disable_jit()``, so that ``print`` and ``pdb`` work in a loss.

Lane after lane takes its steps, in Python and in the caller's thread, with the keys, batches and records of a compiled sweep.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.evaluation import Mode
from jopt.engine.job import Job
from jopt.engine.lanes.best import better, mode_of
from jopt.engine.lanes.blocks import Block, key_kinds, to_device
from jopt.engine.lanes.records import Records
from jopt.engine.lanes.table import State
from jopt.engine.planning.plan import Plan
from jopt.engine.program import keys_of
from jopt.engine.running.carry_out import Between
from jopt.engine.running.reached import Outcome, Reached
from jopt.spaces import Setting
from jopt.values.trees import flatten, structure


class Calls:
    """What a lane computes, called as it stands there."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def start(self, setting: Setting, key: Any) -> Any:
        """The first carry."""
        return arrays(self.job.program.start(setting, key, self.job.given))

    def placed(self, leaves: Sequence[Any], like: Sequence[Any]) -> list[Any]:
        """The leaves of a carry that come from the host, as those of the first one."""
        return to_device(leaves, like, None)

    def step(self, setting: Setting, carry: Any, row: Any, keys: Any, step: Any, told: Any) -> tuple[Any, dict[str, Any]]:
        """The carry one step further, and what is recorded; ``keys`` are those of the loss and of the batches."""
        loss_key, data_key = (jax.random.fold_in(key, step) for key in keys)
        batch = self.job.program.batch(setting, self.job.feed.data, row, data_key, step)
        carry, metrics = self.job.program.step(setting, carry, batch, loss_key, told)
        return arrays(carry), metrics

    def evaluate(self, setting: Setting, carry: Any) -> dict[str, Any]:
        """The metrics of a carry."""
        return self.job.program.evaluate(setting, carry)


class Eager:
    """The jobs of one call, carried out in Python.

    Args:
      jobs: by name.
      check_names: hears what a job records as soon as that is known.
      tick: called after each step.
    """

    plan = Plan(1, 1, "host", 1, "jax.disable_jit() runs lane after lane and compiles nothing")

    def __init__(
        self, jobs: Mapping[str, Job], check_names: Callable[[Job, Iterable[str]], None], tick: Callable[[], None]
    ) -> None:
        self.jobs = jobs
        self.records = {name: Records(job) for name, job in jobs.items()}
        self.lanes: dict[str, list[Lane]] = {}
        for name, job in jobs.items():
            calls = self.calls(job)
            self.lanes[name] = [
                Lane(job, calls, self.records[name], setting, seed, tick, check_names)
                for setting in range(job.space.size)
                for seed in range(len(job.seeds))
            ]
        self.seconds = dict.fromkeys(jobs, 0.0)

    def calls(self, job: Job) -> Calls:
        """What the lanes of a job call."""
        return Calls(job)

    def recorded(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a job has recorded: the names of a step's values, and of its evaluations."""
        return tuple(self.records[name].losses), tuple(self.records[name].metrics)

    def reached(self) -> dict[str, Reached]:
        """How far each job is."""
        return {name: self._reached(name) for name in self.jobs}

    def _reached(self, name: str) -> Reached:
        records, seconds = self.records[name], self.seconds[name]
        states = np.reshape([lane.state for lane in self.lanes[name]], records.steps_done.shape)
        return Reached(
            self.plan, records, states, records.steps_done, 0.0, seconds, pace=records.lane_steps / seconds if seconds else 0.0
        )

    def carry_out(self, between: Callable[[], Between] | None) -> dict[str, Outcome]:
        """Runs every job to its last step; ``between`` makes who acts between two steps."""
        acts = between and between()
        lockstep = any(job.feed.lockstep for job in self.jobs.values())
        # Batches of an iterable come once, so all lanes take each before the next one; so do those that wait for each other.
        if lockstep or acts is None:
            each = [(name, lane) for name, lanes in self.lanes.items() for lane in lanes]
            for lanes in [each] if lockstep else [[lane] for lane in each]:
                self._run(lanes, acts, [] if acts is None else acts.groups)
        else:
            for names in acts.groups:
                self._run([(name, lane) for name in names for lane in self.lanes[name]], acts, [names])
        for name, records in self.records.items():
            records.close(self._reached(name).states == State.DEAD)
        return {name: self.outcome(name) for name in self.jobs}

    def outcome(self, name: str) -> Outcome:
        """What came of a job."""
        return Outcome(self.plan, self.records[name], 0.0, self.seconds[name])

    def ends(self, job: Job) -> Iterable[int]:
        """The steps to which one lane after the other is taken."""
        return range(job.first + 1, job.steps + 1)

    def advance(self, lane: Lane, until: int, beside: int) -> None:
        """Takes a lane to a step; ``beside`` is how many take turns."""
        lane.advance()

    def _run(self, lanes: Sequence[tuple[str, Lane]], between: Between | None, groups: Sequence[Sequence[str]]) -> None:
        """Runs lanes side by side; ``groups`` are those whose lanes wait for each other."""
        job = next(iter(self.jobs.values()))
        for step in self.ends(job):
            for name, lane in lanes:
                begin = time.perf_counter()
                self.advance(lane, step, len(lanes))
                self.seconds[name] += time.perf_counter() - begin
            job.feed.forget(step)
            if between and (step in job.stops or step in job.looks or step == job.steps):
                self._act(between, step, groups)

    def _act(self, between: Between, step: int, groups: Sequence[Sequence[str]]) -> None:
        job = next(iter(self.jobs.values()))
        for names in groups:
            if step in job.stops:
                for name, decision in between.decide(step, {name: self._reached(name) for name in names}).items():
                    for lane in self.lanes[name]:
                        if decision.stops[lane.place]:
                            lane.end(pruned=not decision.ends)
            if step in job.looks or step == job.steps:
                between.tell(step, {name: self._reached(name) for name in names})


@contextlib.contextmanager
def nans_explained() -> Iterator[None]:
    """Says what to do where ``jax_debug_nans`` or ``jax_debug_infs`` finds something in compiled code."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "InternalFloatingPointError":  # JAX has no public name for it
            raise
        raise FloatingPointError(
            f"A lane of the sweep made {error.args[-1]}, and jax_debug_nans or jax_debug_infs looks for that; under "
            f"jax.disable_jit() the sweep runs step by step and stops where it happens. With those options off, lanes that "
            f"diverge are recorded and the others go on."
        ) from error


class Lane:
    """One setting with one seed."""

    def __init__(
        self,
        job: Job,
        calls: Calls,
        records: Records,
        setting: int,
        seed: int,
        tick: Callable[[], None],
        check_names: Callable[[Job, Iterable[str]], None],
    ) -> None:
        self.job = job
        self.calls = calls
        self.records = records
        self.tick = tick
        self.check_names = check_names
        self.seed = int(job.seeds[seed])
        self.start_key, *self.keys = keys_of(job.seed, np.uint32(self.seed))
        leaves, treedef = flatten(job.space.at(setting))
        # Of the types that they have in compiled code:
        self.setting = treedef.unflatten([jnp.asarray(x) if isinstance(x, (int, float, complex)) else x for x in leaves])
        self.block = Block(np.array([[setting]]), np.array([seed]), np.ones((1, 1), bool), job.first)
        self.told: dict[str, Any] | None = None
        self.state = State.WAITING
        self.place = setting, seed
        self.mode: Mode | None = None  # where the best is kept

    @property
    def over(self) -> bool:
        """Whether it has come to an end."""
        return self.state in (State.DONE, State.PRUNED, State.DEAD)

    def advance(self) -> None:
        """One step, unless the lane is over; before the first one the start, after the last one the end."""
        job, block = self.job, self.block
        if self.over:
            return
        if block.carry is None:
            self._start()
            self.state = State.RUNNING
        row = jax.tree.map(lambda x: jnp.asarray(x[0]), job.feed.rows(self.seed, block.step, 1))
        step = jnp.int32(block.step)
        carry, metrics = self.calls.step(self.setting, block.carry, row, self.keys, step, self.told)
        if block.step == job.first:
            self.check_names(job, metrics)
        block.carry, block.step = carry, block.step + 1
        found = {name: np.asarray(x).reshape(1) for name, x in metrics.items()}
        self.records.steps_recorded(block, block.step - 1, 1, found)
        self.tick()
        if self.told is not None:
            self.told["evaluated"] = jnp.asarray(False)
        if block.step in self.records.eval_steps:
            self._evaluate(metrics)
        if block.step == job.steps:
            self.end()

    def end(self, pruned: bool = False) -> None:
        """Keeps what the result keeps of a lane, at its last step or before."""
        job, block = self.job, self.block
        if not self.over:
            if pruned:
                self.records.pruned_at[self.place] = block.step
            leaves = jax.tree.leaves(block.carry)
            self.records.ended(block, leaves, [False] * len(leaves), lambda *lane: self.first())
            self.records.finished(block, self._kept())
            dead = job.program.dies and self._died(job.program.kept(block.carry))
            self.state = State.DEAD if dead else State.PRUNED if pruned else State.DONE
            block.carry = block.best = None

    def _died(self, kept: Any) -> bool:
        """Whether a compiled sweep would have stopped this lane where its loss was not finite."""
        floats = [x for x in jax.tree.leaves(kept) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return not np.isnan(self.records.diverged_at[self.place]) and not all(bool(jnp.isfinite(x).all()) for x in floats)

    def first(self) -> list[Any]:
        """The leaves of the first carry."""
        return jax.tree.leaves(self.calls.start(self.setting, self.start_key))

    def _start(self) -> None:
        job, block, begun = self.job, self.block, self.job.begun
        block.carry = self.calls.start(self.setting, self.start_key)
        self.records.key_kinds = key_kinds(block.carry)
        if begun is not None:
            begun.check(block.carry, self.setting.optimizer)
            leaves, treedef = flatten(begun.of(self.place[1]))
            block.carry = treedef.unflatten(self.calls.placed(leaves, jax.tree.leaves(block.carry)))
        if job.program.feedback or job.keep == "best":
            metrics = self.calls.evaluate(self.setting, block.carry)
            self.mode = mode_of(job, list(metrics))
        if block.step in self.records.eval_steps:
            self._evaluate({})
        if job.program.feedback:
            told = None if begun is None else begun.told(self.place[1], metrics)
            fresh = begun is not None and told is not None and begun.fresh
            self.told = {"metrics": arrays(told) if told else metrics, "evaluated": jnp.asarray(fresh)}

    def _evaluate(self, recorded: Iterable[str]) -> None:
        job, block = self.job, self.block
        metrics = self.calls.evaluate(self.setting, block.carry)
        self.check_names(job, [*recorded, *metrics])
        self.records.evaluated(block, block.step, {name: np.asarray(x) for name, x in metrics.items()})
        if self.mode is not None and block.step > 0:
            leaves = jax.tree.leaves(job.program.kept(block.carry))
            block.best = better((), (False,) * len(leaves), self.mode, block.best, next(iter(metrics.values())), leaves)
        if job.program.feedback:  # a plateau is not told of what was before the first step
            self.told = {"metrics": metrics, "evaluated": jnp.asarray(block.step > 0)}

    def _kept(self) -> Any:
        """What the result keeps of the lane."""
        job, block = self.job, self.block
        if job.keep in ("none", "carry"):
            return block.carry if job.keep == "carry" else None
        kept = job.program.kept(block.carry)
        kept = kept if block.best is None else structure(kept).unflatten(block.best[1:])
        return job.program.fitted(kept, block.carry)


def arrays(tree: Any) -> Any:
    """A tree whose leaves are arrays of JAX's."""
    return jax.tree.map(jnp.asarray, tree)

"""From arguments to a result: a job for each group, carried out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from jopt.axes import Drawn
from jopt.engine.data.feeding import feed_of
from jopt.engine.data.sources import Feed
from jopt.engine.evaluation import Metrics
from jopt.engine.job import Job
from jopt.engine.planning.plan import Plan
from jopt.engine.program import Program
from jopt.engine.running import eager
from jopt.engine.running.carry_out import Outcome, Sweep
from jopt.expanding import Groups, expand
from jopt.results import GroupedResult, Progress, SweepResult
from jopt.sweeps.arguments import Asked, compared
from jopt.sweeps.outcomes import result_of
from jopt.transformation import GradientTransformation
from jopt.values import checks
from jopt.values.names import check_names
from jopt.values.pairs import as_pair, is_transformation


def run(
    program: Callable[[Feed, Any], Program], given: Any, optimizer: Any, data: Any, asked: Asked, by_step: bool = False
) -> SweepResult | GroupedResult:
    """Trains every lane of every group.

    ``program`` makes what one lane does, ``given`` are parameters to start from; ``by_step`` is for ``sweep_steps``.
    """
    checks.no_tracers("sweep", given, compared(optimizer), data)
    jobs: dict[str, Job] = {}
    with contextlib.ExitStack() as stack:
        # What a sweep moves between host and device it moves on purpose, so jax.transfer_guard lets it.
        stack.enter_context(jax.transfer_guard("allow"))
        given = jax.tree.map(_own, given)
        first = 0 if asked.begun is None else asked.begun.step
        feed = stack.enter_context(contextlib.closing(feed_of(data, asked.batch_size, asked.seed, asked.steps, first)))
        maximize = asked.evaluate.maximize if isinstance(asked.evaluate, Metrics) else ()
        for name, space in _spaces(optimizer, asked).items():
            jobs[name] = Job(
                space=space,
                program=program(feed, space.optimizer),
                feed=feed,
                seeds=tuple(asked.seeds),
                steps=asked.steps,
                given=given,
                seed=asked.seed,
                eval_steps=tuple(asked.evaluations.tolist()),
                record_every=asked.record_every,
                begun=asked.begun,
                keep=asked.keep,
                maximize=maximize,
            )
        outcomes = _carry_out(jobs, asked.plan, asked.progress)
    results = {name: result_of(jobs[name], outcome, by_step) for name, outcome in outcomes.items()}
    return GroupedResult(results) if isinstance(optimizer, Groups) else results[""]


def _spaces(optimizer: Any, asked: Asked) -> dict[str, Any]:
    """The settings of each group; ``samples=`` is for those with drawn axes, or an error if there are none."""
    values = {name: jax.tree.map(_as_value, tree, is_leaf=is_transformation) for name, tree in compared(optimizer).items()}
    drawn = {name for name, value in values.items() if any(isinstance(x, Drawn) for x in jax.tree.leaves(value))}
    samples = {name: asked.samples if name in drawn or not drawn else None for name in values}
    return {name: expand(value, samples[name], asked.seed) for name, value in values.items()}


def _carry_out(jobs: dict[str, Job], plan: Plan, progress: bool | None) -> dict[str, Outcome]:
    def check(job: Job, recorded: Iterable[str]) -> None:
        swept = [name for d in job.space.dimensions for name in (d.name, *(m[0] for m in d.members))]
        check_names(swept, recorded, "" not in jobs)

    lanes, lane_steps = (sum(count) for count in zip(*((j.lanes, j.lane_steps) for j in jobs.values()), strict=True))
    bar_of = functools.partial(Progress, total_lane_steps=lane_steps, lanes=lanes, description="sweep")
    if jax.config.values["jax_disable_jit"]:
        # A bar would write over what a debugger shows.
        with eager.nans_explained(), bar_of(bool(progress)) as bar:
            return eager.carry_out(jobs, bar, check)
    traced = Sweep(jobs, plan.workers)  # every group: mistakes show before the first one has run
    with contextlib.closing(traced), eager.nans_explained():
        for name, job in jobs.items():
            check(job, traced.runtimes[name].analysis.names)
        with bar_of(progress) as bar:
            return traced.carry_out(plan, bar)


def _own(x: Any) -> Any:
    """A copy of a NumPy array, which the user may change while lanes still start from it."""
    return np.array(x, x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x


def _as_value(pair: Any) -> GradientTransformation:
    """A pair of Optax's as a value without numbers, so that it can be handed to compiled code."""
    return pair if isinstance(pair, GradientTransformation) else GradientTransformation(*as_pair(pair))

"""The sweep: every setting and seed trained side by side, in one call."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jopt import _checks
from jopt._numbers import whole
from jopt._pairs import as_pair, is_transformation
from jopt._values import is_value
from jopt.axes import Drawn
from jopt.engine import program as programs
from jopt.engine.carry_out import Outcome, carry_out
from jopt.engine.feeding import feed_of
from jopt.engine.plan import Plan
from jopt.engine.program import Program
from jopt.engine.records import Records
from jopt.engine.runner import Job
from jopt.engine.sources import Feed
from jopt.expanding import expand
from jopt.transformation import GradientTransformation

if TYPE_CHECKING:
    from jopt.results import SweepResult


def sweep(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Any,
    data: Any = None,
    *,
    steps: int,
    batch_size: int | None = None,
    seeds: int | Sequence[int] = 1,
    samples: int | None = None,
    has_aux: bool = False,
    evaluate: Callable[[Any], Mapping[str, Any]] | None = None,
    eval_every: int | None = None,
    record_every: int = 1,
    plan: Plan | str = "auto",
    workers: int | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> SweepResult:
    """Trains every setting of an optimizer with axes, with every seed, side by side.

    ``wₜ₊₁ = wₜ + update(∇ loss(wₜ, batchₜ))`` for each lane: one setting with one seed. Lanes of one seed see the same
    initial parameters, batches and keys. A lane computes what its run alone would compute, within floating-point
    tolerance, however the lanes are grouped into blocks; a lane that diverges changes no other.

    Args:
      loss: ``loss(params, batch)``, or ``loss(params, batch, key)``, a floating scalar; with ``has_aux``, a pair of that and a
        dict of named scalars. Pass the same function object to a second sweep and nothing is compiled again.
      params: The initial parameters, a pytree of floating arrays; or ``init(key)``, which makes each seed's own.
      optimizer: A jopt value, with axes where numbers stand (none: a sweep of one setting); or a dict of them by name, which
        are swept one after the other in the same call.
      data: A pytree of arrays whose leading axis counts examples (a list counts as a pytree; arrays of more than half of the
        device's memory stay on the host); or ``batch(key, step)``, traced into the step; or an iterable of batches, read ahead
        by a thread and passed over again when it ends; or ``None``: the batch is ``None``.
      steps: Optimizer steps of each lane, at least 1.
      batch_size: Examples per step, reshuffled each epoch, without replacement; ``None`` for all of them at each step.
      seeds: How many seeds, or the seeds themselves, ints of at least 0.
      samples: How many settings to draw, where an axis is drawn.
      has_aux: Whether the loss returns auxiliary values; they are recorded like the loss.
      evaluate: ``evaluate(params) -> {name: scalar}``, pure.
      eval_every: Steps between evaluations; by default such that there are about 20. The last step is always evaluated.
      record_every: Steps between records of the loss; a record is the mean over the steps since the last one.
      plan: "auto", or a ``jopt.Plan``.
      workers: Threads that run blocks side by side; by default one per core, or per accelerator.
      progress: Whether to show a bar; by default on a terminal only.
      seed: Of the sweep: with a lane's own seed it decides the initial parameters, batches and keys.

    Returns:
      A ``jopt.SweepResult``: labelled curves, the best setting, pictures.

    Raises:
      ValueError: For an argument out of its range, data that do not fit, a loss that is no scalar.
      TypeError: For an argument of the wrong kind.

    Example:
      >>> result = jopt.sweep(lambda w, _: w**2, jax.numpy.float32(1.0), jopt.sgd(jopt.choice(0.1, 0.5)), steps=3)
      >>> result.best().hyperparams
      {'learning_rate': 0.5}
    """
    if not callable(loss):
        raise TypeError(f"sweep takes (loss, params, optimizer, data); the loss is a {type(loss).__name__}, not a function.")
    for name, value in optimizer.items() if isinstance(optimizer, dict) else [("", optimizer)]:
        _check_optimizer(name, value, [value])
    made_by_init = _is_function(params)
    if not made_by_init:
        _checks.params("sweep", params)
        if not jax.tree.leaves(params):
            raise ValueError(f"sweep: params has no leaves to train: {params!r}; give a pytree of arrays, or init(key).")

    def program(feed: Feed, value: Any) -> Program:
        return Program(
            start=programs.StartGradient(params if made_by_init else None),
            step=programs.StepGradient(loss, programs.takes_key(loss), has_aux),
            evaluate=None if evaluate is None else programs.EvaluateParams(evaluate),
            kept=programs.first,
            source=feed.source,
            feedback=_monitors(value, evaluate),
        )

    return _sweep(program, None if made_by_init else params, optimizer, data, **_rest(locals()))


def sweep_steps(
    init: Callable[[Any, Any], Any],
    step: Callable[[Any, Any, Any, Any], Any],
    optimizer: Any,
    data: Any = None,
    *,
    steps: int,
    batch_size: int | None = None,
    seeds: int | Sequence[int] = 1,
    samples: int | None = None,
    evaluate: Callable[[Any], Mapping[str, Any]] | None = None,
    eval_every: int | None = None,
    record_every: int = 1,
    plan: Plan | str = "auto",
    workers: int | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> SweepResult:
    """Sweeps a training step of your own, for models with more than parameters: batch norm, averages, several optimizers.

    ``carry = init(optimizer, key)``, then ``carry, metrics = step(optimizer, carry, batch, key)`` for each step and lane;
    everything else is as in ``jopt.sweep``, which is written with this.

    Args:
      init: ``init(optimizer, key) -> carry``, a pytree of arrays; the key is the seed's own.
      step: ``step(optimizer, carry, batch, key) -> (carry, {name: scalar})``. Name the training loss "loss": divergence is
        watched on it (on the first metric, where there is none).
      optimizer: A jopt value with axes where numbers stand, or a dict of them by name. It may be any pytree of such values,
        where the step uses several.
      data: As in ``jopt.sweep``.
      steps: Steps of each lane, at least 1.
      batch_size: As in ``jopt.sweep``.
      seeds: As in ``jopt.sweep``.
      samples: As in ``jopt.sweep``.
      evaluate: ``evaluate(carry) -> {name: scalar}``, pure.
      eval_every: As in ``jopt.sweep``.
      record_every: As in ``jopt.sweep``.
      plan: As in ``jopt.sweep``.
      workers: As in ``jopt.sweep``.
      progress: As in ``jopt.sweep``.
      seed: As in ``jopt.sweep``.

    Returns:
      A ``jopt.SweepResult``; ``Trial.params`` is the final carry.

    Raises:
      ValueError: For an argument out of its range.
      TypeError: For an argument of the wrong kind.

    Example:
      >>> def init(opt, key):
      ...     return jax.numpy.float32(1.0), opt.init(jax.numpy.float32(1.0))
      >>> def step(opt, carry, batch, key):
      ...     w, state = carry
      ...     u, state = opt.update(2 * w, state, w)
      ...     return (w + u, state), {"loss": w**2}
      >>> result = jopt.sweep_steps(init, step, jopt.sgd(jopt.choice(0.1, 0.5)), steps=3)
      >>> result.best().hyperparams
      {'learning_rate': 0.5}
    """
    for name, function in (("init", init), ("step", step)):
        if not callable(function):
            raise TypeError(f"sweep_steps: {name} must be a function, but is a {type(function).__name__}.")

    def program(feed: Feed, value: Any) -> Program:
        return Program(
            start=programs.StartCarry(init),
            step=programs.StepCarry(step),
            evaluate=None if evaluate is None else programs.EvaluateCarry(evaluate),
            kept=programs.whole,
            source=feed.source,
        )

    return _sweep(program, None, optimizer, data, **_rest(locals()))


_REST = ("steps", "batch_size", "seeds", "samples", "eval_every", "record_every", "plan", "workers", "progress", "seed")


def _rest(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in (*_REST, "evaluate")}


def _sweep(
    program: Callable[[Feed, Any], Program],
    given: Any,
    optimizer: Any,
    data: Any,
    *,
    steps: int,
    batch_size: int | None,
    seeds: int | Sequence[int],
    samples: int | None,
    eval_every: int | None,
    record_every: int,
    plan: Plan | str,
    workers: int | None,
    progress: bool | None,
    seed: int,
    evaluate: Callable[..., Any] | None,
) -> SweepResult:
    steps, record_every = whole("steps", steps), whole("record_every", record_every)
    seed_list, seed = _seeds(seeds), whole("seed", seed, at_least=0) % 2**32
    evaluations = _evaluation_steps(steps, eval_every, evaluate)
    asked = _plan(plan, workers)
    groups = _groups(optimizer)
    drawn = {name: any(isinstance(x, Drawn) for x in jax.tree.leaves(value)) for name, value in groups.items()}
    jobs = {}
    with contextlib.closing(feed_of(data, batch_size, seed, steps)) as feed:
        for name, value in groups.items():
            space = expand(value, samples if drawn[name] or not any(drawn.values()) else None, seed)
            job_program = program(feed, value)
            records = Records(space.size, len(seed_list), steps, record_every, evaluations)
            jobs[name] = Job(space, job_program, feed, seed_list, steps, records, given, seed)
        outcomes = _carry_out(jobs, asked, progress)
    results = {name: _result(jobs[name], outcome) for name, outcome in outcomes.items()}
    if not isinstance(optimizer, dict):
        return results[""]
    from jopt.results import GroupedResult

    return GroupedResult(results)


def _carry_out(jobs: dict[str, Job], asked: Plan, progress: bool | None) -> dict[str, Outcome]:
    from jopt.results import Progress, check_names

    for job in jobs.values():
        swept = [name for d in job.space.dimensions for name in (d.name, *(m[0] for m in d.members))]
        check_names(swept, job.analysis.names)  # traces every group: mistakes show before the first one has run
    lanes, lane_steps = (sum(count) for count in zip(*((j.lanes, j.lanes * j.steps) for j in jobs.values()), strict=True))
    with Progress(progress, total_lane_steps=lane_steps, lanes=lanes, description="sweep") as bar:
        return carry_out(jobs, asked, bar)


def _result(job: Job, outcome: Outcome) -> SweepResult:
    from jopt.results import SweepRecord, SweepResult, Timings

    space, records = job.space, job.records
    lanes = (*space.shape, len(job.seeds))

    def shaped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: array.reshape(*lanes, *array.shape[2:]) for name, array in arrays.items()}

    record = SweepRecord(
        dims=tuple(d.name for d in space.dimensions),
        coords={name: (d.name, np.asarray(values)) for d in space.dimensions for name, _, values in d.members},
        seeds=np.asarray(job.seeds),
        step=records.record_steps,
        eval_step=records.eval_steps if records.metrics else np.zeros(0, np.int64),
        losses=shaped(records.losses),
        metrics=shaped(records.metrics),
        diverged_at=records.diverged_at.reshape(lanes),
        steps_done=records.steps_done.reshape(lanes),
    )
    kept = [array.reshape(*lanes, *array.shape[2:]) for array in records.kept]
    return SweepResult(
        record,
        optimizer=space.optimizer,
        optimizer_at=lambda index: space.at(int(np.ravel_multi_index(index, space.shape)) if index else 0),
        params=jax.tree.unflatten(records.kept_structure, kept),
        plan=outcome.plan,
        timings=Timings(
            compile_s=job.compile_s,
            run_s=max(0.0, outcome.total_s - job.compile_s),
            total_s=outcome.total_s,
            lane_steps=job.lanes * job.steps,
        ),
    )


def _is_function(x: Any) -> bool:
    return callable(x) and len(jax.tree.leaves(x)) == 1 and jax.tree.leaves(x)[0] is x


def _groups(optimizer: Any) -> dict[str, Any]:
    from jopt.results import check_group_names

    groups = optimizer if isinstance(optimizer, dict) else {"": optimizer}
    if isinstance(optimizer, dict):
        check_group_names(groups)
    for name, value in groups.items():
        _check_optimizer(name, value, jax.tree.leaves(value, is_leaf=is_transformation))
    return {name: jax.tree.map(_as_value, value, is_leaf=is_transformation) for name, value in groups.items()}


def _check_optimizer(name: Any, value: Any, parts: Sequence[Any]) -> None:
    if not parts or not all(map(is_transformation, parts)):
        which = f"the optimizer {name!r}" if name else "the optimizer"
        hint = "; call the factory: jopt.adam(...)" if callable(value) else "; several are given as a dict by name"
        raise TypeError(f"sweep: {which} must be a transformation, but got {type(value).__name__}{hint}.")


def _as_value(pair: Any) -> GradientTransformation:
    """A pair of Optax's as a value without numbers, so that it can be handed to compiled code."""
    return pair if isinstance(pair, GradientTransformation) else GradientTransformation(*as_pair(pair))


def _seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool):
        return list(range(whole("seeds", seeds)))
    listed = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)) else []
    if not listed or not all(isinstance(s, (int, np.integer)) and 0 <= s < 2**32 for s in listed):
        raise ValueError(f"seeds must be how many, or ints of at least 0 (and under 2**32), but got {seeds!r}.")
    if len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be different, but got {seeds!r}.")
    return [int(s) for s in listed]


def _evaluation_steps(steps: int, eval_every: Any, evaluate: Any) -> np.ndarray:
    if evaluate is None:
        if eval_every is not None:
            raise ValueError("eval_every= needs evaluate=, a function from the parameters to {name: scalar}.")
        return np.zeros(0, np.int64)
    if not callable(evaluate):
        raise TypeError(f"evaluate must be a function from the parameters to {{name: scalar}}, but is {evaluate!r}.")
    every = max(1, math.ceil(steps / 20)) if eval_every is None else whole("eval_every", eval_every)
    return np.append(np.arange(every, steps, every), steps)


def _plan(plan: Any, workers: Any) -> Plan:
    if plan != "auto" and not isinstance(plan, Plan):
        raise TypeError(f'plan must be "auto" or a jopt.Plan, but got {plan!r}.')
    asked = plan if isinstance(plan, Plan) else Plan()
    if workers is None:
        return asked
    return Plan(asked.width, asked.chunk, asked.loop, whole("workers", workers))


def _monitors(value: Any, evaluate: Any) -> bool:
    """Whether a plateau in the optimizer watches an evaluation metric."""
    watched = [m for part in jax.tree.leaves(value, is_leaf=is_value) if is_value(part) for m in _monitored(part)]
    if watched and evaluate is None:
        raise ValueError(f"The optimizer monitors {watched[0]!r}, so sweep needs evaluate=, a function that returns it.")
    return bool(watched)


def _monitored(part: Any) -> list[str]:
    arguments = part.bound.arguments()
    inner = [v for a in arguments.values() for v in jax.tree.leaves(a, is_leaf=is_value) if is_value(v)]
    own = arguments.get(part.bound.spec.factory.monitor)
    return ([own] if isinstance(own, str) else []) + [m for v in inner for m in _monitored(v)]

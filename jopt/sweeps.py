"""The sweep: every setting and seed trained side by side, in one call."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jopt.axes import Drawn
from jopt.engine import program as programs
from jopt.engine.data.feeding import feed_of
from jopt.engine.data.sources import Feed
from jopt.engine.evaluation import Metrics
from jopt.engine.job import Job
from jopt.engine.planning.plan import Plan
from jopt.engine.program import Program
from jopt.engine.running import eager
from jopt.engine.running.carry_out import Outcome, Sweep
from jopt.expanding import Groups, check_tree, expand, groups
from jopt.transformation import GradientTransformation
from jopt.values import checks
from jopt.values.binding import is_value
from jopt.values.numbers import whole
from jopt.values.pairs import as_pair, is_transformation
from jopt.values.trees import is_function

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
    tolerance, however the lanes are grouped into blocks; a lane that diverges changes no other. Under ``jax.disable_jit()``
    one lane after the other runs in Python, step by step, so that ``print`` and ``pdb`` work in the loss.

    Args:
      loss: ``loss(params, batch)``, or ``loss(params, batch, key)``, a floating scalar; with ``has_aux``, a pair of that and a
        dict of named scalars. It is traced anew at each call, so that it is seen with all that it reads as it is now; the same
        code with other arrays, or defined again, compiles nothing. A Python number in it is part of the code.
      params: The initial parameters, a pytree of floating arrays; or ``init(key)``, which makes each seed's own.
      optimizer: A jopt value, with axes where numbers stand (none: a sweep of one setting); or a dict of them by name, or
        ``jopt.groups`` of it, which are swept one after the other in the same call.
      data: A pytree of arrays (NumPy's, JAX's, torch's, frames) whose leading axis counts examples, copied before the first
        step; or ``batch(key, step)``, traced into the step; or an iterable of batches, read ahead by a thread, each copied
        before the next is asked for, and passed over again when it ends; or ``None``: the batch is ``None``. A list is an
        iterable of batches; arrays that belong together are a tuple or a dict. The batches of an iterable have one structure,
        one shape and one type, so a smaller last one is left out by its maker (``drop_last=True``), else it is an error.
        Arrays of more than half of the device's memory stay on the host and are not copied: leave them as they are until
        the sweep has ended.
      steps: Optimizer steps of each lane, at least 1.
      batch_size: Examples per step of data given as arrays, reshuffled each epoch, without replacement; the examples that do
        not fill a last batch are left out of that epoch, others in each. ``None`` for all of them at each step.
      seeds: How many seeds, or the seeds themselves, different ints in [0, 2³²).
      samples: How many settings to draw, where an axis is drawn.
      has_aux: Whether the loss returns auxiliary values; they are recorded like the loss.
      evaluate: ``evaluate(params) -> {name: scalar}``, pure, or ``jopt.metrics(...)``; its first metric ranks the settings.
      eval_every: Steps between evaluations; by default such that there are about 20. The last step is always evaluated.
      record_every: Steps between records of the loss; a record is the mean over the steps since the last one.
      plan: "auto", or a ``jopt.Plan``.
      workers: Threads that run blocks side by side; by default one per core, or per accelerator.
      progress: Whether to show a bar; by default on a terminal only.
      seed: Of the sweep, in [0, 2³²): with a lane's own seed it decides the initial parameters, batches and keys.

    Returns:
      A ``jopt.SweepResult``: labelled curves, the best setting, pictures.

    Raises:
      ValueError: For an argument out of its range, data that do not fit, a loss that is no scalar; for whole numbers in the
        data beyond 32 bits where JAX's 64-bit types are off, for masked arrays, and for a batch unlike the first one.
      TypeError: For an argument of the wrong kind, for data that are no numbers, and under ``jit``, ``vmap`` or ``grad``.

    Example:
      >>> result = jopt.sweep(lambda w, _: w**2, jax.numpy.float32(1.0), jopt.sgd(jopt.choice(0.1, 0.5)), steps=3)
      >>> result.best().hyperparams
      {'learning_rate': 0.5}
    """
    if not callable(loss):
        raise TypeError(f"sweep takes (loss, params, optimizer, data); the loss is a {type(loss).__name__}, not a function.")
    optimizer = groups(optimizer) if isinstance(optimizer, dict) else optimizer
    for name, value in _groups(optimizer).items():
        _check_optimizer(name, value)
    made_by_init = is_function(params)
    if not made_by_init:
        checks.params("sweep", params)
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
            dies=True,
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
        watched on it (on the first metric, where there is none), and without ``evaluate`` it ranks the settings.
      optimizer: A jopt value with axes where numbers stand; or any pytree of such values (a tuple, a dict, a dataclass), for a
        step that uses several together; or ``jopt.groups({name: optimizer})``, which are compared as in ``jopt.sweep``.
      data: As in ``jopt.sweep``.
      steps: Steps of each lane, at least 1.
      batch_size: As in ``jopt.sweep``.
      seeds: As in ``jopt.sweep``.
      samples: As in ``jopt.sweep``.
      evaluate: ``evaluate(carry) -> {name: scalar}``, pure, or ``jopt.metrics(...)``.
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
    for name, value in _groups(optimizer).items():
        check_tree(f"sweep_steps: the optimizer {name!r}" if name else "sweep_steps: the optimizer", value)
    if isinstance(optimizer, dict):
        init, step = _OfTree(init), _OfTree(step)

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
    seed_list, seed = _seeds(seeds), _seed(seed)
    evaluations = _evaluation_steps(steps, eval_every, evaluate)
    asked = _plan(plan, workers)
    checks.no_tracers("sweep", given, _groups(optimizer), data)
    compared = _values(optimizer)
    drawn = {name: any(isinstance(x, Drawn) for x in jax.tree.leaves(value)) for name, value in compared.items()}
    given = jax.tree.map(_own, given)
    jobs = {}
    with contextlib.ExitStack() as stack:
        # What a sweep moves between host and device it moves on purpose, so jax.transfer_guard lets it.
        stack.enter_context(jax.transfer_guard("allow"))
        feed = stack.enter_context(contextlib.closing(feed_of(data, batch_size, seed, steps)))
        for name, value in compared.items():
            space = expand(value, samples if drawn[name] or not any(drawn.values()) else None, seed)
            own = program(feed, value)
            jobs[name] = Job(space, own, feed, tuple(seed_list), steps, given, seed, tuple(evaluations.tolist()), record_every)
        outcomes = _carry_out(jobs, asked, progress)
    maximize = evaluate.maximize if isinstance(evaluate, Metrics) else ()
    results = {name: _result(jobs[name], outcome, maximize) for name, outcome in outcomes.items()}
    if not isinstance(optimizer, Groups):
        return results[""]
    from jopt.results import GroupedResult

    return GroupedResult(results)


def _carry_out(jobs: dict[str, Job], asked: Plan, progress: bool | None) -> dict[str, Outcome]:
    from jopt.results import Progress, check_names

    def check(job: Job, recorded: Iterable[str]) -> None:
        swept = [name for d in job.space.dimensions for name in (d.name, *(m[0] for m in d.members))]
        check_names(swept, recorded, "" not in jobs)

    lanes, lane_steps = (sum(count) for count in zip(*((j.lanes, j.lanes * j.steps) for j in jobs.values()), strict=True))
    shown = {"total_lane_steps": lane_steps, "lanes": lanes, "description": "sweep"}
    if jax.config.values["jax_disable_jit"]:
        # A bar would write over what a debugger shows.
        with eager.nans_explained(), Progress(bool(progress), **shown) as bar:
            return eager.carry_out(jobs, bar, check)
    traced = Sweep(jobs, asked.workers)  # every group: mistakes show before the first one has run
    with contextlib.closing(traced), eager.nans_explained():
        for name, job in jobs.items():
            check(job, traced.runtimes[name].analysis.names)
        with Progress(progress, **shown) as bar:
            return traced.carry_out(asked, bar)


def _result(job: Job, outcome: Outcome, maximize: tuple[str, ...]) -> SweepResult:
    from jopt.results import SweepRecord, SweepResult, Timings

    space, records = job.space, outcome.records
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
        maximize=maximize,
    )
    kept = [array.reshape(*lanes, *array.shape[2:]) for array in records.kept]
    return SweepResult(
        record,
        optimizer=space.optimizer,
        optimizer_at=lambda index: space.at(int(np.ravel_multi_index(index, space.shape)) if index else 0),
        params=jax.tree.unflatten(records.kept_structure, kept),
        plan=outcome.plan,
        timings=Timings(
            compile_s=outcome.compile_s,
            run_s=max(0.0, outcome.total_s - outcome.compile_s),
            total_s=outcome.total_s,
            lane_steps=job.lanes * job.steps,
        ),
    )


def _own(x: Any) -> Any:
    """A copy of a NumPy array, which the user may change while lanes still start from it."""
    return np.array(x, x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x


def _groups(optimizer: Any) -> dict[str, Any]:
    """The optimizers to be compared, by name; one that is compared with no other has none."""
    return optimizer.optimizers if isinstance(optimizer, Groups) else {"": optimizer}


def _check_optimizer(name: str, value: Any) -> None:
    if not is_transformation(value):
        which = f"the optimizer {name!r}" if name else "the optimizer"
        hint = "several are compared as a dict by name, and used together by jopt.sweep_steps"
        if callable(value):
            hint = "call the factory: jopt.adam(...)"
        raise TypeError(f"sweep: {which} must be a transformation, but got {type(value).__name__}; {hint}.")


@dataclasses.dataclass(frozen=True)
class _OfTree:
    """A user's function that is given a dict of optimizers; where it seems to expect one of them, the error says so."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        try:
            return self.function(*args)
        except (AttributeError, TypeError) as error:
            error.add_note(
                "jopt.sweep_steps hands a plain dict of optimizers to init and step as it is: a tree that they use together. "
                "To compare the optimizers with each other, give jopt.groups({name: optimizer})."
            )
            raise


def _values(optimizer: Any) -> dict[str, Any]:
    from jopt.results import check_group_names

    if isinstance(optimizer, Groups):
        check_group_names(optimizer.optimizers)
    return {name: jax.tree.map(_as_value, value, is_leaf=is_transformation) for name, value in _groups(optimizer).items()}


def _as_value(pair: Any) -> GradientTransformation:
    """A pair of Optax's as a value without numbers, so that it can be handed to compiled code."""
    return pair if isinstance(pair, GradientTransformation) else GradientTransformation(*as_pair(pair))


def _seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, (int, np.integer)) and not isinstance(seeds, bool):
        return list(range(whole("seeds", seeds)))
    listed = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)) else []
    if not listed or not all(map(_is_seed, listed)):
        raise ValueError(f"seeds must be how many, or ints of at least 0 and under 2**32, but got {seeds!r}.")
    if len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be different, but got {seeds!r}.")
    return [int(s) for s in listed]


def _seed(seed: Any) -> int:
    if not _is_seed(seed):
        raise ValueError(f"seed must be a whole number of at least 0 and under 2**32, but got {seed!r}.")
    return int(seed)


def _is_seed(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool) and 0 <= int(x) < 2**32


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

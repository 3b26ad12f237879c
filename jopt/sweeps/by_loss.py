"""``sweep``: a loss is trained by gradients, with every setting and seed side by side."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import jax

from jopt import recording
from jopt.deciding import Pruner
from jopt.engine.data.sources import Feed
from jopt.engine.files import AnyPath
from jopt.engine.job import Keep
from jopt.engine.planning.plan import Plan
from jopt.engine.program import Gradient, Program
from jopt.engine.running.on_ray.workers import RayWorkers
from jopt.expanding import Groups, groups
from jopt.results import GroupedResult, Result, SweepResult, Trial
from jopt.sweeps.arguments import Asked, Pair
from jopt.sweeps.checkpoint import Checkpoint
from jopt.sweeps.functions import check_functions, check_optimizers
from jopt.sweeps.monitored import monitors
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.sweeps.running import run
from jopt.sweeps.slices import Slice
from jopt.sweeps.telling import Callback
from jopt.training import takes_key
from jopt.values import checks, require
from jopt.values.numbers import Axis
from jopt.values.trees import is_function


@overload
def sweep(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Pair,
    data: Any = ...,
    *,
    steps: int,
    batch_size: int | Axis | None = ...,
    hyper: Any = ...,
    seeds: int | Sequence[int] = ...,
    samples: int | None = ...,
    has_aux: bool = ...,
    evaluate: Callable[..., Mapping[str, Any]] | None = ...,
    eval_every: int | None = ...,
    record_every: int = ...,
    record: str | Sequence[str] = ...,
    prune: Pruner | str | None = ...,
    search: OptunaSearch | None = ...,
    keep: Keep = ...,
    plan: Plan | str = ...,
    workers: int | RayWorkers | Slice | None = ...,
    progress: bool | None = ...,
    callbacks: Callback | Sequence[Callback] = ...,
    checkpoint: AnyPath | Checkpoint | None = ...,
    seed: int = ...,
) -> SweepResult: ...
@overload
def sweep(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Mapping[str, Pair] | Groups,
    data: Any = ...,
    *,
    steps: int,
    batch_size: int | Axis | None = ...,
    hyper: Any = ...,
    seeds: int | Sequence[int] = ...,
    samples: int | None = ...,
    has_aux: bool = ...,
    evaluate: Callable[..., Mapping[str, Any]] | None = ...,
    eval_every: int | None = ...,
    record_every: int = ...,
    record: str | Sequence[str] = ...,
    prune: Pruner | str | None = ...,
    search: OptunaSearch | None = ...,
    keep: Keep = ...,
    plan: Plan | str = ...,
    workers: int | RayWorkers | Slice | None = ...,
    progress: bool | None = ...,
    callbacks: Callback | Sequence[Callback] = ...,
    checkpoint: AnyPath | Checkpoint | None = ...,
    seed: int = ...,
) -> GroupedResult: ...
def sweep(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Pair | Mapping[str, Pair] | Groups,
    data: Any = None,
    *,
    steps: int,
    batch_size: int | Axis | None = None,
    hyper: Any = None,
    seeds: int | Sequence[int] = 1,
    samples: int | None = None,
    has_aux: bool = False,
    evaluate: Callable[..., Mapping[str, Any]] | None = None,
    eval_every: int | None = None,
    record_every: int = 1,
    record: str | Sequence[str] = (),
    prune: Pruner | str | None = None,
    search: OptunaSearch | None = None,
    keep: Keep = "params",
    plan: Plan | str = "auto",
    workers: int | RayWorkers | Slice | None = None,
    progress: bool | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    checkpoint: AnyPath | Checkpoint | None = None,
    seed: int = 0,
) -> SweepResult | GroupedResult:
    """Trains every setting of an optimizer with axes, with every seed, side by side.

    ``wₜ₊₁ = wₜ + update(∇ loss(wₜ, batchₜ))`` for each lane: one setting with one seed. Lanes of one seed see the same
    initial parameters, batches and keys. A lane computes what its run alone would compute, within floating-point
    tolerance, however the lanes are grouped into blocks; a lane that diverges changes no other. Under ``jax.disable_jit()``
    one lane after the other runs in Python, step by step, so that ``print`` and ``pdb`` work in the loss.

    Args:
      loss: ``loss(params, batch)``, or ``loss(params, batch, key)``, a floating scalar; with ``has_aux``, a pair of that and a
        dict of named scalars. An argument that it names ``hyper`` does not count. It is traced anew at each call, so that it is
        seen with all that it reads as it is now; the same code with other arrays, or defined again, compiles nothing. A Python
        number in it is part of the code.
      params: The initial parameters, a pytree of floating arrays; or ``init(key)``, which makes each seed's own, with ``hyper``
        where it names it; or a ``Trial`` of a sweep with ``keep="carry"``, to go on from: each of its seeds from its own
        parameters and state. It brings its seeds, and the sweep's ``seed``. Steps go on counting, and so do schedules, keys,
        epochs and the steps between evaluations and records, so that 200 steps and 300 more are 500: bit for bit where
        lanes run one by one (``plan=jopt.Plan(width=1)``) or, without axes, in blocks of the same shape; else to rounding, as
        where one of several settings goes on alone. A record with steps before and after is two, each a mean of its own
        steps. The optimizer has the trial's structure, with other numbers or axes where you like; then each setting starts
        from that state. All else is given again: ``batch_size``, ``hyper``, ``evaluate``, ``eval_every``, ``record``, ``keep``.
        Where parameters or data are spread over several devices (by a ``jax.sharding``), they stay so: each lane runs over all
        of these, one after the other, its state lies as its parameters, and so do the trial's; ``plan`` and ``workers`` then
        do not count, and ``init`` is called as it stands, so that it may place what it makes.
      optimizer: A jopt value, with axes where numbers or structure stand (``jopt.choice``; none: a sweep of one setting); or a
        dict of them by name, or ``jopt.groups`` of it, which are swept one after the other in the same call.
      data: A pytree of arrays (NumPy's, JAX's, torch's, frames) whose leading axis counts examples, copied before the first
        step; or ``batch(key, step)``, traced into the step, with ``hyper`` where it names it; or an iterable of batches, read
        ahead by a thread, each copied before the next is asked for, and passed over again when it ends (where a sweep goes on,
        an iterator does too, and what can be passed over again begins a new pass); or ``None``: the batch is ``None``. A list
        is an iterable of batches; arrays that belong together are a tuple or a dict. The batches of an iterable have one
        structure, one shape and one type, so a smaller last one is left out by its maker (``drop_last=True``), else it is an
        error. Arrays of more than half of the device's memory stay on the host and are not copied: leave them as they are
        until the sweep has ended.
      steps: Optimizer steps of each lane, at least 1; from a ``Trial`` how many more.
      batch_size: Examples per step of data given as arrays, reshuffled each epoch, without replacement; the examples that do
        not fill a last batch are left out of that epoch, others in each. ``None`` for all of them at each step. Several sizes
        are an axis, ``jopt.choice(16, 64)``: one program each. They are compared after equal steps, in which larger batches
        have seen more examples: ``examples_seen``, beside ``step`` in the dataset, says how many.
      hyper: Numbers that are not the optimizer's (a dropout rate, a penalty, a fold), a pytree with axes where numbers or
        structure stand. Every function that has an argument named ``hyper`` (loss, init, evaluate, batch) is given the
        setting's, by keyword. Floats and arrays are numbers of the compiled program, and an axis of whole numbers arrives as
        int32; a whole number without an axis is Python's, and so is each of an axis that the program needs in Python (as a
        shape, say), with a program of its own. ``Trial.hyper`` is a setting's. The keys of a dict are sorted, and so are their
        dimensions. An axis that no function reads is warned of (numbers beside ``None`` are not looked at, nor is anything
        under ``jax.disable_jit()``). JAX takes an index that is out of range for the nearest one that is not, so of two folds
        ``choice(0, 1, 2)`` trains the second twice, without an error. Of folds take the mean over their dimension: ``best``,
        ``suggest`` and ``prune`` take each fold for a setting of its own.
      seeds: How many seeds, or the seeds themselves, different ints in [0, 2³²).
      samples: How many settings to draw, where an axis is drawn.
      has_aux: Whether the loss returns auxiliary values; they are recorded like the loss.
      evaluate: ``evaluate(params) -> {name: scalar}``, pure, with ``hyper`` where it names it, or ``jopt.metrics(...)``; its
        first metric ranks the settings. Of an optimizer that averages parameters (``jopt.schedule_free``,
        ``jopt.parameter_ema``) it is given the average, as ``jopt.evaluation_params`` makes it, and so are results.
      eval_every: Steps between evaluations; by default such that there are about 20. There is always one before the first step
        (``eval_step`` 0), unless it goes on from a ``Trial``, and one after the last. Of the one before the first step no
        plateau is told, and neither ``at="best"`` nor ``keep="best"`` takes it.
      record_every: Steps between records of the loss; a record is the mean over the steps since the last one.
      record: What is recorded beside the loss, as variables of the dataset: "rate", the learning rate that schedule and plateau
        made, as it was used in the step (where an optimizer has several, each as "rate." and its path, as in
        ``jopt.learning_rate``); "grad_norm", of the gradient that the optimizer is handed; "update_norm", of the update that
        it makes; "param_norm", of the parameters before the step, at which loss and gradient were taken. Norms are Euclidean,
        over all leaves together, in float32 or wider. With ``record_every`` they are means, as the loss is.
      prune: Who stops settings early, so that they cost nothing more: "auto", which is ``jopt.TopFraction()``, another rule of
        jopt's, or a ``jopt.Pruner`` of your own. What is stopped is out and never best, but for ``jopt.EarlyStop``. It looks
        at the training loss, or at the metric that ranks, which is evaluated then, too. With a rate that does not decay it
        warns.
      search: Who chooses the values of drawn axes, and of all others with them: ``jopt.OptunaSearch()``, round after round of
        ``samples`` settings, by what came of those before, which all stand along one dimension; ``prune`` prunes within a
        round. ``None``: drawn axes are drawn evenly, and stand beside a grid of the others.
      keep: What the result keeps of each lane, on the host. "params": the parameters that it ended with. "carry": the
        optimizer's state too, to go on from, for Adam three times as much. "best": the parameters of its best evaluation, by
        the first metric of ``evaluate`` in its direction, and ``best`` scores there; on the device they take the place of
        another set of parameters. "none": nothing.
      plan: "auto", or a ``jopt.Plan``.
      workers: Threads that run blocks side by side; by default one per core, or per accelerator. ``jopt.RayWorkers()`` has
        them run in processes of Ray, on this machine or on a cluster. ``jopt.Slice(index, count)``: this process is one of
        several that share the sweep by the directory of ``checkpoint``.
      progress: Whether to show one line that says how far it is: lanes alive, pruned and dead, the best setting so far, speed,
        time left. By default on a terminal and in a notebook; elsewhere, as in a log of a cluster, a plain line each 30 s, so
        that a sweep of less is silent. True: everywhere, and a last line at the end. False: nowhere.
      callbacks: A function, or several, called with a ``jopt.Event`` each time that all lanes which still run have come to the
        next evaluation, and after the last step: ``event.step``, ``.lanes`` (what each is doing), ``.new`` (the records since
        the last event), ``.best`` (the best setting so far). Each optimizer of several (``.group``) and each ``.round`` of a
        search has its own events. Without ``evaluate`` that is after each twentieth of the steps; where ``prune`` decides there
        is an event, too, after it has. They are called in the thread that called the sweep, one after the other; no lane runs
        meanwhile, and lanes wait there for each other. What they return counts for nothing. One that raises stops the sweep.
      checkpoint: A directory in which the sweep is kept while it runs, or a ``jopt.Checkpoint``. The same call goes on from
        there, bit for bit at the same width; with further settings, seeds or steps, or ``prune=None`` after a pruned run, it
        runs only what is new. Another loss, model, optimizer or data are refused. Ctrl-C and SIGTERM finish the chunk and save.
      seed: Of the sweep, in [0, 2³²): with a lane's own seed it decides the initial parameters, batches and keys.

    Returns:
      A ``jopt.SweepResult``: labelled curves, the best setting, pictures. Of several optimizers a ``jopt.GroupedResult``,
      which holds one of each by name.

    Raises:
      ValueError: For an argument out of its range, data that do not fit, a loss that is no scalar; for ``hyper`` that no
        function names, or that one names and is not given; for whole numbers in the data beyond 32 bits where JAX's 64-bit
        types are off, for masked arrays, and for a batch unlike the first one.
      TypeError: For an argument of the wrong kind, for data that are no numbers, and under ``jit``, ``vmap`` or ``grad``.
      Exception: Whatever a function of the user's raises (loss, init, evaluate, data, pruner, callback), and KeyboardInterrupt.
        Each carries ``partial_result``, what was recorded until then: a result without parameters, NaN where nothing ran, of
        which ``complete`` is False. Where something was trained, a note says so.

    Example:
      >>> result = jopt.sweep(lambda w, _: w**2, jax.numpy.float32(1.0), jopt.sgd(jopt.choice(0.1, 0.5)), steps=3)
      >>> result.best().hyperparams
      {'learning_rate': 0.5}

      The best goes on for two more steps:

      >>> first = jopt.sweep(lambda w, _: w**2, jax.numpy.float32(1.0), jopt.adam(jopt.choice(0.1, 0.5)), steps=3, keep="carry")
      >>> best = first.best()
      >>> longer = jopt.sweep(lambda w, _: w**2, best, best.optimizer, steps=2)
      >>> longer.dataset.step.values.tolist(), first.concat(longer).dataset.sizes["step"]
      ([4, 5], 5)
    """
    optimizer = groups(optimizer) if isinstance(optimizer, dict) else optimizer
    check_optimizers(loss, optimizer)
    init = params if is_function(params) else None
    called = {"params": (init, "key"), "evaluate": (evaluate, "params"), "data": (data, "key, step")}
    check_functions(hyper, {"loss": (loss, ""), **called})
    if init is None:
        _check_params(params)

    to_record = recording.checked(record)
    has_aux = require.flag("has_aux", has_aux)
    asked = Asked.of(
        steps=steps,
        batch_size=batch_size,
        hyper=hyper,
        seeds=seeds,
        samples=samples,
        evaluate=evaluate,
        eval_every=eval_every,
        record_every=record_every,
        prune=prune,
        search=search,
        keep=keep,
        plan=plan,
        workers=workers,
        progress=progress,
        callbacks=callbacks,
        checkpoint=checkpoint,
        seed=seed,
        trial=params if isinstance(params, Trial) else None,
    )
    given = None if init is not None else params if asked.begun is None else params.result.placed(asked.begun.of(0)[0])
    program = functools.partial(_program, loss, init, has_aux, to_record, evaluate)
    return run(program, given, optimizer, data, asked)


def _program(loss: Any, init: Any, has_aux: bool, record: tuple[str, ...], evaluate: Any, feed: Feed, value: Any) -> Program:
    return Gradient(
        loss=loss,
        init=init,
        takes_key=takes_key(loss),
        has_aux=has_aux,
        record=record,
        source=feed.source,
        evaluation=evaluate,
        feedback=monitors(value, evaluate),
    )


def _check_params(params: Any) -> None:
    if isinstance(params, Result):
        raise TypeError("sweep: params is the result of a sweep; go on from one of its trials: params=result.best().")
    if isinstance(params, (list, tuple)) and any(isinstance(x, Trial) for x in params):
        raise TypeError("sweep: params is several trials; a sweep goes on from one of them: params=result.top(5)[0].")
    if not isinstance(params, Trial):
        checks.params("sweep", params)
        checks.no_shapes("sweep", params)
        if not jax.tree.leaves(params):
            raise ValueError(f"sweep: params has no leaves to train: {params!r}; give a pytree of arrays, or init(key).")

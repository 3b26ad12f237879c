"""``sweep_steps``: a training step of the user's own, with every setting and seed side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from jopt.deciding import Pruner
from jopt.engine.data.sources import Feed
from jopt.engine.files import AnyPath
from jopt.engine.job import Keep
from jopt.engine.planning.plan import Plan
from jopt.engine.program import OwnStep, Program
from jopt.engine.running.on_ray.workers import RayWorkers
from jopt.expanding import Groups, check_tree
from jopt.results import GroupedResult, SweepResult, Trial
from jopt.sweeps.arguments import Asked, Pair, compared
from jopt.sweeps.checkpoint import Checkpoint
from jopt.sweeps.functions import check_functions
from jopt.sweeps.going_on import first_carry
from jopt.sweeps.optuna_search import OptunaSearch
from jopt.sweeps.running import run
from jopt.sweeps.slices import Slice
from jopt.sweeps.telling import Callback
from jopt.values.numbers import Axis


@overload
def sweep_steps(
    init: Callable[..., Any] | Trial,
    step: Callable[..., Any],
    optimizer: Pair,
    data: Any = ...,
    *,
    steps: int,
    batch_size: int | Axis | None = ...,
    hyper: Any = ...,
    seeds: int | Sequence[int] = ...,
    samples: int | None = ...,
    evaluate: Callable[..., Mapping[str, Any]] | None = ...,
    eval_every: int | None = ...,
    record_every: int = ...,
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
def sweep_steps(
    init: Callable[..., Any] | Trial,
    step: Callable[..., Any],
    optimizer: Groups,
    data: Any = ...,
    *,
    steps: int,
    batch_size: int | Axis | None = ...,
    hyper: Any = ...,
    seeds: int | Sequence[int] = ...,
    samples: int | None = ...,
    evaluate: Callable[..., Mapping[str, Any]] | None = ...,
    eval_every: int | None = ...,
    record_every: int = ...,
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
@overload
def sweep_steps(
    init: Callable[..., Any] | Trial,
    step: Callable[..., Any],
    optimizer: Any,
    data: Any = ...,
    *,
    steps: int,
    batch_size: int | Axis | None = ...,
    hyper: Any = ...,
    seeds: int | Sequence[int] = ...,
    samples: int | None = ...,
    evaluate: Callable[..., Mapping[str, Any]] | None = ...,
    eval_every: int | None = ...,
    record_every: int = ...,
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
def sweep_steps(
    init: Callable[..., Any] | Trial,
    step: Callable[..., Any],
    optimizer: Any,
    data: Any = None,
    *,
    steps: int,
    batch_size: int | Axis | None = None,
    hyper: Any = None,
    seeds: int | Sequence[int] = 1,
    samples: int | None = None,
    evaluate: Callable[..., Mapping[str, Any]] | None = None,
    eval_every: int | None = None,
    record_every: int = 1,
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
    """Sweeps a training step of your own, for models with more than parameters: batch norm, averages, several optimizers.

    ``carry = init(optimizer, key)``, then ``carry, metrics = step(optimizer, carry, batch, key)`` for each step and lane;
    everything else is as in ``jopt.sweep``, which is written with this.

    Args:
      init: ``init(optimizer, key) -> carry``, a pytree of arrays; the key is the seed's own. Or a ``Trial`` of an earlier
        ``jopt.sweep_steps``, to go on from: each of its seeds from the carry that it ended with, as in ``jopt.sweep``.
      step: ``step(optimizer, carry, batch, key) -> (carry, {name: scalar})``. Name the training loss "loss": divergence is
        watched on it (on the first metric, where there is none), and without ``evaluate`` it ranks the settings.
      optimizer: A jopt value with axes where numbers stand; or any pytree of such values (a tuple, a dict, a dataclass), for a
        step that uses several together; or ``jopt.groups({name: optimizer})``, which are compared as in ``jopt.sweep``.
      data: As in ``jopt.sweep``.
      steps: Steps of each lane, at least 1.
      batch_size: As in ``jopt.sweep``.
      hyper: As in ``jopt.sweep``, for an ``init``, ``step``, ``evaluate`` or batch function that has an argument named so.
      seeds: As in ``jopt.sweep``.
      samples: As in ``jopt.sweep``.
      evaluate: ``evaluate(carry) -> {name: scalar}``, pure, or ``jopt.metrics(...)``.
      eval_every: As in ``jopt.sweep``.
      record_every: As in ``jopt.sweep``. What else is to be recorded, the step returns: the rate, say, is
        ``jopt.learning_rate(optimizer, state)``.
      prune: As in ``jopt.sweep``.
      search: As in ``jopt.sweep``.
      keep: As in ``jopt.sweep``; the carry is parameters and state in one, so "params" and "carry" are the same here.
      plan: As in ``jopt.sweep``.
      workers: As in ``jopt.sweep``.
      progress: As in ``jopt.sweep``.
      callbacks: As in ``jopt.sweep``.
      checkpoint: As in ``jopt.sweep``.
      seed: As in ``jopt.sweep``.

    Returns:
      A ``jopt.SweepResult``, of ``jopt.groups`` a ``jopt.GroupedResult``; ``Trial.params`` is the final carry.

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
    trial = init if isinstance(init, Trial) else None
    for name, function in (("init", init), ("step", step)):
        if not callable(function) and (name == "step" or trial is None):
            raise TypeError(f"sweep_steps: {name} must be a function, but is a {type(function).__name__}.")
    make = None if isinstance(init, Trial) else init
    called = {"init": (make, "optimizer, key"), "step": (step, "optimizer, carry, batch, key")}
    check_functions(hyper, {**called, "evaluate": (evaluate, "carry"), "data": (data, "key, step")})
    for name, value in compared(optimizer).items():
        check_tree(f"sweep_steps: the optimizer {name!r}" if name else "sweep_steps: the optimizer", value)
    if isinstance(optimizer, dict):
        make, step = None if make is None else _OfTree(make), _OfTree(step)

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
        trial=trial,
        by_step=True,
    )
    given = None if trial is None or asked.begun is None else trial.result.placed(first_carry(trial, asked.begun))

    def program(feed: Feed, value: Any) -> Program:
        return OwnStep(init=make, own_step=step, source=feed.source, evaluation=evaluate)

    return run(program, given, optimizer, data, asked, by_step=True)


@dataclasses.dataclass(frozen=True)
class _OfTree:
    """A user's function that is given a dict of optimizers; where it seems to expect one of them, the error says so."""

    function: Callable[..., Any]

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function itself, of which the arguments are read."""
        return self.function

    def __call__(self, *args: Any, **named: Any) -> Any:
        try:
            return self.function(*args, **named)
        except (AttributeError, TypeError) as error:
            error.add_note(
                "jopt.sweep_steps hands a plain dict of optimizers to init and step as it is: a tree that they use together. "
                "To compare the optimizers with each other, give jopt.groups({name: optimizer})."
            )
            raise

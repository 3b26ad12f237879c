"""What the user asked for, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Protocol, get_args

import jax
import numpy as np

from jopt.deciding import Pruner
from jopt.engine.evaluation import Metrics
from jopt.engine.job import Begun, Keep
from jopt.engine.planning.plan import Plan
from jopt.engine.running.on_ray.workers import RayWorkers
from jopt.expanding import Groups
from jopt.kinds import Choice, Grid
from jopt.results import Trial
from jopt.sweeps.checkpoint import Checkpoint, checkpoint_of, last_interval
from jopt.sweeps.deciding import pruner_of, rungs_of
from jopt.sweeps.going_on import begun_of
from jopt.sweeps.optuna_search import OptunaSearch, search_of
from jopt.sweeps.slices import Slice
from jopt.sweeps.telling import Callback, callbacks_of, looks_of
from jopt.values import require
from jopt.values.numbers import whole

MOST = 24  # bits of how many seeds, or draws: a sweep of more has no sense, and would not fit into memory


class Pair(Protocol):
    """An optimizer, jopt's or Optax's: a pair of functions ``init`` and ``update``."""

    @property
    def init(self) -> Any:
        """``init(params) -> state``."""

    @property
    def update(self) -> Any:
        """``update(updates, state, params) -> (updates, state)``."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """The arguments that both calls have, checked and filled in."""

    steps: int  # the last one of each lane
    batch_size: Any
    hyper: Any
    seeds: list[int]
    samples: int | None
    evaluate: Any
    eval_every: int | None  # the steps between evaluations; None: there are none
    evaluations: np.ndarray  # the steps after which is evaluated, 0 among them
    pruner: Pruner | None
    rungs: tuple[int, ...]  # where it decides
    search: OptunaSearch | None
    record_every: int
    keep: Keep
    begun: Begun | None  # where the lanes go on
    plan: Plan
    elsewhere: RayWorkers | None  # who works in place of this process's threads
    progress: bool | None
    callbacks: tuple[Callback, ...]
    looks: tuple[int, ...]  # where they are told, beside the last step
    checkpoint: Checkpoint | None
    slice: Slice | None  # which of several processes this is
    seed: int

    @classmethod
    def of(
        cls,
        *,
        steps: Any,
        batch_size: Any,
        hyper: Any,
        seeds: Any,
        samples: Any,
        evaluate: Any,
        eval_every: Any,
        record_every: Any,
        prune: Any,
        search: Any,
        keep: Any,
        plan: Any,
        workers: Any,
        progress: bool | None,
        callbacks: Any,
        checkpoint: Any,
        seed: Any,
        trial: Trial | None,
        by_step: bool = False,
    ) -> Asked:
        """What is asked for by these arguments of ``jopt.sweep``; errors name them.

        ``trial`` is what the lanes go on from, ``by_step`` says whether in ``sweep_steps``.
        """
        if progress is not None:
            require.flag("progress", progress)
        more, seed = whole("steps", steps, bits=31), whole("seed", seed, at_least=0, bits=32)
        record_every, kept = whole("record_every", record_every, bits=31), checkpoint_of(checkpoint)
        every = _every(more, eval_every, evaluate)
        if every is not None and eval_every is None:  # lanes that go on keep their steps of evaluation
            every = last_interval(kept) or every
        begun = None if trial is None else begun_of(trial, every, by_step)
        first = 0 if begun is None else begun.step
        last = first + more
        evaluations, pruner = _evaluations(first, last, every), pruner_of(prune)
        rungs = rungs_of(pruner, first, last, evaluations, record_every)
        told = callbacks_of(callbacks)
        return cls(
            steps=last,
            batch_size=_batch_size(batch_size),
            hyper=hyper,
            seeds=_seeds(seeds) if trial is None else _seeds_of(trial, seeds),
            samples=samples,
            evaluate=evaluate,
            eval_every=every,
            evaluations=np.union1d(evaluations, rungs).astype(np.int64) if len(evaluations) else evaluations,
            pruner=pruner,
            rungs=rungs,
            search=search_of(search, samples),
            record_every=record_every,
            keep=_keep(keep, evaluate, by_step),
            begun=begun,
            plan=_plan(plan, None if isinstance(workers, RayWorkers) else workers),
            elsewhere=workers if isinstance(workers, RayWorkers) else None,
            progress=progress,
            callbacks=told,
            looks=looks_of(told, first, last, evaluations, rungs, record_every),
            checkpoint=kept,
            slice=_slice(workers, kept, search),
            seed=seed if trial is None else _seed_of(trial, seed),
        )

    @property
    def maximize(self) -> tuple[str, ...]:
        """The metrics that were declared to be better the higher they are."""
        return self.evaluate.maximize if isinstance(self.evaluate, Metrics) else ()


def compared(optimizer: Any) -> dict[str, Any]:
    """The optimizers to be compared, by name; one that is compared with no other has none."""
    return optimizer.optimizers if isinstance(optimizer, Groups) else {"": optimizer}


def _batch_size(size: Any) -> Any:
    """A size, or an axis of sizes, each of which is checked with the data that it cuts; here, whether it is one of these."""
    if isinstance(size, (list, tuple, range, set)) or (isinstance(size, (np.ndarray, jax.Array)) and size.ndim):
        sizes = ", ".join(map(repr, np.asarray(list(size)).ravel()[:4].tolist()))
        raise TypeError(
            f"batch_size must be a whole number, or an axis of several, each a program of its own: jopt.choice({sizes}); but "
            f"got {require.shown(size)}."
        )
    broken = [x for x in size.values if isinstance(x, float)] if isinstance(size, (Grid, Choice)) else []
    if broken:
        raise ValueError(
            f"batch_size: {size!r} holds {broken[0]!r}, but sizes are whole numbers, which geomspace and linspace make with "
            f"dtype=int: jopt.geomspace(16, 256, 3, dtype=int), or jopt.choice(16, 64)."
        )
    return size


def _seeds(seeds: Any) -> list[int]:
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes)) or getattr(seeds, "ndim", 1) == 0:
        return list(range(whole("seeds", seeds, bits=MOST)))
    each = require.listed("seeds", seeds, "different ints")
    listed = [whole(f"seeds[{i}]", seed, at_least=0, bits=32) for i, seed in enumerate(each)]
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be how many, or different ints, at least one, but got {require.shown(seeds)}.")
    return listed


def _seeds_of(trial: Trial, seeds: Any) -> list[int]:
    """The seeds that a trial brings."""
    if not isinstance(seeds, int) or seeds != 1:
        raise ValueError(
            f"A trial brings its seeds, each with its own parameters and state, so seeds= can not stand beside it, but got "
            f"{seeds!r}."
        )
    return [int(seed) for seed in trial.result.record.seeds]


def _seed_of(trial: Trial, seed: int) -> int:
    """The seed of the sweep that a trial is of, so that keys and the order of the data go on."""
    own = trial.result.record.sweep_seed
    if seed not in (0, own):
        raise ValueError(f"A trial brings the seed of its sweep, {own}, so that keys and data go on, but got seed={seed}.")
    return own


def _keep(keep: Any, evaluate: Any, by_step: bool) -> Keep:
    require.one_of("keep", keep, get_args(Keep))
    if keep == "best" and evaluate is None:
        raise ValueError('keep="best" keeps what the best evaluation was of, so it needs evaluate=.')
    return "params" if by_step and keep == "carry" else keep


def _every(steps: int, every: Any, evaluate: Any) -> int | None:
    """The steps between evaluations; None: there are none."""
    if evaluate is None:
        if every is not None:
            raise ValueError("eval_every= needs evaluate=, a function from the parameters to {name: scalar}.")
        return None
    if not callable(evaluate):
        raise TypeError(
            f"evaluate must be a function from the parameters to {{name: scalar}}, but is {require.shown(evaluate)}."
        )
    return max(1, math.ceil(steps / 20)) if every is None else whole("eval_every", every)


def _evaluations(first: int, last: int, every: int | None) -> np.ndarray:
    """The steps after which is evaluated: multiples of ``every``, also where a sweep goes on, and the last one.

    Before the first step, too, but not where a sweep goes on: the one before ended with an evaluation.
    """
    if every is None:
        return np.zeros(0, np.int64)
    start = [] if first else [0]
    return np.concatenate([start, np.arange((first // every + 1) * every, last, every), [last]]).astype(np.int64)


def _plan(plan: Any, workers: Any) -> Plan:
    if not isinstance(plan, Plan) and not (isinstance(plan, str) and plan == "auto"):
        raise TypeError(f'plan must be "auto" or a jopt.Plan, but got {require.shown(plan)}.')
    asked = plan if isinstance(plan, Plan) else Plan()
    if workers is None or isinstance(workers, Slice) or workers is Slice:
        return asked
    if not isinstance(workers, (int, np.integer)):
        raise TypeError(
            "workers must be a number of threads, jopt.Slice(index, count) for one of several processes, or jopt.RayWorkers(), "
            f"but got {require.shown(workers)}."
        )
    return Plan(asked.width, asked.chunk, asked.loop, whole("workers", workers))


def _slice(workers: Any, checkpoint: Checkpoint | None, search: Any) -> Slice | None:
    """Which of several processes this is; None: it is alone."""
    if workers is Slice:
        raise TypeError("workers=jopt.Slice: say which one, jopt.Slice(index, count), or jopt.Slice.from_environment().")
    if not isinstance(workers, Slice):
        return None
    if search is not None:
        raise ValueError(
            "workers=jopt.Slice(...) does not go together with search=: a search asks for settings by what came of those "
            "before, so its processes would have to wait for each other. Draw them all at once, with samples= alone, or give "
            "each process a sweep of its own with a study that they share (optuna.create_study(storage=...))."
        )
    if checkpoint is None:
        raise ValueError(
            "workers=jopt.Slice(...) needs checkpoint=, the directory in which all processes write down what they have trained."
        )
    return workers

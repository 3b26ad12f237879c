"""What the user asked for, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from jopt.deciding import Pruner
from jopt.engine.evaluation import Metrics
from jopt.engine.planning.plan import Plan
from jopt.expanding import Groups
from jopt.sweeps.deciding import pruner_of, rungs_of
from jopt.values.numbers import whole


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

    steps: int
    batch_size: Any
    hyper: Any
    seeds: list[int]
    samples: int | None
    evaluate: Any
    evaluations: np.ndarray  # the steps after which is evaluated, 0 among them
    pruner: Pruner | None
    rungs: tuple[int, ...]  # where it decides
    record_every: int
    plan: Plan
    progress: bool | None
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
        plan: Any,
        workers: Any,
        progress: bool | None,
        seed: Any,
    ) -> Asked:
        """What is asked for by these arguments of ``jopt.sweep``; errors name them."""
        steps = whole("steps", steps)
        record_every = whole("record_every", record_every)
        evaluations, pruner = _evaluations(steps, eval_every, evaluate), pruner_of(prune)
        rungs = rungs_of(pruner, steps, evaluations, record_every)
        return cls(
            steps=steps,
            batch_size=batch_size,  # checked with the data that it cuts
            hyper=hyper,
            seeds=_seeds(seeds),
            samples=samples,
            evaluate=evaluate,
            evaluations=np.union1d(evaluations, rungs).astype(np.int64) if len(evaluations) else evaluations,
            pruner=pruner,
            rungs=rungs,
            record_every=record_every,
            plan=_plan(plan, workers),
            progress=progress,
            seed=whole("seed", seed, at_least=0, bits=32),
        )

    @property
    def maximize(self) -> tuple[str, ...]:
        """The metrics that were declared to be better the higher they are."""
        return self.evaluate.maximize if isinstance(self.evaluate, Metrics) else ()


def compared(optimizer: Any) -> dict[str, Any]:
    """The optimizers to be compared, by name; one that is compared with no other has none."""
    return optimizer.optimizers if isinstance(optimizer, Groups) else {"": optimizer}


def _seeds(seeds: Any) -> list[int]:
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes)):
        return list(range(whole("seeds", seeds)))
    listed = [whole(f"seeds[{i}]", seed, at_least=0, bits=32) for i, seed in enumerate(seeds)]
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be how many, or different ints, at least one, but got {seeds!r}.")
    return listed


def _evaluations(steps: int, every: Any, evaluate: Any) -> np.ndarray:
    if evaluate is None:
        if every is not None:
            raise ValueError("eval_every= needs evaluate=, a function from the parameters to {name: scalar}.")
        return np.zeros(0, np.int64)
    if not callable(evaluate):
        raise TypeError(f"evaluate must be a function from the parameters to {{name: scalar}}, but is {evaluate!r}.")
    every = max(1, math.ceil(steps / 20)) if every is None else whole("eval_every", every)
    return np.concatenate([[0], np.arange(every, steps, every), [steps]])


def _plan(plan: Any, workers: Any) -> Plan:
    if plan != "auto" and not isinstance(plan, Plan):
        raise TypeError(f'plan must be "auto" or a jopt.Plan, but got {plan!r}.')
    asked = plan if isinstance(plan, Plan) else Plan()
    return asked if workers is None else Plan(asked.width, asked.chunk, asked.loop, whole("workers", workers))

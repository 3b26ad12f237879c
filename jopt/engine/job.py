"""One group's sweep as a description: everything that its lanes share, and nothing that runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jopt.engine.data.sources import Feed
from jopt.engine.program import Program
from jopt.spaces import Space
from jopt.values.pairs import by_name
from jopt.values.trees import structure

Keep = Literal["params", "carry", "best", "none"]  # what the result has of each lane beside its records


@dataclasses.dataclass(frozen=True, eq=False)
class Begun:
    """Where lanes go on that an earlier sweep has trained, each seed from its own carry.

    Attributes:
      step: how many steps they have done.
      carry: a tree of NumPy arrays ``[seeds, ...]``; random keys as their data.
      evaluated: the latest evaluation that a step may be told of, ``[seeds]`` by name; empty where there was none.
      fresh: whether no step has been told of it.
      optimizer: the rules of which the state is, by name; empty where nobody knows.
    """

    step: int
    carry: Any
    evaluated: Mapping[str, np.ndarray]
    fresh: bool
    optimizer: str = ""

    def of(self, seed: int) -> Any:
        """The carry of one seed, by its position."""
        return jax.tree.map(lambda x: x[seed], self.carry)

    def told(self, seed: int, like: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """The latest evaluation of a seed, with the names and types of ``like``; None where it has not all of these names."""
        if not set(like) <= set(self.evaluated):
            return None
        return {name: np.asarray(self.evaluated[name][seed], x.dtype) for name, x in like.items()}

    def alike(self) -> list[bool]:
        """For each leaf of the carry, whether all seeds have the same."""
        return [bool((x == x[:1]).all()) for x in jax.tree.leaves(self.carry)]

    def check(self, wanted: Any, optimizer: Any) -> None:
        """Checks that a lane of ``optimizer`` whose first carry, or its shapes, is ``wanted`` can go on from here."""
        instead = "give an optimizer of the trial's structure, or params=trial.params, which begins with a new state"
        if structure(self.carry) != structure(wanted):
            if self.optimizer and self.optimizer != (other := by_name(optimizer)):
                raise ValueError(
                    f"The sweep can't go on from this trial: its state is of {self.optimizer}, but the optimizer is {other}; "
                    f"{instead}."
                )
            if self.optimizer and structure(self.carry[0]) == structure(wanted[0]):
                raise ValueError(
                    f"The sweep can't go on from this trial: the state of its {self.optimizer} has another structure than "
                    f"that of the one that is given. A schedule has a state and a number has none: where there was a schedule, "
                    f"give one, such as jopt.constant_schedule(rate); or params=trial.params, which begins with a new state."
                )
            raise ValueError(
                f"The sweep can't go on from this trial: its parameters and state have the structure {structure(self.carry)}, "
                f"but the loss and the optimizer work on {structure(wanted)}; {instead}."
            )
        for (path, x), y in zip(jax.tree_util.tree_flatten_with_path(self.carry)[0], jax.tree.leaves(wanted), strict=True):
            is_key = jnp.issubdtype(y.dtype, jax.dtypes.prng_key)
            like = jax.eval_shape(jax.random.key_data, y) if is_key else y
            if (x.shape[1:], x.dtype) != (like.shape, like.dtype):
                raise ValueError(
                    f"The sweep can't go on from this trial: the leaf at {jax.tree_util.keystr(path)} of its parameters and "
                    f"state is {x.dtype} of shape {x.shape[1:]}, but here it is {like.dtype} of shape {like.shape}; {instead}."
                )


def block_shape(width: int, settings: int, seeds: int, workers: int) -> tuple[int, int]:
    """The seeds and the settings of each block of a job, with at most ``width`` lanes: whole seeds, or a part of one.

    All blocks have the one shape, for one executable. So what counts is how long the workers take with the last of them.
    """
    if width >= settings:
        return _even(min(width // settings, seeds), seeds, 1, workers), settings
    return 1, _even(width, settings, seeds, workers)


def _even(most: int, count: int, times: int, workers: int) -> int:
    """How many of ``count`` stand together, at most ``most``, where ``times`` as many are to be shared by the workers.

    Half of the most at least. Fewer stand together only where that saves a sixth of the time, since narrower blocks take up to
    a tenth longer for each lane (see ``planner.CACHE_BYTES``).
    """
    parts = math.ceil(count / most)
    sizes = sorted({math.ceil(count / p) for p in range(parts, 2 * parts + 1)}, reverse=True)
    takes = [math.ceil(times * math.ceil(count / size) / workers) * size for size in sizes]
    return next(size for size, time in zip(sizes, takes, strict=True) if 5 * time <= 6 * min(takes))


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What has to be computed. It pickles if the user's functions and data do, so another process may run it.

    Attributes:
      space: the settings that differ in numbers only, which one program computes.
      program: start, step and evaluation of one lane.
      feed: the batches.
      seeds: of the lanes; a lane is one setting with one of them.
      steps: the last one of each lane.
      given: the initial parameters, or None where the program makes them.
      seed: of the sweep: the root of every key.
      eval_steps: after how many steps every lane is evaluated, ascending; 0 is before the first one.
      record_every: steps between two records of the loss.
      stops: steps at which every lane waits for a decision whether it goes on, ascending.
      looks: steps at which every lane waits while somebody is told how far they are, ascending; trials of plans pass them.
      begun: where the lanes go on; None: they begin before the first step.
      keep: what the result keeps of each lane: "params", "carry", "best" or "none".
      maximize: the metrics that are better the higher they are.
    """

    space: Space
    program: Program
    feed: Feed
    seeds: tuple[int, ...]
    steps: int
    given: Any
    seed: int
    eval_steps: tuple[int, ...] = ()
    record_every: int = 1
    stops: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    begun: Begun | None = None
    keep: Keep = "params"
    maximize: tuple[str, ...] = ()

    @property
    def lanes(self) -> int:
        return self.space.size * len(self.seeds)

    @property
    def first(self) -> int:
        """The step from which the lanes begin: how many an earlier sweep has done."""
        return 0 if self.begun is None else self.begun.step

    @property
    def lane_steps(self) -> int:
        """The steps of all lanes together."""
        return self.lanes * (self.steps - self.first)

    def stride(self, most: int) -> int:
        """The most steps, up to ``most``, into which all the ways of a lane to an evaluation, a stop or the end divide.

        How many steps a compiled loop makes is an argument, and an accelerator's host waits for it before each round; an inner
        loop of which the compiler knows how long it is runs on the device alone.
        """
        common = math.gcd(*(step - self.first for step in (self.steps, *self.eval_steps, *self.stops)))
        return max(k for k in range(1, most + 1) if common % k == 0)

    def next_evaluation(self, step: int) -> int:
        """The first evaluation after ``step``; the end where there is none."""
        return self._next(self.eval_steps, step)

    def next_stop(self, step: int) -> int:
        """The first stop after ``step``; the end where there is none."""
        return self._next(self.stops, step)

    def _next(self, listed: tuple[int, ...], step: int) -> int:
        place = int(np.searchsorted(listed, step, side="right"))
        return int(listed[place]) if place < len(listed) else self.steps
